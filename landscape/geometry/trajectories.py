"""Many networks seen together: principal components of a path, the walk that means nothing, distances, the average.

Everything goes through the Gram matrix (T, T) of the deviations, summed in float64 over blocks of columns, so T networks
of P parameters cost one pass of products instead of a singular value decomposition of (T, P). Networks come as an array
(T, P), never copied whole, or as something that yields one vector (P,) at a time and can be gone through again (files).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.geometry.subspace import Subspace, orthonormal

Weights = Tensor | np.ndarray | Iterable[Tensor | np.ndarray]
ORIGINS = ("mean", "last")
BLOCK_BYTES = 2**25  # of a block of columns in float64
MEMORY = 2**30  # bytes of vectors from an iterable that are held at once
CLOSE = 1e-6  # squared distances below this share of the spread are summed entry by entry


@dataclass(frozen=True, eq=False)
class Principal:
    """Principal components of T networks: ``coordinates`` (T, K) in weight-space distance from the origin.

    ``explained`` (K,) shares of ``spread`` squared, the sum of all squared distances from the origin; ``residuals`` (T,)
    the distance of each network from ``subspace``, spanned by the first components. ``origin`` is ``mean`` or ``last``.
    """

    coordinates: np.ndarray
    explained: np.ndarray
    residuals: np.ndarray
    subspace: Subspace
    spread: float
    origin: str


def principal_components(weights: Weights, center: str = "mean", k: int | None = None, span: int = 2,
                         memory: int = MEMORY) -> Principal:
    """PCA of T networks (T, P) around their ``mean`` or the ``last`` of them (Li et al. 2018, section 7).

    Gives the first ``k`` components (default all T - 1) and the subspace of the first ``span``. Each component points
    where the first network not in its middle has a negative coordinate, so paths start on the left. Equal to a full
    SVD; components that explain less than about 1e-13 are lost in rounding and count as zero. An iterable is gone
    through three times, more often where T vectors take more than ``memory`` bytes.
    """
    origin, count = _origin(weights, center)
    values, vectors = _eigen(_gram(weights, origin, count, memory))
    k, rank = count - 1 if k is None else k, int((values > 0).sum())
    if not (1 <= k < count and 1 <= span < count):
        raise BadInput(f"{count} networks have at most {count - 1} components; found k={k}, span={span}.")
    if rank < span:
        raise BadInput(f"The {count} networks span {rank} dimension{'s' * (rank != 1)} around the {center}, and {span} are "
                       "needed. Give more networks, or different ones.")
    basis = _combined(weights, origin, vectors[:, :span] / np.sqrt(values[:span]))
    q = orthonormal(basis.cpu().numpy())[0]
    coordinates = vectors * np.sqrt(values)
    return Principal(coordinates[:, :k], values[:k] / values.sum(), np.sqrt((coordinates[:, span:] ** 2).sum(1)),
                     Subspace(origin, torch.tensor(q, device=origin.device)), float(np.sqrt(values.sum())), center)


def null_walk(steps: int, dimensions: int | None = None, seed: int = 0, center: str = "mean",
              spread: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """``(explained (T-1,), coordinates (T, T-1))``: the components of a random walk through T = ``steps`` points.

    What a path shows that goes nowhere in particular: in many dimensions the coordinates are cosines and the shares
    approach 6 / (pi k)^2, 61 % and 15 % (Antognini and Sohl-Dickstein 2018); around the last point sines and 8 / (pi (2 k
    - 1))^2, 81 % and 9 %. ``dimensions`` None is the limit of infinitely many; otherwise the Gram matrix of Gaussian
    steps is drawn from its distribution. Steps have length 1 on average, or the whole walk the ``spread`` given.
    """
    if steps < 3:
        raise BadInput(f"A walk to compare with needs at least 3 points, found {steps}.")
    walk = np.tril(np.ones((steps, steps - 1)), -1)
    if dimensions is not None:
        walk = walk @ _gaussian_steps(steps - 1, dimensions, np.random.default_rng(seed))
    walk = walk - (walk.mean(0) if _known(center) == "mean" else walk[-1])
    values, vectors = _eigen(torch.from_numpy(walk @ walk.T))
    scale = 1.0 if spread is None else spread / np.sqrt(values.sum())
    return values[:-1] / values.sum(), scale * (vectors * np.sqrt(values))[:, :-1]


def distances(weights: Weights, memory: int = MEMORY) -> np.ndarray:
    """Euclidean distances (T, T) between networks, float64; exactly 0 between equal ones.

    From the Gram matrix of the deviations from the mean; where that would cancel, from the difference itself.
    """
    gram = _gram(weights, *_origin(weights, "mean"), memory).cpu().numpy()
    norms = np.diag(gram)
    squared = norms[:, None] + norms[None] - 2 * gram
    np.fill_diagonal(squared, 0)
    close = np.triu(squared <= CLOSE * (norms[:, None] + norms[None]), 1)
    for i in np.flatnonzero(close.any(1)):
        others = _rows(weights, int(i))
        first = next(others)
        for j, other in enumerate(others, i + 1):
            if close[i, j]:
                squared[i, j] = squared[j, i] = _squared_distance(first, other)
    return np.sqrt(squared)


def average(weights: Weights) -> Tensor:
    """The uniform mean (P,) of networks, summed in float64 (Izmailov et al. 2018: SWA of its snapshots)."""
    return _origin(weights, "mean")[0]


def _origin(weights: Weights, center: str) -> tuple[Tensor, int]:
    """The mean or the last network (P,), float64, and how many there are; complains of what cannot be used."""
    _known(center)
    origin, count = torch.empty(0), 0
    for row in _rows(weights):
        if count and row.shape != origin.shape:
            raise BadInput(f"Networks to compare need equally many parameters: the first has {len(origin)}, number "
                           f"{count + 1} has {len(row)}.")
        if not bool(row.isfinite().all()):
            raise BadInput(f"Network number {count + 1} has NaN or infinite weights. Leave it out.")
        if count and center == "mean":
            origin.add_(row)
        else:
            origin = row.to(torch.float64, copy=True)
        count += 1
    if not count:
        raise BadInput("There are no networks to compare; give at least one.")
    return (origin.div_(count) if center == "mean" else origin), count


def _known(center: str) -> str:
    if center not in ORIGINS:
        raise unknown("origin of principal components", center, ORIGINS)
    return center


def _rows(weights: Weights, start: int = 0) -> Iterator[Tensor]:
    """The networks from number ``start`` on, one after the other, each (P,)."""
    if isinstance(weights, Iterator):
        raise BadInput("The networks are gone through several times, and an iterator can be used once. Give an array, a "
                       "list or an object whose __iter__ starts again.")
    if isinstance(weights, np.ndarray | Tensor) and weights.ndim != 2:
        raise BadInput(f"Networks come as an array (T, P), one a row; found shape {tuple(weights.shape)}.")
    indexed = isinstance(weights, np.ndarray | Tensor | Sequence)
    for row in (weights[i] for i in range(start, len(weights))) if indexed else islice(weights, start, None):
        yield row if isinstance(row, Tensor) else torch.tensor(row)


def _gram(weights: Weights, origin: Tensor, count: int, memory: int) -> Tensor:
    """Products (T, T) of the deviations from an origin (P,), float64; of an iterable, between panels of rows that fit."""
    if isinstance(weights, np.ndarray | Tensor):
        return _products(weights, weights, origin)
    size = next(_rows(weights)).element_size() * len(origin)
    panel = count if count * size <= memory else max(1, memory // (2 * size))
    gram = torch.zeros(count, count, dtype=torch.float64, device=origin.device)
    for i in range(0, count, panel):
        rows = _rows(weights, i)
        first = other = list(islice(rows, panel))
        j = i
        while other:
            block = _products(first, other, origin)
            gram[i : i + len(first), j : j + len(other)] = block
            gram[j : j + len(other), i : i + len(first)] = block.T
            j += len(other)
            other = list(islice(rows, panel))
    return gram


def _products(a: Sequence, b: Sequence, origin: Tensor) -> Tensor:
    gram = torch.zeros(len(a), len(b), dtype=torch.float64, device=origin.device)
    for part in _blocks(len(origin), len(a) + len(b)):
        left = _columns(a, part) - origin[part]
        right = left if a is b else _columns(b, part) - origin[part]
        gram += left @ right.T
    return gram


def _combined(weights: Weights, origin: Tensor, coefficients: np.ndarray) -> Tensor:
    """Sums of deviations (K, P), float64: coefficients (T, K)."""
    out = torch.zeros(coefficients.shape[1], len(origin), dtype=torch.float64, device=origin.device)
    for row, own in zip(_rows(weights), coefficients.tolist(), strict=True):
        for part in _blocks(len(origin), 2):
            deviation = row[part].double() - origin[part]
            for k, coefficient in enumerate(own):
                out[k, part].add_(deviation, alpha=coefficient)
    return out


def _blocks(columns: int, rows: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * rows))
    return (slice(i, i + step) for i in range(0, columns, step))


def _columns(rows: Sequence, part: slice) -> Tensor:
    """A block of columns (T, n) in float64, in memory of its own."""
    if isinstance(rows, np.ndarray):
        return torch.tensor(rows[:, part], dtype=torch.float64)
    if isinstance(rows, Tensor):
        return rows[:, part].double()
    return torch.stack([row[part] for row in rows]).double()


def _eigen(gram: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (T,), largest first, rounding noise set to zero, and eigenvectors (T, T) in columns with fixed signs."""
    values, vectors = np.linalg.eigh(gram.cpu().numpy())
    values, vectors = values[::-1], vectors[:, ::-1]
    values = np.where(values > 1e-15 * len(values) * values[0], values, 0.0)
    if not values[0] > 0:
        raise BadInput("All the networks are the same, so there is no direction in which they differ.")
    leading = (np.abs(vectors) > 1e-2 * np.abs(vectors).max(0)).argmax(0)
    return values, vectors * np.where(np.take_along_axis(vectors, leading[None], 0) > 0, -1.0, 1.0)


def _gaussian_steps(count: int, dimensions: int, generator: np.random.Generator) -> np.ndarray:
    """A factor F with F F' distributed as the Gram matrix of Gaussian steps in so many dimensions, their mean length 1.

    The triangular factor of a Wishart matrix (Bartlett 1933); in fewer dimensions than steps, the steps themselves.
    """
    if dimensions < count:
        return generator.normal(size=(count, dimensions)) / np.sqrt(dimensions)
    factor = np.tril(generator.normal(size=(count, count)), -1)
    factor[np.diag_indices(count)] = np.sqrt(generator.chisquare(dimensions - np.arange(count)))
    return factor / np.sqrt(dimensions)


def _squared_distance(a: Tensor, b: Tensor) -> float:
    return float(sum((a[part].double() - b[part].double()).square().sum() for part in _blocks(len(a), 2)))
