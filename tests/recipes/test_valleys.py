"""The main job on small settings: what it saves, that it goes on bit for bit, and the claims of the paper on real data."""

import numpy as np
import pytest
import torch

from landscape.errors import BadInput, Diverged
from landscape.geometry.curves import KINDS, Curve, connect
from landscape.networks.architectures import initial_weights
from landscape.recipes import training
from landscape.results import METRICS
from landscape.runs import Library
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.store import Store
from landscape.settings import parse
from landscape.training import sgd

SMALL = {"task": "moons", "epochs": 5, "curve_epochs": 5, "grid": 33, "widths": (16, 16)}


def computed(home, **given):
    """The key of a finished valleys run, and the library to read it from."""
    made = identify("valleys", parse("valleys", SMALL | given))
    compute_here("valleys", made.settings.model_dump(), home)
    library = Library(home)
    assert library.run(made.key).status == "done", library.run(made.key).message
    return library, made.key


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    return computed(tmp_path_factory.mktemp("home"))


def test_everything_slide_7_needs_is_there(moons):
    library, key = moons
    summary = library.result(key, "summary").values
    assert summary["key"] == key
    assert summary["anchor_error"] < 1e-5
    assert len(summary["train_nll"]["ends"]) == 2
    assert summary["cpu_seconds"] > 0
    for name in ("optima", *KINDS):
        surface = library.result(key, f"surface:{name}")
        assert set(METRICS) <= set(surface.values)
        assert all(np.isfinite(v).all() for v in surface.values.values())
        assert surface.info["final"]
        assert surface.info["anchor_error"]["train_nll"] < 1e-5
        assert all(mark.residual == 0 for mark in surface.marks)
        x, y = surface.axes
        np.testing.assert_allclose(np.diff(x).mean(), np.diff(y).mean(), rtol=0.1)
        for mark in surface.marks:
            assert x[0] < mark.x < x[-1]
            assert y[0] < mark.y < y[-1]
    assert (
        summary["evaluations"]
        == sum(library.result(key, f"surface:{n}").evaluated.sum() for n in ("optima", *KINDS)) + 3 * 61
    )


def test_profiles_start_and_end_at_the_marks(moons):
    library, key = moons
    for kind in ("segment", *KINDS):
        profile = library.result(key, f"profile:{kind}")
        marks = library.result(key, "surface:bezier").marks
        for metric in ("train_nll", "train_loss", "test_error"):
            assert profile.values[metric][0] == pytest.approx(marks[0].values[metric], rel=1e-6)
            assert profile.values[metric][-1] == pytest.approx(marks[1].values[metric], rel=1e-6)
        assert profile.distance[0] == 0
        assert (np.diff(profile.distance) > 0).all()
        plane = "optima" if kind == "segment" else kind
        np.testing.assert_allclose(profile.positions[plane][0], [marks[0].x, marks[0].y], atol=1e-9)
    segment = library.result(key, "profile:segment")
    assert segment.distance[-1] == pytest.approx(marks[1].x - marks[0].x)


def test_the_penalty_is_half_weight_decay_times_the_squared_norm(moons):
    library, key = moons
    curves = next(p for p in library.run(key).parents if library.run(p).recipe == "curves")
    points = library.weights(curves, "curves")["bezier"].astype(float)
    mark = library.result(key, "surface:bezier").marks[2]
    penalty = 0.5 * library.run(key).settings["weight_decay"] * (points[1] ** 2).sum()
    assert mark.values["train_loss"] - mark.values["train_nll"] == pytest.approx(penalty, rel=1e-6)


class Stopping(Store):
    """A store whose run is asked to stop at the n-th report."""

    def __init__(self, home, after):
        super().__init__(home)
        self.left = after

    def report(self, *args):
        self.left -= 1
        return super().report(*args) or self.left < 0


