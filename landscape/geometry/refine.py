"""The same picture for fewer evaluations: a coarse grid first, then the cells where interpolation is in doubt.

The log of a loss is smooth along a plane, so a spline through some cells predicts the others. Two splines of different
order are drawn through the same cells: where they differ, in shares of the colour range, the next cells are evaluated.
An error rate moves in steps, of which splines know nothing: there each finer grid tests the one before, and is evaluated
where the prediction was off. At last cells chosen at random among the interpolated ones are evaluated to measure the error
that is printed; if it is above the tolerance, refinement goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import maximum_filter

from landscape.geometry import scattered

HELD_OUT = 128
START_CELLS = 7  # along the longer side of the first picture
AGREED = 0.35  # of the tolerance: what two splines may differ by
REDUCTION = 0.5  # fall of an error rate's interpolation error from one level to the next
REACH = 4  # cells around one whose error rate was off, evaluated next; one more each time
BATCH, GROWTH = 48, 0.25  # cells that are evaluated next: at least so many, or this share of those there are
APART = (2, 1, 0)  # cells between two of them, if there are enough


@dataclass(frozen=True)
class Channel:
    """How one metric is interpolated: the log of its excess over ``floor``, or as it is where ``floor`` is None.

    Errors count in shares of the colour range: from the smallest value to ``cap``, above which the picture saturates.
    ``tolerance`` bounds their 99th percentile. An error rate is ``stepped``, a loss is smooth.
    """

    cap: float
    tolerance: float
    floor: float | None = None
    stepped: bool = False

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
    ``knots`` (X, Y) are those of the evaluated cells that smooth metrics are interpolated between.

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
        self.knots, self._drawn = self.evaluated.copy(), 0  # and how many of them the values in between are drawn through

    def put(self, cells: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Evaluated values (N,) for cells (N, 2) of grid indices."""
        rows, columns = cells.T
        for metric in self.channels:
            self.values[metric][rows, columns] = values[metric]
        self.evaluated[rows, columns] = True

    def interpolate(self) -> None:
        """Fill every cell that is not evaluated: smooth metrics between the knots, the others between all that are."""
        if not self.evaluated.all():
            self._fill(self.steps, both=False)
            if self.knots.sum() > self._drawn:
                self._fill(self.smooth, both=False)

    def doubt(self) -> np.ndarray:
        """The same for smooth metrics, and (X, Y) what two ways to do it differ by, in units of the tolerance."""
        doubt = np.zeros(self.shape)
        for metric, (one, other) in self._fill(self.smooth, both=True).items():
            channel = self.channels[metric]
            doubt = np.maximum(doubt, channel.distance(one, other, channel.span(one)) / channel.tolerance)
        return np.where(self.evaluated, 0.0, doubt)

    @property
    def smooth(self) -> list[str]:
        return [m for m, c in self.channels.items() if not c.stepped]

    @property
    def steps(self) -> list[str]:
        return [m for m, c in self.channels.items() if c.stepped]

    def _fill(self, metrics: list[str], both: bool) -> dict[str, list[np.ndarray]]:
        """Interpolates metrics, all smooth or all with steps: each in one way or ``both`` (X, Y), the first one kept."""
        if not metrics:
            return {}
        is_smooth = metrics == self.smooth
        cells = np.argwhere(self.knots if is_smooth else self.evaluated)
        known = np.stack([self.channels[m].forward(self.values[m][tuple(cells.T)]) for m in metrics], axis=1)
        reach = np.ptp(known, axis=0) * is_smooth  # how far beyond its values a spline may go
        low, high = known.min(0) - reach, known.max(0) + reach
        between = scattered.smooth if is_smooth else scattered.local
        drawn = [np.clip(each, low, high) for each in between(cells, known, self.shape, both)]
        made = {}
        for i, m in enumerate(metrics):
            made[m] = [np.where(self.evaluated, self.values[m], self.channels[m].backward(each[..., i])) for each in drawn]
            self.values[m] = made[m][0]
        self._drawn = int(self.knots.sum()) if is_smooth else self._drawn
        return made

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
        picture.knots |= picture.evaluated
        picture.interpolate()


