"""Where the mass of a Gaussian in many dimensions is: on a shell, with its averages far inside (the talk's slide 19).

A sample of N(0, sigma^2 I) in d dimensions has a length near sqrt(d) sigma, the mean of k samples one near sqrt(d / k)
sigma; the density at the mean is higher by exp((|x|^2 - |mean|^2) / (2 sigma^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landscape.errors import BadInput
from landscape.geometry.spectrum import Progress, silent
from landscape.geometry.trajectories import Weights, distances

BLOCK = 2**18  # numbers that are drawn at a time


@dataclass(frozen=True, eq=False)
class Shells:
    """Distances from the centre: ``radii`` (n,) of single points, ``averages`` {k: (m,)} of means of k of them.

    ``expected`` {k: what a Gaussian gives, sqrt(d / k) sigma}, k = 1 for single points. ``gain`` {k: (m,)} nats that the log
    density is higher at each average than at the points it was made of, on average. ``sigma`` is the standard deviation of
    one coordinate, ``dimensions`` how many of them.
    """

    dimensions: int
    sigma: float
    radii: np.ndarray
    averages: dict[int, np.ndarray]
    expected: dict[int, float]
    gain: dict[int, np.ndarray]


def gaussian_shells(dimensions: int, k: int = 10, count: int = 50, sigma: float = 1.0, seed: int = 0,
                    progress: Progress = silent) -> Shells:
    """``count`` groups of k samples of N(0, sigma^2 I) and their averages, a block of coordinates at a time.

    All coordinates are drawn, none are kept, so a million dimensions take no memory. ``progress(done, total)`` counts
    coordinates and may raise to stop.
    """
    if min(dimensions, k, count) < 1 or not 0 < sigma < math.inf:
        raise BadInput("Shells need at least one dimension, one sample and one group, and sigma above 0; found "
                       f"dimensions={dimensions}, k={k}, count={count}, sigma={sigma}.")
    generator = np.random.default_rng(seed)
    squares, of_mean = np.zeros((count, k)), np.zeros(count)
    block = max(1, BLOCK // (count * k))
    for start in range(0, dimensions, block):
        x = generator.standard_normal((min(block, dimensions - start), count, k))
        squares += (x * x).sum(0)
        of_mean += (x.mean(-1) ** 2).sum(0)
        progress(min(start + block, dimensions), dimensions)
    gain = (squares.mean(1) - of_mean) / 2
    return Shells(dimensions, sigma, sigma * np.sqrt(squares.ravel()), {k: sigma * np.sqrt(of_mean)},
                  {1: math.sqrt(dimensions) * sigma, k: math.sqrt(dimensions / k) * sigma}, {k: gain})


@dataclass(frozen=True, eq=False)
class IterateShells(Shells):
    """The same of T real iterates around their own mean; averages are those of k iterates in a row, from each start.

    ``independent`` {k: the root mean square distance of the mean of k of the T iterates drawn at random}: sqrt((T - k) /
    (k (T - 1))) times that of single ones, an identity. Averages of neighbours that lie farther out than this tell that
    neighbours are alike. ``effective`` is the number of dimensions that the iterates fill, (sum l)^2 / sum l^2 over the
    variances l along their principal components; at most T - 1.
    """

    independent: dict[int, float]
    effective: float


def iterate_shells(weights: Weights, dimensions: int, averaged: tuple[int, ...] = (2, 5, 10)) -> IterateShells:
    """Distances of T iterates (T, P) from their mean and of averages of k in a row, for each k in ``averaged`` below T.

    ``dimensions`` is P. ``sigma`` is estimated without bias, from T - 1 degrees of freedom; log densities are those of the
    Gaussian N(mean, sigma^2 I). Everything comes from the iterates' distances from each other, so files can be streamed
    (``trajectories.Weights``). Raises BadInput for fewer than 3 iterates, or for ones that are all equal.
    """
    apart = distances(weights) ** 2
    count = len(apart)
    if count < 3 or not apart.any():
        raise BadInput(f"Shells need at least 3 iterates that differ; found {count}"
                       f"{'' if apart.any() else ', all the same'}. Store more of them.")
    gram = -0.5 * (apart - apart.mean(0) - apart.mean(1)[:, None] + apart.mean())  # products of the deviations from the mean
    squares = np.diag(gram).copy()
    sigma = math.sqrt(squares.sum() / ((count - 1) * dimensions))
    variances = np.linalg.eigvalsh(gram)
    averages, gain, expected, independent = {}, {}, {1: math.sqrt(dimensions) * sigma}, {}
    for k in sorted(k for k in set(averaged) if 1 < k < count):
        rows = range(count - k + 1)
        inside = np.array([gram[i : i + k, i : i + k].mean() for i in rows]).clip(0)
        averages[k], expected[k] = np.sqrt(inside), math.sqrt(dimensions / k) * sigma
        gain[k] = (np.array([squares[i : i + k].mean() for i in rows]) - inside) / (2 * sigma**2)
        independent[k] = math.sqrt(squares.mean() * (count - k) / (k * (count - 1)))
    return IterateShells(dimensions, sigma, np.sqrt(squares), averages, expected, gain, independent,
                         float(variances.sum() ** 2 / (variances**2).sum()))
