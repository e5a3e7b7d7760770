"""Weights on disk: ``weights/KEY/NAME.safetensors``, each written whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

from landscape.errors import BadInput

STATE = "state-"  # begins the names of weights from which an interrupted job goes on: of no use once it is done
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


def remove_states(home: Path, key: str) -> None:
    for file in folder_of(home, key).glob(f"{STATE}*"):
        file.unlink(missing_ok=True)


def to_bytes(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with these arrays."""
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata or None)


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    return safetensors.numpy.load(data)
