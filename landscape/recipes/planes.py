"""A surface as a restartable job: a plane, its marks, and a picture that gets finer while it is saved."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from landscape.geometry import refine
from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.networks.net import Buffers
from landscape.results import Mark, Surface
from landscape.training.losses import Gaussian
from landscape.training.task import Task

FIRST_BATCH = 16  # networks evaluated before the first chance to save; later batches take about SAVE_PICTURE / 2
SAVE_PICTURE = 1.0  # seconds between two saved pictures of one level
EXPECTED_SHARE = 0.12  # of the cells that an adaptive picture evaluates, for the time left
IN_PLANE = 1e-6  # residual / side length up to which a mark counts as lying in the plane
LEAST_ASPECT = 0.75  # shorter over longer side of a picture
SPLITS = ("train", "test")
INTERPOLATED = ("train_nll", "train_error", "test_nll", "test_error")


@dataclass(eq=False)
class Plane:
    """A plane to be drawn: ``marks`` are (name, kind, w (P,)); ``path`` (T, P) a curve drawn on it, if there is one."""

    name: str
    title: str
    task: Task
    subspace: Subspace
    marks: list[tuple[str, str, torch.Tensor]]
    path: torch.Tensor | None = None
    buffers: Buffers | None = None
    said: dict = field(default_factory=dict)  # what the caller has to say in the surface's info

    def __post_init__(self):
        self.evaluator = Evaluator(self.task, self.subspace, SPLITS, self.buffers)

    def axes(self, cells: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """Grid lines around marks and path, the same step on both axes, ``cells`` along the longer side."""
        shown = [w for _, _, w in self.marks] + ([] if self.path is None else list(self.path))
        z = self.subspace.project(torch.stack(shown).cpu()).numpy()
        low, high = z.min(0), z.max(0)
        low, high = low - margin * (high - low), high + margin * (high - low)
        longest = (high - low).max()
        extra = np.maximum(LEAST_ASPECT * longest - (high - low), 0) / 2
        low, high = low - extra, high + extra
        step = longest / (cells - 1)
        return tuple(np.linspace(a, b, max(5, round((b - a) / step) + 1)) for a, b in zip(low, high, strict=True))

    def judged(self) -> tuple[tuple[Mark, ...], dict[str, float]]:
        """The marks with their own values, evaluated directly, and the anchor error of each metric.

        The anchor error is the largest difference, over marks that lie in the plane, between the surface's way of
        evaluating and the direct one: for a loss relative to its excess over the smallest possible value, for an error
        rate absolute.
        """
        w = torch.stack([w for _, _, w in self.marks])
        direct = {}
        for split in SPLITS:
            found = self.task.evaluate(w, split, self.buffers)
            direct |= {f"{split}_{q}": found[q].numpy() for q in ("nll", "error", "loss")}
        z, residual = self.subspace.project(w.cpu()).numpy(), self.subspace.residual(w.cpu()).numpy()
        drawn = self.evaluator(z)
        inside = residual <= IN_PLANE * (1 + np.abs(z).max())
        floor = nll_floor(self.task)
        anchor = {
            m: float(
                np.max(
                    np.abs(drawn[m] - direct[m])[inside]
                    / (1.0 if m.endswith("error") else np.maximum(direct[m][inside] - floor, 1e-12))
                )
            )
            for m in direct
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
    canvas = refine.Picture(shape, channels(plane.task, tolerance))
    before = context.load(f"surface:{plane.name}")
    if before is not None and before.values["train_nll"].shape != shape:
        before = None
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
    batch: int = FIRST_BATCH

    def evaluate(self, cells: np.ndarray) -> None:
        """Put the values of the cells (N, 2): those an earlier attempt saved, the others computed and saved."""
        if self.before is not None:
            known = self.before.evaluated[tuple(cells.T)]
            if known.any():
                self.canvas.put(cells[known], {m: self.before.values[m][tuple(cells[known].T)] for m in INTERPOLATED})
            cells = cells[~known]
        while len(cells):
            part, cells = cells[: self.batch], cells[self.batch :]
            started = time.monotonic()
            z = np.stack([self.axes[0][part[:, 0]], self.axes[1][part[:, 1]]], axis=1)
            self.canvas.put(part, self.plane.evaluator(z, self._progress))
            speed = len(part) / max(time.monotonic() - started, 1e-9)
            self.batch = int(np.clip(speed * SAVE_PICTURE / 2, 1, 4 * self.batch))
            if time.monotonic() - self.saved >= SAVE_PICTURE:
                self.save()

    def _progress(self, done: int, total: int) -> None:
        canvas = self.canvas
        known = int(canvas.evaluated.sum()) + done
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
        penalty = plane.evaluator.penalty(grid).reshape(evaluated.shape)
        values["train_loss"] = values["train_nll"] + penalty
        path = None if plane.path is None else plane.subspace.project(plane.path.cpu()).numpy()
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
        sampled = np.where(evaluated, values["train_nll"], 0.0)
        return plane.said | {
            "title": plane.title,
            "angle": plane.subspace.angle,
            "anchor_error": self.anchor,
            "data": {split: len(plane.task.splits[split][0]) for split in SPLITS},
            "evaluations": int(evaluated.sum()),
            "cells": int(evaluated.size),
            "final": final,
            "not_finite": int((~np.isfinite(sampled)).sum()),
            "cap": caps(plane.task, float(np.mean([m.values["train_loss"] - m.values["train_nll"] for m in self.marks]))),
            "weight_decay": plane.task.weight_decay,
            "interpolation": {"held_out": canvas.held_out, **measured} if measured and canvas.held_out else {},
            "test_seen": "A surface of test data is for looking: nothing was chosen by it.",
        }


def nll_floor(task: Task) -> float:
    """The smallest NLL the likelihood allows."""
    return 0.5 * math.log(2 * math.pi * task.likelihood.variance) if isinstance(task.likelihood, Gaussian) else 0.0


def caps(task: Task, penalty: float = 0.0) -> dict[str, float]:
    """Where pictures saturate unless told otherwise: a little above a network that knows nothing (loss: plus ``penalty``).

    Classes: 1.1 ln C and the error of guessing (the talk's 5 for 100 classes is 1.09 ln 100). Regression: the NLL and
    the error of predicting the mean.
    """
    y = task.splits["train"][1]
    if isinstance(task.likelihood, Gaussian):
        spread = float(y.double().var(unbiased=False))
        nll, error = nll_floor(task) + 1.1 * spread / (2 * task.likelihood.variance), math.sqrt(spread)
    else:
        classes = int(y.max()) + 1
        nll, error = 1.1 * math.log(classes), 1 - 1 / classes
    return {"train_nll": nll, "train_loss": nll + penalty, "test_nll": nll, "train_error": error, "test_error": error}


def channels(task: Task, tolerance: float) -> dict[str, refine.Channel]:
    """How each metric is interpolated. Error rates move in steps of one example, so theirs is the coarser tolerance."""
    cap, floor = caps(task), nll_floor(task)
    made = {}
    for metric in INTERPOLATED:
        if metric.endswith("nll"):
            made[metric] = refine.Channel(cap[metric], tolerance, floor)
        else:
            examples = len(task.splits[metric.split("_")[0]][0])
            made[metric] = refine.Channel(cap[metric], max(4 * tolerance, 3 / (examples * cap[metric])))
    return made
