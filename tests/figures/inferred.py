"""Results of a posterior run made by hand: every name that the page draws, with numbers that are known."""

from __future__ import annotations

import numpy as np

from landscape.results import Mark, Predictive, Samples, Series, Summary, Surface

DATA = {"data": {"train": 400, "test": 400}, "batchnorm": "none"}
MEAN, COVARIANCE = np.array([0.3, -0.2]), np.array([[1.0, 0.55], [0.55, 0.7]])
METHODS = ("ess", "nuts", "swag", "ensemble", "multiswag")


def theatre(n: int = 65, curved: float = 0.35) -> Surface:
    """A bent Gaussian: log density known in closed form."""
    axes = tuple(np.linspace(-4.2, 4.2, n) + c for c in MEAN)
    x, y = np.meshgrid(*axes, indexing="ij")
    inverse = np.linalg.inv(COVARIANCE)
    at = np.stack([x - MEAN[0], y - MEAN[1] - curved * ((x - MEAN[0]) ** 2 - 1)], axis=-1)
    density = -0.5 * np.einsum("xyi,ij,xyj->xy", at, inverse, at)
    p = np.exp(density)
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    values = {"log_density": density - 412.0, "density": p / (p.sum() * cell), "train_nll": 0.09 - density / 400}
    marks = (Mark("W_SWA", "average", 0.0, 0.0, {"train_nll": 0.0912}), Mark("W1", "point", 1.4, 0.9, {"train_nll": 0.094}))
    return Surface(
        axes,
        values,
        np.ones((n, n), bool),
        marks,
        None,
        DATA
        | {
            "title": "Posterior of a plane",
            "anchor_error": {"train_nll": 3e-7},
            "evaluations": n * n,
            "cells": n * n,
            "final": True,
            "not_finite": 0,
            "temperature": 1.0,
            "prior_std": 1.0,
            "prior": "coordinates",
            "space": {
                "kind": "pca",
                "dimension": 2,
                "scaling": "singular values",
                "explained": [0.62, 0.17, 0.08, 0.05],
                "lengths": [3.2, 1.7],
            },
            "said": [
                "The log-likelihood is the sum over 400 training examples, divided by T = 1; the prior is N(0, 1) on the "
                "coordinates."
            ],
        },
    )


