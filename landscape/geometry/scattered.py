"""Values between scattered cells of a grid, each time two estimates: what they differ by says how far to trust them."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CloughTocher2DInterpolator, LinearNDInterpolator, RBFInterpolator
from scipy.spatial import Delaunay
from threadpoolctl import threadpool_limits

Shape = tuple[int, int]
MANY, NEIGHBOURS = 1000, 30  # cells that have one spline, and from how many near ones each has its own if there are more
SLOPES = 1e-3  # relative tolerance of the slopes that cubic triangles are given


def smooth(cells: np.ndarray, values: np.ndarray, shape: Shape, both: bool = True) -> list[np.ndarray]:
    """Polyharmonic splines r^5 and, if ``both``, r^3 through values (N, M) at cells (N, 2): each (X, Y, M).

    One through all of them takes N^3 operations; where they are many, each cell has one through its neighbours. Through
    cells on a conic (two lines of neighbours are one) there is no spline of the first kind: then ``local`` takes its place.
    """
    places, everywhere = cells.astype(float), _every(shape)
    near = None if len(cells) <= MANY else NEIGHBOURS
    try:
        with threadpool_limits(1):  # the last bits, and with them the cells that are chosen, depend on the threads
            made = [RBFInterpolator(places, values, kernel=kernel, degree=degree, neighbors=near)(everywhere)
                    for kernel, degree in (("quintic", 2), ("cubic", 1))[: 1 + both]]
    except np.linalg.LinAlgError:
        return local(cells, values, shape, both)
    return [each.reshape(*shape, -1) for each in made]


def local(cells: np.ndarray, values: np.ndarray, shape: Shape, both: bool = True) -> list[np.ndarray]:
    """The same by triangles of neighbouring cells, cubic (Clough and Tocher) and linear, within the range of the values.

    For values with steps and for many cells: operations N log N. The corners of the grid must be among the cells.
    """
    triangles, everywhere = Delaunay(cells.astype(float)), _every(shape)
    made = [CloughTocher2DInterpolator(triangles, values, tol=SLOPES)(everywhere)]
    if both:
        made.append(LinearNDInterpolator(triangles, values)(everywhere))
    return [np.clip(each, values.min(0), values.max(0)).reshape(*shape, -1) for each in made]


def _every(shape: Shape) -> np.ndarray:
    return np.argwhere(np.ones(shape, bool)).astype(float)
