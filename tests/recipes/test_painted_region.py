"""A region painted on the theatre: its networks, their average, and what cannot be painted."""

import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.runs import Library
from landscape.runs.clicks import Opener
from landscape.runs.local import compute_here
from landscape.runs.records import decode
from landscape.runs.region import area, inside
from landscape.settings import parse

SMALL = {"task": "moons", "widths": (6,), "epochs": 20, "seeds": (0, 1), "subspace": "pca", "methods": ("ess",),
         "compared": (), "draws": 10, "chains": 2, "warmup": 5, "grid": 17, "reference": None, "temperatures": (),
         "prior_stds": ()}


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """A finished run, and ``average(polygon, weights)`` of a region of its theatre."""
    home = tmp_path_factory.mktemp("painted")
    key, status, message = compute_here("posterior", parse("posterior", SMALL), home)
    assert status == "done", message
    opener = Opener(home)

    def average(polygon, weights="equal"):
        found = opener.average({"run": key, "plane": "theatre", "polygon": polygon, "weights": weights})
        return decode(found["meta"], found["arrays"])

    return home, key, opener, average


def square(x, y, half):
    return [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]]


def test_a_tiny_region_predicts_what_its_one_network_predicts(painted):
    _, key, opener, average = painted
    found = average(square(0.3, -0.2, 1e-4))
    seen = opener.open({"run": key, "plane": "theatre", "x": 0.3, "y": -0.2})
    one = decode(seen["meta"], seen["arrays"])
    np.testing.assert_allclose(found.outputs, one.outputs, atol=1e-4)
    assert found.values["nll"] == pytest.approx(one.values["test_nll"], abs=1e-4)
    assert found.info["networks"] == 64
    assert 0 <= found.info["mass"] < 0.01


def test_all_of_the_surface_holds_all_of_the_mass(painted):
    home, key, _, average = painted
    surface = Library(home).result(key, "surface:theatre")
    found = average(square(0, 0, 1e3 * float(np.abs(surface.axes[0]).max())), "density")
    assert found.info["mass"] == pytest.approx(1)
    np.testing.assert_allclose(found.outputs.sum(axis=1), 1, atol=1e-5)
    method = Library(home).result(key, "predictive:ess")
    assert found.values["nll"] == pytest.approx(method.values["nll"], abs=0.1), "the posterior by hand is the posterior"
    assert {"x", "y", "entropy", "probabilities"} <= set(found.function)


def test_weights_matter(painted):
    home, key, _, average = painted
    axis = Library(home).result(key, "surface:theatre").axes[0]
    corners = square(float(axis.mean()), 0.0, float(np.ptp(axis)) / 2)
    equal, weighted = average(corners, "equal"), average(corners, "density")
    assert not np.allclose(equal.outputs, weighted.outputs, atol=1e-3)


@pytest.mark.parametrize(("corners", "said"), [
    (square(1e6, 1e6, 1.0), "larger loop"), ([[0, 0], [1, 1], [2, 2]], "encloses nothing"), ([[0, 0], [1, 1]], "corners")])
def test_what_cannot_be_painted_is_said(painted, corners, said):
    with pytest.raises(BadInput, match=said):
        painted[3](corners)


def test_other_planes_and_runs_are_answered(painted):
    _, key, opener, _ = painted
    with pytest.raises(BadInput, match="no posterior"):
        opener.average({"run": key, "plane": "loss", "polygon": square(0, 0, 1), "weights": "equal"})
    with pytest.raises(BadInput, match="weight"):
        opener.average({"run": key, "plane": "theatre", "polygon": square(0, 0, 1), "weights": "much"})


def test_points_inside_a_bent_polygon():
    arrow = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], float)
    points = np.array([[2, 0.5], [2, 2], [0.2, 3], [3.8, 3], [-1, 1], [5, 1]])
    assert inside(arrow, points).tolist() == [True, False, True, True, False, False]
    assert area(arrow) == pytest.approx(10)
    rng = np.random.default_rng(0)
    share = inside(arrow, rng.uniform(0, 4, (20_000, 2))).mean()
    assert share * 16 == pytest.approx(10, abs=0.2)
