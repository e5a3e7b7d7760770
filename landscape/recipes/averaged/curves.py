"""Errors along the walk: SGD, the last iterate at the constant rate, the average of weights, the average of predictions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from landscape.recipes.walks import Walked
from landscape.results import History
from landscape.training.averaging import Trajectory
from landscape.training.ensembles import by_size
from landscape.training.task import Task

SHOWN = {"test": ("error", "nll"), "train": ("nll", "loss", "error"), "validation": ("error",)}
KINDS = ("sgd", "last", "swa", "prediction average")


def judged(task: Task, w: Tensor) -> dict[str, np.ndarray]:
    """Metrics (K,) of networks (K, P) on every set, NaN for weights that are not finite.

    With BatchNorm, statistics are re-estimated for each, so that every method is judged alike.
    """
    finite = w.isfinite().all(1).cpu().numpy()
    w, found = w.to(task.splits["train"][0].device, task.dtype), {}
    for split, quantities in SHOWN.items():
        values = task.evaluate(w, split)
        found |= {f"{split}_{q}": np.where(finite, values[q].numpy(), np.nan) for q in quantities}
    return found


def together(task: Task, members: Iterable[Tensor]) -> dict[str, np.ndarray]:
    """The same (T, K) of the prediction averages of the first 1, 2 ... members, each (K, P); a loss needs one network's
    weights, so there is none."""
    members, found = list(members), {}
    for split, quantities in SHOWN.items():
        values = by_size(task, members, split)
        found |= {f"{split}_{q}": values[f"ensemble_{q}"].numpy() for q in quantities if q != "loss"}
    return found


def histories(walk: Walked, context) -> dict[str, History]:
    """Saves and returns ``history:sgd``, ``history:last``, ``history:swa`` and ``history:prediction average``.

    All four over one budget, at every epoch and every point of averaging; NaN where a curve has not begun.
    """
    before = {kind: context.load(f"history:{kind}") for kind in KINDS}
    if None not in before.values():
        context.progress("histories", 1, 1)
        return before
    spe = walk.plans["sgd"].steps_per_epoch
    steps = np.union1d(np.arange(0, walk.last_step + 1, spe), walk.snapshots.steps)
    rates = {name: _logged(steps, track) for name, track in (("sgd", walk.sgd), ("constant", walk.constant))}
    made, total = {}, len(walk.sgd) + len(walk.constant) + 2 * len(walk.snapshots)
    tracks = {"sgd": (walk.sgd.steps, walk.sgd.weights), "last": (walk.constant.steps, walk.constant.weights),
              "swa": (walk.snapshots.steps, walk.snapshots.means())}
    done = 0
    for kind, (at, weights) in tracks.items():
        found = []
        for w in weights:
            found.append(judged(walk.task, w))
            context.progress("histories", done := done + 1, total)
        columns = {m: np.stack([each[m] for each in found], axis=1) for m in found[0]}
        made[kind] = _history(walk, steps, rates["sgd" if kind == "sgd" else "constant"], at, columns)
        context.save(f"history:{kind}", made[kind])
    columns = {m: values.T for m, values in together(walk.task, walk.snapshots.weights).items()}
    made["prediction average"] = _history(walk, steps, rates["constant"], walk.snapshots.steps, columns)
    context.save("history:prediction average", made["prediction average"])
    context.progress("histories", 1, 1)
    return made


def _logged(steps: np.ndarray, track: Trajectory) -> np.ndarray:
    """The rate that the optimiser took in the last step before each of ``steps``, NaN where no snapshot kept it."""
    rates = np.full(len(steps), np.nan)
    rates[np.searchsorted(steps, track.steps)] = track.rates
    return rates


def _history(walk: Walked, steps: np.ndarray, rates: np.ndarray, at: np.ndarray, columns: dict) -> History:
    where = np.searchsorted(steps, at)
    values = {}
    for metric, known in columns.items():
        values[metric] = np.full((len(walk.seeds), len(steps)), np.nan)
        values[metric][:, where] = known
    info = {"swa_start": walk.settings.start, "branch": walk.shared, "budget": walk.settings.epochs, "lost": walk.lost,
            "data": {split: len(x) for split, (x, _) in walk.task.splits.items()}, "batchnorm": batchnorm(walk.task)}
    return History(tuple(f"seed {seed}" for seed in walk.seeds), walk.epochs(steps), rates, values, info)


def last(history: History) -> dict[str, np.ndarray]:
    """The values (K,) at the end of the budget."""
    return {metric: values[:, -1] for metric, values in history.values.items()}


def batchnorm(task: Task) -> str:
    """How BatchNorm is treated wherever nothing else is said."""
    if not task.net.batchnorm:
        return "none"
    return f"re-estimated at every point on {sum(map(len, task.batchnorm_batches))} training examples"


def of_one(track: Tensor, i: int) -> Tensor:
    """The snapshots (T, P) of network i of (T, K, P), in memory of their own."""
    return torch.clone(track[:, i])
