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
CHAINS = POSTERIOR | {"methods": ("ess", "hmc"), "chains": 36, "draws": 30, "weight_draws": 6, "weight_warmup": 8,
                      "temperatures": (), "warmup": 30}
LONG_CHAINS = CHAINS | {"methods": ("ess",), "chains": 64, "draws": 240}
TRAINING = {"task": "mnist1d", "widths": (64, 64), "epochs": 40, "seeds": (0, 1, 2, 3, 4)}
WALK = {"task": "mnist5k", "norm": "batch", "widths": (8, 8), "train_size": 512, "epochs": 6, "seeds": (0, 1, 2)}


def helped(address: str) -> set[str]:
    """The works that workers have done parts of: the function, and the tokens of what it needs."""
    with Client(address, timeout=20, set_as_default=False) as client:
        return {name for names in client.run(keeping.kept).values() for name in names}


@pytest.mark.parametrize(("recipe", "settings", "function"), [
    ("valleys", VALLEYS, "landscape.recipes.elsewhere:evaluating"),
    ("posterior", POSTERIOR, "landscape.recipes.inferred.sweeps:elsewhere"),
    ("posterior", CHAINS, "landscape.recipes.inferred.chains:elsewhere"),
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


HELPER, OWNER = "the one that helps", "the one that has the job"


def kill(shop, cluster, key: str, which: str) -> None:
    """End one of the two workers while both are at work on a run."""
    own = shop.library.attempts(key)[0]["pid"]
    with Client(cluster.address, timeout=20, set_as_default=False) as client:
        pids = set(client.run(os.getpid).values())
    assert own in pids
    assert shop.library.run(key).status == "running"
    for pid in pids - {own} if which == HELPER else {own}:
        psutil.Process(pid).kill()


def assert_went_on(shop, undisturbed, key: str, which: str, recipe: str, settings: dict) -> None:
    assert shop.ended(key, 120).status == "done", shop.library.run(key).message + shop.library.detail(key)
    assert len(shop.library.attempts(key)) == (1 if which == HELPER else 2)
    with threaded(1):
        reference = undisturbed(recipe, **settings)[0]
    assert_same(shop.library, reference, key)


@pytest.mark.parametrize("which", [HELPER, OWNER])
def test_a_training_goes_on_without_the_worker_that_is_killed(shop, cluster, undisturbed, which):
    settings = TRAINING | {"epochs": 80, "seeds": (5, 6, 7, 8, 9) if which == HELPER else (6, 7, 8, 9, 10)}
    before = helped(cluster.address)
    key = cluster.jobs(shop).submit("training", settings)
    shop.until(lambda: helped(cluster.address) - before, 60)
    kill(shop, cluster, key, which)
    assert_went_on(shop, undisturbed, key, which, "training", settings)


@pytest.mark.parametrize("which", [HELPER, OWNER])
def test_chains_go_on_without_the_worker_that_is_killed(shop, cluster, undisturbed, which):
    settings = LONG_CHAINS | {"seed": 1 if which == HELPER else 2}
    before = helped(cluster.address)
    key = cluster.jobs(shop).submit("posterior", settings)
    shop.until(lambda: any("inferred.chains" in name for name in helped(cluster.address) - before), 60)
    shop.until(lambda: any(name.startswith("state-chains-") for name in shop.library.weight_names(key)), 60)
    kill(shop, cluster, key, which)
    assert_went_on(shop, undisturbed, key, which, "posterior", settings)
    assert not any(name.startswith("state-") for name in shop.library.weight_names(key))
