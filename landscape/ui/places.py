"""Where an opened point lies: on which planes, beside which drawn values, and how far from another one."""

from __future__ import annotations

import math

import numpy as np

from landscape.errors import LandscapeError
from landscape.figures.checked import Drawn, at_mark, on_profile, on_surface, snapped
from landscape.results import Mark, Profile, Samples, Surface
from landscape.runs import Library
from landscape.runs.where import parse_where

DRAWN_ON = "theatre"  # the plane on which draws of methods are shown
OUTSIDE = 1e-6  # distance from a plane, relative to its width, up to which a network lies in it


class Pictures:
    """The surfaces and profiles of a run by the names that places use."""

    def __init__(self, library: Library, key: str):
        names = library.names(key)
        found = {name: library.result(key, name) for name in names if name.startswith(("surface:", "profile:", "samples:"))}
        self.surfaces: dict[str, Surface] = _named(found, "surface:")
        self.profiles: dict[str, Profile] = _named(found, "profile:")
        self.samples: dict[str, Samples] = _named(found, "samples:")

    @property
    def marks(self) -> dict[str, Mark]:
        """The marked networks of all planes by their names in the run, each once."""
        return {network_of(plane, mark): mark for plane, surface in self.surfaces.items() for mark in surface.marks}

    def place(self, run: str, text: str) -> dict:
        """The place a text names; one that was meant to be a cell or a point of a profile is exactly that."""
        return self.exact(parse_where(run, text))

    def exact(self, where: dict) -> dict:
        if where.get("plane") in self.surfaces:
            x, y = snapped(self.surfaces[where["plane"]], where["x"], where["y"])
            return where | {"x": x, "y": y}
        if where.get("path") in self.profiles:
            t = np.asarray(self.profiles[where["path"]].t, float)
            i = int(np.abs(t - where["t"]).argmin())
            return where | {"t": float(t[i])} if abs(t[i] - where["t"]) < 1e-5 else where
        return where

    def on_planes(self, where: dict) -> dict[str, tuple[float, float]]:
        """Coordinates on every plane that contains the place."""
        if "plane" in where:
            return {where["plane"]: (where["x"], where["y"])} if where["plane"] in self.surfaces else {}
        if "path" in where:
            profile = self.profiles.get(where["path"])
            along = {} if profile is None else profile.positions
            return {plane: tuple(float(np.interp(where["t"], profile.t, np.asarray(xy)[:, i])) for i in range(2))
                    for plane, xy in along.items()}
        return {plane: (mark.x, mark.y) for plane, surface in self.surfaces.items() for mark in surface.marks
                if network_of(plane, mark) == where["network"] and mark.residual <= OUTSIDE * np.ptp(surface.axes[0])}

    def _foot(self, name: str) -> dict[str, tuple[float, float]]:
        """Where a draw of a method, as ``ess draw 12``, is shown: in the plane, or where its foot falls."""
        method, _, number = name.rpartition(" draw ")
        plane = self.samples[method].plane if method in self.samples else ()
        return {DRAWN_ON: tuple(map(float, plane[int(number)]))} if number.isdecimal() and int(number) < len(plane) else {}

    def drawn(self, where: dict) -> Drawn | None:
        """What the pictures show at the place; None where nothing is drawn."""
        info = next((s.info for s in self.surfaces.values()), {})
        if where.get("plane") in self.surfaces:
            return on_surface(self.surfaces[where["plane"]], where["x"], where["y"])
        if where.get("path") in self.profiles:
            return on_profile(self.profiles[where["path"]], where["t"], info)
        mark = self.marks.get(where.get("network"))
        return None if mark is None else at_mark(mark, info)

    def common_plane(self, a: dict, b: dict) -> tuple[str, tuple[float, float], tuple[float, float]] | None:
        """A plane in which both places lie, and where; None if there is none."""
        one, other = self.on_planes(a), self.on_planes(b)
        return next(((plane, one[plane], other[plane]) for plane in one if plane in other), None)

    def ring(self, letter: str, where: dict) -> dict:
        """The place as the browser marks it."""
        planes = self.on_planes(where) or self._foot(where.get("network", ""))
        return {"letter": letter, "planes": {p: list(xy) for p, xy in planes.items()},
                "path": where.get("path"), "t": where.get("t")}


def network_of(plane: str, mark: Mark) -> str:
    """The name that a marked network has in its run: bends of different curves are called alike on their planes."""
    return f"{plane} {mark.name}" if mark.kind == "bend" else mark.name


def distance(pictures: Pictures, a: dict, b: dict, from_a: dict[str, float], from_b: dict[str, float]) -> float | None:
    """How far two places are from each other; None when they lie in no common plane and neither is a marked network."""
    if b.get("network") in from_a:
        return from_a[b["network"]]
    if a.get("network") in from_b:
        return from_b[a["network"]]
    common = pictures.common_plane(a, b)
    return None if common is None else math.dist(common[1], common[2])


def understood(pictures: Pictures, run: str, text: str) -> tuple[dict | None, str]:
    """``(place, "")``, or ``(None, what is wrong with the text)``."""
    try:
        return pictures.place(run, text), ""
    except LandscapeError as error:
        return None, str(error)


def _named(found: dict, kind: str) -> dict:
    return {name.removeprefix(kind): one for name, one in found.items() if name.startswith(kind) and one is not None}
