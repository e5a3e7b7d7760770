"""Averages of the weights on SGD's way, and the snapshots themselves (stochastic weight averaging, Izmailov et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.net import Buffers, stack
from landscape.training.sgd import State, Step
from landscape.training.task import Task


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Snapshots of K networks: ``weights`` (T, K, P) after ``steps`` (T,) steps, NaN for a network that has diverged.

    ``rates`` (T,) is the learning rate of the step before, ``losses`` (T, K) the mean training loss (with penalty) over that
    epoch's batches up to there; both NaN after 0 steps.
    """

    weights: Tensor
    steps: np.ndarray
    rates: np.ndarray
    losses: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, steps: Iterable[int]) -> Trajectory:
        """The snapshots after these numbers of steps. Raises BadInput if one was not kept."""
        steps = np.asarray(list(steps), dtype=np.int64)
        found = np.searchsorted(self.steps, steps)
        missing = steps[(found == len(self)) | (self.steps.take(found, mode="clip") != steps)] if len(self) else steps
        if len(missing):
            raise BadInput(f"No snapshot was kept after {missing[0]} steps ({len(missing)} of {len(steps)} are missing). "
                           "Keep the points of collection as well when training.")
        return Trajectory(self.weights[found], self.steps[found], self.rates[found], self.losses[found])

    def means(self) -> Iterator[Tensor]:
        """After each snapshot the mean of all so far, (K, P) float64, one at a time."""
        mean, count = torch.zeros_like(self.weights[0], dtype=torch.float64), _none(self.weights[0])
        for w in self.weights:
            mean, count = updated(mean, count, w)
            yield torch.where(count[:, None] > 0, mean, torch.nan)

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``of`` makes an equal trajectory from."""
        return {"weights": self.weights.numpy(), "steps": self.steps, "rates": self.rates, "losses": self.losses}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> Trajectory:
        return cls(torch.tensor(arrays["weights"]), arrays["steps"], arrays["rates"], arrays["losses"])


class Collector:
    """Handed to ``sgd.run`` as ``collect``: averages weights at some points and keeps snapshots at others.

    ``average`` and ``trace`` are numbers of steps; all that is gathered lies in ``state.kept``, so that a state that was
    stored and goes on gathers the rest. The running mean w <- w + (w_i - w) / n is in float64, one for each network; a
    network that has diverged adds nothing to it.
    """

    def __init__(self, average: Iterable[int] = (), trace: Iterable[int] = ()):
        self.average, self.trace = frozenset(map(int, average)), frozenset(map(int, trace))
        self.points = self.average | self.trace

    def begin(self, state: State) -> None:
        """The snapshot before the first step, if it is asked for."""
        if 0 in self.trace and state.epoch == 0 and not state.kept:
            nothing = torch.full((len(state.parameters),), torch.nan, dtype=torch.float64)
            _keep(state, Step(0, float("nan"), nothing, nothing), _usable(state))

    def __call__(self, state: State, step: Step) -> None:
        usable = _usable(state)
        if step.done in self.average:
            w = torch.where(usable[:, None], state.parameters, torch.nan)
            mean, count = state.kept.get("mean"), state.kept.get("count")
            before = (mean[0].to(w.device), count[0].to(w.device)) if mean else (torch.zeros_like(w).double(), _none(w))
            mean, count = updated(*before, w)
            state.kept |= {"mean": [mean], "count": [count]}
        if step.done in self.trace:
            _keep(state, step, usable)


def updated(mean: Tensor, count: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (K, P) float64 of ``count`` (K,) vectors with w (K, P) added to it; rows that are not finite add nothing."""
    finite = w.isfinite().all(1)
    count = count + finite
    return torch.where(finite[:, None], mean + (w.double() - mean) / count.clamp(min=1)[:, None], mean), count


def average_of(state: State) -> tuple[Tensor, Tensor]:
    """``(w (K, P), count (K,))``: each network's average and of how many snapshots; NaN where there is none.

    Raises BadInput if nothing has been averaged yet. BatchNorm statistics are not averaged: evaluate with re-estimated ones
    (``Task.evaluate`` without buffers).
    """
    if not state.kept.get("mean"):
        raise BadInput(f"Nothing has been averaged in {state.epoch} epochs. Choose a schedule that collects snapshots, "
                       "and start earlier or train longer.")
    mean, count = state.kept["mean"][0], state.kept["count"][0]
    return torch.where(count[:, None] > 0, mean, torch.nan).to(state.parameters), count.cpu()


def trajectory_of(state: State) -> Trajectory:
    """The snapshots kept so far. Raises BadInput if there are none."""
    kept = state.kept
    if not kept.get("w"):
        raise BadInput("No snapshots were kept on the way. Name the steps after which to keep one (trace).")
    return Trajectory(torch.stack(kept["w"]), torch.stack(kept["at"]).numpy(), torch.stack(kept["rate"]).numpy(),
                      torch.stack(kept["loss"]).numpy())


def refresh(task: Task, w: Tensor, split: str, stored: Buffers) -> dict[str, dict[str, Tensor]]:
    """Metrics of averages w (K, P) with three kinds of BatchNorm statistics; all the same without BatchNorm.

    ``initial``: those of a network that has seen no data, which is what an average held in a second network has before the
    pass over the training data (Izmailov et al. 2018, section 3.2); ``stored`` (K, ...): those of the last iterate, as
    ``torch.optim.swa_utils`` copies them, which fit other weights; ``re-estimated``: the average's own.
    """
    initial = stack([task.net.buffers] * len(w)) or None
    return {"initial": task.evaluate(w, split, initial), "stored": task.evaluate(w, split, stored or None),
            "re-estimated": task.evaluate(w, split)}


def _usable(state: State) -> Tensor:
    usable = state.parameters.isfinite().all(1)
    usable[list(state.diverged)] = False
    return usable


def _keep(state: State, step: Step, usable: Tensor) -> None:
    found = {
        "w": torch.where(usable[:, None], state.parameters, torch.nan).cpu(), "at": torch.tensor(step.done),
        "rate": torch.tensor(step.rate, dtype=torch.float64),
        "loss": torch.where(usable, step.mean.to(usable.device), torch.nan).cpu(),
    }
    for name, value in found.items():
        state.kept.setdefault(name, []).append(value)


def _none(w: Tensor) -> Tensor:
    return torch.zeros(len(w), dtype=torch.int64, device=w.device)
