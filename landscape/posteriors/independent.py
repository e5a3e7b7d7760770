"""Independent draws from a distribution that was fitted to a target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from landscape.posteriors.method import Draws, Recorder
from landscape.posteriors.target import Normal, Target

TOGETHER = 256  # draws whose densities are computed at once


def drawn(recorder: Recorder, draw: Callable[[int], Tensor], **info) -> Draws:
    """Fill a recorder with draws z (count, K) that ``draw(count)`` makes, their log densities beside them."""
    chains, draws, _ = recorder.z.shape
    block = max(1, TOGETHER // chains)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        z = draw(size * chains)
        for each, value in zip(z.split(chains), recorder.target.log_density(z).split(chains), strict=True):
            recorder.add(each, value)
    return recorder.draws(**info)


def noise(shape: tuple[int, ...], generator: torch.Generator, target: Target) -> Tensor:
    """Standard normal numbers on the target's device, float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64, device=generator.device).to(target.device)


def deviations(prior: Normal) -> Tensor:
    """The prior's standard deviation along each coordinate, (K,)."""
    if not isinstance(prior.deviation, Tensor):
        return torch.full_like(prior.mean, prior.deviation)
    return prior.deviation.norm(dim=1) if prior.deviation.ndim == 2 else prior.deviation
