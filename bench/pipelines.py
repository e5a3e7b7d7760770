"""The whole of slide 7 on two tasks, in CPU seconds; the time to a first picture; the adaptive picture against the exact."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from bench.measure import Row, seconds
from landscape.errors import Cancelled
from landscape.geometry import refine
from landscape.geometry.subspace import plane
from landscape.recipes.planes import Plane, channels
from landscape.recipes.training import problem
from landscape.runs import Library
from landscape.runs.context import run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.store import Store
from landscape.settings import Valleys

CPU_SECONDS = {"digits": 15.0, "mnist1d": 60.0}
FIRST_PICTURE = 1.0  # seconds
SHARE, PICTURE_ERROR = 0.1, 0.005
ROUNDS = 3


def rows(home: Path) -> list[Row]:
    """All of them, from runs made in the store ``home``."""
    made = []
    for task, bar in CPU_SECONDS.items():
        before = time.process_time()
        _, status, message = compute_here("valleys", Valleys(task=task), home)
        if status != "done":
            raise RuntimeError(f"The pipeline on {task} ended as {status}: {message}")
        spent = time.process_time() - before
        made.append(Row(f"{task}: 3 networks, 2 curves, 3 planes", "valleys", f"{bar:.0f} CPU seconds", bar / spent, bar=1.0,
                        met=spent <= bar, note=f"{spent:.1f} CPU seconds"))
    return [*made, first_picture(home), *pictures(home)]


class _UntilPicture(Store):
    """A store that stops its run once a surface is saved."""

    def save(self, key: str, name: str, meta: str, arrays: bytes) -> int:
        version = super().save(key, name, meta, arrays)
        if name.startswith("surface:"):
            raise Cancelled("The first picture is there.")
        return version


def first_picture(home: Path) -> Row:
    """From the start of a run whose networks and curves are there, in a process that has computed before."""
    taken = []
    for i in range(ROUNDS):
        wanted = identify("valleys", Valleys(task="mnist1d", grid=97 + 2 * (i + 1)))
        with _UntilPicture(home) as store:
            store.enter(**wanted.row())
            started = time.perf_counter()
            run_job(store, wanted.key)
            taken.append(time.perf_counter() - started)
        if "surface:optima" not in Library(home).names(wanted.key):
            raise RuntimeError("The run ended without a first picture.")
    spent = float(np.median(taken))
    return Row("mnist1d: first picture of a surface", "valleys", f"{FIRST_PICTURE:.0f} s", FIRST_PICTURE / spent, bar=1.0,
               met=spent <= FIRST_PICTURE, note=f"{spent:.2f} s")


def pictures(home: Path) -> list[Row]:
    """The 97x97 picture of the plane of three optima: loss alone, and with the error rates."""
    s, library = Valleys(task="mnist1d"), Library(home, gallery=None)
    training = library.run(next(run.key for run in library.runs("training", children=True)
                                if run.settings["task"] == s.task and len(run.settings["seeds"]) == 3)).key
    w = torch.tensor(library.weights(training, "optima")["w"])
    task = problem(s).task
    drawn = Plane("optima", "Three optima", task, plane(*w), [(f"w{i}", "optimum", w[i]) for i in range(3)])
    axes = drawn.axes(97, s.margin)
    shape = tuple(map(len, axes))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    exact = {m: v.reshape(shape) for m, v in drawn.evaluator(grid.reshape(-1, 2)).items()}
    every = channels(task, s.tolerance)
    loss = {m: c for m, c in every.items() if m.endswith("nll")}
    return [row for title, chosen in (("loss picture", loss), ("loss and error picture", every))
            for row in _compared(f"mnist1d: {title} {shape[0]}x{shape[1]}", chosen, drawn, grid, exact)]


def _compared(workload: str, chosen: dict[str, refine.Channel], drawn: Plane, grid: np.ndarray, exact) -> list[Row]:
    shape = grid.shape[:2]

    def adaptive() -> refine.Picture:
        picture = refine.Picture(shape, chosen)
        for cells in refine.adaptive(picture):
            picture.put(cells, drawn.evaluator(grid[tuple(cells.T)]))
        return picture

    taken = [(seconds(lambda: drawn.evaluator(grid.reshape(-1, 2))), seconds(adaptive)) for _ in range(ROUNDS)]
    picture = adaptive()
    share = float(picture.evaluated.mean())
    off = {m: float(np.percentile(c.distance(picture.values[m], exact[m], c.span(exact[m])), 99)) for m, c in chosen.items()}
    worst = max(v for m, v in off.items() if m.endswith("nll"))
    strict = all(m.endswith("nll") for m in chosen)
    said = ", ".join(f"{m} {v:.2%} (printed {picture.measured[m]:.2%})" for m, v in off.items())
    return [
        Row(workload, "adaptive", "exact, evaluations", 1 / share, worst, bar=1 / SHARE if strict else None,
            met=share <= SHARE and worst < PICTURE_ERROR if strict else None,
            note=f"{share:.1%} of the cells; 99th percentile of the colour range: {said}"),
        Row(workload, "adaptive", "exact, seconds", float(np.median([a / b for a, b in taken])))]
