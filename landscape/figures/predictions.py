"""What class probabilities say, in numbers: who is right, how sure, how well that is earned. No drawing here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.errors import BadInput
from landscape.results import Opened

BINS = 15
SMALLEST = 1e-38  # smallest probability of the true class that is told apart from zero: float32 ends here


@dataclass(frozen=True, eq=False)
class Bins:
    """Test examples by their confidence, in equal-width bins of [0, 1]; every example is in exactly one.

    ``edges`` (B + 1,), ``count`` (B,); ``confidence`` and ``accuracy`` (B,) are means, NaN in an empty bin. ``error`` is
    the expected calibration error, the mean of |accuracy - confidence| weighted by count (Guo et al. 2017, equation 3).
    ``chance`` is what a perfectly calibrated network with these confidences would show on as many examples: the error is
    a mean of absolute values and never 0 by luck.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float
    chance: float


def classified(seen: Opened) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(probabilities (n, C), targets (n,), predicted (n,))``. Raises BadInput for a regression."""
    if seen.info.get("kind") != "classification" or seen.outputs.ndim != 2:
        raise BadInput(f"Expected class probabilities (examples, classes), found {seen.info.get('kind')!r} outputs of shape "
                       f"{seen.outputs.shape}: choose a network of a classification task.")
    probabilities = np.asarray(seen.outputs, np.float64)
    return probabilities, np.asarray(seen.targets).astype(int).ravel(), probabilities.argmax(axis=1)


def names_of(seen: Opened) -> list[str]:
    """The names of the classes; their numbers where they have none."""
    given = list(map(str, seen.info.get("classes") or ()))
    return given if len(given) == seen.outputs.shape[1] else [str(k) for k in range(seen.outputs.shape[1])]


def binned(seen: Opened, bins: int = BINS) -> Bins:
    """The examples by confidence. A confidence on an edge belongs to the bin above it, confidence 1 to the last one."""
    probabilities, targets, predicted = classified(seen)
    sure = probabilities[np.arange(len(targets)), predicted]
    right = (predicted == targets).astype(float)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, sure, bins) / count
        accuracy = np.bincount(place, right, bins) / count
    spread = np.bincount(place, sure * (1 - np.minimum(sure, 1)), bins)
    n = max(len(sure), 1)
    error = float(np.nansum(count * np.abs(accuracy - confidence)) / n)
    chance = float(np.sqrt(2 / np.pi * np.maximum(spread, 0)).sum() / n)  # each gap is nearly normal
    return Bins(edges, count, confidence, accuracy, error, chance)


def nll(seen: Opened) -> np.ndarray:
    """(n,) nats of every test example: minus the logarithm of the true class's probability."""
    probabilities, targets, _ = classified(seen)
    return -np.log(np.maximum(probabilities[np.arange(len(targets)), targets], SMALLEST))


def calibration_in_words(seen: Opened) -> str:
    """How sure, how often right, and whether that is more than chance would explain."""
    probabilities, targets, predicted = classified(seen)
    found = binned(seen)
    sure, right = float(probabilities.max(axis=1).mean()), float((predicted == targets).mean())
    if found.error <= 1.5 * found.chance:
        verdict = "as well calibrated as can be told"
    else:
        lean = "over" if sure > right else "under"
        verdict = f"{lean}confident by {abs(sure - right):.1%} on average"
    return (f"Right on {right:.1%} of {len(targets):,} test examples, sure of {sure:.1%} on average: {verdict}. "
            f"ECE {found.error:.3f} in {len(found.count)} bins, where a perfectly calibrated network would show about "
            f"{found.chance:.3f}; NLL {nll(seen).mean():.3g} nats.")


def agreement(a: Opened, b: Opened) -> float:
    """The share of test examples of which two networks say the same class."""
    _matching(a, b)
    return float((classified(a)[2] == classified(b)[2]).mean())


def differing(a: Opened, b: Opened) -> np.ndarray:
    """Numbers of the test examples on which two networks say different classes, the most different first.

    How different: the total variation distance between their class probabilities.
    """
    _matching(a, b)
    (p, _, said), (q, _, other) = classified(a), classified(b)
    far = 0.5 * np.abs(p - q).sum(axis=1)
    found = np.flatnonzero(said != other)
    return found[np.argsort(-far[found], kind="stable")]


def apart(a: Opened, b: Opened) -> float:
    """Regression: the root mean squared difference between two networks' predictions."""
    _matching(a, b)
    return float(np.sqrt(np.mean((np.asarray(a.outputs, float) - np.asarray(b.outputs, float)) ** 2)))


def _matching(a: Opened, b: Opened) -> None:
    if a.outputs.shape != b.outputs.shape or not np.array_equal(a.targets, b.targets):
        raise BadInput(f"Two networks are compared on the same test examples; found outputs {a.outputs.shape} and "
                       f"{b.outputs.shape} or other targets: open two points of runs with the same task and data seed.")
