"""A surface as a small picture: an SVG of a few kilobytes that needs no script, for lists and cards."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from landscape.errors import unknown
from landscape.figures import style
from landscape.figures.levels import TOP, Scale
from landscape.results import Surface

PIXELS = 360  # width of the picture's raster
ENDS = ("optimum", "end")  # marks that a straight segment joins
ASPECT = 1.75  # width over height, where the surface is tall enough


def thumbnail(surface: Surface, metric: str, scale: Scale) -> str:
    """SVG text: the bands of the levels, the curve, the straight segment between two solutions, and the marks.

    Empty cells are transparent.
    """
    if metric not in surface.values:
        raise unknown("metric of this surface", metric, surface.values)
    (x0, x1), (y0, y1) = window(surface)
    size = PIXELS / (x1 - x0)
    width, height = PIXELS, round((y1 - y0) * size)

    def at(x: float, y: float) -> str:
        return f"{(x - x0) * size:.1f},{(y1 - y) * size:.1f}"

    x, y = np.linspace(x0, x1, width), np.linspace(y1, y0, height)
    image = base64.b64encode(png(_coloured(_resampled(surface.axes, scale.height(surface.values[metric]), x, y), scale)))
    ends = [at(m.x, m.y) for m in surface.marks[:2] if m.kind in ENDS]
    drawn = [_line(ends, ' stroke-dasharray="7,6"', 2.0)] if len(ends) == 2 else []
    if surface.path is not None:
        drawn.append(_line([at(*p) for p in surface.path], "", 3.0))
    for mark in surface.marks:
        turn = f' transform="rotate(45 {at(mark.x, mark.y)})"' if mark.kind == "bend" else ""
        cx, cy = map(float, at(mark.x, mark.y).split(","))
        drawn.append(f'<rect x="{cx - 5:.1f}" y="{cy - 5:.1f}" width="10" height="10" rx="{0 if turn else 5}"{turn} '
                     f'fill="{style.PAPER}" stroke="{style.INK}" stroke-width="2"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<image width="{width}" height="{height}" href="data:image/png;base64,{image.decode()}"/>'
            f"{''.join(drawn)}</svg>")


def _line(points: list[str], dash: str, width: float) -> str:
    text = " ".join(points)
    return "".join(f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="{w}"{d} stroke-linejoin="round"/>'
                   for color, w, d in ((style.INK, width + 2, ""), (style.PAPER, width, dash)))


def window(surface: Surface) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part that is shown, (x0, x1), (y0, y1): all of x, and of y what gives ``ASPECT``, with the marks in the middle."""
    (x0, x1), (y0, y1) = ((float(a[0]), float(a[-1])) for a in surface.axes)
    tall = min((x1 - x0) / ASPECT, y1 - y0)
    middle = (min(m.y for m in surface.marks) + max(m.y for m in surface.marks)) / 2 if surface.marks else (y0 + y1) / 2
    low = min(max(middle - tall / 2, y0), y1 - tall)
    return (x0, x1), (low, low + tall)


def _resampled(axes, z: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """z (X, Y) at pixels (y, x); bilinear, NaN next to a cell that is not known."""
    i, j = (np.interp(at, axis, np.arange(len(axis))) for at, axis in zip((x, y), axes, strict=True))
    a, b = np.minimum(i.astype(int), z.shape[0] - 2), np.minimum(j.astype(int), z.shape[1] - 2)
    u, v = (i - a)[:, None], (j - b)[None, :]
    near, far = z[a][:, b] * (1 - v) + z[a][:, b + 1] * v, z[a + 1][:, b] * (1 - v) + z[a + 1][:, b + 1] * v
    return (near * (1 - u) + far * u).T


def _coloured(height: np.ndarray, scale: Scale) -> np.ndarray:
    """(h, w, 4) uint8: one flat colour for each band between two levels, as in the contour map."""
    colors = [style.ramp(i / (scale.n - 1)) for i in range(scale.n)] + [style.BEYOND]
    table = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] + [255] for c in colors] + [[0, 0, 0, 0]], np.uint8)
    known = np.isfinite(height)
    band = np.clip(np.where(known, height, 0) / (TOP / scale.n), 0, scale.n).astype(int)
    return table[np.where(known, band, len(colors))]


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of pixels (h, w, 4) uint8."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # filter 0 in each row

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b""))
