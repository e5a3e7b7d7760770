"""Opened networks made by hand: probabilities from a formula, examples from the embedded data."""

from __future__ import annotations

import numpy as np

from landscape import data
from landscape.results import Opened

DISTANCES = {"w1 (seed 0)": 3.5, "w2 (seed 1)": 14.25, "w3 (seed 2)": 21.0}


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def classifier(probabilities: np.ndarray, targets: np.ndarray, **more) -> Opened:
    """A network with these class probabilities (n, C) on the test examples."""
    classes = probabilities.shape[1]
    n = len(targets)
    info = {"title": "here", "task": "made", "kind": "classification", "view": "table", "parameters": 1234, "norm": 12.5,
            "classes": [str(k) for k in range(classes)], "n": {"train": n, "test": n}, "batchnorm": "none", "seconds": 0.012,
            "residual": 0.0} | more.pop("info", {})
    right = np.maximum(probabilities[np.arange(n), targets], 1e-38)
    wrong = float((probabilities.argmax(axis=1) != targets).mean())
    cost = float(-np.log(right).mean())
    values = {"train_loss": cost + 0.01, "train_nll": cost, "train_error": wrong, "test_nll": cost, "test_error": wrong}
    return Opened({"run": "0123456789abcdef", "plane": "bezier", "x": 4.0, "y": 2.0}, values | more.pop("values", {}),
                  dict(DISTANCES), probabilities.astype(np.float32), targets, info=info, **more)


def worst(probabilities: np.ndarray, targets: np.ndarray, x: np.ndarray, count: int = 24) -> dict[str, np.ndarray]:
    cost = -np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-38))
    order = np.argsort(-cost, kind="stable")[:count]
    return {"index": order, "x": x[order], "nll": cost[order].astype(np.float32)}


def moons(sharpness: float = 4.0, shift: float = 0.0) -> Opened:
    """Two classes in the plane, told apart by a wave."""
    found = data.load("moons")

    def probabilities(at):
        margin = sharpness * (at[..., 1] - 0.25 - 0.45 * np.cos(np.pi * (at[..., 0] - shift)))
        return softmax(np.stack([margin, -margin], axis=-1))

    x, y = np.linspace(-2, 3, 90), np.linspace(-1.6, 2.1, 80)
    grid = probabilities(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))
    p = probabilities(found.test.x)
    return classifier(p, found.test.y, examples=worst(p, found.test.y, found.raw(found.test.x)),
                      function={"x": x, "y": y, "probabilities": grid.astype(np.float32), "train_x": found.train.x,
                                "train_y": found.train.y}, info={"view": "plane", "classes": list(found.classes)})


def pictures(task: str = "digits", sharpness: float = 0.6) -> Opened:
    """Examples of a task with pictures, told apart by their distance from the mean of each class."""
    found = data.load(task)
    train, test = (s.x.reshape(len(s.x), -1) for s in (found.train, found.test))
    means = np.stack([train[found.train.y == k].mean(axis=0) for k in range(len(found.classes))])
    p = softmax(-sharpness * ((test[:, None] - means) ** 2).sum(axis=-1) / 4)
    return classifier(p, found.test.y, examples=worst(p, found.test.y, found.raw(found.test.x)),
                      info={"view": found.view, "classes": list(found.classes)})


def line(height: float = 1.0) -> Opened:
    """A function of one input."""
    found = data.load("regression")
    x = np.linspace(-10, 10, 200)
    where, target = 2 * found.test.x[:, 0], found.test.y
    mean = height * np.sin(where)[:, None].astype(np.float32)
    function = {"x": x, "mean": height * np.sin(x), "train_x": 2 * found.train.x[:, 0], "train_y": found.train.y[:, 0]}
    info = {"title": "here", "task": "regression", "kind": "regression", "view": "line", "classes": [],
            "n": {"train": 400, "test": 400},
            "batchnorm": "none", "noise_std": 0.05**0.5, "seconds": 0.01, "parameters": 2701, "norm": 30.0, "residual": 0.0}
    error = float(np.sqrt(((mean - target) ** 2).mean()))
    values = {"train_loss": 1.0, "train_nll": 0.9, "train_error": error, "test_nll": 0.95, "test_error": error}
    return Opened({"run": "0123456789abcdef", "path": "bezier", "t": 0.5}, values, dict(DISTANCES), mean, target,
                  function=function, info=info)
