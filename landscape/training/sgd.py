"""SGD with momentum on K parameter vectors at once, restartable after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.accelerator import LOWER, Room, numbers
from landscape.networks.net import Buffers, stack
from landscape.schedules import scaled
from landscape.training.gradients import Compared, Gradients, Objective
from landscape.training.task import Task


@dataclass
class State:
    """Where a run of SGD stands after ``epoch`` epochs.

    ``log`` maps a name to one value a network for each epoch; ``lr`` holds the rate at each epoch's last step, ``rates``
    that of every step taken. ``diverged`` maps a network to the epoch in which its numbers stopped being finite; its
    weights are those with which that epoch began. ``kept`` is what has been gathered on the way, in order: it goes with
    the state, so a run that goes on gathers the rest.
    """

    parameters: Tensor
    velocity: Tensor
    epoch: int = 0
    buffers: Buffers = field(default_factory=dict)
    log: dict[str, list[Tensor]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)
    diverged: dict[int, int] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)

    def copy(self) -> State:
        """An independent state that goes on from here: nothing done to one is seen by the other."""
        return State(self.parameters.clone(), self.velocity.clone(), self.epoch,
                     {name: b.clone() for name, b in self.buffers.items()},
                     {name: list(values) for name, values in self.log.items()}, list(self.lr), dict(self.diverged),
                     list(self.rates), {name: list(values) for name, values in self.kept.items()})

    def move(self, device: torch.device) -> None:
        """Go on there: a state comes back from a file on the CPU."""
        self.parameters, self.velocity = self.parameters.to(device), self.velocity.to(device)
        self.buffers = {name: b.to(device) for name, b in self.buffers.items()}


@dataclass(frozen=True)
class Step:
    """A step just taken: ``done`` steps of the run, its ``rate``, and the loss (K,) of each network on its batch, before it.

    ``mean`` (K,) float64 is the mean loss of this epoch's examples so far.
    """

    done: int
    rate: float
    loss: Tensor
    mean: Tensor


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
    objective: Objective,
    *,
    examples: int,
    batch_size: int,
    epochs: int,
    momentum: float | Sequence[float],
    seeds: list[int],
    lr: float = 0.0,
    schedule: Callable[[float], float] | None = None,
    rates: Sequence[float] | None = None,
    points: Collection[int] = (),
    collect: Callable[[State, Step], None] = lambda state, step: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    after_epoch: Callable[[State], None] = lambda state: None,
    room: Room | None = None,
    precision: str = "",
    floor: float = 0.0,
) -> State:
    """Minimise K objectives; the state is advanced in place and returned.

    ``objective(parameters, buffers, indices (K, B), epoch, step)`` gives each network's loss and NLL, both (K,).
    The update is that of torch.optim.SGD: v <- momentum v + g, w <- w - rate v, with the rate ``lr * schedule(share of the
    run)`` or that of the step in ``rates`` (at least as many as steps); ``momentum`` may be one number a step, too. A
    network whose loss or weights are not finite is put back to where that epoch began, frozen and noted in
    ``state.diverged``; the others go on. ``collect`` is called after the steps numbered in ``points`` (from 1),
    ``progress`` after each step and may raise to stop; ``after_epoch`` sees a state that can be stored and run again.
    On a GPU nothing waits for the device within an epoch but ``collect``; with a ``room`` as many networks go through a step
    at once as fit into its memory, and the objective must take some of the networks, with their rows of everything, alone.
    Of a lower ``precision`` (``accelerator.mixed``) the log tells the rounding (``Compared``, of losses above ``floor``).
    """
    steps = -(-examples // batch_size)
    gradients = Compared(objective, precision, room, steps, floor) if precision in LOWER else Gradients(objective, room=room)
    planned = _planned("rates", scaled(schedule, lr, epochs * steps) if rates is None else rates, epochs * steps)
    momenta = [momentum] * len(planned) if isinstance(momentum, int | float) else _planned("momenta", momentum, len(planned))
    alive = torch.tensor([k not in state.diverged for k in range(len(state.parameters))], device=state.parameters.device)
    points = frozenset(points)
    for epoch in range(state.epoch, epochs):
        if not alive.any():
            break
        order = shuffles(seeds, epoch + 1, examples).to(state.parameters.device)
        sums = torch.zeros(2, len(alive), dtype=torch.float64, device=order.device)
        began = state.parameters.clone(), {name: b.clone() for name, b in state.buffers.items()}
        for step in range(steps):
            indices, done = order[:, step * batch_size : (step + 1) * batch_size], epoch * steps + step + 1
            loss, nll, gradient = gradients(state.parameters, state.buffers, indices, epoch, step)
            with torch.no_grad():
                alive &= loss.isfinite()
                _advance(state, gradient, alive, planned[done - 1], momenta[done - 1])
                sums += torch.stack([loss, nll]).double() * (indices.shape[1] / examples)
            if done in points:
                seen = (step * batch_size + indices.shape[1]) / examples
                collect(state, Step(done, planned[done - 1], loss, sums[0] / seen))
            progress(done, epochs * steps)
        state.epoch = epoch + 1
        alive &= state.parameters.isfinite().view(len(alive), -1).all(1)
        _note(state, alive, sums, gradients.figures)
        _put_back(state, ~alive, *began)
        after_epoch(state)
    return state


def train(task: Task, seeds: list[int], starts: Tensor, state: State | None = None, **options) -> State:
    """Train one network for each seed on the task's training data; ``starts`` (K, P). Options as in ``run``."""
    x, y = task.splits["train"]
    if not seeds:
        raise BadInput("Training needs at least one seed, one for each network, and none was given. Give some: seeds=0,1,2.")
    if state is None:
        state = start(starts, stack([task.net.buffers] * len(seeds)))
    state.move(x.device)

    def objective(w, buffers, indices, epoch, step):
        nll = mean_nll(task, w, buffers, x[indices], y[indices])
        return nll + task.penalty(w), nll

    room = Room(x.device, len(seeds)) if x.device.type == "cuda" else None
    return minimise(task, state, objective, seeds=seeds, **{"room": room} | options)


