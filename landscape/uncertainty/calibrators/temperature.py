"""Temperature scaling (Guo et al. 2017, section 4.2), to convergence, and its form for ensembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from landscape.errors import BadInput, unknown
from landscape.uncertainty.calibrators.calibrator import Calibrator, finite, fitting, spread

_REACH = 9.0  # log T is looked for this far below and above 1 and the size of the logits


@dataclass(frozen=True, eq=False)
class Temperature(Calibrator):
    """All logits divided by one ``temperature``; no prediction changes."""

    temperature: float

    def logits(self, logits: np.ndarray) -> np.ndarray:
        return self.taken(logits) / self.temperature


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature of the smallest mean NLL on these validation examples.

    NLL is convex in 1/T; the root of its derivative is found in log T to 1e-12. Where there is none (every example right,
    or the logits worse than none) the nearest end of a wide range is taken and said.
    """
    logits, labels = fitting(logits, labels)
    centred = logits - logits.max(1, keepdims=True)
    own = centred[np.arange(len(labels)), labels]
    low, high = _range(centred)

    def slope(log_t: float) -> float:
        """Derivative of the NLL by 1/T: the mean of the expected logit minus the label's."""
        p = np.exp(centred / np.exp(log_t))
        return float(((p * centred).sum(1) / p.sum(1) - own).mean())

    if not np.ptp(logits, axis=1).any():
        return Temperature(logits.shape[1], 1.0, said=(
            "All logits are equal: every temperature gives the same predictions.",))
    if slope(low) <= 0:  # the largest logit is the label's nearly everywhere
        return Temperature(logits.shape[1], float(np.exp(low)), said=(
            "Every validation example is right: the likelihood grows as T falls to 0, and the smallest T of the search is "
            "shown. Fit on more, or harder, examples.",))
    if slope(high) >= 0:
        return Temperature(logits.shape[1], float(np.exp(high)), said=(
            "These logits predict worse than equal probabilities: T grows without end, and the largest of the search is "
            "shown. Check that labels and columns belong together.",))
    return Temperature(logits.shape[1], float(np.exp(brentq(slope, low, high, xtol=1e-12, rtol=1e-14))))


def _range(logits: np.ndarray) -> tuple[float, float]:
    size = np.log(spread(logits))
    return min(size, 0) - _REACH, max(size, 0) + _REACH


@dataclass(frozen=True, eq=False)
class Pooled(Calibrator):
    """An ensemble's mean probabilities at one temperature, of its members (``before``) or of their mean (``after``)."""

    temperature: float
    where: str

    def members(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (n, C) from the members' logits (M, n, C)."""
        return np.exp(_pooled(_members(logits), self.temperature, self.where))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """One network's logits at this temperature."""
        return self.taken(logits) / self.temperature


def fit_pooled(logits: np.ndarray, labels: np.ndarray, where: str = "after") -> Pooled:
    """One temperature for an ensemble from its members' logits (M, n, C) on validation examples.

    ``after`` scales the pooled probabilities (Rahaman and Thiery 2021: pool, then calibrate), which changes no prediction of
    the ensemble; ``before`` scales each member and then pools, which may change some. Calibrating the members each on its
    own makes their mean too unsure.
    """
    members = _members(logits)
    mean = _pooled(members, 1.0, "after")
    _, labels = fitting(mean, labels)
    if where == "after":
        found = fit_temperature(mean, labels)
        return Pooled(found.classes, found.temperature, where, said=found.said)
    if where != "before":
        raise unknown("place for the temperature", where, ("before", "after"))
    own = np.arange(len(labels)), labels

    def nll(log_t: float) -> float:
        return -float(_pooled(members, np.exp(log_t), "before")[own].mean())

    start = np.linspace(*_range(members.reshape(-1, members.shape[2])), 41)  # not convex: the best of a grid, then down
    values = [nll(t) for t in start]
    best = int(np.argmin(values))
    ends = start[max(best - 1, 0)], start[min(best + 1, len(start) - 1)]
    found = minimize_scalar(nll, bounds=ends, method="bounded", options={"xatol": 1e-9})
    log_t = min((found.x, start[best], 0.0), key=nll)
    return Pooled(members.shape[2], float(np.exp(log_t)), where)


def _members(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits)
    if logits.ndim != 3 or not logits.size:
        raise BadInput(f"Expected the members' logits (members, examples, classes), found shape {logits.shape}. Stack them.")
    return finite(logits.reshape(-1, logits.shape[2])).reshape(logits.shape)


def _pooled(members: np.ndarray, temperature: float, where: str) -> np.ndarray:
    """Log probabilities (n, C) of the pool."""
    inner = temperature if where == "before" else 1.0
    mean = logsumexp(log_softmax(members / inner, axis=2), axis=0) - np.log(len(members))
    return mean if where == "before" else log_softmax(mean / temperature, axis=1)


def scaled(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, C) at a temperature that was chosen by hand. Raises BadInput unless it is positive."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise BadInput(f"Expected a temperature above 0, found {temperature}. 1 leaves the predictions as they are.")
    return softmax(finite(logits) / temperature, axis=1)
