"""Split-conformal prediction: sets and intervals that hold the truth at least as often as promised, on average.

The promise needs only that calibration and test examples are exchangeable; under shift it is void. The quantile of n scores
is the one of rank ceil((n + 1)(1 - alpha)) (Vovk et al. 2005; Angelopoulos and Bates 2023, section 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.errors import BadInput, unknown
from landscape.uncertainty.metrics import checked, table

SCORES = {
    "threshold": "classes of at least some probability; the smallest sets on average (Sadinle et al. 2019)",
    "cumulative": "the most probable classes until their sum is large enough; grows for hard examples (Romano et al. 2020)",
}


@dataclass(frozen=True)
class Repeated:
    """Over splits: ``coverage`` (S,) and mean ``size`` (S,) of sets or width of intervals on the examples not used."""

    nominal: float
    coverage: np.ndarray
    size: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.coverage.mean())


def quantile(scores: np.ndarray, alpha: float) -> float:
    """The bound that a new score stays below with probability at least 1 - alpha; infinite if there are too few scores."""
    scores = np.asarray(scores, np.float64).ravel()
    if not 0 < alpha < 1:
        raise BadInput(f"Expected a share of misses between 0 and 1, found {alpha}. Take 0.1 for sets that hold 90%.")
    if not len(scores) or np.isnan(scores).any():
        raise BadInput(f"Expected calibration scores, found {len(scores)} with {int(np.isnan(scores).sum())} not a number. "
                       "Hold some examples back for calibration.")
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else np.inf


def class_scores(probabilities: np.ndarray, score: str = "threshold",
                 generator: np.random.Generator | None = None) -> np.ndarray:
    """The score (n, C) of every class, large where it would surprise.

    "cumulative": the probability of all likelier classes plus a random part of its own (all of it without a ``generator``,
    then the sets hold somewhat more than promised).
    """
    p = table(probabilities).astype(np.float64)
    if score not in SCORES:
        raise unknown("conformal score", score, SCORES)
    if score == "threshold":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, 1)
    part = 1.0 if generator is None else generator.random((len(p), 1))
    found = np.empty_like(p)
    np.put_along_axis(found, order, ordered.cumsum(1) - ordered * (1 - part), 1)
    return found


def sets(calibration: np.ndarray, labels: np.ndarray, test: np.ndarray, alpha: float = 0.1, score: str = "threshold",
         generator: np.random.Generator | None = None) -> np.ndarray:
    """(m, C) bool: the classes in the set of each test example, from probabilities (n, C), (m, C) and labels (n,)."""
    calibration, labels = checked(calibration, labels)
    own = class_scores(calibration, score, generator)[np.arange(len(labels)), labels]
    return class_scores(test, score, generator) <= quantile(own, alpha)


def intervals(mean: np.ndarray, truth: np.ndarray, test_mean: np.ndarray, alpha: float = 0.1, sd: np.ndarray | None = None,
              test_sd: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Ends (m,) of intervals around ``test_mean``, from calibration means and truths (n,).

    With standard deviations (n,) and (m,) the intervals are as wide as those say, up to one common factor; without, all are
    equally wide.
    """
    mean, truth, test_mean = (np.asarray(each, np.float64) for each in (mean, truth, test_mean))
    if (sd is None) != (test_sd is None):
        raise BadInput("Expected standard deviations for calibration and test examples, or for neither; found one of them.")
    sd, test_sd = (np.ones(()) if each is None else np.asarray(each, np.float64) for each in (sd, test_sd))
    if (sd <= 0).any() or (test_sd <= 0).any():
        raise BadInput("Expected standard deviations above 0, found some that are not. Add the noise's standard deviation.")
    half = quantile(np.abs(truth - mean) / sd, alpha) * test_sd
    return test_mean - half, test_mean + half


def repeated_sets(probabilities: np.ndarray, labels: np.ndarray, alpha: float = 0.1, score: str = "threshold",
                  splits: int = 200, seed: int = 0) -> Repeated:
    """Coverage and size of sets over random halves: calibrated on one, tested on the other."""
    probabilities, labels = checked(probabilities, labels)
    generator = np.random.default_rng(seed)
    scores = class_scores(probabilities, score, generator)
    own = scores[np.arange(len(labels)), labels]
    ordered = np.sort(scores, axis=None) if scores.size <= 2**18 else None
    return _repeated(own, alpha, splits, generator, lambda bound, rest: _mean_size(scores, bound, rest, ordered))


def repeated_intervals(mean: np.ndarray, truth: np.ndarray, sd: np.ndarray | None = None, alpha: float = 0.1,
                       splits: int = 200, seed: int = 0) -> Repeated:
    """Coverage and width of intervals over random halves."""
    mean, truth = np.asarray(mean, np.float64), np.asarray(truth, np.float64)
    sd = np.ones_like(mean) if sd is None else np.asarray(sd, np.float64)
    own = np.abs(truth - mean) / sd
    return _repeated(own, alpha, splits, np.random.default_rng(seed), lambda bound, rest: 2 * bound * sd[rest].mean())


def _repeated(own: np.ndarray, alpha: float, splits: int, generator: np.random.Generator, size) -> Repeated:
    if len(own) < 2 or splits < 1:
        raise BadInput(f"Expected at least 2 examples and 1 split, found {len(own)} and {splits}.")
    coverage, sizes = np.empty(splits), np.empty(splits)
    for s in range(splits):
        order = generator.permutation(len(own))
        used, rest = order[: len(own) // 2], order[len(own) // 2 :]
        bound = quantile(own[used], alpha)
        coverage[s], sizes[s] = (own[rest] <= bound).mean(), size(bound, rest)
    return Repeated(1 - alpha, coverage, sizes)


def _mean_size(scores: np.ndarray, bound: float, rest: np.ndarray, ordered: np.ndarray | None) -> float:
    """Classes in a set, mean over ``rest``; over all examples where that is a search in sorted scores."""
    if ordered is not None:
        return float(np.searchsorted(ordered, bound, side="right") / len(scores))
    return float((scores[rest] <= bound).sum(1).mean())
