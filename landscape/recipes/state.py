"""A run of SGD as a restartable job: live histories, a state on disk to go on from, results at the end."""

from __future__ import annotations

import json
import time

import numpy as np
import torch

from landscape.results import History
from landscape.training.sgd import State

SAVE_STATE = 2.0  # seconds between two saved states
SAVE_HISTORY = 0.5  # seconds between two live curves


class Keeper:
    """Saves histories and states of one SGD run while it goes on; ``keeper(state)`` is called after every epoch."""

    def __init__(self, context, name: str, names: tuple[str, ...], validate=None):
        self.context, self.name, self.names, self.validate = context, name, names, validate
        self._saved = self._shown = time.monotonic()

    def resume(self) -> State | None:
        """The state an interrupted job left, None if there is none."""
        arrays = self.context.load_weights(f"state-{self.name}")
        return None if arrays is None else unpack(arrays)

    def __call__(self, state: State) -> None:
        if self.validate is not None:
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
        values = {metric: torch.stack(log, dim=1).numpy() for metric, log in state.log.items()}
        diverged = {self.names[k]: epoch for k, epoch in state.diverged.items()}
        return History(self.names, np.arange(1, state.epoch + 1), np.array(state.lr), values, {"diverged": diverged})


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
