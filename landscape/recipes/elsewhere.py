"""An evaluator in words that another process understands: arrays, a module, and the way it takes.

What is told is what was chosen here, so all cells of a picture are of one kind. A task is told once for all its planes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.networks.accelerator import LOWER
from landscape.networks.net import Net
from landscape.recipes.spread import Sent
from landscape.training.task import Task

MOST = 2**31  # bytes that are sent to every helper
TENSORS = ("net", "splits", "batchnorm_batches")  # of a task; the rest are plain values
_told: WeakKeyDictionary[Task, dict[tuple[str, ...], Sent]] = WeakKeyDictionary()


def divisible(evaluator: Evaluator) -> bool:
    """Whether others can evaluate points with equal bits, from something that can be sent: not on cards, which are of
    different kinds, nor in numbers that are checked on the first points, nor along directions of gigabytes."""
    task, flat = evaluator.task, evaluator.subspace
    sent = (flat.origin, flat.basis, *(x for name in evaluator.splits for x in task.splits[name]))
    alike = evaluator.device.type == "cpu" and evaluator.precision not in LOWER
    return alike and sum(x.numel() * x.element_size() for x in sent) <= MOST


def needs(evaluator: Evaluator) -> tuple[Sent, Sent]:
    """What ``evaluating`` makes an equal evaluator of: the task, and its plane."""
    return task_told(evaluator.task, evaluator.splits), Sent(_plane(evaluator), dict)


def evaluating(task: Task, plane: dict[str, Any]) -> Evaluator:
    """The evaluator of a plane that was told: equal bits for the same coordinates."""
    subspace = Subspace(_tensor(plane["origin"]), _tensor(plane["basis"]), plane["angle"])
    buffers = None if plane["buffers"] is None else {name: _tensor(b) for name, b in plane["buffers"].items()}
    return Evaluator(task, subspace, plane["splits"], buffers, way=plane["way"])


@contextmanager
def threaded(threads: int) -> Iterator[None]:
    """As many threads within an operation as where a job is: their number may decide the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def task_told(task: Task, splits: tuple[str, ...]) -> Sent:
    """What makes an equal task elsewhere, with these splits and ``train``: the same to send whenever it is asked for."""
    wanted = tuple(dict.fromkeys([*splits, "train"]))  # the training examples tell what numbers a network computes with
    known = _told.setdefault(task, {})
    if wanted not in known:
        plain = {each.name: getattr(task, each.name) for each in fields(task) if each.name not in TENSORS}
        known[wanted] = Sent({
            "module": task.net.module, "splits": {name: tuple(map(_array, task.splits[name])) for name in wanted},
            "batchnorm": [_array(x) for x in task.batchnorm_batches], "plain": plain}, task_of)
    return known[wanted]


def task_of(told: dict[str, Any]) -> Task:
    splits = {name: (_tensor(x), _tensor(y)) for name, (x, y) in told["splits"].items()}
    return Task(net=Net(told["module"]), splits=splits, batchnorm_batches=tuple(_tensor(x) for x in told["batchnorm"]),
                **told["plain"])


def _plane(evaluator: Evaluator) -> dict[str, Any]:
    flat, buffers = evaluator.subspace, evaluator.buffers
    return {"origin": _array(flat.origin), "basis": _array(flat.basis), "angle": flat.angle, "splits": evaluator.splits,
            "buffers": None if buffers is None else {name: _array(b) for name, b in buffers.items()}, "way": evaluator.said}


def _array(tensor: Tensor) -> np.ndarray | Tensor:
    """As numpy, which is sent without a copy; numbers that numpy does not know as they are."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.dtype is torch.bfloat16 else tensor.numpy()


def _tensor(array: np.ndarray | Tensor) -> Tensor:
    """In torch's own memory: that which came from outside may start anywhere, and matrix products differ in the last bit
    with that."""
    return array.clone() if isinstance(array, Tensor) else torch.tensor(array)
