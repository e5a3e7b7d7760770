"""Figures, tables and sentences of the posterior page, on results with known numbers."""

import dataclasses

import inferred
import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.figures import (
    bands,
    confidence,
    coordinates,
    draws,
    entropy,
    levels,
    methods,
    posterior_table,
    subspace,
    sweep,
    theatre,
    traces,
    truth,
)
from landscape.results import Predictive, Samples, Series, Summary, Surface


def gaussian(n: int = 201, far: float = 5.0) -> Surface:
    """A standard normal density in the plane: a share p of its mass lies above -log(1 - p) nats below the mode."""
    axis = np.linspace(-far, far, n)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    density = -(x**2 + y**2) / 2 + 7.0
    return Surface((axis, axis), {"log_density": density, "density": np.exp(density), "train_nll": -density},
                   np.ones((n, n), bool), (), None, {"data": {"train": 3}})


def text_of(figure) -> str:
    return str(figure.to_dict())


def test_the_lines_hold_the_mass_they_say():
    found = theatre.mass_levels(gaussian())
    for share, depth in found.items():
        assert depth == pytest.approx(-np.log(1 - share / 100), abs=0.02)


def test_mass_at_the_border_is_found():
    assert theatre.border_mass(gaussian()) < 1e-4
    assert theatre.border_mass(gaussian(far=1.0)) > 0.01


@pytest.mark.parametrize("value", list(theatre.VALUES))
@pytest.mark.parametrize("relief", [False, True])
def test_every_draw_is_on_the_stage_with_its_number(value, relief):
    samples = inferred.samples("ess", 100)
    figure = theatre.theatre(inferred.theatre(), {"ess": samples}, value, relief)
    clouds = [trace for trace in figure.data if trace.meta]
    assert [trace.name for trace in clouds] == ["chain 1", "chain 2", "chain 3", "chain 4"]
    assert {trace.meta["draws"] for trace in clouds} == {"ess"}
    rows = np.concatenate([trace.customdata for trace in clouds])
    if not relief:
        assert sorted(rows) == list(range(100))
    points = np.concatenate([np.stack([trace.x, trace.y], axis=1) for trace in clouds])
    np.testing.assert_allclose(points, samples.plane[rows], rtol=1e-5, atol=1e-6)


def test_several_methods_have_the_colours_of_methods_and_a_legend():
    shown = {"ess": inferred.samples("ess", 60), "swag": inferred.swag()}
    figure = theatre.theatre(inferred.theatre(), shown)
    clouds = [trace for trace in figure.data if trace.meta]
    assert {trace.marker.color for trace in clouds} == {methods.look("ess").color, methods.look("swag").color}
    assert figure.layout.showlegend
    assert any("two sigma" in (trace.name or "") for trace in figure.data), "SWAG as an ellipse"


def test_the_ellipse_is_two_deviations_wide():
    info = {"ellipse": {"mean": [1.0, -2.0], "covariance": [[4.0, 0.0], [0.0, 0.25]]}}
    at = methods.ellipse(dataclasses.replace(inferred.samples("swag"), info=info))
    np.testing.assert_allclose([at[:, 0].max(), at[:, 0].min()], [5, -3], atol=0.02)
    np.testing.assert_allclose([at[:, 1].max(), at[:, 1].min()], [-1, -3], atol=0.02)
    own = methods.ellipse(Samples(np.empty((3, 0)), np.eye(3)[:, :2], np.zeros(3), np.zeros(3, int), np.zeros(3)))
    assert np.isfinite(own).all()


def test_a_density_is_a_hill_and_a_loss_a_valley():
    surface = gaussian(41)
    hill = np.asarray(theatre.theatre(surface, {}, "log_density").data[0].z)
    valley = np.asarray(theatre.theatre(surface, {}, "train_nll").data[0].z)
    assert hill[20, 20] == hill.max()
    assert valley[20, 20] == valley.min()
    assert np.asarray(theatre.theatre(surface, {}, "density").data[0].z)[20, 20] == pytest.approx(levels.TOP)


