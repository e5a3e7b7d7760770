"""Checkpoint files as named tensors: safetensors, torch state dicts in all their wrappings, npz, torch.export programs.

Nothing in a file is ever executed. The contents decide what a file is, not its name. ``torch.load`` is called here
alone, with ``weights_only=True``; what it refuses is read by ``inert``, or not at all.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks import inert, programs, zipped
from landscape.networks.roots import allowed, max_file, opened
from landscape.networks.wrappings import HOW, unwrapped

__all__ = ["Checkpoint", "allowed", "not_finite", "read"]

MAPPED_FROM = 256 * 2**20  # bytes; smaller files are read whole, so that nobody can change them under our feet
MAX_STRETCH = 8  # tensors may be views of one storage (tied weights); beyond this many times the file it is a bomb
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # after the protocol's two bytes: the magic number of torch before 1.6
OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself. Run: git lfs pull",
    b"<": "a web page or XML text. The download probably asked for a login; download the file itself again",
    b"{": "JSON text. Give the .safetensors or .bin files that hold the weights; an index only names them",
    b"[": "JSON text. Give the file that holds the weights",
    b"\x89HDF": "HDF5 (Keras). Convert it: np.savez('weights.npz', **{name: array ...})",
    b"\x1f\x8b": "gzip. Unpack it first",
    b"\x93NUMPY": "a single numpy array without a name. Save named arrays with np.savez",
    b"GGUF": "GGUF. Convert it to safetensors first",
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds. ``tensors`` are on the CPU, in file order, in the dtypes they were saved in.

    ``metadata`` are the texts of a safetensors header, ``notes`` sentences on what was unwrapped, renamed or ignored,
    ``size`` the file's bytes.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    notes: tuple[str, ...]
    size: int


def read(path: Path | str, entry: str | None = None) -> Checkpoint:
    """The named tensors of a checkpoint; ``entry`` chooses among several networks in one file.

    The caller asks ``allowed`` first where the path comes from outside. Raises BadInput for what is no checkpoint,
    would run code, is damaged, or is larger (packed, unpacked or as claimed by its header) than ``LANDSCAPE_MAX_FILE``.
    """
    path = Path(path)
    with opened(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(512)
        file.seek(0)
        metadata: dict[str, str] = {}
        if head.startswith(b"PK\x03\x04"):
            tensors, notes = _zip(path, file, size, entry)
        elif head[2:].startswith(LEGACY) and head[:1] == b"\x80":
            tensors, notes = unwrapped(path.name, _torch_load(path, file, legacy=True), entry)
        elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
            tensors, metadata = _safetensors(path, file, size)
            tensors, notes = unwrapped(path.name, tensors, entry)
        else:
            raise _other(path.name, head)
    return Checkpoint(path, _checked(path.name, tensors, size), metadata, tuple(notes), size)


def not_finite(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Names of the tensors with NaN or infinite entries, and how many they have."""
    found = {}
    for name, tensor in tensors.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not torch.isfinite(tensor.sum()):
            bad = tensor.numel() - int(torch.isfinite(tensor).sum())
            if bad:  # the sum of finite numbers may overflow
                found[name] = bad
    return found


def _zip(path: Path, file: BinaryIO, size: int, entry: str | None) -> tuple[dict[str, Tensor], list[str]]:
    with zipped.directory(path.name, file, size) as archive:
        names, root = archive.namelist(), zipped.root_of(archive)
        if f"{root}constants.pkl" in names:
            raise BadInput(f"{path.name} is a TorchScript program, which carries code. In Python: "
                           "torch.save(torch.jit.load(path).state_dict(), 'weights.pt').")
        if programs.is_program(archive):
            return dict(programs.tensors(path.name, archive)), ["The weights of a torch.export program."]
        if f"{root}data.pkl" in names:
            return _torch_zip(path, file, archive, entry)
        if names and any(name.endswith(".npy") for name in names):
            return unwrapped(path.name, zipped.arrays(path.name, archive), entry)
    found = ", ".join(names[:3]) or "nothing"
    raise BadInput(f"{path.name} is a zip file, but neither of torch nor of numpy; it holds {found}. "
                   "Give the checkpoint inside it.")


