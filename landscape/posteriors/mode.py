"""The top of a target near a start, and its curvature there."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from landscape.errors import Diverged
from landscape.posteriors.independent import deviations
from landscape.posteriors.target import Target

PART = 0.05  # of a standard deviation: the step of the differences of gradients
TOGETHER = 64  # points whose gradients are asked for at once


def climb(target: Target, start: Tensor, iterations: int = 300) -> Tensor:
    """The point (K,) of highest density that limited-memory BFGS reaches from ``start`` (K,), in units of the prior.

    Raises Diverged where the density or its gradient is not finite.
    """
    unit = deviations(target.normal_prior).to(start)

    def down(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = target.value_and_gradient((start + unit * torch.tensor(u).to(start))[None])
        if not (bool(value.isfinite().all()) and bool(gradient.isfinite().all())):
            raise Diverged("The search for the top of the posterior met a density or gradient that is not finite. Start at "
                           "a trained network, or use a smaller prior_std.")
        return -float(value[0]), -(gradient[0] * unit).cpu().numpy()

    found = minimize(down, np.zeros(len(start)), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 20})
    return start + unit * torch.tensor(found.x).to(start)


def precision(target: Target, z: Tensor, passes: int = 3) -> Tensor:
    """Minus the second derivatives (K, K) of the log density at z (K,), from central differences of gradients.

    First along the axes, then along the principal axes found, with steps of ``PART`` standard deviations of what was found
    before: exact for Gaussians, and what counts for a posterior as narrow as it is.
    """
    widest = deviations(target.normal_prior).to(z)
    steps = torch.diag(1e-3 * widest)
    for _ in range(passes):
        points = torch.cat([z + steps, z - steps])
        gradient = torch.cat([target.value_and_gradient(part)[1] for part in points.split(TOGETHER)])
        if not bool(gradient.isfinite().all()):
            raise Diverged("The posterior's curvature cannot be told: a gradient next to its top is not finite.")
        change = (gradient[: len(z)] - gradient[len(z):]) / 2  # row i is minus the Hessian times step i, negative
        raw = -torch.linalg.solve(steps, change)
        found = 0.5 * (raw + raw.T)
        values, axes = torch.linalg.eigh(found)
        size = PART * values.clamp(min=float(widest.max()) ** -2).rsqrt()
        steps = (axes * size).T
    return found
