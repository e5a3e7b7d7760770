"""A run of SGD as a restartable job: live histories, a state on disk to go on from, states of some of its networks."""

from __future__ import annotations

import json
import time
from functools import partial

import numpy as np
import torch
from torch import Tensor

from landscape.results import History
from landscape.training.rounding import logged, rounding
from landscape.training.sgd import State
from landscape.training.task import Task

SAVE_STATE = 2.0  # seconds between two saved states
SAVE_HISTORY = 0.5  # seconds between two live curves
CARRIED = ("mean", "count")  # of what is kept on the way: one value that goes on; of the rest each value stays
VALIDATED = ("validation_error", "validation_nll")  # of the log of a training that is held against the validation split


def validated(task: Task, state: State) -> dict[str, Tensor]:
    """``VALIDATED`` of each network (K,), with the buffers of its own training."""
    found = task.evaluate(state.parameters, "validation", state.buffers)
    return {metric: found[metric.removeprefix("validation_")] for metric in VALIDATED}


class Keeper:
    """Saves histories and states of one SGD run on a task while it goes on; ``keeper(state)`` is called after every epoch.

    ``what`` is trained, should its rounding have to be told.
    """

    def __init__(self, context, name: str, names: tuple[str, ...], task: Task, validate=None, what: str = "Networks"):
        self.context, self.name, self.names, self.validate = context, name, names, validate
        self.rounding = partial(rounding, task, what=what)
        self._saved = self._shown = time.monotonic()

    def resume(self) -> State | None:
        """The state an interrupted job left, None if there is none."""
        arrays = self.context.load_weights(f"state-{self.name}")
        return None if arrays is None else unpack(arrays)

    def __call__(self, state: State) -> None:
        if self.validate is not None and any(len(state.log.get(metric, ())) < len(state.lr) for metric in VALIDATED):
            for metric, values in self.validate(state).items():
                state.log.setdefault(metric, []).append(values)
        now = time.monotonic()
        if now - self._shown >= SAVE_HISTORY:
            self.show(state)
            self._shown = now
        if now - self._saved >= SAVE_STATE:
            self.context.save_weights(f"state-{self.name}", pack(state))
            self._saved = now

    def finish(self, state: State) -> None:
        self.show(state)

    def show(self, state: State) -> None:
        self.context.save(f"history:{self.name}", self.history(state))

    def history(self, state: State) -> History:
        values = logged(state)
        diverged = {self.names[k]: epoch for k, epoch in sorted(state.diverged.items())}
        info = {"diverged": diverged} | self.rounding(values)
        return History(self.names, np.arange(1, state.epoch + 1), np.array(state.lr), values, info)


def pack(state: State) -> dict[str, np.ndarray]:
    """Arrays from which ``unpack`` makes an equal state, bit for bit."""
    arrays = {"parameters": state.parameters, "velocity": state.velocity, "lr": torch.tensor(state.lr, dtype=torch.float64)}
    arrays |= {f"buffer.{name}": b for name, b in state.buffers.items()}
    arrays["rates"] = torch.tensor(state.rates, dtype=torch.float64)
    arrays |= {f"log.{name}": torch.stack(log) for name, log in state.log.items() if log}
    arrays |= {f"kept.{name}": torch.stack(kept) for name, kept in state.kept.items() if kept}
    numbers = json.dumps({"epoch": state.epoch, "diverged": state.diverged}).encode()
    return {k: v.detach().cpu().contiguous().numpy() for k, v in arrays.items()} | {
        "numbers": np.frombuffer(numbers, np.uint8)
    }


def unpack(arrays: dict[str, np.ndarray]) -> State:
    """The state that ``pack`` took apart, on the CPU."""
    tensors = {k: torch.tensor(v) for k, v in arrays.items() if k != "numbers"}
    numbers = json.loads(arrays["numbers"].tobytes())
    return State(
        tensors["parameters"],
        tensors["velocity"],
        numbers["epoch"],
        {k.removeprefix("buffer."): v for k, v in tensors.items() if k.startswith("buffer.")},
        {k.removeprefix("log."): list(v) for k, v in tensors.items() if k.startswith("log.")},
        tensors["lr"].tolist(),
        {int(k): v for k, v in numbers["diverged"].items()},
        tensors["rates"].tolist() if "rates" in tensors else [],
        {k.removeprefix("kept."): list(v) for k, v in tensors.items() if k.startswith("kept.")},
    )


def rows(state: State, part: slice) -> State:
    """Where some of the networks stand, views; what was gathered so far is left out but for what goes on from there."""
    first, count = part.start or 0, len(state.parameters[part])
    kept = {name: [state.kept[name][-1][part]] for name in CARRIED if state.kept.get(name)}
    diverged = {k - first: epoch for k, epoch in state.diverged.items() if first <= k < first + count}
    return State(state.parameters[part], state.velocity[part], state.epoch,
                 {name: b[part] for name, b in state.buffers.items()}, diverged=diverged, kept=kept)


def joined(before: State, parts: list[slice], found: list[State]) -> State:
    """The state of all networks from those of the groups ``rows(before, part)`` after some epochs more.

    A group of which no network is left has stopped before the others; in its further epochs it has no loss, nothing to keep,
    and the weights and validation of its last one, as it would have in their company.
    """
    longest = max(found, key=lambda state: state.epoch)
    logs = {name: _columns(name, len(longest.log[name]), before, parts, found) for name in longest.log}
    kept = {name: list(values) for name, values in before.kept.items()}
    for name in longest.kept:
        columns = [_carried(name, state, longest) if name in CARRIED else _rest(name, state, longest) for state in found]
        new = [each[0] if each[0].ndim == 0 else torch.cat(each) for each in zip(*columns, strict=True)]
        kept[name] = new if name in CARRIED else [*kept.get(name, []), *new]
    return State(
        torch.cat([state.parameters for state in found]), torch.cat([state.velocity for state in found]), longest.epoch,
        {name: torch.cat([state.buffers[name] for state in found]) for name in longest.buffers},
        {**before.log, **{name: [*before.log.get(name, []), *new] for name, new in logs.items()}},
        [*before.lr, *longest.lr],
        {(part.start or 0) + k: epoch for part, state in zip(parts, found, strict=True)
         for k, epoch in state.diverged.items()},
        [*before.rates, *longest.rates], kept)


def _columns(name: str, epochs: int, before: State, parts: list[slice], found: list[State]) -> list[Tensor]:
    """A metric of all networks in each of the new epochs."""
    columns = []
    for part, state in zip(parts, found, strict=True):
        own = list(state.log.get(name, []))
        last = (own or [values[part] for values in before.log[name][-1:]])[-1]
        columns.append(own + [torch.full_like(last, torch.nan) if name.startswith("train") else last] * (epochs - len(own)))
    return [torch.cat(each) for each in zip(*columns, strict=True)]


def _rest(name: str, state: State, longest: State) -> list[Tensor]:
    """What a group has kept, with what a diverged one would have kept of the rest."""
    own, whole = state.kept.get(name, []), longest.kept[name]
    count = len(state.parameters)
    return [*own, *(each if each.ndim == 0 else each.new_full((count, *each.shape[1:]), torch.nan)
                    for each in whole[len(own):])]


def _carried(name: str, state: State, longest: State) -> list[Tensor]:
    own, like = state.kept.get(name), longest.kept[name][0]
    return own or [like.new_zeros((len(state.parameters), *like.shape[1:]))]