def test_an_unknown_value_is_answered():
    with pytest.raises(BadInput, match="log_density"):
        theatre.theatre(gaussian(21), {}, "posterior")


def test_a_dragged_loop_paints_only_where_asked():
    assert theatre.theatre(gaussian(21), {}, lasso=True).layout.dragmode == "lasso"
    small = theatre.theatre(gaussian(21), {"ess": inferred.samples("ess")}, small=True)
    assert small.layout.dragmode == "zoom"
    assert not small.layout.annotations


def test_axes_say_how_long_their_unit_is():
    surface = inferred.theatre()
    assert "3.2" in coordinates.axis_title(surface, 0)
    assert coordinates.axis_title(gaussian(21), 0) == "distance in weight space"
    assert coordinates.aspect(surface)["scaleratio"] == pytest.approx(1.7 / 3.2)
    thin = dataclasses.replace(surface, info=surface.info | {"lengths": [10.0, 1.0]})
    assert not coordinates.in_proportion(thin)


def test_the_loss_has_walk_draws_and_ellipse():
    surface = inferred.loss()
    scale = levels.common_scale([surface.values["train_nll"]], None)
    for relief in (False, True):
        figure = theatre.loss(surface, "train_nll", scale, {"swag": inferred.swag()}, relief)
        names = [trace.name for trace in figure.data]
        assert "walk" in names
        assert "SWAG" in names


def test_no_more_draws_than_a_browser_likes():
    many = inferred.samples("ess", 9000, 1)
    (cloud,) = draws.clouds({"ess": many}, True)
    assert len(cloud.points) <= draws.DRAWN
    np.testing.assert_array_equal(many.plane[cloud.rows], cloud.points)


def test_bands_are_as_wide_as_the_deviation_says():
    seen = inferred.regression("ess", 2.5)
    figure = bands.bands(seen, "ess")
    (three, two, one) = [trace for trace in figure.data if trace.fill == "toself"]
    n = len(seen.function["x"])
    for trace, sd in ((three, 3), (two, 2), (one, 1)):
        width = np.asarray(trace.y[:n]) - np.asarray(trace.y[n:])[::-1]
        np.testing.assert_allclose(width, 2 * sd * seen.function["epistemic"], rtol=1e-3)
    both = bands.deviation(seen, "both")
    np.testing.assert_allclose(both**2, seen.function["epistemic"] ** 2 + 0.05, rtol=1e-6)


def test_gaps_and_their_width_are_read_off_the_data():
    seen = inferred.regression("ess", 3.0)
    bare = dataclasses.replace(seen, info={})
    (first, second) = bands.gaps(bare)
    np.testing.assert_allclose(first, (-4.8, -1.2), atol=0.15)
    np.testing.assert_allclose(second, (1.2, 4.8), atol=0.15)
    gap, data, ratio = bands.gap_ratio(bare)
    assert gap > 1.5 * data
    assert ratio == pytest.approx(gap / data)
    told = dataclasses.replace(seen, info={"gap": {"in_gaps": 0.3, "at_data": 0.1, "ratio": 3.0}})
    assert bands.gap_ratio(told) == (0.3, 0.1, 3.0), "the run's own numbers, where it has them"


def test_who_does_not_widen_is_said():
    found = {"swag": inferred.regression("swag", 1.1), "ensemble": inferred.regression("ensemble", 5.0)}
    text = bands.in_words(found)
    assert text.index("Deep ensemble") < text.index("SWAG")
    assert "SWAG hardly widens" in text
    assert "hardly wider" in bands.width_in_words(found["swag"])


def test_the_window_holds_the_data_whatever_one_method_does():
    wild = inferred.regression("hmc", 400.0)
    low, high = bands.window({"swag": inferred.regression("swag", 1.1), "hmc": wild}, "epistemic")
    assert low < wild.function["train_y"].min()
    assert high > wild.function["train_y"].max()


