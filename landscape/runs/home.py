"""The folder a store lives in, and the locks that say who writes it and who serves it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import shutil
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from landscape.errors import StoreError


def home_of(home: Path | str | None = None) -> Path:
    """The store's folder: as given, else ``LANDSCAPE_HOME``, else the platform's user data folder."""
    return Path(home or os.environ.get("LANDSCAPE_HOME") or platformdirs.user_data_path("landscape", False)).absolute()


def made(home: Path) -> Path:
    """``home``, made if it was not there, open to its owner only."""
    try:
        if not home.is_dir():
            home.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The store's folder {home} cannot be made: {error.strerror}. Choose another with LANDSCAPE_HOME or --home."
        ) from None
    return home


def unwritable(home: Path) -> str:
    """Why a store cannot be written by this process, said with what to do about it; empty where it can, or is not there yet.

    Asks the system and writes nothing, so that it costs microseconds: the folder, the database, its lock and the weights.
    """
    if not os.path.isdir(home):
        return ""
    for path in (home, home / "store.sqlite", home / "writer.lock", home / "weights"):
        if os.path.exists(path) and not may(path, os.W_OK):
            return cannot_be_written(home, _forbidden(path))
    return ""


def check_writable(home: Path) -> None:
    """Raises StoreError where the store can only be looked at."""
    if why := unwritable(home):
        raise StoreError(why)


def cannot_be_written(home: Path, why: object) -> str:
    return (f"The store {home} cannot be written: {why}. What is in it can be looked at. To compute, make the folder "
            "writable (mount it so, or see to whom it belongs), or choose another with LANDSCAPE_HOME or --home.")


def cannot_be_read(path: Path | str) -> str:
    return (f"{path} may not be read. Its owner can let others look at the store (chmod -R g+rX for a group), or give a "
            "copy of the folder; choose another with LANDSCAPE_HOME or --home.")


def may(path: Path | str, access: int) -> bool:
    """Whether this process, as the user it acts for, has the access (``os.R_OK``, ``os.W_OK``) to what is there."""
    return os.access(path, access, effective_ids=os.access in os.supports_effective_ids)


def _forbidden(path: Path) -> str:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "Read-only file system"
    return f"{path} belongs to {_name_of(path.stat().st_uid)} and may not be changed by {_name_of(os.geteuid())}"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none, and so that it survives a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.part")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def abandoned(part: Path) -> bool:
    """Whether nobody writes this half-written file of ``write_atomically`` any more: its process has gone."""
    pid = part.name.rsplit(".", 3)[1]
    if not pid.isdigit() or int(pid) == os.getpid():
        return pid.isdigit()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


@contextmanager
def store_errors(home: Path):
    """Turn what the file system and SQLite raise inside into a StoreError that says where and what to do."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
            free = shutil.disk_usage(home).free
            raise DiskFull(
                f"The disk of the store is full: {home} has {free:,} bytes free. Everything saved before is kept. Make "
                "room (landscape runs shows sizes, landscape delete KEY frees them) and start the run again: it goes on."
            ) from None
        if isinstance(error, PermissionError) and os.path.exists(error.filename or "") and not may(error.filename, os.R_OK):
            raise StoreError(cannot_be_read(error.filename)) from None
        if getattr(error, "errno", None) in (errno.EROFS, errno.EACCES, errno.EPERM) or "readonly" in str(error):
            raise StoreError(cannot_be_written(home, error)) from None
        raise StoreError(
            f"The store {home} cannot be used: {error}. See that the folder can be read and written, or choose another "
            "with LANDSCAPE_HOME or --home."
        ) from error


class DiskFull(StoreError):
    """There is no room on the disk of the store."""


class Lock:
    """An exclusive lock on a file, held until ``release`` or the end of the process, however it ends.

    Beside ``NAME.lock`` lies ``NAME.json``, readable by the owner only, in which the holder says who it is.
    """

    def __init__(self, path: Path, fd: int):
        self.path, self.fd = path, fd

    @classmethod
    def take(cls, path: Path, says: dict, patience: float = 1.0) -> Lock | None:
        """The lock, or None if another process still holds it after ``patience`` seconds."""
        with store_errors(path.parent):
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    return None
                time.sleep(0.02)
        lock = cls(path, fd)
        lock.say(says)
        return lock

    def say(self, says: dict) -> None:
        write_atomically(self.path.with_suffix(".json"), json.dumps({"pid": os.getpid(), **says}).encode())

    def release(self) -> None:
        if self.fd >= 0:
            self.path.with_suffix(".json").unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1


def holder(path: Path) -> dict | None:
    """What the process that holds the lock says of itself; None if nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        try:
            return json.loads(path.with_suffix(".json").read_text())
        except (OSError, ValueError):
            return {}
    finally:
        os.close(fd)
