"""The same picture for fewer evaluations: ever finer subsets of a grid, evaluated only where interpolation is not exact yet.

The log of a loss is smooth along a plane, so a cubic spline through a coarse grid predicts the finer one. Each level
tests the one before: where the prediction was off by more than the tolerance, the next level is evaluated, elsewhere
it is interpolated. A last set of cells, chosen at random among the interpolated ones, is evaluated to measure the
error that is printed; if it is above the tolerance, refinement goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import maximum_filter

HELD_OUT = 128
START_CELLS = 7  # along the longer side of the first picture
REDUCTION = 0.125  # assumed fall of the interpolation error from one level to the next (half the step, third order)


@dataclass(frozen=True)
class Channel:
    """How one metric is interpolated: the log of its excess over ``floor``, or as it is where ``floor`` is None.

    Errors count in shares of the colour range: from the smallest value to ``cap``, above which the picture saturates.
    ``tolerance`` bounds their 99th percentile.
    """

    cap: float
    tolerance: float
    floor: float | None = None

    def forward(self, v: np.ndarray) -> np.ndarray:
        v = np.nan_to_num(v, nan=10 * abs(self.cap), posinf=10 * abs(self.cap))
        return v if self.floor is None else np.log(np.maximum(v - self.floor, 1e-12))

    def backward(self, u: np.ndarray) -> np.ndarray:
        return u if self.floor is None else np.exp(u) + self.floor

    def span(self, v: np.ndarray) -> float:
        low = float(np.nanmin(v)) if np.isfinite(v).any() else 0.0
        return max(min(self.cap, float(np.nanmax(v))) - low, 1e-12) if np.isfinite(v).any() else 1.0

    def distance(self, a: np.ndarray, b: np.ndarray, span: float) -> np.ndarray:
        """|a - b| in shares of the colour range, both saturated at the cap; a non-finite value counts as saturated."""
        a, b = (np.minimum(np.nan_to_num(v, nan=self.cap, posinf=self.cap), self.cap) for v in (a, b))
        return np.abs(a - b) / span


@dataclass
class Picture:
    """A grid being filled. ``values`` (X, Y) per metric, NaN where unknown; ``evaluated`` (X, Y) tells the two apart.

    ``measured`` holds the 99th percentile of the interpolation error per metric once it is known, ``held_out`` the
    number of cells it was measured on.
    """

    shape: tuple[int, int]
    channels: dict[str, Channel]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    evaluated: np.ndarray | None = None
    measured: dict[str, float] = field(default_factory=dict)
    held_out: int = 0

    def __post_init__(self):
        self.values = self.values or {m: np.full(self.shape, np.nan) for m in self.channels}
        self.evaluated = np.zeros(self.shape, bool) if self.evaluated is None else self.evaluated

    def put(self, cells: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Evaluated values (N,) for cells (N, 2) of grid indices."""
        rows, columns = cells.T
        for metric in self.channels:
            self.values[metric][rows, columns] = values[metric]
        self.evaluated[rows, columns] = True

    def interpolate(self, stride: int) -> None:
        """Fill every cell not evaluated from the cells of one level, by a spline along each axis in turn."""
        xs, ys = (lines(n, stride) for n in self.shape)
        for metric, channel in self.channels.items():
            known = channel.forward(self.values[metric][np.ix_(xs, ys)])
            low, high = known.min(), known.max()
            along_x = _spline(xs, known, 0)(np.arange(self.shape[0]))
            full = _spline(ys, along_x, 1)(np.arange(self.shape[1]))
            filled = channel.backward(full if channel.floor is not None else np.clip(full, low, high))
            self.values[metric] = np.where(self.evaluated, self.values[metric], filled)

    def off(self, predicted: dict[str, np.ndarray], cells: np.ndarray) -> dict[str, np.ndarray]:
        """How far predictions were from the values since evaluated at the cells, in shares of the colour range (N,)."""
        at = tuple(cells.T)
        return {
            m: c.distance(predicted[m][at], self.values[m][at], c.span(self.values[m])) for m, c in self.channels.items()
        }


