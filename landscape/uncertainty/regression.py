"""Predictive distributions of numbers: are the intervals honest, and does the stated spread say where errors are large?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from landscape.errors import BadInput
from landscape.uncertainty import binning

LEVELS = np.linspace(0.05, 0.95, 19)
UNINFORMATIVE = 1e-3  # relative spread of the standard deviations below which they are one constant


@dataclass(frozen=True, eq=False)
class Normal:
    """Predicted ``mean`` and ``sd`` (n,), and the ``truth`` (n,); made by ``normal`` or ``mixture``.

    ``cdf`` (n,) is the predictive distribution function at the truth (the PIT), ``crps`` and ``nll`` (n,) its scores.
    """

    mean: np.ndarray
    sd: np.ndarray
    truth: np.ndarray
    cdf: np.ndarray
    crps: np.ndarray
    nll: np.ndarray


def normal(mean: np.ndarray, sd: np.ndarray, truth: np.ndarray) -> Normal:
    """Normal predictions. Raises BadInput for other shapes, values that are not finite, or sd <= 0."""
    mean, sd, truth = _columns(mean, sd, truth)
    z = (truth - mean) / sd
    crps = sd * (z * special.erf(z / np.sqrt(2)) + 2 * _density(z) - 1 / np.sqrt(np.pi))  # Gneiting and Raftery 2007, eq. 21
    return Normal(mean, sd, truth, special.ndtr(z), crps, 0.5 * z**2 + np.log(sd) + 0.5 * np.log(2 * np.pi))


def mixture(means: np.ndarray, sds: np.ndarray, truth: np.ndarray) -> Normal:
    """Equal mixtures of M normals, (M, n) each: an ensemble or posterior draws with their noise.

    Mean and variance are those of the mixture; cdf, crps (Grimit et al. 2006) and nll are exact, not those of a normal.
    """
    means, sds = np.broadcast_arrays(np.atleast_2d(np.asarray(means, np.float64)), np.asarray(sds, np.float64))
    if means.ndim != 2 or not means.size:
        raise BadInput(f"Expected means of shape (draws, examples), found {means.shape}. Give one prediction as normal.")
    pairs = [_columns(m, s, truth) for m, s in zip(means, sds, strict=True)]
    truth = pairs[0][2]
    mean = means.mean(0)
    sd = np.sqrt((sds**2 + (means - mean) ** 2).mean(0))
    z = (truth - means) / sds
    crps = _absolute(truth - means, sds).mean(0)
    for m, s in zip(means, sds, strict=True):
        crps = crps - 0.5 * _absolute(m - means, np.hypot(s, sds)).mean(0) / len(means)
    nll = -(special.logsumexp(-0.5 * z**2 - np.log(sds), axis=0) - np.log(len(means)) - 0.5 * np.log(2 * np.pi))
    return Normal(mean, sd, truth, special.ndtr(z).mean(0), crps, nll)


def _absolute(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """E|X| of X normal."""
    z = mean / sd
    return mean * special.erf(z / np.sqrt(2)) + 2 * sd * _density(z)


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _columns(mean: np.ndarray, sd: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, truth = (np.asarray(each, np.float64).ravel() for each in (mean, truth))
    sd = np.asarray(sd, np.float64).ravel()
    sd = np.full(mean.shape, sd[0]) if sd.shape == (1,) else sd
    if not len(mean) or not mean.shape == sd.shape == truth.shape:
        raise BadInput(f"Expected mean, sd and truth of one shape (n,) with n > 0, found {mean.shape}, {sd.shape}, "
                       f"{truth.shape}.")
    if not (np.isfinite(mean).all() and np.isfinite(truth).all() and np.isfinite(sd).all()):
        raise BadInput("Expected finite means, standard deviations and truths, found some that are not. Leave failed "
                       "predictions out by choice.")
    if (sd <= 0).any():
        raise BadInput(f"Expected standard deviations above 0, found {int((sd <= 0).sum())} that are not. Add the variance "
                       "of the noise to that of the mean.")
    return mean, sd, truth


# Intervals


def coverage(cdf: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Share (L,) of truths inside the central interval of each level; equal to the level for an honest forecast."""
    inside = np.sort(np.abs(2 * _unit(cdf) - 1))
    return np.searchsorted(inside, np.asarray(levels), side="right") / len(inside)


def quantile_error(cdf: np.ndarray) -> float:
    """Mean distance of the PIT's distribution from the uniform one, exact: 0 ... 1/2.

    A constant variance can have 0 here and still say nothing about any single example.
    """
    u = np.r_[0, np.sort(_unit(cdf)), 1]
    n = len(u) - 2
    height, a, b = np.arange(n + 1) / n, u[:-1], u[1:]
    middle = np.clip(height, a, b)
    return float((((middle - a) ** 2 + (b - middle) ** 2) / 2 + np.where(height > b, (b - a) * (height - b), 0)
                  + np.where(height < a, (b - a) * (a - height), 0)).sum())


