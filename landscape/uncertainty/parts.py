"""What the account needs of every example, gathered piece by piece: n numbers instead of n times C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landscape.uncertainty import binning
from landscape.uncertainty.decomposition import Parts, brier_parts_of
from landscape.uncertainty.entry import Predictions

_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class Gathered:
    """(n,) float64 each: ``nll`` in nats, ``brier``, ``confidence``; ``right`` (n,) bool, ``predicted`` (n,) class numbers.

    ``impossible`` labels had probability 0, in ``tied`` rows several classes share the largest output.
    """

    given: Predictions
    bins: int
    nll: np.ndarray
    brier: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    predicted: np.ndarray
    impossible: int
    tied: int
    normaliser: np.ndarray | None  # log of the sum of exponentials (n,), for logits

    @property
    def classes(self) -> int:
        return self.given.classes

    def columns(self) -> Iterator[np.ndarray]:
        """The probability (n,) float64 of each class in turn; some classes are copied at once, as rows lie together."""
        for start in range(0, self.classes, _TOGETHER):
            for own in np.ascontiguousarray(self.given.outputs[:, start : start + _TOGETHER].T):
                own = own.astype(np.float64)
                yield own if self.normaliser is None else np.exp(own - self.normaliser)

    def by_class(self, rule: str) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """For each class: the bin (n,) of its probability, probability minus membership (n,), the number of bins."""
        for c, own in enumerate(self.columns()):
            edges = binning.edges_of(own, self.bins, rule)
            yield binning.placed(own, edges), own - (self.given.labels == c), len(edges) - 1

    def brier_parts(self) -> Parts:
        return brier_parts_of(self.columns(), self.given.labels, self.bins)


def gathered(given: Predictions, bins: int) -> Gathered:
    """The numbers of each example; logits are never turned into probabilities where their logarithm is asked for."""
    n = len(given)
    nll, brier, confidence, normaliser = (np.empty(n) for _ in range(4))
    predicted, impossible, tied = np.empty(n, np.intp), 0, 0
    for which, rows in given.pieces():
        labels = given.labels[which]
        at = np.arange(len(labels))
        best = rows.argmax(1)
        top = rows[at, best]
        tied += int(((rows == top[:, None]).sum(1) > 1).sum())
        if given.kind == "logits":
            below = rows.astype(np.float64)
            below -= top[:, None]
            p = np.exp(below)
            total = p.sum(1)
            p /= total[:, None]
            nll[which], normaliser[which] = np.log(total) - below[at, labels], top + np.log(total)
        else:
            p = rows
            impossible += int((rows[at, labels] < np.finfo(rows.dtype).tiny).sum())
            nll[which] = -given.logits(which)[at, labels]
        own = p[at, labels].astype(np.float64)
        brier[which] = np.einsum("nc,nc->n", p, p, dtype=np.float64) - 2 * own + 1
        confidence[which], predicted[which] = p[at, best], best
    brier, nll = np.maximum(brier, 0), np.maximum(nll, 0)
    return Gathered(given, bins, nll, brier, confidence, predicted == given.labels, predicted, impossible, tied,
                    normaliser if given.kind == "logits" else None)
