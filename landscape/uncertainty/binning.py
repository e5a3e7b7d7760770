"""Examples in bins of confidence: every one in exactly one bin, whatever its confidence is.

A bin is open on the left and closed on the right, the first one closed on both sides; a confidence on an inner edge
belongs to the bin below it. Anything at or below the first edge is in the first bin, anything above the last in the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from landscape.errors import BadInput, unknown

RULES = {"width": "bins of equal width", "mass": "bins of equal numbers of examples"}
LEVEL = 0.95
_SUREST = 1e-7  # 1 - confidence that is told apart on the logarithmic axis; float32 ends here


@dataclass(frozen=True, eq=False)
class Bins:
    """n examples in B bins of confidence.

    ``edges`` (B + 1,), ``place`` (n,) is each example's bin, ``count`` (B,); ``confidence`` and ``accuracy`` (B,) are means,
    NaN in an empty bin. ``low`` and ``high`` (B,) bound the gap, see ``bands``.
    """

    rule: str
    edges: np.ndarray
    place: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Confidence minus accuracy (B,): above zero the predictor is too sure."""
        return self.confidence - self.accuracy

    @property
    def error(self) -> float:
        """The expected calibration error over these bins."""
        return float(np.nansum(self.count * np.abs(self.gap)) / self.count.sum())

    def examples(self, index: int) -> np.ndarray:
        """Which examples are in a bin, in their order. Raises BadInput for a bin that does not exist."""
        if not 0 <= index < len(self.count):
            raise BadInput(f"There is no bin {index}; choose one of 0 ... {len(self.count) - 1}.")
        return np.flatnonzero(self.place == index)


def binned(confidence: np.ndarray, right: np.ndarray, bins: int = 15, rule: str = "width", level: float = LEVEL) -> Bins:
    """The examples by ``confidence`` (n,) in [0, 1]; ``right`` (n,) is 1 where the prediction was right.

    Bins of equal mass hold ceil(n / bins) examples each (the last one the rest); examples of one confidence are never
    divided, so there may be fewer bins. Raises BadInput for no bins, another rule, or values that are not finite.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(confidence):
        raise BadInput(f"Expected confidence and right of one shape (n,) with n > 0, found {confidence.shape} and "
                       f"{right.shape}.")
    if not np.isfinite(confidence).all():
        raise BadInput(f"Expected confidences in [0, 1], found {int((~np.isfinite(confidence)).sum())} that are not finite. "
                       "Leave out predictions that failed before they are binned.")
    edges = edges_of(confidence, bins, rule)
    place = placed(confidence, edges)
    count = np.bincount(place, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(place, confidence, len(count)) / count
        accurate = np.bincount(place, right, len(count)) / count
    low, high = bands(count, sure, accurate, level)
    return Bins(rule, edges, place, count, sure, accurate, low, high)


def edges_of(values: np.ndarray, bins: int, rule: str) -> np.ndarray:
    """Edges (B + 1,) of bins in [0, 1], for ``values`` (n,) where the rule asks for them."""
    if rule not in RULES:
        raise unknown("rule for bins", rule, RULES)
    if bins < 1:
        raise BadInput(f"Expected at least 1 bin, found {bins}.")
    if rule == "width":
        return np.linspace(0, 1, bins + 1)
    ordered = np.sort(values)
    size = -(-len(ordered) // bins)
    inner = np.unique(ordered[size - 1 : -1 : size])
    return np.concatenate([[min(ordered[0], 0.0)], inner[inner < ordered[-1]], [max(ordered[-1], 1.0)]]).astype(np.float64)


def placed(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin (n,) of each value, 0 ... B - 1."""
    return np.searchsorted(edges[1:-1], values, side="left")


def bands(count: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray,
          level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of each bin's gap, (B,) twice: the mean confidence minus what the accuracy may be.

    The accuracy is drawn from a smoothed bootstrap of the bin (half an example more of right and of wrong ones: Jeffreys'
    interval), whose quantiles are known, so no draws are needed. Resampling the bin as it is would say that a bin without
    a mistake can have none, and its band would miss zero for every sure and perfectly calibrated predictor.
    """
    if not 0 < level < 1:
        raise BadInput(f"Expected a level between 0 and 1, found {level}. Take 0.95.")
    hits = np.nan_to_num(accuracy) * count
    tail = (1 - level) / 2
    ends = [special.betaincinv(hits + 0.5, count - hits + 0.5, q) for q in (tail, 1 - tail)]
    least, most = np.where(hits <= 0, 0, ends[0]), np.where(hits >= count, 1, ends[1])
    return confidence - most, confidence - least


def on_axis(confidence: np.ndarray) -> np.ndarray:
    """Where a confidence lies on the axis of log(1 - confidence), growing to the right; at 1 it stays finite."""
    return -np.log(np.maximum(1 - np.asarray(confidence, np.float64), _SUREST))


def ticks(low: float = 0.2, high: float = 0.998, count: int = 6) -> np.ndarray:
    """Confidences (count,) at equal distances on that axis: 0.200 0.759 0.927 0.978 0.993 0.998."""
    if not 0 <= low < high < 1 or count < 2:
        raise BadInput(f"Expected 0 <= low < high < 1 and at least 2 ticks, found {low}, {high}, {count}.")
    return 1 - np.exp(np.linspace(np.log(1 - low), np.log(1 - high), count))
