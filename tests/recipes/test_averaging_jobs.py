"""Jobs of averaging: stopped and continued, with BatchNorm, diverging, without the parts that were not asked for."""

import numpy as np
import pytest
import torch

from landscape.recipes import planes, state
from landscape.recipes.places import places_of
from landscape.runs import Library, context
from landscape.runs.context import Reader, run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.settings import parse

TINY = {"task": "moons", "epochs": 12, "seeds": (0, 1), "widths": (8, 8), "grid": 5, "rays": 2, "ray_points": 3,
        "line_points": 5, "hessian": 1, "hessian_examples": 50}


class Stopping(Store):
    """A store whose run is asked to stop at the n-th report."""

    def __init__(self, home, after):
        super().__init__(home)
        self.left = after

    def report(self, *args):
        self.left -= 1
        return super().report(*args) or self.left < 0


def run(home, **given):
    made = identify("averaging", parse("averaging", TINY | given))
    compute_here("averaging", made.settings.model_dump(), home)
    return Library(home), made.key


def test_stopped_anywhere_and_continued_equals_undisturbed(tmp_path, monkeypatch):
    for module, name in ((context, "INTERVAL"), (state, "SAVE_STATE"), (planes, "SAVE_PICTURE")):
        monkeypatch.setattr(module, name, 0.0)
    whole, key = run(tmp_path / "whole")
    assert whole.run(key).status == "done", whole.run(key).message
    made = identify("averaging", parse("averaging", TINY))
    stops = 0
    while True:
        with Stopping(tmp_path / "stopped", after=160) as store:
            store.enter(**made.row())
            status, message, _ = run_job(store, made.key)
        if status == "done":
            break
        assert status == "cancelled", message
        stops += 1
        assert stops < 100
    assert stops >= 3
    other = Library(tmp_path / "stopped")
    assert other.names(key) == whole.names(key)
    for name in whole.names(key):
        a, b = whole.result(key, name), other.result(key, name)
        if hasattr(a, "values") and name not in ("summary", "line", "width", "table"):
            for metric, values in a.values.items():
                np.testing.assert_array_equal(values, b.values[metric], f"{name} {metric}")
    one, two = (library.result(key, "summary").values for library in (whole, other))
    assert {k: v for k, v in one.items() if k != "cpu_seconds"} == {k: v for k, v in two.items() if k != "cpu_seconds"}
    assert whole.result(key, "table").values == other.result(key, "table").values


def test_an_average_without_new_batchnorm_statistics_is_broken_and_said_so(tmp_path):
    library, key = run(tmp_path, norm="batch", lr=0.5, epochs=24, hessian=0)
    assert library.run(key).status == "done", library.run(key).message
    told = library.result(key, "batchnorm").values["swa"]
    assert told["re-estimated"]["test_nll"] < told["stored"]["test_nll"]
    assert told["initial"]["test_nll"] > 2 * told["re-estimated"]["test_nll"]
    assert told["initial"]["test_error"] > 1.5 * told["re-estimated"]["test_error"]
    assert told["re-estimated"]["test_error"] == pytest.approx(
        np.mean(library.result(key, "summary").values["test_error"]["swa"]))
    assert "re-estimated" in library.result(key, "surface:twin").info["batchnorm"]
    width = library.result(key, "width").values
    assert "eigenvalues" not in width["rows"]["sgd"]
    assert width["rescaled"] is not None
    assert places_of(Reader(Shelf(library), key)).at({"network": "W_SWA"}).buffers


def test_an_ensemble_goes_on_from_the_start_of_averaging_wherever_that_is(tmp_path, monkeypatch):
    def ensemble(home):
        library, key = run(home, swa_start=0.6)
        assert library.run(key).status == "done", library.run(key).message
        child = next(parent for parent in library.run(key).parents if library.run(parent).recipe == "branches")
        assert library.result(child, "summary").values["forks"]["fge"] == 7
        return library.weights(child, "fge")["weights"]

    kept = context.Reader.load_weights
    forked = ensemble(tmp_path / "forked")
    monkeypatch.setattr(context.Reader, "load_weights",
                        lambda self, name: None if name.startswith("from-") else kept(self, name))
    np.testing.assert_array_equal(forked, ensemble(tmp_path / "from scratch"))
    monkeypatch.undo()
    (walk,) = [r.key for r in Library(tmp_path / "forked").runs(children=True)
               if r.recipe == "walk" and not r.read_only]
    assert Library(tmp_path / "forked").weights(walk, "from-7") is not None


def test_a_rate_that_diverges_is_named_and_the_weights_before_it_are_kept(tmp_path):
    library, key = run(tmp_path, task="regression", lr=1e6)
    found = library.run(key)
    assert found.status == "failed"
    assert "diverged in epoch 1 at learning rate 1e+06" in found.message
    assert "seed 0" in found.message
    (walk,) = found.parents
    kept = library.weights(walk, "sgd")
    assert not kept["finite"].any()
    assert np.isfinite(kept["last"]).all()


def test_regression_and_smooth_networks_leave_out_what_does_not_apply(tmp_path):
    library, key = run(tmp_path, task="regression")
    assert library.run(key).status == "done", library.run(key).message
    width = library.result(key, "width").values
    assert width["rescaled"] is None
    assert any("left out" in note for note in width["notes"])
    assert set(width["rows"]) == {"sgd", "swa"}


def test_the_walk_and_its_branches_open_on_their_own(tmp_path):
    library, key = run(tmp_path)
    for parent in library.run(key).parents:
        found = places_of(Reader(Shelf(library), parent))
        for name in found.networks:
            assert torch.isfinite(found.at({"network": name}).w).all()
        assert len(found.networks) >= 4
