"""Bootstrap of many numbers at once: every number is a function of sums over examples, so one product resamples all.

Large sets are first divided at random into groups of equal size, which are then resampled in place of examples: sums over
groups have the same variance, and the cost no longer grows with the number of examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from landscape.errors import BadInput

MOST = 10_000  # groups


@dataclass(frozen=True)
class Interval:
    """A number, the ends of its bootstrap interval, and its standard error."""

    value: float
    low: float
    high: float
    sd: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high, "sd": self.sd}


@dataclass(frozen=True, eq=False)
class Resampler:
    """``weights`` (G, D) float32: how often each of G groups of the n examples is in each of D draws."""

    group: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, n: int, draws: int, generator: np.random.Generator, most: int = MOST) -> Resampler:
        """Raises BadInput for fewer than two draws."""
        if draws < 2:
            raise BadInput(f"Expected at least 2 bootstrap draws, found {draws}. Take 1000.")
        groups = min(n, most)
        group = np.arange(n) if groups == n else generator.permutation(np.arange(n) % groups)
        counts = np.empty((draws, groups), np.float32)
        for row in counts:
            row[:] = np.bincount(generator.integers(0, groups, groups), minlength=groups)
        return cls(group, np.ascontiguousarray(counts.T))

    def totals(self, columns: list[np.ndarray]) -> np.ndarray:
        """Sums (F, D) of F columns of values (n,) over each draw."""
        groups = len(self.weights)
        sums = np.stack([np.bincount(self.group, column, groups) for column in columns])
        return sums.astype(np.float32) @ self.weights

    def binned(self, place: np.ndarray, values: np.ndarray, bins: int) -> np.ndarray:
        """Sums (bins, D) of ``values`` over the examples of each bin, for each draw.

        ``place`` may be (n,) or (m, n) with values likewise: then an example is in m bins.
        """
        where = np.broadcast_to(self.group, place.shape)
        table = sparse.csr_array((values.ravel().astype(np.float32), (place.ravel(), where.ravel())),
                                 shape=(bins, len(self.weights)))
        return table @ self.weights

    @property
    def sizes(self) -> np.ndarray:
        """Examples (D,) in each draw."""
        return self.totals([np.ones(len(self.group))])[0]


def interval(value: float, draws: np.ndarray, level: float, centred: bool = False, least: float | None = None,
             most: float | None = None) -> Interval:
    """Percentiles of the draws (D,).

    ``centred`` shifts them by their mean's distance from the value: a calibration error grows when chance is added by
    resampling, and the plain percentiles may not even hold the value itself. ``least`` and ``most`` are what the quantity
    cannot pass.
    """
    moved = draws + (value - draws.mean()) if centred else draws
    low, high = np.quantile(moved, [(1 - level) / 2, (1 + level) / 2])
    if least is not None:
        low, high = max(low, least), max(high, least)
    if most is not None:
        low, high = min(low, most), min(high, most)
    return Interval(float(value), float(low), float(high), float(draws.std(ddof=1)))
