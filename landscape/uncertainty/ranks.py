"""Ranks, and how alike metrics order the runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.errors import BadInput


def ranked(values: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def rank_correlation(values: Mapping[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Spearman's correlation (M, M) of M metrics over R runs, each (R,).

    NaN where one is constant or fewer than 3 runs have both. Raises BadInput if the metrics are of different runs.
    """
    names, columns = list(values), [np.asarray(each, np.float64) for each in values.values()]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise BadInput(f"Expected one value of every metric for every run, found shapes {[c.shape for c in columns]}.")
    found = np.full((len(names), len(names)), np.nan)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() >= 3:
                x, y = ranked(a[both]), ranked(b[both])
                spread = x.std() * y.std()
                found[i, j] = np.mean((x - x.mean()) * (y - y.mean())) / spread if spread else np.nan
    return names, found
