"""Weights on disk: ``weights/KEY/NAME.safetensors``, each written whole or not at all.

Of those that lie at another location (``runs.location``) the store has ``weights/KEY/NAME.note``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from landscape.errors import BadInput, Damaged, StoreError
from landscape.runs import location
from landscape.runs.home import write_atomically

STATE = "state-"  # begins the names of weights from which an interrupted job goes on: of no use once it is done
ASIDE = ".removed-"  # begins the name of a folder that is being removed
FILE, NOTE = ".safetensors", ".note"
log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")


def path_of(home: Path, key: str, name: str) -> Path:
    for word in (key, name):
        if not _NAME.fullmatch(word):
            raise BadInput(f"A name of weights has up to 100 letters, digits and _ . : -, found {word!r}.")
    return home / "weights" / key / f"{name}.safetensors"


def folder_of(home: Path, key: str) -> Path:
    return path_of(home, key, "x").parent


def names(home: Path, key: str) -> list[str]:
    found = folder_of(home, key).glob("[!.]*")
    return sorted({file.stem for file in found if file.suffix in (FILE, NOTE)})


def size(home: Path, key: str) -> int:
    """Bytes, those at another location too."""
    folder = folder_of(home, key)
    return sum(file.stat().st_size for file in folder.glob("*")) + sum(note["size"] for note in notes(folder).values())


def size_elsewhere(home: Path) -> int:
    """Bytes of all runs at another location."""
    return sum(note["size"] for folder in (home / "weights").glob("*") for note in notes(folder).values())


def notes(folder: Path) -> dict[str, dict[str, Any]]:
    """What is noted in a folder, by name. One that cannot be read was being removed."""
    found = {}
    for file in folder.glob(f"[!.]*{NOTE}"):
        try:
            found[file.stem] = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
    return found


def note_of(home: Path, key: str, name: str) -> dict[str, Any] | None:
    try:
        return json.loads(path_of(home, key, name).with_suffix(NOTE).read_text())
    except FileNotFoundError:
        return None


def load(home: Path, key: str, name: str) -> bytes | dict[str, Any] | None:
    """The bytes of a file, or the note of one that lies elsewhere; None if there is neither."""
    path = path_of(home, key, name)
    return path.read_bytes() if os.path.exists(path) else note_of(home, key, name)


def read(home: Path, key: str, name: str) -> bytes | None:
    """The bytes of a file wherever it lies. Raises StoreError if that is not reached, Damaged if it is not as noted."""
    found = load(home, key, name)
    while isinstance(found, dict):
        try:
            return location.read(found, key, name)
        except Damaged:
            if (now := load(home, key, name)) in (found, None):
                raise
            found = now  # it was just written anew
    return found


def save(home: Path, key: str, name: str, data: bytes | dict[str, Any]) -> None:
    """Put a file, or the note of one that was written elsewhere, in place of what was there by that name."""
    path, before = path_of(home, key, name), note_of(home, key, name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if isinstance(data, dict):
        write_atomically(path.with_suffix(NOTE), json.dumps(data).encode())
        path.unlink(missing_ok=True)
    else:
        write_atomically(path, data)
        path.with_suffix(NOTE).unlink(missing_ok=True)
    if before is not None and before != data:
        _remove_elsewhere([before])


def remove(home: Path, key: str) -> None:
    found = list(notes(folder := folder_of(home, key)).values())
    shutil.rmtree(folder, ignore_errors=True)
    _remove_elsewhere(found, whole=True)


def _remove_elsewhere(found: list[dict[str, Any]], whole: bool = False) -> bool:
    """Whether it could be done: what lies at a location that is not reached now stays there."""
    try:
        location.remove(found, whole)
    except StoreError as error:
        log.warning("%s", error)
        return False
    return True


def set_aside(home: Path, key: str) -> None:
    """The first step of removing the weights of a run: its folder gets another name. Takes no room on the disk."""
    if (folder := folder_of(home, key)).is_dir():
        shutil.rmtree(aside := folder.with_name(ASIDE + key), ignore_errors=True)
        folder.rename(aside)


def remove_aside(home: Path, key: str) -> None:
    """The last step; where another location is not reached it is done when the store is opened again."""
    if _remove_elsewhere(list(notes(aside := folder_of(home, key).with_name(ASIDE + key)).values()), whole=True):
        shutil.rmtree(aside, ignore_errors=True)


def put_back(home: Path, key: str) -> None:
    """Undo ``set_aside``."""
    folder = folder_of(home, key)
    if (aside := folder.with_name(ASIDE + key)).is_dir() and not folder.exists():
        aside.rename(folder)


def left_aside(home: Path) -> list[str]:
    """Keys of the runs whose removal was begun."""
    return [folder.name.removeprefix(ASIDE) for folder in (home / "weights").glob(f"{ASIDE}*")]


def damage(path: Path) -> str | None:
    """What is wrong with a weights file as far as its size tells (a disk that broke, a copy that ended early), or None."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                return f"{size:,} bytes are there, {8 + length:,} or more were announced"
            tensors = {name: each for name, each in json.loads(file.read(length)).items() if name != "__metadata__"}
    except (ValueError, AttributeError) as error:
        return f"its header cannot be read ({error})"
    end = 8 + length + max((each["data_offsets"][1] for each in tensors.values()), default=0)
    return None if size == end else f"{size:,} bytes are there, {end:,} were announced"


def damaged(home: Path, key: str) -> list[str]:
    """Names of the weights of a run that are not whole."""
    noted = notes(folder_of(home, key))
    return [name for name in names(home, key)
            if (location.damage(noted[name]) if name in noted else damage(path_of(home, key, name)))]


def remove_states(home: Path, key: str) -> None:
    """And what workers that were ended have left elsewhere."""
    folder = folder_of(home, key)
    states = {name: note for name, note in notes(folder).items() if name.startswith(STATE)}
    for file in folder.glob(f"{STATE}*"):
        file.unlink(missing_ok=True)
    if states and _remove_elsewhere(list(states.values())) and (left := list(notes(folder).values())):
        with suppress(StoreError):
            location.tidy(left)


def to_bytes(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with these arrays."""
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata or None)


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Raises safetensors.SafetensorError for bytes that are no whole file."""
    return safetensors.numpy.load(data)
