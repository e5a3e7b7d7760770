"""Exact grids of convolutional and residual networks with BatchNorm: the evaluator against the loops one would write.

The loop gives the module each point's weights and runs it with torch's own threads: on the whole set at once, as that of the
workload ``grid``, and in batches, which leaves its memory in the caches. With re-estimated statistics both also run
``torch.optim.swa_utils.update_bn`` at each point, in the batches that they evaluate in. Statistics of several batches are
means over them, a slightly different picture: the evaluator is given the same batches each time.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.nn.utils import vector_to_parameters
from torch.optim.swa_utils import update_bn

from bench import peers, plain
from bench.grid import points
from bench.measure import SIDE, Row, interleaved, seconds, sgemm_seconds
from landscape.data import load
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.networks.net import Buffers
from landscape.training import schedules, sgd
from landscape.training.losses import Categorical
from landscape.training.task import Task

ERROR, ROUNDS, BATCH = 1e-5, 5, 250
FEW = 3  # points that a loop runs over in a round, and that are compared; its time counts for all of them
PEER_CELLS = 2  # a side of the grid that other packages compute; its time is scaled


@dataclass(frozen=True, eq=False)
class Case:
    """A module on a plane of three trained networks; ``z`` are the points of a grid that are timed."""

    name: str
    network: str  # as other packages are told it
    module: nn.Module
    task: Task
    plane: Subspace
    networks: torch.Tensor
    buffers: Buffers | None  # fixed statistics; None where they are re-estimated at every point
    z: np.ndarray
    bar: float | None  # for the loop on the whole set

    def batches(self, size: int | None) -> tuple[torch.Tensor, ...]:
        x = self.task.splits["train"][0]
        return x.split(size or len(x))

    def evaluate(self, size: int | None = None) -> np.ndarray:
        """The evaluator's losses at z, its preparations included; statistics re-estimated on batches of ``size``."""
        task = replace(self.task, batchnorm_batches=self.batches(size))
        return Evaluator(task, self.plane, ("train",), self.buffers)(self.z)["train_nll"]

    def loop(self, z: np.ndarray, size: int | None = None, dtype: torch.dtype = torch.float32) -> np.ndarray:
        """The obvious way, on batches of ``size`` (None: the whole set)."""
        module, y = copy.deepcopy(self.module).to(dtype).eval(), self.task.splits["train"][1]
        pairs = [(x.to(dtype), t) for x, t in zip(self.batches(size), y.split(size or len(y)), strict=True)]
        if self.buffers:
            module.load_state_dict(self.buffers, strict=False)
        origin, basis, found = self.plane.origin, self.plane.basis, []
        with torch.no_grad():
            for a, b in z.tolist():
                vector_to_parameters((origin + a * basis[0] + b * basis[1]).to(dtype), module.parameters())
                if not self.buffers:
                    update_bn([x for x, _ in pairs], module)
                    module.eval()
                found.append(sum(float(cross_entropy(module(x), t, reduction="sum")) for x, t in pairs) / len(y))
        return np.array(found)


def images(count: int, side: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits (count, channels, side, side), enlarged and standardised, with their labels."""
    data = load("digits").train
    x = torch.tensor(data.x[:count]).view(-1, 1, *data.x.shape[-2:])
    x = interpolate(x, size=(side, side), mode="bilinear").expand(-1, channels, -1, -1)
    return ((x - x.mean()) / x.std()).contiguous(), torch.tensor(data.y[:count])


def cases() -> list[Case]:
    """The conv net with fixed and with re-estimated statistics on a 25x25 grid, PreResNet-20 on an 11x11 grid."""
    small = plain.convolutions()
    deep = build("preresnet20", (3, 32, 32), 10, norm="batch")
    fixed, free = "fixed statistics", "statistics re-estimated"
    return [
        *_cases("conv 16-32-64", "convolutions", small, images(1000, plain.SIDE, 1), 25, 20, {fixed: 2.5, free: 3.0}),
        *_cases("PreResNet-20", "preresnet20", deep, images(500, 32, 3), 11, 30, {fixed: 1.5, free: None})]


def _cases(name: str, network: str, module: nn.Module, data, cells: int, every: int,
           bars: dict[str, float | None]) -> list[Case]:
    task = Task(Net(module), {"train": data}, Categorical(), 5e-4, (data[0],))
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in range(3)])
    state = sgd.train(task, [0, 1, 2], starts, epochs=2, batch_size=50, lr=0.05, momentum=0.9, schedule=schedules.linear)
    w = state.parameters
    sub = plane(*w)
    estimated = task.net.estimate_batchnorm(w[0], [data[0]])
    return [Case(f"grid {cells}x{cells}, {name}, {way}", network, module, task, sub, w,
                 estimated if way.startswith("fixed") else None, points(sub, w, cells)[::every], bar)
            for way, bar in bars.items()]


def rows(environment: Path | None, rounds: int = ROUNDS) -> list[Row]:
    """All rows; without an ``environment`` that has the packages, those against them are left out."""
    return [row for case in cases() for row in _rows(case, environment, rounds)]


def _rows(case: Case, environment: Path | None, rounds: int) -> list[Row]:
    size, every = BATCH, math.ceil(len(case.z) / FEW)
    few = case.z[::every]
    exact, scale = case.loop(few, None, torch.float64), len(case.z) / len(few)
    error = float(np.max(np.abs(case.evaluate()[::every] - exact) / exact))
    works = {
        "ours": lambda: seconds(case.evaluate),
        "sgemm": sgemm_seconds,
        "loop": lambda: seconds(lambda: case.loop(few)) * scale,
        f"loop in batches of {size}": lambda: seconds(lambda: case.loop(few, size)) * scale,
    }
    if not case.buffers:
        works["ours in batches"] = lambda: seconds(lambda: case.evaluate(size))
    taken = _taken(case, works, environment, rounds)
    peak = 2 * SIDE**3 / taken.pop("sgemm")
    ours, batched = taken.pop("ours"), taken.pop("ours in batches", None)
    fraction = float(np.median(_operations(case) / ours / peak))
    made = []
    for other, spent in taken.items():
        mine = batched if batched is not None and "batches" in other else ours
        ratio, bar = float(np.median(spent / mine)), case.bar if other == "loop" else None
        note = f"{1e3 * np.median(mine) / len(case.z):.0f} ms and {1e3 * np.median(spent) / len(case.z):.0f} ms a point"
        met = None if bar is None else ratio >= bar
        made.append(Row(case.name, "evaluator", other, ratio, error, fraction, bar, met, note))
    met = error <= ERROR
    return [*made, Row(case.name, "evaluator", "float64 loop", None, error, None, ERROR, met, "error at most the bar")]


def _taken(case: Case, works, environment: Path | None, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each work; other packages know nothing of re-estimated statistics."""
    for work in works.values():
        work()
    if not case.buffers:
        return interleaved(works, rounds)
    x, y = case.task.splits["train"]
    with peers.grids(environment, case.network, x, y, case.networks, PEER_CELLS) as others:
        scaled = {title: lambda once=once: once() * len(case.z) / PEER_CELLS**2 for title, once in others.items()}
        return interleaved(works | scaled, rounds)


def _operations(case: Case) -> int:
    """Multiplications and additions of all points: of one evaluation each, two where statistics are estimated first."""
    counted, module = [], copy.deepcopy(case.module).eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda m, _, out: counted.append(2 * out.numel() * m.weight[0].numel()))
    x = case.task.splits["train"][0]
    with torch.no_grad():
        module(x[:1])
    return sum(counted) * len(x) * len(case.z) * (1 if case.buffers else 2)
