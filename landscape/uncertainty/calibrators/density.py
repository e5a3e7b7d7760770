"""Density-aware scaling: less sure where training examples are far (Tomani et al. 2023, DAC)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from landscape.errors import BadInput
from landscape.uncertainty.calibrators.calibrator import Calibrator, fitting
from landscape.uncertainty.calibrators.temperature import fit_temperature


@dataclass(frozen=True, eq=False)
class DensityAware(Calibrator):
    """Logits over a temperature that grows with the distances (n, L): ``base + distances / scale @ weights``.

    It needs them: ``calibrator.at(logits, distances)``. No prediction changes. ``calibrator(logits)`` alone is the
    temperature at the mean distance of the validation set.
    """

    base: float
    weights: np.ndarray
    scale: np.ndarray

    def temperatures(self, distances: np.ndarray) -> np.ndarray:
        """(n,) each example's temperature."""
        distances = _distances(distances)
        if distances.shape[1] != len(self.weights):
            raise BadInput(f"Expected distances in {len(self.weights)} layers as in the fit, found {distances.shape[1]}.")
        return self.base + distances / self.scale @ self.weights

    def at(self, logits: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Probabilities (n, C)."""
        logits, divisor = self.taken(logits), self.temperatures(distances)
        if len(logits) != len(divisor):
            raise BadInput(f"Expected distances for the {len(logits)} rows of logits, found {len(divisor)}.")
        return softmax(logits / divisor[:, None], axis=1)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        return self.taken(logits) / (self.base + self.weights.sum())


def fit_density(logits: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> DensityAware:
    """Base and weights (not negative) of the smallest validation NLL; ``distances`` (n, L), one column a layer.

    To learn what distance means the validation set should hold some far examples, such as corrupted ones.
    """
    logits, labels = fitting(logits, labels)
    distances = _distances(distances)
    if len(distances) != len(logits):
        raise BadInput(f"Expected distances for the {len(logits)} rows of logits, found {len(distances)}.")
    scale = distances.mean(0)
    scale = np.where(scale > 0, scale, 1.0)
    unit = fit_temperature(logits, labels).temperature
    features = np.concatenate([np.ones((len(logits), 1)), distances / scale], axis=1)
    z = logits / unit

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        divisor = features @ theta
        y = z / divisor[:, None]
        norm = logsumexp(y, axis=1)
        own = y[np.arange(len(labels)), labels]
        slope = (own - (np.exp(y - norm[:, None]) * y).sum(1)) / divisor  # of the NLL by each divisor
        return float((norm - own).mean()), features.T @ slope / len(labels)

    start = np.r_[1.0, np.zeros(distances.shape[1])]
    bounds = [(1e-3, None)] + [(0, None)] * distances.shape[1]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-13})
    return DensityAware(logits.shape[1], float(found.x[0] * unit), found.x[1:] * unit, scale)


def nearest_distances(features: np.ndarray, train: np.ndarray, k: int = 10) -> np.ndarray:
    """Mean distance (n,) of each row of ``features`` (n, F) to its k nearest rows of ``train`` (m, F)."""
    from sklearn.neighbors import NearestNeighbors  # here, because it takes a second to import

    features, train = np.asarray(features, np.float64), np.asarray(train, np.float64)
    if features.ndim != 2 or train.ndim != 2 or features.shape[1] != train.shape[1] or not 1 <= k <= len(train):
        raise BadInput(f"Expected features (n, F) and training features (m, F) with m of at least {k}, found "
                       f"{features.shape} and {train.shape}.")
    found, _ = NearestNeighbors(n_neighbors=k).fit(train).kneighbors(features)
    return found.mean(1)


def _distances(distances: np.ndarray) -> np.ndarray:
    distances = np.asarray(distances, np.float64)
    distances = distances[:, None] if distances.ndim == 1 else distances
    if distances.ndim != 2 or not np.isfinite(distances).all() or (distances < 0).any():
        raise BadInput(f"Expected distances (examples, layers), finite and not negative, found shape {distances.shape}. "
                       "Compute them with nearest_distances.")
    return distances
