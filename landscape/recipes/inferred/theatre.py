"""The theatre: the exact posterior of the first two coordinates on a grid, by which draws are judged."""

from __future__ import annotations

import numpy as np
import torch

from landscape.errors import BadInput, Diverged
from landscape.posteriors import grid
from landscape.posteriors.method import Draws
from landscape.recipes.averaged.curves import batchnorm
from landscape.recipes.inferred.draws import plane_of
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.inferred.labels import Label
from landscape.results import Mark, Surface

NAME = "surface:theatre"
TITLE = "The exact posterior of two coordinates"


class Theatre:
    """Draws ``surface:theatre`` and compares draws with it; what an earlier attempt has saved is read again."""

    def __init__(self, ground: Ground, context):
        self.ground, self.context = ground, context
        self.target = ground.target(ground.stage)
        self.grid: grid.Grid | None = None
        self.lacking = ground.missing  # why there is no theatre; the plane of pictures is then none of this posterior's

    def draw(self) -> None:
        """Where the density cannot be computed, that is said, and methods are held against nothing."""
        if not self.lacking:
            try:
                self._draw()
            except (BadInput, Diverged) as error:
                self.lacking = str(error)
        self.context.progress(NAME, 1, 1)

    def _draw(self) -> None:
        before = self.context.load(NAME)
        if before is None:
            found = grid.exact(self.target, self.ground.settings.grid, known=self._known(),
                               progress=lambda done, total: self.context.progress(NAME, done, 2 * total))
            self.context.save(NAME, self._surface(found))
            before = self.context.load(NAME)  # as an attempt after this one would read it: equal to the last bit
        v, n = before.values, len(self.ground.task.splits["train"][0])
        likelihood = -v["train_nll"] * n / self.target.temperature
        self.grid = grid.Grid(*before.axes, likelihood, v["log_prior"], dict(before.info["grid"]))

    def compared(self, label: Label, draws: Draws) -> dict:
        """``{"tv", "tv_floor", "moment_error"}`` of draws from the density that the grid holds; empty for all others."""
        own = label.over == "subspace" and label.subspace == self.ground.settings.subspace
        if not own or draws.space.ndim != 2 or self.grid is None:
            return {}
        z = draws.flat
        tv, errors = self.grid.total_variation(z), self.grid.moment_errors(z)
        return {"tv": tv.value, "tv_floor": tv.floor, "tv_cells": tv.cells, "tv_draws": tv.draws, "moment_error": errors}

    def _surface(self, found: grid.Grid) -> Surface:
        task, target, stage = self.ground.task, self.target, self.ground.stage
        n = len(task.splits["train"][0])
        values = {"log_density": found.log_density, "density": found.density, "log_prior": found.log_prior,
                  "train_nll": -found.log_likelihood * target.temperature / n}
        marks, anchor = self._marks(found)
        levels = {f"{100 * share:g}": float(np.exp(level)) for share, level in found.levels().items()}
        info = {
            "title": TITLE, "task": self.ground.settings.task, "seed": self.ground.walk.seeds[0],
            "subspace": stage.kind, "dimension": stage.ndim, "scaling": stage.scaling, "units": "coordinates",
            "lengths": list(stage.info["lengths"][:2]), "explained": stage.info.get("explained"),
            "words": [stage.info["said"]],
            "mass": levels, "moments": {"mean": found.mean.tolist(), "covariance": found.covariance.tolist()},
            "log_evidence": found.log_evidence, "target": target.said, "temperature": target.temperature,
            "prior_std": target.prior_std, "prior": target.prior, "anchor_error": anchor, "border": found.border,
            "widened": found.info["widened"], "masked": found.info["masked"], "slice": found.info["slice"],
            "said": found.info["said"], "grid": found.info, "evaluations": found.info["evaluations"],
            "cells": int(found.density.size), "data": {"train": n}, "batchnorm": batchnorm(task), "final": True}
        return Surface((found.x, found.y), values, np.ones(found.density.shape, bool), marks, None, info)

    def _known(self) -> torch.Tensor:
        """Feet (n, 2) of the trained networks, where the density may be too narrow for a coarse grid to see."""
        return plane_of(self.ground.stage).project(torch.stack([each.cpu() for _, _, each in self.ground.marks()]))

    def _marks(self, found: grid.Grid) -> tuple[tuple[Mark, ...], dict[str, float]]:
        """The trained networks at their feet in the plane, and how far the grid's way of evaluating is from the direct one
        there: the largest difference in mean train NLL."""
        task, flat = self.ground.task, plane_of(self.ground.stage)
        named = self.ground.marks()
        w = torch.stack([each.cpu() for _, _, each in named])
        z, residual = flat.project(w), flat.residual(w)
        like = task.splits["train"][0]
        own = task.evaluate(w.to(like.device, task.dtype), "train")["nll"].numpy()
        feet = task.evaluate(flat.lift(z).to(like.device, task.dtype), "train")["nll"].numpy()
        z_full = torch.zeros(len(z), self.target.ndim, dtype=torch.float64)
        z_full[:, :2] = z
        drawn = -self.target.log_likelihood(z_full).cpu().numpy() * self.target.temperature / len(like)
        marks = tuple(Mark(name, kind, float(z[i, 0]), float(z[i, 1]), {"train_nll": float(own[i])}, float(residual[i]))
                      for i, (name, kind, _) in enumerate(named))
        return marks, {"train_nll": float(np.abs(drawn - feet).max())}