def pit_histogram(cdf: np.ndarray, bins: int = 10, level: float = binning.LEVEL) -> tuple[np.ndarray, float, float]:
    """Counts (bins,) of the PIT, and the bounds within which a bar of an honest forecast lies at that level."""
    place = binning.placed(_unit(cdf), np.linspace(0, 1, bins + 1))
    n = len(place)
    below = special.bdtr(np.arange(n + 1), n, 1 / bins)
    low, high = np.searchsorted(below, [(1 - level) / 2, (1 + level) / 2])
    return np.bincount(place, minlength=bins), float(low), float(high)


def _unit(cdf: np.ndarray) -> np.ndarray:
    cdf = np.asarray(cdf, np.float64).ravel()
    if not len(cdf) or not ((cdf >= 0) & (cdf <= 1)).all():
        raise BadInput(f"Expected values of a distribution function in [0, 1], found {len(cdf)} with some outside or none.")
    return cdf


# Does the spread say where errors are large?


@dataclass(frozen=True, eq=False)
class Spread:
    """Examples in B bins of predicted sd: root mean variance ``stated``, root mean squared ``error``, ``count``, (B,) each.

    ``encal`` is the mean of |stated - error| / stated (Levi et al. 2022), ``variation`` the relative spread of the
    sds; where that is nearly 0 the predictor is ``constant``: its intervals may be right on average, and tell nothing.
    """

    stated: np.ndarray
    error: np.ndarray
    count: np.ndarray
    encal: float
    variation: float

    @property
    def constant(self) -> bool:
        return self.variation < UNINFORMATIVE


def spread(mean: np.ndarray, sd: np.ndarray, truth: np.ndarray, bins: int = 15, by: np.ndarray | None = None) -> Spread:
    """Stated against found errors in bins of equal mass of the sd, or of another quantity ``by`` (n,), such as an input.

    A constant variance has one bin by its own sd; ``by`` shows what that hides.
    """
    mean, sd, truth = _columns(mean, sd, truth)
    key = sd if by is None else np.asarray(by, np.float64).ravel()
    if key.shape != sd.shape:
        raise BadInput(f"Expected one value for each of {len(sd)} examples to sort by, found shape {key.shape}.")
    if by is None and sd.std() < UNINFORMATIVE * sd.mean():
        place = np.zeros(len(sd), np.intp)
    else:
        ordered = np.sort(key)
        size = -(-len(key) // bins)
        inner = np.unique(ordered[size - 1 : -1 : size])
        place = np.searchsorted(inner[inner < ordered[-1]], key, side="left")
    count = np.bincount(place)
    stated = np.sqrt(np.bincount(place, sd**2) / count)
    error = np.sqrt(np.bincount(place, (truth - mean) ** 2) / count)
    return Spread(stated, error, count, float((np.abs(stated - error) / stated).mean()), float(sd.std() / sd.mean()))


# Recalibration, fitted on validation


def fit_scale(mean: np.ndarray, sd: np.ndarray, truth: np.ndarray) -> float:
    """The factor on all sds of the smallest NLL: the root mean square of (truth - mean) / sd (Levi et al. 2022)."""
    mean, sd, truth = _columns(mean, sd, truth)
    factor = float(np.sqrt(np.mean(((truth - mean) / sd) ** 2)))
    if factor == 0:
        raise BadInput("Expected validation errors to scale by, found all of them exactly 0. Use examples not trained on.")
    return factor


@dataclass(frozen=True, eq=False)
class Recalibration:
    """A growing map of [0, 1] onto itself, through the points (``stated``, ``found``)."""

    stated: np.ndarray
    found: np.ndarray

    def __call__(self, cdf: np.ndarray) -> np.ndarray:
        """The recalibrated PIT of other examples."""
        return np.interp(_unit(cdf), self.stated, self.found)

    def level(self, probability: np.ndarray) -> np.ndarray:
        """The stated quantile level to ask for so that ``probability`` of the truths lie below."""
        return np.interp(_unit(probability), self.found, self.stated)


def fit_isotonic(cdf: np.ndarray) -> Recalibration:
    """The map from stated to found frequency (Kuleshov et al. 2018): the empirical distribution of the validation PIT.

    It grows by itself; half a step at both ends keeps quantiles finite.
    """
    u, count = np.unique(_unit(cdf), return_counts=True)
    if len(u) < 2:
        raise BadInput(f"Expected at least two different values of the PIT to recalibrate, found {len(u)}.")
    found = (np.cumsum(count) - count / 2) / count.sum()
    stated, found = np.r_[0.0, u, 1.0], np.r_[0.0, found, 1.0]
    kept = np.r_[stated[1:] > stated[:-1], True]
    return Recalibration(stated[kept], found[kept])


def empirical_quantiles(mean: np.ndarray, sd: np.ndarray, truth: np.ndarray, test_mean: np.ndarray, test_sd: np.ndarray,
                        levels: np.ndarray = LEVELS) -> np.ndarray:
    """Quantiles (L, m) from the validation errors in units of their sd, shifted and scaled to each test example.

    Zelikman et al. 2020 (CRUDE): no shape is assumed; it is what split-conformal intervals do, on both sides apart.
    """
    mean, sd, truth = _columns(mean, sd, truth)
    z = np.quantile((truth - mean) / sd, np.asarray(levels))
    return np.asarray(test_mean)[None] + z[:, None] * np.asarray(test_sd)[None]
