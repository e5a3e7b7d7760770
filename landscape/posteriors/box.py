"""Where the mass of a density of two coordinates is: the box that a grid is put over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.posteriors.target import Target

Box = tuple[tuple[float, float], tuple[float, float]]
COARSE = 25  # cells a side of the grids that look for the mass
DEPTH = 14.0  # nats below the highest cell where the grid may end: 5.3 standard deviations of a Gaussian
ROUNDS = 16
PRIOR = 3.0  # standard deviations of the prior that the search begins with
MARGIN = 0.02  # of a box that is made to hold a point, beyond that point


def search(raw: Callable[[int, Box], np.ndarray], box: Box, peaks: tuple[np.ndarray, np.ndarray] | None = None) -> Box:
    """The box around the cells within ``DEPTH`` of the highest one: zoomed in and widened on coarse grids until it fits.

    ``raw(cells, box)`` is the log density (cells, cells) on a box, NaN where there is none. ``peaks``, points (n, 2) and the
    log density (n,) there, count as cells of their own: a coarse grid does not see what is narrower than its cells.
    """
    points, tops = _finite(peaks)
    box = including(box, points[tops > tops.max(initial=-np.inf) - DEPTH])
    for _ in range(ROUNDS):
        values = raw(COARSE, box)
        top = max(np.nanmax(values, initial=-np.inf), tops.max(initial=-np.inf))
        high = (values > top - DEPTH) | _cells(points[tops > top - DEPTH], box)
        if not high.any():
            box = tuple((0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b) for a, b in box)
            continue
        box, fits = _fitted(box, high, values)
        if fits:
            break
    return box


def of_prior(target: Target, dims: tuple[int, int], at: torch.Tensor) -> Box:
    """``PRIOR`` standard deviations of the prior on either side of its mean."""
    prior = target.normal_prior
    deviation = torch.as_tensor(prior.deviation, dtype=torch.float64).cpu()
    deviation = deviation.square().sum(1).sqrt() if deviation.ndim == 2 else deviation.expand(target.ndim)
    return tuple((float(prior.mean[d] - PRIOR * deviation[d]), float(prior.mean[d] + PRIOR * deviation[d])) for d in dims)


def including(box: Box, points: np.ndarray | None) -> Box:
    """The box, wide enough to hold points (n, 2)."""
    if points is None or not len(points):
        return box
    ends = zip(points.min(0).tolist(), points.max(0).tolist(), strict=True)
    return tuple((a if a <= low else low - MARGIN * (b - low), b if b >= high else high + MARGIN * (high - a))
                 for (low, high), (a, b) in zip(ends, box, strict=True))


def widened(box: Box, mass: np.ndarray, missed: float) -> Box:
    """Half as long again towards the borders whose cells hold more than ``missed`` of the mass (cells, cells)."""
    new = []
    for axis, (a, b) in enumerate(box):
        along = mass.sum(1 - axis)
        new.append((a - (b - a) / 2 * (along[0] > missed), b + (b - a) / 2 * (along[-1] > missed)))
    return tuple(new)


def _fitted(box: Box, high: np.ndarray, values: np.ndarray) -> tuple[Box, bool]:
    """The box around the ``high`` cells (wider where they reach its border), and whether it is much as it was."""
    new, fits = [], True
    for axis, (a, b) in enumerate(box):
        hit, step = np.flatnonzero(high.any(1 - axis)), (b - a) / COARSE
        low, top = int(hit[0]), int(hit[-1])
        lower, upper = a + (low - 1) * step, a + (top + 2) * step  # a cell more on either side
        top_at = int(np.argmax(values.max(1 - axis, where=np.isfinite(values), initial=-np.inf)))
        lower -= (b - a) / (1 if top_at == 0 else 2) if low == 0 else 0
        upper += (b - a) / (1 if top_at == COARSE - 1 else 2) if top == COARSE - 1 else 0
        fits &= low > 0 and top < COARSE - 1 and (upper - lower) > 0.5 * (b - a)
        new.append((lower, upper))
    return tuple(new), fits


def _finite(peaks: tuple[np.ndarray, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
    if peaks is None:
        return np.empty((0, 2)), np.empty(0)
    seen = np.isfinite(peaks[1])
    return peaks[0][seen], peaks[1][seen]


def _cells(points: np.ndarray, box: Box) -> np.ndarray:
    """(cells, cells): which cells of the box hold a point (n, 2)."""
    return np.histogram2d(points[:, 0], points[:, 1], bins=COARSE, range=box)[0] > 0
