"""The line through W_SGD and W_SWA, and random rays from both (Izmailov et al. 2018, figures 4 and 5)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from landscape.geometry.curves import Curve
from landscape.geometry.directions import filter_normalised
from landscape.geometry.rays import Interval, along_rays, line, median_width, share_within, sides, unit_directions, widths
from landscape.geometry.subspace import Subspace
from landscape.recipes.averaged.curves import batchnorm
from landscape.recipes.planes import caps
from landscape.recipes.walks import Walked
from landscape.results import METRICS, Profile, Series, Summary
from landscape.settings_averaging import Averaging
from landscape.training.sgd import generator
from landscape.training.task import Task

BEYOND = 1.0  # how far the line is drawn over both networks, in distances between them
RISE = 0.1  # of the way from the best possible value to knowing nothing: how much a metric rises at the wall of a valley
RAYS, BOOTSTRAP = 2, 3  # streams of random numbers


def rises(task: Task) -> dict[str, float]:
    """What counts as risen, for each metric: a tenth of the range of its colours."""
    floor = task.likelihood.floor or 0.0
    return {m: RISE * (cap - (0.0 if m.endswith("error") else floor)) for m, cap in caps(task).items() if m in METRICS}


def through_both(s: Averaging, walk: Walked, twin: Subspace, context) -> dict:
    """Saves ``profile:line`` and the Summary ``line``; returns the latter's values. Distance 0 is W_SWA."""
    before = context.load("line")
    if before is not None and context.load("profile:line") is not None:
        return before.values
    swa, sgd = walk.w_swa[0], walk.w_sgd[0]
    found = line(walk.task, swa, sgd, BEYOND, BEYOND, s.line_points,
                 progress=lambda done, total: context.progress("profile:line", done, total))
    t = (found.distances - found.distances[0]) / np.ptp(found.distances)
    there = [twin.project(found.subspace.lift(part)).numpy() for part in torch.tensor(found.distances)[:, None, None]]
    context.save("profile:line", Profile("line", t, found.distances, found.values, {"twin": np.concatenate(there)}))
    told, asymmetry = rises(walk.task), {}
    for metric in METRICS:
        at_swa, at_sgd = (sides(found.distances, found.values[metric], at, told[metric]) for at in (0.0, found.length))
        asymmetry[metric] = {"sgd_side": _number(at_swa.right), "swa_side": _number(at_swa.left), "rise": told[metric],
                             "asymmetry": _number(at_swa.asymmetry),
                             "of_sgd": {"sgd_side": _number(at_sgd.right), "swa_side": _number(at_sgd.left)}}
    values = {"distance": found.length, "asymmetry": asymmetry, "at": {"W_SWA": 0.0, "W_SGD": found.length},
              "drawn": [float(found.distances[0]), float(found.distances[-1])], "seed": walk.seeds[0]}
    context.save("line", Summary(values))
    return values


def path(walk: Walked) -> Curve:
    """The line from one drawn end to the other, t from 0 to 1."""
    swa, sgd = walk.w_swa[0].double(), walk.w_sgd[0].double()
    return Curve(torch.stack([swa - BEYOND * (sgd - swa), sgd + BEYOND * (sgd - swa)]), "chain")


def random_rays(s: Averaging, walk: Walked, context) -> Series:
    """Saves and returns ``rays``: the same directions from both, and how far until each metric has risen."""
    before = context.load("rays")
    if before is not None:
        return before
    unit = s.ray_normalisation == "unit"
    length = s.ray_length * (float(walk.w_swa[0].double().norm()) if unit else 1.0)
    x, values, width = np.linspace(0, length, s.ray_points), {}, {}
    told = rises(walk.task)
    for k, (name, w) in enumerate((("sgd", walk.w_sgd[0]), ("swa", walk.w_swa[0]))):
        found = along_rays(walk.task, w, directions(s, walk.task, w, s.ray_normalisation), x,
                           progress=lambda done, total, k=k: context.progress("rays", k * total + done, 2 * total))
        found = {metric: found[metric] for metric in METRICS}
        values |= {f"{name} {metric}": rows for metric, rows in found.items()}
        values |= {f"{name} {metric} within": share_within(rows, told[metric]) for metric, rows in found.items()}
        width[name] = {metric: of_rays(s, x, rows, told[metric]) for metric, rows in found.items()}
    info = {"normalisation": s.ray_normalisation, "width": width, "rise": told, "seed": walk.seeds[0], "level": 0.95,
            "x": "distance in weight space" if unit else "steps of filter-normalised directions",
            "data": {split: len(walk.task.splits[split][0]) for split in ("train", "test")}}
    made = Series(x, values, info | {"batchnorm": batchnorm(walk.task)})
    context.save("rays", made)
    return made


def directions(s: Averaging, task: Task, w: Tensor, normalisation: str) -> Tensor:
    """The same draw for every network (R, P): of length 1, or each filter as long as the network's own."""
    drawn = generator(s.ray_seed, RAYS)
    if normalisation == "unit":
        return unit_directions(task.net.size, s.rays, drawn)
    return filter_normalised(task.net, w, drawn, s.rays).double()


def of_rays(s: Averaging, x: np.ndarray, rows: np.ndarray, rise: float) -> dict:
    """The median width of rays (R, S) with its interval over directions; None where a ray never rises that far."""
    if not np.isfinite(rows[:, 0]).all():
        return {"median": None, "low": None, "high": None}
    found: Interval = median_width(widths(x, rows, rise), generator(s.ray_seed, BOOTSTRAP))
    return {"median": _number(found.value), "low": _number(found.low), "high": _number(found.high)}


def width_of(s: Averaging, task: Task, w: Tensor, normalisation: str, norm: float) -> dict:
    """How far train NLL stays low around one network: ``{"value", "error"}``; the error is half of the 95 % interval, None
    stands for a rise that was not met."""
    task = replace(task, splits={"train": task.splits["train"]})
    x = np.linspace(0, s.ray_length * (norm if normalisation == "unit" else 1.0), s.ray_points)
    rows = along_rays(task, w, directions(s, task, w, normalisation), x, splits=("train",))["train_nll"]
    found = of_rays(s, x, rows, rises(task)["train_nll"])
    known = None not in found.values()
    return {"value": found["median"], "error": (found["high"] - found["low"]) / 2 if known else None}


def _number(value: float) -> float | None:
    """None for what was not found within the drawn range."""
    return float(value) if math.isfinite(value) else None
