"""The loss on the plane of the theatre, wide enough for SGD's walk or for the whole curve."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from landscape.recipes.averaged.curves import batchnorm
from landscape.recipes.inferred.draws import plane_of
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.planes import Plane, draw

CURVE_POINTS = 61  # of the curve drawn on its plane
TITLES = {"pca": "The loss on the first two principal components of the trained networks",
          "random": "The loss on two random directions through a trained network",
          "curve": "The loss on the plane of the trained curve"}


def loss(ground: Ground, context) -> Iterator[None]:
    """Evaluate and save ``surface:loss``, level by level."""
    s, stage = ground.settings, ground.stage
    flat, lengths = plane_of(stage), list(stage.info["lengths"][:2])
    said = {"task": s.task, "seed": ground.walk.seeds[0], "batchnorm": batchnorm(ground.task), "units": "coordinates",
            "lengths": lengths, "subspace": stage.kind}
    path, reach = None, None
    if stage.kind == "curve":
        path = flat.project(ground.curve.at(torch.linspace(0, 1, CURVE_POINTS)).double()).numpy()
    elif stage.kind == "pca":
        weights, told = ground.walk.path()
        if weights is not None:
            path = flat.project(weights).numpy()
            said |= told | {"path_residuals": flat.residual(weights).tolist()}
    else:  # in random directions everything else is near the middle
        reach = ground.walk.reach() / float(np.mean(lengths))
    plane = Plane("loss", TITLES[stage.kind], ground.task, flat, ground.marks(), path, None, said, reach=reach)
    return draw(plane, context, s.grid, s.margin, "adaptive", s.tolerance)
