"""Every pair of networks: how far apart they are, how often they agree, how high the line between them rises."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.geometry.trajectories import average, distances
from landscape.recipes.inspecting.files import Family
from landscape.recipes.inspecting.report import Report
from landscape.recipes.inspecting.subject import Subject
from landscape.results import Matrix, Summary
from landscape.settings_inspect import Inspect

SAVE = 1.0  # seconds between two saved matrices


def line(a: Tensor, b: Tensor) -> Subspace:
    """The line through two networks (P,): coordinate 0 is a, 1 is b."""
    return Subspace(a.double(), (b.double() - a.double())[None])


def along(subject: Subject, subspace: Subspace, t: np.ndarray, buffers=None, progress=lambda done, total: None) -> dict:
    """Metrics at the coordinates t (T,) of a line, each point evaluated directly; keys as in ``results``."""
    return Evaluator(subject.task, subspace, subject.splits, buffers)(t[:, None], progress)


def barrier(t: np.ndarray, loss: np.ndarray) -> float:
    """The largest rise of the loss above the straight line through its two ends (Frankle et al. 2020); 0 or more."""
    return float(np.max(loss - ((1 - t) * loss[0] + t * loss[-1])))


def matrix(s: Inspect, report: Report, family: Family, context) -> Matrix:
    """Saves ``matrix``: distances and agreement at once, then barriers pair by pair; goes on from what was saved."""
    subject, count = report.subject, len(family)
    before = context.load("matrix")
    empty = np.full((count, count), np.nan)
    values = {name: empty.copy() for name in ("distance", "agreement", "barrier", "line_max")}
    if before is not None and before.names == family.names:
        values |= {name: before.values[name].copy() for name in values}
    else:
        values["distance"] = distances(family)
        values["agreement"] = agreement(report, family)
    np.fill_diagonal(values["barrier"], 0.0)
    result = Matrix(family.names, values, _info(s, report))
    context.save("matrix", result)
    saved, t = time.monotonic(), np.linspace(0, 1, s.pair_points)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    ends = _Ends(s, subject, family)
    for done, (i, j) in enumerate(pairs):
        if not np.isfinite(values["line_max"][i, j]):
            def within(part: int, of: int, done: int = done) -> None:
                context.progress("pairs", done + part / (of + 1), len(pairs))

            loss = _between(s, subject, family, ends, (i, j), t, within)
            for name, value in (("barrier", barrier(t, loss)), ("line_max", float(loss.max()))):
                values[name][i, j] = values[name][j, i] = value
        context.progress("pairs", done + 1, len(pairs))
        if time.monotonic() - saved > SAVE:
            context.save("matrix", result)
            saved = time.monotonic()
    for i in range(count):
        values["line_max"][i, i] = ends[i] if ends.known(i) else np.nan
    context.save("matrix", result)
    return result


class _Ends:
    """The loss of each network in the way the lines are evaluated, computed once."""

    def __init__(self, s: Inspect, subject: Subject, family: Family):
        self.s, self.subject, self.family, self._found = s, subject, family, {}

    def known(self, i: int) -> bool:
        return i in self._found

    def __getitem__(self, i: int) -> float:
        if i not in self._found:
            w = self.family[i]
            found = along(self.subject, line(w, w), np.zeros(1), stored(self.s, self.subject, self.family))
            self._found[i] = float(found["test_nll"][0])
        return self._found[i]


def _between(s: Inspect, subject: Subject, family: Family, ends: _Ends, pair: tuple[int, int], t: np.ndarray,
             progress) -> np.ndarray:
    """The loss (T,) along the line from the first network of a pair to the second."""
    a, b = (family[k] for k in pair)
    inner = along(subject, line(a, b), t[1:-1], stored(s, subject, family), progress)["test_nll"]
    return np.concatenate([[ends[pair[0]]], inner, [ends[pair[1]]]])


def stored(s: Inspect, subject: Subject, family: Family):
    """The buffers of the first file, where the settings want them at every point; None: re-estimated at each."""
    return subject.buffers(family.matched(0)) if subject.batchnorm and s.batchnorm == "stored" else None


def statistics(s: Inspect, subject: Subject, family: Family) -> str:
    """How BatchNorm was treated at points that are not files, in words."""
    if not subject.batchnorm:
        return "none"
    if s.batchnorm == "stored":
        return f"stored, those of {family.names[0]}"
    count = sum(map(len, subject.task.batchnorm_batches))
    which = f"{count} training" if subject.prepared.own_train else f"the same {count}"
    return f"re-estimated at every point on {which} examples"


def agreement(report: Report, family: Family) -> np.ndarray:
    """Shares (N, N) of the examples on which two networks predict the same class; NaN where they predict numbers."""
    said = [report.predictions.get(i) for i in family.indices]
    if any(each is None for each in said):
        return np.full((len(said), len(said)), np.nan)
    return np.array([[float((a == b).double().mean()) for a in said] for b in said])


def average_of(s: Inspect, report: Report, family: Family, context) -> dict[str, float]:
    """Saves ``average``: the mean of the weights (Izmailov et al. 2018), with its own BatchNorm statistics."""
    subject = report.subject
    w = average(family)
    found = along(subject, line(w, w), np.zeros(1), stored(s, subject, family))
    values = {name.removeprefix("test_"): float(value[0]) for name, value in found.items()}
    apart = [float((row.double() - w).norm()) for row in family]
    told = {**values, "files": list(family.names), "distances": apart, "batchnorm": statistics(s, subject, family)}
    context.save("average", Summary(told))
    context.save_weights("average", {"w": w.to(torch.float32).numpy()})
    return values


def _info(s: Inspect, report: Report) -> dict[str, str]:
    judged = report.subject.prepared.judged
    count = f"{s.pair_points} points of the straight line between the two"
    how = " BatchNorm statistics are re-estimated at every point, the ends too." if (
        report.subject.batchnorm and s.batchnorm == "re-estimated") else ""
    return {
        "distance": "Euclidean distance of the two weight vectors.",
        "agreement": f"Share of {judged} for which both predict the same class." if report.subject.dataset.kind !=
                     "regression" else "Not defined for networks that predict numbers.",
        "barrier": f"Largest rise of the loss above the line through its ends, on {count}.{how}",
        "line_max": f"Largest loss on {count}.{how}",
    }
