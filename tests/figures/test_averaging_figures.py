"""Figures, tables and sentences of the averaging page, on results with known numbers."""

import json
import math
import re

import numpy as np
import pytest
import walked
from drawn import Shelf

from landscape import schedules as plans
from landscape.errors import BadInput
from landscape.figures import (
    averages,
    fge,
    gap,
    levels,
    page,
    rays,
    schedules,
    shells,
    story,
    style,
    table,
    truth,
    walks,
    width,
)
from landscape.results import METRICS, History, Profile, Series, Surface

METRIC = "test_error"


def scale_of(surface, metric=METRIC):
    return levels.common_scale([surface.values[metric]], None)


def test_every_step_of_a_schedule_is_drawn_and_every_snapshot_marked():
    plan = plans.plan("fge", lr=0.1, epochs=8, steps_per_epoch=10, cycle=2)
    figure = schedules.schedules({"FGE": (plan, "#cc5fa8")}, {"FGE": (np.arange(1, 9), plan.rates[9::10])}, {"start": 3.0})
    line, taken, logged = figure.data
    np.testing.assert_allclose(line.y[:-1], plan.rates, rtol=1e-6)
    np.testing.assert_allclose(line.x[:-1], plan.time, rtol=1e-6)
    np.testing.assert_allclose(taken.x, plan.collect / 10)
    np.testing.assert_allclose(taken.y, plan.heights, rtol=1e-6)
    np.testing.assert_allclose(logged.y, np.interp(logged.x, plan.time, plan.rates), rtol=1e-5)
    assert [a.text for a in figure.layout.annotations] == ["start"]
    assert "4 snapshots, the first after 1 epochs" in schedules.in_words(plan)


def test_a_rate_that_was_not_the_planned_one_shows_as_a_difference():
    plan = plans.plan("linear", lr=0.1, epochs=4, steps_per_epoch=5)
    epochs, rates = np.arange(1, 5), plan.rates[4::5].copy()
    assert schedules.difference(plan, epochs, rates) == 0
    rates[2] += 0.01
    assert schedules.difference(plan, epochs, rates) == pytest.approx(0.01)
    parts = np.array([0.0, 1.4, 2.2, 2.6])
    found = np.array([np.nan, plan.rates[6], np.nan, plan.rates[12]])
    assert schedules.difference(plan, parts, found) == 0
    assert np.isnan(schedules.difference(plan, parts, np.full(4, np.nan)))


def test_long_schedules_are_thinned_and_constant_ones_said_so():
    plan = plans.plan("constant", lr=0.1, epochs=100, steps_per_epoch=1000)
    shown = schedules.drawn_steps(plan)
    assert len(shown) <= schedules.MOST
    assert shown[-1] >= plan.steps - 2 * (shown[1] - shown[0])
    assert "stays 0.1" in schedules.in_words(plan)


