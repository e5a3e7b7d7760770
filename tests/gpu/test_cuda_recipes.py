"""On a GPU: whole recipes, small ones, from their settings to their results, and what is asked of a finished run."""

import pytest
import torch

from bench import gpu
from landscape import catalog
from landscape.recipes import bill, costs, opening, probing
from landscape.recipes.places import places_of
from landscape.runs import Library
from landscape.runs.context import Reader
from landscape.runs.local import compute_here
from landscape.runs.shelf import Shelf
from landscape.settings import parse

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use")
WALK = {"task": "moons", "epochs": 16, "widths": (4, 4), "train_size": 60, "seeds": (0, 1)}
RUNS = {
    "valleys": {"epochs": 2, "curve_epochs": 1, "grid": 5, "widths": (6, 4), "train_size": 80, "picture": "exact"},
    "averaging": WALK | {"grid": 5, "rays": 2, "ray_points": 3, "line_points": 3, "hessian": 1, "hessian_examples": 40,
                         "budgets": (1.0,), "picture": "exact"},
    "posterior": WALK | {"curve_epochs": 2, "grid": 5, "members": 2, "draws": 8, "chains": 2, "warmup": 2, "swag_draws": 2,
                         "methods": ("ess", "swag", "ensemble"), "compared": ("curve",), "side_draws": 2, "reference": "ess",
                         "temperatures": (1.0, 10.0), "temperature": 10.0, "averaged": 8},
    "calibration": WALK | {"members": 2, "swag_draws": 2, "draws": 20, "splits": 5, "repeats": 1, "corruptions": ("noise",),
                           "shift_examples": 20, "sources": ("sgd", "swa", "swag"), "ood": "far"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def computed(home, recipe, **given):
    key, status, message = compute_here(recipe, parse(recipe, given | {"device": "cuda"}), home)
    library = Library(home, gallery=None)
    assert status == "done", library.detail(key) or message
    return library, key


@pytest.mark.parametrize("recipe", RUNS)
def test_a_recipe_runs(recipe, home):
    library, key = computed(home, recipe, **RUNS[recipe])
    summary = library.result(key, "summary")
    failed = [row for row in ((summary.values.get("methods") or {}) if summary else {}).values() if row.get("failed")]
    assert not failed


def test_networks_with_batchnorm_run_and_open(home):
    library, key = computed(home, "training", task="digits", network="conv", norm="batch", epochs=2, widths=(4, 4))
    values = opening.opened(places_of(Reader(Shelf(library), key)), {"run": key, "network": "seed 1"}).values
    assert all(value == value for value in values.values())


def test_points_of_pictures_open(home):
    library, key = computed(home, "valleys", **RUNS["valleys"])
    places = places_of(Reader(Shelf(library), key))
    for where in ({"plane": "optima", "x": 0.5, "y": 0.5}, {"path": "bezier", "t": 0.4}):
        values = opening.opened(places, {"run": key} | where).values
        assert all(value == value for value in values.values())


def test_checkpoints_kept_here_are_inspected(home):
    _, key = computed(home, "valleys", **RUNS["valleys"])
    kept, status, message = compute_here("network", parse("network", {"source": key, "where": "optima:0.5,0.5"}), home)
    assert status == "done", message
    computed(home, "inspect", files=(f"run:{kept}",), grid=5, line_points=3, pair_points=3, picture="exact", curve_epochs=1)


@pytest.mark.parametrize("recipe", RUNS)
def test_costs_are_timed(recipe, monkeypatch):
    monkeypatch.setattr(probing, "BUDGET", 0.001)
    monkeypatch.setattr(bill, "_probes", type(bill._probes)())
    given = {key: value for key, value in RUNS[recipe].items() if key != "methods"}
    if recipe == "posterior":
        given |= {"methods": tuple(name for name in catalog.METHODS if name != "laplace_kronecker")}
    assert costs.estimate(recipe, parse(recipe, given | {"device": "cuda"}))["seconds"] > 0


def test_the_benchmark_runs():
    tiny = gpu.Size(examples=60, side=8, cells=2, widths=(8, 8), channels=(4, 4), networks=2, epochs=1, chains=2, steps=1,
                    vectors=3, rounds=1)
    assert len(gpu.rows("cuda", tiny)) == 14