def test_entropy_and_disagreement():
    seen = inferred.plane()
    figure = entropy.entropy(seen)
    z = np.asarray(figure.data[0].z).T
    np.testing.assert_allclose(z, seen.function["entropy"], atol=1e-6)
    assert figure.data[0].zmax == pytest.approx(np.log(2))
    bare = {k: v for k, v in seen.function.items() if k not in ("entropy", "disagreement")}
    again = entropy.values(Predictive({}, seen.outputs, seen.targets, {}, bare), "entropy")
    np.testing.assert_allclose(again, seen.function["entropy"], atol=1e-6)
    assert "knowing nothing: 0.693" in entropy.in_words(seen)


def test_confidence_minus_accuracy_has_every_example_once():
    seen = inferred.plane()
    found = confidence.bins_of(seen)
    assert found.count.sum() == len(seen.targets)
    figure = confidence.confidence({"ess": seen}, banded="ess")
    assert list(figure.layout.xaxis.ticktext) == ["0.200", "0.759", "0.927", "0.978", "0.993", "0.998"]
    line = next(trace for trace in figure.data if trace.mode == "markers")
    np.testing.assert_allclose(line.y, found.gap[found.count > 0], rtol=1e-5)


def test_ranks_of_mixed_chains_are_even_and_of_stuck_ones_are_not():
    series = inferred.traces()
    ranks = traces.ranked(series, "z1")
    assert ranks.sum() == 400
    assert ranks.max() < 20
    stuck = dataclasses.replace(series, values={"z1": series.values["z1"] + 10 * np.arange(4)[:, None]})
    assert traces.ranked(stuck, "z1").max() == 20
    assert traces.parts(series) == ["z1", "z2", "log_density"]
    assert traces.named("z1") == "coordinate 1"
    assert len([t for t in traces.traces(series, "z1").data if t.showlegend is None]) == 4


def test_verdicts():
    assert traces.verdict(inferred.samples("ess")) == ("The chains agree (R-hat 1.004).", True)
    apart = inferred.samples("ess", rhat=1.8)
    assert traces.verdict(apart)[1] is False
    assert "do not agree" in traces.verdict(apart)[0]
    assert traces.verdict(inferred.swag())[0].startswith("Independent")
    failed = inferred.samples("flow", failed="The flow diverged.")
    assert traces.verdict(failed) == ("The flow diverged.", False)
    live = inferred.samples("ess", final=False, done=1, total=4, rhat=None, function=None)
    assert traces.verdict(live) == ("25% of the way", True)


def test_a_density_that_was_rounded_is_said_and_doubted_before_its_chains_agree():
    little = inferred.samples("hmc", rounding={"sd": 0.03, "trusted": True, "said": "Off by 0.03 nats."})
    assert traces.verdict(little) == ("The chains agree (R-hat 1.004).", True)
    assert truth.rounded(little.info) == [("Off by 0.03 nats.", True)]
    assert dict(traces.facts(little))["log density error"] == "0.03"
    much = inferred.samples("hmc", rounding={"sd": None, "trusted": False, "said": "Off: WARNING."})
    assert traces.verdict(much) == ("Off: WARNING. The chains agree (R-hat 1.004).", False)
    assert "log density error" not in dict(traces.facts(much))
    assert truth.rounded(inferred.samples("hmc").info) == []
    swept = Series(np.array([1.0, 2.0]), {"log_density_error": np.array([0.2, np.nan])}, {"precision": "bfloat16"})
    said = "networks evaluated in bfloat16, log densities off by at most 0.2 nats (sd over draws)"
    assert sweep.rounded_in_words(swept) == said
    assert sweep.rounded_in_words(Series(swept.x, swept.values, {})) == ""


def test_draws_against_the_grid_in_words():
    errors = {"mean": [0.01, -0.03], "sd": [0.02, 0.0], "correlation": 0.005, "standard_error": 0.01}
    said = traces.against_grid(inferred.samples("ess", moment_error=errors))
    assert said.startswith("Total variation to the grid **0.034** (as many exact draws show about 0.031)")
    assert "mean off by at most 0.03 sd" in said
    assert traces.against_grid(inferred.swag()) == ""
    assert ("draws", "4 chains × 100") in traces.facts(inferred.samples("ess"))


