"""Files a page was given: kept beside the store as ``uploads/DIGEST/NAME``, written once, never opened here."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from landscape.errors import BadInput
from landscape.runs.home import made, store_errors
from landscape.runs.people import Person
from landscape.sharing import quotas

FOLDER = "uploads"
CHUNK = 1 << 20
LONGEST = 200  # bytes of a name that is kept
MAX_BYTES = 2 * 2**30  # largest file taken from a browser; larger ones are opened where they lie
AGE = 3600.0  # seconds for which a file that no run uses yet is left alone
_KEPT = re.compile(r"[^\w.=+@-]+")


@dataclass(frozen=True)
class Upload:
    """A kept file: where it lies, its whole SHA-256 in hex and its size in bytes."""

    path: Path
    digest: str
    size: int


def plain_name(name: str) -> str:
    """A file name without folders, links or characters a shell or file system reads otherwise; its ending is kept."""
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    cleaned = _KEPT.sub("-", last).strip(".-") or "checkpoint"
    stem, dot, ending = cleaned.rpartition(".")
    if not dot or len(ending) > 16:
        stem, dot, ending = cleaned, "", ""
    room = LONGEST - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def keep(home: Path, name: str, source: BinaryIO, limit: int = MAX_BYTES, person: Person = Person()) -> Upload:  # noqa: B008
    """Copy ``source`` to ``uploads/DIGEST/NAME``, whole or not at all; a file that is there already is used again.

    A file ``.ID`` beside it says whose it is. Raises BadInput for an empty file, one above ``limit`` bytes or beyond what a
    user may have, StoreError where the store cannot be written.
    """
    root = made(home) / FOLDER
    cleaned, room = plain_name(name), _room(home, person)
    limit = min(limit, room[0] - room[1])
    if limit <= 0:
        raise _no_room(person, *room)
    with store_errors(home):
        root.mkdir(mode=0o700, exist_ok=True)
        part = root / f".{os.getpid()}-{os.urandom(8).hex()}.part"
        try:
            digest, size = _copy(source, part, cleaned, limit)
            folder = root / digest[:16]
            folder.mkdir(mode=0o700, exist_ok=True)
            if person.is_user:
                (folder / f".{person.id}").touch(mode=0o600)
            part.replace(folder / cleaned)
            _settle(folder)
            _settle(root)
        finally:
            part.unlink(missing_ok=True)
    return Upload(folder / cleaned, digest, size)


def _copy(source: BinaryIO, part: Path, name: str, limit: int) -> tuple[str, int]:
    """(SHA-256, bytes) of what was written to ``part``, on disk when this returns."""
    digest, size = hashlib.sha256(), 0
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise BadInput(f"{name} has more than {limit:,} bytes, the limit for a file that is dropped here. Copy it "
                               "into a folder of LANDSCAPE_ROOTS and give its path, where the app is yours alone.")
            digest.update(chunk)
            file.write(chunk)
        if not size:
            raise BadInput(f"{name} is empty (0 bytes). Save the checkpoint again.")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def taken(home: Path, person: Person) -> int:
    """Bytes of the kept files of a user."""
    folders = [mark.parent for mark in (home / FOLDER).glob(f"*/.{person.id}")]
    return sum(file.stat().st_size for folder in folders for file in folder.iterdir())


def _room(home: Path, person: Person) -> tuple[int, int]:
    """(bytes that the person may keep, bytes of it that are taken)."""
    limits = quotas()
    return (limits.uploads, taken(home, person)) if person.is_user and limits else (MAX_BYTES, 0)


def _no_room(person: Person, room: int, used: int) -> BadInput:
    return BadInput(f"The uploads of {person.name} take {used:,} bytes, and {room:,} is what one person may have here. "
                    "Remove those that no run uses, on the Checkpoints page, or delete runs that use them first.")


def _settle(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kept(home: Path) -> list[Path]:
    """The kept files, in the order of their folders."""
    root = home / FOLDER
    return sorted(file for file in root.glob("*/[!.]*") if file.is_file() and not file.is_symlink()) if root.is_dir() else []


def remove_unused(home: Path, used: set[str], older: float = AGE) -> int:
    """Delete the kept files that no settings text in ``used`` names; returns the bytes that are free again.

    Those younger than ``older`` seconds stay: somebody may be about to open them.
    """
    freed, now = 0, time.time()
    for folder in {file.parent for file in kept(home)}:
        files = list(folder.iterdir())
        if any(folder.name in text for text in used) or any(now - file.stat().st_mtime < older for file in files):
            continue
        freed += sum(file.stat().st_size for file in files)
        shutil.rmtree(folder, ignore_errors=True)
    return freed
