"""Averages in function space and in weight space: f(mean w) against the mean of f(w), and how far averages lie inside."""

from __future__ import annotations

import numpy as np
import torch

from landscape.geometry.averaging import averaging_gap
from landscape.geometry.shells import gaussian_shells, iterate_shells
from landscape.recipes.averaged.curves import batchnorm, of_one
from landscape.recipes.walks import Walked
from landscape.results import Series
from landscape.settings_averaging import Averaging
from landscape.training.averaging import Trajectory

PAIRS = 2000  # outputs in the scatter
AVERAGED = (2, 3, 5, 10, 20)  # numbers of iterates in a row that are averaged
GROUPS = 40  # of Gaussian samples, to compare with
CENTRE = 10  # Gaussian samples that are averaged


def gap(walk: Walked, context) -> Series:
    """Saves ``gap`` and ``function``; returns the former. Of the snapshots that SWA averages, on the test set."""
    before = context.load("gap")
    if before is not None and context.load("function") is not None:
        return before
    found = averaging_gap(walk.task, of_one(walk.snapshots.weights, 0).to(walk.task.splits["test"][0]),
                          progress=lambda done, total: context.progress("gap", done, total))
    info = {"slope": found.slope, "slope_error": found.slope_error, "correlation": found.correlation, "space": found.space,
            "networks": len(walk.snapshots), "data": {"test": len(found.of_mean)}, "seed": walk.seeds[0],
            "x": "scale of the steps", "batchnorm": batchnorm(walk.task)}
    values = {"gap": found.gaps, "distance": found.steps, "spread": found.spread, "fitted": found.fitted.astype(float)}
    made = Series(found.scales, values, {k: _plain(v) for k, v in info.items()})
    context.save("gap", made)
    mean_of, of_mean = found.mean_of.ravel(), found.of_mean.ravel()
    thin = np.unique(np.linspace(0, len(mean_of) - 1, min(PAIRS, len(mean_of))).round().astype(int))
    context.save("function", Series(mean_of[thin], {"network with the mean weights": of_mean[thin]}, {
        "x": "mean of the networks' outputs", "correlation": _plain(found.correlation), "space": found.space,
        "shown": len(thin), "of": len(mean_of), "seed": walk.seeds[0], "data": {"test": len(found.of_mean)}}))
    return made


def shells(s: Averaging, walk: Walked, longer: Trajectory | None, context) -> Series:
    """Saves and returns ``shells``: distances of iterates and of their averages from the mean, beside a Gaussian's.

    Of all snapshots that are averaged, to the end of the largest budget (``longer``, those beyond the first). ``measured
    radius`` is a root mean square, as the Gaussian's is.
    """
    before = context.load("shells")
    if before is not None:
        return before
    size, weights = walk.task.net.size, of_one(walk.snapshots.weights, 0)
    if longer is not None:
        more = of_one(longer.weights, 0)
        weights = torch.cat([weights, more[more.isfinite().all(1)]])
    found = iterate_shells(weights, size, AVERAGED)
    k = [1, *found.averages]
    single = np.sqrt((found.radii**2).mean())
    sampled = gaussian_shells(size, CENTRE, GROUPS, found.sigma, s.ray_seed,
                              lambda done, total: context.progress("shells", done, total))
    rms = {n: np.sqrt((radii**2).mean()) for n, radii in found.averages.items()}
    values = {"measured radius": np.array([single, *rms.values()]), "gaussian": np.array([found.expected[n] for n in k]),
              "independent": np.array([single, *found.independent.values()]),
              "gain": np.array([0.0, *(gain.mean() for gain in found.gain.values())]), "iterates": found.radii,
              "sampled": sampled.radii, f"sampled averages of {CENTRE}": sampled.averages[CENTRE]}
    values |= {f"averages of {n}": radii for n, radii in found.averages.items()}
    made = Series(np.array(k, float), values, {
        "d": size, "sigma": found.sigma, "effective": found.effective, "iterates": len(found.radii), "seed": walk.seeds[0],
        "x": "number of iterates averaged", "gain": "nats of log density of the Gaussian with this mean and sigma"})
    context.save("shells", made)
    return made


def _plain(value):
    return float(value) if isinstance(value, float | np.floating) else value
