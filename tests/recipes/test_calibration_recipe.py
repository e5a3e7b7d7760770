"""Predictions of several sources side by side: what is stored equals what is computed directly, on the right examples."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax

from landscape import catalog
from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.posteriors.predictive import average
from landscape.recipes.judged import asking, predicting, regressed, sources, unknown
from landscape.recipes.places import places_of
from landscape.recipes.training import problem
from landscape.recipes.walks import walked
from landscape.runs import Library
from landscape.runs.context import Reader, run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.settings import parse
from landscape.uncertainty import metrics, regression
from landscape.uncertainty.calibrators import fit_temperature
from landscape.uncertainty.shift import corrupt

SMALL = {"epochs": 16, "seeds": (0, 1, 2), "widths": (8, 8), "members": 2, "swag_draws": 4, "draws": 40, "splits": 20,
         "repeats": 2}
ISSUE = {"n", "error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce", "temperature", "after",
         "changed_predictions"}


def computed(home, fails=None, **given):
    made = identify("calibration", parse("calibration", SMALL | given))
    _, status, message = compute_here("calibration", made.settings, home)
    library = Library(home)
    assert status == ("failed" if fails else "done"), library.detail(made.key) or message
    return library, made.key


def broken(walk, s, defaults, group):
    raise BadInput("The 3rd network is lost. Train it again.")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def signals(home):
    """A run on signals, with every kind of source, ladders, and networks that never saw two classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalog.SOURCES, "broken", catalog.Row("Broken", "Fails.", "test_calibration_recipe:broken", {}))
        yield computed(home, task="mnist1d", train_size=800, corruptions=("noise", "rotation"), shift_examples=120,
                       sources=("sgd", "swa", "broken", "swag", "ensemble"),
                       calibrators=("temperature", "isotonic", "pooled", "density"))


@pytest.fixture(scope="module")
def plane(home):
    return computed(home, task="moons", sources=("sgd", "ensemble"), corruptions=("noise", "blur"), ood="far")


@pytest.fixture(scope="module")
def line(home):
    return computed(home, task="regression", sources=("sgd", "swag", "ensemble"), corruptions=("noise",))


def at(run):
    """The results of a run, and of its walk: (settings, problem, walk, reader)."""
    library, key = run
    reader = Reader(Shelf(library), key)
    s = reader.settings
    p = problem(s, s.batchnorm_examples)
    return s, p, walked(s, reader, p), reader


def labels_of(run):
    return run[0].result(run[1], "summary").values["sources"]


def test_everything_the_page_draws_is_there(signals):
    library, key = signals
    whole = ("sgd", "swa", "swag", "ensemble")
    wanted = {f"{what}:{label}" for label in whole for what in ("judged", "account", "calibrated", "conformal")}
    wanted |= {"judged:sgd temperature", "account:sgd temperature", "account:broken", "summary", "ood"}
    wanted |= {f"{what}:{name}" for name in ("noise", "rotation") for what in ("shift", "shifted")}
    assert wanted == {name for name in library.names(key) if not name.startswith("row:")}
    assert labels_of(signals) == ["sgd", "sgd temperature", "swa", "broken", "swag", "ensemble"]


def test_the_summary_is_the_issues_json(signals):
    summary = json.loads(json.dumps(signals[0].result(signals[1], "summary").values, allow_nan=False))
    assert summary["parents"] == {"walk": signals[0].run(signals[1]).parents[0]}
    assert (summary["seeds"], summary["task"], summary["kind"]) == ([0, 1, 2], "mnist1d", "classification")
    for label in summary["sources"]:
        row = summary[label]
        if label == "broken":
            assert "3rd network is lost" in row["failed"]
            continue
        assert set(row) >= ISSUE
        assert row["n"] == len(load("mnist1d", 0, 800).test)
        if "scaled_from" not in row:
            assert set(row["after"]) == ISSUE - {"temperature", "after", "changed_predictions"}
            assert row["changed_predictions"] == 0
            assert row["after"]["error"] == row["error"]


