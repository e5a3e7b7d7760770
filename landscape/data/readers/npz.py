"""npz files of numpy arrays, without pickles, and without trusting what their headers promise."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from landscape.data.folder import max_bytes, opened, too_large
from landscape.data.readers import POOL, Contents
from landscape.errors import UNREADABLE, BadInput

SETS = ("train", "validation", "test")
WANTED = ("Store arrays x and y (one set), or x_train, y_train, x_test, y_test and, if there is one, "
          "x_validation, y_validation: np.savez_compressed(name, x=..., y=...).")


def read(path: Path, inputs_alone: bool = False) -> Contents:
    """``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test`` ...; other arrays are never decompressed.

    With ``inputs_alone`` a set may lack its y (tokens are their own targets); it is then the x.

    Raises BadInput for a file that is no zip, is damaged or truncated, lacks these arrays, holds objects
    (pickles), or would unpack to more than the size limit.
    """
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return Contents(_sets(path.name, archive, inputs_alone))
        except UNREADABLE as error:
            raise BadInput(f"{path.name} is not a readable npz file: {error}. It may be damaged or cut off; "
                           f"write it again. {WANTED}") from None


def _sets(name: str, archive: zipfile.ZipFile, inputs_alone: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    members = {}
    for info in archive.infolist():
        if info.filename in members:
            raise BadInput(f"{name} holds {info.filename!r} twice. Write it again with "
                           "numpy.savez_compressed.")
        members[info.filename] = info
    pairs = {which: (f"x{end}", f"y{end}") for which, end in
             {POOL: "", **{which: f"_{which}" for which in SETS}}.items()}
    present = {which: pair for which, pair in pairs.items() if any(f"{key}.npy" in members for key in pair)}
    if inputs_alone:
        present = {which: (x, y if f"{y}.npy" in members else x) for which, (x, y) in present.items()}
    keys = list(dict.fromkeys(key for pair in present.values() for key in pair))
    missing = [key for key in keys if f"{key}.npy" not in members]
    if not present or missing or (POOL in present) == ("train" in present):
        found = ", ".join(sorted(name.removesuffix(".npy") for name in members)) or "nothing"
        lacks = f" lacks {', '.join(missing)}" if missing else " has no such arrays, or both kinds at once"
        raise BadInput(f"{name}{lacks}; found {found[:300]}. {WANTED}")
    # All headers before any array: nothing is allocated for a file that will be refused.
    declared = sum(_check_header(name, key, archive, members[f"{key}.npy"]) for key in keys)
    if declared > max_bytes():
        raise too_large(f"{name}, unpacked,", declared)
    arrays = {key: _array(archive, members[f"{key}.npy"]) for key in keys}
    return {which: (arrays[x], arrays[y]) for which, (x, y) in present.items()}


def _check_header(name: str, key: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Bytes the array takes, at least those of float32; header and zip directory must agree on them."""
    with archive.open(info) as member:
        shape, dtype = _header(f"{name}, array {key}", member)
        stored = info.file_size - member.tell()
    if dtype.hasobject or dtype.kind not in "biufUS":
        raise BadInput(f"{name}, array {key}: expected numbers (or text for class names), found dtype "
                       f"{dtype}. Objects would need pickle, which can run code and is never loaded. Convert "
                       "with x.astype('float32').")
    count = math.prod(shape)
    if count * dtype.itemsize != stored:
        raise BadInput(f"{name}, array {key}: its header promises {count * dtype.itemsize:,} bytes (shape "
                       f"{shape}, {dtype}), but {stored:,} are stored. The file is damaged; write it again.")
    return count * max(dtype.itemsize, 4)


def _header(where: str, member: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:  # 3.0 differs from 2.0 only in names of fields, which are not accepted anyway
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    except (*UNREADABLE, ValueError, TypeError, SyntaxError, KeyError) as error:
        raise BadInput(f"{where}: no readable npy header ({str(error)[:200]}). Write the file again. "
                       f"{WANTED}") from None
    return shape, dtype


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        try:
            return np.lib.format.read_array(member, allow_pickle=False)
        except ValueError as error:
            raise zipfile.BadZipFile(f"{info.filename}: {error}") from None
