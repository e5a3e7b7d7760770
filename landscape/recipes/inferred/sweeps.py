"""Sweeps of the temperature and of the prior's scale: what the posterior predicts at each (the cold-posterior curve)."""

from __future__ import annotations

import numpy as np

from landscape.errors import Cancelled
from landscape.posteriors import method
from landscape.posteriors.predictive import average
from landscape.recipes.inferred.averages import predictive
from landscape.recipes.inferred.drawing import FAILURES, averaged
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.inferred.labels import COMPARED_BY, Label
from landscape.results import Series

METRICS = ("nll", "error", "ece")
FIRST_STREAM = 2000  # of the random numbers of the points of a sweep
SWEPT = {"temperature": "temperatures", "prior": "prior_stds"}


def sweeps(ground: Ground, context) -> None:
    """Saves ``sweep:temperature`` and ``sweep:prior``, if they were asked for: one elliptical slice sampling for each value.

    In the subspace of the settings, of the first seed. A value at which the chains fail is NaN and said.
    """
    s = ground.settings
    label = Label(COMPARED_BY, COMPARED_BY, "subspace", s.subspace)
    for kind, field in SWEPT.items():
        values, name = getattr(s, field), f"sweep:{kind}"
        if values and context.load(name) is None:
            context.save(name, _swept(ground, label, kind, values, context))
        context.progress(name, 1, 1)


def _swept(ground: Ground, label: Label, kind: str, values: tuple[float, ...], context) -> Series:
    s = ground.settings
    columns: dict[str, list[float]] = {f"test_{m}": [] for m in METRICS} | {"train_nll": []}
    columns |= {"gap_ratio": [], "spread": []}
    said = []
    for k, value in enumerate(values):
        given = {"temperature": value} if kind == "temperature" else {"prior_std": value}
        try:
            found = _at(ground, label, given, k, lambda done, total, k=k: context.progress(
                f"sweep:{kind}", k + done / total, len(values)))
        except Cancelled:
            raise
        except FAILURES as error:
            said.append(f"At {value:g}: {error}")
            found = {}
        for name, column in columns.items():
            column.append(found.get(name, np.nan))
    known = {name: np.array(column) for name, column in columns.items() if np.isfinite(column).any()}
    unit = ("temperature that divides the summed log-likelihood" if kind == "temperature" else
            f"standard deviation of the prior on the {s.prior}")
    return Series(np.array(values), known, {
        "x": unit, "label": label.name, "subspace": s.subspace, "seed": ground.walk.seeds[0], "said": said,
        "marked": s.temperature if kind == "temperature" else s.prior_std, "prior_std": s.prior_std,
        "temperature": s.temperature, "data": {split: len(x) for split, (x, _) in ground.task.splits.items()}})


def _at(ground: Ground, label: Label, given: dict, k: int, progress) -> dict[str, float]:
    options = label.options(ground.settings) | {"draws": ground.settings.side_draws}
    generator = label.generator(ground.settings, FIRST_STREAM + k)
    draws = method.infer(label.method, ground.given(label, (0,), **given), generator=generator,
                         watch=lambda done, total, new: progress(done, total), **options)
    weights = averaged(ground, draws)
    found = predictive(ground.problem, weights, drawn=False)
    values = {f"test_{m}": found.values[m] for m in METRICS if m in found.values}
    values["train_nll"] = average(ground.task, weights, "train").nll
    values["spread"] = float((weights - weights.mean(0)).square().sum(1).mean().sqrt())
    ratio = (found.info.get("gap") or {}).get("ratio")
    return values | ({"gap_ratio": ratio} if ratio is not None else {})