def samples(name: str, count: int = 400, chains: int = 4, seed: int = 0, **info) -> Samples:
    """Exact draws of the bent Gaussian, in several chains."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(np.zeros(2), COVARIANCE, count)
    z[:, 1] += 0.35 * (z[:, 0] ** 2 - 1)
    z += MEAN
    away = np.zeros(count) if name in ("ess", "nuts") else 2 + rng.random(count)
    told = {
        "label": name,
        "draws": count // chains,
        "chains": chains,
        "final": True,
        "tv": 0.034,
        "tv_floor": 0.031,
        "moment_error": {"mean": 0.02, "covariance": 0.03},
        "rhat": 1.004,
        "ess": 310.0,
        "function": {"rhat": 1.002, "ess": 350.0},
        "acceptance": 1.0,
        "cpu_seconds": 1.4,
        "gradient_evaluations": 0,
        "value_evaluations": 8123,
        "said": [],
    }
    return Samples(
        z, z.copy(), away, np.repeat(np.arange(chains), -(-count // chains))[:count], rng.normal(size=count), told | info
    )


def swag() -> Samples:
    return samples(
        "swag",
        30,
        1,
        3,
        tv=None,
        rhat=None,
        ess=None,
        function=None,
        acceptance=None,
        moment_error=None,
        ellipse={"mean": [0.0, 0.0], "covariance": [[1.4, 0.3], [0.3, 0.5]]},
    )


def regression(name: str = "ess", widen: float = 2.5) -> Predictive:
    """A band that is ``widen`` times as wide in the middle of a gap as at the data."""
    x = np.linspace(-10, 10, 241)
    rng = np.random.default_rng(1)
    train_x = np.concatenate([rng.uniform(a, b, 60) for a, b in ((-7.2, -4.8), (-1.2, 1.2), (4.8, 7.2))])
    mean = np.sin(1.1 * x) + x**2 / 25 - 0.8
    near = np.abs(x[:, None] - train_x).min(axis=1)
    epistemic = 0.05 * (1 + (widen - 1) * np.minimum(near / 1.8, 1))
    targets = rng.normal(size=(40, 1))
    return Predictive(
        {"nll": 0.02 + 0.01 * len(name), "error": 0.25},
        targets.astype(np.float32),
        targets,
        {"epistemic": np.full((40, 1), 0.06), "aleatoric": np.full((40, 1), 0.22)},
        {
            "x": x,
            "mean": mean,
            "epistemic": epistemic,
            "aleatoric": np.full_like(x, 0.05**0.5),
            "train_x": train_x,
            "train_y": np.sin(1.1 * train_x) + train_x**2 / 25 - 0.8 + rng.normal(0, 0.2, 180),
        },
        DATA | {"kind": "regression", "task": "regression", "gaps": [[-4.8, -1.2], [1.2, 4.8]], "draws": 200},
    )


def plane(name: str = "ess", sure: float = 3.0) -> Predictive:
    """Two classes told apart by a wave; unsure where the wave is near, and far from the data."""
    x, y = np.linspace(-2, 3, 60), np.linspace(-1.6, 2.1, 50)
    X, Y = np.meshgrid(x, y, indexing="ij")
    p = 1 / (1 + np.exp(-sure * (Y - 0.25 - 0.45 * np.cos(np.pi * X))))
    both = np.stack([p, 1 - p], axis=-1)
    entropy = -(both * np.log(np.maximum(both, 1e-38))).sum(axis=-1)
    rng = np.random.default_rng(2)
    train = np.stack([rng.uniform(-1.2, 2.2, 120), rng.uniform(-0.8, 1.3, 120)], axis=1)
    classes = (train[:, 1] < 0.25 + 0.45 * np.cos(np.pi * train[:, 0])).astype(int)
    test = 1 / (1 + np.exp(-sure * rng.normal(size=200)))
    return Predictive(
        {"nll": 0.3, "error": 0.1, "ece": 0.02, "brier": 0.14},
        np.stack([test, 1 - test], axis=1).astype(np.float32),
        (rng.random(200) > test).astype(int),
        {},
        {
            "x": x,
            "y": y,
            "probabilities": both,
            "entropy": entropy,
            "disagreement": 0.3 * entropy,
            "train_x": train,
            "train_y": classes,
        },
        {
            "data": {"train": 200, "test": 200},
            "batchnorm": "none",
            "kind": "classification",
            "task": "moons",
            "classes": ["upper", "lower"],
            "draws": 200,
        },
    )


def table(kind: str = "regression") -> Summary:
    def number(mean, sd=0.004, n=5):
        return {"mean": mean, "sd": sd, "n": n}

    rows = [
        {
            "label": name,
            "method": name,
            "n": 5,
            "failed": None,
            "seeds": [[0], [1]],
            "nll": number(0.05 + 0.02 * i),
            "error": number(0.24 + 0.003 * i),
            "cpu_seconds": number(1.5 + i),
            "gradient_evaluations": number(12000.0 * (name == "nuts")),
            "rhat": 1.003,
            "ess": 310.0,
            "tv": 0.034 if name in ("ess", "nuts") else None,
        }
        | (
            {}
            if kind == "regression"
            else {"ece": number(0.02 + 0.01 * i), "brier": number(0.1 + 0.01 * i), "agreement": number(0.95 - 0.01 * i)}
        )
        for i, name in enumerate(METHODS)
    ]
    rows.append({"label": "flow", "method": "flow", "n": 0, "failed": "The flow diverged in step 12: lower its rate."})
    return Summary(
        {
            "rows": rows,
            "reference": "nuts",
            "seeds": [0, 1, 2, 3, 4],
            "verdict": ["MultiSWAG has a lower NLL than the ensemble in 5 of 5 seeds."],
        }
    )


def sweep() -> Series:
    x = np.array([0.03, 0.1, 0.3, 1, 3, 10])
    nll = 0.05 + 0.02 * np.log(x / 0.3) ** 2
    return Series(
        x,
        {"test_nll": nll, "test_error": 0.25 + nll / 10, "train_nll": nll / 2, "gap_ratio": 2 + x / 5},
        DATA | {"marked": 1.0, "label": "ess", "said": []},
    )


def members() -> Series:
    x, values = np.arange(1, 6), {}
    for name, start in {"ensemble": 0.9, "multiswa": 0.8, "multiswag": 0.76}.items():
        groups = start - 0.1 * np.log(x) + 0.01 * np.arange(3)[:, None]
        values |= {f"{name} nll": groups.mean(axis=0), f"{name} nll by group": groups}
    return Series(x, values, DATA | {"groups": 3})


def traces(seed: int = 5) -> Series:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(4, 100))
    return Series(
        np.arange(1, 101), {"z1": z, "z2": rng.normal(size=(4, 100)), "log_density": -0.5 * z**2}, DATA | {"chains": 4}
    )


def loss() -> Surface:
    """The train NLL and test error on the plane of the theatre, with a walk."""
    n, far = 41, 6.0
    axes = (np.linspace(-far, far, n), np.linspace(-far, far, n))
    x, y = np.meshgrid(*axes, indexing="ij")
    bowl = 0.09 + 0.01 * (x**2 + 2 * y**2 + x * y)
    angle = np.linspace(0, 5, 12)
    path = np.stack([3 * np.cos(angle), 2 * np.sin(angle)], axis=1)
    values = {"train_nll": bowl, "train_loss": bowl + 0.01, "test_nll": bowl * 1.1, "test_error": 0.2 + bowl / 10}
    marks = (
        Mark("W_SGD", "optimum", 1.0, -0.4, dict.fromkeys(values, 0.1)),
        Mark("W_SWA", "average", 0.0, 0.0, dict.fromkeys(values, 0.09)),
    )
    return Surface(
        axes,
        values,
        np.ones((n, n), bool),
        marks,
        path,
        DATA
        | {
            "anchor_error": {"train_nll": 1e-7},
            "evaluations": n * n,
            "cells": n * n,
            "final": True,
            "not_finite": 0,
            "units": "coordinates",
            "lengths": [3.2, 1.7],
            "subspace": "pca",
            "path_residuals": [0.5] * 12,
            "steps": list(range(12)),
        },
    )


def results(kind: str = "regression") -> dict:
    one = regression if kind == "regression" else plane
    spread = {"ess": 2.6, "nuts": 2.5, "swag": 1.1, "ensemble": 5.0, "multiswag": 5.2, "ess random": 1.05, "ess curve": 3.9}
    return {
        "surface:theatre": theatre(),
        "surface:loss": loss(),
        "samples:ess": samples("ess"),
        "samples:nuts": samples("nuts", seed=2),
        "samples:swag": swag(),
        "samples:ensemble": samples("ensemble", 3, 1, 4, tv=None, rhat=None, acceptance=None, function=None, ess=None),
        **{f"predictive:{n}": one(n, v) for n, v in spread.items()},
        "traces:ess": traces(),
        "traces:nuts": traces(6),
        "reference": Summary({"label": "nuts", "said": "Agreement and total variation are to the predictions of NUTS."}),
        "table": table(kind),
        "sweep:temperature": sweep(),
        "sweep:prior": sweep(),
        "members": members(),
        "summary": Summary({"task": kind, "subspace": {"kind": "pca", "dimension": 2}, "methods": {}, "cpu_seconds": 41.0}),
    }
