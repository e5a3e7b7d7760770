"""Open trained networks from files: one report first, then what their number allows to be seen.

One file: a filter-normalised random plane and two lines. Two: the line between them, the same after weight matching, a
trained curve. Three: the plane through them. More: their principal components. Two and more: every pair, and the average.

BatchNorm: a file is judged with its own stored statistics; every other network, and all of a picture, its marks too, with
statistics re-estimated for it, unless the settings say ``stored``. Each result says which.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry.curves import Curve
from landscape.recipes.inspecting import views
from landscape.recipes.inspecting.advice import advice
from landscape.recipes.inspecting.cost import estimate, stages
from landscape.recipes.inspecting.files import Family, contents
from landscape.recipes.inspecting.pairs import average_of, matrix, statistics, stored
from landscape.recipes.inspecting.report import Report, read_all, told
from landscape.recipes.inspecting.subject import Subject, subject
from landscape.recipes.places import Places
from landscape.recipes.training import Problem
from landscape.results import Matrix, Summary
from landscape.settings_inspect import Inspect

PLANES = ("random", "plane", "pca")
PATHS = ("line", "matched", "bezier")


def compute(s: Inspect, context) -> None:
    """Saves ``report`` and ``samples`` first, then the views (see ``inspecting``), and last ``summary``."""
    context.plan(stages(s, len(s.files)))
    report, family = read_all(s, context)
    before = context.load("report")
    report.views = list(before.values.get("views", ())) if before is not None else []
    report.advice = advice(report, s, family)
    report.cost = estimate(s, report, family) if len(family) else {}
    report.complete = True
    context.save("report", Summary(told(report, s)))
    if not len(family):
        context.save("summary", Summary(_summary(s, context, report, family, None, {})))
        return
    if len(family) < len(s.files):
        context.plan(stages(s, len(family)))
        context.progress("report", 1, 1)
    pairs, mean = None, {}
    if len(family) > 1:
        mean = average_of(s, report, family, context)
        context.progress("average", 1, 1)
    if len(family) == 1:
        views.pictures(s, [views.random_plane(s, report, family, context)], context,
                       [partial(views.random_lines, s, report, family, context)])
    elif len(family) == 2:
        views.between_two(s, report, family, context)
        pairs = matrix(s, report, family, context)
    else:
        pairs = _many(s, report, family, context)
    context.save("report", Summary(told(report, s)))
    context.save("summary", Summary(_summary(s, context, report, family, pairs, mean)))


def _many(s: Inspect, report: Report, family: Family, context) -> Matrix:
    """Three files and more: components, a first picture of the plane, every pair, then the picture to the end."""
    found: list[Matrix] = []
    path = views.components(s, report, family, context)
    if len(family) == 3:
        plane = views.plane_of_three(s, report, family, context)
    else:
        plane = views.components_plane(s, report, family, context, path)
    views.pictures(s, [plane], context, [lambda: found.append(matrix(s, report, family, context))])
    return found[0]


def _summary(s: Inspect, context, report: Report, family: Family, pairs: Matrix | None, mean: dict) -> dict:
    """The machine-readable result."""
    components = context.load("components") if len(family) > 2 else None
    names, listed = (pairs.names if pairs else ()), []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            values = {q: _number(pairs.values[q][i, j]) for q in ("distance", "line_max", "barrier", "agreement")}
            listed.append({"a": names[i], "b": names[j], **values})
    keys = ("file", "missing", "unexpected", "mismatched", "not_finite", "nll", "error", "loss", "usable")
    files = [{k: list(row[k]) if k in ("missing", "unexpected", "mismatched", "not_finite") else row[k] for k in keys}
             for row in report.rows]
    said = told(report, s)
    return {
        "key": context.key, "parameters": report.subject.task.net.size, "files": files, "pairs": listed,
        "pca": {"explained": [float(v) for v in components.explained] if components is not None else []},
        "average": {"nll": mean.get("nll"), "error": mean.get("error")},
        "data": said["data"], "judged": said["judged"], "examples": said["examples"], "loss": said["loss"],
        "normalisation": s.normalisation, "channels": s.channels, "chance": said["chance"],
        "batchnorm": {"files": said["batchnorm"],
                      "elsewhere": statistics(s, report.subject, family) if len(family) else "none"},
        "advice": report.advice, "views": report.views, "cost": {k: v for k, v in report.cost.items() if k != "sentence"},
        "results": {name: {"anchor_error": max(found.info["anchor_error"].values()),
                           "evaluations": found.info["evaluations"]}
                    for name in PLANES if (found := context.load(f"surface:{name}")) is not None},
        "cpu_seconds": round(context.cpu_seconds, 3),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def places(s: Inspect, reader) -> Places:
    """The files by name, each with its own statistics, and the planes and lines of the run."""
    report = reader.load("report")
    if report is None or not report.values["usable"]:
        raise BadInput(f"Run {reader.key} has no networks to open: its report is not there yet, or no file fits.")
    s = s.model_copy(update={"device": "auto"})
    usable = report.values["usable"]
    first = contents(s.files[0], s.digests[0], reader, check=False)
    found = subject(s, first.tensors)
    family = Family(s, found.module, reader, usable)
    networks, own = {}, {}
    for k, name in enumerate(family.names):
        fitted = family.matched(k)
        networks[name] = fitted.w
        if found.task.net.buffers:
            own[name] = found.buffers(fitted)
    planes = {name: views.subspace_of(arrays) for name in PLANES if (arrays := reader.load_weights(f"plane-{name}"))}
    return Places(found.dataset, found.task, planes, _paths(reader, list(networks.values()), planes, report), networks,
                  stored(s, found, family), own, statistics(s, found, family))


def _paths(reader, networks: list[Tensor], planes: dict, report: Summary) -> dict[str, Curve]:
    made = {}
    if len(networks) == 2:
        made["line"] = Curve(torch.stack(networks), "chain")
    for name, kind in (("matched", "chain"), ("bezier", "bezier")):
        if (found := reader.load_weights(f"path-{name}")) is not None:
            made[name] = Curve(torch.tensor(found["points"]), kind)
    if "random" in planes:
        found = reader.load_weights("plane-random")
        reach = found["length"].item() * found["radius"].item()
        for k in range(2):
            z = torch.zeros(2, 2, dtype=torch.float64)
            z[0, k], z[1, k] = -reach, reach
            made[f"line {k + 1}"] = Curve(planes["random"].lift(z), "chain")
    return made


def kept(s: Inspect, tensors: dict[str, Tensor]) -> Problem:
    """Data, task and module of a network that was kept from a run with these settings."""
    found: Subject = subject(s.model_copy(update={"device": "auto"}), tensors)
    return Problem(found.dataset, found.task, found.module)

