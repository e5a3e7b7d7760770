"""The database of a store, for reading: in place where that is safe, else from a copy of this process.

SQLite (WAL) keeps readers and the writer apart by a file beside the database that all of them map into memory, and a reader
makes that file if it is not there. Where nothing can be written it cannot, and there are three ways:

- a writer is seen (its lock is held, so it runs on this machine): its file is there, and SQLite uses it;
- nobody is seen and no log is left: SQLite is told that the file does not change (``immutable``), and what was read counts
  only if the file was the same afterwards;
- else, a log of a writer that was killed or that runs on another machine, or tables of an older version: the database and
  its log are copied into a temporary folder, again until both belong together, and read (brought to this version) there.

The formats: https://sqlite.org/walformat.html, https://sqlite.org/wal.html#read_only_databases.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from landscape.errors import StoreError
from landscape.runs import schema
from landscape.runs.home import DiskFull, cannot_be_read, holder, may, store_errors, unwritable

TRIES, PAUSE = 8, 0.1  # how often a file that somebody changes meanwhile is read, and seconds between
REST = 10.0  # a copy is used for so many times as long as it took to make, before another is made of a file that changes
HEADER = 32  # bytes of a log: they say which round of the log it is
Found = TypeVar("Found")
Ask = Callable[[sqlite3.Connection | None], Found]


def read(home: Path, ask: Ask) -> Found:
    """``ask(connection)``, which is read-only, or ``ask(None)`` where nothing was stored yet; an older file is brought to
    this version first, where the folder cannot be written in a copy. ``ask`` may be called several times: only the last
    answer counts. Raises StoreError for a file that is no store, of a later version, or that cannot be read.
    """
    path = home / schema.FILE
    with store_errors(home):
        if not _there(path):
            return ask(None)
        if unwritable(home):
            return _looked_at(path, ask)
        try:
            return _in_place(path, "", ask)
        except _Older:
            _migrate(home)
            return _in_place(path, "", ask)


class _Older(Exception):
    """The tables are those of an earlier version."""


def _there(path: Path) -> bool:
    """Raises StoreError for a file that is there and may not be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise StoreError(cannot_be_read(path.parent)) from None
    for each in (path, _log(path)):
        if not may(each, os.R_OK) and each.exists() and not may(each, os.R_OK):  # a log comes and goes meanwhile
            raise StoreError(cannot_be_read(each))
    return True


def _in_place(path: Path, how: str, ask: Ask) -> Found:
    """``how`` are further words for SQLite. Raises _Older."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro{how}", uri=True, timeout=10)) as db:
        version = schema.checked(db, path)
        if 0 < version < schema.VERSION:
            raise _Older
        return ask(db if version else None)


def _migrate(home: Path) -> None:
    from landscape.runs.store import Store

    Store(home, {"kind": "migration"}).close()


# Where nothing can be written


def _looked_at(path: Path, ask: Ask) -> Found:
    """In one of the three ways. What changes while it is read, be it that a writer comes or goes, is read again."""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        before = _marks(path)
        try:
            if _writer_here(path):
                return _in_place(path, "", ask)  # SQLite keeps the two apart
            found = _copies.read(path, before, ask) if before[-1] else _in_place(path, "&immutable=1", ask)
        except _Older:
            found = _copies.read(path, before, ask)
        except (sqlite3.Error, StoreError, FileNotFoundError) as error:
            if _marks(path) == before and not isinstance(error, _Changing):
                raise
            continue
        if before[-1] or _marks(path) == before:  # a copy was made of what belongs together
            return found
    raise StoreError(f"{path} is written from elsewhere, faster than it can be read from here, where the folder cannot be "
                     "written. Look again in a moment, or on the machine that writes it.")


def _writer_here(path: Path) -> bool:
    """Whether a process of this machine has the store open: locks of other machines are not seen, nor is their memory."""
    shared = path.with_name(f"{path.name}-shm")
    return holder(path.with_name("writer.lock")) is not None and _log(path).exists() and may(shared, os.R_OK)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _marks(path: Path) -> tuple:
    """What changes when the database does: of the file and, last, the log (``()`` without one, or an empty one)."""
    return _state(path), _state(_log(path))


def _state(path: Path) -> tuple:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else ()


class _Changing(StoreError):
    """The file was changed while it was copied."""


class _Copies:
    """One copy of each database, in a folder that is gone when the process has ended; used by one thread at a time."""

    def __init__(self):
        self._turn = threading.RLock()
        self._made: dict[Path, tuple[tuple, float, float, tempfile.TemporaryDirectory]] = {}  # path -> marks, when, took

    def read(self, path: Path, marks: tuple, ask: Ask) -> Found:
        with self._turn:
            known, now = self._made.get(path), time.monotonic()
            if known is None or (known[0] != marks and now - known[1] > REST * known[2]):
                folder = _copied(path)
                if known is not None:
                    known[-1].cleanup()
                self._made[path] = known = marks, time.monotonic(), time.monotonic() - now, folder
            return _in_place(Path(known[-1].name) / path.name, "&immutable=1", ask)


_copies = _Copies()


def _copied(path: Path) -> tempfile.TemporaryDirectory:
    """A folder with one file of this version, which holds what the database and its log held at one moment.

    The database changes only when a writer has put its log into it, and a log that begins anew has another header. So if
    both are the same before and after, all pages in the copy are of one moment, or in the part of the log that was copied:
    SQLite leaves out what was not yet whole there, by the checksum of every frame.
    """
    before = _state(path), _header(path)
    folder = tempfile.TemporaryDirectory(prefix="landscape-")
    to = Path(folder.name) / path.name
    try:
        shutil.copyfile(path, to)
        if _log(path).exists():
            shutil.copyfile(_log(path), _log(to))
        if (_state(path), _header(path)) != before:
            raise _Changing(f"{path} was changed while it was copied.")
        schema.open_for_writing(to).close()
    except BaseException as error:
        folder.cleanup()
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path} is read from a copy, because its folder cannot be written and "
                           f"{'its log is not in the file yet' if before[1] else 'it is of an older version'}, and "
                           f"{tempfile.gettempdir()} has no room for it ({path.stat().st_size:,} bytes). Make room there, "
                           "or choose another place with TMPDIR.") from None
        if isinstance(error, StoreError):
            raise type(error)(str(error).replace(str(to), str(path))) from None
        raise
    for each in to.parent.glob(f"{path.name}.v*"):  # the copy of before the migration: the original is that already
        each.unlink()
    return folder


def _header(path: Path) -> bytes:
    try:
        with _log(path).open("rb") as file:
            return file.read(HEADER)
    except FileNotFoundError:
        return b""
