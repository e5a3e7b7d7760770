"""Stochastic gradient Langevin dynamics with cyclical steps (Welling and Teh 2011; Zhang et al. 2020, arXiv 1902.03932)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.posteriors.adaptation import pulled
from landscape.posteriors.hamiltonian import Walk, warm_up
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, check_positive, silent, starts
from landscape.posteriors.target import Target, scaled

ACCEPT = 0.9  # of the Metropolis-adjusted steps that find the scale and the step in the warm-up
CAUTION = 0.4  # the largest step of a cycle as a share of that one: without an accept step, what is too long is a bias


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent,
          warmup: int = 200, cycle: int = 50, explore: float = 0.5, per_cycle: int = 5, batch_size: int = 0,
          step_size: float | None = None, metric: str | None = None) -> Draws:
    """``draws`` of each of ``chains``, ``per_cycle`` of each cycle of ``cycle`` steps, all from after its share ``explore``.

    Within a cycle the squared step falls along half a cosine (Zhang et al., equation 1), with noise throughout.
    ``step_size`` is the largest one, in standard deviations as HMC measures them; by default ``CAUTION`` times what
    Metropolis-adjusted Langevin steps of the warm-up accept nine times of ten. ``batch_size`` examples make a gradient; 0
    means all of them. There is no accept step: draws are biased by the size of the steps and by the noise of the batches.

    ``info``: ``step_size``, ``steps``, ``acceptance`` NaN. ``log_density`` is that of the gradient's examples where they are
    all of them, else NaN. Raises BadInput for a start with non-finite density, Diverged where a chain leaves finite numbers.
    """
    target = given.target
    check_positive("SGLD", cycle=cycle, per_cycle=per_cycle, step_size=step_size)
    if not 0 <= explore < 1 or per_cycle > (1 - explore) * cycle or batch_size < 0:
        raise BadInput(f"SGLD keeps {per_cycle} draws of the last {(1 - explore) * cycle:.0f} steps of each cycle, of "
                       f"batches of {batch_size} examples: keep fewer of each, make cycles longer, explore less.")
    with one_thread(target.device):
        walk = Walk(target, starts(given, chains, generator), generator, metric)
        record = Recorder(target, chains, draws, warmup, watch)
        warm_up(walk, warmup, ACCEPT, step_size, record, lambda: 1)
        largest = walk.step if step_size is not None else CAUTION * walk.step
        kept = {cycle - 1 - int(k * (1 - explore) * cycle / per_cycle) for k in range(per_cycle)}
        batches, z, steps = _Batches(target, batch_size, generator), walk.z, 0
        while not record.full:
            place = steps % cycle
            step = largest * math.sqrt(0.5 * (1 + math.cos(math.pi * place / cycle)))
            value, gradient = target.stochastic_gradient(z, batches.next())
            if steps and (steps - 1) % cycle in kept:
                _finite(z, value, steps)
                record.add(z, value if batches.all else math.nan)
            z = z + scaled(0.5 * step**2 * pulled(gradient, walk.scale) + step * walk.normal(), walk.scale)
            steps += 1
    said = [target.said, f"Steps of {largest:.3g} standard deviations and less, without an accept step: draws are biased by "
                         f"the steps' size{'' if batches.all else f' and the noise of batches of {batch_size} examples'}."]
    return record.draws(step_size=largest, steps=steps, acceptance=torch.full((chains,), math.nan), metric=walk.metric,
                        said=said)


class _Batches:
    """Examples of one step after another: a new order of all of them each time they are used up."""

    def __init__(self, target: Target, size: int, generator: torch.Generator):
        self.target, self.size, self.generator = target, size, generator
        self.all = not 0 < size < target.examples
        self._order = torch.empty(0, dtype=torch.long)

    def next(self) -> Tensor | None:
        if self.all:
            return None
        if len(self._order) < self.size:
            self._order = torch.randperm(self.target.examples, generator=self.generator, device=self.generator.device)
        chosen, self._order = self._order[: self.size], self._order[self.size :]
        return chosen.to(self.target.device)


def _finite(z: Tensor, value: Tensor, steps: int) -> None:
    lost = [str(k + 1) for k in torch.nonzero(~(value.isfinite() & z.isfinite().all(1))).flatten().tolist()]
    if lost:
        raise Diverged(f"SGLD: chain {', '.join(lost)} of {len(z)} left the finite numbers after {steps:,} steps. Choose a "
                       "smaller step_size, or larger batches.")
