"""One pass of a source's networks over every input that is asked for: validation, test, corrupted, unknown, far away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.predictive import Average
from landscape.recipes.inferred.averages import raw_targets, target_scale
from landscape.recipes.judged.sources import Networks, Source
from landscape.recipes.opening import predicted
from landscape.training.losses import Categorical, Gaussian
from landscape.training.task import Task

TOGETHER = 8  # networks between two reports


@dataclass(frozen=True, eq=False)
class Asked:
    """Inputs by name, (n, *shape) float32 each, normalised as the task's own."""

    parts: dict[str, np.ndarray]

    def together(self, like: Tensor) -> Tensor:
        return torch.cat([torch.tensor(x) for x in self.parts.values()]).to(like)

    def divided(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of all inputs by the names of their parts."""
        ends = np.cumsum([len(x) for x in self.parts.values()])
        return dict(zip(self.parts, np.split(rows, ends[:-1]), strict=True))


@dataclass(frozen=True, eq=False)
class Predicted:
    """``probabilities`` (n, C) float64 by the names of what was asked, and ``disagreement`` (n,) of ``count`` networks."""

    count: int
    probabilities: dict[str, np.ndarray]
    disagreement: dict[str, np.ndarray]


def classes(source: Source, networks: Networks, asked: Asked, progress=lambda done, total: None) -> Predicted:
    """Mean class probabilities. Raises BadInput for a task without classes, Diverged for outputs that are not finite."""
    task = source.problem.task
    if not isinstance(task.likelihood, Categorical):
        raise BadInput(f"{source.title} does not predict classes.")
    x = asked.together(task.splits["train"][0])
    if networks.place is not None:
        with one_thread(x.device), torch.no_grad():
            p = torch.cat([out.double().softmax(-1) for out in predicted(task, networks.place, x)]).cpu().numpy()
        if not np.isfinite(p).all():
            raise BadInput(f"{source.title} gives outputs that are not finite.")
        return Predicted(1, asked.divided(p), {})
    grown = Average(task, x)
    for start in range(0, len(networks.weights), TOGETHER):
        progress(start, len(networks.weights))
        grown.add(networks.weights[start : start + TOGETHER])
    found = grown.predicted()
    apart = asked.divided(found.information) if found.count > 1 else {}
    return Predicted(found.count, asked.divided(found.probabilities), apart)


@torch.no_grad()
def members(task: Task, networks: Networks, x: Tensor) -> np.ndarray:
    """Outputs (M, n, C) float64 of each network on inputs x (n, ...)."""
    with one_thread(x.device):
        if networks.place is not None:
            return torch.cat(list(predicted(task, networks.place, x))).double()[None].cpu().numpy()
        weights = networks.weights.to(x.device, task.dtype)
        if task.net.layers:
            return torch.cat([task.net(part, x).double().cpu() for part in weights.split(TOGETHER)]).numpy()
        found = []
        for w in weights:
            own = task.buffers(w)
            found.append(torch.cat([task.net(w, x[a:b], own) for a, b in task.batches(len(x))]).double().cpu())
        return torch.stack(found).numpy()


@dataclass(frozen=True, eq=False)
class Numbers:
    """Predictions of a regression in the raw unit of the targets: ``means`` (M, n) of each network, their ``noise`` (n,)
    standard deviations, and the ``targets`` (n,); several target dimensions lie one behind the other."""

    means: np.ndarray
    noise: np.ndarray
    targets: np.ndarray
    x: np.ndarray


def numbers(source: Source, networks: Networks, split: str) -> Numbers:
    """What networks predict for a set. Raises BadInput for a task without a Gaussian likelihood."""
    task, dataset = source.problem.task, source.problem.dataset
    if not isinstance(task.likelihood, Gaussian):
        raise BadInput(f"{source.title} has no Gaussian likelihood, so it states no spread.")
    x, y = getattr(dataset, split).x, getattr(dataset, split).y
    outputs = members(task, networks, torch.tensor(x).to(task.splits["train"][0]))
    if not np.isfinite(outputs).all():
        raise BadInput(f"{source.title} gives outputs that are not finite.")
    means = np.stack([raw_targets(dataset, out).astype(np.float64) for out in outputs])
    noise = np.broadcast_to(task.likelihood.variance**0.5 * target_scale(dataset), y.shape)
    return Numbers(means.reshape(len(means), -1), noise.astype(np.float64).ravel(),
                   raw_targets(dataset, y).astype(np.float64).ravel(), dataset.raw(x))
