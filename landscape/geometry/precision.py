"""Surfaces in less than float32, and how far off they are: a few of their points are evaluated in float32 as well.

``tf32`` rounds the factors of products to ten bits on GPUs that can (elsewhere it is float32); ``bfloat16`` stores weights,
inputs and activations with eight. Sums over examples are in float64 in all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from landscape.errors import unknown
from landscape.networks.net import Buffers
from landscape.training.task import Task

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
CHECKED = 5  # points that are evaluated in float32, too


def name_of(task: Task) -> str:
    """The precision a task's surfaces are computed in. Raises BadInput for one that does not exist."""
    if task.precision and task.precision not in PRECISIONS:
        raise unknown("precision", task.precision, PRECISIONS)
    kept = str(task.dtype).removeprefix("torch.")
    return kept if task.precision in ("", "float32") else task.precision


def reference(task: Task) -> Task:
    """The same task in float32."""
    return replace(in_precision(task, torch.float32), precision="")


def in_precision(task: Task, dtype: torch.dtype) -> Task:
    """The task with inputs and buffers in another precision; class numbers and tokens stay what they are, and targets are
    not rounded to less than float32, as losses are not."""
    if task.dtype == dtype:
        return task
    wide = torch.promote_types(dtype, torch.float32)
    splits = {name: (cast(x, dtype), cast(y, wide)) for name, (x, y) in task.splits.items()}
    return replace(task, net=task.net.to(dtype=dtype), splits=splits,
                   batchnorm_batches=tuple(cast(x, dtype) for x in task.batchnorm_batches))


def cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def cast_buffers(buffers: Buffers | None, dtype: torch.dtype) -> Buffers | None:
    return None if buffers is None else {name: cast(b, dtype) for name, b in buffers.items()}


class Check:
    """How far values in a lower precision were from those in float32, over the first ``CHECKED`` points seen."""

    def __init__(self, evaluate, floor: float | None):
        self.evaluate, self.floor, self.points, self.off = evaluate, floor or 0.0, 0, 0.0

    def see(self, z: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Points (N, K) and the metrics found there: some of them are evaluated once more."""
        wanted = min(CHECKED - self.points, len(z))
        if wanted <= 0:
            return
        rows = np.unique(np.linspace(0, len(z) - 1, wanted).round().astype(int))
        exact = self.evaluate(z[rows])
        for metric, true in exact.items():
            if metric.endswith("_nll"):
                apart = np.abs(values[metric][rows] - true) / np.maximum(np.abs(true - self.floor), 1e-12)
                apart = np.where(np.isfinite(apart), apart, np.inf)
                self.off = max(self.off, float(np.max(np.where(np.isfinite(true), apart, 0.0))))
        self.points += len(rows)

    @property
    def said(self) -> dict:
        return {"off": self.off, "checked": self.points}
