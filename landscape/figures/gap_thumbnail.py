"""A run of calibration as a small picture: an SVG of a few kilobytes that needs no script, for lists and cards."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.figures import sources, style
from landscape.results import Judged
from landscape.uncertainty.binning import on_axis

WIDE, TALL, EDGE = 360, 206, 18
BINS = 12
LIMIT = 0.3  # gaps beyond it are drawn at the edge


def thumbnail(found: Mapping[str, object]) -> str:
    """SVG text: confidence minus accuracy of every source on the logarithmic axis, or what intervals of numbers hold too
    much or too little over their level; empty where there is neither."""
    looks = sources.named(found)
    lines = _gaps(sources.of(found, "judged:")) or _coverages(sources.of(found, "regressed:"))
    if not lines:
        return ""
    right = max(float(x.max()) for x, _ in lines.values())
    most = min(max(0.05, 1.15 * max(float(np.abs(y).max()) for _, y in lines.values())), LIMIT)
    drawn = [f'<path d="M{EDGE} {TALL / 2}H{WIDE - EDGE}" stroke="{style.AXIS}" stroke-width="1.5" stroke-dasharray="6,5"/>']
    for label, (x, y) in lines.items():
        across = EDGE + x / max(right, 1e-9) * (WIDE - 2 * EDGE)
        up = TALL / 2 - np.clip(y / most, -1, 1) * (TALL / 2 - EDGE)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{looks[label].color}" stroke-width="2.6" '
                     'stroke-linejoin="round" stroke-linecap="round"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {TALL}" width="{WIDE}" height="{TALL}">'
            f'<rect width="{WIDE}" height="{TALL}" fill="rgba(128,134,148,0.1)"/>{"".join(drawn)}</svg>')


def _gaps(judged: Mapping[str, Judged]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    lines = {}
    for label, seen in judged.items():
        if sources.drawable(seen):
            bins = sources.bins_of(seen, BINS, "mass")
            filled = bins.count > 0
            lines[label] = on_axis(bins.confidence[filled]), bins.gap[filled]
    return lines


def _coverages(regressed: Mapping[str, object]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {label: (np.asarray(one.values["levels"], float),
                    np.asarray(one.values["coverage"], float) - np.asarray(one.values["levels"], float))
            for label, one in regressed.items() if one.values.get("coverage")}
