"""An opened network is the one that was drawn: its values, its predictions and what is said of it."""

import numpy as np
import pytest
import torch

from landscape.data import Dataset, Split
from landscape.data.synthetic import regression_features
from landscape.errors import BadInput
from landscape.figures.checked import on_surface, verdicts
from landscape.networks import Net
from landscape.recipes.opening import MARGIN, WORST, opened
from landscape.recipes.places import Places, places_of
from landscape.results import METRICS
from landscape.runs import Library
from landscape.runs.context import Reader
from landscape.runs.records import decode, encode, identify
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.training.task import task_from

PLANES = ("optima", "bezier", "chain")


@pytest.fixture(scope="module")
def moons(shop):
    """``(library, key, places)`` of a finished valleys run."""
    key = shop.valleys(task="moons")
    return shop.library, key, places_of(shop.reader(key))


def cells(surface, count: int) -> list[tuple[int, int]]:
    """Evaluated cells, spread over the surface."""
    found = np.argwhere(surface.evaluated)
    return [tuple(map(int, cell)) for cell in found[np.linspace(0, len(found) - 1, count).astype(int)]]


def assert_drawn(library, key, places, plane: str, rel: float, count: int = 8):
    surface = library.result(key, f"surface:{plane}")
    for i, j in cells(surface, count):
        where = {"run": key, "plane": plane, "x": float(surface.axes[0][i]), "y": float(surface.axes[1][j])}
        seen = opened(places, where)
        assert set(seen.values) == set(METRICS)
        for metric, value in seen.values.items():
            assert value == pytest.approx(surface.values[metric][i, j], rel=rel, abs=1e-12), (plane, i, j, metric)


@pytest.mark.parametrize("plane", PLANES)
def test_a_cell_of_a_dense_net_has_the_value_that_is_drawn(moons, plane):
    assert_drawn(*moons, plane, 1e-6)


@pytest.mark.parametrize("batchnorm", ["re-estimated", "stored"])
def test_with_batchnorm_too_and_the_words_are_those_of_the_surface(shop, batchnorm):
    key = shop.valleys(task="moons", norm="batch", batchnorm=batchnorm, grid=9, batchnorm_examples=100)
    places = places_of(shop.reader(key))
    for plane in PLANES:
        assert_drawn(shop.library, key, places, plane, 1e-5, 4)
    said = opened(places, {"run": key, "plane": "optima", "x": 1.0, "y": 2.0}).info["batchnorm"]
    drawn = shop.library.result(key, "surface:optima").info["batchnorm"]
    assert said == drawn.replace("at every point", "at this point")
    assert ("100 training examples" in said) == (batchnorm == "re-estimated")


@pytest.mark.parametrize("run", [run for run in Library("nowhere").runs() if run.recipe != "calibration"],
                         ids=lambda run: f"{run.recipe}-{run.settings['task']}")
def test_the_gallery_opens(run):
    library = Library("nowhere")
    planes = [name.removeprefix("surface:") for name in library.names(run.key)
              if name.startswith("surface:") and set(library.result(run.key, name).values) >= set(METRICS)]
    assert planes
    places = places_of(Reader(Shelf(library), run.key))
    for plane in planes:
        surface = library.result(run.key, f"surface:{plane}")
        for x, y in ((float(surface.axes[0][i]), float(surface.axes[1][j])) for i, j in cells(surface, 3)):
            seen = opened(places, {"run": run.key, "plane": plane, "x": x, "y": y})
            said = {verdict.word for verdict in verdicts(seen, on_surface(surface, x, y))}
            assert said <= {"as drawn", "as drawn, but for one example"}, (plane, x, y, said)


def test_a_path_has_the_values_of_its_profile(moons):
    library, key, places = moons
    for path in ("segment", "bezier", "chain"):
        profile = library.result(key, f"profile:{path}")
        for k in (0, 17, 30, 60):
            seen = opened(places, {"run": key, "path": path, "t": float(profile.t[k])})
            for metric, value in seen.values.items():
                assert value == pytest.approx(profile.values[metric][k], rel=1e-6)


