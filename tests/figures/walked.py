"""Results of an averaging run made by hand: every name that the page draws, with numbers that are known."""

from __future__ import annotations

import numpy as np

from landscape.results import METRICS, Components, History, Mark, Profile, Series, Summary, Surface
from landscape.settings import parse

SEEDS = ("seed 0", "seed 1", "seed 2", "seed 3", "seed 4")
EPOCHS, BRANCH, START = 40, 20, 30
DATA = {"data": {"train": 4000, "test": 1000}, "batchnorm": "none"}
INFO = DATA | {"angle": 63.0, "anchor_error": {"train_nll": 2e-7, "test_error": 0.0}, "final": True, "not_finite": 0,
               "cap": dict.fromkeys(METRICS, 2.5), "interpolation": {"held_out": 64, **dict.fromkeys(METRICS, 0.001)}}


def bowl(title: str, marks: dict[str, tuple[float, float]], side: float = 8.0, n: int = 41, lean: float = 1.2,
         **more) -> Surface:
    """Train loss and test error with minima that lie ``lean`` apart, on a square plane around the marks."""
    places = np.array(list(marks.values()))
    axes = tuple(np.linspace(c - side, c + side, n) for c in places.mean(axis=0))
    x, y = np.meshgrid(*axes, indexing="ij")
    cx, cy = places.mean(axis=0)

    def value(m, x, y):
        shift = lean if m.startswith("test") else 0.0
        far = (x - cx - shift) ** 2 + 0.4 * (y - cy - shift) ** 2 + 0.3 * x * np.sin(y / 3)
        return (0.26 if m.endswith("error") else 0.4) + (0.004 if m.endswith("error") else 0.02) * far

    values = {m: value(m, x, y) for m in METRICS}
    evaluated = np.zeros((n, n), bool)
    evaluated[::2, ::2] = True
    kinds = {"W_SWA": "average"}
    drawn = tuple(Mark(name, kinds.get(name, "point"), px, py, {m: float(value(m, px, py)) for m in METRICS})
                  for name, (px, py) in marks.items())
    minima = {}
    for m in ("train_loss", "test_error"):
        i, j = np.unravel_index(np.argmin(values[m]), (n, n))
        minima[m] = {"x": float(axes[0][i]), "y": float(axes[1][j]), "value": float(values[m][i, j])}
    info = INFO | {"title": title, "evaluations": int(evaluated.sum()), "cells": n * n, "minima": minima}
    return Surface(axes, values, evaluated, drawn, more.pop("path", None), info | more)


def history(name: str, low: float, first: int = 1) -> History:
    """Five seeds whose error falls towards ``low``, known from epoch ``first`` on."""
    epochs = np.arange(1, EPOCHS + 1)
    wave = np.random.default_rng(3).normal(0, 0.006, (5, EPOCHS))
    error = low + 0.4 * np.exp(-epochs / 8) + wave + 0.004 * np.arange(5)[:, None]
    error[:, : first - 1] = np.nan
    rate = parse("averaging", {}).plans(32)["sgd" if name == "sgd" else "constant"].rates[31 : 32 * EPOCHS : 32]
    return History(SEEDS, epochs, rate, {"test_error": error, "test_nll": 3 * error, "train_nll": 2 * error},
                   {"branch": BRANCH, "swa_start": START})


def walk() -> Surface:
    marks = {"W1": (0.0, 0.0), "W2": (9.0, 0.0), "W3": (4.0, 8.0), "W_SWA": (13 / 3, 8 / 3)}
    t = np.linspace(0, 1, 11)[:, None]
    path = np.where(t < 0.5, 2 * t * [9.0, 0.0], [9.0, 0.0] + (2 * t - 1) * [-5.0, 8.0])
    away = 3 * np.abs(np.sin(2 * np.pi * t[:, 0])) * (np.arange(11) % 5 > 0)
    return bowl("walk", marks, path=path, steps=list(range(START, EPOCHS + 1)), path_residuals=away.tolist())


def components(count: int = 21) -> Components:
    t = np.linspace(0, 1, count)
    z = np.stack([12 * t - 6, 3 * np.sin(np.pi * t), 0.5 * np.cos(9 * t)], axis=1)
    null = np.stack([np.cos(np.pi * t), 0.5 * np.cos(2 * np.pi * t), 0.2 * np.cos(3 * np.pi * t)], axis=1)
    return Components(tuple(f"epoch {i}" for i in range(count)), z, np.array([0.8, 0.1, 0.04]), 0.5 + t,
                      np.array([0.61, 0.15, 0.07]), null, info=dict(DATA))


def line() -> Profile:
    t = np.linspace(0, 1, 61)
    far = -30 + 60 * t
    return Profile("line", t, far, {"test_error": 0.26 + 1e-4 * (far - 2) ** 2, "train_loss": 0.5 + 1e-3 * (far + 6) ** 2,
                                    "test_nll": 0.8 + 1e-3 * far**2, "train_nll": 0.4 + 1e-3 * far**2,
                                    "train_error": 0.1 + 1e-5 * far**2})


