"""Vector and matrix scaling: an affine map of the logits (Guo et al. 2017; Kull et al. 2019 for the regularisation)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from landscape.errors import BadInput
from landscape.uncertainty.calibrators.calibrator import Calibrator, fitting, spread
from landscape.uncertainty.calibrators.temperature import fit_temperature

RIDGE = 1e-4  # on what moves away from plain temperature scaling; keeps classes without examples finite


@dataclass(frozen=True, eq=False)
class Affine(Calibrator):
    """Logits times ``matrix`` (C, C) (transposed) plus ``bias`` (C,)."""

    matrix: np.ndarray
    bias: np.ndarray

    def logits(self, logits: np.ndarray) -> np.ndarray:
        return self.taken(logits) @ self.matrix.T + self.bias


def fit_vector(logits: np.ndarray, labels: np.ndarray) -> Affine:
    """A factor and a shift for each class, of the smallest validation NLL (with a ridge of 1e-4 towards temperature)."""
    scaled, labels, unit = _start(logits, labels)
    classes = scaled.shape[1]

    def unpacked(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.diag(1 + theta[:classes]), theta[classes:]

    def packed(matrix: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return np.concatenate([np.diag(matrix), bias])

    return _fitted(scaled, labels, unit, np.full(2 * classes, RIDGE), unpacked, packed)


def fit_matrix(logits: np.ndarray, labels: np.ndarray, off_diagonal: float = 0.1) -> Affine:
    """A whole matrix and a shift; the NLL is regularised by ``off_diagonal`` times C times the mean square off the diagonal.

    Without it a matrix of many classes fits the validation set by heart. 0 turns it off (a ridge of 1e-4 stays).
    """
    if not off_diagonal >= 0:
        raise BadInput(f"Expected a regularisation of 0 or more, found {off_diagonal}. Take 0.1.")
    scaled, labels, unit = _start(logits, labels)
    classes = scaled.shape[1]
    each = np.full((classes, classes), RIDGE + off_diagonal / max(classes - 1, 1))
    np.fill_diagonal(each, RIDGE)
    strength = np.concatenate([each.ravel(), np.full(classes, RIDGE)])

    def unpacked(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.eye(classes) + theta[: classes**2].reshape(classes, classes), theta[classes**2 :]

    def packed(matrix: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return np.concatenate([matrix.ravel(), bias])

    return _fitted(scaled, labels, unit, strength, unpacked, packed)


def _start(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Logits (n, C) at the best temperature, but not larger than 1e3 of their spread; labels; the divisor."""
    logits, labels = fitting(logits, labels)
    unit = max(fit_temperature(logits, labels).temperature, spread(logits) / 1e3)
    return logits / unit, labels, unit


def _fitted(scaled: np.ndarray, labels: np.ndarray, unit: float, strength: np.ndarray,
            unpacked: Callable, packed: Callable) -> Affine:
    """The minimum of NLL plus ``strength`` times squared parameters; parameters 0 are plain temperature scaling."""
    n, classes = scaled.shape
    member = np.zeros((n, classes))
    member[np.arange(n), labels] = 1

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        matrix, bias = unpacked(theta)
        z = scaled @ matrix.T + bias
        norm = logsumexp(z, axis=1, keepdims=True)
        slope = (np.exp(z - norm) - member) / n
        value = float((norm[:, 0] - z[np.arange(n), labels]).mean() + (strength * theta**2).sum())
        return value, packed(slope.T @ scaled, slope.sum(0)) + 2 * strength * theta

    found = minimize(objective, np.zeros(len(strength)), jac=True, method="L-BFGS-B",
                     options={"maxiter": 2000, "ftol": 1e-11, "gtol": 1e-6})
    matrix, bias = unpacked(found.x)
    said = () if found.success else (f"The fit stopped before it converged ({found.message}); it is the best found.",)
    return Affine(classes, matrix / unit, bias, said=said)
