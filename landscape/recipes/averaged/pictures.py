"""The planes of the walk: through W1, W2, W3; through W_SGD, W_SWA and their start; principal components; random ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from landscape.geometry.directions import filter_normalised, spanned
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.trajectories import Principal, null_walk, principal_components
from landscape.recipes.averaged.curves import batchnorm, of_one
from landscape.recipes.planes import Plane
from landscape.recipes.walks import Walked
from landscape.results import Components, Surface
from landscape.settings_averaging import Averaging
from landscape.training.sgd import generator

COMPONENTS = 10  # told at most, unless the settings say
MEAN_OF_THREE = "W_SWA of W1, W2, W3"
DIRECTIONS = 1  # the stream of random numbers that directions are drawn from


@dataclass(frozen=True, eq=False)
class Flat:
    """A plane before anything is evaluated on it; marks as in ``planes.Plane``, ``path`` (T, 2) in its coordinates."""

    title: str
    subspace: Subspace
    marks: list[tuple[str, str, Tensor]]
    path: np.ndarray | None = None
    said: dict = field(default_factory=dict)
    reach: float | None = None


def flats(s: Averaging, walk: Walked, principal: Principal) -> dict[str, Flat]:
    """Every plane of the first seed, by the name of its surface."""
    made = {"walk": _triangle(walk), "twin": _twin(walk), "pca": _components_plane(walk, principal)}
    for name, w in (("sgd", walk.w_sgd[0]), ("swa", walk.w_swa[0])):
        made[f"random {name}"] = _random(s, walk, name, w)
    return made


def drawn(walk: Walked, found: dict[str, Flat], precision: str = "") -> dict[str, Plane]:
    said = {"batchnorm": batchnorm(walk.task), "task": walk.settings.task, "seed": walk.seeds[0]}
    task = replace(walk.task, precision=precision)
    return {name: Plane(name, flat.title, task, flat.subspace, flat.marks, flat.path, None, said | flat.said,
                        reach=flat.reach) for name, flat in found.items()}


def _triangle(walk: Walked) -> Flat:
    """Three equally spaced snapshots, the last one W3, their mean, and the walk from the branch to the end."""
    weights, count = of_one(walk.snapshots.weights, 0).double(), len(walk.snapshots)
    gap = (count - 1) // 2
    picks = [count - 1 - 2 * gap, count - 1 - gap, count - 1]
    three = weights[picks]
    epochs = walk.epochs(walk.snapshots.steps)
    marks = [(f"W{k + 1}", "point", three[k]) for k in range(3)]
    after = walk.constant.steps >= walk.shared * walk.plans["sgd"].steps_per_epoch
    subspace = plane(*three)
    said = {"epochs": {f"W{k + 1}": float(epochs[pick]) for k, pick in enumerate(picks)}}
    return Flat("Three snapshots of SGD at a constant rate", subspace, [*marks, (MEAN_OF_THREE, "average", three.mean(0))],
                **_path(walk, subspace, np.flatnonzero(after), said))


def _twin(walk: Walked) -> Flat:
    start = walk.at(walk.shared)[0].double()
    marks = [("W_SGD", "optimum", walk.w_sgd[0].double()), ("W_SWA", "average", walk.w_swa[0].double()),
             (f"epoch {walk.shared}", "point", start)]
    return Flat("SGD, SWA and their common start", plane(*(w for _, _, w in marks)), marks)


def _components_plane(walk: Walked, principal: Principal) -> Flat:
    ends = [("W_SWA", "average", walk.w_swa[0].double())]
    for epoch in dict.fromkeys((0, walk.shared, walk.settings.epochs)):
        ends.append((f"epoch {epoch}", "point", walk.at(epoch)[0].double()))
    said = {"explained": [float(share) for share in principal.explained[:2]]}
    return Flat("The first two principal components of the whole walk", principal.subspace, ends,
                **_path(walk, principal.subspace, np.arange(len(walk.constant)), said))


def _random(s: Averaging, walk: Walked, name: str, w: Tensor) -> Flat:
    """Both solutions along the same draw; axes count steps of the directions, in which rescaled networks agree."""
    directions = filter_normalised(walk.task.net, w, generator(s.ray_seed, DIRECTIONS), 2)
    subspace = spanned(w, directions, "direction")
    said = {"units": "direction", "direction_length": float(directions.double().norm(dim=1).mean()), "radius": s.radius}
    return Flat(f"Filter-normalised random directions around {name.upper()}", subspace,
                [(f"W_{name.upper()}", "average" if name == "swa" else "optimum", w.double())], None, said, s.radius)


def _path(walk: Walked, subspace: Subspace, which: np.ndarray, said: dict) -> dict:
    weights = of_one(walk.constant.weights, 0)[which].double()
    away = subspace.residual(weights)
    away = torch.where(away > 1e-6 * (1 + weights.norm(dim=1)), away, 0.0)
    said = said | {"steps": walk.epochs(walk.constant.steps[which]).tolist(), "path_residuals": away.tolist()}
    return {"path": subspace.project(weights).numpy(), "said": said}


def principal_of(s: Averaging, walk: Walked) -> Principal:
    """Of the whole walk of the first seed at the constant rate, its start included."""
    weights = of_one(walk.constant.weights, 0)
    return principal_components(weights, "mean", s.components or min(COMPONENTS, len(weights) - 1))


def components(s: Averaging, walk: Walked, found: Principal) -> Components:
    """The principal components beside those of a random walk of as many steps."""
    count = found.coordinates.shape[1]
    explained, coordinates = null_walk(len(walk.constant), None, s.ray_seed, "mean", found.spread)
    names = tuple(f"epoch {epoch:g}" for epoch in walk.epochs(walk.constant.steps))
    info = {"spread": found.spread, "parameters": walk.task.net.size, "null": "A random walk of as many steps in infinitely "
            "many dimensions (Antognini and Sohl-Dickstein 2018), scaled to the same spread.", "seed": walk.seeds[0]}
    return Components(names, found.coordinates, found.explained, found.residuals, explained[:count], coordinates[:, :count],
                      found.origin, info)


def with_minima(surface: Surface, picture: Plane) -> Surface:
    """The surface with ``info["minima"]``: where each metric is lowest on this grid, and the value found there directly.

    Where several cells have the same lowest error, the one with the lowest NLL of the same set.
    """
    found = {}
    for metric, values in surface.values.items():
        tie = surface.values[f"{metric.split('_')[0]}_nll"]
        order = np.lexsort((np.nan_to_num(tie, nan=np.inf).ravel(), np.nan_to_num(values, nan=np.inf).ravel()))
        i, j = np.unravel_index(order[0], values.shape)
        x, y = float(surface.axes[0][i]), float(surface.axes[1][j])
        own = float(picture.evaluator(np.array([[x, y]]))[metric][0])
        found[metric] = {"x": x, "y": y, "value": own, "cells": int((values == values[i, j]).sum())}
    return replace(surface, info=surface.info | {"minima": found})
