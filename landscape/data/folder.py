"""The user's data folder: which files may be opened, and how large they may be.

``LANDSCAPE_DATA`` names the folder (default: ``data`` in the platform's user data folder of this program),
``LANDSCAPE_MAX_DATA_BYTES`` the largest file, and the largest float32 array made from one (default 2 GiB). Data beside a
checkpoint may also be named by their path, under one of the folders of ``LANDSCAPE_ROOTS``.
"""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import platformdirs

from landscape.errors import BadInput
from landscape.sharing import is_open

DEFAULT_MAX_BYTES = 2 * 2**30
SUGGESTED_FROM = 1000  # files of the folder that are looked at for the nearest right name


def data_folder() -> Path:
    """The folder in which ``file:NAME`` is looked up; it need not exist yet."""
    given = os.environ.get("LANDSCAPE_DATA", "").strip()
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_data_dir("landscape", appauthor=False)) / "data"


def max_bytes() -> int:
    """The largest data file, and the largest array in memory, in bytes."""
    given = os.environ.get("LANDSCAPE_MAX_DATA_BYTES", "").strip()
    if not given:
        return DEFAULT_MAX_BYTES
    if not given.isdecimal() or int(given) == 0:
        raise BadInput(f"LANDSCAPE_MAX_DATA_BYTES must be a positive whole number of bytes, found {given!r}.")
    return int(given)


def find(name: str) -> Path:
    """The file or folder ``name`` inside the data folder, free of links.

    Raises BadInput for a name that is absolute, has ``..``, leads out of the folder through a link, or is not
    there.
    """
    parts = PurePosixPath(name).parts + PureWindowsPath(name).parts
    absolute = name.startswith(("/", "\\", "~")) or bool(PureWindowsPath(name).drive)
    if not name.strip() or absolute or ".." in parts or not name.isprintable():
        raise BadInput("Expected the name of a file inside the data folder, without '..' and not absolute; "
                       f"found {name!r}. Copy the file into {data_folder()} and use its name there.")
    root = data_folder()
    if not root.is_dir():
        raise BadInput(f"There is no data folder {root}. Create it and copy {name!r} into it, or set "
                       "LANDSCAPE_DATA to the folder that holds your data.")
    return inside(root / name)


def roots() -> tuple[Path, ...]:
    """The folders of ``LANDSCAPE_ROOTS``, links followed; the operator has opened them for reading. None in an app that is
    open to others."""
    given = [] if is_open() else os.environ.get("LANDSCAPE_ROOTS", "").split(":")
    return tuple(Path(part).expanduser().resolve() for part in given if part.strip())


def beneath(text: str) -> Path:
    """The file or folder with the path ``text`` (relative: to the current folder) under one of the ``roots``.

    Raises BadInput for a path with ``..``, one that lies or leads elsewhere through a link, or nothing there.
    """
    path = Path(os.path.abspath(Path(text).expanduser()))
    if ".." in Path(text).parts or not text.isprintable() or not text.strip():
        raise BadInput(f"Expected a path without '..', found {text!r}. Give the full path.")
    resolved = Path(os.path.realpath(path))
    if not any(resolved.is_relative_to(root) for root in roots()):
        raise BadInput(f"{text} lies outside the folders that may be read: "
                       f"{', '.join(map(str, roots())) or 'LANDSCAPE_ROOTS is not set'}. Add its folder to LANDSCAPE_ROOTS, "
                       f"or copy it into the data folder {data_folder()} and call it file:{path.name}.")
    if not resolved.exists():
        raise BadInput(f"There is no {path.name!r} in {path.parent}. Check the spelling.")
    return resolved


def inside(path: Path) -> Path:
    """``path`` with its links followed. Raises BadInput if that leads out of data folder and ``roots``, or nowhere."""
    root = data_folder().resolve()
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to each other
        raise BadInput(f"{path.name} cannot be followed to a file ({error}). Copy the data file "
                       "itself.") from None
    if not any(resolved.is_relative_to(folder) for folder in (root, *roots())):
        raise BadInput(f"{path.name} is a link out of the data folder {data_folder()}. Copy the data file "
                       "itself into the folder.")
    try:
        resolved.lstat()
    except (OSError, ValueError):
        raise _missing(path, root) from None
    return resolved


def opened(path: Path) -> BinaryIO:
    """A data file open for reading.

    Raises BadInput unless it is a regular file inside the data folder, not empty and not above ``max_bytes``.
    """
    path, limit = inside(path), max_bytes()
    if not stat.S_ISREG(path.lstat().st_mode):  # before opening: opening a pipe waits, opening a device acts
        raise BadInput(f"{path.name} is not a regular file (a folder, pipe or device). Give the name of a "
                       "data file.")
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror}. Check the permissions of the "
                       "file.") from None
    file = os.fdopen(handle, "rb")
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= limit:
        file.close()
        if found.st_size == 0:
            raise BadInput(f"{path.name} is empty (0 bytes). Copy the data file again.")
        raise too_large(path.name, found.st_size)
    return file


def too_large(name: str, found: int) -> BadInput:
    """The error for data of ``found`` bytes, above the limit."""
    return BadInput(f"{name} holds {found:,} bytes; the limit is {max_bytes():,}. Use a smaller part of the "
                    "data, or raise LANDSCAPE_MAX_DATA_BYTES.")


def _missing(path: Path, root: Path) -> BadInput:
    names = []
    for here, folders, files in os.walk(root):
        names += [str((Path(here) / name).relative_to(root)) for name in (*folders, *files)]
        if len(names) >= SUGGESTED_FROM:
            break
    wanted = path.name if not path.is_relative_to(data_folder()) else str(path.relative_to(data_folder()))
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f" Did you mean file:{near[0]}?" if near else ""
    return BadInput(f"There is no {wanted!r} in the data folder {data_folder()}.{hint} Copy the file into "
                    "it, or set LANDSCAPE_DATA to the folder that holds your data.")
