"""What the networks of a painted region predict together: a posterior drawn by hand."""

from __future__ import annotations

import time

import numpy as np
import torch

from landscape.errors import BadInput, unknown
from landscape.recipes.inferred.averages import predictive
from landscape.recipes.places import Places
from landscape.results import Predictive, Surface
from landscape.runs.region import area, inside

COUNT = 64  # networks that a region is made of


def averaged(places: Places, region: dict, surface: Surface) -> Predictive:
    """The average over networks of a region (see ``runs.region``) of the plane on which ``surface`` was drawn.

    Weighted ``equal``, they stand on a square lattice; by ``density``, cells of the surface are taken as often as their
    share of the mass asks for (systematic resampling). ``info`` adds ``networks``, ``mass`` (share of the surface's mass in
    the region) and ``seconds``. Raises BadInput for a region beside the surface.
    """
    started = time.perf_counter()
    if region["plane"] not in places.planes:
        raise unknown("plane", region["plane"], places.planes)
    polygon = np.asarray(region["polygon"], float)
    cells, mass = _cells(surface)
    own = inside(polygon, cells)
    points = _by_mass(cells[own], mass[own]) if region["weights"] == "density" else _lattice(polygon, surface)
    if not len(points):
        raise BadInput("The painted region holds no network of the surface. Draw a larger loop, over the surface.")
    found = predictive(places, places.planes[region["plane"]].lift(torch.tensor(points)))
    return Predictive(
        found.values,
        found.outputs,
        found.targets,
        found.deviations,
        found.function,
        found.info | {"networks": len(points), "mass": float(mass[own].sum()), "seconds": time.perf_counter() - started},
    )


def _cells(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """(m, 2) the cells of the surface, and (m,) their shares of its mass."""
    cells = np.stack(np.meshgrid(*surface.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.asarray(surface.values["log_density"], float).ravel()
    density = np.where(np.isfinite(density), density, -np.inf)
    mass = np.exp(density - density.max())
    return cells, mass / mass.sum()


def _by_mass(cells: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(COUNT, 2) cells, each as often as its mass asks for; none where there is no mass."""
    if not len(mass) or mass.sum() <= 0:
        return np.empty((0, 2))
    edges = np.cumsum(mass)
    at = (np.arange(COUNT) + 0.5) / COUNT * edges[-1]
    return cells[np.minimum(np.searchsorted(edges, at), len(cells) - 1)]


def _lattice(polygon: np.ndarray, surface: Surface) -> np.ndarray:
    """About COUNT points of a square lattice inside the polygon and on the surface."""
    step = np.sqrt(area(polygon) / COUNT)
    low, high = (np.array([reduce(axis) for axis in surface.axes], float) for reduce in (np.min, np.max))
    first, last = np.maximum(polygon.min(axis=0), low), np.minimum(polygon.max(axis=0), high)
    if (last < first).any():
        return np.empty((0, 2))
    axes = [np.arange(a + step / 2, b, step) for a, b in zip(first, last, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return points[inside(polygon, points)]