def _torch_zip(path: Path, file: BinaryIO, archive: zipfile.ZipFile, entry: str | None) -> tuple[dict, list[str]]:
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    file.seek(0)
    try:
        contents = _torch_load(path, file, mapped=not packed and os.fstat(file.fileno()).st_size > MAPPED_FROM)
    except pickle.UnpicklingError:
        contents, left_out = inert.load(path.name, archive)
        described, notes = unwrapped(path.name, contents, entry)
        shown = ", ".join(left_out[:4]) + (f" and {len(left_out) - 4} more" if len(left_out) > 4 else "")
        said = [f"The file also holds Python objects ({shown}); nothing of them was loaded or run."] if left_out else []
        return inert.tensors(path.name, archive, described), [*notes, *said]
    return unwrapped(path.name, contents, entry)


def _torch_load(path: Path, file: BinaryIO, mapped: bool = False, legacy: bool = False) -> Any:
    """What torch reads without running code. UnpicklingError of a zip file goes on to the inert reader."""
    source, options = (str(path), {"mmap": True}) if mapped else (file, {})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(source, map_location="cpu", weights_only=True, **options)
    except pickle.UnpicklingError as error:
        if not legacy:
            raise
        raise BadInput(f"{path.name} holds Python objects besides tensors, which could run code and were not loaded "
                       f"({_first_line(error)}). Where you trust the file, open it with its own code. {HOW}") from None
    except Exception as error:  # torch and the file's own numbers raise many kinds; all mean that it cannot be read
        raise BadInput(f"{path.name} is damaged or cut off ({_first_line(error)}). Copy or save it again.") from None


def _safetensors(path: Path, file: BinaryIO, size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors in file order and the header's metadata; the library checks every offset against the file's size."""
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise BadInput(f"{path.name}: its header claims {length:,} bytes, the whole file has {size:,}. It is cut off or no "
                       "safetensors file; copy it again.")
    try:
        header = json.loads(file.read(length))
        file.seek(0)
        if size > MAPPED_FROM:
            with safetensors.safe_open(path, framework="pt", device="cpu") as source:
                return {key: source.get_tensor(key) for key in source.offset_keys()}, dict(source.metadata() or {})
        tensors = safetensors.torch.load(file.read())
    except (safetensors.SafetensorError, ValueError, RecursionError, KeyError, OverflowError) as error:
        raise BadInput(f"{path.name} is no valid safetensors file ({_first_line(error)}): its header does not fit what is "
                       "stored. It is damaged, cut off or a bomb; copy or save it again.") from None
    metadata = header.pop("__metadata__", None) or {}
    return {key: tensors[key] for key in sorted(tensors, key=lambda k: header[k]["data_offsets"][0])}, metadata


def _checked(name: str, tensors: dict[str, Any], size: int) -> dict[str, Tensor]:
    """Plain dense CPU tensors that together claim no more than a few times the file."""
    claimed = 0
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_nested:
            raise BadInput(f"{name}: {key} is not a plain dense tensor (layout {tensor.layout}, device {tensor.device}, "
                           f"{tensor.dtype}). Save dense weights: {{k: v.dequantize() or v.to_dense() ...}}.")
        claimed += tensor.numel() * tensor.element_size()
    if claimed > MAX_STRETCH * size + 2**20 or claimed > MAX_STRETCH * max_file():
        raise BadInput(f"{name} is refused as a shape bomb: its tensors claim {claimed:,} bytes, the file has {size:,}. "
                       "Save the weights again with {key: value.clone() ...}.")
    return {key: tensor.detach() for key, tensor in tensors.items()}


def _other(name: str, head: bytes) -> BadInput:
    text = head.lstrip()
    for start, found in OTHERS.items():
        if text.startswith(start):
            return BadInput(f"{name} is {found}.")
    if head[257:262] == b"ustar":
        return BadInput(f"{name} is a tar archive, or was saved by a torch before 0.1.10. Unpack it, or save it again.")
    if head[:1] == b"\x80":
        return BadInput(f"{name} is a Python pickle that torch.save did not write; unpickling can run code and is never "
                        f"done. {HOW}")
    return BadInput(f"{name} is no checkpoint that is read here (it starts with {head[:8]!r}). Expected .safetensors, a "
                    f"state dict by torch.save, .npz or a torch.export program. {HOW}")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    wanted = next((line for line in lines if "GLOBAL" in line), lines[0] if lines else type(error).__name__)
    return wanted.split("WeightsUnpickler error:")[-1].split("Please use")[0].strip()[:200]
