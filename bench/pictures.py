"""The same picture for less: adaptive 97x97 loss pictures against the full grids of other packages, and against true values.

What other packages take is measured on a few cells and scaled; a loop that sets the weights and runs the module once a point
stands beside them. Cells that were interpolated are checked with that loop: some of them, chosen at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench import convolutions, grid, peers
from bench.measure import Row, seconds
from landscape.geometry import refine
from landscape.geometry.subspace import plane
from landscape.geometry.surface import Evaluator
from landscape.recipes.planes import channels

CELLS, TOLERANCE, SPEEDUP = 97, 0.005, 25
CHECKED, METRIC = 128, "train_nll"


@dataclass(frozen=True, eq=False)
class Case:
    """A network's plane: ``loop`` gives losses (N,) at points (N, 2) the obvious way."""

    name: str
    network: str
    task: object
    plane: object
    networks: torch.Tensor
    buffers: dict | None
    loop: Callable[[np.ndarray], np.ndarray]
    peer_cells: int  # a side of the grid that other packages compute; its time is scaled


def cases() -> list[Case]:
    task, w = grid.trained()
    sub = plane(*w)
    made = [Case("digits MLP", grid.network(task.splits["train"][0]), task, sub, w, None,
                 lambda z: grid.loop(task, sub, z), 15)]
    for case in convolutions.cases():
        if case.buffers is not None:
            made.append(Case(case.name.split(", ")[1], case.network, case.task, case.plane, case.networks, case.buffers,
                             case.loop, 2))
    return made


def rows(environment: Path | None) -> list[Row]:
    """Two rows a network and package: its time, and the error of the picture."""
    return [row for case in cases() for row in _rows(case, environment)]


def _rows(case: Case, environment: Path | None) -> list[Row]:
    z = grid.points(case.plane, case.networks, CELLS).reshape(CELLS, CELLS, 2)
    few = z.reshape(-1, 2)[:: CELLS**2 // case.peer_cells**2]
    x, y = case.task.splits["train"]
    with peers.grids(environment, case.network, x, y, case.networks, case.peer_cells) as others:
        scale = CELLS**2 / case.peer_cells**2

        def times() -> dict[str, float]:
            found = {title: once() * scale for title, once in others.items()}
            return found | {"loop": seconds(lambda: case.loop(few)) * CELLS**2 / len(few)}

        before = times()
        picture = refine.Picture((CELLS, CELLS), {METRIC: channels(case.task, TOLERANCE, ("train",))[METRIC]})
        ours = seconds(lambda: _draw(picture, Evaluator(case.task, case.plane, ("train",), case.buffers), z))
        after = times()
    spent = {title: (before[title] + after[title]) / 2 for title in before}
    best = min((title for title in spent if title != "loop"), key=spent.get, default="loop")
    off, share = _off(picture, case, z), float(picture.evaluated.mean())
    name = f"loss picture {CELLS}x{CELLS}, {case.name}"
    made = []
    for title, took in spent.items():
        ratio, judged = took / ours, title == best
        made.append(Row(name, "adaptive", f"{title}, full grid", ratio, bar=SPEEDUP if judged else None,
                        met=ratio >= SPEEDUP if judged else None, note=f"{ours:.1f} s and {took:.0f} s"))
    said = f"{share:.1%} of the cells; printed with the picture {picture.measured[METRIC]:.2%}"
    met = off <= TOLERANCE
    return [*made, Row(name, "adaptive", f"{CHECKED} interpolated cells", None, off, None, TOLERANCE, met, said)]


def _draw(picture: refine.Picture, evaluate: Evaluator, z: np.ndarray) -> None:
    for cells in refine.adaptive(picture):
        picture.put(cells, evaluate(z[tuple(cells.T)]))


def _off(picture: refine.Picture, case: Case, z: np.ndarray) -> float:
    """The 99th percentile, over cells that were interpolated, of the error in shares of the colour range."""
    rest = np.argwhere(~picture.evaluated)
    cells = tuple(rest[np.random.default_rng(1).permutation(len(rest))[:CHECKED]].T)
    channel, values = picture.channels[METRIC], picture.values[METRIC]
    return float(np.percentile(channel.distance(values[cells], case.loop(z[cells]), channel.span(values)), 99))
