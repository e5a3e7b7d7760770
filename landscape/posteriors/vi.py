"""Variational inference with a Gaussian q, mean-field or with a full covariance, by reparametrised gradients.

With z = mean + L e the evidence bound is E[log p(z)] + entropy(q); its path derivative (Roeder et al. 2017, arXiv
1703.09194) is h = L'(gradient of log p) + e for each e, without the score, so that its noise vanishes where q is exact.
Steps follow the natural gradient in q's own coordinates (Lin et al. 2019): mean <- mean + rate L E[h] and L <- L (1 + rate
E[h e']) with half the diagonal. They are the same in every linear coordinate system, however narrow or correlated a
target is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.posteriors.independent import deviations, drawn, noise
from landscape.posteriors.method import Draws, Given, Recorder, Watch, silent
from landscape.posteriors.mode import climb
from landscape.posteriors.target import Normal, Target

FULL_LIMIT = 500  # coordinates of a full covariance
CLIMBED = 500  # coordinates whose top is looked for first; more would fit the network once again
AXES = 32  # coordinates that are probed one by one for the first guess of the variances
PROBES = 8  # random directions for more of them
LONGEST = 1.0  # step of the mean, in standard deviations of a coordinate
WIDEST = 0.25  # relative change of the factor in one step


@dataclass(frozen=True, eq=False)
class Fitted:
    """q = N(mean (K,), L L'), ``factor`` L being (K,) or lower triangular (K, K); ``bound`` (steps,) the evidence bound's
    estimate at every step, in nats, up to the target's constant."""

    mean: Tensor
    factor: Tensor
    bound: Tensor

    @property
    def normal(self) -> Normal:
        return Normal(self.mean, self.factor)

    @property
    def variances(self) -> Tensor:
        """(K,)."""
        return self.factor.square() if self.factor.ndim == 1 else self.factor.square().sum(1)

    @property
    def reached(self) -> float:
        """The bound over the last tenth of the steps."""
        return float(self.bound[-max(1, len(self.bound) // 10):].mean())


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, full: bool = False,
          steps: int = 300, samples: int = 16, rate: float | None = None) -> Draws:
    """Fit q, then ``chains`` x ``draws`` independent draws of it. ``full``: a full covariance instead of a diagonal one.

    ``rate`` None: 0.2, and 0.05 for more than ``CLIMBED`` coordinates, whose gradients are noisier; give those 1000 steps.
    """
    target = given.target
    rate = rate if rate is not None else 0.2 if target.ndim <= CLIMBED else 0.05
    recorder = Recorder(target, chains, draws, steps, watch)
    start = given.start[0].to(target.space.origin) if given.start is not None else None
    fitted = fit(target, generator, full, steps, samples, rate, start, recorder.warmed)
    what = "with a full covariance" if full else "with independent coordinates (mean-field)"
    said = [f"A Gaussian {what}; its evidence bound is {fitted.reached:.4g} nats ({float(fitted.bound[0]):.4g} at first), "
            "up to the posterior's constant."]
    if not full:
        said.append("A mean-field Gaussian is too narrow where coordinates are correlated: its variances are 1 / precision.")
    return drawn(recorder, lambda count: fitted.normal.draw(count, generator), said=said, bound=fitted.bound.cpu().numpy(),
                 mean=fitted.mean.cpu().numpy(), standard_deviations=fitted.variances.sqrt().cpu().numpy())


def fit(target: Target, generator: torch.Generator, full: bool, steps: int = 300, samples: int = 16, rate: float = 0.2,
        start: Tensor | None = None, after_step=lambda: None) -> Fitted:
    """The Gaussian that is nearest to a target in KL(q | p), from ``samples`` gradients a step (in pairs e, -e).

    Starts at ``start`` (K,), default the origin; with at most ``CLIMBED`` coordinates at the top of the density next to it.
    The rate stays for half of the steps and then falls to zero; what comes out is the mean over the last quarter. Raises
    BadInput for settings that cannot work, Diverged, naming the step, where densities or gradients are not finite.
    """
    if steps < 4 or samples < 2 or not 0 < rate <= 1:
        raise BadInput(f"Variational inference needs at least 4 steps of 2 samples and a rate in (0, 1]; found "
                       f"steps={steps}, samples={samples}, rate={rate:g}.")
    if full and target.ndim > FULL_LIMIT:
        raise BadInput(f"A full covariance over {target.ndim:,} coordinates is too large; at most {FULL_LIMIT}. Choose the "
                       "mean-field one, or a subspace.")
    mean = target.space.origin.new_zeros(target.ndim) if start is None else start.clone()
    mean = climb(target, mean) if target.ndim <= CLIMBED else mean
    sd = first_guess(target, mean, generator)
    factor = torch.diag(sd) if full else sd
    bounds, late = [], []
    for step in range(steps):
        half = noise((samples // 2, target.ndim), generator, target)
        e = torch.cat([half, -half])
        value, gradient = target.value_and_gradient(mean + (e @ factor.T if full else e * factor))
        bounds.append((value - _log_density(factor, e)).mean())
        _check(bounds[-1], gradient, step)
        now = rate * min(1.0, 2.0 * (1 - step / steps))
        mean, factor = _step(mean, factor, (gradient @ factor if full else gradient * factor) + e, e, now)
        after_step()
        if step >= steps - max(1, steps // 4):
            late.append((mean, factor))
    return Fitted(*(torch.stack(each).mean(0) for each in zip(*late, strict=True)), torch.stack(bounds))


def first_guess(target: Target, z: Tensor, generator: torch.Generator) -> Tensor:
    """Standard deviations (K,) from the curvature at z (K,): 1 / sqrt(precision) of each coordinate, at most the prior's.

    Differences of gradients along each axis, or along random directions of signs where there are many coordinates.
    """
    widest, k = deviations(target.normal_prior).to(z), target.ndim
    if k <= AXES:
        directions = torch.eye(k).to(z)
    else:
        directions = (noise((PROBES, k), generator, target) > 0).to(z) * 2 - 1
    step = 1e-3 * widest
    _, gradient = target.value_and_gradient(torch.cat([z + step * directions, z - step * directions]))
    _check(gradient.sum(), gradient, 0)
    change = (gradient[len(directions):] - gradient[: len(directions)]) / (2 * step) * directions
    precision = change.sum(0) if k <= AXES else change.mean(0)
    return torch.minimum(widest, precision.clamp(min=1e-300).rsqrt())


def _step(mean: Tensor, factor: Tensor, h: Tensor, e: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    move = (rate * h.mean(0)).clamp(-LONGEST, LONGEST)
    if factor.ndim == 1:
        grow = (0.5 * rate * (h * e).mean(0)).clamp(-WIDEST, WIDEST)
        return mean + factor * move, factor * grow.exp()
    change = rate * (h.T @ e) / len(e)
    change = change * min(1.0, WIDEST / float(change.norm().clamp(min=1e-300)))
    grow = torch.tril(change, -1) + torch.diag((0.5 * change.diagonal()).exp())
    return mean + factor @ move, factor @ grow


def _log_density(factor: Tensor, e: Tensor) -> Tensor:
    """log q (N,) of the points that noise e (N, K) makes."""
    scales = factor if factor.ndim == 1 else factor.diagonal()
    return -0.5 * e.square().sum(-1) - scales.log().sum() - 0.5 * len(scales) * math.log(2 * math.pi)


def _check(bound: Tensor, gradient: Tensor, step: int) -> None:
    if not (bool(bound.isfinite()) and bool(gradient.isfinite().all())):
        raise Diverged(f"Variational inference met a density or gradient that is not finite in step {step + 1}. Start at a "
                       "trained network, use a smaller prior_std, or a smaller rate.")
