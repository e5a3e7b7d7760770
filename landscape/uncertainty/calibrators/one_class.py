"""Parametric curves for each class against the rest, then divided by their sum: Platt (1999) and beta (Kull et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit

from landscape.uncertainty.calibrators.calibrator import Calibrator, fitting, log_odds

_FAR = 46.0  # log odds beyond this (a probability of 1e-20) are one and the same


@dataclass(frozen=True, eq=False)
class Curves(Calibrator):
    """For each class the logistic function of ``weights`` (C, F + 1) times features of its probability, plus a constant.

    ``kind`` "platt": the log odds; "beta": log p and -log(1 - p).
    """

    kind: str
    weights: np.ndarray

    def logits(self, logits: np.ndarray) -> np.ndarray:
        features = _features(self.taken(logits), self.kind)
        return log_expit(np.einsum("fnc,cf->nc", features, self.weights))


def fit_platt(logits: np.ndarray, labels: np.ndarray) -> Curves:
    """A logistic curve of each class's log odds, with Platt's softened targets (finite for classes that separate)."""
    return _fitted(logits, labels, "platt")


def fit_beta(logits: np.ndarray, labels: np.ndarray) -> Curves:
    """A beta curve for each class: logit q = a log p - b log(1 - p) + c with a, b >= 0; it holds the identity (1, 1, 0)."""
    return _fitted(logits, labels, "beta")


def _features(logits: np.ndarray, kind: str) -> np.ndarray:
    """(F + 1, n, C), the last is 1."""
    log_p, log_q = (np.maximum(each, -_FAR) for each in log_odds(logits))
    found = [log_p - log_q] if kind == "platt" else [log_p, -log_q]
    return np.stack([*found, np.ones_like(log_p)])


def _fitted(logits: np.ndarray, labels: np.ndarray, kind: str) -> Curves:
    logits, labels = fitting(logits, labels)
    features = _features(logits, kind)
    weights = np.stack([_curve(features[:, :, c], labels == c) for c in range(logits.shape[1])])
    return Curves(logits.shape[1], kind, weights)


def _curve(features: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Weights (F + 1,) of a logistic regression on ``features`` (F + 1, n), all but the last not negative."""
    n, hits = len(member), int(member.sum())
    target = np.where(member, (hits + 1) / (hits + 2), 1 / (n - hits + 2))

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights @ features
        value = -(target * log_expit(z) + (1 - target) * log_expit(-z)).mean()
        return float(value), features @ (np.exp(log_expit(z)) - target) / n

    size = len(features)
    found = minimize(objective, np.r_[np.ones(size - 1), 0.0], jac=True, method="L-BFGS-B",
                     bounds=[(0, None)] * (size - 1) + [(None, None)], options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8})
    return found.x
