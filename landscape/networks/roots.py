"""Which files of this machine may be read as checkpoints, and how they are opened.

``LANDSCAPE_ROOTS`` (or ``roots`` in landscape.toml) names the folders, separated by ``:``; ``LANDSCAPE_MAX_FILE`` the
largest file in bytes (default 8 GiB). Callers add folders of their own, such as the one uploads are kept in.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from landscape.errors import BadInput
from landscape.sharing import is_open

DEFAULT_MAX_FILE = 8 * 2**30
_HOW = "Copy the file itself into one of the folders, or add its folder to LANDSCAPE_ROOTS (separated by ':')."


def roots(extra: Iterable[Path | str] = ()) -> tuple[Path, ...]:
    """The folders checkpoints may be read from: those of ``LANDSCAPE_ROOTS``, then ``extra``; absolute, as given.

    In an app that is open to others only ``extra``.
    """
    given = [] if is_open() else [part for part in os.environ.get("LANDSCAPE_ROOTS", "").split(":") if part.strip()]
    return tuple(dict.fromkeys(Path(os.path.abspath(Path(part).expanduser())) for part in (*given, *extra)))


def max_file() -> int:
    """The largest checkpoint, packed or unpacked, in bytes."""
    given = os.environ.get("LANDSCAPE_MAX_FILE", "").strip()
    if not given:
        return DEFAULT_MAX_FILE
    if not given.isdecimal() or int(given) == 0:
        raise BadInput(f"LANDSCAPE_MAX_FILE must be a positive whole number of bytes, found {given!r}.")
    return int(given)


def allowed(path: Path | str, extra: Iterable[Path | str] = (), kind: str = "file") -> Path:
    """The file (or, with ``kind="folder"``, the folder) below one of the roots, as an absolute path without links.

    A relative path is looked up in each root in turn. Raises BadInput for a path with ``..``, outside the roots
    (whether it exists there is not said), through a symbolic link below the root, missing, or no regular file.
    """
    path, places = Path(path), roots(extra)
    text = str(path)
    if not places:
        raise BadInput(f"{text!r} cannot be read: no folder is open for checkpoints. Set LANDSCAPE_ROOTS=/my/folder, or "
                       'write roots = ["/my/folder"] into landscape.toml, or upload the file.')
    if ".." in path.parts or not text.isprintable() or text in ("", "."):
        raise BadInput(f"Expected the path of a checkpoint without '..', found {text!r}. Give the full path, below one of: "
                       f"{_listed(places)}.")
    inside = [(root, part) for root in places if (part := _below(path, root)) is not None]
    if not inside:
        raise BadInput(f"{text} lies outside the folders that checkpoints may be read from: {_listed(places)}. {_HOW}")
    for root, part in inside:
        if os.path.lexists(root.resolve() / part.parts[0]) or len(inside) == 1:
            return _walked(root.resolve(), part, kind)
    raise _missing(inside[0][0].resolve(), inside[0][1])


def opened(path: Path) -> BinaryIO:
    """A checkpoint open for reading. Raises BadInput unless it is a regular file, not empty, not above ``max_file()``."""
    path = Path(path)
    try:
        kind = path.lstat().st_mode
    except (OSError, ValueError):
        raise _missing(path.parent, Path(path.name)) from None
    if not stat.S_ISREG(kind):  # before opening: opening a pipe waits, opening a device acts
        raise _not_a_file(path, kind)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror}. Check the permissions of the file.") from None
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= max_file():
        return file
    file.close()
    if not stat.S_ISREG(found.st_mode):
        raise _not_a_file(path, found.st_mode)
    if not found.st_size:
        raise BadInput(f"{path.name} is empty (0 bytes): the copy or the training run that wrote it was interrupted. Copy "
                       "or save it again.")
    raise too_large(path.name, found.st_size)


def too_large(what: str, found: int) -> BadInput:
    """The error for a file, or what it unpacks to, of ``found`` bytes."""
    return BadInput(f"{what} holds {found:,} bytes; the limit is {max_file():,}. Raise LANDSCAPE_MAX_FILE if the machine "
                    "has the memory, or save the weights without the optimizer's state.")


def _below(path: Path, root: Path) -> Path | None:
    """The part of ``path`` below ``root`` (given with or without its links followed); None if it is not below."""
    if not path.is_absolute():
        return path
    for start in (root, root.resolve()):
        if path != start and path.is_relative_to(start):
            return path.relative_to(start)
    return None


def _walked(root: Path, part: Path, kind: str) -> Path:
    here = root
    for name in part.parts:
        here = here / name
        try:
            mode = here.lstat().st_mode
        except (OSError, ValueError):
            raise _missing(root, part) from None
        if stat.S_ISLNK(mode):
            raise BadInput(f"{here} is a symbolic link; links are not followed, so that nothing outside {root} can be "
                           f"reached. {_HOW}")
    if kind == "folder" and not stat.S_ISDIR(mode):
        raise BadInput(f"{here} is not a folder. Give the folder that holds the model's config.json.")
    if kind == "file" and not stat.S_ISREG(mode):
        raise _not_a_file(here, mode)
    return here


def _not_a_file(path: Path, mode: int) -> BadInput:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISLNK: "a symbolic link", stat.S_ISFIFO: "a named pipe",
             stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    found = next((name for is_kind, name in kinds.items() if is_kind(mode)), "something else")
    return BadInput(f"Expected a regular file, {path} is {found}. Give the path of one checkpoint file.")


def _missing(root: Path, part: Path) -> BadInput:
    folder = root / part.parent
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(1000), strict=False)]
    except (OSError, ValueError):
        names = []
    near = difflib.get_close_matches(part.name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return BadInput(f"There is no file {part.name!r} in {folder}.{hint}")


def _listed(places: Iterable[Path]) -> str:
    return ", ".join(map(str, places))
