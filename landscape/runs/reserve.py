"""A little room that is kept on the disk of the store: for the ends of runs, and for deleting once all the rest is taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from landscape.runs.home import DiskFull

NAME, SIZE = "reserve", 2**21  # a file in the store's folder and its bytes


def hold(home: Path) -> None:
    """Keep the room if it is not kept already. Raises OSError where there is none."""
    path = home / NAME
    if path.exists():
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, SIZE)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)


def spend(home: Path, act: Callable[[], None]) -> None:
    """Call ``act``; if the disk is full, once more in the room that was kept. Raises DiskFull if there is none left."""
    try:
        act()
    except DiskFull:
        if not (path := home / NAME).exists():
            raise
        path.unlink()
        act()
