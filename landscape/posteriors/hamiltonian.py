"""Hamiltonian dynamics of many chains side by side: leapfrog, Metropolis steps and their warm-up (Neal 2011)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from landscape.posteriors.adaptation import DualAverage, hopeful, metric_of, pooled_scale, pulled, windows
from landscape.posteriors.method import Recorder
from landscape.posteriors.target import Target, scaled

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]  # z (N, K) -> log density (N,), its gradient (N, K)


def leapfrog(target: Gradient, q: Tensor, p: Tensor, gradient: Tensor, step: float | Tensor, count: int,
             scale: float | Tensor = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``count`` >= 1 leapfrog steps of size ``step`` (a number, or (N, 1)) from positions q and momenta p (N, K).

    ``gradient`` (N, K) is that of the log density at q; gives (q, p, log density (N,), gradient (N, K)) at the end. Momenta
    are of unit mass in u where q moves by scaled(u, scale). Reversible (with p turned round it leads back) and keeps volume,
    whatever force ``target`` returns; stable on N(0, s^2) for steps below 2 s.
    """
    p = p + 0.5 * step * pulled(gradient, scale)
    for left in reversed(range(count)):
        q = q + step * scaled(p, scale)
        value, gradient = target(q)
        p = p + (step if left else 0.5 * step) * pulled(gradient, scale)
    return q, p, value, gradient


class Walk:
    """Chains at ``z`` (N, K), with ``value`` (N,) and ``gradient`` (N, K) of the log density there.

    ``scale`` and ``step`` are what the warm-up learns; ``moves`` (N,) counts accepted trajectories.
    """

    def __init__(self, target: Target, z: Tensor, generator: torch.Generator, metric: str | None = None):
        self.target, self.z, self.generator = target, z, generator
        self.metric, self.step = metric_of(target.ndim, metric), 0.1
        self.scale: float | Tensor = target.normal_prior.deviation
        self.value, self.gradient = target.value_and_gradient(z)
        self.moves = torch.zeros_like(self.value)

    def normal(self) -> Tensor:
        """Standard normal numbers (N, K)."""
        noise = torch.randn(self.z.shape, generator=self.generator, dtype=self.z.dtype, device=self.generator.device)
        return noise.to(self.z.device)

    def uniform(self) -> Tensor:
        """Numbers (N,) from [0, 1)."""
        drawn = torch.rand(len(self.z), generator=self.generator, dtype=self.z.dtype, device=self.generator.device)
        return drawn.to(self.z.device)

    def advance(self, count: int, jitter: float = 0.1) -> tuple[Tensor, Tensor]:
        """A trajectory of ``count`` steps: the probability to accept it (N,), and its energy error (N,) in nats.

        Each chain's steps are longer or shorter by up to a share ``jitter``, so that none stays on a periodic orbit.
        """
        probability, error, found = self._tried(count, jitter)
        accepted = self.uniform() < probability
        for name, value in zip(("z", "value", "gradient"), found, strict=True):
            old = getattr(self, name)
            setattr(self, name, torch.where(accepted.view(-1, *[1] * (old.ndim - 1)), value, old))
        self.moves += accepted
        return probability, error

    def _tried(self, count: int, jitter: float) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        step = self.step * (1 + jitter * (2 * self.uniform() - 1))[:, None]
        p = self.normal()
        z, q, value, gradient = leapfrog(self.target.value_and_gradient, self.z, p, self.gradient, step, count, self.scale)
        error = self.value - value + 0.5 * (q.square().sum(-1) - p.square().sum(-1))
        error = torch.where(error.isfinite(), error, torch.inf)
        return torch.exp(-error).clamp(max=1), error, (z, value, gradient)

    def find_step(self) -> None:
        """Double or halve the step until one leapfrog step is accepted with about one half."""
        def acceptance() -> float:
            return float(self._tried(1, 0.0)[0].mean())

        upwards = acceptance() > 0.5
        for _ in range(100):
            self.step = hopeful(self.step * (2.0 if upwards else 0.5))
            if (acceptance() > 0.5) != upwards:
                return


def warm_up(walk: Walk, warmup: int, accept: float, step_size: float | None, record: Recorder,
            count: Callable[[], int]) -> None:
    """Learn the scale of the coordinates, from all chains together, and the step that is accepted with ``accept``.

    ``count()`` is the number of steps of the next trajectory. With a ``step_size`` given only the scale is learned.
    """
    if step_size is not None:
        walk.step = step_size
    elif warmup:
        walk.find_step()
    average, learned, seen = DualAverage(walk.step, accept), windows(warmup, walk.metric), []
    for done in range(1, warmup + 1):
        probability, _ = walk.advance(count())
        if step_size is None:
            walk.step = average.update(float(probability.mean()))
        if learned:
            seen.append(walk.z)
            if done == learned[0]:
                walk.scale = pooled_scale(torch.cat(seen), walk.metric)
                learned, seen = learned[1:], []
                if step_size is None:
                    walk.step = 1.0
                    walk.find_step()
                    average.restart(walk.step)
        record.warmed()
    if step_size is None and warmup:
        walk.step = average.settled


def steps_of(walk: Walk, trajectory: float, most: int) -> int:
    """Steps of a trajectory of half to one and a half times so many standard deviations, at most ``most``."""
    share = 0.5 + float(torch.rand((), generator=walk.generator, dtype=torch.float64, device=walk.generator.device))
    return max(1, min(most, math.ceil(share * trajectory / walk.step)))