@pytest.mark.parametrize(("batchnorm", "pause"), [(False, 0.0), (False, 0.02), (True, 0.0)])
def test_stopped_anywhere_and_continued_equals_undisturbed(tmp_path, batchnorm, pause, monkeypatch):
    from landscape.recipes import planes, state
    from landscape.runs import context
    from landscape.runs.context import run_job

    for module, name, seconds in ((context, "INTERVAL", 0.0), (state, "SAVE_STATE", 0.0), (planes, "SAVE_PICTURE", pause)):
        monkeypatch.setattr(module, name, seconds)
    given = {"grid": 9, "norm": "batch", "epochs": 2, "curve_epochs": 2} if batchnorm else {"grid": 25}
    whole, key = computed(tmp_path / "whole", **given)
    made = identify("valleys", parse("valleys", SMALL | given))
    stops = 0
    while True:
        with Stopping(tmp_path / "stopped", after=50 + 40 * batchnorm) as store:
            store.enter(**made.row())
            status = run_job(store, made.key)[0]
        if status == "done":
            break
        assert status == "cancelled"
        stops += 1
        assert stops < 100
    assert stops >= 1
    continued = Library(tmp_path / "stopped")
    for name in whole.names(key):
        a, b = whole.result(key, name), continued.result(key, name)
        if name.startswith("surface"):
            assert np.array_equal(a.evaluated, b.evaluated)
            for metric, values in a.values.items():
                np.testing.assert_array_equal(values, b.values[metric], f"{name} {metric}")
        if name.startswith("profile"):
            assert all(np.array_equal(a.values[m], b.values[m]) for m in a.values)


def test_the_pictures_of_another_grid_reuse_the_networks(moons, monkeypatch):
    library, key = moons

    def never(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(sgd, "run", never)
    other, second = computed(library.home, grid=17)
    assert second != key
    assert set(other.run(second).parents) == set(library.run(key).parents)


def test_exact_picture_evaluates_every_cell_and_agrees_with_the_adaptive_one(moons):
    library, key = moons
    exact, other = computed(library.home, picture="exact")
    a, b = library.result(key, "surface:optima"), exact.result(other, "surface:optima")
    assert b.evaluated.all()
    assert np.array_equal(a.values["train_nll"][a.evaluated], b.values["train_nll"][a.evaluated])


def test_divergence_ends_with_what_it_has(tmp_path):
    made = identify("valleys", parse("valleys", SMALL | {"task": "regression", "lr": 1e6}))
    compute_here("valleys", made.settings.model_dump(), tmp_path)
    library = Library(tmp_path)
    run = library.run(made.key)
    assert run.status == "failed"
    assert "diverged" in run.message
    assert "seed 0" in run.message
    assert "Lower lr" in run.message
    child = library.run(run.parents[0])
    assert any(library.result(p, "history:training") is not None for p in (child.key, *child.parents, *run.parents))


def test_bad_settings_of_compute_are_explained():
    with pytest.raises(BadInput, match="images"):
        training.problem(parse("training", {"task": "moons", "network": "conv"}))
    with pytest.raises(BadInput, match="cuda") if not torch.cuda.is_available() else pytest.raises(Diverged):
        training.device("cuda")


@pytest.mark.parametrize(
    ("name", "pairs", "curve_bar", "segment_bar"), [("digits", 3, 0.05, 0.5), ("mnist1d", 1, 0.35, 1.5)]
)
def test_mode_connectivity_on_real_data(name, pairs, curve_bar, segment_bar):
    """Garipov et al. 2018: a curve of low loss where the straight segment crosses a barrier; presets as shipped."""
    s = parse("valleys", {"task": name})
    p = training.problem(s)
    seeds = list(range(2 * pairs))
    starts = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in seeds])
    w = sgd.train(p.task, seeds, starts, epochs=s.epochs, lr=s.lr, **training.options(s)).parameters
    t = torch.linspace(0, 1, 61)
    for i in range(pairs):
        ends = w[2 * i : 2 * i + 2]
        state = connect(p.task, ["bezier"], ends, 1, 0, epochs=s.curve_epochs, lr=s.curve_lr, **training.options(s))
        bezier = Curve(torch.cat([ends[:1], state.parameters[0], ends[1:]]), "bezier")
        assert p.task.evaluate(bezier.at(t), "train")["nll"].max() < curve_bar
        assert p.task.evaluate(Curve(ends, "chain").at(t), "train")["nll"].max() > segment_bar
