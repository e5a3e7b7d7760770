"""SGD with momentum on K parameter vectors at once, restartable after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.networks.net import Buffers, stack
from landscape.training.task import Task


@dataclass
class State:
    """Where a run of SGD stands after ``epoch`` epochs. ``log`` maps a name to one value a network for each epoch."""

    parameters: Tensor
    velocity: Tensor
    epoch: int = 0
    buffers: Buffers = field(default_factory=dict)
    log: dict[str, list[Tensor]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)
    diverged: dict[int, int] = field(default_factory=dict)


def start(parameters: Tensor, buffers: Buffers | None = None) -> State:
    """A fresh state; ``parameters`` (K, ...)."""
    return State(parameters.clone(), torch.zeros_like(parameters), buffers=buffers or {})


def shuffles(seeds: list[int], epoch: int, examples: int) -> Tensor:
    """One permutation of the examples for each seed (K, n), the same whenever this epoch is asked for."""
    return torch.stack([torch.randperm(examples, generator=generator(seed, epoch)) for seed in seeds])


def generator(seed: int, stream: int) -> torch.Generator:
    """An independent stream of random numbers for a seed: stream 0 is the start, stream e the shuffles of epoch e."""
    mixed = (seed * 0x9E3779B97F4A7C15 + (stream + 1) * 0xBF58476D1CE4E5B9) % 2**63
    return torch.Generator().manual_seed(mixed)


def run(
    state: State,
    objective: Callable[[Tensor, Buffers, Tensor, int, int], tuple[Tensor, Tensor]],
    *,
    examples: int,
    batch_size: int,
    epochs: int,
    lr: float,
    schedule: Callable[[float], float],
    momentum: float,
    seeds: list[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
    after_epoch: Callable[[State], None] = lambda state: None,
) -> State:
    """Minimise K objectives; the state is advanced in place and returned.

    ``objective(parameters, buffers, indices (K, B), epoch, step)`` gives each network's loss and NLL, both (K,).
    The update is that of torch.optim.SGD: v <- momentum v + g, w <- w - lr v. A network whose loss is not finite is
    frozen where it was and noted in ``state.diverged`` with its epoch; the others go on. ``progress`` is called
    after each step and may raise to stop; ``after_epoch`` sees a state that can be stored and run again.
    """
    steps = -(-examples // batch_size)
    alive = torch.tensor([k not in state.diverged for k in range(len(state.parameters))], device=state.parameters.device)
    shape = (-1,) + (1,) * (state.parameters.ndim - 1)
    for epoch in range(state.epoch, epochs):
        order = shuffles(seeds, epoch + 1, examples).to(state.parameters.device)
        sums = torch.zeros(2, len(alive), dtype=torch.float64, device=order.device)
        for step in range(steps):
            indices = order[:, step * batch_size : (step + 1) * batch_size]
            parameters = state.parameters.requires_grad_(True)
            loss, nll = objective(parameters, state.buffers, indices, epoch, step)
            (gradient,) = torch.autograd.grad(loss.sum(), parameters)
            with torch.no_grad():
                parameters.requires_grad_(False)
                alive &= loss.detach().isfinite()
                rate = lr * schedule((epoch * steps + step) / (epochs * steps))
                if alive.all():
                    state.velocity.mul_(momentum).add_(gradient)
                    state.parameters.sub_(state.velocity, alpha=rate)
                else:
                    keep = alive.view(shape)
                    state.velocity = torch.where(keep, momentum * state.velocity + gradient, 0)
                    state.parameters = state.parameters - rate * state.velocity
                sums += torch.stack([loss.detach(), nll.detach()]).double() * (indices.shape[1] / examples)
            progress(epoch * steps + step + 1, epochs * steps)
        state.epoch = epoch + 1
        state.lr.append(rate)
        _note(state, alive, sums)
        after_epoch(state)
        if not alive.any():
            break
    return state


def train(task: Task, seeds: list[int], starts: Tensor, state: State | None = None, **options) -> State:
    """Train one network for each seed on the task's training data; ``starts`` (K, P). Options as in ``run``."""
    x, y = task.splits["train"]
    if state is None:
        state = start(starts, stack([task.net.buffers] * len(seeds)))

    def objective(w, buffers, indices, epoch, step):
        nll = mean_nll(task, w, buffers, x[indices], y[indices])
        return nll + task.penalty(w), nll

    return run(state, objective, examples=len(x), seeds=seeds, **options)


def mean_nll(task: Task, w: Tensor, buffers: Buffers, x: Tensor, y: Tensor) -> Tensor:
    """The mean NLL (K,) of network k on its own batch x[k] (K, B, ...), in training mode."""
    return task.likelihood.nll(task.net.each(w, x, buffers, training=True), y).mean(-1)


def _note(state: State, alive: Tensor, sums: Tensor) -> None:
    nan = torch.full_like(sums[0], float("nan"))
    for name, values in zip(("train_loss", "train_nll"), sums, strict=True):
        state.log.setdefault(name, []).append(torch.where(alive & values.isfinite(), values, nan).cpu())
    for k in torch.nonzero(~alive).flatten().tolist():
        state.diverged.setdefault(k, state.epoch)


