"""One format, one file.

A reader takes a path inside the data folder and returns its ``Contents``; it never runs code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POOL = "all"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds, as stored: raw inputs (n, ...) and targets (n,) or (n, targets) of each set.

    ``sets`` has the one key ``all`` (not divided yet), or ``train`` with ``test`` and ``validation`` where
    the file has them. ``classes`` are the names of classes 0, 1, ... if the file names them.
    """

    sets: dict[str, tuple[np.ndarray, np.ndarray]]
    classes: tuple[str, ...] = ()
