"""Contour levels that multiply the excess over the minimum, and the colour of every value between them.

The rule is the talk's (slides 7, 9 and 13): with ``m`` and ``M`` the ends, ``R = M - m`` and ``h = (ln R - a) / n``, the
levels are ``m``, then ``m + exp(a + i h)`` for i from 1 to n - 1, last ``M``: every contour multiplies the excess above
the minimum by one factor ``g = exp(h)``, the growth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

N = 7  # contours above the minimum
TOP = 0.9  # colour fraction of the highest level; the last tenth belongs to the band above it
SMALLEST = 1e-12  # smallest range that is drawn, relative to the values' size

PRESETS: dict[str, float | None] = {
    "auto (doubling)": None,
    "slide 7 (a = -3.85)": -3.85,
    "slide 9 (-1)": -1,
    "slide 13 test error (-1.3)": -1.3,
    "slide 13 train loss (-5.1)": -5.1,
}


def _log_range(low: float, high: float) -> float:
    """``ln R``; a constant picture gets a range of one millionth so that its levels still rise."""
    return math.log(max(high - low, 1e-6 * max(abs(low), abs(high), SMALLEST)))


def auto_offset(low: float, high: float, n: int = N) -> float:
    """The offset ``a`` with which each contour doubles the excess: ``ln R - n ln 2``."""
    return _log_range(low, high) - n * math.log(2)


def growth(low: float, high: float, a: float, n: int = N) -> float:
    """Factor ``g`` between the excesses of neighbouring contours."""
    return math.exp((_log_range(low, high) - a) / n)


def offset_of_growth(low: float, high: float, g: float, n: int = N) -> float:
    """The offset ``a`` whose growth is ``g`` (> 1)."""
    return _log_range(low, high) - n * math.log(g)


def levels(low: float, high: float, a: float, n: int = N) -> np.ndarray:
    """The n + 1 levels from ``low`` to ``high``, in the units of the values."""
    h = (_log_range(low, high) - a) / n
    found = low + np.exp(a + h * np.arange(n + 1))
    found[0], found[-1] = low, low + math.exp(_log_range(low, high)) if high <= low else high
    return found


def labels(levels: Sequence[float], clipped: bool) -> list[str]:
    """Two significant digits where that keeps all levels apart, otherwise as few as do, four at least.

    The last entry is ``> M`` when there are values above the highest level ``M``.
    """
    for digits in (2, 4, 6, 8, 12, 17):
        written = [_number(v, digits) for v in levels]
        if len(set(written)) == len(written):
            break
    return [*written, f"> {written[-1]}"] if clipped else written


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e5 else text


@dataclass(frozen=True)
class Scale:
    """Levels and colours for one picture, or for several that are compared.

    ``low`` and ``high`` in the units of the values, ``a`` the offset, ``clipped`` whether values above ``high`` exist.
    """

    low: float
    high: float
    a: float
    clipped: bool
    n: int = N

    @property
    def levels(self) -> np.ndarray:
        """(n + 1,) values."""
        return levels(self.low, self.high, self.a, self.n)

    @property
    def labels(self) -> list[str]:
        """One per level, and ``> M`` when clipped."""
        return labels(self.levels, self.clipped)

    @property
    def step(self) -> float:
        """Colour fraction between two neighbouring levels."""
        return TOP / self.n

    def _unclipped(self, values) -> np.ndarray:
        """The talk's colour rule without its upper end: 0 at ``low + exp(a)``, ``TOP`` at ``high``; NaN stays."""
        a, span = self.a, max(_log_range(self.low, self.high) - self.a, 1e-9)
        excess = np.asarray(values, float) - self.low
        return TOP * (np.log(np.maximum(excess, math.exp(a))) - a) / span

    def fraction(self, values) -> np.ndarray:
        """Colour fraction in [0, 1], any shape: ``0.9 (max(ln(v - m), a) - a) / (ln R - a)``, 1 above ``high``."""
        values = np.asarray(values, float)
        return np.where(values > self.high, 1.0, np.minimum(self._unclipped(values), TOP) + 0 * values.clip(-1, 1))

    def height(self, values) -> np.ndarray:
        """``fraction`` made smooth, for drawing: equal to it from the first to the last contour, no kinks beyond.

        Above ``high`` it levels off within the last tenth (contours of a step to 1 would be staircases). Below the
        first contour it goes on in a straight line of the excess, so that the floor of a valley keeps its shape.
        """
        values = np.asarray(values, float)
        t = self._unclipped(values)
        first = math.exp(self.a + (_log_range(self.low, self.high) - self.a) / self.n)  # excess at the first contour
        slope = TOP / max(_log_range(self.low, self.high) - self.a, 1e-9)
        excess = np.maximum(values - self.low, 0.0)
        with np.errstate(over="ignore"):
            floor = self.step + slope * (np.minimum(excess / first, 1.0) - 1.0)
        plateau = TOP + (1 - TOP) * -np.expm1(-np.maximum(t - TOP, 0.0) / (1 - TOP))
        return np.where(excess < first, floor, np.where(t > TOP, plateau, t))


def common_scale(arrays: Sequence[np.ndarray], cap: float | None, a: float | None = None,
                 growth: float | None = None) -> Scale:
    """One scale for pictures that are compared: from their common minimum to ``cap`` or the common maximum.

    ``a`` is the talk's offset, ``growth`` the factor instead of it; with neither every contour doubles the excess.
    An offset that leaves no room below the top (``a >= ln R``) falls back to doubling: such levels would not rise.
    """
    finite = np.concatenate([v[np.isfinite(v)] for v in (np.asarray(x, float).ravel() for x in arrays)] or [np.empty(0)])
    beyond = any(np.isposinf(np.asarray(x, float)).any() for x in arrays)
    low, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    high = highest if cap is None or cap <= low else min(float(cap), highest)
    top = _log_range(low, high)
    if growth is not None:
        a = offset_of_growth(low, high, max(growth, 1.01))
    elif a is None or a >= top - 1e-6:
        a = auto_offset(low, high)
    if high <= low:
        high = low + math.exp(top)
    return Scale(low, high, float(a), bool(highest > high or beyond))