def test_predictions_are_those_of_the_networks(signals):
    """Each source's probabilities against the networks it says it is made of, predicted directly."""
    _, p, walk, reader = at(signals)
    networks = {"sgd": walk.w_sgd[:1], "swa": walk.w_swa[:1], "ensemble": walk.w_sgd[:2]}
    for label, w in networks.items():
        judged = reader.load(f"judged:{label}")
        assert judged.info["draws"] == len(w)
        for split, part in (("test", judged.test), ("validation", judged.validation)):
            direct = average(p.task, w, split).probabilities
            np.testing.assert_allclose(part["probabilities"], direct, atol=1e-6)
            assert (part["labels"] == getattr(p.dataset, split).y).all()
            assert part["probabilities"].dtype == np.float32
    assert "disagreement" not in reader.load("judged:sgd").test
    two = average(p.task, walk.w_sgd[:2], "test")
    np.testing.assert_allclose(reader.load("judged:ensemble").test["disagreement"], two.information, atol=1e-5)


def test_the_account_is_of_these_predictions(signals):
    _, _, _, reader = at(signals)
    for label in ("sgd", "swag", "sgd temperature"):
        seen, told = reader.load(f"judged:{label}"), reader.load(f"account:{label}").values["metrics"]
        p, y = seen.test["probabilities"], seen.test["labels"]
        for name, direct in (("nll", metrics.nll), ("brier", metrics.brier), ("accuracy", metrics.accuracy),
                             ("ece", metrics.ece)):
            assert told[name]["value"] == pytest.approx(direct(p, y), abs=1e-5)
            assert told[name]["low"] <= told[name]["value"] <= told[name]["high"]
        parts = {name: told[f"brier_{name}"]["value"] for name in ("reliability", "resolution", "uncertainty", "within")}
        total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within"]
        assert total == pytest.approx(told["brier"]["value"], abs=1e-9)


def test_the_temperature_is_fitted_on_validation_alone(signals):
    """Slide 24: SGD with temperature is the very network, its logits divided by what validation examples ask for."""
    _, p, walk, reader = at(signals)
    own = average(p.task, walk.w_sgd[:1], "validation").probabilities
    wanted = fit_temperature(np.log(own), p.dataset.validation.y).temperature
    seen, twin = reader.load("judged:sgd"), reader.load("judged:sgd temperature")
    assert seen.info["temperature"] == twin.info["temperature"] == pytest.approx(wanted, rel=1e-9)
    test = average(p.task, walk.w_sgd[:1], "test").probabilities
    np.testing.assert_allclose(twin.test["probabilities"], softmax(np.log(test) / wanted, axis=1), atol=1e-6)
    assert (twin.test["probabilities"].argmax(1) == seen.test["probabilities"].argmax(1)).all()
    assert twin.info["title"] == "SGD + temperature"
    row = reader.load("summary").values
    assert row["sgd"]["after"]["nll"] == pytest.approx(row["sgd temperature"]["nll"], rel=1e-9)


def test_calibrators_say_what_they_did(signals):
    _, _, _, reader = at(signals)
    for label, fails in (("sgd", {"pooled"}), ("ensemble", set())):
        rows = {row["calibrator"]: row for row in reader.load(f"calibrated:{label}").values["rows"]}
        assert list(rows) == ["temperature", "isotonic", "pooled", "density"]
        assert {name for name, row in rows.items() if row["failed"]} == fails
        for name in set(rows) - fails:
            row = rows[name]
            assert row["parameters"]
            assert row["changed"] == 0 or not row["keeps"]
            assert set(row["after"]) == set(row["before"])
            before, after = row["validation_nll"]
            assert after <= before + 1e-9 or name == "isotonic"
    assert reader.load("account:ensemble").values["n"] == reader.load("calibrated:ensemble").values["n"]["test"]


