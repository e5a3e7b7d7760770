"""A surface as a restartable job: a plane, its marks, and a picture that gets finer while it is saved."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from landscape.errors import BadInput
from landscape.geometry import refine
from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.networks.net import Buffers
from landscape.recipes.elsewhere import divisible, evaluating, needs
from landscape.recipes.spread import Work, spread
from landscape.results import Mark, Surface
from landscape.training.losses import ABOVE_CHANCE
from landscape.training.task import Task

SAVE_PICTURE = 1.0  # seconds between two saved pictures of one level
EXPECTED_SHARE = 0.12  # of the cells that an adaptive picture evaluates, for the time left
MORE = 1.1  # times the cells that are known to be needed, where those are more: others may follow
IN_PLANE = 1e-6  # residual / side length up to which a mark counts as lying in the plane
LEAST_ASPECT = 0.75  # shorter over longer side of a picture
SPLITS = ("train", "test")


@dataclass(eq=False)
class Plane:
    """A plane to be drawn: ``marks`` are (name, kind, w (P,)); ``path`` (T, P) a curve drawn on it, if there is one, or
    its coordinates (T, 2). ``reach`` is how far the picture goes from the origin along both axes; None lets marks and
    path decide.
    """

    name: str
    title: str
    task: Task
    subspace: Subspace
    marks: list[tuple[str, str, torch.Tensor]]
    path: torch.Tensor | np.ndarray | None = None
    buffers: Buffers | None = None
    said: dict = field(default_factory=dict)  # what the caller has to say in the surface's info
    splits: tuple[str, ...] = SPLITS
    reach: float | None = None

    def __post_init__(self):
        self.evaluator = Evaluator(self.task, self.subspace, self.splits, self.buffers)
        self.in_plane: dict[str, dict[str, float]] = {}  # of marks outside the plane: what the plane has at their feet

    def taken_up(self, before: Surface) -> Surface | None:
        """An earlier attempt's picture, the evaluator taking the way that one took, so that all cells are of one kind; None
        where that way cannot be taken here."""
        way = before.info.get("way") or {"kind": "batched" if self.task.net.layers else "module", "width": 0}
        if any(way[name] != self.evaluator.said[name] for name in ("kind", "width")):
            try:
                self.evaluator = Evaluator(self.task, self.subspace, self.splits, self.buffers, way=way)
            except BadInput:
                return None
        return before

    def axes(self, cells: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """Grid lines around marks and path, the same step on both axes, ``cells`` along the longer side."""
        if self.reach is not None:
            return np.linspace(-self.reach, self.reach, cells), np.linspace(-self.reach, self.reach, cells)
        z = self.subspace.project(torch.stack([w for _, _, w in self.marks]).cpu()).numpy()
        z = z if self.path is None else np.concatenate([z, self.walked()])
        low, high = z.min(0), z.max(0)
        low, high = low - margin * (high - low), high + margin * (high - low)
        longest = (high - low).max()
        extra = np.maximum(LEAST_ASPECT * longest - (high - low), 0) / 2
        low, high = low - extra, high + extra
        step = longest / (cells - 1)
        return tuple(np.linspace(a, b, max(5, round((b - a) / step) + 1)) for a, b in zip(low, high, strict=True))

    def walked(self) -> np.ndarray:
        """The path in the plane (T, 2)."""
        return self.path if isinstance(self.path, np.ndarray) else self.subspace.project(self.path.cpu()).numpy()

    def directly(self, w: torch.Tensor) -> dict[str, np.ndarray]:
        """Metrics (N,) of weights (N, P), evaluated one by one."""
        like = self.task.splits[self.splits[0]][0]
        w, found = w.to(like.device, self.task.dtype), {}
        for split in self.splits:
            values = self.task.evaluate(w, split, self.buffers)
            found |= {f"{split}_{q}": values[q].numpy() for q in ("nll", "error", "loss")}
        return found

    def judged(self) -> tuple[tuple[Mark, ...], dict[str, float]]:
        """The marks with their own values, evaluated directly, and the anchor error of each metric.

        The anchor error is the largest difference, over the marks, between the surface's way of evaluating and the direct
        one, for a mark that does not lie in the plane at its foot: for a loss relative to its excess over the smallest
        possible value, for an error rate absolute.
        """
        w = torch.stack([w for _, _, w in self.marks])
        z, residual = self.subspace.project(w.cpu()).numpy(), self.subspace.residual(w.cpu()).numpy()
        inside = residual <= IN_PLANE * (1 + np.abs(z).max())
        direct = self.directly(w)
        drawn = self.evaluator(z)
        feet = direct if inside.all() else {m: v.copy() for m, v in direct.items()}
        if not inside.all():
            for m, values in self.directly(self.subspace.lift(torch.tensor(z[~inside]))).items():
                feet[m][~inside] = values
        floor = self.task.likelihood.floor or 0.0
        anchor = {
            m: float(
                np.max(np.abs(drawn[m] - feet[m]) / (1.0 if m.endswith("error") else np.maximum(feet[m] - floor, 1e-12)))
            )
            for m in direct
        }
        self.in_plane = {
            name: {m: float(drawn[m][i]) for m in direct} for i, (name, _, _) in enumerate(self.marks) if not inside[i]
        }
        marks = tuple(
            Mark(
                name,
                kind,
                *map(float, z[i]),
                {m: float(v[i]) for m, v in direct.items()},
                float(residual[i]) if not inside[i] else 0.0,
            )
            for i, (name, kind, _) in enumerate(self.marks)
        )
        return marks, anchor


def draw(plane: Plane, context, cells: int, margin: float, picture: str, tolerance: float) -> Iterator[None]:
    """Evaluate and save ``surface:NAME`` level by level, going on from what an earlier attempt saved.

    Yields whenever a finer picture has been saved, so that several planes can be drawn in turn.
    """
    axes = plane.axes(cells, margin)
    shape = tuple(map(len, axes))
    canvas = refine.Picture(shape, channels(plane.task, tolerance, plane.splits))
    before = context.load(f"surface:{plane.name}")
    if before is not None:
        before = plane.taken_up(before) if before.evaluated.shape == shape else None
    marks, anchor = plane.judged()
    walk = refine.exact(canvas) if picture == "exact" else refine.adaptive(canvas)
    expected = shape[0] * shape[1] * (1.0 if picture == "exact" else EXPECTED_SHARE)
    drawing = _Drawing(plane, context, axes, canvas, before, marks, anchor, expected)
    for wanted in walk:
        if canvas.evaluated.any():  # the walk has interpolated since: a true picture, coarse or fine
            drawing.save()
            yield
        drawing.evaluate(wanted)
    drawing.save(final=True)
    context.progress(f"surface:{plane.name}", 1, 1, cells=int(canvas.evaluated.sum()))  # fewer than expected, or more


@dataclass(eq=False)
class _Drawing:
    plane: Plane
    context: object
    axes: tuple[np.ndarray, np.ndarray]
    canvas: refine.Picture
    before: Surface | None
    marks: tuple[Mark, ...]
    anchor: dict[str, float]
    expected: float  # cells that will be evaluated, a guess for an adaptive picture
    saved: float = float("-inf")

    @cached_property
    def work(self) -> Work:
        """The evaluation of coordinates (N, 2), which others may help with."""
        evaluator = self.plane.evaluator
        return Work(evaluator, evaluating if divisible(evaluator) else None, lambda: needs(evaluator))

    def evaluate(self, cells: np.ndarray) -> None:
        """Put the values of the cells (N, 2): those an earlier attempt saved, the others computed and saved."""
        if self.before is not None:
            known = self.before.evaluated[tuple(cells.T)]
            if known.any():
                at = tuple(cells[known].T)
                self.canvas.put(cells[known], {m: self.before.values[m][at] for m in self.canvas.channels})
            cells = cells[~known]
        if not len(cells):
            return
        z = np.stack([self.axes[0][cells[:, 0]], self.axes[1][cells[:, 1]]], axis=1)
        before = int(self.canvas.evaluated.sum())
        self.expected = max(self.expected, min(self.canvas.evaluated.size, MORE * (before + len(cells))))
        for part, values in spread(self.context, self.work, z, lambda done, _: self._progress(before + done)):
            self.canvas.put(cells[slice(*part)], values)
            if time.monotonic() - self.saved >= SAVE_PICTURE:
                self.save()

    def _progress(self, known: int) -> None:
        self.context.progress(f"surface:{self.plane.name}", known, max(known, self.expected), cells=known)

    def save(self, final: bool = False) -> None:
        """The picture as it stands. Cells of an earlier attempt that this one has not come to yet are kept."""
        canvas, plane = self.canvas, self.plane
        values, evaluated = {m: v.copy() for m, v in canvas.values.items()}, canvas.evaluated.copy()
        if self.before is not None:
            kept = self.before.evaluated & ~evaluated
            for m in values:
                values[m][kept] = self.before.values[m][kept]
            evaluated |= kept
        grid = np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, 2)
        if "train" in plane.splits:
            values["train_loss"] = values["train_nll"] + plane.evaluator.penalty(grid).reshape(evaluated.shape)
        path = None if plane.path is None else plane.walked()
        self.context.save(
            f"surface:{plane.name}",
            Surface(self.axes, values, evaluated, self.marks, path, self._info(values, evaluated, final)),
        )
        self.saved = time.monotonic()

    def _info(self, values, evaluated, final: bool) -> dict:
        plane, canvas = self.plane, self.canvas
        measured = {m: e for m, e in canvas.measured.items()}
        if "train_nll" in measured:
            measured["train_loss"] = measured["train_nll"]  # the penalty is exact in every cell
        first = plane.splits[0]
        sampled = np.where(evaluated, values[f"{first}_nll"], 0.0)
        penalty = float(np.mean([m.values[f"{first}_loss"] - m.values[f"{first}_nll"] for m in self.marks]))
        return plane.said | ({"in_plane": plane.in_plane} if plane.in_plane else {}) | {
            "title": plane.title,
            "angle": plane.subspace.angle,
            "anchor_error": self.anchor,
            "data": {split: len(plane.task.splits[split][0]) for split in plane.splits},
            "evaluations": int(evaluated.sum()),
            "cells": int(evaluated.size),
            "final": final,
            "not_finite": int((~np.isfinite(sampled)).sum()),
            "cap": {m: cap for m, cap in caps(plane.task, penalty).items() if m in values},
            "weight_decay": plane.task.weight_decay,
            "way": plane.evaluator.said,
            "interpolation": {"held_out": canvas.held_out, **measured} if measured and canvas.held_out else {},
            "test_seen": "A surface of test data is for looking: nothing was chosen by it.",
        }


def caps(task: Task, penalty: float = 0.0) -> dict[str, float]:
    """Where pictures saturate unless told otherwise: a little above a network that knows nothing (loss: plus ``penalty``).

    Classes: 1.1 ln C and the error of guessing (the talk's 5 for 100 classes is 1.09 ln 100). Regression: the NLL and
    the error of predicting the mean.
    """
    nothing, error = task.likelihood.chance(task.splits["train"][1])
    floor = task.likelihood.floor or 0.0
    above = ABOVE_CHANCE * (nothing - floor)
    nll = floor + (above if math.isfinite(above) and above > 0 else 1.0)
    return {"train_nll": nll, "train_loss": nll + penalty, "test_nll": nll, "train_error": error, "test_error": error}


def channels(task: Task, tolerance: float, splits: tuple[str, ...] = SPLITS) -> dict[str, refine.Channel]:
    """How each metric is interpolated. Error rates move in steps of one example, so theirs is the coarser tolerance."""
    cap = caps(task)
    made = {}
    for split in splits:
        made[f"{split}_nll"] = refine.Channel(cap[f"{split}_nll"], tolerance, task.likelihood.floor)
        step = 3 / (len(task.splits[split][0]) * max(cap[f"{split}_error"], 1e-12))
        made[f"{split}_error"] = refine.Channel(cap[f"{split}_error"], max(4 * tolerance, step), stepped=True)
    return made
