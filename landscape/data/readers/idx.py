"""IDX files, the format of MNIST: a big-endian header (type, number of axes, their lengths), then the values.

Images and labels come as two files whose names differ in ``images``/``labels`` and ``idx3``/``idx1``; a
training pair may stand beside a test pair (``t10k`` or ``test``). Each may be gzipped.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from landscape.data.folder import max_bytes, opened, too_large
from landscape.data.readers import POOL, Contents
from landscape.errors import BadInput

# Type codes of the format.
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 4
NAMED = ("Names are like train-images-idx3-ubyte[.gz] beside train-labels-idx1-ubyte[.gz] (t10k-... for the "
         "test pair).")
_NUMBER = re.compile(r"idx\d", re.IGNORECASE)


def read(path: Path) -> Contents:
    """The pair that ``path`` (images or labels) belongs to, and the test pair beside a training pair.

    ``path`` may be a folder, then its training images are taken. Raises BadInput if a partner is missing, or
    for a file with a wrong magic number, more or fewer bytes than its header says, or above the size limit.
    """
    images = _images_of(path)
    train = (array(images), array(_labels_of(images)))
    test = _test_of(images)
    if test is None:
        return Contents({POOL: train})
    return Contents({"train": train, "test": (array(test), array(_labels_of(test)))})


def array(path: Path) -> np.ndarray:
    """The array of one IDX file, gzipped or not, in native byte order; sizes are checked before memory is
    taken.
    """
    with opened(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return parse(path.name, gzip.GzipFile(fileobj=file) if zipped else file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadInput(f"{path.name} is not a whole gzip file ({error}). Copy the file again.") from None


def parse(name: str, file: BinaryIO) -> np.ndarray:
    """The array of an open IDX stream. Raises BadInput for anything but exactly one whole array."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES or not 1 <= head[3] <= MAX_AXES:
        raise BadInput(f"{name} is not an IDX file: expected two zero bytes, a type code "
                       f"({', '.join(f'0x{code:02X}' for code in DTYPES)}) and 1 to {MAX_AXES} axes, found "
                       f"bytes {head.hex(' ') or 'none'}. {NAMED}")
    lengths = file.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise BadInput(f"{name} ends within its header (IDX of {head[3]} axes). Copy the file again.")
    shape, dtype = struct.unpack(f">{head[3]}I", lengths), np.dtype(DTYPES[head[2]])
    expected = math.prod(shape) * dtype.itemsize
    if max(expected, 4 * math.prod(shape)) > max_bytes():
        raise too_large(f"{name}, as its header says (shape {shape}),", max(expected, 4 * math.prod(shape)))
    values = _up_to(file, expected)
    if len(values) < expected or file.read(1):
        found = f"only {len(values):,}" if len(values) < expected else "more"
        raise BadInput(f"{name}: its header says {expected:,} bytes of values (shape {shape}), found "
                       f"{found}. The file is cut off or damaged; copy it again.")
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _up_to(file: BinaryIO, count: int) -> bytearray:
    """At most ``count`` bytes; memory grows with what arrives, not with what a header promises."""
    values = bytearray()
    while len(values) < count and (part := file.read(min(count - len(values), 2**20))):
        values += part
    return values


def is_idx(path: Path) -> bool:
    """Whether a file is named like one, or a folder holds images named so."""
    if path.is_dir():
        return bool(_folder_images(path))
    return bool(re.search(r"idx\d|ubyte", path.name, re.IGNORECASE))


def _folder_images(folder: Path) -> list[Path]:
    """Image files of a folder, training first."""
    found = [path for path in folder.iterdir() if "images" in path.name and is_idx(path) and path.is_file()]
    return sorted(found, key=lambda path: (not path.name.startswith("train"), path.name))


def _images_of(path: Path) -> Path:
    if path.is_dir():
        return _folder_images(path)[0]
    if "images" in path.name:
        return path
    return _partner(path, "labels", "images", "idx3")


def _labels_of(images: Path) -> Path:
    return _partner(images, "images", "labels", "idx1")


def _partner(path: Path, word: str, other: str, number: str) -> Path:
    name = _NUMBER.sub(number, path.name.replace(word, other))
    found = _beside(path, name) if word in path.name else None
    if found is None:
        raise BadInput(f"{path.name} needs its {other} beside it, expected {name!r} (or with .gz). {NAMED}")
    return found


def _test_of(images: Path) -> Path | None:
    if "train" not in images.name:
        return None
    names = (images.name.replace("train", word) for word in ("t10k", "test"))
    return next((found for name in names if (found := _beside(images, name))), None)


def _beside(path: Path, name: str) -> Path | None:
    """The file ``name`` in the folder of ``path``, gzipped or not."""
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, f"{plain}.gz"):
        if (path.parent / candidate).exists():
            return path.parent / candidate
    return None
