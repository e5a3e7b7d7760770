"""Real recipes on two workers that help each other: every result and every weight as computed in one process."""

from __future__ import annotations

import os

import keeping
import psutil
import pytest
from distributed import Client
from sameness import assert_same

from landscape.recipes.elsewhere import threaded

IMPORTS = "torch,torch._dynamo,landscape.recipes.planes,landscape.recipes.posterior"
VALLEYS = {"task": "digits", "epochs": 3, "curve_epochs": 3, "grid": 25, "widths": (128, 128), "seeds": (0, 1, 2),
           "picture": "exact"}
POSTERIOR = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "curve_epochs": 8, "grid": 17, "members": 2,
             "subspace": "pca", "methods": ("ess",), "draws": 40, "chains": 2, "side_draws": 60, "warmup": 60,
             "temperatures": (1.0, 3.0, 10.0, 30.0, 100.0), "prior_stds": (), "compared": (), "reference": None}
TRAINING = {"task": "mnist1d", "widths": (64, 64), "epochs": 40, "seeds": (0, 1, 2, 3, 4)}
WALK = {"task": "mnist5k", "norm": "batch", "widths": (8, 8), "train_size": 512, "epochs": 6, "seeds": (0, 1, 2)}


def helped(address: str) -> set[str]:
    """The works that workers have done parts of: the function, and the tokens of what it needs."""
    with Client(address, timeout=20, set_as_default=False) as client:
        return {name for names in client.run(keeping.kept).values() for name in names}


@pytest.mark.parametrize(("recipe", "settings", "function"), [
    ("valleys", VALLEYS, "landscape.recipes.elsewhere:evaluating"),
    ("posterior", POSTERIOR, "landscape.recipes.inferred.sweeps:elsewhere"),
    ("training", TRAINING, "landscape.recipes.seeds:elsewhere"),
    ("walk", WALK, "landscape.recipes.seeds:elsewhere")])
def test_divided_runs_equal_undivided_ones(shop, cluster, undisturbed, recipe, settings, function):
    before = helped(cluster.address)
    key = cluster.jobs(shop).submit(recipe, settings)
    assert shop.ended(key, 120).status == "done", shop.library.run(key).message + shop.library.detail(key)
    assert function in {name.split("+")[0] for name in helped(cluster.address) - before}
    with threaded(1):  # as Dask has it in its workers: the last bit of a convolution's gradient depends on it
        reference = undisturbed(recipe, **settings)[0]
    assert_same(shop.library, reference, key)


@pytest.mark.parametrize("which", ["the one that helps", "the one that has the job"])
def test_a_training_goes_on_without_the_worker_that_is_killed(shop, cluster, undisturbed, which):
    settings = TRAINING | {"epochs": 80, "seeds": (5, 6, 7, 8, 9) if which == "the one that helps" else (6, 7, 8, 9, 10)}
    before = helped(cluster.address)
    key = cluster.jobs(shop).submit("training", settings)
    shop.until(lambda: helped(cluster.address) - before, 60)
    own = shop.library.attempts(key)[0]["pid"]
    with Client(cluster.address, timeout=20, set_as_default=False) as client:
        pids = set(client.run(os.getpid).values())
    assert own in pids
    assert shop.library.run(key).status == "running"
    for pid in pids - {own} if which == "the one that helps" else {own}:
        psutil.Process(pid).kill()
    assert shop.ended(key, 120).status == "done", shop.library.run(key).message + shop.library.detail(key)
    assert len(shop.library.attempts(key)) == (1 if which == "the one that helps" else 2)
    with threaded(1):
        reference = undisturbed("training", **settings)[0]
    assert_same(shop.library, reference, key)
