"""What goes on from SGD's walk: longer budgets of SGD and of averaging, and fast geometric ensembles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape.errors import BadInput
from landscape.recipes.places import Places
from landscape.recipes.seeds import walking
from landscape.recipes.state import Keeper, unpack
from landscape.recipes.training import Problem, anywhere, problem
from landscape.recipes.walks import gathered, planned, rows, starts
from landscape.results import Summary
from landscape.schedules import Plan
from landscape.settings_averaging import Branches, Walk
from landscape.training.averaging import Trajectory
from landscape.training.walk import lost

PARTS = 8  # of a cycle of the ensemble, after each of which its way is looked at


def compute(s: Branches, context) -> None:
    """Saves ``history:NAME`` and the weights NAME of each: ``constant`` (beyond one budget), ``sgd-1.25`` ..., ``fge``.

    Weights are snapshots (T, K, P) as a walk has them; a network that diverges here is said in ``summary`` and is NaN.
    """
    p = problem(s)
    plans = planned(s, p)
    forks = s.forks(plans)
    costs = [(name, max(1, plans[name].epochs - epoch)) for name, epoch in forks.items()]
    context.plan([("walk", 2 * s.epochs), *costs])
    before = context.child("walk", Walk(**{name: getattr(s, name) for name in Walk.model_fields}))
    names, said, go_on = tuple(f"seed {seed}" for seed in s.seeds), {}, walking(context, validates=False)
    for name, epoch in forks.items():
        plan, keeper = plans[name], Keeper(context, name, names, p.task, what=f"Networks of the branch {name}")
        fork = before.load_weights(f"from-{epoch}") if epoch else None  # without one the branch is trained from its start
        state = keeper.resume() or (unpack(fork) if fork else None)
        state = go_on(p.task, list(s.seeds), starts(s, p), replace(plan, collect=plan.collect[:0]), state,
                      batch_size=s.batch_size, momentum=s.momentum, trace=_trace(s, name, plan), epochs=plan.epochs,
                      after_epoch=keeper, progress=lambda done, total, name=name: context.progress(name, done, total))
        keeper.finish(state)
        if not state.kept:  # every network has diverged before anything was to be kept
            said[name] = lost(state, s.seeds, plan)
            continue
        context.save_weights(name, gathered(state, len(s.seeds)))
        said[name] = lost(state, s.seeds, plan)
    context.save("summary", Summary({"key": context.key, "task": s.task, "forks": forks, "diverged": said}))


def _trace(s: Branches, name: str, plan: Plan) -> np.ndarray:
    """The numbers of steps after which a snapshot is kept."""
    spe = plan.steps_per_epoch
    if name == "constant":
        return plan.collect[plan.collect > s.epochs * spe]
    if name == "fge":
        gap = max(1, round(s.fge_cycle * spe / PARTS))
        return np.union1d(np.arange(s.start * spe + gap, plan.steps + 1, gap), plan.collect)
    return np.array([plan.steps])


@dataclass(frozen=True, eq=False)
class Branched:
    """The branches of the seeds that a walk kept; those that have diverged completely are missing."""

    key: str
    tracks: dict[str, Trajectory]
    lost: str


def branches(s: Branches, reader, finite: np.ndarray) -> Branched:
    """The branches of the settings, computed in this job unless they are there; ``finite`` (K,) are the walk's seeds."""
    own = Branches(**{name: getattr(s, name) for name in Branches.model_fields})
    child = reader.child("branches", own)
    told = child.load("summary")
    if told is None:
        raise BadInput(f"Run {child.key} is not done yet. Wait until it is, or start it again.")
    arrays = {name: child.load_weights(name) for name in told.values["forks"]}
    tracks = {name: rows(Trajectory.of(a), finite) for name, a in arrays.items()
              if a is not None and a["finite"].any()}
    said = "; ".join(f"{name}: {text}" for name, text in told.values["diverged"].items() if text)
    return Branched(child.key, tracks, said)


def places(s: Branches, reader) -> Places:
    """The last network of each branch and seed, ``sgd-1.25 seed 0`` ...; BatchNorm re-estimated at each."""
    p: Problem = problem(anywhere(s))
    told = reader.load("summary")
    if told is None:
        raise BadInput(f"Run {reader.key} has no trained networks yet. Wait until it is done, or start it again.")
    networks = {}
    for name in told.values["forks"]:
        arrays = reader.load_weights(name)
        for i, seed in enumerate(s.seeds):
            if arrays is not None and arrays["finite"][i]:
                networks[f"{name} seed {seed}"] = Trajectory.of(arrays).weights[-1][i]
    return Places(p.dataset, p.task, networks=networks)
