"""Width along lines: random rays from a network, and the line through two (Izmailov et al. 2018, figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry.spectrum import Progress, silent
from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.networks.net import Buffers
from landscape.training.task import Task

SPLITS = ("train", "test")


def unit_directions(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Directions (count, P) float64, uniform on the unit sphere; the same generator, the same ones for every network."""
    drawn = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return drawn / drawn.norm(dim=1, keepdim=True)


def along_rays(task: Task, w: Tensor, directions: Tensor, distances: np.ndarray, splits: Sequence[str] = SPLITS,
               buffers: Buffers | None = None, progress: Progress = silent) -> dict[str, np.ndarray]:
    """Metrics at w + s d, each (K, S), for directions d (K, P) and distances s (S,) in lengths of d.

    Unit directions make s a weight-space distance; filter-normalised ones (``directions.filter_normalised``) steps of the
    filters' own length. s = 0 is w (P,) itself. BatchNorm as in ``Evaluator``: re-estimated at every point unless
    ``buffers`` are given. ``progress(done, total)`` counts points and may raise to stop.
    """
    distances = np.asarray(distances, dtype=np.float64)
    if directions.ndim != 2 or directions.shape[1:] != w.shape or not len(distances):
        raise BadInput(f"Rays need directions (K, {len(w)}) and at least one distance; found {tuple(directions.shape)} and "
                       f"{len(distances)} distances.")
    found, total = [], len(directions) * len(distances)
    for k, direction in enumerate(directions):
        evaluator = Evaluator(task, Subspace(w.double(), direction[None].to(w.device, torch.float64)), splits, buffers)
        evaluator.chunk = min(evaluator.chunk, -(-len(distances) // evaluator.threads))  # a ray is short: all threads work
        before = k * len(distances)
        found.append(evaluator(distances[:, None], lambda done, _, before=before: progress(before + done, total)))
    return {metric: np.stack([each[metric] for each in found]) for metric in found[0]}


def widths(distances: np.ndarray, values: np.ndarray, rise: float) -> np.ndarray:
    """The distance (K,) at which each ray's value has first risen by ``rise`` over its own at 0; inf where never in range.

    ``values`` (K, S) at ``distances`` (S,) ascending from 0, linear between them. A value that is not finite has risen: the
    width is then the distance of that point.
    """
    distances, values = np.asarray(distances, dtype=np.float64), np.atleast_2d(np.asarray(values, dtype=np.float64))
    if distances[0] != 0 or (np.diff(distances) <= 0).any() or values.shape[1] != len(distances) or not rise > 0:
        raise BadInput("A width needs distances that start at 0 and ascend, a value for each, and a rise above 0; found "
                       f"{len(distances)} distances from {distances[0]:g}, values {values.shape}, rise {rise:g}.")
    if not np.isfinite(values[:, 0]).all():
        raise BadInput("A width is the distance to a rise over the value at 0, and that value is not finite here.")
    return np.array([_crossing(distances, row, row[0] + rise) for row in values])


def share_within(values: np.ndarray, rise: float) -> np.ndarray:
    """Share (S,) of the rays in values (K, S) whose value is less than ``rise`` above their own at the first point."""
    return (values < values[:, :1] + rise).mean(0)


@dataclass(frozen=True)
class Interval:
    """A statistic of K rays and a bootstrap interval that holds it with probability ``level``; inf where rays never end."""

    value: float
    low: float
    high: float
    level: float


def median_width(found: np.ndarray, generator: torch.Generator, level: float = 0.95, draws: int = 2000) -> Interval:
    """The median width of K rays, widths (K,) with inf allowed, and the percentile bootstrap over rays (Efron 1979)."""
    return _bootstrap(np.asarray(found, dtype=np.float64), _median, generator, level, draws)


def wider_share(first: np.ndarray, second: np.ndarray, generator: torch.Generator, level: float = 0.95,
                draws: int = 2000) -> Interval:
    """Share of the directions along which the first network is wider than the second, ties counting half.

    ``first`` and ``second`` (K,) are widths along the same K directions; the interval is the bootstrap over directions.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise BadInput(f"Widths are compared along the same directions; found {len(first)} and {len(second)} of them.")
    return _bootstrap((first > second) + 0.5 * (first == second), lambda rows: rows.mean(-1), generator, level, draws)


@dataclass(frozen=True, eq=False)
class Line:
    """Metrics on the line through two networks: ``values`` (S,) at ``distances`` (S,), weight-space distance from the first.

    The first network is at 0 and the second at ``length``, both among the distances.
    """

    distances: np.ndarray
    values: dict[str, np.ndarray]
    length: float
    subspace: Subspace


def line(task: Task, first: Tensor, last: Tensor, before: float = 0.5, beyond: float = 0.5, cells: int = 61,
         splits: Sequence[str] = SPLITS, buffers: Buffers | None = None, progress: Progress = silent) -> Line:
    """The line through two networks (P,), drawn ``before`` the first and ``beyond`` the second, in lengths between them.

    About ``cells`` equal steps, and both networks themselves. BatchNorm and ``progress`` as in ``along_rays``.
    """
    gap = last.double() - first.double()
    length = float(gap.norm())
    if not 0 < length < np.inf:
        raise BadInput(f"A line needs two different networks with finite weights; these are {length:g} apart.")
    if min(before, beyond) < 0 or cells < 2:
        raise BadInput(f"A line reaches 0 or more lengths over its ends in 2 or more cells; found before={before}, "
                       f"beyond={beyond}, cells={cells}.")
    grid = np.linspace(-before * length, (1 + beyond) * length, cells)
    grid = grid[(np.abs(grid) > 1e-9 * length) & (np.abs(grid - length) > 1e-9 * length)]
    distances = np.union1d(grid, [0.0, length])
    direction = (gap / length)[None]
    values = along_rays(task, first, direction, distances, splits, buffers, progress)
    return Line(distances, {m: v[0] for m, v in values.items()}, length, Subspace(first.double(), direction))


@dataclass(frozen=True)
class Sides:
    """How far it is to the ``left`` and to the ``right`` of a point of a line until a metric has risen; inf where never.

    ``asymmetry`` is (right - left) / (right + left): 0 in the middle of a valley, 1 where the left wall is right there; NaN
    where both are inf.
    """

    left: float
    right: float

    @property
    def asymmetry(self) -> float:
        if np.isinf(self.left) or np.isinf(self.right):
            return float(np.isinf(self.right)) - float(np.isinf(self.left)) if self.left != self.right else float("nan")
        return (self.right - self.left) / (self.right + self.left)


def sides(distances: np.ndarray, values: np.ndarray, at: float, rise: float) -> Sides:
    """Distances on each side of ``at`` until the values (S,) have first risen by ``rise`` over the one there.

    ``at`` is one of the ``distances`` (S,), ascending: a network on the line, or the line's lowest point.
    """
    here = np.flatnonzero(distances == at)
    if not len(here) or not np.isfinite(values[here[0]]) or not rise > 0:
        raise BadInput("Sides are those of a point of the line with a finite value, and a rise above 0; found a point at "
                       f"{at:g}, distances from {distances[0]:g} to {distances[-1]:g}, rise {rise:g}.")
    i = here[0]
    limit = values[i] + rise
    return Sides(_crossing(at - distances[i::-1], values[i::-1], limit), _crossing(distances[i:] - at, values[i:], limit))


def _crossing(distances: np.ndarray, values: np.ndarray, limit: float) -> float:
    """Where the values (S,) first reach the limit, linear between points."""
    above = np.flatnonzero(~(values < limit))
    if not len(above):
        return float("inf")
    i = above[0]
    if i == 0 or not np.isfinite(values[i]):
        return float(distances[i])
    share = (limit - values[i - 1]) / (values[i] - values[i - 1])
    return float(distances[i - 1] + share * (distances[i] - distances[i - 1]))


def _median(rows: np.ndarray) -> np.ndarray:
    """The median along the last axis, the lower middle one of an even number: infinite values may be among them."""
    return np.sort(rows, axis=-1)[..., (rows.shape[-1] - 1) // 2]


def _bootstrap(values: np.ndarray, statistic, generator: torch.Generator, level: float, draws: int) -> Interval:
    if values.ndim != 1 or len(values) < 2 or np.isnan(values).any() or not 0 < level < 1:
        raise BadInput("An interval needs the values of at least 2 rays, none of them NaN, and a level between 0 and 1; "
                       f"found shape {values.shape}, level {level:g}.")
    drawn = torch.randint(0, len(values), (draws, len(values)), generator=generator).numpy()
    found = np.sort(statistic(values[drawn]))
    tail = (1 - level) / 2
    low, high = found[int(tail * (draws - 1))], found[-1 - int(tail * (draws - 1))]
    return Interval(float(statistic(values)), float(low), float(high), level)
