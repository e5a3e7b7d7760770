"""Tensors out of a torch zip file that also holds objects of unknown classes, without loading those objects.

``torch.load(weights_only=True)`` refuses a whole file for one argparse.Namespace, as Lightning's checkpoints hold it.
This reader walks the pickle with opcodes that only build numbers, texts and containers. A name of a class or function
becomes a ``Reference``, which is never looked up and cannot be called; what a pickle would make of it becomes an
``Inert``. Nothing is imported and nothing is called but the few functions of this file that describe a tensor.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.zipped import member, numbers, root_of, strided

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16,
    "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_TENSOR, _ORDERED = "torch._utils._rebuild_tensor_v2", "collections.OrderedDict"
_PLAIN = (  # opcodes that only make constants and containers, or move them; all others are written anew below, or missing
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE "
    "BINUNICODE8 TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST DICT EMPTY_DICT EMPTY_SET FROZENSET GET BINGET "
    "LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL "
    "BINPERSID"
)


@dataclass(frozen=True, eq=False)
class Reference:
    """A class or function that the file names; only its name is known."""

    name: str


@dataclass(eq=False)
class Inert:
    """What the file would have made of ``name``; ``items`` are those set on it as on a dict, all else is forgotten."""

    name: str
    items: dict = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that is described, not read: ``storage`` is a member of the archive."""

    storage: str
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def load(name: str, archive: zipfile.ZipFile) -> tuple[Any, tuple[str, ...]]:
    """The file's contents with tensors as ``Stored`` and objects as ``Inert``, and the names of what was left out.

    Raises BadInput where the pickle is damaged or needs what is not allowed here.
    """
    walker = _Walker(io.BytesIO(member(name, archive, f"{root_of(archive)}data.pkl")))
    try:
        return walker.load(), tuple(sorted(walker.left_out))
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
            MemoryError, RecursionError) as error:
        raise BadInput(f"{name} cannot be read without running code ({error}). Open it where it was made and save the "
                       "weights alone: torch.save(model.state_dict(), 'weights.pt').") from None


def tensors(name: str, archive: zipfile.ZipFile, described: dict[str, Stored]) -> dict[str, Tensor]:
    """The tensors read; those that share a storage in the file share it here. Raises BadInput if one claims too much."""
    root = root_of(archive)
    storages: dict[tuple[str, torch.dtype], Tensor] = {}
    if f"{root}byteorder" in archive.namelist() and member(name, archive, f"{root}byteorder") != b"little":
        raise BadInput(f"{name} was written on a big-endian machine. Open it there and save the state dict alone.")
    read: dict[str, Tensor] = {}
    for key, tensor in described.items():
        place = (tensor.storage, tensor.dtype)
        if place not in storages:
            storages[place] = numbers(member(name, archive, f"{root}data/{tensor.storage}"), tensor.dtype)
        read[key] = strided(f"{name}, {key}", storages[place], tensor.shape, tensor.stride, tensor.offset)
    return read


class _Walker(pickle._Unpickler):
    """A pickle reader that looks nothing up and calls nothing."""

    dispatch = {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _PLAIN.split()}

    def __init__(self, file):
        super().__init__(file)
        self.left_out: set[str] = set()

    def find_class(self, module: str, name: str) -> Reference:
        return Reference(f"{module}.{name}")

    def persistent_load(self, key: Any) -> tuple:
        kind, storage, member_name, *_ = key
        if kind != "storage" or not isinstance(storage, Reference) or not isinstance(member_name, str):
            raise pickle.UnpicklingError("a reference that is no storage")
        return (member_name, storage.name)

    def _made(self, what: Any, arguments: Any) -> Any:
        if not isinstance(what, Reference) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call of something that is no name")
        if what.name == _ORDERED and not arguments:
            return OrderedDict()
        if what.name == _TENSOR:
            return _described(*arguments[:4])
        if what.name in _PARAMETERS and arguments and isinstance(arguments[0], Stored):
            return arguments[0]
        self.left_out.add(what.name)
        return Inert(what.name)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        del self.stack[-1]
        self.load_reduce()

    def load_build(self) -> None:
        del self.stack[-1]  # the state of an object: forgotten

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, values: list) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def load_setitem(self) -> None:
        value = self.stack.pop()
        self._set([self.stack.pop(), value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, pairs: list) -> None:
        target = self.stack[-1].items if isinstance(self.stack[-1], Inert) else self.stack[-1]
        if type(target) in (dict, OrderedDict):
            target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def load_additems(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is set:
            self.stack[-1].update(values)

    dispatch |= {
        pickle.REDUCE[0]: load_reduce, pickle.NEWOBJ[0]: load_reduce, pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BUILD[0]: load_build, pickle.APPEND[0]: load_append, pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems, pickle.ADDITEMS[0]: load_additems,
    }


def _described(storage: tuple, offset: int, shape: tuple, stride: tuple) -> Stored:
    key, kind = storage
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor whose shape and strides are no whole numbers")
    dtype = _STORAGES.get(kind.removeprefix("torch."))
    if dtype is None:
        raise pickle.UnpicklingError(f"a tensor of the kind {kind}")
    return Stored(key, dtype, offset, tuple(shape), tuple(stride))
