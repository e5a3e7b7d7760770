"""Profiles, histories and the sentences about them."""

import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.figures import history, profile, truth
from landscape.results import History, Surface

from drawn import make_profile, make_surface  # isort: skip


def test_maxima_in_words(profiles):
    assert profile.maxima_in_words(profiles, "train_nll") == (
        "Along the straight segment train NLL rises to 2.36 (t = 0.50); "
        "the Bezier curve never exceeds 0.25, the chain 0.24: 9 times lower.")


def test_words_do_not_praise_a_curve_that_is_no_lower():
    same = {k: make_profile(k, 0.3) for k in ("segment", "bezier")}
    assert profile.maxima_in_words(same, "train_nll").endswith("0.3: no lower than the segment.")
    assert "times" not in profile.maxima_in_words({"segment": same["segment"]}, "train_nll")
    same["bezier"].values["train_nll"][:] = np.nan
    assert "No finite train NLL along: Bezier curve" in profile.maxima_in_words(same, "train_nll")


@pytest.mark.parametrize(("value", "said"), [(0.2501, "0.26"), (0.25, "0.25"), (0.1784, "0.18"), (99.2, "100"),
                                            (0.0, "0"), (np.float32(0.25), "0.25")])
def test_a_bound_is_rounded_up(value, said):
    assert profile.at_most(value) == said


def test_profile_lines(profiles):
    figure = profile.profile(profiles, "train_nll")
    lines = {t.name: t for t in figure.data if t.mode == "lines"}
    assert lines["straight segment"].line.dash == "dash"
    assert lines["Bezier curve"].line.dash == "solid"
    np.testing.assert_allclose(lines["polygonal chain"].y, profiles["chain"].values["train_nll"].astype(np.float32))
    (walker,) = figure.layout.meta["walkers"]
    assert walker["vertical"]
    assert len(figure.data[walker["trace"]].x) == 2


def test_profile_over_arc_length_walks_on_each_path(profiles):
    figure = profile.profile(profiles, "train_nll", distance=True)
    (walker,) = figure.layout.meta["walkers"]
    assert set(walker["paths"]) == {"segment", "bezier", "chain"}
    assert walker["paths"]["bezier"]["x"][-1] == 10.0


def test_twin_shares_t_and_has_two_walkers(profiles):
    figure = profile.twin(profiles, "train_loss", "test_error")
    assert figure.layout.xaxis.matches == "x2"
    assert [figure.data[w["trace"]].name for w in figure.layout.meta["walkers"]] == ["walker"] * 2
    assert len([t for t in figure.data if t.mode == "lines" and t.name != "walker"]) == 6


def test_history_marks_who_diverged(training):
    figure = history.history(training, ["train_loss", "train_error"])
    assert figure.layout.yaxis.type == "log"
    ticks = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    assert ticks[0.5] == "0.5", "written in full, not its first digit alone"
    assert figure.layout.yaxis2.type == "linear"
    narrow = History(("seed 0",), np.arange(3), None, {"train_loss": np.array([[0.7, 0.5, 0.3]])}, {})
    assert 0.4 in [round(tick, 9) for tick in history.history(narrow, ["train_loss"]).layout.yaxis.tickvals]
    crosses = [t for t in figure.data if t.name == "seed 2 diverged"]
    assert len(crosses) == 2
    assert crosses[0].x[0] == 12
    assert not any(t.name == "seed 0 diverged" for t in figure.data)
    with pytest.raises(BadInput, match="validation"):
        history.history(training, ["validation_loss"])


def test_ten_curves_of_two_branches_have_five_colours_and_a_dash_a_branch():
    names = tuple(f"{branch} seed {seed}" for branch in ("sgd", "constant") for seed in range(5))
    shown = history.looks(names)
    assert len({(look.color, look.dash) for look in shown}) == 10
    assert [look.color for look in shown[:5]] == [look.color for look in shown[5:]]
    assert {look.dash for look in shown[:5]} == {"solid"} != {look.dash for look in shown[5:]}
    values = {"train_loss": np.ones((10, 4)), "validation_error": np.ones((10, 4))}
    figure = history.history(History(names, np.arange(1, 5), None, values, {}), list(values))
    named = [t.name for t in figure.data if t.showlegend is not False]
    assert named == ["SGD, decaying rate", "constant rate", *(f"seed {seed}" for seed in range(5))]
    assert figure.layout.legend.yref == "container", "below the curves, where the tools never lie"


def test_twenty_networks_do_not_look_alike():
    assert len({(look.color, look.dash) for look in history.looks(tuple(f"seed {seed}" for seed in range(20)))}) == 20


def test_truth_of_a_good_picture(surface):
    text = truth.line(surface, "train_loss")
    assert truth.anchor_ok(surface)
    assert all(ok for _, ok in truth.sentences(surface))
    for part in ("all 4,000 train examples", "no BatchNorm", "48.2°", "99 of 775 cells evaluated",
                 "interpolated to 0.02% of the colour range (99th percentile on 128 held-out cells)"):
        assert part in text
    assert "test" not in text
    assert "test data is for looking only" in truth.line(surface, "test_error")


@pytest.mark.parametrize("error", [2e-5, np.nan, np.inf])
def test_truth_flags_a_surface_that_differs_from_its_networks(error):
    bad = make_surface(anchor=error)
    assert not truth.anchor_ok(bad)
    text, ok = truth.sentences(bad)[0]
    assert not ok
    assert "differs from its own marked networks" in text
    assert "train NLL" in text


def test_truth_of_partial_and_broken_pictures(surface):
    assert "not final" in truth.line(make_surface(final=False), "train_loss")
    surface.info.update(not_finite=3, interpolation={})
    text = truth.line(surface, "train_loss")
    assert "3 evaluated cells are not finite" in text
    assert "error not measured yet" in text
    bare = Surface(surface.axes, surface.values, surface.evaluated)
    assert not truth.anchor_ok(bare)
    assert "anchor error not measured" in truth.line(bare, "train_loss").lower()