def test_conformal_sets_hold_their_promise(signals):
    _, _, _, reader = at(signals)
    found = reader.load("conformal:swag").values
    for score in found["scores"].values():
        assert len(score["coverage"]) == SMALL["splits"]
        assert score["mean"] == pytest.approx(np.mean(score["coverage"]))
        assert score["mean"] >= 0.9 - 0.02
        assert score["low"] <= score["mean"] <= score["high"]
        assert sum(score["sets"]) == found["n"]


def test_ladders_begin_with_the_inputs_themselves(signals):
    s, p, walk, reader = at(signals)
    ladder, shown = reader.load("shift:rotation"), reader.load("shifted:rotation")
    assert ladder.info["labels"] == ["sgd", "sgd temperature", "sgd density", "swa", "swag", "ensemble"]
    assert set(ladder.values) == {f"{label} {q}" for label in ladder.info["labels"] for q in ("accuracy", "nll", "ece")}
    y, x = p.dataset.test.y[:120], corrupt(p.dataset.test.x[:120], "rotation", 4, s.seed)
    direct = average(p.task, walk.w_swa[:1], x=torch.tensor(x)).probabilities
    clean = average(p.task, walk.w_swa[:1], "test").probabilities[:120]
    for severity, q in ((0, clean), (4, direct)):
        assert ladder.values["swa nll"][severity] == pytest.approx(metrics.nll(q, y), abs=1e-6)
        assert ladder.values["swa accuracy"][severity] == metrics.accuracy(q, y)
    assert (ladder.values["sgd accuracy"] == ladder.values["sgd temperature accuracy"]).all()
    assert (ladder.values["sgd accuracy"] == ladder.values["sgd density accuracy"]).all()
    scaled = reader.load("judged:sgd temperature").test["probabilities"][:120]
    assert ladder.values["sgd temperature nll"][0] == pytest.approx(metrics.nll(scaled, y), abs=1e-5)
    assert shown.values["example 1"].shape == (40, 6)
    np.testing.assert_allclose(shown.values["example 1"][:, 0], p.dataset.raw(p.dataset.test.x[1:2])[0].ravel(), atol=1e-5)


def test_the_networks_are_those_the_walk_calls_by_name(signals):
    s, _, walk, _ = at(signals)
    places = places_of(Reader(Shelf(signals[0]), walk.key))
    for name, title in (("sgd", "SGD seed 1"), ("last", "constant rate seed 1")):
        (source,) = sources.of_walk(s, walk, (name,))
        assert source.seeds == ((0,), (1,))
        assert torch.equal(source.networks(1).weights[0], places.networks[title])


def test_held_out_classes_were_never_seen(signals):
    reader = at(signals)[3]
    found = reader.load("ood").values
    full = load("mnist1d", 0, 800)
    assert found["unknown"] == np.isin(full.test.y, (8, 9)).sum()
    assert found["known"] == len(full.test) - found["unknown"]
    parents = [signals[0].run(key) for key in signals[0].run(signals[1]).parents]
    assert sorted(run.settings["task"] for run in parents) == ["mnist1d", "mnist1d without 8,9"]
    assert list(found["methods"]) == ["sgd", "swa", "swag", "ensemble"]
    assert any("Broken failed" in said for said in found["said"])
    for label, method in found["methods"].items():
        assert set(method["scores"]) == {"doubt", "entropy"} | ({"disagreement"} if label in ("swag", "ensemble") else set())
        for score in method["scores"].values():
            assert score["low"] <= score["auroc"] <= score["high"]
            assert len(score["edges"]) == len(score["known"]) + 1


def test_every_seed_is_judged(signals):
    _, p, walk, reader = at(signals)
    rows = reader.load("summary").values
    assert rows["sgd"]["over_seeds"]["seeds"] == [[0], [1]]
    assert rows["ensemble"]["over_seeds"]["seeds"] == [[0, 1], [1, 2]]
    for row in (rows["sgd"], rows["swag"], rows["ensemble"]):
        assert row["over_seeds"]["nll"][0] == pytest.approx(row["nll"], rel=1e-9)
    second = average(p.task, walk.w_sgd[1:2], "test").nll
    assert rows["sgd"]["over_seeds"]["nll"][1] == pytest.approx(second, rel=1e-6)


