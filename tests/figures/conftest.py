"""Fixtures made of the results in ``drawn``."""

import numpy as np
import pytest
from drawn import Shelf, make_profile, make_surface

from landscape.results import History, Summary


@pytest.fixture
def surface():
    return make_surface()


@pytest.fixture
def profiles():
    return {kind: make_profile(kind, top) for kind, top in (("segment", 2.36), ("bezier", 0.25), ("chain", 0.24))}


@pytest.fixture
def training():
    values = np.geomspace(2, [0.1, 0.2, 0.3], 20).T.copy()
    values[2, 12:] = np.nan
    return History(("seed 0", "seed 1", "seed 2"), np.arange(1, 21), np.full(20, 0.1),
                   {"train_loss": values, "train_error": values / 3})


@pytest.fixture
def library(surface, profiles, training):
    return Shelf({"surface:bezier": surface, "surface:optima": surface, "history:training": training,
                  **{f"profile:{k}": p for k, p in profiles.items()},
                  "summary": Summary({"task": "mnist1d", "anchor_error": 1e-7, "train_loss": {
                      "ends": [0.1, 0.2], "line_max": 2.36, "bezier_max": 0.25, "chain_max": 0.24}})})
