"""Far from the data: confidence over a wide plane of two inputs and along rays, and distances to training examples."""

from __future__ import annotations

import numpy as np
import torch

from landscape.data import Dataset
from landscape.networks.dense import activate
from landscape.posteriors.likelihood import one_thread
from landscape.recipes.judged.predicting import Asked, Predicted
from landscape.recipes.judged.sources import Networks
from landscape.recipes.judged.unknown import scaled
from landscape.recipes.opening import DRAWN
from landscape.recipes.training import Problem
from landscape.results import Predictive, Series
from landscape.uncertainty.calibrators import nearest_distances
from landscape.uncertainty.detection import box, entropy, rays

SIDE = 121  # points along each axis of the plane
TIMES = 5.0  # how much wider than the data the plane is
RADII = np.linspace(0, 20, 41)  # in units of the data's reach
DIRECTIONS = 16
GRID, RAYS = "grid", "rays"
FAR = "far"
NEIGHBOURS, AMONG = 10, 2000  # training examples a distance is the mean of, and among which they are looked for


def inputs(dataset: Dataset) -> dict[str, np.ndarray]:
    """Points of the plane and of the rays, for classification of two inputs; none for anything else."""
    if dataset.shape != (2,) or dataset.kind != "classification":
        return {}
    raw = dataset.raw(dataset.train.x)
    points = np.stack(np.meshgrid(*_axes(raw), indexing="ij"), -1).reshape(-1, 2)
    return {GRID: scaled(dataset, points), RAYS: scaled(dataset, rays(raw, RADII, DIRECTIONS).reshape(-1, 2))}


def confidence(dataset: Dataset, found: Predicted, info: dict) -> Predictive:
    """``confidence:LABEL``: mean probabilities and their entropy over the wide plane."""
    raw, p = dataset.raw(dataset.train.x), found.probabilities[GRID]
    x, y = _axes(raw)
    shown = dataset.train.rows(slice(DRAWN))
    apart = found.disagreement.get(GRID, np.zeros(len(p)))
    function = {"x": x, "y": y, "probabilities": p.reshape(SIDE, SIDE, -1).astype(np.float32),
                "entropy": entropy(p).reshape(SIDE, SIDE).astype(np.float32),
                "disagreement": apart.reshape(SIDE, SIDE).astype(np.float32),
                "train_x": dataset.raw(shown.x), "train_y": shown.y}
    outside = ((x < raw[:, 0].min()) | (x > raw[:, 0].max()))[:, None] | ((y < raw[:, 1].min()) | (y > raw[:, 1].max()))
    sure = p.max(1).reshape(SIDE, SIDE)
    values = {"confidence_far": float(sure[outside].mean()), "confidence_near": float(sure[~outside].mean())}
    return Predictive(values, np.empty((0, p.shape[1]), np.float32), np.empty(0, np.int64), {}, function, info | {
        "kind": dataset.kind, "view": dataset.view, "classes": list(dataset.classes), "times": TIMES})


def along_rays(before: Series | None, label: str, title: str, found: np.ndarray) -> Series:
    """``far``: the mean confidence at each radius over all directions, one line for each source."""
    sure = found.max(1).reshape(DIRECTIONS, len(RADII))
    info = before.info if before is not None else {
        "x": "distance from the centre of the data, in units of their reach", "labels": [], "titles": {},
        "directions": DIRECTIONS}
    labels = [*(each for each in info["labels"] if each != label), label]
    values = (before.values if before is not None else {}) | {label: sure.mean(0)}
    return Series(RADII, values, info | {"labels": labels, "titles": info["titles"] | {label: title}})


def _axes(raw: np.ndarray) -> list[np.ndarray]:
    low, high = box(raw, TIMES)
    return [np.linspace(low[i], high[i], SIDE) for i in range(2)]


class Distances:
    """How far inputs are from training examples, (n, L): in the inputs, and in the last hidden layer of a stack of linear
    layers (of the first network of a source)."""

    def __init__(self, problem: Problem, networks: Networks):
        self.task = problem.task
        w = networks.place.w if networks.place is not None else networks.weights[0]
        self.w = w.to(self.task.splits["train"][0])
        self.train = self._features(self.task.splits["train"][0][:AMONG].cpu().numpy())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        k = min(NEIGHBOURS, len(self.train[0]))
        return np.stack([nearest_distances(own, known, k) for own, known in
                         zip(self._features(x), self.train, strict=True)], axis=1)

    def of(self, asked: Asked, names: list[str]) -> dict[str, np.ndarray]:
        """Those of some parts of what was asked for."""
        return {each: self(asked.parts[each]) for each in names}

    @torch.no_grad()
    def _features(self, x: np.ndarray) -> list[np.ndarray]:
        found, layers = [x.reshape(len(x), -1)], self.task.net.layers or ()
        if len(layers) > 1:
            h = torch.tensor(found[0]).to(self.w)
            with one_thread(h.device):
                for layer in layers[:-1]:
                    h = h @ layer.weight(self.w).T
                    h = activate(layer.activation, h if layer.offset(self.w) is None else h + layer.offset(self.w))
            found.append(h.cpu().numpy())
        return found
