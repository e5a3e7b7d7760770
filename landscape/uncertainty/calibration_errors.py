"""The family of calibration errors: one question, several answers, so that none is read alone.

``metrics.ece`` is the plain one (top class, bins of equal width). Here: bins of equal mass, without its bias, the worst
bin, over all classes, and without bins (``kernel.kde``).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from landscape.uncertainty import binning
from landscape.uncertainty.binning import Bins
from landscape.uncertainty.metrics import BINS, checked


def top(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (n,) float64 of the most probable class, and whether it is the label (n,)."""
    probabilities, labels = checked(probabilities, labels)
    return probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels


def ece_mass(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal mass (Nixon et al. 2019, section 3)."""
    return binning.binned(*top(probabilities, labels), bins, "mass").error


def mce(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The largest gap of any bin of equal width (Guo et al. 2017, eq. 4); a bin of one example can decide it."""
    return float(np.nanmax(np.abs(binning.binned(*top(probabilities, labels), bins).gap)))


def debiased(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error without what chance adds to it; see ``debiased_error``."""
    confidence, right = top(probabilities, labels)
    return debiased_error(binning.binned(confidence, right, bins), confidence, right)


def debiased_error(found: Bins, confidence: np.ndarray, right: np.ndarray) -> float:
    """The sum of gap times sign over bins, the sign from one half of a bin's examples and the gap from the other.

    The plain error takes both from the same examples, and so counts chance as error: |S| is positive for a sum S of gaps
    that is zero on average. Here the mean is exactly 0 for a perfectly calibrated predictor (a single value may be below 0),
    and at most the true error for any other. It is the mean over all ways to divide the examples, in closed form: a half
    is S/2 plus noise of variance Q/4, Q the sum of squared gaps, so with z = S / sqrt(Q) each bin gives
    sqrt(Q) (z (2 Phi(z) - 1) - 2 phi(z)), which tends to |S|. A bin of one example says nothing.
    """
    gap = confidence - right
    sums, squares = (np.bincount(found.place, values, len(found.count)) for values in (gap, gap**2))
    root = np.sqrt(squares)
    z = sums / np.where(root > 0, root, 1)
    each = root * (z * special.erf(z / np.sqrt(2)) - np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2))
    return float(each[found.count > 1].sum() / len(gap))


def classwise(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS, rule: str = "width") -> float:
    """Mean over classes of the calibration error of each class's own probability, for all examples.

    Bins of equal width: Kull et al. 2019, section 2. ``rule="mass"`` is the adaptive error of Nixon et al. 2019, with
    ranges of equal mass in each class. With many classes most of these probabilities are near 0, and so are the errors.
    """
    probabilities, labels = checked(probabilities, labels)
    total = 0.0
    for place, gap, size in by_class(probabilities, labels, bins, rule):
        total += np.abs(np.bincount(place, gap, size)).sum()
    return float(total / probabilities.size)


def by_class(probabilities: np.ndarray, labels: np.ndarray, bins: int, rule: str):
    """For each class: the bin (n,) of its probability, probability minus membership (n,), and the number of bins."""
    for c in range(probabilities.shape[1]):
        own = probabilities[:, c].astype(np.float64)
        edges = binning.edges_of(own, bins, rule)
        yield binning.placed(own, edges), own - (labels == c), len(edges) - 1


def adaptive(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """``classwise`` in ranges of equal mass."""
    return classwise(probabilities, labels, bins, "mass")


def floor(confidence: np.ndarray, bins: int = BINS) -> float:
    """What the plain error would be on average if the predictor with these confidences were perfectly calibrated.

    Each bin's gap is then nearly normal with mean 0: a sum of |N(0, variance)|.
    """
    confidence = np.clip(np.asarray(confidence, np.float64), 0, 1)
    place = binning.placed(confidence, binning.edges_of(confidence, bins, "width"))
    variance = np.bincount(place, confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(confidence))
