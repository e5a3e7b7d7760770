"""What recipes compute and figures draw: plain numpy values that go to disk and back unchanged.

Metric names, one spelling everywhere: ``{split}_{quantity}`` with split ``train``, ``validation`` or ``test`` and
quantity ``nll`` (mean, nats per example), ``loss`` (``nll`` plus half weight decay times the squared norm: the
objective that was trained) or ``error`` (fraction wrong; for regression the root mean squared error).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

METRICS = {
    "train_loss": "train loss",
    "train_nll": "train NLL",
    "train_error": "train error",
    "test_nll": "test NLL",
    "test_error": "test error",
}


@dataclass(frozen=True, eq=False)
class Mark:
    """A network drawn on a surface, evaluated directly: ``values`` are its own, not the surface's.

    ``kind`` is ``optimum``, ``end`` (of a curve), ``bend`` or ``point``; ``residual`` is its distance from the plane.
    """

    name: str
    kind: str
    x: float
    y: float
    values: dict[str, float]
    residual: float = 0.0


@dataclass(frozen=True, eq=False)
class Surface:
    """Metrics on a plane of weight space.

    ``axes`` are Euclidean distances in weight space, shapes ``(X,)`` and ``(Y,)``; every array in ``values`` has shape
    ``(X, Y)`` (first axis is x), NaN where nothing is known yet. ``evaluated`` is True where a network was evaluated,
    False where the value is interpolated. ``path`` (T, 2) is the curve that lies in the plane, if one does.
    ``info`` says how true the picture is::

        {"title": str, "angle": degrees between the raw directions, "anchor_error": {metric: largest relative
         difference between surface and direct evaluation at the marks}, "data": {"train": n, "test": n},
         "batchnorm": "none" | "stored" | "re-estimated on n training examples", "evaluations": int, "cells": int,
         "final": bool, "interpolation": {"held_out": n, metric: 99th percentile of |error| / colour range} | {},
         "task": str, "weight_decay": float, "test_seen": str,
         "way": {"kind": "batched" | "folded" | "module", "width": examples of a tile, "threads": int, "words": str}}
    """

    axes: tuple[np.ndarray, np.ndarray]
    values: dict[str, np.ndarray]
    evaluated: np.ndarray
    marks: tuple[Mark, ...] = ()
    path: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Profile:
    """Metrics along a path in weight space: ``kind`` is ``segment``, ``bezier`` or ``chain``.

    ``t`` (T,) in [0, 1]; ``distance`` (T,) arc length from the start; ``values`` arrays of shape (T,). ``positions``
    maps the name of a plane to the path's coordinates in it (T, 2), for a marker that walks on the surfaces.
    """

    kind: str
    t: np.ndarray
    distance: np.ndarray
    values: dict[str, np.ndarray]
    positions: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class History:
    """What training logged: ``epochs`` (E,), ``lr`` (E,) the rate at the epoch's last step, ``values`` (K, E) per network.

    ``names`` are the K networks (``seed 0``, ``bezier`` ...); NaN from the epoch in which a network diverged. In a lower
    precision ``train_gradient_error``, ``train_gradient_noise`` and ``train_loss_error`` say how it rounds, epoch by epoch
    (NaN where that was not measured), and ``info["rounding"]`` sums it up.
    """

    names: tuple[str, ...]
    epochs: np.ndarray
    lr: np.ndarray
    values: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Summary:
    """A JSON object: the machine-readable result of a run."""

    values: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Opened:
    """One network seen from all sides, evaluated there and then.

    ``where`` names it (a run, and a place in it); ``values`` are its own metrics, ``distances`` its Euclidean distances
    from the marked networks of the run. ``outputs`` (n, C) float32 are class probabilities on the test examples, or means
    (n, D) for regression; ``targets`` (n,) or (n, D). ``examples`` are the most wrong test examples, worst first:
    ``{"index": (m,), "x": raw inputs (m, *shape), "nll": (m,)}``. ``function`` draws what it computes: for 2-D inputs
    ``{"x": (X,), "y": (Y,), "probabilities": (X, Y, C), "train_x": (n, 2), "train_y": (n,)}``; for 1-D regression
    ``{"x": (X,), "mean": (X,), "train_x": (n,), "train_y": (n,)}``; otherwise empty. ``info``::

        {"title": str, "task": str, "kind": "classification" | "regression", "view": how an example is drawn,
         "classes": [str], "n": {split: examples}, "batchnorm": str, "norm": Euclidean norm of the weights,
         "parameters": P, "noise_std": float for regression, "seconds": time it took, "residual": distance from w that was
         asked for, 0 unless the place is only near}
    """

    where: dict[str, Any]
    values: dict[str, float]
    distances: dict[str, float]
    outputs: np.ndarray
    targets: np.ndarray
    examples: dict[str, np.ndarray] = field(default_factory=dict)
    function: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Values of every pair of N networks: ``values`` maps a quantity (``distance``, ``barrier``, ``agreement``) to (N, N).

    Symmetric; NaN where a pair was not (yet) evaluated. ``info`` says what each quantity is, in a sentence.
    """

    names: tuple[str, ...]
    values: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of T networks: ``coordinates`` (T, K) in units of weight-space distance, ``explained`` (K,)
    shares of the variance, ``residuals`` (T,) distance of each network from the plane of the first two.

    ``null_explained`` (K,) and ``null_coordinates`` (T, K): the same of a random walk of T steps in as many dimensions,
    to compare with. ``origin`` is ``mean`` or ``last``.
    """

    names: tuple[str, ...]
    coordinates: np.ndarray
    explained: np.ndarray
    residuals: np.ndarray
    null_explained: np.ndarray
    null_coordinates: np.ndarray
    origin: str = "mean"
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Series:
    """Values over a number: ``x`` (S,); each array of ``values`` is (S,), or (R, S) for R lines over the same x.

    ``info`` says what was measured, on which data and how, and holds what was read off the values.
    """

    x: np.ndarray
    values: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Samples:
    """Networks that one method drew: N of them, chain after chain, in the order in which each chain drew them.

    ``z`` (N, K) are their coordinates in the subspace the method drew in, (N, 0) for a method that draws weights. ``plane``
    (N, 2) are their coordinates on the surface ``theatre`` (least squares), ``residual`` (N,) their Euclidean distances from
    that plane in weight space. ``chain`` (N,) counts from 0; ``log_density`` (N,) is NaN where the method has none.
    """

    z: np.ndarray
    plane: np.ndarray
    residual: np.ndarray
    chain: np.ndarray
    log_density: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Predictive:
    """What networks predict together, the mean over all of them.

    ``values`` are metrics on the test set. ``outputs`` (n, C) float32 are mean class probabilities, or means (n, D) in the
    raw unit of the targets; ``targets`` (n,) or (n, D). ``deviations`` of a regression are ``epistemic`` and ``aleatoric``
    standard deviations (n, D), empty otherwise. ``function`` as of ``Opened``, with ``epistemic`` and ``aleatoric`` (X,)
    beside ``mean``, or ``entropy`` (X, Y) in nats and ``disagreement`` (X, Y), the part of it that is between networks.
    """

    values: dict[str, float]
    outputs: np.ndarray
    targets: np.ndarray
    deviations: dict[str, np.ndarray] = field(default_factory=dict)
    function: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions of one source on data it was not trained on, all that is needed to judge them again in another way.

    ``kind`` is ``classes`` or ``regression``. ``test`` and ``validation`` hold arrays by name, float32 beside labels:
    ``{"probabilities": (n, C), "labels": (n,)}``, with ``"rows"`` (n,) the examples' positions in their set where only some
    of them are kept, and ``"disagreement"`` (n,) in nats where several draws were averaged; or, in the raw unit of the
    targets, ``{"mean", "epistemic", "aleatoric", "targets"}`` (n,) each. ``validation`` is empty where there is none.
    ``info``::

        {"label": str, "title": str, "source": row of catalog.SOURCES, "stored" or "file", "about": a sentence,
         "seed": int or None, "draws": networks averaged, "data": {"validation": n, "test": n}, "batchnorm": str,
         "run": key of the run its networks are from or None, "place": text of runs.where or None, "classes": [str],
         "temperature": fitted on validation or None, "said": [sentences]}
    """

    kind: str
    test: dict[str, np.ndarray]
    validation: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


