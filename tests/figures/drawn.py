"""Small results with known numbers."""

from types import SimpleNamespace

import numpy as np

from landscape.errors import unknown
from landscape.results import METRICS, Mark, Profile, Surface


def make_surface(side: int = 31, final: bool = True, anchor: float = 1e-7, hole: bool = True) -> Surface:
    """Two wells at (0, 0) and (10, 0): train loss 0.1 plus a smooth bump between, above 2.0 far away."""
    x, y = np.linspace(-3, 13, side), np.linspace(-4, 8, side - 6)
    X, Y = np.meshgrid(x, y, indexing="ij")
    bowl = 0.1 + 0.03 * np.minimum(X**2 + Y**2, (X - 10) ** 2 + Y**2)
    values = {m: bowl * (0.3 if m.endswith("error") else 1.0) for m in METRICS}
    if hole:
        values = {m: v.copy() for m, v in values.items()}
        for v in values.values():
            v[2, 3] = np.nan
    evaluated = np.zeros(X.shape, bool)
    evaluated[::3, ::3] = True
    marks = tuple(Mark(name, kind, px, py, {m: 0.1 for m in METRICS}, residual) for name, kind, px, py, residual in (
        ("w1 (seed 0)", "end", 0.0, 0.0, 0.0), ("w2 (seed 1)", "end", 10.0, 0.0, 0.0), ("bend", "bend", 5.0, 6.0, 2.0)))
    t = np.linspace(0, 1, 61)[:, None]
    path = (1 - t) ** 2 * [0, 0] + 2 * t * (1 - t) * [5, 6] + t**2 * [10, 0]
    return Surface((x, y), values, evaluated, marks, path, {
        "title": "Bezier curve", "angle": 48.2, "anchor_error": {"train_nll": anchor, "test_error": 0.0},
        "data": {"train": 4000, "test": 1000}, "batchnorm": "none", "evaluations": int(evaluated.sum()),
        "cells": int(evaluated.size), "final": final, "not_finite": 0, "cap": dict.fromkeys(METRICS, 2.0),
        "interpolation": {"held_out": 128, **{m: 0.0002 if m == "train_loss" else 0.016 for m in METRICS}}})


def make_profile(kind: str, top: float) -> Profile:
    t = np.linspace(0, 1, 61)
    values = {m: 0.1 + (top - 0.1) * 4 * t * (1 - t) for m in METRICS}
    y = np.zeros(61) if kind == "segment" else 12 * t * (1 - t)
    planes = ("optima", "bezier", "chain") if kind == "segment" else (kind,)
    return Profile(kind, t, 10 * t, values, {plane: np.stack([10 * t, y], axis=1) for plane in planes})


class Shelf:
    """A library of one run, read as ``landscape.runs.Library`` is."""

    def __init__(self, results):
        self.results = results

    def run(self, key):
        if key != "0123456789abcdef":
            raise unknown("run", key, ["0123456789abcdef"])
        return SimpleNamespace(key=key, recipe="valleys", title="Valleys <mnist1d>",
                               settings={"lr": 0.1, "widths": [100, 100]},
                               parents=("aaaa",), status="done", created=0.0, finished=3600.0, cpu_seconds=12.5)

    def result(self, key, name):
        return self.results.get(name)

    inherited = result
