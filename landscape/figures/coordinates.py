"""Axes in coordinates of a subspace: how long their units are in weight space, and in what proportion they are drawn."""

from __future__ import annotations

import numpy as np

from landscape.figures import surface as surfaces
from landscape.results import Surface

THIN = 2.2  # longer side over shorter one above which both axes get a scale of their own


def lengths(surface: Surface) -> tuple[float, float]:
    """How long a unit of each axis is in weight space."""
    given = surface.info.get("lengths") or (surface.info.get("space") or {}).get("lengths") or (1.0, 1.0)
    return float(given[0]), float(given[1])


def axis_title(surface: Surface, axis: int) -> str:
    """The axis is a coordinate of the subspace; where its unit is a distance in weight space, it is called that."""
    length = lengths(surface)[axis]
    return surfaces.DISTANCE if abs(length - 1) < 1e-6 else f"coordinate {axis + 1} (1 is {length:.3g} in weight space)"


def scene_title(surface: Surface, axis: int) -> dict:
    """The same for a scene, where long titles are cut off at its border."""
    text = "weight distance" if abs(lengths(surface)[axis] - 1) < 1e-6 else f"coordinate {axis + 1}"
    return {"text": text, "font": {"size": 13}}


def in_proportion(surface: Surface) -> bool:
    """Whether both axes are drawn with one scale; a plane much longer than wide would be a thin strip."""
    sides = [float(np.ptp(a)) * unit for a, unit in zip(surface.axes, lengths(surface), strict=True)]
    return max(sides) <= THIN * min(sides)


def aspect(surface: Surface) -> dict:
    """True proportions: a distance in weight space is as long on one axis as on the other, where the plane allows it."""
    x, y = lengths(surface)
    return (
        {"scaleanchor": "x", "scaleratio": y / x, "constraintoward": "top"}
        if in_proportion(surface)
        else {"scaleanchor": None, "scaleratio": None}
    )


def sides(surface: Surface) -> dict[str, float]:
    """Side lengths of the scene."""
    sides = [float(np.ptp(a)) * unit for a, unit in zip(surface.axes, lengths(surface), strict=True)]
    sides = sides if in_proportion(surface) else [1.0, 0.8]
    return {"x": sides[0] / max(sides), "y": sides[1] / max(sides)}
