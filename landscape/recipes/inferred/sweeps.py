"""Sweeps of the temperature and of the prior's scale: what the posterior predicts at each (the cold-posterior curve)."""

from __future__ import annotations

import numpy as np
import torch

from landscape.errors import BadInput
from landscape.posteriors import method
from landscape.posteriors.predictive import average
from landscape.recipes.inferred.averages import predictive
from landscape.recipes.inferred.drawing import FAILURES, averaged, checked
from landscape.recipes.inferred.ground import Ground, ground_of
from landscape.recipes.inferred.labels import Label
from landscape.recipes.spread import Sent, Work, spread
from landscape.results import Series
from landscape.settings_posterior import SIDE

METRICS = ("nll", "error", "ece")
FIRST_STREAM = 2000  # of the random numbers of the points of a sweep
COLUMNS = (*(f"test_{m}" for m in METRICS), "train_nll", "gap_ratio", "spread", "log_density_error")
SWEPT = {"temperature": "temperatures", "prior": "prior_stds"}


def sweeps(ground: Ground, context) -> None:
    """Saves ``sweep:temperature`` and ``sweep:prior``, if they were asked for: one elliptical slice sampling for each value.

    In the subspace of the settings, of the first seed. A value at which the chains fail is NaN and said; without a subspace
    that is said once.
    """
    for kind, field in SWEPT.items():
        values, name = getattr(ground.settings, field), f"sweep:{kind}"
        if values and context.load(name) is None:
            context.save(name, _swept(ground, kind, values, context))
        context.progress(name, 1, 1)


def _label(ground: Ground) -> Label:
    return Label(SIDE, SIDE, "subspace", ground.settings.subspace)


def _swept(ground: Ground, kind: str, values: tuple[float, ...], context) -> Series:
    s, points = ground.settings, np.arange(len(values))
    rounded = ground.precision(_label(ground))
    alike = ground.task.splits["train"][0].device.type == "cpu" and not rounded  # processors differ in what they round
    work = Work(lambda ks, progress: _points(ground, kind, ks, progress), elsewhere if alike else None, lambda: (
        Sent((kind, torch.get_num_threads()), tuple), context.reading()), batch=1)
    columns, said = {name: np.full(len(values), np.nan) for name in COLUMNS}, [""] * len(values)
    parts = () if ground.missing else spread(context, work, points, lambda done, total: context.progress(
        f"sweep:{kind}", done, total))
    for (first, last), found in parts:
        said[first:last] = found.pop("said").tolist()
        for name, column in found.items():
            columns[name][first:last] = column
    known = {name: np.array(column) for name, column in columns.items() if np.isfinite(column).any()}
    unit = ("temperature that divides the summed log-likelihood" if kind == "temperature" else
            f"standard deviation of the prior on the {s.prior}")
    return Series(np.array(values), known, {
        "x": unit, "label": _label(ground).name, "subspace": s.subspace, "seed": ground.walk.seeds[0],
        "said": [ground.missing] if ground.missing else [text for text in said if text],
        "marked": s.temperature if kind == "temperature" else s.prior_std, "prior_std": s.prior_std,
        "temperature": s.temperature, "data": {split: len(x) for split, (x, _) in ground.task.splits.items()}}
        | ({"precision": rounded} if rounded else {}))


def elsewhere(told: tuple[str, int], reader):
    """The points of a sweep in another process, from the weights of the run, with as many threads."""
    kind, threads = told
    ground = ground_of(reader.settings, reader, here=True)
    if ground.task.splits["train"][0].device.type != "cpu":
        raise BadInput("It computes on a GPU, and the run does not.")

    def points(ks: np.ndarray, progress) -> dict[str, np.ndarray]:
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(threads)
            return _points(ground, kind, ks, progress)
        finally:
            torch.set_num_threads(before)

    return points


def _points(ground: Ground, kind: str, ks: np.ndarray, progress) -> dict[str, np.ndarray]:
    """The columns at some of the values of a sweep, and what is ``said`` of those at which the chains fail."""
    s, rows, said = ground.settings, [], []
    for i, k in enumerate(ks.tolist()):
        value = getattr(s, SWEPT[kind])[k]
        given = {"temperature": value} if kind == "temperature" else {"prior_std": value}
        try:
            row, doubt = _at(ground, given, k, lambda done, total, i=i: progress(i + done / total, len(ks)))
            rows.append(row)
            said.append(f"At {value:g}: {doubt}" if doubt else "")
        except FAILURES as error:
            rows.append({})
            said.append(f"At {value:g}: {error}")
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in COLUMNS} | {"said": np.array(said)}


def _at(ground: Ground, given: dict, k: int, progress) -> tuple[dict[str, float], str]:
    """The numbers at one value, and why they are not to be trusted, if so."""
    label = _label(ground)
    own = ground.given(label, (0,), **given)
    options = label.options(ground.settings) | {"draws": ground.settings.side_draws}
    generator = label.generator(ground.settings, FIRST_STREAM + k)
    draws = checked(ground, label, own, method.infer(
        label.method, own, generator=generator, watch=lambda done, total, new: progress(done, total), **options))
    weights = averaged(ground, draws)
    found = predictive(ground.problem, weights, drawn=False)
    values = {f"test_{m}": found.values[m] for m in METRICS if m in found.values}
    values["train_nll"] = average(ground.task, weights, "train").nll
    values["spread"] = float((weights - weights.mean(0)).square().sum(1).mean().sqrt())
    ratio = (found.info.get("gap") or {}).get("ratio")
    rounding = draws.info.get("rounding") or {"sd": None, "trusted": True}
    values |= {"log_density_error": rounding["sd"]} if rounding["sd"] is not None else {}
    return values | ({"gap_ratio": ratio} if ratio is not None else {}), "" if rounding["trusted"] else rounding["said"]