def test_far_from_the_plane(plane):
    """Two inputs: confidence over a plane five times as wide as the data, and along rays."""
    _, p, walk, reader = at(plane)
    wide, rays = reader.load("confidence:sgd"), reader.load("far")
    assert wide.function["x"][-1] - wide.function["x"][0] >= 4.9 * np.ptp(p.dataset.raw(p.dataset.train.x)[:, 0])
    point = unknown.scaled(p.dataset, np.array([[wide.function["x"][3], wide.function["y"][70]]]))
    direct = average(p.task, walk.w_sgd[:1], x=torch.tensor(point)).probabilities[0]
    np.testing.assert_allclose(wide.function["probabilities"][3, 70], direct, atol=1e-5)
    assert rays.info["labels"] == ["sgd", "sgd temperature", "ensemble"]
    assert all(((line >= 0.5) & (line <= 1 + 1e-9)).all() for line in rays.values.values())
    assert reader.load("ood").values["kind"] == "far"
    assert any("Blur" in said and "table" in said for said in reader.load("summary").values["said"])
    assert "shift:blur" not in plane[0].names(plane[1])


def test_numbers_are_judged_by_their_distribution(line):
    _, p, walk, reader = at(line)
    told, seen = reader.load("regressed:swag").values, reader.load("judged:swag")
    assert seen.kind == "regression"
    found = average(p.task, sources.of_walk(reader.settings, walk, ("swag",))[0].networks(0).weights, "test")
    np.testing.assert_allclose(seen.test["mean"], found.mean[:, 0], atol=1e-5)
    np.testing.assert_allclose(seen.test["epistemic"] ** 2, found.epistemic[:, 0], atol=1e-5)
    rows = reader.load("summary").values
    assert rows["swag"]["nll"] == pytest.approx(found.nll, abs=1e-5)
    assert rows["swag"]["error"] == pytest.approx(found.error, abs=1e-5)
    assert sum(told["pit"]["counts"]) == told["n"] == len(p.dataset.test)
    assert len(told["coverage"]) == len(told["levels"]) == len(regression.LEVELS)
    assert told["constant_variance"] is None
    assert told["spread"]["variation"] > regression.UNINFORMATIVE
    constant = reader.load("regressed:sgd").values
    assert "one constant" in constant["constant_variance"]
    assert len(constant["spread"]["count"]) == 1 < len(constant["by_input"]["count"])
    own = regressed.forecast(predicting.numbers(sources.of_walk(reader.settings, walk, ("sgd",))[0],
                                                sources.Networks(walk.w_sgd[:1]), "validation"))
    assert constant["scale"] == pytest.approx(regression.fit_scale(own.mean, own.sd, own.truth))
    assert set(reader.load("conformal:sgd").values["scores"]) == {"equal width", "stated spread"}
    assert any("predictions of classes" in said for said in rows["said"])
    json.dumps(rows, allow_nan=False)


def test_networks_of_stored_runs_stand_beside(home, plane):
    """An opened network and the draws of a posterior, judged by the very same examples; a run that is missing says so."""
    posterior = identify("posterior", parse("posterior", {
        "task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "grid": 9, "methods": ("swag",), "subspace": "pca",
        "swag_draws": 5, "compared": (), "temperatures": (), "prior_stds": ()}))
    assert compute_here("posterior", posterior.settings, home)[1] == "done"
    library, key = computed(home, task="moons", sources=(), corruptions=("noise",), opened=(
        f"{posterior.key}:theatre:0.5,-0.25", "0123456789abcdef:=w"), posteriors=(f"{posterior.key}:swag",
                                                                                  f"{posterior.key}:swa"))
    reader = Reader(Shelf(library), key)
    rows = reader.load("summary").values
    assert "no run" in rows["opened 2"]["failed"]
    places = places_of(Reader(Shelf(library), posterior.key))
    wanted = {"opened 1": places.at({"plane": "theatre", "x": 0.5, "y": -0.25}).w[None],
              "posterior 1": places.draws.weights("swag"), "posterior 2": places.networks["W_SWA"][None]}
    for label, w in wanted.items():
        direct = average(places.task, w, "test").probabilities
        np.testing.assert_allclose(reader.load(f"judged:{label}").test["probabilities"], direct, atol=1e-6)
    assert reader.load("judged:opened 1").info["place"] == "theatre:0.5,-0.25"
    assert reader.load("shift:noise").info["labels"] == list(wanted)
    assert posterior.key in library.run(key).parents


