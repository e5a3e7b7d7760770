"""A region of a plane that was painted by hand, over whose networks predictions are averaged.

As a dict ``{"run": KEY, "plane": "theatre", "polygon": [[x, y], ...], "weights": "density" | "equal"}``; its polygon as
text for a URL ``1.2,-3;0.5,2;-1,0``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from landscape.errors import BadInput, unknown
from landscape.runs.where import checked

CORNERS = 200  # at most
WEIGHTS = {"density": "by their posterior density", "equal": "all alike"}


def checked_region(region: dict[str, Any]) -> dict[str, Any]:
    """The same region with finite floats. Raises BadInput for anything that encloses no area of a plane."""
    parts = {"run", "plane", "polygon", "weights"}
    if not isinstance(region, dict) or set(region) != parts:
        raise BadInput(f"A region is a run, a plane, a polygon and its weights; found {region!r}.")
    if region["weights"] not in WEIGHTS:
        raise unknown("weighting of a region", region["weights"], WEIGHTS)
    place = checked({"run": region["run"], "plane": region["plane"], "x": 0.0, "y": 0.0})
    try:
        corners = [[float(x), float(y)] for x, y in region["polygon"]]
    except (TypeError, ValueError):
        corners = []
    if not 3 <= len(corners) <= CORNERS or not all(math.isfinite(v) for corner in corners for v in corner):
        raise BadInput(f"A painted region is 3 to {CORNERS} corners of two finite numbers; paint it again.")
    if area(np.array(corners)) <= 0:
        raise BadInput("The painted line encloses nothing. Draw a loop around some of the surface.")
    return {"run": place["run"], "plane": place["plane"], "polygon": corners, "weights": region["weights"]}


def area(polygon: np.ndarray) -> float:
    """The area a polygon (n, 2) encloses (shoelace formula)."""
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each point (m, 2) lies in a polygon (n, 2): a ray from it crosses the border an odd number of times."""
    found = np.zeros(len(points), bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        found ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return found


def text(polygon: list[list[float]]) -> str:
    """The corners for a URL, four digits each; of equal neighbours, one."""
    corners = [f"{x:.4g},{y:.4g}" for x, y in polygon]
    return ";".join(corner for i, corner in enumerate(corners) if not i or corner != corners[i - 1])


def parse(polygon: str) -> list[list[float]]:
    """The corners that ``text`` wrote. Raises BadInput for anything else."""
    try:
        return [[float(x), float(y)] for x, y in (corner.split(",") for corner in polygon.split(";"))]
    except ValueError:
        raise BadInput(f"{polygon[:80]!r} is no region. Expected corners as in 1.2,-3;0.5,2;-1,0.") from None
