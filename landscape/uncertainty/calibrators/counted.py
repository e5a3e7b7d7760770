"""Curves that are counted, not chosen: histogram binning (Zadrozny and Elkan 2001) and isotonic regression (2002).

Both are made for each class against the rest and then divided by their sum. A frequency of 0 would be an infinite NLL for
the first example that proves it wrong, so one more example, shared by all classes, is counted everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import softmax

from landscape.errors import BadInput
from landscape.uncertainty import binning
from landscape.uncertainty.calibrators.calibrator import Calibrator, fitting, softened


@dataclass(frozen=True, eq=False)
class Steps(Calibrator):
    """For each class the ``values`` between ``edges`` of its probability (isotonic: linear between points)."""

    edges: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    kind: str

    def logits(self, logits: np.ndarray) -> np.ndarray:
        p = softmax(self.taken(logits), axis=1)
        curves = [self._curve(p[:, c], c) for c in range(self.classes)]
        return np.log(np.stack(curves, axis=1))

    def _curve(self, own: np.ndarray, c: int) -> np.ndarray:
        if self.kind == "isotonic":
            return np.interp(own, self.edges[c], self.values[c])
        return self.values[c][binning.placed(own, self.edges[c])]


def fit_isotonic(logits: np.ndarray, labels: np.ndarray) -> Steps:
    """The growing curve of least squared error for each class."""
    logits, labels = fitting(logits, labels)
    p, classes = softmax(logits, axis=1), logits.shape[1]
    pairs = [_growing(p[:, c], labels == c, classes) for c in range(classes)]
    return Steps(classes, tuple(x for x, _ in pairs), tuple(y for _, y in pairs), "isotonic")


def _growing(own: np.ndarray, member: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Corner points of the curve: equal probabilities are one point, blocks are kept by their ends."""
    x, place, count = np.unique(own, return_inverse=True, return_counts=True)
    y = isotonic_regression(np.bincount(place, member) / count, weights=count.astype(np.float64)).x
    starts = np.r_[True, np.diff(y) > 0]
    block = np.cumsum(starts) - 1
    y = softened(y[starts], np.bincount(block, count), classes)[block]  # each block by the examples it has
    y = np.maximum.accumulate(y)
    ends = np.r_[True, y[1:-1] != y[:-2], True] | np.r_[True, y[1:-1] != y[2:], True] if len(y) > 1 else np.array([True])
    return x[ends], y[ends]


def fit_histogram(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> Steps:
    """In bins of equal mass of each class's probability, how often it was that class."""
    if bins < 1:
        raise BadInput(f"Expected at least 1 bin, found {bins}.")
    logits, labels = fitting(logits, labels)
    p, classes = softmax(logits, axis=1), logits.shape[1]
    edges = tuple(binning.edges_of(p[:, c], bins, "mass") for c in range(classes))
    values = []
    for c in range(classes):
        place = binning.placed(p[:, c], edges[c])
        count = np.bincount(place, minlength=len(edges[c]) - 1)
        hits = np.bincount(place, labels == c, len(count))
        values.append(softened(hits / np.maximum(count, 1), count, classes))
    return Steps(classes, edges, tuple(values), "histogram")
