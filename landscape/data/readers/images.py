"""A folder of pictures: ``CLASS/NAME.png``, or the same in ``train/``, ``validation/`` (``val/``) and ``test/``.

Classes are the names of the folders in alphabetical order. All pictures need one size; grey ones have one channel, unless
some are in colour. Sizes are read off the headers before any picture is unpacked.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from landscape.data.folder import max_bytes, opened, too_large
from landscape.data.readers import POOL, Contents
from landscape.errors import BadInput

FORMATS = ("PNG", "JPEG", "BMP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")
SETS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
GREY = ("1", "L")  # modes of pictures without colour
COLOUR = ("RGB", "RGBA", "P", "CMYK", "YCbCr", "LA", "PA")
EXPECTED = "Expected FOLDER/CLASS/NAME.png, or FOLDER/train/CLASS/NAME.png beside FOLDER/test/CLASS/NAME.png."


def is_images(path: Path) -> bool:
    """Whether a folder has folders with pictures, one or two levels down."""
    return path.is_dir() and any(_pictures(each) for folder in _folders(path) for each in (folder, *_folders(folder)))


def read(path: Path) -> Contents:
    """Pictures (n, 1 or 3, height, width) uint8 and class numbers of each set.

    Raises BadInput, naming the file, for a picture that is damaged, of another size, or of no format read here.
    """
    found = {folder.name.lower(): folder for folder in _folders(path)}
    named = {SETS[name]: folder for name, folder in found.items() if name in SETS and not _pictures(folder)}
    sets = named if named and len(named) == len(found) else {POOL: path}
    classes = tuple(sorted({folder.name for part in sets.values() for folder in _folders(part) if _pictures(folder)}))
    files = {which: [(file, classes.index(folder.name)) for folder in _folders(part) for file in _pictures(folder)]
             for which, part in sets.items()}
    files = {which: pairs for which, pairs in files.items() if pairs}
    shape = _shape([file for pairs in files.values() for file, _ in pairs])
    return Contents({which: _set(pairs, shape) for which, pairs in files.items()}, classes)


def _shape(files: list[Path]) -> tuple[int, int, int]:
    """(channels, height, width) of all pictures, from their headers."""
    size, colour = None, False
    for file in files:
        with opened(file) as stream:
            picture = _header(file, stream)
            if picture.mode not in (*GREY, *COLOUR):
                raise BadInput(f"{file.parent.name}/{file.name} has pixels of type {picture.mode!r}; expected 8 bits a "
                               "channel. Convert the pictures, or store the numbers as npz.")
            if size is not None and picture.size != size:
                raise BadInput(f"{file.parent.name}/{file.name} has {picture.size[0]}x{picture.size[1]} pixels, the "
                               f"pictures before it {size[0]}x{size[1]}. Crop or scale all of them to one size first.")
            size, colour = picture.size, colour or picture.mode not in GREY
    shape = (3 if colour else 1, size[1], size[0])
    needed = 4 * len(files) * shape[0] * shape[1] * shape[2]
    if needed > max_bytes():
        raise too_large(f"{files[0].parent.parent.name}, unpacked,", needed)
    return shape


def _set(pairs: list[tuple[Path, int]], shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    x = np.empty((len(pairs), *shape), np.uint8)
    for i, (file, _) in enumerate(pairs):
        with opened(file) as stream:
            picture = _header(file, stream)
            try:
                pixels = np.asarray(picture.convert("L" if shape[0] == 1 else "RGB"))
            except Exception as error:  # a damaged picture can raise anything
                raise _damaged(file, error) from None
        x[i] = pixels[None] if shape[0] == 1 else np.moveaxis(pixels, 2, 0)
    return x, np.array([label for _, label in pairs], np.int64)


def _header(file: Path, stream: BinaryIO):
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(stream, formats=FORMATS)
    except Exception as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> BadInput:
    return BadInput(f"{file.parent.name}/{file.name} is no picture that is read here ({', '.join(FORMATS)}): "
                    f"{str(error)[:200]}. Remove it or save it again. {EXPECTED}")


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _pictures(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.lower().endswith(SUFFIXES))
