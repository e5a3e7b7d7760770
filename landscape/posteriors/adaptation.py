"""What a warm-up learns for samplers that follow gradients: the scale of each coordinate and the size of steps.

Scales are numbers, (K,) standard deviations or triangular factors (K, K) of a covariance: z = z0 + scaled(u, scale), so
that u has about unit variance and samplers move in u with unit mass.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.errors import Diverged, unknown

METRICS = ("dense", "diagonal", "unit")
DENSE, DIAGONAL = 20, 200  # coordinates up to which a metric is learned unless one is asked for
SMALLEST = 1e-9  # a step, in standard deviations, below which there is no hope


def metric_of(ndim: int, asked: str | None) -> str:
    """``dense``, ``diagonal`` or ``unit``: the one asked for, or what so many coordinates allow."""
    if asked is not None and asked not in METRICS:
        raise unknown("metric", asked, METRICS)
    return asked or ("dense" if ndim <= DENSE else "diagonal" if ndim <= DIAGONAL else "unit")


def pulled(gradient: Tensor, scale: float | Tensor) -> Tensor:
    """Derivatives by u of what has derivatives (N, K) by z = scaled(u, scale)."""
    return gradient @ scale if isinstance(scale, Tensor) and scale.ndim == 2 else gradient * scale


def pooled_scale(draws: Tensor, metric: str) -> Tensor:
    """The scale of draws (n, K) from all chains together: deviations (K,), or the Cholesky factor of their covariance.

    Correlations are shrunk as if by K + 5 draws without any.
    """
    deviation = draws.std(0).clamp(min=1e-12 * (1 + float(draws.abs().max())))
    if metric == "diagonal" or draws.shape[1] == 1:
        return deviation
    unit = (draws - draws.mean(0)) / deviation
    correlation = (unit.T @ unit) / (len(draws) - 1) * (len(draws) / (len(draws) + draws.shape[1] + 5))
    correlation.diagonal().fill_(1.0)
    return deviation[:, None] * torch.linalg.cholesky(correlation)


def windows(warmup: int, metric: str) -> list[int]:
    """Iterations of a warm-up after which the scale is learned anew from the draws since the one before."""
    if metric == "unit" or warmup < 20:
        return []
    return sorted({int(share * warmup) for share in (0.15, 0.3, 0.55, 0.85)})


class DualAverage:
    """Step sizes that bring the mean acceptance to ``accept`` (Hoffman and Gelman 2014, section 3.2)."""

    def __init__(self, step: float, accept: float):
        self.accept = accept
        self.restart(step)

    def restart(self, step: float) -> None:
        self.centre, self.error, self.count, self.mean = math.log(10 * step), 0.0, 0, math.log(step)

    def update(self, acceptance: float) -> float:
        """The next step to try, after one that was accepted with this probability on average."""
        self.count += 1
        self.error += (self.accept - acceptance - self.error) / (self.count + 10)
        log_step = self.centre - self.error * math.sqrt(self.count) / 0.05
        weight = self.count**-0.75
        self.mean = weight * log_step + (1 - weight) * self.mean
        return hopeful(math.exp(min(log_step, 50.0)))

    @property
    def settled(self) -> float:
        """The step to go on with."""
        return math.exp(self.mean)


def hopeful(step: float) -> float:
    """The step itself. Raises Diverged where it has become too small to lead anywhere."""
    if step > SMALLEST:
        return step
    raise Diverged(f"No step is small enough: even steps of {SMALLEST:g} standard deviations are rejected. The density "
                   "jumps or is not finite around the chains; start them elsewhere, or raise the temperature.")