def test_marks_open_by_name_and_distances_are_those_of_the_plane(moons):
    library, key, places = moons
    surface = library.result(key, "surface:bezier")
    for mark in surface.marks:
        name = mark.name if mark.kind == "end" else f"bezier {mark.name}"
        seen = opened(places, {"run": key, "network": name})
        assert seen.distances[name] == 0
        for metric, value in seen.values.items():
            assert value == pytest.approx(mark.values[metric], rel=1e-6)
    point = opened(places, {"run": key, "plane": "bezier", "x": 1.5, "y": -2.0})
    for mark in surface.marks:
        name = mark.name if mark.kind == "end" else f"bezier {mark.name}"
        assert point.distances[name] == pytest.approx(np.hypot(mark.x - 1.5, mark.y + 2.0), rel=1e-5)
    assert set(point.distances) == {"w1 (seed 0)", "w2 (seed 1)", "w3 (seed 2)", "bezier bend", "chain bend"}


def test_predictions_and_worst_examples_say_what_the_metrics_say(moons):
    _, key, places = moons
    seen = opened(places, {"run": key, "network": "w2 (seed 1)"})
    np.testing.assert_allclose(seen.outputs.sum(1), 1, atol=1e-5)
    own = seen.outputs[np.arange(len(seen.targets)), seen.targets]
    assert -np.log(own).mean() == pytest.approx(seen.values["test_nll"], rel=1e-4)
    assert (seen.outputs.argmax(1) != seen.targets).mean() == pytest.approx(seen.values["test_error"])
    index, nll = seen.examples["index"], seen.examples["nll"]
    assert len(index) == WORST
    assert (np.diff(nll) <= 0).all()
    np.testing.assert_allclose(nll, -np.log(own[index]), rtol=1e-3)
    assert nll[-1] >= np.sort(-np.log(own))[-WORST - 1] - 1e-5
    np.testing.assert_allclose(seen.examples["x"], places.dataset.raw(places.dataset.test.x[index]))
    assert seen.info["parameters"] == places.task.net.size
    assert seen.info["n"]["test"] == len(seen.targets)
    back = decode(*encode(seen))
    np.testing.assert_array_equal(back.outputs, seen.outputs)
    assert back.where == seen.where
    assert back.info == seen.info


def test_decision_regions_are_the_network_s_outputs_in_raw_units(moons):
    _, key, places = moons
    where = {"run": key, "plane": "optima", "x": 2.0, "y": 1.0}
    function = opened(places, where).function
    x, y = function["x"], function["y"]
    i, j = 31, 77
    logits = places.task.net(places.at(where).w, torch.tensor([[x[i], y[j]]]))
    np.testing.assert_allclose(function["probabilities"][i, j], logits.softmax(-1)[0].numpy(), rtol=1e-4)
    train = places.dataset.raw(places.dataset.train.x)
    np.testing.assert_allclose([x[0], x[-1]], [train[:, 0].min() - MARGIN * np.ptp(train[:, 0]),
                                               train[:, 0].max() + MARGIN * np.ptp(train[:, 0])], rtol=1e-4)
    np.testing.assert_array_equal(function["train_x"], train)


def test_the_fitted_function_of_a_regression_is_what_the_network_says_of_its_features(shop):
    key = shop.valleys(task="regression", grid=9)
    places = places_of(shop.reader(key))
    where = {"run": key, "path": "bezier", "t": 0.5}
    seen = opened(places, where)
    features = torch.tensor(regression_features(seen.function["x"].astype(np.float64)))
    expected = places.task.net(places.at(where).w, features)[:, 0]
    np.testing.assert_allclose(seen.function["mean"], expected.numpy(), rtol=1e-4, atol=1e-5)
    assert seen.function["x"].shape == (400,)
    assert seen.function["x"].min() < -7.2 < 7.2 < seen.function["x"].max()
    np.testing.assert_allclose(seen.function["train_x"], 2 * places.dataset.train.x[:, 0])
    assert np.sqrt(((seen.outputs - seen.targets) ** 2).mean()) == pytest.approx(seen.values["test_error"], rel=1e-5)
    assert seen.info["noise_std"] == pytest.approx(0.05**0.5)
    assert_drawn(shop.library, key, places, "optima", 1e-6)


