"""Averaging weights against averaging predictions (Izmailov et al. 2018, section 3.5; Garipov et al. 2018, FGE).

With steps d_i = w_i - w_mean that sum to zero, the first order of the mean of f(w_mean + s d_i) is f(w_mean) itself: the
network with the mean weights differs from the mean of the networks by something of the order of s squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.geometry.precision import in_precision
from landscape.geometry.spectrum import Progress, silent
from landscape.networks.net import Buffers
from landscape.training.task import Task

SPACES = ("outputs", "probabilities")
SCALES = tuple(float(s) for s in 2.0 ** np.arange(-8, 2))  # of the steps, from 1/256 to 2; among them 1


@dataclass(frozen=True, eq=False)
class Gap:
    """How far the network with the mean weights is from the mean of the networks, for steps of several sizes.

    ``scales`` (S,) multiply the steps from the mean weights; ``steps`` (S,) are their mean lengths in weight space. ``gaps``
    (S,) are means over examples of the Euclidean distance between f(mean w) and the mean of f(w_i); ``spread`` (S,) the same
    between f(mean w) and each f(w_i), which is of first order. ``slope`` and ``slope_error`` (its standard error): the
    straight line through log gap over log step, fitted where ``fitted`` (S,) is True; NaN where there is no gap.
    ``of_mean`` and ``mean_of`` (B, C) are the two predictions at scale 1, ``correlation`` the one between their entries.
    """

    scales: np.ndarray
    steps: np.ndarray
    gaps: np.ndarray
    spread: np.ndarray
    fitted: np.ndarray
    slope: float
    slope_error: float
    of_mean: np.ndarray
    mean_of: np.ndarray
    correlation: float
    space: str


def averaging_gap(task: Task, iterates: Tensor, scales: tuple[float, ...] = SCALES, split: str = "test",
                  space: str = "outputs", buffers: Buffers | None = None, progress: Progress = silent) -> Gap:
    """Compare f(mean w) with the mean of f(w_i) for iterates (n, P), in float64; exactly equal for n = 1.

    ``space``: ``outputs`` as the network gives them (logits), or class ``probabilities``. The slope is fitted over the
    smaller half of the scales, where the second order rules. Distances are means over examples, not root mean squares:
    where few examples cross the kink of a ReLU, a root mean square falls as the power 1.5 only. BatchNorm: re-estimated
    for every network unless ``buffers`` are given for all. ``progress(done, total)`` counts networks.
    """
    if space not in SPACES:
        raise unknown("space of predictions", space, SPACES)
    if iterates.ndim != 2 or not len(iterates) or not bool(iterates.isfinite().all()) or not scales or min(scales) < 0:
        raise BadInput(f"Averaging needs iterates (n, P) with finite weights and scales from 0; found "
                       f"{tuple(iterates.shape)}, scales {list(scales)}.")
    judged = _Predictions(task, split, space, buffers, progress, (len(set(scales) | {1.0}) * len(iterates)) + 1)
    points = iterates.double()
    centre = points.mean(0)
    offsets = points - centre if len(points) > 1 else torch.zeros_like(points)
    of_mean = judged(centre)
    rows, kept = {}, of_mean
    for s in sorted(set(scales) | {1.0}):
        total, spread = torch.zeros_like(of_mean), 0.0
        for offset in offsets:
            own = judged(centre + s * offset)
            total += own
            spread += float((own - of_mean).norm(dim=-1).mean()) / len(points)
        mean_of = total / len(points)
        rows[s] = float((mean_of - of_mean).norm(dim=-1).mean()), spread
        kept = mean_of if s == 1.0 else kept
    gaps, spread = np.array([rows[s] for s in scales]).T
    steps = np.array(scales) * float(offsets.norm(dim=1).mean())
    fitted = (gaps > 0) & (steps > 0) & (np.array(scales) <= np.median(scales))
    slope, error = slope_of(steps[fitted], gaps[fitted])
    both = of_mean.flatten().cpu().numpy(), kept.flatten().cpu().numpy()
    correlation = float(np.corrcoef(*both)[0, 1]) if min(map(np.ptp, both)) > 0 else float("nan")
    return Gap(np.array(scales), steps, gaps, spread, fitted, slope, error, of_mean.cpu().numpy(), kept.cpu().numpy(),
               correlation, space)


class _Predictions:
    """Predictions (B, C) float64 of one network (P,) after another on a split."""

    def __init__(self, task: Task, split: str, space: str, buffers: Buffers | None, progress: Progress, total: int):
        self.task, self.space = in_precision(task, torch.float64), space
        self.progress, self.done, self.total = progress, 0, total
        self.x = self.task.splits[split][0]
        self.buffers = buffers and {n: b.double() if b.is_floating_point() else b for n, b in buffers.items()}

    @torch.no_grad()
    def __call__(self, w: Tensor) -> Tensor:
        w = w.to(self.x.device)
        buffers = self.task.buffers(w) if self.buffers is None else self.buffers
        size = self.task.batch or len(self.x)
        outputs = torch.cat([self.task.net(w, part, buffers).flatten(1) for part in self.x.split(size)])
        self.done += 1
        self.progress(self.done, self.total)
        return outputs.softmax(-1) if self.space == "probabilities" else outputs


def slope_of(steps: np.ndarray, gaps: np.ndarray) -> tuple[float, float]:
    """The least-squares slope of log gap over log step and its standard error; NaN from fewer than 3 points."""
    if len(steps) < 3 or np.ptp(steps) == 0:
        return float("nan"), float("nan")
    x, y = np.log(steps) - np.log(steps).mean(), np.log(gaps) - np.log(gaps).mean()
    slope = float((x * y).sum() / (x * x).sum())
    return slope, float(np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 2) / (x * x).sum()))
