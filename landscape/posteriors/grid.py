"""The exact posterior of two coordinates on a grid, and how far draws are from it.

Every cell is evaluated; sums over cells are the integrals (for a smooth density that is zero at the border the midpoint rule
errs less than any power of the cell's size). Samplers in two dimensions are judged by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from landscape.errors import BadInput
from landscape.posteriors import box as boxes
from landscape.posteriors.box import Box
from landscape.posteriors.target import Target

Progress = Callable[[int, int], None]
SHARES = (0.5, 0.9, 0.99)  # of the mass, within the contours drawn
MISSED = 1e-3  # share of the mass in the cells at the border from which on the grid is widened
ROUNDS = 16
ROWS = 1000  # points evaluated between two reports of progress


@dataclass(frozen=True, eq=False)
class TotalVariation:
    """Half the sum of |share of the draws - mass| over ``cells`` regions of equal mass, from 0 to 1.

    ``floor`` is what as many independent draws from the density itself would show on average, ``effective_floor`` what the
    effective number of draws would, where that is known.
    """

    value: float
    floor: float
    cells: int
    draws: int
    effective_floor: float | None = None


@dataclass(frozen=True, eq=False)
class Grid:
    """A density on cells: centres ``x`` (X,) and ``y`` (Y,), ``log_likelihood`` and ``log_prior`` (X, Y), first axis x.

    Cells where the log-likelihood is not finite are NaN and hold no mass. ``info``: ``evaluations``, ``masked`` cells,
    ``border`` share of the mass in the outermost cells, ``widened`` how often the grid was widened, ``dims`` and ``at``
    which two coordinates of which plane, ``slice`` whether there are more than two, ``said`` sentences.
    """

    x: np.ndarray
    y: np.ndarray
    log_likelihood: np.ndarray
    log_prior: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def log_density(self) -> np.ndarray:
        """(X, Y), normalised so that the density integrates to 1; NaN where masked."""
        return self._raw - self._log_mass

    @cached_property
    def density(self) -> np.ndarray:
        """(X, Y) per unit area of the coordinates; zero where masked."""
        return np.exp(np.nan_to_num(self.log_density, nan=-np.inf, neginf=-np.inf))

    @cached_property
    def mass(self) -> np.ndarray:
        """(X, Y), summing to 1."""
        return self.density * self.area

    @property
    def area(self) -> float:
        """Of one cell."""
        return float((self.x[1] - self.x[0]) * (self.y[1] - self.y[0]))

    @property
    def log_evidence(self) -> float:
        """The log of the integral of likelihood (tempered) times prior."""
        return self._log_mass

    @cached_property
    def mean(self) -> np.ndarray:
        """(2,)."""
        return np.array([self.mass.sum(1) @ self.x, self.mass.sum(0) @ self.y])

    @cached_property
    def covariance(self) -> np.ndarray:
        """(2, 2)."""
        dx, dy = self.x - self.mean[0], self.y - self.mean[1]
        mixed = dx @ self.mass @ dy
        return np.array([[self.mass.sum(1) @ dx**2, mixed], [mixed, self.mass.sum(0) @ dy**2]])

    def levels(self, shares: Sequence[float] = SHARES) -> dict[float, float]:
        """The log density (as in ``log_density``) above which each share of the mass lies: the level of its contour."""
        order = np.sort(self.log_density[np.isfinite(self.log_density)])[::-1]
        inside = (np.cumsum(np.exp(order)) - 0.5 * np.exp(order)) * self.area
        return {share: float(np.interp(share, inside, order)) for share in shares}

    def total_variation(self, draws, side: int = 4, effective: float | None = None) -> TotalVariation:
        """Between draws (n, 2) and the grid, on ``side`` columns of equal mass, each of ``side`` cells of equal mass.

        The outer cells go on beyond the grid. ``effective`` is how many independent draws these are worth.
        """
        z = self._points(draws)
        if len(z) == 0:
            raise BadInput("The distance of draws from the grid needs at least one draw, found none.")
        column, counts = _column(z[:, 0], _edges(self.x, self.mass.sum(1), side)), np.zeros((side, side))
        for c, weights in enumerate(_columns(self.x, self.mass, side)):
            own = _column(z[column == c, 1], _edges(self.y, weights, side))
            counts[c] = np.bincount(own, minlength=side)
        share, cells = 1 / side**2, side**2
        value = 0.5 * float(np.abs(counts / len(z) - share).sum())
        known = None if effective is None else _floor(cells, effective)
        return TotalVariation(value, _floor(cells, len(z)), cells, len(z), known)

    def moment_errors(self, draws) -> dict[str, Any]:
        """Of draws (n, 2): ``mean`` (2,) in standard deviations, ``sd`` (2,) as ratios minus 1, ``correlation`` a
        difference.

        ``standard_error`` is what the errors of the mean would be for independent draws.
        """
        z, sd = self._points(draws), np.sqrt(np.diag(self.covariance))
        own = np.cov(z.T) if len(z) > 1 else np.full((2, 2), np.nan)
        own_sd = np.sqrt(np.diag(own))
        with np.errstate(divide="ignore", invalid="ignore"):  # a posterior of one cell has no deviation to measure by
            return {"mean": ((z.mean(0) - self.mean) / sd).tolist(), "sd": (own_sd / sd - 1).tolist(),
                    "correlation": float(own[0, 1] / own_sd.prod() - self.covariance[0, 1] / sd.prod()),
                    "standard_error": 1 / math.sqrt(len(z))}

    @property
    def border(self) -> float:
        """The share of the mass in the outermost cells."""
        return float(self.mass.sum() - self.mass[1:-1, 1:-1].sum())

    @cached_property
    def _raw(self) -> np.ndarray:
        raw = self.log_likelihood + self.log_prior
        return np.where(np.isfinite(raw), raw, np.nan)

    @cached_property
    def _log_mass(self) -> float:
        if not np.isfinite(self._raw).any():
            raise BadInput("The density is not finite in any cell of the grid. Centre it on a trained network, or use a "
                           "smaller prior_std.")
        top = float(np.nanmax(self._raw))
        return top + math.log(np.nansum(np.exp(self._raw - top)) * self.area)

    def _points(self, draws) -> np.ndarray:
        z = np.asarray(draws.detach().cpu() if isinstance(draws, torch.Tensor) else draws, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != 2:
            raise BadInput(f"Draws to compare with a grid are points (n, 2) of its two coordinates; found shape {z.shape}.")
        return z


def exact(target: Target, cells: int = 97, box: Box | None = None, dims: tuple[int, int] = (0, 1),
          at: torch.Tensor | None = None, include: torch.Tensor | None = None, known: torch.Tensor | None = None,
          progress: Progress = lambda done, total: None) -> Grid:
    """The density of two coordinates of a target on ``cells`` x ``cells``; with more than two, of the slice through ``at``.

    The grid is where the mass is: coarse ones find where the density is within ``boxes.DEPTH`` nats of its top, beginning
    with ``box`` ((x0, x1), (y0, y1)), by default three standard deviations of the prior; ``include`` (n, 2) are points that
    must be in it, ``known`` (n, 2) ones where there may be a peak too narrow for a coarse grid to see, such as trained
    networks. A given box is only widened, and only if mass is missed at its border; info says so.
    """
    if target.ndim < 2:
        raise BadInput(f"A grid needs two coordinates and this space has {target.ndim}. Choose a dimension of 2 or more.")
    at = torch.zeros(target.ndim, dtype=torch.float64) if at is None else at.double().cpu()
    slices = _Slice(target, dims, at, progress)
    peaks = None if known is None or not len(known) else (known.double().cpu().numpy(), slices.at_points(known))
    found = box or boxes.search(lambda n, within: slices.grid(within, n)._raw, boxes.of_prior(target, dims, at), peaks)
    found = boxes.including(found, None if include is None else include.double().cpu().numpy())
    widened = 0
    while True:
        grid = slices.grid(found, cells)
        if grid.border <= MISSED or widened == ROUNDS:
            break
        found, widened = boxes.widened(found, grid.mass, MISSED / 4), widened + 1
    grid.info.update(widened=widened, border=grid.border, evaluations=slices.evaluations, dims=list(dims), at=at.tolist(),
                     masked=int(np.isnan(grid._raw).sum()), slice=target.ndim > 2, said=[])
    grid.info["said"] = _said(grid, target)
    return grid


class _Slice:
    """Evaluates a target on grids over two of its coordinates."""

    def __init__(self, target: Target, dims: tuple[int, int], at: torch.Tensor, progress: Progress):
        self.target, self.dims, self.at, self.progress, self.evaluations = target, dims, at, progress, 0

    def grid(self, box: Box, cells: int) -> Grid:
        x, y = (_centres(*side, cells) for side in box)
        z = self._lifted(torch.tensor(np.stack([np.repeat(x, cells), np.tile(y, cells)], axis=1)))
        likelihood, prior = [], []
        for part in z.split(ROWS):
            likelihood.append(self.target.log_likelihood(part).cpu().numpy())
            prior.append(self.target.log_prior(part).cpu().numpy())
            self.evaluations += len(part)
            self.progress(sum(map(len, likelihood)), len(z))
        return Grid(x, y, *(np.concatenate(each).reshape(cells, cells) for each in (likelihood, prior)))

    def at_points(self, points: torch.Tensor) -> np.ndarray:
        """Log density (n,), up to the same constant, at points (n, 2) of the two coordinates."""
        z = self._lifted(points.double().cpu())
        self.evaluations += len(z)
        return (self.target.log_likelihood(z) + self.target.log_prior(z)).cpu().numpy()

    def _lifted(self, points: torch.Tensor) -> torch.Tensor:
        z = self.at.repeat(len(points), 1)
        z[:, list(self.dims)] = points
        return z


def _said(grid: Grid, target: Target) -> list[str]:
    info, said = grid.info, [target.said]
    if info["slice"]:
        said.append(f"This is a slice through {target.ndim} coordinates, not the density of these two alone: draws of all "
                    "of them are spread wider.")
    if info["widened"]:
        said.append(f"The grid was widened {info['widened']} time{'s' * (info['widened'] > 1)}, because mass was missed at "
                    "its border.")
    if info["border"] > MISSED:
        said.append(f"{100 * info['border']:.1f} % of the mass is in the outermost cells: the grid misses some beyond. Use "
                    "a smaller prior_std or a lower temperature.")
    if info["masked"]:
        said.append(f"{info['masked']:,} of {grid.mass.size:,} cells have no finite density and count as empty.")
    return said


def _centres(a: float, b: float, cells: int) -> np.ndarray:
    return a + (np.arange(cells) + 0.5) * ((b - a) / cells)


def _edges(centres: np.ndarray, mass: np.ndarray, parts: int) -> np.ndarray:
    """Where the cumulative mass is 1 / parts, 2 / parts ... of all (parts - 1,), as if spread evenly within cells."""
    step = centres[1] - centres[0]
    borders = np.append(centres - step / 2, centres[-1] + step / 2)
    total = np.append(0, np.cumsum(mass))
    return np.interp(total[-1] * np.arange(1, parts) / parts, total, borders)


def _columns(x: np.ndarray, mass: np.ndarray, side: int) -> list[np.ndarray]:
    """For each of ``side`` columns of equal mass the mass along y (Y,), cells on an edge divided in proportion."""
    total = np.append(0, np.cumsum(mass.sum(1)))
    shares = []
    for c in range(side):
        low, high = total[-1] * c / side, total[-1] * (c + 1) / side
        inside = np.clip(np.minimum(total[1:], high) - np.maximum(total[:-1], low), 0, None)
        width = np.diff(total)
        shares.append(np.divide(inside, width, out=np.zeros_like(inside), where=width > 0) @ mass)
    return shares


def _column(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges, values)


def _floor(cells: int, draws: float) -> float:
    """The mean total variation of so many independent draws: each cell's share is near a Gaussian around its mass."""
    p = 1 / cells
    return min(1.0, 0.5 * cells * math.sqrt(2 * p * (1 - p) / (math.pi * draws)))
