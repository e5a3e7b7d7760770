"""The Brier score in parts: how well earned the probabilities are, how much they tell, how hard the task is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from landscape.uncertainty import binning
from landscape.uncertainty.metrics import BINS, checked


@dataclass(frozen=True)
class Parts:
    """``reliability - resolution + uncertainty + within`` is the Brier score, to rounding.

    ``reliability`` is the mean squared gap of a bin (0 is best), ``resolution`` how far the bins' frequencies are from the
    overall one (large is good), ``uncertainty`` the variance of the labels alone. ``within`` is what the three of Murphy
    (1973) miss because probabilities differ inside a bin (Stephenson et al. 2008).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float

    @property
    def total(self) -> float:
        return self.reliability - self.resolution + self.uncertainty + self.within


def brier_parts(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Parts:
    """The parts for each class's probability in bins of equal width, summed over classes."""
    probabilities, labels = checked(probabilities, labels)
    return brier_parts_of((column.astype(np.float64) for column in probabilities.T), labels, bins)


def brier_parts_of(columns: Iterable[np.ndarray], labels: np.ndarray, bins: int = BINS) -> Parts:
    """The same from each class's probability (n,) float64 in turn."""
    edges = np.linspace(0, 1, bins + 1)
    parts = np.zeros(4)
    for c, own in enumerate(columns):
        member = (labels == c).astype(np.float64)
        place = binning.placed(own, edges)
        count = np.bincount(place, minlength=bins)
        kept = np.maximum(count, 1)
        mean, frequency = np.bincount(place, own, bins) / kept, np.bincount(place, member, bins) / kept
        share, overall = count / len(labels), member.mean()
        apart = own - mean[place]
        within = (apart**2).mean() - 2 * (apart * (member - frequency[place])).mean()
        parts += [(share * (mean - frequency) ** 2).sum(), (share * (frequency - overall) ** 2).sum(),
                  overall * (1 - overall), within]
    return Parts(*map(float, parts))
