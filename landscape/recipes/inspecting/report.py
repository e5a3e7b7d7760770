"""The first thing a user sees: does each file fit the network, how good is it on the data, what to try if it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from landscape.networks.checkpoints import not_finite
from landscape.networks.matching import Match, match
from landscape.recipes.inspecting.files import Contents, Family, contents, short_names
from landscape.recipes.inspecting.subject import Subject, subject
from landscape.results import Summary
from landscape.settings_inspect import Inspect
from landscape.training.losses import summed

SAMPLES = 12  # pictures of inputs that are shown
STORED = "each file's own stored statistics"


@dataclass(eq=False)
class Report:
    """What was found out about the files: ``rows`` one dict a file, ``predictions`` its classes (n,) by file number.

    ``usable`` are the files whose networks are complete and finite: the views are made of these. ``views`` are sentences
    on what the views needed, or why one is left out.
    """

    subject: Subject
    rows: list[dict] = field(default_factory=list)
    predictions: dict[int, Tensor] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    cost: dict = field(default_factory=dict)
    complete: bool = False

    @property
    def usable(self) -> tuple[int, ...]:
        return tuple(i for i, row in enumerate(self.rows) if row["usable"])


def read_all(s: Inspect, context) -> tuple[Report, Family]:
    """Read and judge the files one by one; the report is saved after each. Only weights that fit into memory are kept."""
    report = family = None
    for i, file in enumerate(s.files):
        found = contents(file, s.digests[i], context)
        if file.startswith("run:"):
            context.link(context.other(file.removeprefix("run:")).key)
        if report is None:
            report = Report(subject(s, found.tensors))
            family = Family(s, report.subject.module, context, range(len(s.files)))
            context.save("samples", samples(s, report.subject))
        fitted = match(report.subject.module, found.tensors)
        family.put(i, fitted)
        add(report, s, found, fitted, lambda share, i=i: context.progress("report", i + share, len(s.files)))
        context.save("report", Summary(told(report, s)))
        context.progress("report", i + 1, len(s.files))
    return report, family.only(report.usable)


def add(report: Report, s: Inspect, found: Contents, fitted: Match, progress: Callable[[float], None]) -> None:
    """One more row: keys, numbers that are not finite, loss and error with the file's own buffers."""
    started, i, subject = time.perf_counter(), len(report.rows), report.subject
    bad = not_finite(found.tensors)
    parameters = set(subject.task.net.names)
    lacking = [name for name in (*fitted.missing, *fitted.mismatched) if name in parameters]
    finite = bool(fitted.w.isfinite().all()) and all(bool(b.isfinite().all()) for b in fitted.buffers.values()
                                                     if b.is_floating_point())
    row = {
        "file": short_names(s.files)[i], "path": s.files[i], "digest": s.digests[i], "bytes": found.size,
        "tensors": len(found.tensors), "parameters": sum(t.numel() for t in found.tensors.values()),
        "missing": _shapes(fitted.missing), "unexpected": _shapes(fitted.unexpected),
        "mismatched": {name: [list(a), list(b)] for name, (a, b) in fitted.mismatched.items()},
        "nearest": fitted.nearest, "not_finite": bad, "norm": float(fitted.w.double().norm()),
        "notes": [*found.notes, *fitted.notes], "usable": not lacking and finite,
    }
    values, predicted = judged(subject, fitted, progress)
    if predicted is not None:
        report.predictions[i] = predicted
    report.rows.append(row | values | {"seconds": time.perf_counter() - started})


@torch.no_grad()
def judged(subject: Subject, fitted: Match, progress: Callable[[float], None]) -> tuple[dict[str, float], Tensor | None]:
    """``{"nll", "error", "loss"}`` on the set that judges (and ``train_*``, if asked for), and the classes predicted there.

    One forward pass, with the buffers of the file itself; ``progress`` is given the share that is done and may raise.
    """
    task, w, buffers = subject.task, subject.weights(fitted.w), subject.buffers(fitted)
    values, predicted = {}, None
    for split in subject.splits:
        x, y = task.splits[split]
        sums, said = torch.zeros(2, dtype=torch.float64), []
        for start, stop in task.batches(len(x)):
            outputs = task.net(w, x[start:stop], buffers)
            sums += summed(task.likelihood, outputs, y[start:stop]).cpu()
            said.append(outputs.argmax(-1).to(torch.int32).cpu())
            progress(stop / len(x) if split == subject.splits[-1] else 0.0)
        nll, error = sums / len(x)
        name = "" if split == "test" else f"{split}_"
        values |= {f"{name}nll": float(nll), f"{name}error": float(task.likelihood.combine(error)),
                   f"{name}loss": float(nll + task.penalty(w.double()).cpu())}
        predicted = torch.cat(said) if subject.dataset.kind != "regression" else None
    return values, predicted


def samples(s: Inspect, subject: Subject) -> Summary:
    """A handful of inputs from all over the set, as the file holds them (``x``) and as the network sees them (``seen``)."""
    dataset = subject.dataset
    index = np.unique(np.linspace(0, len(dataset.test) - 1, SAMPLES).round().astype(int))
    seen, y = dataset.test.x[index], dataset.test.y[index]
    raw = dataset.raw(seen) if dataset.kind != "language" else seen
    if s.channels == "BGR":
        raw = np.ascontiguousarray(raw[:, ::-1])  # as people see them
    kind = dataset.kind
    targets = [dataset.classes[int(k)] if dataset.classes else str(int(k)) for k in y] if kind == "classification" else [
        ", ".join(f"{v:.3g}" for v in row[:3]) for row in y] if kind == "regression" else []
    low, high = (float(f(seen)) for f in (np.min, np.max))
    said = (f"Inputs: {dataset.normalisation.get('note', 'as stored')}; channels {s.channels}. The network sees numbers "
            f"from {low:.3g} to {high:.3g}.") if kind != "language" else "Tokens as stored."
    return Summary({"x": raw, "seen": seen, "index": index, "targets": targets, "view": dataset.view, "said": said,
                    "channels": s.channels, "classes": list(dataset.classes)})


def told(report: Report, s: Inspect) -> dict:
    """The report as it is saved."""
    subject, dataset = report.subject, report.subject.dataset
    nothing, error = subject.task.likelihood.chance(subject.task.splits["test"][1])
    return {
        "network": s.network, "arguments": s.arguments, "parameters": subject.task.net.size,
        "data": dataset.title, "loss": subject.loss, "examples": {split: len(subject.task.splits[split][0]) for split in
                                                                  subject.splits},
        "judged": subject.prepared.judged, "own_train": subject.prepared.own_train, "split": s.split,
        "kind": dataset.kind, "view": dataset.view,
        "classes": list(dataset.classes), "shape": list(dataset.shape), "normalisation": dataset.normalisation,
        "channels": s.channels, "weight_decay": s.weight_decay, "batchnorm": STORED if subject.batchnorm else "none",
        "chance": {"nll": nothing, "error": error}, "notes": list(subject.prepared.notes), "files": report.rows,
        "usable": list(report.usable), "advice": report.advice, "views": report.views, "cost": report.cost,
        "done": report.complete,
    }


def _shapes(found: dict[str, tuple[int, ...]]) -> dict[str, list[int]]:
    return {name: list(shape) for name, shape in found.items()}