def test_a_run_without_one_prediction_fails(home):
    library, key = computed(home, fails=True, task="moons", sources=(), opened=("0123456789abcdef:=w",))
    assert "No source could be judged" in library.run(key).message


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    """Sources that are done are not predicted again, and everything is as if it had not been stopped."""
    given = SMALL | {"task": "moons", "sources": ("sgd", "swa", "ensemble"), "corruptions": ("noise",), "ood": "far",
                     "calibrators": ("temperature",)}
    made = identify("calibration", parse("calibration", given))
    original, asked = predicting.classes, []

    def stopped(source, *args):
        asked.append(source.label)
        if len(asked) == 4:  # sgd of two seeds, swa of the first
            raise Cancelled("stop")
        return original(source, *args)

    with Store(tmp_path / "one") as store:
        monkeypatch.setattr(predicting, "classes", stopped)
        store.enter(**made.row())
        assert run_job(store, made.key)[0] == "cancelled"
        assert asked == ["sgd", "sgd", "swa", "swa"]
        store.enter(**made.row())
        assert run_job(store, made.key)[0] == "done"
        assert "sgd" not in asked[4:]
    monkeypatch.setattr(predicting, "classes", original)
    computed(tmp_path / "two", **given)
    one, two = (Library(tmp_path / each) for each in ("one", "two"))
    assert one.names(made.key) == two.names(made.key)
    for name in ("shift:noise", "far"):
        a, b = (each.result(made.key, name) for each in (one, two))
        assert a.info == b.info
        assert all((a.values[k] == b.values[k]).all() for k in b.values)
    assert one.result(made.key, "ood").values == two.result(made.key, "ood").values
    assert (one.result(made.key, "judged:swa").test["probabilities"]
            == two.result(made.key, "judged:swa").test["probabilities"]).all()


@pytest.mark.parametrize("name", ["shuffled", "noise", "far"])
def test_unknown_inputs_are_of_the_right_kind(name):
    dataset = load("digits", 0, 600)
    s = parse("calibration", {"task": "digits", "ood": name})
    x = unknown.unknown_inputs(dataset, s)
    assert x.shape[1:] == dataset.shape
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    if name == "shuffled":
        assert (np.sort(x.reshape(len(x), -1)) == np.sort(dataset.test.x.reshape(len(x), -1))).all()
        assert (x != dataset.test.x).any()


def test_other_data_are_scaled_as_the_tasks_own():
    dataset = load("moons")
    found = unknown.unknown_inputs(dataset, parse("calibration", {"task": "moons", "ood": "spirals"}))
    other = load("spirals")
    np.testing.assert_allclose(dataset.raw(found), other.raw(other.test.x), atol=1e-6)
    with pytest.raises(BadInput, match="of the shape"):
        unknown.unknown_inputs(dataset, parse("calibration", {"task": "moons", "ood": "digits"}))
    digits = load("digits", 0, 600)
    np.testing.assert_allclose(unknown.scaled(digits, digits.raw(digits.test.x)), digits.test.x, atol=1e-5)


def test_a_set_that_was_trained_on_is_refused(signals):
    s, _, walk, _ = at(signals)
    source = sources.of_walk(s, walk, ("sgd",))[0]
    source.problem.task.splits.pop("test")
    with pytest.raises(BadInput, match="no test examples"):
        asking.sets(source)
