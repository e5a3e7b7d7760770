"""The learning-rate range test (Smith 2017; 2018): which rates make the loss fall, and at which it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.networks.net import stack
from landscape.schedules import Plan
from landscape.training import sgd
from landscape.training.task import Task

SMOOTHING = 0.9  # of the loss from step to step
SETTLED = 10  # steps after which the smoothed loss is more than the first few batches
BROKEN = 4.0  # times the lowest loss so far, where the test ends


@dataclass(frozen=True, eq=False)
class Range:
    """``rates`` (S,) of the steps taken, ``losses`` (S, K) on their batches before each, ``smooth`` (S,) their mean over the
    networks, exponentially smoothed without bias.

    ``highest`` is the rate at which ``smooth`` is lowest, the last one before it rises; ``steepest`` the one below at which
    it falls fastest in the log of the rate, None if the loss never falls. ``broken`` is the rate at which the test ended
    early, None if it did not.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    steepest: float | None
    highest: float
    broken: float | None


class _Broken(Exception):
    pass


def range_test(task: Task, seeds: list[int], starts: Tensor, plan: Plan, *, batch_size: int, momentum: float,
               progress: Callable[[int, int], None] = lambda done, total: None) -> Range:
    """Train from ``starts`` (K, P) with a plan whose rates rise, until the loss is four times its lowest or not finite.

    Raises Diverged if the loss breaks before ten steps: there is no rate to suggest.
    """
    found: list[Tensor] = []
    trace = _Smooth()

    def collect(state: sgd.State, step: sgd.Step) -> None:
        found.append(step.loss.double().cpu())
        if trace.add(float(found[-1].mean())):
            raise _Broken

    if np.any(np.diff(plan.rates) <= 0):
        raise BadInput(f"A range test needs rates that rise at every step; those of {plan.name} do not. Use range.")
    state = sgd.start(starts, stack([task.net.buffers] * len(seeds))) if seeds else None
    broken = None
    try:
        sgd.train(task, seeds, starts, state, batch_size=batch_size, epochs=plan.epochs, rates=plan.rates,
                  momentum=momentum, points=range(1, plan.steps + 1), collect=collect, progress=progress)
    except _Broken:
        broken = float(plan.rates[len(found) - 1])
    return _read(plan.rates[: len(found)], torch.stack(found).numpy(), np.array(trace.values), broken)


class _Smooth:
    """An exponential mean without bias; ``add`` says whether the loss has broken."""

    def __init__(self):
        self.values: list[float] = []
        self._sum = self._weight = 0.0

    def add(self, loss: float) -> bool:
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self._weight = SMOOTHING * self._weight + 1 - SMOOTHING
        self.values.append(self._sum / self._weight)
        return not np.isfinite(loss) or loss > BROKEN * min(self.values)


def _read(rates: np.ndarray, losses: np.ndarray, smooth: np.ndarray, broken: float | None) -> Range:
    usable = int(np.isfinite(smooth).sum())
    if usable < SETTLED:
        raise Diverged(f"The loss broke after {usable} steps, at learning rate {rates[-1]:g}, and a range test needs at "
                       f"least {SETTLED}. Start from a lower rate, or take more epochs.")
    lowest = int(np.nanargmin(smooth))
    falling = np.gradient(smooth[:usable], np.log(rates[:usable]))[SETTLED : lowest + 1]
    steepest = float(rates[SETTLED + falling.argmin()]) if len(falling) else None
    return Range(rates, losses, smooth, steepest, float(rates[lowest]), broken)
