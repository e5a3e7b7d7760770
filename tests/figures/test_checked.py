"""The drawn value beside the opened one: equal, or the reason; never a silent difference."""

import dataclasses

import numpy as np
import pytest
from drawn import make_profile, make_surface
from seen import moons

from landscape.figures import checked
from landscape.results import METRICS


@pytest.fixture
def surface():
    return make_surface()


def opened(values: dict, **info):
    seen = moons()
    return dataclasses.replace(seen, values={**seen.values, **values},
                               info={**seen.info, "n": {"train": 4000, "test": 1000}, **info})


def verdict(seen, drawn, metric="train_loss"):
    return next(v for v in checked.verdicts(seen, drawn) if v.metric == metric)


def test_a_click_in_single_precision_is_the_cell_itself(surface):
    x, y = (float(np.float32(axis[7])) for axis in surface.axes)
    assert checked.snapped(surface, x, y) == (surface.axes[0][7], surface.axes[1][7])
    assert checked.snapped(surface, 0.1234, 0.5) == (0.1234, 0.5)


@pytest.mark.parametrize(("i", "j", "how"), [(6, 9, "evaluated"), (7, 10, "interpolated")])
def test_a_cell_tells_its_value_and_how_it_is_known(surface, i, j, how):
    drawn = checked.on_surface(surface, surface.axes[0][i], surface.axes[1][j])
    assert drawn.how == how
    assert drawn.values == {m: surface.values[m][i, j] for m in METRICS}


def test_between_cells_the_value_is_bilinear(surface):
    (x, y), z = surface.axes, surface.values["train_loss"]
    drawn = checked.on_surface(surface, (x[7] + x[8]) / 2, (y[10] + y[11]) / 2)
    assert drawn.how == "between"
    assert drawn.values["train_loss"] == pytest.approx(z[7:9, 10:12].mean())
    on_a_line = checked.on_surface(surface, (x[7] + x[8]) / 2, y[-1])
    assert on_a_line.values["train_loss"] == pytest.approx(z[7:9, -1].mean())


@pytest.mark.parametrize("place", [(99.0, 0.0), (0.0, -99.0), (-99.0, 99.0)])
def test_outside_the_picture_nothing_is_drawn(surface, place):
    drawn = checked.on_surface(surface, *place)
    assert np.isnan(drawn.values["train_loss"])
    assert verdict(opened({}), drawn).drawn is None


def test_the_far_corner_is_a_cell(surface):
    drawn = checked.on_surface(surface, surface.axes[0][-1], surface.axes[1][-1])
    assert drawn.values["train_loss"] == surface.values["train_loss"][-1, -1]


def test_equal_values_are_as_drawn_and_a_difference_is_an_alarm(surface):
    drawn = checked.on_surface(surface, surface.axes[0][6], surface.axes[1][9])
    value = drawn.values["train_loss"]
    assert verdict(opened({"train_loss": value * (1 + 5e-5)}), drawn) == checked.Verdict(
        "train_loss", value * (1 + 5e-5), value, "as drawn", True)
    found = verdict(opened({"train_loss": value * 1.01}), drawn)
    assert not found.ok
    assert "DIFFERS" in found.word


def test_an_error_rate_may_differ_by_one_example_and_no_more(surface):
    drawn = checked.on_surface(surface, surface.axes[0][6], surface.axes[1][9])
    value = drawn.values["test_error"]
    assert verdict(opened({"test_error": value + 0.001}), drawn, "test_error").word == "as drawn, but for one example"
    assert not verdict(opened({"test_error": value + 0.002}), drawn, "test_error").ok
    root_mean_square = opened({"test_error": value + 0.001}, kind="regression")
    assert not verdict(root_mean_square, drawn, "test_error").ok


@pytest.mark.parametrize(("drawn", "here", "reason"), [
    ({"data": {"train": 4000}}, {"n": {"train": 500}}, "drawn on 4,000 train examples, opened on 500"),
    ({"batchnorm": "stored"}, {"batchnorm": "re-estimated at this point on 9"}, "statistics stored in the picture"),
    ({"batchnorm": "re-estimated at every point on 9"}, {"batchnorm": "re-estimated at this point on 9"}, None),
])
def test_another_reason_is_said(surface, drawn, here, reason):
    surface = dataclasses.replace(surface, info={**surface.info, **drawn})
    at = checked.on_surface(surface, surface.axes[0][6], surface.axes[1][9])
    found = verdict(opened({"train_loss": 7.0}, **here), at)
    assert found.ok == (reason is not None)
    assert (reason or "DIFFERS") in found.word


def test_an_interpolated_cell_says_so(surface):
    found = verdict(opened({"train_loss": 7.0}), checked.on_surface(surface, surface.axes[0][7], surface.axes[1][10]))
    assert found.ok
    assert found.word == "this cell is interpolated"


def test_profiles_are_evaluated_at_their_points_and_lines_between():
    profile = make_profile("segment", 2.36)
    assert checked.on_profile(profile, 0.5).how == "evaluated"
    assert checked.on_profile(profile, 0.5).values["train_nll"] == pytest.approx(2.36)
    assert checked.on_profile(profile, 0.5 + 1 / 120).how == "between"


def test_marks_tell_their_own_values(surface):
    assert checked.at_mark(surface.marks[0], surface.info).values["train_loss"] == 0.1
    assert verdict(opened({"train_loss": 0.2}), checked.at_mark(surface.marks[0], surface.info)).ok is False


def test_where_nothing_is_drawn_there_is_nothing_to_say():
    assert {v.word for v in checked.verdicts(opened({}), None)} == {""}
