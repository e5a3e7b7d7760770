"""How long pieces of work take on this machine: short real runs of the code that jobs run, on their own data and network.

Each piece is timed once, when it is first asked for; a piece that takes longer than the budget is timed by its one run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from landscape.geometry import refine
from landscape.geometry.curvature import Objective
from landscape.geometry.curves import KINDS, connect
from landscape.geometry.subspace import Subspace, orthonormal
from landscape.geometry.surface import Evaluator
from landscape.networks.net import Buffers
from landscape.networks.probe import probed
from landscape.posteriors import ess, method
from landscape.posteriors.space import random_space, weight_space
from landscape.posteriors.target import Posterior
from landscape.results import METRICS, Surface
from landscape.runs.records import encode
from landscape.training import sgd
from landscape.training.task import Task
from landscape.uncertainty.account import account
from landscape.uncertainty.entry import Predictions

BUDGET = 0.06  # seconds for a piece of work
POINTS = 96  # of a surface, at most
EPOCHS = 20  # the most that a training is watched for
SMALL = 1e-3  # rate, so that a network that is only timed does not diverge
CHANNELS = 4  # of a picture: loss and error of two sets
LONG = 20.0  # budgets: what takes so much longer is run once
SMALL_WORK = 0.02  # seconds
UNDISTURBED = 0.25  # quantile of times of which other programs have lengthened some
SHARE = 0.05  # of the norm of the network: the distance of the points that are timed


@cache
def account_seconds(examples: int, classes: int, draws: int) -> float:
    """Of every metric of predictions of classes with its interval."""
    drawn = np.random.default_rng(0)
    given = Predictions(drawn.normal(size=(examples, classes)), drawn.integers(classes, size=examples), "logits")
    started = time.perf_counter()
    account(given, draws=draws)
    return time.perf_counter() - started


@cache
def refining_seconds(side: int) -> float:
    """Of an adaptive picture of so many cells a side beside its evaluations: where it is smooth, and what lies between."""
    x, y = np.meshgrid(*[np.linspace(-2, 2, side)] * 2, indexing="ij")
    smooth, started = (x**2 + y**2 - 1) ** 2, time.perf_counter()
    picture = refine.Picture((side, side), {"nll": refine.Channel(4.0, 0.005, 0.0)})
    for cells in refine.adaptive(picture):
        picture.put(cells, {"nll": smooth[tuple(cells.T)]})
    return CHANNELS * (time.perf_counter() - started)


@cache
def saving_seconds(side: int) -> float:
    """Of keeping a picture of so many cells a side on disk, as it is kept whenever it has become finer."""
    values = {name: np.zeros((side, side)) for name in METRICS}
    found = Surface((np.arange(float(side)),) * 2, values, np.ones((side, side), bool), (), None, {})
    started = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        file.write(encode(found)[1])
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


class Enough(Exception):
    """What is timed has run for long enough."""


class Probe:
    """Seconds of pieces of work with the networks of a task; ``w`` (P,) is one of them, ``batch`` the examples of a step."""

    def __init__(self, task: Task, w: Tensor, batch: int, momentum: float = 0.9):
        like = task.splits["train"][0]
        self.task, self.batch, self.momentum = task, batch, momentum
        self.w = w.detach().to(like.device, task.dtype)
        self._known: dict[tuple, float] = {}

    @property
    def flops(self) -> float:
        """Of one example in one pass forward."""
        if ("flops",) not in self._known:
            self._known["flops",] = probed(self.task.net, self.w, self.task.splits["train"][0]).flops
        return self._known["flops",]

    def epoch(self, count: int) -> float:
        """Of SGD on ``count`` networks at once, each of them judged on validation data at its end."""
        starts = self.w.expand(count, -1).clone()

        def run(**watched) -> None:
            sgd.train(self.task, list(range(count)), starts, epochs=EPOCHS, batch_size=self.batch, lr=SMALL,
                      momentum=self.momentum, schedule=lambda share: 1.0, **watched)

        return self._once(("epoch", count), lambda: self._epochs(run, validated=True))

    def curve_epoch(self, bends: int, kinds: int) -> float:
        """Of training so many curves at once."""
        ends = torch.stack([self.w, self._near(1)[0]])

        def run(**watched) -> None:
            connect(self.task, list(KINDS[:kinds]), ends, bends, 0, epochs=EPOCHS, batch_size=self.batch, lr=SMALL,
                    momentum=self.momentum, schedule=lambda share: 1.0, **watched)

        return self._once(("curve", bends, kinds), lambda: self._epochs(run, validated=False))

    def point(self, splits: tuple[str, ...] = ("train", "test"), buffers: Buffers | None = None) -> float:
        """Of a plane, when many are asked for."""
        def measured() -> float:
            task, w = self.task, self.w.double().cpu()
            axes = torch.randn(2, len(w), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
            found = Evaluator(task, Subspace(w, torch.tensor(orthonormal(axes)[0])), splits, buffers)
            z = np.linspace(-1, 1, 2 * POINTS).reshape(-1, 2) * SHARE * float(w.norm())
            one = self._seconds(lambda: found(z[:1]))  # also makes what is made once
            count = int(np.clip(BUDGET * found.threads / max(one, 1e-9), 1, POINTS))
            return one if one > LONG * BUDGET else self._timed(lambda: found(z[:count])) / count

        return self._once(("point", splits, buffers is None), measured)

    def network(self, split: str = "test") -> float:
        """Evaluated directly, when several are."""
        several = self._near(8)
        return self._once(("network", split), lambda: self._timed(lambda: self.task.evaluate(several, split)) / len(several))

    def proposal(self, chains: int, dimension: int, precision: str = "float32") -> float:
        """Of a step of slice sampling: a value of the posterior for each chain in a subspace (0 dimensions: all weights)."""
        def measured() -> float:
            target, z = self._target(chains, dimension, precision)
            state = ess._Chains(target, z, torch.Generator().manual_seed(0))
            return self._timed(state.propose)

        return self._once(("proposal", chains, dimension, precision), measured)

    def gradient(self, chains: int, dimension: int, precision: str = "float32") -> float:
        """The same with its gradient."""
        def measured() -> float:
            target, z = self._target(chains, dimension, precision)
            return self._timed(lambda: target.value_and_gradient(z))

        return self._once(("gradient", chains, dimension, precision), measured)

    def draw(self, name: str, dimension: int, precision: str = "float32") -> float:
        """Of one draw of one chain of a sampler whose steps cannot be counted before, its warm-up's like its others."""
        def measured() -> float:
            target = self._target(1, dimension, precision)[0]
            few = {"draws": 4, "warmup": 4, "chains": 1}
            return self._timed(lambda: method.infer(name, method.Given(target=target), **few,
                                                    generator=torch.Generator().manual_seed(0))) / 8

        return self._once(("draw", name, dimension, precision), measured)

    def product(self, examples: int) -> float:
        """Of the Hessian on so many training examples with a vector."""
        def measured() -> float:
            x, y = self.task.splits["train"]
            part = Task(self.task.net, {"train": (x[:examples], y[:examples])}, self.task.likelihood, 0.0,
                        self.task.batchnorm_batches, self.task.batch)
            hessian = Objective(part, buffers=part.buffers(self.w) if part.net.batchnorm else None).hessian(self.w)
            vectors = self._near(4).double() - self.w.double()
            return self._timed(lambda: hessian(vectors)) / len(vectors)

        return self._once(("product", examples), measured)

    def _once(self, key: tuple, measured: Callable[[], float]) -> float:
        """Timed with one thread and, where that takes long, with those of a job: small work only loses by more of them, and
        by far the most while other programs run."""
        if key not in self._known:
            outer, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
            try:
                torch.set_num_threads(1)
                found = measured()
                if found > SMALL_WORK and cores > 1:
                    torch.set_num_threads(cores)
                    found = min(found, measured())
            finally:
                torch.set_num_threads(outer)
            self._known[key] = found
        return self._known[key]

    def _near(self, count: int) -> Tensor:
        """Networks (count, P) around this one."""
        drawn = torch.randn(count, len(self.w), generator=torch.Generator().manual_seed(1)).to(self.w)
        return self.w + drawn * (SHARE * self.w.norm() / len(self.w) ** 0.5)

    def _target(self, chains: int, dimension: int, precision: str) -> tuple[Posterior, Tensor]:
        g = torch.Generator().manual_seed(0)
        space = random_space(self.w.cpu(), dimension, g) if dimension else weight_space(self.w)
        target = Posterior(replace(self.task, precision=precision), space, 1.0)
        drawn = torch.randn(chains, target.ndim, generator=g, dtype=torch.float64)
        return target, (drawn * (SHARE * float(self.w.norm()) / target.ndim**0.5)).to(target.device)

    def _epochs(self, run: Callable[..., None], validated: bool) -> float:
        """Of one epoch: of whole ones if they are short, else as many steps as it has."""
        steps, ends, began = [], [], time.perf_counter()

        def step(done: int, total: int) -> None:
            self._wait()
            steps.append(time.perf_counter())
            if steps[-1] - began > BUDGET and (len(steps) > 1 or steps[-1] - began > LONG * BUDGET):
                raise Enough

        def epoch(state: sgd.State) -> None:
            if validated and len(self.task.splits.get("validation", ((),))[0]):
                self.task.evaluate(state.parameters, "validation", state.buffers)
            ends.append(time.perf_counter())

        with suppress(Enough):
            run(progress=step, after_epoch=epoch)
        if len(ends) > 1:
            return float(np.quantile(np.diff(ends), UNDISTURBED))
        each = float(np.quantile(np.diff(steps), UNDISTURBED)) if len(steps) > 1 else steps[0] - began
        return each * -(-len(self.task.splits["train"][0]) // self.batch)

    def _timed(self, work: Callable[[], object]) -> float:
        """Seconds of a call: the least of as many as fit, after a first one, which makes what is made once; it counts only
        where there is no time for another."""
        first, taken = self._seconds(work), []
        while first <= LONG * BUDGET and sum(taken) < BUDGET:
            taken.append(self._seconds(work))
        return min(taken or [first])

    def _seconds(self, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        """Until the device has done what it was told: calls return before."""
        if self.w.device.type == "cuda":
            torch.cuda.synchronize(self.w.device)
