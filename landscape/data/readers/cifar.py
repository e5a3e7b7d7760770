"""CIFAR-10 and CIFAR-100 in their Python version: pickles, read without running anything they name.

A pickle is a program: it may call any function it names. This unpickler knows only the names that numpy
arrays are pickled with, and gives each a stand-in of our own that keeps the parts; arrays are then made here
from plain bytes, after their type and length have been checked. numpy's own unpickling code is never called.
Any other name is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landscape.data.folder import opened
from landscape.data.readers import POOL, Contents
from landscape.errors import BadInput

IMAGE = (3, 32, 32)
_DTYPE = re.compile(r"[<>|=]?[biuf][1248]")
_LABELS = ("labels", "fine_labels")
_NAMES = ("label_names", "fine_label_names")


def read(folder: Path) -> Contents:
    """Images (n, 3, 32, 32) uint8 of ``data_batch_1`` ... and ``test_batch``, or of ``train`` and ``test``.

    Class names come from ``batches.meta`` or ``meta``, if present. Raises BadInput for a pickle that names
    anything but arrays, is cut off, or holds something else than images and labels.
    """
    train, test, meta = _files(folder)
    if not train:
        raise BadInput(f"{folder.name} holds no CIFAR batches: expected data_batch_1 ... and test_batch "
                       "(CIFAR-10), or train and test (CIFAR-100), of the Python version.")
    parts = [_batch(path) for path in train]
    pair = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    sets = {"train": pair, "test": _batch(test)} if test else {POOL: pair}
    return Contents(sets, _class_names(meta) if meta else ())


def is_cifar(path: Path) -> bool:
    """Whether a folder holds batches named as those of CIFAR."""
    return path.is_dir() and bool(_files(path)[0])


def unpickled(name: str, content: bytes) -> Any:
    """The dicts, lists, texts, numbers and arrays of a pickle. Raises BadInput for any other content."""
    try:
        return _plain(_ArraysOnly(io.BytesIO(content), encoding="bytes").load())
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise BadInput(f"{name} is not a whole pickle of arrays ({type(error).__name__}: "
                       f"{str(error)[:200]}). Copy the file again.") from None


class _ArrayParts:
    """Stands in for an ndarray while its parts arrive."""

    def __init__(self, dtype=None, shape=None, content=None, fortran=False):
        self.dtype, self.shape, self.content, self.fortran = dtype, shape, content, fortran

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.content = state

    def array(self) -> np.ndarray:
        if not isinstance(self.dtype, _DtypeParts) or not isinstance(self.content, bytes | bytearray):
            raise BadInput("an array is not made of plain numbers")
        dtype, shape = self.dtype.dtype(), tuple(int(n) for n in self.shape)
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(self.content):
            raise BadInput(f"an array of shape {shape} and type {dtype} comes with {len(self.content):,} "
                           "bytes; the file is damaged")
        array = np.frombuffer(self.content, dtype)
        array = array.reshape(shape, order="F" if self.fortran else "C")
        return array.astype(dtype.newbyteorder("="), copy=False)


class _DtypeParts:
    """Stands in for a dtype."""

    def __init__(self, code, *_):
        self.code, self.order = _text(code), ""

    def __setstate__(self, state):
        self.order = _text(state[1])

    def dtype(self) -> np.dtype:
        code = self.order + self.code.lstrip("<>|=")
        if not _DTYPE.fullmatch(code):
            raise BadInput(f"expected arrays of numbers, found type {code[:40]!r}")
        return np.dtype(code)


class _Named:
    """A name a pickle may call: our stand-in, which the pickle cannot change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable):
        self._make = make

    def __call__(self, *args):
        return self._make(*args)

    def __setstate__(self, state):
        raise BadInput("the pickle tries to change a function; refused")


def _from_buffer(content, dtype, shape, order="C"):
    return _ArrayParts(dtype, shape, content, _text(order) == "F")


def _no_bytes():
    return b""


def _encoded(text, encoding):
    if _text(encoding) != "latin1":
        raise BadInput(f"text in encoding {encoding!r}; refused")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable] = {("_codecs", "encode"): _encoded, ("numpy", "dtype"): _DtypeParts,
                                             ("numpy", "ndarray"): _ArrayParts}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = lambda *_: _ArrayParts()
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _builtins in ("__builtin__", "builtins"):
    _ALLOWED[_builtins, "bytes"] = _no_bytes  # how old protocols write the content of an empty array


# The Python one: the C one takes memory for a memo index that the file chooses.
class _ArraysOnly(pickle._Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise BadInput(f"the pickle names {f'{module}.{name}'[:80]!r}, which could run code; only "
                           "numbers, texts and arrays are read. Use the original Python version of the "
                           "data, or convert it to npz")
        return _Named(_ALLOWED[module, name])


def _plain(value: Any) -> Any:
    """The value, or the values of a dict, with stand-ins made arrays and bytes keys made text; not deeper.

    A pickle can nest one object in itself so often that following it would never end.
    """
    if isinstance(value, dict):
        return {_text(key): item.array() if isinstance(item, _ArrayParts) else item
                for key, item in value.items()}
    return value.array() if isinstance(value, _ArrayParts) else value


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise BadInput(f"expected text, found {type(value).__name__}")
    return value.decode("latin1") if isinstance(value, bytes) else value


def _files(folder: Path) -> tuple[list[Path], Path | None, Path | None]:
    """Training batches in order, the test batch and the names, where they exist."""
    batches = [path for path in folder.iterdir() if re.fullmatch(r"data_batch_\d+", path.name)]
    if batches:
        train = sorted(batches, key=lambda path: int(path.name.removeprefix("data_batch_")))
        test, meta = "test_batch", "batches.meta"
    else:
        train, test, meta = [path for path in [folder / "train"] if path.is_file()], "test", "meta"
    return train, *(path if path.is_file() else None for path in (folder / test, folder / meta))


def _load(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        value = unpickled(path.name, file.read())
    if not isinstance(value, dict):
        raise BadInput(f"{path.name}: expected a dict, found {type(value).__name__}. Copy the file again.")
    return value


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = _load(path)
    x, y = batch.get("data"), next((batch[key] for key in _LABELS if key in batch), None)
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.dtype != np.uint8 or x.shape[1] != math.prod(IMAGE):
        found = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise BadInput(f"{path.name}: expected 'data' as uint8 of shape (n, {math.prod(IMAGE)}), found "
                       f"{found}.")
    listed = isinstance(y, list) and all(type(label) is int and abs(label) < 2**31 for label in y)
    if not listed and not (isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu"):
        raise BadInput(f"{path.name}: expected 'labels' or 'fine_labels' as whole numbers, found "
                       f"{type(y).__name__}.")
    if len(x) != len(y):
        raise BadInput(f"{path.name}: {len(x)} images but {len(y)} labels. Copy the file again.")
    return x.reshape(-1, *IMAGE), np.asarray(y, dtype=np.int64)


def _class_names(path: Path) -> tuple[str, ...]:
    meta = _load(path)
    names = next((meta[key] for key in _NAMES if isinstance(meta.get(key), list)), [])
    try:
        return tuple(_text(name) for name in names)
    except BadInput as error:
        raise BadInput(f"{path.name}: class names must be texts ({error}). Copy the file again.") from None
