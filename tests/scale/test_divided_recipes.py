"""Real recipes on two workers that help each other: every result and every weight as computed in one process."""

from __future__ import annotations

import keeping
import pytest
from distributed import Client
from sameness import assert_same

IMPORTS = "torch,torch._dynamo,landscape.recipes.planes,landscape.recipes.posterior"
VALLEYS = {"task": "digits", "epochs": 3, "curve_epochs": 3, "grid": 25, "widths": (128, 128), "seeds": (0, 1, 2),
           "picture": "exact"}
POSTERIOR = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "curve_epochs": 8, "grid": 17, "members": 2,
             "subspace": "pca", "methods": ("ess",), "draws": 40, "chains": 2, "side_draws": 60, "warmup": 60,
             "temperatures": (1.0, 3.0, 10.0, 30.0, 100.0), "prior_stds": (), "compared": (), "reference": None}


def helped(address: str) -> set[str]:
    """The functions that workers have done parts with."""
    with Client(address, timeout=20, set_as_default=False) as client:
        return {name.split("+")[0] for names in client.run(keeping.kept).values() for name in names}


@pytest.mark.parametrize(("recipe", "settings", "function"), [
    ("valleys", VALLEYS, "landscape.recipes.elsewhere:evaluating"),
    ("posterior", POSTERIOR, "landscape.recipes.inferred.sweeps:elsewhere")])
def test_divided_runs_equal_undivided_ones(shop, cluster, undisturbed, recipe, settings, function):
    key = cluster.jobs(shop).submit(recipe, settings)
    assert shop.ended(key, 120).status == "done", shop.library.run(key).message + shop.library.detail(key)
    assert function in helped(cluster.address)
    assert_same(shop.library, undisturbed(recipe, **settings)[0], key)
