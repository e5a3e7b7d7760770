"""An exact grid: the evaluator against the obvious loop and against other packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

from bench import peers
from bench.measure import SIDE, Row, interleaved, seconds, sgemm_seconds
from landscape.data import load
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.training import schedules, sgd
from landscape.training.losses import Categorical
from landscape.training.task import Task

CELLS, WIDTHS, ROUNDS = 51, (128, 128), 5
PART = 3  # the obvious loop runs over every third point, and its time counts three times
SPEEDUP, PEAK, ERROR = 2.5, 0.6, 2e-5  # the bars


def trained() -> tuple[Task, torch.Tensor]:
    """All 1,797 digits, and three networks 64-128-128-10 (3, P) trained on them."""
    data = load("digits")
    parts = (data.train, data.validation, data.test)
    x = torch.tensor(np.concatenate([part.x for part in parts])).flatten(1)
    y = torch.tensor(np.concatenate([part.y for part in parts]))
    module = build("mlp", (x.shape[1],), data.outputs, WIDTHS)
    task = Task(Net(module), {"train": (x, y)}, Categorical(), 5e-4)
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in range(3)])
    state = sgd.train(task, [0, 1, 2], starts, epochs=10, batch_size=64, lr=0.05, momentum=0.9, schedule=schedules.linear)
    return task, state.parameters


def network(x: torch.Tensor, outputs: int = 10) -> str:
    """The name of those networks for other packages."""
    return "-".join(map(str, (x.shape[1], *WIDTHS, outputs)))


def points(sub: Subspace, w: torch.Tensor, cells: int = CELLS) -> np.ndarray:
    """A grid (cells * cells, 2) around the networks w (3, P)."""
    z = sub.project(w).numpy()
    low, high = z.min(0), z.max(0)
    axes = [np.linspace(a - 0.2 * (b - a), b + 0.2 * (b - a), cells) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def loop(task: Task, sub: Subspace, z: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """The obvious way: set a module's parameters, one full batch without gradients, again for every point."""
    x, y = task.splits["train"]
    x = x.to(dtype)
    module = build("mlp", tuple(x.shape[1:]), int(y.max()) + 1, WIDTHS).to(dtype)
    origin, basis = sub.origin.to(dtype), sub.basis.to(dtype)
    found = []
    with torch.no_grad():
        for a, b in z.tolist():
            vector_to_parameters(origin + a * basis[0] + b * basis[1], module.parameters())
            found.append(float(cross_entropy(module(x), y)))
    return np.array(found)


def rows(environment: Path | None, rounds: int = ROUNDS) -> list[Row]:
    """The exact grid's rows; without an ``environment`` that has the packages, those against them are left out."""
    task, w = trained()
    sub = plane(*w)
    z = points(sub, w)
    exact = loop(task, sub, z, torch.float64)
    nll = Evaluator(task, sub, ("train",))(z)["train_nll"]
    error = float(np.max(np.abs(nll - exact) / exact))
    works = {
        "ours": lambda: seconds(lambda: Evaluator(task, sub, ("train",))(z)),
        "sgemm": sgemm_seconds,
        "loop": lambda: seconds(lambda: loop(task, sub, z[::PART])) * len(z) / len(z[::PART]),
    }
    x, y = task.splits["train"]
    with peers.grids(environment, network(x), x, y, w, CELLS) as others:
        taken = interleaved(works | others, rounds)
    products = 2 * len(z) * len(task.splits["train"][0]) * sum(layer.inputs * layer.outputs for layer in task.net.layers)
    fraction = float(np.median(products / taken["ours"] / (2 * SIDE**3 / taken["sgemm"])))
    name = f"grid {CELLS}x{CELLS}, digits {task.net.size:,} weights"
    made = []
    for other in taken.keys() - {"ours", "sgemm"}:
        ratio = float(np.median(taken[other] / taken["ours"]))
        note = f"{np.median(taken['ours']):.2f} s and {np.median(taken[other]):.2f} s"
        made.append(Row(name, "evaluator", other, ratio, error, fraction, SPEEDUP, ratio >= SPEEDUP, note))
    made.sort(key=lambda row: row.against)
    return [*made,
            Row(name, "evaluator", "sgemm peak", fraction, None, fraction, PEAK, fraction >= PEAK),
            Row(name, "evaluator", "float64 loop", None, error, None, ERROR, error <= ERROR, "error at most the bar")]