@pytest.mark.parametrize("relief", [False, True])
def test_the_walk_lies_below_the_marks_and_can_be_revealed(relief):
    surface = walked.walk()
    figure = walks.walk(surface, METRIC, scale_of(surface), relief=relief)
    (walker,) = figure.layout.meta["walkers"]
    trail = figure.data[walker["trace"]]
    np.testing.assert_allclose(trail.x, surface.path[:, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(walker["trail"]["y"], surface.path[:, 1], atol=1e-4)
    assert ("z" in walker["trail"]) == relief
    names = [t.name for t in figure.data]
    assert names.index("walk") < names.index("marks")
    assert list(figure.data[names.index("marks")].text) == ["W1", "W2", "W3", "W<sub>SWA</sub>"]
    assert "outside the plane" in trail.hovertext[1]
    assert trail.hovertext[0].startswith("<b>epoch 30")


def test_a_plane_without_a_walk_has_no_walker():
    surface = walked.bowl("flat", {"W_SWA": (0.0, 0.0)}, units="direction")
    figure = walks.walk(surface, METRIC, scale_of(surface), "random swa")
    assert figure.layout.meta["walkers"] == []
    assert figure.layout.xaxis.title.text == walks.STEPS, "its axes are no distances"


def test_the_arrow_leads_from_the_lowest_loss_to_the_lowest_error():
    surface = walked.results()["surface:twin"]
    figure = walks.twin(surface, "train_loss", scale_of(surface, "train_loss"))
    a, b = walks.ends_of(surface)
    arrow = figure.layout.annotations[-1]
    assert (arrow.ax, arrow.ay, arrow.x, arrow.y) == (a["x"], a["y"], b["x"], b["y"])
    loss = surface.values["train_loss"]
    assert a["value"] == loss.min()
    words = walks.shift_in_words(surface)
    assert f"{math.dist((a['x'], a['y']), (b['x'], b['y'])):.2g} away" in words
    three = walks.twin(surface, "train_loss", scale_of(surface, "train_loss"), relief=True)
    assert [t.name for t in three.data][-1] == "minima"


def test_minima_that_coincide_are_said_to():
    surface = walked.bowl("twin", {"W_SGD": (1.0, 0.0), "W_SWA": (0.0, 0.0)}, lean=0.0)
    assert "are the same network" in walks.shift_in_words(surface)
    bare = Surface(surface.axes, surface.values, surface.evaluated)
    assert walks.shift_in_words(bare) == ""


def test_who_is_lower_is_counted_over_the_seeds_that_are_finite():
    sgd, swa = np.array([0.3, 0.3, 0.3, np.nan]), np.array([0.25, 0.26, 0.31, 0.2])
    words = walks.compared_in_words({"test_error": (sgd, swa), "train_nll": (swa, sgd)})
    assert "**SWA has the lower test error** in 2 of 3 seeds" in words
    assert "**SGD has the lower train NLL** in 2 of 3 seeds" in words


def test_distances_from_the_plane_are_told():
    words = walks.distances_in_words(walked.walk())
    assert "3 of 11 snapshots lie in this plane" in words
    bars = walks.residuals(("epoch 0", "epoch 5", "last"), np.array([1.0, 2.0, 0.5]))
    assert list(bars.data[0].x) == [0.0, 5.0, 2.0]
    assert walks.pretty("W_SWA of W1, W2, W3") == "W<sub>SWA</sub>"
    assert walks.pretty("epoch 20") == "epoch 20"


def test_curves_are_means_in_the_band_of_their_seeds():
    shown = {name: walked.history(name, low, first) for name, low, first in (("sgd", 0.28, 1), ("swa", 0.26, 31))}
    figure = averages.averages(shown, METRIC, {"averaging starts": 30.0})
    lines = {t.name: t for t in figure.data if t.fill is None}
    np.testing.assert_allclose(lines["SGD"].y, 100 * shown["sgd"].values[METRIC].mean(0), rtol=1e-5)
    assert len(lines["SWA"].x) == 10, "only where it is defined"
    assert min(lines["SWA"].x) == 31
    with pytest.raises(BadInput, match="validation_error"):
        averages.averages(shown, "validation_error")


def test_the_claim_of_the_talk_is_counted_not_assumed():
    def ends(values):
        return History(("a", "b"), np.arange(2), np.ones(2), {"test_error": np.array([[0.5, v] for v in values])})

    words = averages.in_words({"last": ends([0.3, 0.3]), "swa": ends([0.2, 0.35]), "prediction average": ends([0.25, 0.32])})
    assert "Averaging weights beats averaging predictions in 1 of 2 seeds" in words
    assert "averaging predictions beats the last model in 1 of 2" in words
    assert "**27.5%**" in words
    assert averages.in_words({"last": ends([0.3, 0.3])}) == ""


def test_rays_are_one_trace_a_solution_and_a_median_above():
    series = walked.rays(count=8)
    figure = rays.rays(series, METRIC, count=3, reach=10.0)
    thin, bold = figure.data[0], figure.data[2]
    assert int(np.isnan(thin.y).sum()) == 3
    np.testing.assert_allclose(bold.y, 100 * np.median(series.values["sgd test_error"][:3, :11], axis=0), rtol=1e-5)
    assert max(bold.x) == 10.0
    assert rays.agreement(series) == 0
    broken = Series(series.x, {"sgd test_error": np.array([[0.1] * 21, [0.2] * 21])})
    assert rays.agreement(broken) == pytest.approx(0.1), "rays of one network that start elsewhere"
    with pytest.raises(BadInput, match="test_nll"):
        rays.rays(series, "test_nll")


def test_width_in_words_names_the_wider_and_what_never_ended():
    series = walked.rays()
    assert "SWA is 1.26 times as wide" in rays.width_in_words(series, METRIC)
    assert "risen by 5 percentage points" in rays.width_in_words(series, METRIC)
    series.info["width"]["swa"][METRIC] = {"median": None, "low": None, "high": None}
    assert "more than was drawn from SWA" in rays.width_in_words(series, METRIC)
    assert "times as wide" not in rays.width_in_words(series, METRIC)


@pytest.mark.parametrize("sgd", [-17.0, 17.0])
def test_the_line_marks_both_networks_at_their_distances(sgd):
    path = rays.line_with_ends(walked.line(), sgd)
    ends = rays.line_ends(path)
    assert np.interp(ends, path.t, path.distance) == pytest.approx([sgd, 0.0])
    figure = rays.line(path)
    marks = [t for t in figure.data if t.name == "networks"]
    assert marks[0].y[1] == pytest.approx(100 * np.interp(0.0, path.distance, path.values[METRIC]))
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["0"] == pytest.approx(ends[1])


def test_asymmetry_says_where_nothing_rose():
    words = rays.asymmetry_in_words({"asymmetry": {"test_error": {"sgd_side": 14.2, "swa_side": None, "rise": 0.02}}})
    assert words == ("From SWA, test error has risen by 2 points after 14.2 towards SGD and nowhere in the drawn range away "
                     "from it.")


def test_the_gap_is_drawn_beside_second_order():
    series = walked.results()["gap"]
    figure = gap.gap(series)
    second, measured = figure.data
    np.testing.assert_allclose(measured.y, series.values["gap"])
    slope = np.polyfit(np.log(second.x), np.log(second.y), 1)[0]
    assert slope == pytest.approx(2)
    words = gap.in_words(series)
    assert "**2.00** ± 0.01: second order" in words
    assert "0.9987" in words
    series.info["slope"] = 1.2
    assert "second order would be 2" in gap.in_words(series)


def test_densities_of_the_shell_are_those_of_the_chi_distribution():
    from scipy import stats

    for d in (1, 2, 7, 400):
        r = np.linspace(0.0, math.sqrt(d) + 4, 60)
        np.testing.assert_allclose(shells.radial_density(d, r, 1.5), stats.chi.pdf(r / 1.5, d) / 1.5, rtol=1e-8, atol=1e-300)
    figure = shells.gaussian(100_000, 10)
    one, mean = figure.data
    assert one.x[int(np.argmax(one.y))] == pytest.approx(math.sqrt(100_000), rel=1e-3)
    assert mean.x[int(np.argmax(mean.y))] == pytest.approx(math.sqrt(10_000), rel=1e-3)
    assert "45,000 nats" in shells.gaussian_in_words(100_000, 10), "d (1 - 1/k) / 2"
    assert len(shells.gaussian(3, 1).data) == 1


def test_radii_of_iterates_stand_beside_those_of_a_gaussian():
    series = walked.results()["shells"]
    figure = shells.radii(series)
    assert [t.name for t in figure.data] == [shells.NAMES["measured radius"], shells.NAMES["gaussian"]]
    assert "neighbours on SGD's way are alike" in shells.in_words(series)
    histogram = shells.histogram(series)
    assert [t.name for t in histogram.data] == ["SGD's iterates (50)", "averages of 5 of them (40)"]
    assert shells.histogram(Series(series.x, {"gaussian": series.values["gaussian"]})) is None


def test_ensembles_against_members_and_the_three_stacked_plots():
    found = walked.results()
    assert [t.name for t in fge.members(found["fge"]).data] == [title for title, _ in fge.LINES.values()]
    assert "ensemble of 6 has a test error of **26.5%**" in fge.in_words(found["fge"])
    assert "at the cost of one network" in fge.in_words(found["fge"])
    figure = fge.run(found["fge:run"])
    assert [figure.layout[name].title.text for name in ("yaxis", "yaxis2", "yaxis3")] == list(fge.STACKED.values())
    taken = [t for t in figure.data if t.name == "member taken"]
    assert list(taken[0].x) == [1, 3, 5, 7, 9, 11]


def test_the_width_table_says_what_rescaling_changes():
    values = walked.width().values
    assert width.verdict(values["rows"], "normalised curvature") == ("no", False)
    said, bad = width.verdict(values["rows"], "eigenvalues")
    assert bad
    assert said == "yes: 55 times"
    assert width.verdict(values["rows"], "ray width")[0] == "yes: 55 times smaller"
    assert "changes?" in width.table(values, True)
    assert "rescaled" not in width.table(values, False)
    assert width.cell({"value": None, "error": None}) == "–"
    assert width.cell({"value": 40.0, "error": 1e-6}) == "40", "an error that changes no digit is left out"
    words = width.in_words(values)
    assert "**SWA is flatter** by largest Hessian eigenvalues" in words
    assert "curvature per filter" not in words.split("Rescaling")[1]


def test_the_table_marks_the_lowest_and_leads_to_runs():
    values = walked.table().values
    html = table.table(values, "runs?filter={key}")
    assert html.count('class="best"') == 6, "one a column"
    assert '<a href="runs?filter=walkparent000001"' in html
    assert "25.8 ± 0.6%" in html
    assert "n = 5" in html
    assert table.seeds(values) == 5
    values["rows"][0]["test_error"] = {"mean": None, "sd": None, "n": 0}
    assert "<td>–</td>" in table.table(values)


def test_a_line_of_truth_for_what_is_no_surface():
    said = truth.said({"data": {"test": 1000}, "batchnorm": "none"}, "8 directions", metric="test_error")
    assert said == ("8 directions · all 1,000 test examples · no BatchNorm · test data is for looking only: nothing was "
                    "chosen by it.")
    assert "data not stated" in truth.said({}, "x")


def test_all_of_it_is_in_the_exported_page():
    shelf = Shelf(walked.results())
    run = shelf.run("0123456789abcdef")
    run.recipe = "averaging"
    shelf.run = lambda key: run
    html = page.standalone(shelf, run.key)
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.S).group(1))
    assert {"map-walk", "relief-walk", "map-twin-test_error", "map-twin-train_loss", "components-path", "rays", "line",
            "gap", "function", "fge", "fge-run", "radii", "curves", "map-random-sgd"} <= set(figures)
    assert all(f'id="{name}"' in html for name in figures)
    for text in ("Where SGD goes", "Width in numbers", "25.8 ± 0.6%", "anchor error"):
        assert text in html
    assert "**" not in html.split('id="figures"')[0].rsplit("<script>", 1)[0]


def test_parts_come_one_by_one_while_a_run_goes_on():
    everything = walked.results()
    for name in everything:
        for part in story.parts(Shelf({name: everything[name]}), "0123456789abcdef"):
            assert part.figures or part.html
    assert story.parts(Shelf({}), "0123456789abcdef") == []


def test_methods_have_colours_of_their_own():
    assert len({look["color"] for look in style.METHODS.values()}) == len(style.METHODS)
    assert style.clear("#ff0080", 0.5) == "rgba(255,0,128,0.5)"


def test_marks_of_averages_are_stars():
    surface = walked.walk()
    (marks,) = [t for t in walks.walk(surface, METRIC, scale_of(surface)).data if t.name == "marks"]
    assert list(marks.marker.symbol) == ["circle", "circle", "circle", "star"]
    assert isinstance(walked.line(), Profile)
    assert set(surface.values) == set(METRICS)
