"""SGD's walk as a run of its own: the branch whose rate decays, the one at a constant rate, and every snapshot of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.architectures import initial_weights
from landscape.networks.net import Buffers
from landscape.recipes.places import Places
from landscape.recipes.seeds import walking
from landscape.recipes.state import Keeper, pack, validated
from landscape.recipes.training import Problem, anywhere, buffers_of, problem
from landscape.results import History, Summary
from landscape.schedules import Plan, steps_per_epoch
from landscape.settings_averaging import Walk
from landscape.training import sgd
from landscape.training.averaging import Trajectory, average_of, trajectory_of
from landscape.training.rounding import rounding
from landscape.training.task import Task
from landscape.training.walk import START, branched, check, lost

NAMES = ("sgd", "constant")


def compute(s: Walk, context) -> None:
    """Saves ``history:training``, the weights ``sgd`` and ``constant``, ``from-EPOCH`` where others branch off, ``summary``.

    The weights are snapshots (T, K, P) of every epoch and point of averaging, each network's buffers at the end, and which
    networks stayed finite; ``constant`` has the running mean as SGD kept it, too.
    """
    p = problem(s)
    every = planned(s, p)
    plans = {"sgd": every["sgd"], "constant": every["constant"].head(s.epochs)}
    context.plan([(START, max(1, s.branch * s.epochs)), *((name, s.epochs) for name in plans)])
    live = _Live(s, context, p, {s.start, *s.forks(every).values()})  # an ensemble goes on from where averaging starts
    found = branched(
        p.task, list(s.seeds), starts(s, p), plans, resume=live.resume, after_epoch=live, batch_size=s.batch_size,
        momentum=s.momentum, through=walking(context, live.forks), progress=lambda name, done, total: context.progress(
            name, done, total, epoch=done * s.epochs // total, epochs=s.epochs))
    live.save()
    for name, state in found.states.items():
        context.save_weights(name, gathered(state, len(s.seeds)))
    told = {name: lost(state, s.seeds, plans[name]) for name, state in found.states.items()}
    context.save("summary", Summary({"key": context.key, "task": s.task, "seeds": list(s.seeds), "diverged": told,
                                     "shared_epochs": found.shared, "spent_epochs": found.spent}))
    for name, state in found.states.items():
        check(state, s.seeds, plans[name])


def planned(s: Walk, p: Problem) -> dict[str, Plan]:
    """The plans of the settings for the task's number of steps an epoch."""
    return s.plans(steps_per_epoch(len(p.dataset.train), s.batch_size))


def starts(s: Walk, p: Problem) -> Tensor:
    """The initial weights (K, P), those of a training with the same seeds."""
    own = [initial_weights(p.module, sgd.generator(seed, 0)) for seed in s.seeds]
    return torch.stack(own).to(p.task.splits["train"][0])


def gathered(state: sgd.State, count: int) -> dict[str, np.ndarray]:
    """The snapshots of a state, the ``last`` weights (K, P) that were finite, and what belongs to them, as arrays."""
    arrays = trajectory_of(state).arrays() | {f"buffer.{name}": b.cpu().numpy() for name, b in state.buffers.items()}
    arrays["finite"] = np.array([k not in state.diverged for k in range(count)], np.uint8)
    arrays["last"] = state.parameters.cpu().numpy()
    if state.kept.get("mean"):
        arrays["mean"] = average_of(state)[0].cpu().numpy()
    return arrays


class _Live:
    """Histories of both branches in one picture while they are computed, their states, and the forks for later runs."""

    def __init__(self, s: Walk, context, p: Problem, forks: set[int]):
        self.s, self.context, self.task, self.forks = s, context, p.task, forks
        self.logs: dict[str, sgd.State] = {}
        self.keepers = {name: _Shown(context, name, (), p.task, partial(validated, p.task), self.save) for name in
                        (START, *NAMES)}

    def resume(self, name: str) -> sgd.State | None:
        state = self.keepers[name].resume()
        if state is not None:
            self.logs[name] = state
        return state

    def __call__(self, name: str, state: sgd.State) -> None:
        if name != "sgd" and state.epoch in self.forks:
            trained = {metric: log for metric, log in state.log.items() if metric.startswith("train")}
            self.context.save_weights(f"from-{state.epoch}", pack(replace(state, kept={}, log=trained)))
        self.logs[name] = state
        self.keepers[name](state)

    def save(self, state: sgd.State | None = None) -> None:
        shown = {name: self.logs.get(name, self.logs.get(START)) for name in NAMES}
        shown = {name: state for name, state in shown.items() if state is not None}
        epochs, blank = max(state.epoch for state in shown.values()), torch.full((len(self.s.seeds),), torch.nan)
        values = {m: np.concatenate([_padded(state.log[m], epochs, blank) for state in shown.values()])
                  for m in next(iter(shown.values())).log}
        rates = {name: np.array(state.lr + [np.nan] * (epochs - len(state.lr))) for name, state in shown.items()}
        names = tuple(f"{name} seed {seed}" for name in shown for seed in self.s.seeds)
        diverged = {f"{name} seed {self.s.seeds[k]}": e for name, state in shown.items()
                    for k, e in sorted(state.diverged.items())}
        info = {"diverged": diverged, "lr": rates} | rounding(self.task, values)
        self.context.save("history:training", History(
            names, np.arange(1, epochs + 1), rates.get("sgd"), values, info))


