"""A ladder of corruptions, severity 0 to 5: how accuracy and calibration fall as inputs leave what was trained on.

The corruptions are made here, after the idea of Hendrycks and Dietterich (2019); their numbers are not those of any
published benchmark. Severity 0 is the input itself. One seed gives one noise, one direction and one side to every example
at all severities, so a ladder differs in strength alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from landscape.errors import BadInput, unknown

SEVERITIES = range(6)
KINDS = ("image", "signal", "table")
_SIGNAL_FROM = 16  # values from which a row of numbers is a signal whose neighbours belong together
_PIECE = 2**22  # numbers that are moved at once


@dataclass(frozen=True)
class Row:
    """``strengths`` (6,) by severity, in ``unit``; ``make(x, kind, strength, generator)`` for inputs of ``kinds``."""

    label: str
    words: str
    strengths: tuple[float, ...]
    unit: str
    kinds: tuple[str, ...]
    make: Callable[[np.ndarray, str, float, np.random.Generator], np.ndarray]


def corrupt(x: np.ndarray, name: str, severity: int, seed: int = 0, kind: str | None = None) -> np.ndarray:
    """Inputs ``x`` (n, *shape) of the same shape and type, corrupted. Pixels are (n, [channels,] height, width).

    Raises BadInput for an unknown name or severity, a corruption that has no meaning for the kind, or non-finite inputs.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise BadInput(f"Expected a severity of 0 ... {len(SEVERITIES) - 1}, found {severity!r}.")
    x = np.asarray(x)
    kind = kind_of(x.shape) if kind is None else kind
    row = CORRUPTIONS[name]
    if kind not in row.kinds:
        raise BadInput(f"{row.label} has a meaning for {' and '.join(row.kinds)} inputs, found {kind} inputs of shape "
                       f"{x.shape[1:]}. Choose one of: {', '.join(names_for(kind))}.")
    if x.dtype.kind != "f" or not np.isfinite(x).all():
        raise BadInput(f"Expected finite floating-point inputs, found type {x.dtype}. Normalise the inputs first.")
    if severity == 0:
        return x.copy()
    return row.make(x, kind, row.strengths[severity], np.random.default_rng(seed)).astype(x.dtype)


def kind_of(shape: tuple[int, ...]) -> str:
    """What inputs (n, *shape) are: images, signals, or a table of a few columns. Raises BadInput for other shapes."""
    if len(shape) in (3, 4) and min(shape[-2:]) > 1:
        return "image"
    if len(shape) in (2, 3) and shape[-1] >= _SIGNAL_FROM:
        return "signal"
    if len(shape) == 2 and shape[-1]:
        return "table"
    raise BadInput(f"Expected inputs (n, length), (n, height, width) or (n, channels, height, width), found shape {shape}.")


def names_for(kind: str) -> list[str]:
    """The corruptions that have a meaning for a kind of inputs."""
    if kind not in KINDS:
        raise unknown("kind of inputs", kind, KINDS)
    return [name for name, row in CORRUPTIONS.items() if kind in row.kinds]


def _noise(x: np.ndarray, kind: str, strength: float, generator: np.random.Generator) -> np.ndarray:
    return x + strength * x.std() * generator.standard_normal(x.shape)


def _contrast(x: np.ndarray, kind: str, strength: float, generator: np.random.Generator) -> np.ndarray:
    centre = x.mean(tuple(range(1, x.ndim)), keepdims=True)
    return centre + strength * (x - centre)


def _blur(x: np.ndarray, kind: str, strength: float, generator: np.random.Generator) -> np.ndarray:
    x = x.astype(np.float64)
    for axis in (-1, -2)[: 2 if kind == "image" else 1]:
        x = gaussian_filter1d(x, strength * x.shape[axis], axis=axis, mode="nearest")
    return x


def _shifted(x: np.ndarray, kind: str, strength: float, generator: np.random.Generator) -> np.ndarray:
    if kind == "signal":
        side = generator.choice([-1, 1], len(x))
        rows = _as_images(x)
        return _sampled(rows, np.zeros(len(x)), side * strength * x.shape[-1], np.zeros(len(x))).reshape(x.shape)
    angle = generator.uniform(0, 2 * np.pi, len(x))
    height, width = x.shape[-2:]
    moved = _sampled(_as_images(x), strength * height * np.sin(angle), strength * width * np.cos(angle), np.zeros(len(x)))
    return moved.reshape(x.shape)


def _rotated(x: np.ndarray, kind: str, strength: float, generator: np.random.Generator) -> np.ndarray:
    side = generator.choice([-1.0, 1.0], len(x))
    if kind == "signal":  # its graph is tilted: a straight line of that slope is added
        line = np.linspace(-1, 1, x.shape[-1]) * np.tan(np.deg2rad(strength)) * x.std()
        return x + side.reshape(-1, *[1] * (x.ndim - 1)) * line
    nothing = np.zeros(len(x))
    return _sampled(_as_images(x), nothing, nothing, side * np.deg2rad(strength)).reshape(x.shape)


def _as_images(x: np.ndarray) -> np.ndarray:
    """(n, channels, height, width); a signal is one line high."""
    if x.ndim == 4:
        return x
    return x[:, None] if x.ndim == 3 and x.shape[1] > 1 else x.reshape(len(x), 1, -1, x.shape[-1])


def _sampled(images: np.ndarray, down: np.ndarray, right: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Images moved by pixels (n,) and turned by radians (n,) about the centre, bilinear; edges are continued outwards."""
    n, channels, height, width = images.shape
    made = np.empty(images.shape, np.float64)
    size = max(1, _PIECE // (channels * height * width))
    rows, columns = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        cos, sin = (f(turn[part])[:, None, None] for f in (np.cos, np.sin))
        y = cos * rows + sin * columns + (height - 1) / 2 - down[part][:, None, None]
        x = -sin * rows + cos * columns + (width - 1) / 2 - right[part][:, None, None]
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        bottom, far = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        v, h = (y - top)[..., None], (x - left)[..., None]
        last = np.moveaxis(images[part], 1, -1)
        at = np.arange(len(last))[:, None, None]
        upper = last[at, top, left] * (1 - h) + last[at, top, far] * h
        lower = last[at, bottom, left] * (1 - h) + last[at, bottom, far] * h
        made[part] = np.moveaxis(upper * (1 - v) + lower * v, -1, 1)
    return made


CORRUPTIONS = {
    "noise": Row("Noise", "normal noise on every value", (0, 0.15, 0.3, 0.5, 0.75, 1.1), "standard deviations of the inputs",
                 KINDS, _noise),
    "blur": Row("Blur", "a Gaussian average of neighbours", (0, 0.02, 0.035, 0.05, 0.075, 0.11), "of the side",
                ("image", "signal"), _blur),
    "shift": Row("Shift", "moved in a random direction, edges continued", (0, 0.04, 0.08, 0.12, 0.18, 0.25), "of the side",
                 ("image", "signal"), _shifted),
    "rotation": Row("Rotation", "turned to a random side; a signal is tilted", (0, 8, 16, 27, 40, 60), "degrees",
                    ("image", "signal"), _rotated),
    "contrast": Row("Contrast", "all values nearer to the mean of their example", (1, 0.75, 0.55, 0.4, 0.25, 0.12),
                    "times the contrast", KINDS, _contrast),
}