def minimise(task: Task, state: State, objective: Objective, **options) -> State:
    """``run`` on the training examples of a task, in its training precision."""
    x, floor = task.splits["train"][0], task.likelihood.floor or 0.0
    with numbers(x.device):
        return run(state, objective, examples=len(x), precision=task.training_precision, floor=floor, **options)


def mean_nll(task: Task, w: Tensor, buffers: Buffers, x: Tensor, y: Tensor) -> Tensor:
    """The mean NLL (K,) of network k on its own batch x[k] (K, B, ...), in training mode."""
    return task.likelihood.nll(task.net.each(w, x, buffers, training=True), y).mean(-1)


def _planned(name: str, values: Sequence[float], steps: int) -> list[float]:
    if len(values) < steps:
        raise BadInput(f"Training takes {steps} steps and {len(values)} {name} were given; one for each step is needed.")
    return [float(value) for value in values[:steps]]


def _advance(state: State, gradient: Tensor, alive: Tensor, rate: float, momentum: float) -> None:
    state.rates.append(rate)
    keep = alive.view((-1,) + (1,) * (state.parameters.ndim - 1))
    state.velocity.mul_(momentum).add_(gradient)  # the same operations, and bits, whether another network diverged or not
    if alive.device.type == "cuda":  # to ask who is alive would wait for the device; it is noted at the epoch's end
        state.velocity = torch.where(keep, state.velocity, 0)
    elif not alive.all():
        state.velocity = torch.where(keep, state.velocity, 0)
        for k in torch.nonzero(~alive).flatten().tolist():
            state.diverged.setdefault(k, state.epoch + 1)
    state.parameters.sub_(state.velocity, alpha=rate)


def _note(state: State, alive: Tensor, sums: Tensor, figures: dict[str, Tensor]) -> None:
    state.lr.append(state.rates[-1])
    nan, lost = torch.full_like(sums[0], float("nan")), [k for k, epoch in state.diverged.items() if epoch < state.epoch]
    for name, values in zip(("train_loss", "train_nll"), sums, strict=True):
        state.log.setdefault(name, []).append(torch.where(alive & values.isfinite(), values, nan).cpu())
    for name, values in figures.items():
        state.log.setdefault(name, []).append(values.cpu().index_fill(0, torch.tensor(lost, dtype=torch.int64), torch.nan))
    for k in torch.nonzero(~alive).flatten().tolist():
        state.diverged.setdefault(k, state.epoch)


def _put_back(state: State, dead: Tensor, parameters: Tensor, buffers: Buffers) -> None:
    """Networks that diverged get the weights and buffers back with which the epoch began."""
    if not dead.any():
        return
    state.parameters[dead] = parameters[dead]
    state.velocity[dead] = 0
    for name, before in buffers.items():
        state.buffers[name][dead] = before[dead]