class _Shown(Keeper):
    """A keeper whose curves somebody else draws."""

    def __init__(self, context, name: str, names: tuple[str, ...], task: Task, validate, show):
        super().__init__(context, name, names, task, validate)
        self.show = show


def _padded(log: list[Tensor], epochs: int, blank: Tensor) -> np.ndarray:
    return torch.stack([*log, *[blank.to(log[0])] * (epochs - len(log))], dim=1).numpy()


@dataclass(frozen=True, eq=False)
class Walked:
    """A finished walk: ``sgd`` and ``constant`` are the snapshots of the K networks that stayed finite, of ``seeds`` (K,).

    ``buffers`` maps each branch to its arrays ``buffer.*`` (K, ...) at the end; ``lost`` says which networks diverged.
    """

    key: str
    settings: Walk
    problem: Problem
    plans: dict[str, Plan]
    seeds: tuple[int, ...]
    sgd: Trajectory
    constant: Trajectory
    buffers: dict[str, dict[str, np.ndarray]]
    lost: str
    finite: np.ndarray
    shared: int

    @property
    def task(self):
        return self.problem.task

    @property
    def last_step(self) -> int:
        """Steps of one budget."""
        return self.settings.epochs * self.plans["sgd"].steps_per_epoch

    @cached_property
    def snapshots(self) -> Trajectory:
        """What is averaged within one budget."""
        collect = self.plans["constant"].collect
        return self.constant.at(collect[collect <= self.last_step])

    @property
    def w_sgd(self) -> Tensor:
        """(K, P)."""
        return self.sgd.weights[-1]

    @cached_property
    def w_swa(self) -> Tensor:
        """The mean of the snapshots (K, P), summed in float64."""
        *_, mean = self.snapshots.means()
        return mean.to(self.w_sgd)

    def epochs(self, steps: np.ndarray) -> np.ndarray:
        return np.asarray(steps) / self.plans["sgd"].steps_per_epoch

    def at(self, epoch: int) -> Tensor:
        """The networks (K, P) of the constant branch after an epoch."""
        return self.constant.at([epoch * self.plans["sgd"].steps_per_epoch]).weights[0]

    def stored(self, name: str, i: int) -> Buffers:
        """The buffers of network i at the end of a branch."""
        return buffers_of(self.buffers[name], i, self.task)


def walked(s: Walk, reader, p: Problem) -> Walked:
    """The walk of the settings, computed in this job unless it is there; seeds that diverged are left out.

    Raises BadInput while there is none.
    """
    own = Walk(**{name: getattr(s, name) for name in Walk.model_fields})
    child = reader.child("walk", own)
    return of_run(own, child, p, planned(s, p))


def of_run(s: Walk, reader, p: Problem, plans: dict[str, Plan]) -> Walked:
    """What a run ``walk`` has saved."""
    arrays, told = {name: reader.load_weights(name) for name in NAMES}, reader.load("summary")
    if told is None or None in arrays.values():
        raise BadInput(f"Run {reader.key} has no trained networks yet. Wait until it is done, or start it again.")
    finite = np.logical_and(*(a["finite"].astype(bool) for a in arrays.values()))
    if not finite.any():
        raise BadInput(f"Run {reader.key} has no network that stayed finite. Lower the learning rate and train again.")
    tracks = {name: rows(Trajectory.of(a), finite) for name, a in arrays.items()}
    buffers = {name: {k: v[finite] for k, v in a.items() if k.startswith("buffer.")} for name, a in arrays.items()}
    seeds = tuple(seed for seed, ok in zip(s.seeds, finite, strict=True) if ok)
    said = "; ".join(dict.fromkeys(text for text in told.values["diverged"].values() if text))
    return Walked(reader.key, s, p, plans, seeds, tracks["sgd"], tracks["constant"], buffers, said, finite,
                  told.values["shared_epochs"])


def rows(track: Trajectory, finite: np.ndarray) -> Trajectory:
    """The trajectory of some of its networks."""
    return Trajectory(track.weights[:, torch.tensor(finite)], track.steps, track.rates, track.losses[:, finite])


def places(s: Walk, reader) -> Places:
    """The last network of each branch and seed, ``SGD seed 0`` ..., with the BatchNorm statistics of its own training."""
    p = problem(anywhere(s))
    found = of_run(s, reader, p, planned(s, p))
    last = {"sgd": found.sgd.weights[-1], "constant": found.constant.weights[-1]}
    titles = {"sgd": "SGD", "constant": "constant rate"}
    networks = {f"{titles[name]} seed {seed}": w[i] for name, w in last.items() for i, seed in enumerate(found.seeds)}
    own = {f"{titles[name]} seed {seed}": found.stored(name, i) for name in last for i, seed in enumerate(found.seeds)
           } if p.task.net.batchnorm else {}
    return Places(p.dataset, p.task, networks=networks, own=own)