def test_scaled_inputs_and_targets_come_back_in_their_units():
    rng = np.random.default_rng(0)
    raw = rng.uniform(100, 300, (50, 1)).astype(np.float32)
    y = (3 * raw).astype(np.float32)
    split = Split((raw - 200) / 50, (y - 600) / 30)
    dataset = Dataset("own", "Own", "regression", split, split, split, (), "line",
                      {"mean": 200.0, "std": 50.0, "target_mean": [600.0], "target_std": [30.0]})
    module = torch.nn.Linear(1, 1)
    places = Places(dataset, task_from(dataset, Net(module), 0.0), networks={"exact": torch.tensor([5.0, 0.0])})
    seen = opened(places, {"run": "k", "network": "exact"})
    np.testing.assert_allclose(seen.function["mean"], 3 * seen.function["x"], rtol=1e-5)
    np.testing.assert_allclose(seen.function["train_y"], y[:, 0], rtol=1e-5)
    np.testing.assert_allclose(seen.outputs, seen.targets, rtol=1e-5)
    np.testing.assert_allclose(seen.examples["x"], raw[seen.examples["index"]], rtol=1e-5)
    assert seen.info["noise_std"] == pytest.approx(30 * 0.05**0.5)
    assert seen.values["test_error"] < 1e-5


def test_networks_of_a_training_run_have_the_statistics_of_their_own_training(shop):
    given = {"task": "moons", "norm": "batch", "epochs": 3, "widths": (8,), "seeds": (4, 7)}
    key = shop.computed("training", **given)
    places = places_of(shop.reader(key))
    assert list(places.networks) == ["seed 4", "seed 7"]
    seen = opened(places, {"run": key, "network": "seed 7"})
    found = shop.library.weights(key, "optima")
    buffers = {name.removeprefix("buffer."): torch.tensor(b[1]) for name, b in found.items() if name.startswith("buffer.")}
    x, y = places.task.splits["test"]
    outputs = places.task.net(torch.tensor(found["w"][1]), x, buffers)
    assert seen.values["test_nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, y)), rel=1e-6)
    assert seen.info["batchnorm"] == "stored with this network"


def test_curves_open_on_their_own(shop):
    key = shop.computed("curves", task="moons", epochs=2, curve_epochs=2, widths=(8,), seeds=(0, 1), bends=2)
    places = places_of(shop.reader(key))
    assert set(places.networks) == {"w1 (seed 0)", "w2 (seed 1)", *(f"{k} bend {i}" for k in PLANES[1:] for i in (1, 2))}
    middle, corner = ({"run": key, "path": "chain", "t": t} for t in (0.5, 1 / 3))
    assert opened(places, corner).distances["chain bend 1"] == pytest.approx(0, abs=1e-6)
    assert opened(places, middle).distances["chain bend 1"] > 0


def test_far_away_is_a_network_too_until_its_weights_are_no_numbers(moons):
    _, key, places = moons
    far = opened(places, {"run": key, "plane": "optima", "x": 1e6, "y": 0.0})
    assert np.isfinite(far.values["train_nll"])
    with pytest.raises(BadInput, match="too far"):
        opened(places, {"run": key, "plane": "optima", "x": 1e300, "y": 0.0})


def test_what_is_not_there_is_said_with_what_is(moons):
    _, key, places = moons
    for where, message in (({"plane": "bezir", "x": 0.0, "y": 0.0}, "Did you mean 'bezier'"),
                           ({"path": "line", "t": 0.0}, "no path 'line'.* chain, segment"),
                           ({"network": "w9"}, "no network 'w9'")):
        with pytest.raises(BadInput, match=message):
            opened(places, {"run": key, **where})


def test_while_the_curves_are_computed_the_optima_open_and_before_that_it_is_said(shop):
    made = identify("valleys", {"task": "moons", "epochs": 1, "widths": (8,)})
    training = {name: getattr(made.settings, name) for name in identify("training", {}).settings.model_dump()}
    with Store(shop.home) as store:
        store.enter(**made.row())
    with pytest.raises(BadInput, match="not computed"):
        places_of(shop.reader(made.key))
    child = shop.computed("training", **training)
    with Store(shop.home) as store:
        store.link(made.key, child)
    places = places_of(shop.reader(made.key))
    assert list(places.planes) == ["optima"]
    assert list(places.paths) == ["segment"]
    assert opened(places, {"run": made.key, "network": "w3 (seed 2)"}).distances["w3 (seed 2)"] == 0
