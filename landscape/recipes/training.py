"""K networks from K seeds, trained at once on one task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from landscape import catalog, settings
from landscape.data import Dataset, load
from landscape.errors import BadInput, Diverged
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.networks.net import Buffers, row, stack
from landscape.recipes.places import Places
from landscape.recipes.seeds import Course, follow, gone_on
from landscape.recipes.state import Keeper, validated
from landscape.schedules import scaled, steps_per_epoch
from landscape.training import sgd
from landscape.training.task import Task, task_from


@dataclass(frozen=True, eq=False)
class Problem:
    """What the settings of a training name: data, task and the module the weights belong to."""

    dataset: Dataset
    task: Task
    module: torch.nn.Module


def problem(s: settings.Training, batchnorm_examples: int = 1000) -> Problem:
    """Data and network of the settings, on the device they ask for."""
    dataset = load(s.task, s.data_seed, s.train_size, s.label_noise)
    if s.norm == "batch" and s.batch_size < 2:
        raise BadInput("BatchNorm needs at least 2 examples a step; found batch_size 1. Raise it or choose another norm.")
    module = build(s.network, dataset.shape, dataset.outputs, s.widths, s.activation, s.norm)
    where = device(s.device)
    task = task_from(
        dataset, Net(module).to(where), s.weight_decay, s.noise_variance, where, batchnorm_examples=batchnorm_examples
    )
    return Problem(dataset, replace(task, training_precision=s.training_precision), module)


def device(name: str) -> str:
    """``auto`` is the GPU where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device=cuda needs an NVIDIA GPU that torch can use, and none was found. Use device=auto or cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def options(s: settings.Training) -> dict:
    """What every SGD run of the settings shares."""
    return {
        "batch_size": s.batch_size,
        "momentum": s.momentum,
        "schedule": catalog.row("schedule", catalog.SCHEDULES, s.schedule).load(),
    }


def course_of(s: settings.Training, task: Task) -> Course:
    """What every network of the settings goes through."""
    shared = options(s)
    steps = s.epochs * steps_per_epoch(len(task.splits["train"][0]), s.batch_size)
    return Course(s.seeds, s.batch_size, s.epochs, np.array(scaled(shared["schedule"], s.lr, steps)), s.momentum)


def compute(s: settings.Training, context) -> None:
    """Saves ``history:training`` and the weights ``optima``: w (K, P), each network's buffers, and which are finite."""
    context.plan([("training", 1.0)])
    task, module = (p := problem(s)).task, p.module

    keeper = Keeper(context, "training", tuple(f"seed {seed}" for seed in s.seeds), task, partial(validated, task))
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in s.seeds]).to(task.splits["train"][0])
    course = course_of(s, task)

    def alone(state: sgd.State | None, until: int, progress) -> sgd.State:
        if state is None:
            state = sgd.start(starts, stack([task.net.buffers] * len(s.seeds)))
        return gone_on(task, course, state, until, progress, keeper)

    state = follow(
        context,
        task,
        course,
        keeper.resume(),
        alone,
        after_round=keeper,
        progress=lambda done, total: context.progress(
            "training", done, total, epoch=done * s.epochs // total, epochs=s.epochs
        ),
    )
    keeper.finish(state)
    finite = np.array([k not in state.diverged for k in range(len(s.seeds))])
    context.save_weights(
        "optima",
        {"w": state.parameters.cpu().numpy(), "finite": finite.astype(np.uint8)}
        | {f"buffer.{name}": b.cpu().numpy() for name, b in state.buffers.items()},
    )
    if not finite.any():
        raise Diverged(f"Training diverged: {named(state, s.seeds)}. Lower lr (found {s.lr}) and run again.")


def trained(reader) -> dict[str, np.ndarray]:
    """The weights ``optima`` of a training run. Raises BadInput while there are none."""
    found = reader.load_weights("optima")
    if found is None:
        raise BadInput(f"Run {reader.key} has no trained networks yet. Wait until it is done, or start it again.")
    return found


def buffers_of(found: dict[str, np.ndarray], i: int, task: Task) -> Buffers:
    """The buffers of network i of the weights ``optima``, on the task's device."""
    where = task.splits["train"][0].device
    stacked = {k.removeprefix("buffer."): torch.tensor(v) for k, v in found.items() if k.startswith("buffer.")}
    return {name: b.to(where) for name, b in row(stacked, i, task.net).items()}


def anywhere(s: settings.Training) -> settings.Training:
    """The settings on a device that is there: what was computed on a GPU can be looked at without one."""
    return s.model_copy(update={"device": "auto"})


def places(s: settings.Training, reader) -> Places:
    """The trained networks, ``seed 0`` ..., each with the BatchNorm statistics of its own training."""
    p, found = problem(anywhere(s)), trained(reader)
    finite = [i for i, ok in enumerate(found["finite"]) if ok]
    names = {i: f"seed {s.seeds[i]}" for i in finite}
    own = {names[i]: buffers_of(found, i, p.task) for i in finite} if p.task.net.batchnorm else {}
    return Places(p.dataset, p.task, networks={names[i]: torch.tensor(found["w"][i]) for i in finite}, own=own)


def kept(s: settings.Training, tensors: dict[str, torch.Tensor]) -> Problem:
    """Data, task and module of a network that was kept from a run with these settings."""
    return problem(anywhere(s))


def named(state: sgd.State, seeds: tuple[int, ...]) -> str:
    """Which networks left the finite numbers, and when."""
    return ", ".join(f"seed {seeds[k]} in epoch {epoch}" for k, epoch in sorted(state.diverged.items()))


def optima(s: settings.Training, context, needed: int) -> dict[str, np.ndarray]:
    """The trained networks of the settings, computed in this job unless they are there; at least ``needed`` finite.

    ``w`` (K, P) and ``buffer.*`` (K, ...) hold the finite ones, ``seed`` (K,) their seeds.
    """
    own = settings.Training(**{name: getattr(s, name) for name in settings.Training.model_fields})
    reader = context.child("training", own)
    found = trained(reader)
    finite = found.pop("finite").astype(bool)
    if finite.sum() < needed:
        lost = reader.load("history:training").info["diverged"]
        said = ", ".join(f"{name} in epoch {epoch}" for name, epoch in lost.items())
        raise Diverged(
            f"{needed} trained networks are needed and {finite.sum()} of {len(finite)} stayed finite: {said} "
            f"diverged. Lower lr (found {s.lr}) or choose other seeds; the training curves are kept."
        )
    return {name: values[finite] for name, values in found.items()} | {"seed": np.array(s.seeds)[finite]}
