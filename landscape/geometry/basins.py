"""A flat and a sharp minimum in one dimension (the talk's slide 6; Keskar et al. 2017, figure 1), with their masses.

Each well is a parabola h + (x - c)^2 / (2 a^2) of width a; the loss is the lower one of the two. The test loss is the same
curve shifted to the side. Pure numpy: nothing of it needs a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.integrate import quad

from landscape.errors import BadInput

DEEP = 40.0  # nats over the bottom of a well beyond which nothing is integrated: a share of 1e-17


@dataclass(frozen=True)
class Well:
    """A parabola around ``centre``: ``height`` in nats at the bottom, ``width`` the distance at which it rises by 1/2."""

    centre: float
    width: float
    height: float = 0.0

    def __call__(self, x):
        return self.height + 0.5 * ((x - self.centre) / self.width) ** 2


@dataclass(frozen=True)
class Basins:
    """Two wells and how far the test loss is shifted to the right of the training loss.

    A basin is where a well is the lower one. Two parabolas of unequal width cross twice: the narrower one's basin lies
    between the crossings, the wider one's on both sides of it.
    """

    flat: Well
    sharp: Well
    shift: float = 0.0

    def __post_init__(self):
        numbers = [*vars(self.flat).values(), *vars(self.sharp).values(), self.shift]
        if not all(map(math.isfinite, numbers)) or not 0 < self.sharp.width < self.flat.width:
            raise BadInput("Two basins need finite numbers and a sharp well that is narrower than the flat one; found "
                           f"widths {self.sharp.width:g} (sharp) and {self.flat.width:g} (flat).")
        if self.sharp(self.sharp.centre) >= self.flat(self.sharp.centre) or (
                self.flat(self.flat.centre) >= self.sharp(self.flat.centre)):
            raise BadInput("One well's bottom lies above the other well, so there is only one minimum. Move them apart, or "
                           "make their heights more alike.")

    def train(self, x):
        """The training loss at x, nats."""
        return np.minimum(self.flat(x), self.sharp(x))

    def test(self, x):
        """The test loss at x: the training loss of x - shift."""
        return self.train(x - self.shift)

    def crossings(self) -> tuple[float, float]:
        """Where the wells are equally high: between these, the sharp one is the lower."""
        p, q = 1 / self.sharp.width**2, 1 / self.flat.width**2
        middle = (p * self.sharp.centre - q * self.flat.centre) / (p - q)
        constant = p * self.sharp.centre**2 - q * self.flat.centre**2 + 2 * (self.sharp.height - self.flat.height)
        half = math.sqrt(middle**2 - constant / (p - q))
        return middle - half, middle + half

    def penalty(self) -> dict[str, float]:
        """The rise from training to test loss at the bottom of each well, nats: what the shift costs."""
        return {name: float(self.test(well.centre) - self.train(well.centre))
                for name, well in (("flat", self.flat), ("sharp", self.sharp))}

    def masses(self, temperature: float = 1.0) -> dict[str, float]:
        """The integral of exp(-L / T) over each basin, by quadrature."""
        low, high = self.crossings()
        return {"flat": mass(self.flat, temperature, [(-math.inf, low), (high, math.inf)], self.flat),
                "sharp": mass(self.sharp, temperature, [(low, high)], self.sharp)}

    def exact_masses(self, temperature: float = 1.0) -> dict[str, float]:
        """The same in closed form: a sqrt(2 pi T) exp(-h / T) times the share of a Gaussian within the basin."""
        low, high = self.crossings()
        inside = {"sharp": _share(self.sharp, temperature, low, high), "flat": _share(self.flat, temperature, -math.inf, low)
                  + _share(self.flat, temperature, high, math.inf)}
        return {name: inside[name] * well.width * math.sqrt(2 * math.pi * temperature) * math.exp(-well.height / temperature)
                for name, well in (("flat", self.flat), ("sharp", self.sharp))}

    def expected_test(self, temperature: float = 1.0) -> float:
        """The test loss of a network drawn with probability exp(-L / T), nats: what averaging over all of them sees."""
        low, high = self.crossings()
        pieces = [(self.flat, (-math.inf, low)), (self.sharp, (low, high)), (self.flat, (high, math.inf))]
        corners = [self.shift + low, self.shift + high]  # where the test loss has its kinks
        total = sum(mass(well, temperature, _cut(where, corners), well, self.test) for well, where in pieces)
        return total / sum(self.masses(temperature).values())


def mass(loss: Callable[[float], float], temperature: float, stretches: list[tuple[float, float]], well: Well,
         times: Callable[[float], float] = lambda x: 1.0) -> float:
    """The integral of exp(-loss / T) ``times`` something over stretches (from, to), by adaptive quadrature.

    Only where the ``well`` is less than 40 T above its bottom: beyond, nothing is left of exp(-loss / T).
    """
    if not 0 < temperature < math.inf:
        raise BadInput(f"A temperature is above 0 and finite; found {temperature:g}.")

    def weighed(x: float) -> float:
        return math.exp(-loss(x) / temperature) * times(x)

    reach = well.width * math.sqrt(2 * DEEP * temperature)
    total = 0.0
    for low, high in stretches:
        low, high = max(low, well.centre - reach), min(high, well.centre + reach)
        middle = min(max(well.centre, low), high)
        for a, b in ((low, middle), (middle, high)):
            if a < b:
                total += quad(weighed, a, b, epsabs=0, epsrel=1e-11, limit=200)[0]
    return total


def _share(well: Well, temperature: float, low: float, high: float) -> float:
    """The part of N(centre, T width^2) between low and high."""
    spread = well.width * math.sqrt(2 * temperature)
    return 0.5 * (math.erf((high - well.centre) / spread) - math.erf((low - well.centre) / spread))


def _cut(stretch: tuple[float, float], corners: list[float]) -> list[tuple[float, float]]:
    """The stretch in pieces that end at the corners within it."""
    edges = [stretch[0], *(c for c in sorted(corners) if stretch[0] < c < stretch[1]), stretch[1]]
    return list(pairwise(edges))