def adaptive(picture: Picture, seed: int = 0) -> Iterator[np.ndarray]:
    """Cells (N, 2) to evaluate and put, until the measured error is within every channel's tolerance.

    Starts from an empty picture and is deterministic given the values put. When it asks for the next cells the picture
    is complete: evaluated on the cells so far, interpolated between.
    """
    coarse, *levels = strides(picture.shape)
    yield np.argwhere(_level(picture.shape, coarse))
    picture.knots |= picture.evaluated
    picture.interpolate()
    wanted = np.ones(picture.shape, bool)
    for i, stride in enumerate(levels):
        predicted = {m: v.copy() for m, v in picture.values.items()}
        cells = np.argwhere(_level(picture.shape, stride) & wanted & ~picture.evaluated)
        yield cells
        if i == 0:
            picture.knots |= picture.evaluated
            yield from _until_agreed(picture, AGREED, np.zeros(picture.shape))
        picture.interpolate()
        wanted = _around(cells, _excess(picture, picture.off(predicted, cells), REDUCTION), 2 * stride, picture.shape)
        if not wanted.any():
            break
    yield from _until_measured(picture, np.random.default_rng(seed))


def _until_agreed(picture: Picture, agreed: float, near: np.ndarray) -> Iterator[np.ndarray]:
    """Evaluates where smooth metrics are in doubt; at first in any case around cells that were off, ``near`` (X, Y)."""
    while picture.smooth and not picture.evaluated.all():
        doubt = np.maximum(picture.doubt(), np.where(picture.evaluated, 0.0, near))
        if not near.any() and np.percentile(doubt[~picture.evaluated], 99) <= agreed:
            return
        near, cells = np.zeros(picture.shape), _worst(doubt, picture)
        yield cells
        picture.knots[tuple(cells.T)] = True


def _until_measured(picture: Picture, random: np.random.Generator) -> Iterator[np.ndarray]:
    agreed, reach = AGREED, REACH
    while not picture.evaluated.all():
        rest = np.argwhere(~picture.evaluated)
        cells = rest[random.permutation(len(rest))[:HELD_OUT]]
        predicted = {m: v.copy() for m, v in picture.values.items()}
        yield cells
        off = picture.off(predicted, cells)
        picture.measured, picture.held_out = {m: float(np.percentile(e, 99)) for m, e in off.items()}, len(cells)
        bad = {m for m, c in picture.channels.items() if picture.measured[m] > c.tolerance}
        if not bad or bad & set(picture.smooth):
            picture.knots[tuple(cells.T)] = True
        if bad & set(picture.steps):
            yield np.argwhere(_around(cells, _excess(picture, off, 1.0), reach, picture.shape) & ~picture.evaluated)
            reach += 1
        if bad & set(picture.smooth):
            agreed /= 2
            yield from _until_agreed(picture, agreed, _near(picture, cells, off))
        picture.interpolate()
        if not bad:
            return
    picture.measured, picture.held_out = {m: 0.0 for m in picture.channels}, 0


def _excess(picture: Picture, off: dict[str, np.ndarray], factor: float) -> np.ndarray:
    """(N,) True where an error rate was off by more than its tolerance, times the factor still to come."""
    bad = np.zeros(len(next(iter(off.values()))), bool)
    for m in picture.steps:
        bad |= factor * off[m] > picture.channels[m].tolerance
    return bad


def _near(picture: Picture, cells: np.ndarray, off: dict[str, np.ndarray]) -> np.ndarray:
    """(X, Y) how far smooth metrics were off at cells (N, 2) and are around them, in units of the tolerance; 0 if within."""
    there = np.zeros(picture.shape)
    there[tuple(cells.T)] = np.max([off[m] / picture.channels[m].tolerance for m in picture.smooth], axis=0)
    return maximum_filter(np.where(there > 1, there, 0.0), size=2 * APART[0] + 1)


def _around(cells: np.ndarray, bad: np.ndarray, reach: int, shape: tuple[int, int]) -> np.ndarray:
    """A mask (X, Y) of everything within ``reach`` cells of a bad one."""
    mask = np.zeros(shape, bool)
    mask[tuple(cells[bad].T)] = True
    return maximum_filter(mask, size=2 * reach + 1)


def _worst(doubt: np.ndarray, picture: Picture) -> np.ndarray:
    """The next cells (N, 2) to evaluate: those of the largest doubt, a little apart."""
    wanted, taken = max(BATCH, int(GROWTH * picture.knots.sum())), np.zeros_like(picture.evaluated)
    order = np.argsort(-doubt, axis=None, kind="stable")
    columns = doubt.shape[1]
    for apart in APART:
        blocked, missing = picture.evaluated | taken, wanted - int(taken.sum())
        for i, j in (divmod(int(place), columns) for place in order):
            if missing == 0:
                return np.argwhere(taken)
            if not blocked[i, j]:
                taken[i, j], missing = True, missing - 1
                blocked[max(0, i - apart) : i + apart + 1, max(0, j - apart) : j + apart + 1] = True
    return np.argwhere(taken)


def _level(shape: tuple[int, int], stride: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[np.ix_(lines(shape[0], stride), lines(shape[1], stride))] = True
    return mask

