"""Sharpness that a user can compare: the loss's rise in a ball, and scales that make curvature independent of units.

Multiplying a ReLU layer by c and dividing the next by c changes no output, but every plain number of this kind (Dinh et al.
2017, Sharp Minima Can Generalize). ``scales`` gives each weight a unit of its own, so that a ball or a Hessian measured in
these units does not change: ``Scaled(hessian, scales)`` and ``sharpness(..., scales=...)``. Use the objective without its
penalty then, as the squared norm of the weights does change with c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.geometry.curvature import Objective
from landscape.geometry.directions import parts
from landscape.geometry.spectrum import Progress, silent
from landscape.networks.net import Net

UNITS = ("weight", "filter")


def scales(net: Net, w: Tensor, unit: str = "weight") -> Tensor:
    """What one unit is for each entry of w (P,): its own size, or the length of the filter it belongs to; (P,) float64.

    ``weight``: |w|, the elementwise operator of ASAM (Kwon et al. 2021); nothing that multiplies what goes into a unit and
    divides what comes out of it changes numbers in these units. ``filter``: the Euclidean length of each output's filter,
    as in filter-normalised pictures, and |w| for what has no filters (biases, normalisation); these do not change when
    whole layers are rescaled. A weight that is exactly zero has no unit and does not move.
    """
    if unit not in UNITS:
        raise unknown("unit of weights", unit, UNITS)
    if w.shape != (net.size,):
        raise BadInput(f"Units are those of one network with {net.size:,} weights; found shape {tuple(w.shape)}.")
    sizes = w.double().abs()
    if unit == "weight":
        return sizes
    made, start = [], 0
    for part in parts(net):
        own = sizes[start : start + part.size]
        if part.axis is not None:
            filters = part.filters(own)
            own = part.flat(filters.norm(dim=1, keepdim=True).expand_as(filters))
        made.append(own)
        start += part.size
    return torch.cat(made)


@dataclass(frozen=True, eq=False)
class Rise:
    """The largest rise of the objective that was found in a ball around ``base``'s network, nats per example.

    ``rises`` are those after each step of ascent, ``rise`` the largest of them and 0 (the centre is in the ball), ``w``
    (P,) float64 the network it belongs to. A lower bound of the true maximum, the better the more steps.
    """

    rise: float
    base: float
    rises: tuple[float, ...]
    w: Tensor


def sharpness(objective: Objective, w: Tensor, rho: float, steps: int = 1, *, scales: Tensor | None = None,
              generator: torch.Generator | None = None, progress: Progress = silent) -> Rise:
    """max over |e| <= rho of L(w + e) - L(w), by ascent from w (P,) (Foret et al. 2021, SAM, eq. 2).

    One step goes to e = rho g / |g|, the solution to first order. Each further one goes to where the gradient at the last
    point leads on the ball's surface, which climbs as long as L is convex and finds the top eigenvector at a minimum. With
    ``scales`` s (P,), the ball is |e / s| <= rho and the first step rho s^2 g / |s g| (ASAM, Kwon et al. 2021, eq. 5).
    Where the gradient is zero, the first step needs a ``generator`` for a random direction. ``progress(step, steps)``.
    """
    if not (0 < rho < math.inf and steps >= 1):
        raise BadInput(f"Sharpness needs a radius above 0 and at least one step; found rho={rho}, steps={steps}.")
    centre = w.detach().to(objective.device, torch.float64)
    unit = torch.ones_like(centre) if scales is None else scales.to(centre)
    base, gradient = objective.gradient(centre)
    best, farthest, rises = 0.0, centre, []
    for step in range(steps):
        direction = unit * gradient
        length = direction.norm()
        if not bool(length.isfinite()):
            raise BadInput(f"The gradient is not finite at a distance of {rho if step else 0:g} from this network. Choose a "
                           "smaller rho.")
        if length == 0:
            direction = _random(unit, generator)
            length = direction.norm()
        point = centre + rho / length * unit * direction
        if step + 1 < steps:
            value, gradient = objective.gradient(point)
        else:
            value = objective.value(point)
        rises.append(value - base)
        if rises[-1] > best or math.isnan(rises[-1]):
            best, farthest = rises[-1], point
        progress(step + 1, steps)
    return Rise(best, base, tuple(rises), farthest)


def _random(unit: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        raise BadInput("The gradient is exactly zero here, so the first step of ascent has no direction. Give a generator, "
                       "and take several steps.")
    return torch.randn(len(unit), generator=generator, dtype=torch.float64).to(unit)
