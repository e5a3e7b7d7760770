"""SGD's walk and its averages on small tasks: exact places, equal ends, sums that add up, jobs that go on."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from landscape.geometry.curvature import Hessian, Objective
from landscape.recipes import averaging, opening
from landscape.recipes.averaged import width
from landscape.recipes.averaged.pictures import MEAN_OF_THREE
from landscape.recipes.places import places_of
from landscape.recipes.training import problem
from landscape.results import METRICS
from landscape.runs import Library
from landscape.runs.context import Reader
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.shelf import Shelf
from landscape.settings import parse
from landscape.training.averaging import Trajectory

SMALL = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (16, 16), "grid": 9, "rays": 3, "ray_points": 7,
         "line_points": 11, "hessian": 2, "hessian_examples": 100}
CURVES = ("sgd", "last", "swa", "prediction average")


def computed(home, **given):
    """A finished run: the library to read it from, its key, and the arrays of its walk and of its branches."""
    made = identify("averaging", parse("averaging", SMALL | given))
    compute_here("averaging", made.settings.model_dump(), home)
    library = Library(home)
    run = library.run(made.key)
    assert run.status == "done", run.message
    return library, made.key, {library.run(parent).recipe: parent for parent in run.parents}


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    return computed(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def places(moons):
    library, key, _ = moons
    return places_of(Reader(Shelf(library), key))


def track(moons, recipe, name):
    library, _, parents = moons
    return Trajectory.of(library.weights(parents[recipe], name))


def marks(surface):
    return {mark.name: mark for mark in surface.marks}


def test_everything_the_page_draws_is_there(moons):
    library, key, _ = moons
    wanted = {f"history:{name}" for name in CURVES} | {f"surface:{name}" for name in averaging.PLANES}
    wanted |= {"summary", "components", "profile:line", "line", "rays", "width", "gap", "function", "shells", "fge"}
    wanted |= {"fge:run", "table"}
    assert wanted == set(library.names(key))
    live = library.result(library.run(key).parents[0], "history:training")
    assert live.names == ("sgd seed 0", "sgd seed 1", "constant seed 0", "constant seed 1")


def test_the_summary_is_the_machine_readable_result(moons):
    library, key, parents = moons
    summary = json.loads(json.dumps(library.result(key, "summary").values, allow_nan=False))
    assert {"seeds", "test_error", "test_nll", "train_nll", "distance_sgd_swa", "hessian", "anchor_error", "cpu_seconds",
            "key", "parents"} <= set(summary)
    assert summary["parents"] == {"walk": parents["walk"], "branches": parents["branches"]}
    for metric in ("test_error", "test_nll", "train_nll"):
        assert set(summary[metric]) == {"sgd", "last", "swa", "prediction_average", "fge"}
        assert all(len(values) == 2 and np.isfinite(values).all() for values in summary[metric].values())
    assert summary["anchor_error"] < 1e-5
    assert {"top", "trace"} <= set(summary["hessian"]["sgd"])
    for name in ("sgd", "swa"):
        assert len(summary["hessian"][name]["top"]) == 2


def test_swa_is_the_mean_of_the_stored_snapshots(moons, places):
    constant, spe = track(moons, "walk", "constant"), 4
    mean = constant.weights[constant.steps > 12 * spe].double().mean(0)
    assert torch.allclose(places.networks["W_SWA"].double(), mean[0], atol=1e-6)
    kept = moons[0].weights(moons[2]["walk"], "constant")["mean"]
    np.testing.assert_allclose(kept, mean, atol=1e-6)
    distances = [float((track(moons, "walk", "sgd").weights[-1][k].double() - mean[k]).norm()) for k in range(2)]
    assert moons[0].result(moons[1], "summary").values["distance_sgd_swa"] == pytest.approx(distances, rel=1e-6)


def test_both_branches_share_their_start_and_use_the_planned_rates(moons):
    sgd, constant = track(moons, "walk", "sgd"), track(moons, "walk", "constant")
    assert torch.equal(sgd.weights[:9], constant.weights[:9])
    assert not torch.equal(sgd.weights[10], constant.weights[10])
    plans = parse("averaging", SMALL).plans(4)
    for name, found in (("sgd", sgd), ("constant", constant)):
        np.testing.assert_array_equal(found.rates[1:], plans[name].rates[found.steps[1:] - 1])
        drawn = moons[0].result(moons[1], "history:sgd" if name == "sgd" else "history:last")
        at = np.searchsorted(drawn.epochs * 4, found.steps)
        np.testing.assert_array_equal(drawn.lr[at], found.rates)
    longer = track(moons, "branches", "constant")
    assert list(longer.steps / 4) == list(range(17, 25))


def test_w1_w2_w3_lie_at_their_coordinates_and_their_mean_inside(moons, places):
    library, key, _ = moons
    surface = library.result(key, "surface:walk")
    found = marks(surface)
    w = [found[f"W{k}"] for k in (1, 2, 3)]
    mean = found[MEAN_OF_THREE]
    assert [mark.residual for mark in (*w, mean)] == [0, 0, 0, 0]
    assert mean.kind == "average"
    for axis in ("x", "y"):
        assert getattr(mean, axis) == pytest.approx(np.mean([getattr(mark, axis) for mark in w]), abs=1e-9)
    vectors = [places.networks[f"W{k}"].double() for k in (1, 2, 3)]
    for a in range(3):
        for b in range(a):
            apart = float((vectors[a] - vectors[b]).norm())
            assert np.hypot(w[a].x - w[b].x, w[a].y - w[b].y) == pytest.approx(apart, rel=1e-6)
    assert surface.info["epochs"] == {"W1": 14.0, "W2": 15.0, "W3": 16.0}


def test_the_path_is_the_walk_with_its_distance_from_the_plane(moons, places):
    library, key, _ = moons
    surface = library.result(key, "surface:walk")
    steps, away = np.array(surface.info["steps"]), np.array(surface.info["path_residuals"])
    assert list(steps) == list(range(8, 17))
    assert (away[-3:] == 0).all()
    assert (away[:-3] > 0).all()
    constant = track(moons, "walk", "constant")
    w = constant.at([10 * 4]).weights[0, 0].double()
    lifted = places.planes["walk"].lift(torch.tensor(surface.path[2]))
    assert float((lifted - w).norm()) == pytest.approx(away[2], rel=1e-6)
    np.testing.assert_allclose(surface.path[-1], [marks(surface)["W3"].x, marks(surface)["W3"].y], atol=1e-6)


@pytest.mark.parametrize("name", averaging.PLANES)
def test_every_surface_is_true_at_its_marks(moons, name):
    library, key, _ = moons
    surface = library.result(key, f"surface:{name}")
    assert surface.info["final"]
    assert max(surface.info["anchor_error"].values()) < 1e-5
    assert set(METRICS) <= set(surface.values)
    assert all(np.isfinite(values).all() for values in surface.values.values())


def test_a_cell_of_a_random_plane_is_the_network_that_opens_there(moons, places):
    library, key, _ = moons
    for name in ("random sgd", "random swa"):
        surface = library.result(key, f"surface:{name}")
        assert surface.info["units"] == "direction"
        assert (surface.axes[0][0], surface.axes[1][-1]) == (-1, 1)
        where = {"run": key, "plane": name, "x": float(surface.axes[0][0]), "y": float(surface.axes[1][-1])}
        found = opening.opened(places, where)
        assert surface.evaluated[0, -1]
        assert {m: surface.values[m][0, -1] for m in METRICS} == pytest.approx(found.values, rel=1e-5)
    sgd, swa = (library.result(key, f"surface:random {name}") for name in ("sgd", "swa"))
    np.testing.assert_array_equal(sgd.axes, swa.axes)


def test_the_twins_minima_are_the_lowest_cells(moons):
    library, key, _ = moons
    surface = library.result(key, "surface:twin")
    assert set(marks(surface)) == {"W_SGD", "W_SWA", "epoch 8"}
    assert all(mark.residual == 0 for mark in surface.marks)
    for metric, found in surface.info["minima"].items():
        i, j = (int(np.abs(axis - found[c]).argmin()) for axis, c in zip(surface.axes, "xy", strict=True))
        assert surface.values[metric][i, j] == surface.values[metric].min()
        assert found["value"] == pytest.approx(surface.values[metric].min(), abs=0.02)


def test_the_lines_networks_equal_the_checkpoints(moons):
    library, key, _ = moons
    line, told = library.result(key, "profile:line"), library.result(key, "line").values
    twin = marks(library.result(key, "surface:twin"))
    sgd, swa = twin["W_SGD"], twin["W_SWA"]
    assert told["distance"] == pytest.approx(np.hypot(sgd.x - swa.x, sgd.y - swa.y), rel=1e-6)
    for distance, mark in ((0.0, swa), (told["distance"], sgd)):
        (i,) = np.flatnonzero(line.distance == distance)
        np.testing.assert_allclose(line.positions["twin"][i], [mark.x, mark.y], atol=1e-6)
        for metric in METRICS:
            assert line.values[metric][i] == pytest.approx(mark.values[metric], rel=1e-5)
    assert line.distance[0] == pytest.approx(-told["distance"])
    assert line.distance[-1] == pytest.approx(2 * told["distance"])
    assert (line.t[0], line.t[-1]) == (0, 1)


def test_all_rays_begin_at_the_checkpoints(moons):
    library, key, _ = moons
    rays, twin = library.result(key, "rays"), marks(library.result(key, "surface:twin"))
    assert rays.x[0] == 0
    for name, mark in (("sgd", twin["W_SGD"]), ("swa", twin["W_SWA"])):
        for metric in METRICS:
            rows = rays.values[f"{name} {metric}"]
            assert rows.shape == (3, 7)
            np.testing.assert_allclose(rows[:, 0], mark.values[metric], rtol=1e-5)
            assert len(np.unique(rays.values[f"{name} train_loss"][:, -1])) == 3


def test_curves_end_where_the_table_and_the_summary_begin(moons):
    library, key, _ = moons
    summary, table = (library.result(key, name).values for name in ("summary", "table"))
    at = {(row["method"], row["budget"]): row for row in table["rows"]}
    assert set(at) == {(m, b) for m in ("SGD", "SWA", "FGE") for b in (1.0, 1.25, 1.5)}
    for method, kind in (("SGD", "sgd"), ("SWA", "swa"), ("FGE", "fge")):
        assert at[method, 1.0]["test_error"]["mean"] == pytest.approx(np.mean(summary["test_error"][kind]))
        assert at[method, 1.0]["test_error"]["sd"] == pytest.approx(np.std(summary["test_error"][kind], ddof=1))
        assert at[method, 1.0]["test_error"]["n"] == 2
    for kind in CURVES:
        history = library.result(key, f"history:{kind}")
        assert history.values["test_error"][:, -1].tolist() == summary["test_error"][kind.replace(" ", "_")]
    swa = library.result(key, "history:swa")
    assert np.isnan(swa.values["test_error"][:, swa.epochs <= 12]).all()
    assert np.isfinite(swa.values["test_error"][:, swa.epochs > 12]).all()
    assert (swa.info["branch"], swa.info["swa_start"]) == (8, 12)
    assert all(row["runs"] and library.run(row["runs"][0]).status == "done" for row in table["rows"])
    wins = sum(a < b for a, b in zip(summary["test_error"]["swa"], summary["test_error"]["sgd"], strict=True))
    assert table["verdict"][0].startswith(f"SWA has a lower test error than SGD in {wins} of 2 seeds")
    assert any("does not help" in text for text in table["verdict"]) == (wins < 2)


def test_the_average_over_a_longer_budget_is_that_of_all_snapshots(moons, places):
    first, more = track(moons, "walk", "constant"), track(moons, "branches", "constant")
    snapshots = torch.cat([first.weights[first.steps > 48], more.weights[more.steps <= 80]])
    errors = places.task.evaluate(snapshots.double().mean(0).float(), "test")["error"]
    table = moons[0].result(moons[1], "table").values
    (row,) = [row for row in table["rows"] if (row["method"], row["budget"]) == ("SWA", 1.25)]
    assert row["test_error"]["mean"] == pytest.approx(float(errors.mean()))


def test_rescaling_changes_plain_curvature_and_no_scale_invariant_number(moons):
    library, key, _ = moons
    told = library.result(key, "width").values
    assert told["rescaled"]["factor"] == 10
    for name in ("sgd", "swa"):
        plain, other = told["rows"][name], told["rows"][f"{name} rescaled"]
        assert other["trace"]["value"] > 2 * plain["trace"]["value"]
        for measure in ("asam", "normalised curvature", "filter ray width"):
            assert other[measure]["value"] == pytest.approx(plain[measure]["value"], rel=2e-3), measure
        decay = parse("averaging", SMALL).weight_decay
        pairs = zip(plain["eigenvalues"], plain["eigenvalues with weight decay"], strict=True)
        assert all(b["value"] - a["value"] == pytest.approx(decay) for a, b in pairs)
    assert set(told["about"]) == set(told["rows"]["sgd"]) == set(width.ABOUT)


def test_geometry_says_slope_and_radii(moons):
    library, key, _ = moons
    gap, shells = library.result(key, "gap"), library.result(key, "shells")
    assert 1.5 < gap.info["slope"] < 2.5
    assert gap.info["correlation"] > 0.99
    assert len(library.result(key, "function").x) <= 2000
    assert shells.x[0] == 1
    assert shells.values["gaussian"] == pytest.approx(np.sqrt(shells.info["d"] / shells.x) * shells.info["sigma"])
    assert shells.info["iterates"] == 12
    run = library.result(key, "fge:run")
    assert len(run.x) == len(run.values["rate"]) == len(run.values["test_error"]) == len(run.values["distance"])
    assert run.info["collected"] == [13, 15, 17, 19, 21, 23]


def test_another_grid_reuses_the_training(moons, monkeypatch):
    from landscape.training import sgd

    def never(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(sgd, "run", never)
    _, second, parents = computed(moons[0].home, grid=5)
    assert second != moons[1]
    assert parents == moons[2]


@pytest.mark.parametrize("where", [
    {"plane": "walk", "x": 0.1, "y": 0.2}, {"plane": "random swa", "x": 0.5, "y": -0.5}, {"path": "line", "t": 1 / 3},
    {"network": "W_SGD"}, {"network": MEAN_OF_THREE}, {"network": "W_SWA (seed 1)"}])
def test_every_place_opens(moons, places, where):
    found = opening.opened(places, {"run": moons[1]} | where)
    assert 0 <= found.values["test_error"] <= 1
    assert found.outputs.shape == (len(found.targets), 2)


def test_a_mark_opens_as_it_was_drawn(moons, places):
    library, key, _ = moons
    for name, plane in (("W2", "walk"), ("W_SWA", "twin"), ("epoch 0", "pca")):
        mark = marks(library.result(key, f"surface:{plane}"))[name]
        found = opening.opened(places, {"run": key, "network": name}).values
        assert {m: found[m] for m in METRICS} == pytest.approx({m: mark.values[m] for m in METRICS}, rel=1e-5)
    swa = marks(library.result(key, "surface:twin"))["W_SWA"]
    third = opening.opened(places, {"run": key, "path": "line", "t": 1 / 3})
    assert third.distances["W_SWA"] < 1e-5
    assert third.values["train_nll"] == pytest.approx(swa.values["train_nll"], rel=1e-5)


def test_hessian_vectors_that_go_one_by_one_on_a_gpu_are_noted(monkeypatch):
    """The way of GPUs is asked for; a module that refuses it is multiplied all the same, to the same numbers."""
    s = parse("averaging", SMALL)
    p = problem(s)
    w, task = p.task.net.initial, width.judged_on(s, p.task)
    found, notes = [], []
    for refused in (None, "no rule for its operation", "no rule for its operation"):
        monkeypatch.setattr(width, "Objective", partial(Objective, together=True))
        monkeypatch.setattr(Hessian, "_tried", lambda self, why=refused: why)
        found.append(width.row(s, p.task, task, w, 1.0, lambda done, total: None, notes))
    assert notes == ["Vectors were multiplied with the Hessian one by one: no rule for its operation."]
    for measure in ("eigenvalues", "trace"):
        one, other = (np.array([c["value"] for c in (f[measure] if isinstance(f[measure], list) else [f[measure]])])
                      for f in found[:2])
        np.testing.assert_allclose(one, other, rtol=1e-3)
