"""SGD by a plan, with averages and snapshots taken on the way, and branches from a common start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.networks.net import stack
from landscape.schedules import Plan, shared_epochs, steps_per_epoch
from landscape.training import sgd
from landscape.training.averaging import Collector
from landscape.training.sgd import State
from landscape.training.task import Task

START = "start"  # the name of the part that all branches share
MEMORY = 2 * 2**30  # bytes of snapshots that are held at once


def walk(
    task: Task,
    seeds: list[int],
    starts: Tensor,
    plan: Plan,
    state: State | None = None,
    *,
    batch_size: int,
    momentum: float,
    trace: Iterable[int] = (),
    epochs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    after_epoch: Callable[[State], None] = lambda state: None,
) -> State:
    """Train one network for each seed from ``starts`` (K, P) with the plan's rates; the state is advanced and returned.

    Weights are averaged at the plan's points of collection (``averaging.average_of``); snapshots are kept after the
    numbers of steps in ``trace`` (``averaging.trajectory_of``), 0 being the start. ``epochs`` stops before the plan's
    end. Networks that diverge are noted in the state, which stays usable: ``check`` says so in a sentence.
    """
    steps = steps_per_epoch(len(task.splits["train"][0]), batch_size)
    if plan.steps_per_epoch != steps:
        raise BadInput(f"The schedule was made for {plan.steps_per_epoch} steps an epoch, and the task's examples in batches"
                       f" of {batch_size} are {steps}. Make it for that number.")
    collector = Collector(plan.collect, trace)
    _must_fit(len(collector.trace), starts)
    if state is None and seeds:
        state = sgd.start(starts, stack([task.net.buffers] * len(seeds)))
    if state is not None:
        collector.begin(state)
    return sgd.train(task, seeds, starts, state, batch_size=batch_size, epochs=plan.epochs if epochs is None else epochs,
                     rates=plan.rates, momentum=momentum if plan.momenta is None else plan.momenta, points=collector.points,
                     collect=collector, progress=progress, after_epoch=after_epoch)


@dataclass(frozen=True, eq=False)
class Branches:
    """Where each plan led, and what it cost.

    ``shared`` epochs were trained once for all; ``states`` maps a plan's name to its final state.
    """

    shared: int
    plans: dict[str, Plan]
    states: dict[str, State]

    @property
    def cost(self) -> dict[str, dict[str, int]]:
        """Epochs of every network: ``alone`` if a branch were all one trains, ``extra`` beyond the shared start."""
        return {name: {"alone": plan.epochs, "extra": plan.epochs - self.shared} for name, plan in self.plans.items()}

    @property
    def spent(self) -> int:
        """Epochs trained for one network and all its branches."""
        return self.shared + sum(cost["extra"] for cost in self.cost.values())


def branched(
    task: Task,
    seeds: list[int],
    starts: Tensor,
    plans: dict[str, Plan],
    *,
    trace: Callable[[Plan], Iterable[int]] = lambda plan: np.union1d(plan.every(), plan.collect),
    resume: Callable[[str], State | None] = lambda name: None,
    after_epoch: Callable[[str, State], None] = lambda name, state: None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    through: Callable[..., State] = walk,
    **options,
) -> Branches:
    """Follow several plans from the same starts (K, P), shuffles and seeds; epochs in which all agree are trained once.

    ``trace`` gives the snapshots to keep (default: every epoch and every point of collection). ``resume(name)`` returns a
    state an interrupted job left, ``after_epoch(name, state)`` may store one; the part that is shared is called
    ``start``, and a branch's state holds what was gathered there. ``options`` are those of ``walk``, which goes ``through``
    each part unless something with the same result does.
    """
    if not plans or START in plans:
        raise BadInput(f"Branches need at least one plan, none of them called {START}; found {', '.join(plans) or 'none'}.")
    shared = shared_epochs(plans.values())
    common: State | None = None
    states = {}

    def follow(name: str, plan: Plan, state: State | None, epochs: int) -> State:
        return through(task, seeds, starts, plan, state, trace=trace(plan), epochs=epochs, **options,
                    after_epoch=lambda state: after_epoch(name, state),
                    progress=lambda done, total: progress(name, done, total))

    for name, plan in plans.items():
        state = resume(name)
        if state is None:
            if common is None:
                common = follow(START, plan, resume(START), shared)
            state = common.copy()
        states[name] = follow(name, plan, state, plan.epochs)
    return Branches(shared, plans, states)


def check(state: State, seeds: Iterable[int], plan: Plan, needed: int = 1) -> None:
    """Raises Diverged unless ``needed`` networks stayed finite, naming each that did not, its epoch and the rate there."""
    seeds = list(seeds)
    finite = len(seeds) - len(state.diverged)
    if finite < needed:
        raise Diverged(f"{needed} of {len(seeds)} networks must stay finite, {finite} did: {lost(state, seeds, plan)}. "
                       "The weights from before that epoch are kept. Lower the learning rate.")


def lost(state: State, seeds: Iterable[int], plan: Plan) -> str:
    """Which networks diverged, when, and at which learning rate (the highest of that epoch); empty if none did."""
    seeds, spe = list(seeds), plan.steps_per_epoch
    return ", ".join(
        f"seed {seeds[k]} diverged in epoch {epoch} at learning rate {plan.rates[(epoch - 1) * spe : epoch * spe].max():g}"
        for k, epoch in sorted(state.diverged.items()))


def _must_fit(snapshots: int, starts: Tensor) -> None:
    size = snapshots * starts.numel() * starts.element_size()
    if size > MEMORY:
        raise BadInput(f"{snapshots} snapshots of {len(starts)} networks with {starts.shape[1]} parameters take "
                       f"{size / 2**30:.1f} GiB, and {MEMORY / 2**30:g} are allowed. Keep fewer: one every few epochs.")
