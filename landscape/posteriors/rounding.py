"""What a lower precision does to a density: log densities and gradients at draws of a chain, against exact ones.

A chain whose log density is off by e(z) draws from p(z) exp(e(z)), exactly (with an accept step, or a slice). The mean of
e is a constant and harmless; its standard deviation over the draws is by how much the density itself is wrong, in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from landscape.geometry.precision import cast_buffers, in_precision
from landscape.networks.accelerator import in_words
from landscape.posteriors.target import Posterior
from landscape.training.rounding import told
from landscape.training.task import Task

POINTS = 32  # draws that are evaluated twice
CHEAP = 2e10  # weights times examples times points up to which stacks of linear layers are compared with float64
TRUSTED = 0.1  # nats: a density is then wrong by a tenth of itself, more than chains of usual length can tell apart


@dataclass(frozen=True)
class Rounding:
    """Differences of log densities in ``precision`` from those in ``reference`` at ``points`` draws, in nats.

    ``mean``, ``sd`` and the largest absolute value ``worst``; infinite where a density is not finite that should be.
    ``gradient`` is the root of the summed squared lengths of the gradients' differences over that of the gradients, None for
    a method without gradients.
    """

    precision: str
    device: str
    reference: str
    points: int
    mean: float
    sd: float
    worst: float
    gradient: float | None

    @property
    def trusted(self) -> bool:
        """Whether the density that was drawn from is the one that was asked for, up to ``TRUSTED``."""
        return self.sd <= TRUSTED

    @property
    def values(self) -> dict[str, Any]:
        return told(self, TRUSTED)

    @property
    def said(self) -> str:
        """In words, with a warning where the draws are not those of the posterior that was asked for."""
        at = f"Networks evaluated in {in_words(self.precision, self.device)}: at {self.points} of the draws the log density "
        if not math.isfinite(self.sd):
            said = f"{at}is not finite everywhere, while it is in {self.reference}."
        else:
            slope = "" if self.gradient is None else f", its gradient by {100 * self.gradient:.2g}%"
            said = (f"{at}is off by {self.sd:.2g} nats from {self.reference} (standard deviation; mean {self.mean:.2g}, "
                    f"largest {self.worst:.2g}){slope}.")
        doubt = (f" WARNING: more than {TRUSTED:g} nats, so the density that was drawn from is not this posterior; do not "
                 "trust these chains. Choose precision=float32, or a higher temperature.")
        return said + doubt * (not self.trusted)


def measured(target: Posterior, z: Tensor, gradients: bool) -> Rounding:
    """How far ``target`` is from its reference at draws z (N, K), ``POINTS`` of them, evenly spaced.

    ``gradients``: both come from ``value_and_gradient``, as for methods that follow gradients; else from ``log_density``.
    Points where the reference is not finite either do not count.
    """
    rows = torch.linspace(0, len(z) - 1, min(POINTS, len(z))).round().long()
    points = z[rows.to(z.device)].double()
    exact = reference(target, len(points))
    (low, low_slope), (true, slope) = (_evaluated(each, points, gradients) for each in (target, exact))
    known = true.isfinite()
    away = torch.where(low.isfinite(), low - true, torch.inf)[known].cpu()
    finite = len(away) and bool(away.isfinite().all())
    mean, sd, worst = ((float(away.mean()), float(away.std(correction=0)), float(away.abs().max())) if finite else
                       (math.inf,) * 3)
    share = None
    if gradients:
        share = float((low_slope - slope)[known].norm() / slope[known].norm())
        share = share if math.isfinite(share) else math.inf
    return Rounding(target.precision, target.device.type, exact.precision, len(away), mean, sd, worst, share)


def reference(target: Posterior, points: int) -> Posterior:
    """The same density in float64 where that is cheap for so many points, else in float32."""
    task = target.task
    work = task.net.size * target.examples * points
    dtype = torch.float64 if task.net.layers and work <= CHEAP else torch.promote_types(task.dtype, torch.float32)
    exact: Task = replace(in_precision(task, dtype), precision="")
    return Posterior(exact, target.space, target.prior_std, target.temperature, target.prior,
                     cast_buffers(target.buffers, dtype))


def _evaluated(target: Posterior, z: Tensor, gradients: bool) -> tuple[Tensor, Tensor | None]:
    return target.value_and_gradient(z) if gradients else (target.log_density(z), None)
