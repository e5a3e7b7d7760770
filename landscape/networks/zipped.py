"""Zip files as checkpoints: what they may unpack to is checked in their directory before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from landscape.errors import UNREADABLE, BadInput
from landscape.networks.roots import max_file, too_large

MAX_RATIO = 100  # of bytes unpacked to bytes packed; weights compress by 1.1 to 2
ALWAYS_FINE = 64 * 2**20  # bytes unpacked, below which the ratio does not matter (an untrained file of zeros)
MAX_MEMBERS = 200_000


def directory(name: str, file: BinaryIO, size: int) -> zipfile.ZipFile:
    """The archive in ``file`` of ``size`` bytes, its members counted and their sizes added up.

    Raises BadInput for a damaged archive, a name that occurs twice, and zip bombs: members that unpack to more than the
    size limit, at more than ``MAX_RATIO``, or that overlap.
    """
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE as error:
        raise BadInput(f"{name} is a damaged or cut off zip file ({error}). Copy or save it again.") from None
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BadInput(f"{name} is refused as a zip bomb: it has {len(members):,} members. Save a plain state dict.")
    if len({member.filename for member in members}) != len(members):
        raise BadInput(f"{name} holds two members of one name; readers could disagree on which counts. Save it again.")
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if unpacked > max_file():
        raise too_large(f"{name}, unpacked,", unpacked)
    if packed > size or (unpacked > ALWAYS_FINE and unpacked > MAX_RATIO * size):
        raise BadInput(f"{name} is refused as a zip bomb: {size:,} bytes promise {unpacked:,} unpacked. Save the weights "
                       "again with torch.save or safetensors, which do not compress.")
    return archive


def root_of(archive: zipfile.ZipFile) -> str:
    """The folder that torch puts all members into, with its slash; empty if there is none."""
    first = archive.namelist()[0] if archive.namelist() else ""
    return first.split("/", 1)[0] + "/" if "/" in first else ""


def member(name: str, archive: zipfile.ZipFile, inner: str) -> bytes:
    """One member's bytes. Raises BadInput where it is missing, damaged or cut off."""
    try:
        return archive.read(inner)
    except KeyError:
        raise BadInput(f"{name} lacks its part {inner!r}: the file is damaged. Copy or save it again.") from None
    except UNREADABLE as error:
        raise BadInput(f"{name}: its part {inner!r} cannot be read ({error}). The file is damaged; save it again.") from None


def numbers(data: bytes, dtype: torch.dtype) -> Tensor:
    """Raw little-endian bytes as a flat tensor of its own memory; an incomplete last number is left out."""
    whole = len(data) - len(data) % dtype.itemsize
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)[:whole].view(dtype) if whole else torch.empty(0, dtype=dtype)


def strided(where: str, storage: Tensor, shape: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """A view of flat ``storage``. Raises BadInput where shape and strides reach beyond what is stored."""
    if len(shape) != len(stride) or min((*shape, *stride, offset)) < 0:
        raise BadInput(f"{where}: shape {tuple(shape)}, strides {tuple(stride)} and offset {offset} make no tensor. The "
                       "file is damaged; save it again.")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if math.prod(shape) and last >= storage.numel():
        raise BadInput(f"{where}: claims the shape {tuple(shape)} where {storage.numel():,} numbers are stored. The file is "
                       "damaged or a bomb; save it again.")
    return torch.as_strided(storage, tuple(shape), tuple(stride), offset)


def arrays(name: str, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """The arrays of a .npz file as tensors, in file order; every header is checked before any array is read."""
    members = archive.infolist()
    for info in members:
        _check_array(name, archive, info)
    read: dict[str, Tensor] = {}
    for info in members:
        with archive.open(info) as stream:
            try:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            except (*UNREADABLE, ValueError) as error:
                raise BadInput(f"{name}, array {info.filename}: damaged ({error}). Write the file again.") from None
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        read[info.filename.removesuffix(".npy")] = torch.from_numpy(np.require(array, requirements=["C", "O", "W"]))
    return read


def _check_array(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    where = f"{name}, array {info.filename.removesuffix('.npy')}"
    if not info.filename.endswith(".npy"):
        raise BadInput(f"{name} holds {info.filename!r} beside its arrays. Write it with numpy.savez(name, **arrays).")
    try:
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
            stored = info.file_size - stream.tell()
    except (*UNREADABLE, ValueError, TypeError, SyntaxError, KeyError) as error:
        raise BadInput(f"{where}: no readable header ({str(error)[:120]}). Write the file again.") from None
    if dtype.hasobject or dtype.kind not in "biufc":
        raise BadInput(f"{where}: expected numbers, found dtype {dtype}. Objects would need pickle, which can run code and "
                       "is never loaded. Save numbers only: np.savez(name, **{key: value.numpy() ...}).")
    if math.prod(shape) * dtype.itemsize != stored:
        raise BadInput(f"{where}: its header claims {math.prod(shape) * dtype.itemsize:,} bytes (shape {shape}, {dtype}), "
                       f"{stored:,} are stored. The file is damaged or a bomb; write it again.")
