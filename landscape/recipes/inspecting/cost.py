"""What the views of a run will cost, from the pass that judged the files: said before any of them begins."""

from __future__ import annotations

import os

from landscape.recipes.inspecting.files import Family
from landscape.recipes.inspecting.report import Report
from landscape.recipes.planes import EXPECTED_SHARE, LEAST_ASPECT
from landscape.settings_inspect import Inspect

TRAINING = 3.0  # a step forward and back, in forward passes
FIRST = 300  # cells that an adaptive picture of any size evaluates: its first levels, and those it is measured on
DOUBLE = 8  # bytes of a number of origin and directions of a plane


def views(s: Inspect, count: int) -> list[tuple[str, float]]:
    """(stage, networks evaluated) of everything that will be made of ``count`` networks; the training of a curve apart."""
    cells = _cells(s, s.grid**2)
    lines = float(s.line_points)
    if count == 0:
        return []
    if count == 1:
        return [("surface:random", cells), ("profile:line 1", lines), ("profile:line 2", lines)]
    found = [("average", 1.0), ("pairs", count + count * (count - 1) / 2 * (s.pair_points - 2))]
    if count == 2:
        found += [("profile:line", lines), ("profile:matched", lines)]
        found += [("curve", TRAINING * s.curve_epochs), ("profile:bezier", lines)] if s.curve_epochs else []
    else:
        surface = "surface:plane" if count == 3 else "surface:pca"
        found += [("components", 0.0), (surface, _cells(s, LEAST_ASPECT * s.grid**2))]
    return found


def _cells(s: Inspect, all_cells: float) -> float:
    """How many cells of a picture are evaluated: where it is smooth, first levels, held-out ones and a share of the rest."""
    return all_cells if s.picture == "exact" else min(all_cells, FIRST + EXPECTED_SHARE * all_cells)


def stages(s: Inspect, count: int) -> list[tuple[str, float]]:
    """The plan of the job: relative costs of the report and of every view."""
    return [("report", float(len(s.files))), *((name, max(cost, 0.1)) for name, cost in views(s, count))]


def estimate(s: Inspect, report: Report, family: Family) -> dict:
    """``{"evaluations", "examples", "flops", "bytes", "seconds", "views", "sentence"}``.

    ``flops`` count matrix products, convolutions and attention as they were measured on a few examples; ``seconds`` go by
    the time the files took to be judged; ``bytes`` are weights, directions and activations at their largest.
    """
    subject = report.subject
    task = subject.task
    re_estimated = subject.batchnorm and s.batchnorm == "re-estimated"
    statistics = sum(map(len, task.batchnorm_batches)) if re_estimated and not task.own_statistics else 0
    examples = subject.examples + statistics
    parts = [(name, cost) for name, cost in views(s, len(family)) if name != "curve"]
    evaluations = sum(cost for _, cost in parts)
    training = s.curve_epochs * TRAINING * len(task.splits["train"][0]) if len(family) == 2 else 0.0
    passed = evaluations * examples + training
    judged = [row["seconds"] for row in report.rows]
    each = min(judged) / max(1, subject.examples)
    each_number = task.net.size * (DOUBLE * 3 + 4 * 2)
    memory = family.bytes + each_number + subject.probe.widest * task.batch * 4 * (os.cpu_count() or 1)
    found = {"evaluations": round(evaluations), "examples": examples, "flops": float(subject.probe.flops * passed),
             "bytes": float(memory), "seconds": float(each * passed), "views": {name: round(cost) for name, cost in parts}}
    return found | {"sentence": _sentence(found, statistics, subject.prepared.own_train, training)}


def _sentence(found: dict, statistics: int, own_train: bool, training: float) -> str:
    seconds = found["seconds"]
    time = f"{seconds:.1f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes" if seconds < 5400 else (
        f"{seconds / 3600:.1f} hours")
    both = f", {statistics} of them for BatchNorm" if statistics else ""
    curve = ", and the training of a curve" if training else ""
    return (f"To come: {found['evaluations']:,} networks evaluated on {found['examples']:,} examples each{both}{curve}: "
            f"about {found['flops']:.2g} floating point operations, {found['bytes'] / 1e6:,.0f} MB of memory and {time} on "
            "this machine.")
