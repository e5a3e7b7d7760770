"""What calibrators share: logits in, probabilities out, and what may be fitted at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

from landscape.errors import BadInput
from landscape.uncertainty.entry import class_numbers, numbers


@dataclass(frozen=True, eq=False)
class Calibrator:
    """Made by a ``fit_...`` function. ``calibrator(logits (n, C))`` are probabilities (n, C) float64.

    Where only probabilities are known, their logarithms serve as logits. ``said`` are sentences on the fit.
    """

    classes: int
    said: tuple[str, ...] = field(default=(), kw_only=True)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """The calibrated logits (n, C) float64; finite."""
        raise NotImplementedError

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        return softmax(self.logits(logits), axis=1)

    def taken(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, C) float64, checked. Raises BadInput for other classes than those of the fit, or non-finite values."""
        logits = finite(logits)
        if logits.shape[1] != self.classes:
            raise BadInput(f"Expected logits of the {self.classes} classes this was fitted on, found {logits.shape[1]} "
                           "columns. Fit on predictions of the same model.")
        return logits


def fitting(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, C) float64 and labels (n,) to fit on. Raises BadInput unless at least two classes are among the labels."""
    logits = finite(logits)
    labels = class_numbers(labels, logits.shape, "The validation set")
    found = np.unique(labels)
    if len(found) < 2:
        raise BadInput("Expected validation labels of at least two classes to fit a calibrator, found only class "
                       f"{found[0]} in {len(labels)} example{'s' if len(labels) > 1 else ''}. Use a "
                       "validation set of all classes.")
    return logits, labels


def finite(logits: np.ndarray) -> np.ndarray:
    """(n, C) float64. Raises BadInput for another shape or values that are not finite."""
    logits = numbers(np.asarray(logits), "The logits").astype(np.float64)
    if not np.isfinite(logits).all():
        raise BadInput(f"Expected finite logits, found {int((~np.isfinite(logits)).any(1).sum())} rows that are not. Take "
                       "the logarithm of probabilities after replacing zeros by a small number.")
    return logits


def nll_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats, from logits."""
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean())


def changed(before: np.ndarray, after: np.ndarray) -> int:
    """How many predictions (n, C) name another class. Where classes are tied the first counts, before and after."""
    return int((np.asarray(before).argmax(1) != np.asarray(after).argmax(1)).sum())


def spread(logits: np.ndarray) -> float:
    """The usual size of logits around their mean in a row; 1 if they are all equal."""
    size = float(np.sqrt(np.square(logits - logits.mean(1, keepdims=True)).mean()))
    return size if size > 0 else 1.0


def log_odds(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log p`` and ``log(1 - p)`` (n, C) of every class, exact also where p is nearly 1; at least -1e300."""
    log_p = log_softmax(logits, axis=1)
    at, best = np.arange(len(logits)), logits.argmax(1)
    with np.errstate(divide="ignore"):
        log_q = np.log1p(-np.minimum(np.exp(log_p), 0.75))  # all but the largest are at most 1/2
    others = log_p.copy()
    others[at, best] = -np.inf
    log_q[at, best] = np.maximum(logsumexp(others, axis=1), -1e300) if logits.shape[1] > 1 else -1e300
    return log_p, log_q


def softened(frequency: np.ndarray, n: int | np.ndarray, classes: int) -> np.ndarray:
    """Frequencies of ``n`` examples with one more example shared by all classes, so that none is 0 or 1."""
    return (frequency * n + 1 / classes) / (n + 1)