def strides(shape: tuple[int, int]) -> list[int]:
    """Falling powers of two, ending at 1: the first leaves about START_CELLS cells along the longer side."""
    stride = 1
    while (max(shape) - 1) / (2 * stride) >= START_CELLS - 1:
        stride *= 2
    return [stride >> k for k in range(stride.bit_length())]


def lines(n: int, stride: int) -> np.ndarray:
    """The indices a level has along one axis: every ``stride``-th and the last."""
    return np.unique(np.append(np.arange(0, n, stride), n - 1))


def exact(picture: Picture) -> Iterator[np.ndarray]:
    """Every cell, coarse to fine, each once: yields the cells (N, 2) to evaluate and put before going on.

    When it asks for the next cells the picture is complete, interpolated where nothing was evaluated yet.
    """
    for stride in strides(picture.shape):
        yield np.argwhere(_level(picture.shape, stride) & ~picture.evaluated)
        picture.interpolate(stride)


def adaptive(picture: Picture, seed: int = 0) -> Iterator[np.ndarray]:
    """Cells (N, 2) to evaluate and put, until the measured error is within every channel's tolerance.

    Starts from an empty picture and is deterministic given the values put. When it asks for the next cells the picture
    is complete: evaluated on the cells so far, interpolated between.
    """
    levels = strides(picture.shape)
    yield np.argwhere(_level(picture.shape, levels[0]))
    picture.interpolate(levels[0])
    wanted = np.ones(picture.shape, bool)
    for stride in levels[1:]:
        predicted = {m: v.copy() for m, v in picture.values.items()}
        cells = np.argwhere(_level(picture.shape, stride) & wanted & ~picture.evaluated)
        yield cells
        wanted = _around(cells, _excess(picture, picture.off(predicted, cells), REDUCTION), 2 * stride, picture.shape)
        picture.interpolate(stride)
        if not wanted.any():
            break
    yield from _until_measured(picture, np.random.default_rng(seed))


def _until_measured(picture: Picture, random: np.random.Generator) -> Iterator[np.ndarray]:
    reach = 4
    while True:
        rest = np.argwhere(~picture.evaluated)
        if len(rest) == 0:
            picture.measured, picture.held_out = {m: 0.0 for m in picture.channels}, 0
            return
        cells = rest[random.permutation(len(rest))[:HELD_OUT]]
        predicted = {m: v.copy() for m, v in picture.values.items()}
        yield cells
        off = picture.off(predicted, cells)
        picture.measured = {m: float(np.percentile(e, 99)) for m, e in off.items()}
        picture.held_out = len(cells)
        if all(picture.measured[m] <= c.tolerance for m, c in picture.channels.items()):
            picture.interpolate(1)
            return
        wanted = _around(cells, _excess(picture, off, 1.0), reach, picture.shape)
        reach *= 2
        yield np.argwhere(wanted & ~picture.evaluated)
        picture.interpolate(1)


def _excess(picture: Picture, off: dict[str, np.ndarray], factor: float) -> np.ndarray:
    """(N,) True where any channel's error, times the factor still to come, is above its tolerance."""
    return np.any([factor * off[m] > c.tolerance for m, c in picture.channels.items()], axis=0)


def _around(cells: np.ndarray, bad: np.ndarray, reach: int, shape: tuple[int, int]) -> np.ndarray:
    """A mask (X, Y) of everything within ``reach`` cells of a bad one."""
    mask = np.zeros(shape, bool)
    mask[tuple(cells[bad].T)] = True
    return maximum_filter(mask, size=2 * reach + 1)


def _level(shape: tuple[int, int], stride: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[np.ix_(lines(shape[0], stride), lines(shape[1], stride))] = True
    return mask


def _spline(positions: np.ndarray, values: np.ndarray, axis: int):
    return make_interp_spline(positions, values, k=min(3, len(positions) - 1), axis=axis)
