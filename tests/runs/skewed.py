"""The toys, with a clock that goes wrong by as many seconds as a file says: ``LANDSCAPE_RECIPES=skewed:RECIPES``."""

import os
import time
from pathlib import Path

from toys import RECIPES

__all__ = ["RECIPES"]
_right = time.time


def _wrong() -> float:
    return _right() + float(Path(os.environ["LANDSCAPE_TEST_CLOCK"]).read_text())


time.time, time.time_ns = _wrong, lambda: int(1e9 * _wrong())
