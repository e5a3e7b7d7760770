"""Weights at a location that all workers reach: any URL that fsspec opens (``LANDSCAPE_WEIGHTS``).

A worker writes there itself, under a temporary name first; the store keeps a note of each file: its URL, size and SHA-256.
A file's name has its hash in it, so that no file ever changes: who has a note reads what was noted, or nothing.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from landscape.errors import Damaged, StoreError
from landscape.runs.home import store_errors, write_atomically

VARIABLE = "LANDSCAPE_WEIGHTS"
IDENTITY = "location.id"  # in the store's folder: the name of its folder at the location
PASSED = "part-"  # begins the names of what parts leave for each other
MARK = "store"  # the file there by which a location that is not mounted is told from one whose files are gone


def place(home: Path) -> str:
    """The URL of a store's folder at the location, which gets a name of its own; empty where weights lie in the store."""
    root = os.environ.get(VARIABLE, "").rstrip("/")
    if not root:
        return ""
    file = home / IDENTITY
    with store_errors(home):
        if not file.exists():
            write_atomically(file, secrets.token_hex(8).encode())
        return f"{root}/{file.read_text().strip()}"


def write(place: str, key: str, name: str, data: bytes) -> dict[str, Any]:
    """Write a file and return its note. Raises StoreError where the location cannot be written."""
    digest = hashlib.sha256(data).hexdigest()
    url = f"{place}/{key}/{name}.{digest[:16]}.safetensors"
    with _reached(url):
        fs, path = _opened(url)
        if _on_disk(fs) or path.startswith("/"):  # else it begins with a bucket, which is nobody's to make by mistake
            fs.makedirs(posixpath.dirname(path), exist_ok=True)
        if not fs.exists(mark := _mark(posixpath.dirname(path))):
            _put(fs, mark, b"weights of a store of Loss Valleys\n")
        _put(fs, path, data)
    return {"url": url, "sha256": digest, "size": len(data)}


def read(note: dict[str, Any], key: str, name: str) -> bytes:
    """The file of a note. Raises Damaged if it is gone or has changed, StoreError if the location is not reached."""
    if why := damage(note, reached=True):
        raise _damaged(note, key, name, why)
    with _reached(note["url"]):
        fs, path = _opened(note["url"])
        with fs.open(path, "rb") as file:
            data = file.read()
    if hashlib.sha256(data).hexdigest() != note["sha256"]:
        raise _damaged(note, key, name, "what is there is not what was written")
    return data


def damage(note: dict[str, Any], reached: bool = False) -> str | None:
    """What is wrong with a noted file as far as its size tells, or None; None too where the location is not reached, of
    which nothing is known, or with ``reached`` a StoreError."""
    try:
        with _reached(note["url"]):
            fs, path = _opened(note["url"])
            try:
                size = fs.size(path)
            except FileNotFoundError:
                if not fs.exists(_mark(posixpath.dirname(path))):
                    raise
                return "the file is not there"
    except StoreError:
        if reached:
            raise
        return None
    return None if size == note["size"] else f"{size:,} bytes are there, {note['size']:,} were written"


def remove(notes: list[dict[str, Any]], whole: bool = False) -> None:
    """Remove the files of notes, or the whole folders they lie in. Raises StoreError if the location is not reached."""
    for url in dict.fromkeys(posixpath.dirname(note["url"]) if whole else note["url"] for note in notes):
        with _reached(url):
            fs, path = _opened(url)
            if not fs.exists(_mark(path if whole else posixpath.dirname(path))):
                raise FileNotFoundError("the folder of this store is not there")
            with suppress(FileNotFoundError):
                fs.rm(path, recursive=True) if whole else fs.rm_file(path)


def tidy(notes: list[dict[str, Any]]) -> None:
    """Remove what lies beside the files of a run's notes: left by workers that were ended while they wrote."""
    with _reached(notes[0]["url"]):
        fs, path = _opened(notes[0]["url"])
        kept = {posixpath.basename(note["url"]) for note in notes}
        for each in fs.ls(posixpath.dirname(path), detail=False):
            if posixpath.basename(each) not in kept:
                with suppress(FileNotFoundError):
                    fs.rm_file(each)


def clear(place: str, key: str) -> None:
    """Remove what parts of a run left for each other. Raises StoreError if the location is not reached."""
    with _reached(place):
        fs, path = _opened(f"{place}/{key}")
        for each in fs.ls(path, detail=False) if fs.exists(path) else ():
            if posixpath.basename(each).startswith((PASSED, f".{PASSED}")):
                with suppress(FileNotFoundError):
                    fs.rm_file(each)


def _mark(folder: str) -> str:
    """The mark beside the folder of a run."""
    return posixpath.join(posixpath.dirname(folder), MARK)


def _put(fs, path: str, data: bytes) -> None:
    """A reader sees all of it or none; on a disk it survives a power cut."""
    part = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{secrets.token_hex(8)}.part")
    try:
        with fs.open(part, "wb") as file:
            file.write(data)
            if _on_disk(fs):
                os.chmod(part, 0o600)
                file.flush()
                os.fsync(file.fileno())
        fs.mv(part, path)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(part)
        raise


def _on_disk(fs) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _opened(url: str):
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    fs.invalidate_cache()  # others write there too
    return fs, path


@contextmanager
def _reached(url: str):
    """Turn what a file system raises (which may be anything) into a StoreError that says where and what to do."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(
            f"The location of the weights, {url}, cannot be used from {socket.gethostname()}: {type(error).__name__}: "
            f"{error}. See that on every machine it is mounted, or its package is installed and finds its credentials, and "
            f"that {VARIABLE} is right, then start the run again: what is saved is kept."
        ) from None


def _damaged(note: dict[str, Any], key: str, name: str, why: str) -> Damaged:
    return Damaged(f"The weights {name!r} of run {key} are damaged at {note['url']}: {why}. Put the file back, or start "
                   "this run again: what is damaged is then computed anew.")