def test_the_table_marks_the_best_and_says_who_failed():
    values = inferred.table("classification").values
    html = posterior_table.table(values, "runs?filter={key}")
    assert html.count("<tr>") == 2 + len(inferred.METHODS)
    assert "<b class=best>0.050 ± 0.004</b>" in html
    assert "The flow diverged in step 12" in html
    assert "reference" in html
    assert posterior_table.seeds(values) == 5
    assert posterior_table.in_words(values).startswith("Lowest test NLL: **Elliptical slice sampling** 0.050")
    assert "RMSE" in posterior_table.table(inferred.table("regression").values, kind="regression")
    assert "&lt;b&gt;" in posterior_table.table({"rows": [{"label": "flow", "failed": "<b>"}]})


def test_likelihoods_are_ordered_with_their_spread():
    figure = posterior_table.likelihoods(inferred.table().values)
    order = list(figure.layout.yaxis.categoryarray)
    assert order[-1] == "Elliptical slice sampling", "the best at the top"
    assert figure.data[-1].error_x.array == (0.004,)


def test_sweeps_name_the_best_and_only_what_can_be_told():
    series = inferred.sweep()
    assert "at **T = 0.3**" in sweep.best_in_words(series, "temperature")
    assert "a cold posterior predicts better" in sweep.best_in_words(series, "temperature")
    flat = dataclasses.replace(series, values={"test_nll": 0.05 + 1e-4 * np.arange(6)})
    assert "too close to tell apart" in sweep.best_in_words(flat, "temperature")
    figure = sweep.sweep(series, "temperature")
    assert [trace.name for trace in figure.data] == ["test NLL", "train NLL"]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.annotations[0].x == 0.0, "the place of T = 1 on a logarithmic axis"


def test_members():
    series = inferred.members()
    figure = sweep.members(series)
    assert {"Deep ensemble", "MultiSWA", "MultiSWAG"} <= {trace.name for trace in figure.data}
    text = sweep.members_in_words(series)
    assert text.startswith("Test NLL with 5 members: MultiSWAG")
    assert sweep.members(series, "error", regression=True).layout.yaxis.title.text == "test RMSE"
    below = dataclasses.replace(series, values={name: v - 1 for name, v in series.values.items()})
    assert "MultiSWAG −0." in sweep.members_in_words(below)


def test_widths_of_narrow_bands_are_seen_beside_wide_ones():
    wide, narrow = inferred.regression(), inferred.regression("swag")
    narrow.function["epistemic"][:] *= 1e-3
    narrow.function["epistemic"][0] = 0.0
    figure = bands.widths({"ess": wide, "swag": narrow})
    assert figure.layout.yaxis.type == "log"
    lines = {trace.name: np.asarray(trace.y) for trace in figure.data}
    assert np.isnan(lines["SWAG"][0])  # zero has no place on this axis
    np.testing.assert_allclose(lines["SWAG"][1:], narrow.function["epistemic"][1:], rtol=1e-5)
    assert [note.text for note in figure.layout.annotations] == ["no data", "no data"]


def test_shares_of_the_walk():
    figure = subspace.shares(np.array([0.6, 0.3]))
    np.testing.assert_allclose(figure.data[0].y, [60, 30], rtol=1e-6)


def test_methods_of_other_subspaces_and_unknown_ones_have_names_and_colours():
    assert methods.look("ess random").title == "Random subspace (ESS)"
    assert methods.look("ess pca").title == "PCA subspace (ESS)"
    assert methods.look("something_new").title == "something new"
    assert methods.ordered({"ess", "swag", "zzz", "ess curve"}) == ["swag", "ess", "ess curve", "zzz"]


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_made_up_results_survive_the_store(kind):
    from landscape.results import pack, unpack

    for result in inferred.results(kind).values():
        again = unpack(*pack(result))
        assert type(again) is type(result)
        if isinstance(result, Summary):
            assert again.values == result.values