def rays(count: int = 8) -> Series:
    x = np.linspace(0, 20, 21)
    steep = 1 + 0.1 * np.random.default_rng(0).random((count, 1))
    values = {}
    for name, low, factor in (("sgd", 0.28, 1.6), ("swa", 0.265, 1.0)):
        values[f"{name} test_error"] = low + 4e-4 * factor * steep * x**2
        values[f"{name} train_loss"] = 2 * low + 2e-3 * factor * steep * x**2
    width = {"sgd": {"test_error": {"median": 7.7, "low": 7.5, "high": 7.9}}, "swa": {
        "test_error": {"median": 9.7, "low": 9.4, "high": 10.0}}}
    return Series(x, values, DATA | {"normalisation": "unit", "width": width, "rise": {"test_error": 0.05}})


def width() -> Summary:
    def row(scale, rescaled=1.0):
        top = [{"value": scale * rescaled * v, "error": 1e-6} for v in (40.0, 31.0, 22.0, 14.0, 9.0)]
        return {"eigenvalues": top, "trace": {"value": 500 * scale * rescaled, "error": 12.0}, "sam": {
            "value": 0.4 * scale * rescaled**0.5, "error": 0.0}, "normalised curvature": {"value": 3 * scale, "error": 0.0},
            "ray width": {"value": 8 / scale / rescaled, "error": 0.2}}
    return Summary({"rows": {"sgd": row(1.0), "swa": row(0.6), "sgd rescaled": row(1.0, 55.0),
                             "swa rescaled": row(0.6, 55.0)},
                    "about": {"trace": "Sum of all eigenvalues: the mean curvature over all directions."}})


def table() -> Summary:
    rows = [{"method": m, "budget": b, "test_error": {"mean": e - 0.004 * b, "sd": 0.006, "n": 5},
             "test_nll": {"mean": 3 * e, "sd": 0.02, "n": 5}, "runs": ["walkparent000001"]}
            for m, e in (("SGD", 0.285), ("SWA", 0.266), ("FGE", 0.262)) for b in (1, 1.25, 1.5)]
    return Summary({"rows": rows, "verdict": ["SWA has the lower test error in 5 of 5 seeds."]})


def results() -> dict:
    """All of it by name, as ``recipes.averaging`` saves it."""
    ks, scale = np.array([1, 2, 5, 10]), np.geomspace(1 / 64, 2, 15)
    z = np.random.default_rng(1).normal(0, 3, 400)
    twin = bowl("twin", {"W_SGD": (9.0, 0.0), "W_SWA": (4.0, 5.0), "start (epoch 20)": (0.0, 0.0)})
    flat = {name: bowl(name, {name: (0.0, 0.0)}, lean=0.0) for name in ("W_SGD", "W_SWA")}
    return {
        "history:sgd": history("sgd", 0.28), "history:last": history("last", 0.32), "history:training": history("last", 0.3),
        "history:swa": history("swa", 0.26, START + 1), "history:prediction average": history("p", 0.275, START + 1),
        "surface:walk": walk(), "surface:twin": twin, "components": components(),
        "surface:pca": bowl("pca", {"W_SWA": (0.0, 0.0)}, path=components().coordinates[:, :2], steps=list(range(20, 41)),
                            path_residuals=components().residuals.tolist()),
        "profile:line": line(), "line": Summary({"distance": 17.0, "asymmetry": {"test_error": {
            "sgd_side": 14.2, "swa_side": 18.3, "rise": 0.02}}}),
        "rays": rays(), "surface:random sgd": flat["W_SGD"], "surface:random swa": flat["W_SWA"], "width": width(),
        "gap": Series(scale, {"gap": 0.4 * scale**2, "distance": 6 * scale}, DATA | {
            "slope": 2.0, "slope_error": 0.01, "correlation": 0.9987}),
        "function": Series(z, {"network with the mean weights": z + 0.1 * np.sin(z)}, dict(DATA)),
        "shells": Series(ks, {"measured radius": 10 / ks**0.3, "gaussian": 10 / ks**0.5, "iterates": 10 + 0.1 * z[:50],
                              "averages of 5": 6 + 0.1 * z[:40]}, {"d": 15210, "sigma": 10 / 15210**0.5}),
        "fge": Series(np.arange(1, 7), {"member error": np.full(6, 0.29), "ensemble error": 0.29 - 0.005 * np.arange(6),
                                        "swa of members": 0.29 - 0.0045 * np.arange(6)}, dict(DATA)),
        "fge:run": Series(np.linspace(0, 12, 121), {
            "rate": 0.1 + 0.1 * np.cos(np.pi * np.linspace(0, 12, 121)), "distance": np.sqrt(np.linspace(0, 12, 121)),
            "test_error": 0.3 + 0.02 * np.cos(np.pi * np.linspace(0, 12, 121))}, DATA | {"collected": [1, 3, 5, 7, 9, 11]}),
        "table": table(), "summary": Summary({"seeds": [0, 1, 2, 3, 4], "test_error": {"sgd": [0.28], "swa": [0.26]}}),
    }
