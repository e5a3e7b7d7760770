"""What drawn networks predict together: metrics on the test set, bands and their width in the gaps, regions and entropy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.data import Dataset
from landscape.posteriors.predictive import average
from landscape.recipes.averaged.curves import batchnorm
from landscape.recipes.opening import DRAWN, GRID, LINE, MARGIN, POWERS
from landscape.recipes.training import Problem
from landscape.results import Predictive
from landscape.training.losses import Gaussian
from landscape.uncertainty import metrics

WIDE = 10.0 / 7.2  # how far bands are drawn beyond the data: the example of Izmailov et al. 2019 shows [-10, 10]
GAP = 0.08  # of the range of the inputs: an interval without data of at least that length is a gap


def predictive(p: Problem, weights: Tensor, drawn: bool = True) -> Predictive:
    """The average of networks (M, P), evaluated on the test set and over the inputs, if there are one or two.

    Regions in the plane of two inputs only if they are to be ``drawn``.
    """
    found, dataset = average(p.task, weights, "test"), p.dataset
    values = {"nll": found.nll, "error": found.error}
    function = line(p, weights) or (regions(p, weights) if drawn else {})
    info = {"kind": dataset.kind, "view": dataset.view, "classes": list(dataset.classes), "draws": found.count,
            "data": {"test": len(dataset.test)}, "batchnorm": batchnorm(p.task)}
    if found.probabilities is not None:
        outputs, y = found.probabilities, dataset.test.y
        values |= {"ece": metrics.ece(outputs, y), "brier": metrics.brier(outputs, y)}
        return Predictive(values, outputs.astype(np.float32), y, {}, function, info)
    spread = target_scale(dataset)
    deviations = {name: (np.sqrt(v) * spread).astype(np.float32)
                  for name, v in (("epistemic", found.epistemic), ("aleatoric", found.aleatoric))}
    info["noise_std"] = float(np.sqrt(p.task.likelihood.variance) * np.asarray(spread).reshape(-1)[0])
    if function:
        info |= widths(function["x"], function["epistemic"], function["train_x"])
    targets = raw_targets(dataset, dataset.test.y)
    return Predictive(values, raw_targets(dataset, found.mean), targets, deviations, function, info)


def regions(p: Problem, weights: Tensor) -> dict[str, np.ndarray]:
    """Mean class probabilities and their entropy over the plane of the inputs; empty for any other kind of input."""
    dataset = p.dataset
    if dataset.shape != (2,) or dataset.kind != "classification":
        return {}
    axes = [_around(dataset.train.x[:, i], GRID) for i in range(2)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    found = average(p.task, weights, x=torch.tensor(grid))
    raw, shown = dataset.raw(np.stack(axes, -1)), dataset.train.rows(slice(DRAWN))
    shaped = {"entropy": found.entropy, "disagreement": found.information}
    return {"x": raw[:, 0], "y": raw[:, 1], "probabilities": found.probabilities.reshape(GRID, GRID, -1).astype(np.float32),
            "train_x": dataset.raw(shown.x), "train_y": shown.y} | {
                name: v.reshape(GRID, GRID).astype(np.float32) for name, v in shaped.items()}


def line(p: Problem, weights: Tensor) -> dict[str, np.ndarray]:
    """The mean function of one input and its deviations, wider than the data; empty for anything else."""
    dataset = p.dataset
    if dataset.view != "line" or dataset.outputs != 1 or not isinstance(p.task.likelihood, Gaussian):
        return {}
    shown = dataset.train.rows(slice(DRAWN))
    raw = dataset.raw(shown.x).astype(np.float64)
    powers = np.arange(1, raw.shape[1] + 1)
    if not np.allclose(raw, raw[:, :1] ** powers, atol=POWERS * np.abs(raw).max()):
        return {}  # the first feature does not say what the others are
    every = dataset.raw(dataset.train.x)[:, 0].astype(np.float64)
    middle, half = (every.max() + every.min()) / 2, WIDE * (every.max() - every.min()) / 2
    x = np.linspace(middle - half, middle + half, LINE)
    mean, std = (np.asarray(dataset.normalisation[name], np.float64) for name in ("mean", "std"))
    found = average(p.task, weights, x=torch.tensor((x[:, None] ** powers - mean) / std))
    spread = target_scale(dataset)
    deviations = {name: (np.sqrt(v) * spread)[:, 0].astype(np.float32)
                  for name, v in (("epistemic", found.epistemic), ("aleatoric", found.aleatoric))}
    return {"x": x.astype(np.float32), "mean": raw_targets(dataset, found.mean)[:, 0],
            "train_x": raw[:, 0].astype(np.float32), "train_y": raw_targets(dataset, shown.y)[:, 0]} | deviations


def gaps_of(x: np.ndarray) -> list[tuple[float, float]]:
    """Intervals between neighbouring inputs (n,) that are longer than a share of their range."""
    x = np.sort(np.asarray(x, np.float64))
    steps = np.diff(x)
    return [(float(x[i]), float(x[i + 1])) for i in np.flatnonzero(steps >= GAP * (x[-1] - x[0]))]


def widths(x: np.ndarray, epistemic: np.ndarray, train_x: np.ndarray) -> dict:
    """``{"gaps", "gap"}``: mean epistemic deviation where there are data, in the gaps between them, and their ratio.

    A single network has no epistemic deviation and no ratio.
    """
    gaps = gaps_of(train_x)
    inside = (x >= train_x.min()) & (x <= train_x.max())
    each = [(x > low) & (x < high) for low, high in gaps]
    between = np.any(each, axis=0) if each else np.zeros(len(x), bool)

    def mean(where: np.ndarray) -> float | None:
        return float(epistemic[where].mean()) if where.any() else None

    at_data, in_gaps = mean(inside & ~between), mean(between)
    ratio = in_gaps / at_data if in_gaps is not None and at_data else None
    return {"gaps": [list(gap) for gap in gaps], "gap": {"at_data": at_data, "in_gaps": in_gaps, "ratio": ratio,
                                                         "each": [mean(gap) for gap in each], "outside": mean(~inside)}}


def raw_targets(dataset: Dataset, y: np.ndarray) -> np.ndarray:
    """Targets or means (n, D) in their raw unit."""
    mean = np.asarray(dataset.normalisation.get("target_mean", 0.0), np.float64)
    return (y * target_scale(dataset) + mean).astype(np.float32)


def target_scale(dataset: Dataset) -> np.ndarray:
    """How many raw units of the targets a unit of the task is."""
    return np.asarray(dataset.normalisation.get("target_std", 1.0), np.float64)


def _around(values: np.ndarray, count: int) -> np.ndarray:
    """``count`` points over the range of the values and a margin, float64."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, count)
