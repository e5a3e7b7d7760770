"""Weights on disk: ``weights/KEY/NAME.safetensors``, each written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

from landscape.errors import BadInput

STATE = "state-"  # begins the names of weights from which an interrupted job goes on: of no use once it is done
ASIDE = ".removed-"  # begins the name of a folder that is being removed
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")


def path_of(home: Path, key: str, name: str) -> Path:
    for word in (key, name):
        if not _NAME.fullmatch(word):
            raise BadInput(f"A name of weights has up to 100 letters, digits and _ . : -, found {word!r}.")
    return home / "weights" / key / f"{name}.safetensors"


def folder_of(home: Path, key: str) -> Path:
    return path_of(home, key, "x").parent


def names(home: Path, key: str) -> list[str]:
    return sorted(file.stem for file in folder_of(home, key).glob("[!.]*.safetensors"))


def size(home: Path, key: str) -> int:
    return sum(file.stat().st_size for file in folder_of(home, key).glob("*"))


def remove(home: Path, key: str) -> None:
    shutil.rmtree(folder_of(home, key), ignore_errors=True)


def set_aside(home: Path, key: str) -> None:
    """The first step of removing the weights of a run: its folder gets another name. Takes no room on the disk."""
    if (folder := folder_of(home, key)).is_dir():
        shutil.rmtree(aside := folder.with_name(ASIDE + key), ignore_errors=True)
        folder.rename(aside)


def remove_aside(home: Path, key: str) -> None:
    shutil.rmtree(folder_of(home, key).with_name(ASIDE + key), ignore_errors=True)


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
    return [name for name in names(home, key) if damage(path_of(home, key, name))]


def remove_states(home: Path, key: str) -> None:
    for file in folder_of(home, key).glob(f"{STATE}*"):
        file.unlink(missing_ok=True)


def to_bytes(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with these arrays."""
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata or None)


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Raises safetensors.SafetensorError for bytes that are no whole file."""
    return safetensors.numpy.load(data)
