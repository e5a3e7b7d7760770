"""Learning-rate schedules: the factor on the base rate at a share ``progress`` in [0, 1) of the run."""

from __future__ import annotations

import math


def constant(progress: float) -> float:
    return 1.0


def linear(progress: float) -> float:
    """One up to one half, then linear to 0.01 at nine tenths, then 0.01 (Garipov et al. 2018; Izmailov et al. 2018)."""
    return 1.0 - 0.99 * min(max(progress - 0.5, 0.0) / 0.4, 1.0)


def cosine(progress: float) -> float:
    """Half a cosine, one to zero (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))
