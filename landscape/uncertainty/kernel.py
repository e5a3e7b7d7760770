"""A calibration error without bins: accuracy as a smooth function of confidence (Popordanoska et al. 2022).

The weight of an example with confidence u for the accuracy at c is the Beta density with parameters c/h + 1 and
(1 - c)/h + 1 at u, which respects both ends of [0, 1]. Examples are first counted in cells of confidence, so the cost does
not grow with the square of their number; each example is left out of its own estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

CELLS = 256
WIDTHS = tuple(float(h) for h in np.geomspace(3e-4, 0.1, 11))


@dataclass(frozen=True, eq=False)
class Smooth:
    """Cells (G,) of confidence: their centres, counts, mean gap and the smooth ``accuracy`` (NaN where nothing is near)."""

    error: float
    width: float
    centre: np.ndarray
    count: np.ndarray
    accuracy: np.ndarray


def kde(confidence: np.ndarray, right: np.ndarray, width: float | None = None) -> Smooth:
    """The error and the smooth curve. ``width`` h is chosen by the likelihood of left-out examples unless it is given."""
    cell = cells(confidence)
    count, hits = np.bincount(cell, minlength=CELLS), np.bincount(cell, right, CELLS)
    sums = np.bincount(cell, confidence, CELLS)
    width = best_width(count, hits) if width is None else width
    shared, wins = matrix(width) @ count, matrix(width) @ hits
    with np.errstate(invalid="ignore"):
        accuracy = np.where(shared > 1e-12, wins / shared, np.nan)
    error = errors(count[:, None], hits[:, None], sums[:, None], width)[0]
    return Smooth(float(error), width, (np.arange(CELLS) + 0.5) / CELLS, count, accuracy)


def cells(confidence: np.ndarray) -> np.ndarray:
    """The cell (n,) of each confidence."""
    return np.clip((np.asarray(confidence) * CELLS).astype(np.intp), 0, CELLS - 1)


def errors(count: np.ndarray, hits: np.ndarray, sums: np.ndarray, width: float) -> np.ndarray:
    """The error (D,) of D samples given by their cells (G, D): examples, right ones, sums of confidence.

    It is the mean of |confidence - accuracy of the others nearby|; an example with no other nearby has no estimate and is
    left out of the mean.
    """
    weights = matrix(width).astype(count.dtype if count.dtype.kind == "f" else np.float64)
    own = np.diag(weights)[:, None]
    shared, wins = weights @ count - own, weights @ hits  # without the example itself
    known = (count > 0) & (shared > 1e-6 * own)
    safe, kept = np.where(known, shared, 1), np.where(known, count, 0)
    sure = sums / np.maximum(count, 1)
    right, wrong = np.abs(sure - np.maximum(wins - own, 0) / safe), np.abs(sure - wins / safe)
    total = np.where(known, hits * right + (count - hits) * wrong, 0).sum(0)
    return total / np.maximum(kept.sum(0), 1)


def best_width(count: np.ndarray, hits: np.ndarray) -> float:
    """Of ``WIDTHS`` the one under which left-out examples (G,) are most likely to be right or wrong as they were."""
    return max(WIDTHS, key=lambda width: _likelihood(count, hits, matrix(width)))


def _likelihood(count: np.ndarray, hits: np.ndarray, weights: np.ndarray) -> float:
    own = np.diag(weights)
    shared, wins = weights @ count - own, weights @ hits
    half = 0.5 * own.clip(min=1e-300)  # half an example of each kind keeps the logarithms finite
    known = np.maximum(shared, 0) + 2 * half
    right, wrong = (np.maximum(wins - own, 0) + half) / known, (np.maximum(shared - wins, 0) + half) / known
    return float((hits * np.log(right) + (count - hits) * np.log(wrong)).sum())


@lru_cache(maxsize=16)
def matrix(width: float) -> np.ndarray:
    """Weights (G, G): row c, column u; each row's largest is 1."""
    u = (np.arange(CELLS) + 0.5) / CELLS
    c = u[:, None]
    log = special.xlogy(c / width, u) + special.xlog1py((1 - c) / width, -u)
    return np.exp(log - log.max(1, keepdims=True))
