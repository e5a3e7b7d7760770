"""The chains of a method, block by block: some here, others by whoever helps, the same bits either way.

Blocks that are done are kept until the run is, so that one whose worker was killed goes on from there. A block that fails
does so wherever it is done, and of several the first one is told.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged, LandscapeError
from landscape.networks.accelerator import LOWER
from landscape.posteriors import method
from landscape.posteriors.blocks import Block, joined
from landscape.posteriors.method import Draws, Given
from landscape.recipes.elsewhere import threaded
from landscape.recipes.inferred.draws import Live, weights_name
from landscape.recipes.inferred.ground import Ground, ground_of
from landscape.recipes.inferred.labels import Label, labels
from landscape.recipes.spread import Sent, Work, spread
from landscape.settings_posterior import Inference

DIRECT = 2**25  # bytes of a block's draws that go through the scheduler; more only through a location for weights
FAILED = {error.__name__: error for error in (BadInput, Diverged, torch.linalg.LinAlgError)}  # what a block may end with
log = logging.getLogger(__name__)
Arrays = dict[str, np.ndarray]
Progress = Callable[[float, int], None]
Shown = Callable[[Block, Tensor | None], None]


def inferred(ground: Ground, label: Label, replicate: int, given: Given, live: Live, context) -> Draws:
    """The draws of a method in one of its replicates, of ``given``, with whoever helps. The info has ``cpu_seconds``, too.

    Raises what ``method.infer`` raises.
    """
    chains = Chains(ground.settings, label, replicate, given)
    if len(chains.parts) > 1:
        return _Division(chains, live, context).drawn()
    started = time.process_time()
    draws = method.infer(label.method, given, generator=chains.generator(), watch=live, **chains.options)
    draws.info["cpu_seconds"] = time.process_time() - started
    return draws


def elsewhere(told: tuple, reader) -> Callable:
    """Blocks of chains in another process, from the weights of the run, with as many threads; draws go back as notes where
    there is a passage."""
    name, replicate, passage, threads, cores = told
    ground = ground_of(reader.settings, reader, here=True)
    if ground.task.splits["train"][0].device.type != "cpu":
        raise BadInput("It computes on a GPU, and the run does not.")
    label = next(label for label in labels(ground.settings) if label.name == name)
    chains = Chains(ground.settings, label, replicate, ground.given(label, ground.groups(label)[replicate]))
    chains.given.target.likelihood.threads = cores  # how networks are shared among them may decide the last bit

    def drawn(items: np.ndarray, progress) -> Arrays:
        with threaded(threads):
            found = chains.blocks(items, progress)
        if passage:
            found["blocks"][:] = [passage.leave(each) for each in found["blocks"]]
        return found

    return drawn


@dataclass(frozen=True, eq=False)
class Chains:
    """All chains of a method in one of its replicates."""

    settings: Inference
    label: Label
    replicate: int
    given: Given

    @cached_property
    def options(self) -> dict:
        return self.label.options(self.settings)

    @cached_property
    def parts(self) -> list[Block]:
        return method.divided(self.label.method, self.given, **self.options)

    def generator(self) -> torch.Generator:
        """That of the run, as it begins."""
        return self.label.generator(self.settings, self.replicate)

    def blocks(self, items: np.ndarray, progress: Progress, shown: Shown = lambda part, new: None) -> Arrays:
        """``{"blocks": (n,)}``: the packed draws of the blocks numbered ``items`` (n,), or how they failed."""
        found = np.empty(len(items), object)
        for i, number in enumerate(items.tolist()):
            part = self.parts[number]

            def watch(done: int, total: int, new: Tensor | None, i: int = i, part: Block = part) -> None:
                shown(part, new)
                progress(i + done / total, len(items))

            found[i] = self._block(part, watch)
        return {"blocks": found}

    def _block(self, part: Block, watch: method.Watch) -> Arrays:
        own, started = part.generator(self.generator()), time.process_time()
        try:
            draws = method.infer_block(self.label.method, self.given, part, generator=own, watch=watch, **self.options)
        except tuple(FAILED.values()) as error:
            return {"failed": _text([type(error).__name__, str(error)])}
        draws.info["cpu_seconds"] = time.process_time() - started
        return pack(draws)


def pack(draws: Draws) -> Arrays:
    """Draws as arrays that can be sent and stored, but for their space."""
    info = {name: value for name, value in draws.info.items() if not isinstance(value, Tensor)}
    tensors = {f"info.{name}": value.cpu().numpy() for name, value in draws.info.items() if isinstance(value, Tensor)}
    return {"z": draws.z.cpu().numpy(), "log_density": draws.log_density.cpu().numpy(), "info": _text(info), **tensors}


def unpack(arrays: Arrays, space) -> Draws:
    """The draws that ``pack`` took apart. Raises what the block had ended with if it failed."""
    if "failed" in arrays:
        kind, said = _read(arrays["failed"])
        raise FAILED[kind](said)
    tensors = {name[5:]: torch.tensor(a) for name, a in arrays.items() if name.startswith("info.")}
    return Draws(torch.tensor(arrays["z"]), torch.tensor(arrays["log_density"]), space, _read(arrays["info"]) | tensors)


def _text(value) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _read(text: np.ndarray):
    return json.loads(text.tobytes())


class _Division:
    """The blocks of chains, here and elsewhere."""

    def __init__(self, chains: Chains, live: Live, context):
        self.chains, self.live, self.context, self.parts = chains, live, context, chains.parts
        self.found: dict[int, Draws | Exception] = {}
        self.passage = getattr(context, "passage", lambda: None)()

    def drawn(self) -> Draws:
        """All of them. Raises what the first block that failed had ended with."""
        for part in self.parts:
            before = self.context.load_weights(self._name(part))
            if before is not None:
                self._take(part, before)
        self._first_failure()
        left = np.array([part.number for part in self.parts if part.number not in self.found])
        try:
            for (first, last), values in spread(self.context, self._work(), left, self._progress):
                for number, arrays in zip(left[first:last].tolist(), values["blocks"], strict=True):
                    self._keep(self.parts[number], self._received(arrays, number))
                    self._first_failure()
        finally:
            if self.passage:
                self.passage.clear()
        return joined(self.parts, [self.found[part.number] for part in self.parts])

    def _work(self) -> Work:
        each = self.chains
        told = (each.label.name, each.replicate, self.passage, torch.get_num_threads(), each.given.target.likelihood.threads)
        return Work(self._here, elsewhere if self._fits() else None,
                    lambda: (Sent(told, tuple), self.context.reading()), batch=1)

    def _here(self, items: np.ndarray, progress: Progress) -> Arrays:
        return self.chains.blocks(items, progress, lambda part, new: self.live.show(new, part.first))

    def _fits(self) -> bool:
        """Whether the draws of a block can come from elsewhere: not in lower precision, where processors differ in what they
        round, as surfaces and sweeps are not divided then either."""
        if self.chains.given.target.precision in LOWER:
            return False
        target, known = self.chains.given.target, self.chains.label.row.defaults | self.chains.options
        size = len(self.parts[0]) * known["draws"] * target.ndim * target.dtype.itemsize
        if size > DIRECT and self.passage is None:
            log.info("%s is not divided, as %d bytes of draws are too many to send", self.chains.label.name, size)
            return False
        return True

    def _received(self, found: dict, number: int) -> Arrays:
        """What a note stands for, done here if it is gone."""
        if "url" not in found:
            return found
        try:
            return self.passage.take(found)
        except LandscapeError as error:
            log.warning("block %d of %s is drawn again: %s", number + 1, self.chains.label.name, error)
            return self._here(np.array([number]), lambda done, total: self.live.told(*self.live.share))["blocks"][0]

    def _take(self, part: Block, arrays: Arrays) -> None:
        try:
            draws = self.found[part.number] = unpack(arrays, self.chains.given.target.space)
        except tuple(FAILED.values()) as error:
            self.found[part.number] = error
        else:
            self.live.whole(draws.z, part.first)

    def _keep(self, part: Block, arrays: Arrays) -> None:
        self._take(part, arrays)
        self.context.save_weights(self._name(part), arrays)

    def _first_failure(self) -> None:
        """Raises the error of the first block that failed, once all before it are there."""
        for part in self.parts:
            found = self.found.get(part.number)
            if isinstance(found, Exception):
                raise found
            if found is None:
                return

    def _progress(self, done: float, total: int) -> None:
        count = len(self.parts)
        self.live.told(count - total + done, count)

    def _name(self, part: Block) -> str:
        return f"state-{weights_name(self.chains.label.name, 'chains')}-{self.chains.replicate}-{part.number}"