TYPES = {kind.__name__: kind for kind in (Surface, Profile, History, Summary, Opened, Matrix, Components, Series, Samples,
                                          Predictive, Judged)}


def pack(result) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``(meta, arrays)``: a JSON object and a flat dict of arrays, from which ``unpack`` makes an equal result."""
    arrays: dict[str, np.ndarray] = {}

    def walk(value, path):
        if isinstance(value, np.ndarray):
            arrays[path] = value
            return {"__array__": path}
        if dataclasses.is_dataclass(value):
            return {f.name: walk(getattr(value, f.name), f"{path}/{f.name}") for f in dataclasses.fields(value)}
        if isinstance(value, dict):
            return {str(k): walk(v, f"{path}/{k}") for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(v, f"{path}/{i}") for i, v in enumerate(value)]
        return value.item() if isinstance(value, np.generic) else value

    name = type(result).__name__
    if name not in TYPES:
        raise TypeError(f"expected one of {', '.join(TYPES)}, found {name}")
    return {"type": name, "value": walk(result, name)}, arrays


def unpack(meta: dict[str, Any], arrays: dict[str, np.ndarray]):
    """The result that ``pack`` took apart."""

    def build(value):
        if isinstance(value, dict):
            return arrays[value["__array__"]] if "__array__" in value else {k: build(v) for k, v in value.items()}
        return [build(v) for v in value] if isinstance(value, list) else value

    fields = build(meta["value"])
    for name in ("axes", "marks", "names"):
        if name in fields:
            fields[name] = tuple(fields[name])
    if "marks" in fields:
        fields["marks"] = tuple(Mark(**mark) for mark in fields["marks"])
    return TYPES[meta["type"]](**fields)
