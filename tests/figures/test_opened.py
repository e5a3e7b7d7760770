"""Figures of an opened network say what the network said."""

import dataclasses

import numpy as np
import pytest
from seen import classifier, line, moons, pictures

from landscape.figures import checked, confusion, opened, predictions, regions, reliability

KINDS = {"plane": moons, "image": lambda: pictures("digits"), "signal": lambda: pictures("mnist1d", 0.3), "line": line}


@pytest.fixture(params=KINDS)
def seen(request):
    return KINDS[request.param]()


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_every_kind_of_task_has_its_figures(seen):
    names = [p.name for p in opened.pictures(seen)]
    assert names == {"plane": ["regions", "confusion", "reliability"], "image": ["confusion", "reliability"],
                     "signal": ["confusion", "reliability"], "line": ["function", "truth"]}[seen.info["view"]]


def test_figures_are_small_and_leave_colours_to_the_page(seen):
    for p in [*opened.pictures(seen), *opened.pictures_of_two(seen, seen)]:
        assert len(p.figure.to_json(validate=False)) < 1_000_000, p.name
        assert p.figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert p.figure.layout.font.color is None


def test_a_picture_is_drawn_when_it_is_asked_for(seen, monkeypatch):
    for room, name in ((regions, "regions"), (regions, "fitted"), (regions, "predicted_against_true"),
                       (confusion, "confusion"), (reliability, "reliability")):
        monkeypatch.setattr(room, name, lambda *_, name=name: name)
    drawn = [p.figure for p in opened.pictures(seen)]
    assert len(drawn) == len(set(drawn)) > 1


def test_confusion_counts_every_example_with_rows_true():
    p = np.eye(3)[[0, 1, 1, 2, 2, 2]]
    table = trace(confusion.confusion(classifier(p, np.array([0, 0, 1, 2, 2, 0]))), "counts").customdata
    np.testing.assert_array_equal(table[..., 0], [[1, 1, 1], [0, 1, 0], [0, 0, 2]])
    np.testing.assert_array_equal(table[..., 1], [[3, 3, 3], [1, 1, 1], [2, 2, 2]])
    written = trace(confusion.confusion(classifier(p, np.array([0, 0, 1, 2, 2, 0]))), "numbers")
    assert sorted(written.text) == ["1", "1", "1", "1", "2"]


def test_rows_run_downwards_and_right_answers_have_the_other_colour():
    figure = confusion.confusion(classifier(np.eye(3)[[0, 1, 1, 2]], np.array([0, 0, 1, 2])))
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    z = trace(figure, "counts").z
    assert (np.diag(z) > 0).all()
    assert z[0, 1] == -0.5


def test_answers_of_two_networks_are_counted_against_each_other():
    targets = np.array([0, 0, 1, 1])
    a, b = classifier(np.eye(2)[[0, 0, 1, 1]], targets), classifier(np.eye(2)[[0, 1, 1, 1]], targets)
    np.testing.assert_array_equal(trace(confusion.against(a, b), "counts").customdata[..., 0], [[1, 1], [0, 2]])


def test_many_classes_are_drawn_without_numbers():
    n = confusion.WRITTEN + 5
    figure = confusion.confusion(classifier(np.eye(n), np.arange(n)))
    assert [t.name for t in figure.data] == ["counts"]


def test_reliability_bars_reach_accuracy_and_gaps_reach_confidence():
    seen = pictures("digits")
    found = predictions.binned(seen)
    figure = reliability.reliability(seen)
    filled = found.count > 0
    np.testing.assert_array_equal(trace(figure, "examples").y, found.count[filled])
    assert trace(figure, "examples").y.sum() == len(seen.targets)
    lower = np.asarray(trace(figure, "right").y, float)
    np.testing.assert_allclose(lower, np.fmin(found.accuracy, found.confidence)[filled])
    gaps = [t for t in figure.data if (t.name or "").endswith("confident")]
    assert sum(len(t.y) for t in gaps) == filled.sum()
    total = sum(float(np.sum(np.asarray(t.y) * np.asarray(t.customdata)[:, 4])) for t in gaps) / len(seen.targets)
    assert total == pytest.approx(found.error, rel=1e-5)


def test_regions_show_the_winner_and_how_sure_it_is():
    seen = moons()
    figure = regions.regions(seen)
    drawn, p = trace(figure, "decision"), seen.function["probabilities"]
    i, j = 12, 60
    assert drawn.z.shape == (80, 90)
    assert int(drawn.z[j, i]) == p[i, j].argmax()
    assert drawn.meta["names"][int(drawn.z[j, i])] == seen.info["classes"][p[i, j].argmax()]
    assert drawn.text is None, "a name for each cell would be half of what is sent"
    np.testing.assert_allclose(drawn.customdata[j, i], [p[i, j].max(), -(p[i, j] * np.log(p[i, j])).sum()], rtol=1e-4)
    assert figure.layout.yaxis.scaleanchor == "x"


def test_the_colour_scale_never_mixes_two_classes():
    for classes in (2, 3, 10):
        scale = regions._colors(classes)
        assert scale[0][0] == 0
        assert scale[-1][0] == 1
        for k in range(classes):
            inside = [c.rsplit(",", 1)[0] for at, c in scale[2 * k : 2 * k + 2]]
            assert len(set(inside)) == 1


def test_boundaries_lie_where_two_classes_are_equal():
    seen = moons()
    margin = trace(regions.regions(seen), "boundary")
    p = seen.function["probabilities"]
    np.testing.assert_allclose(margin.z.T, p[..., 0] - p[..., 1], atol=1e-6)
    assert margin.contours.start == margin.contours.end == 0


def test_data_and_worst_examples_are_drawn_where_they_are():
    seen = moons()
    figure = regions.regions(seen)
    upper = trace(figure, seen.info["classes"][0])
    mine = seen.function["train_x"][seen.function["train_y"] == 0]
    np.testing.assert_allclose(np.stack([upper.x, upper.y], -1), mine, rtol=1e-6)
    np.testing.assert_allclose(trace(figure, "most wrong").x, seen.examples["x"][:, 0], rtol=1e-6)


def test_the_difference_of_two_networks_is_zero_for_one_and_one_for_opposites():
    a = moons()
    same = trace(regions.difference(a, a), "difference").z
    assert (same == 0).all()
    flipped = dataclasses.replace(a, function={**a.function, "probabilities": a.function["probabilities"][..., ::-1]})
    far = trace(regions.difference(a, flipped), "difference").z
    p = a.function["probabilities"]
    np.testing.assert_allclose(far.T, np.abs(p[..., 0] - p[..., 1]), atol=1e-6)


def test_the_function_is_drawn_with_its_noise_and_its_data():
    seen = line()
    figure = regions.fitted(seen)
    np.testing.assert_allclose(trace(figure, "mean").y, seen.function["mean"], rtol=1e-6)
    band = np.asarray(trace(figure, "noise assumed, ±2 std").y, float)
    assert band.max() - seen.function["mean"].max() == pytest.approx(2 * 0.05**0.5, rel=1e-4)
    assert len(trace(figure, "training data").x) == len(seen.function["train_x"])
    both = regions.fitted(seen, line(0.5))
    assert {"A", "B"} <= {t.name for t in both.data}


def test_values_say_what_was_drawn_when_it_differs():
    seen = moons()
    html = opened.tiles([checked.Verdict("train_loss", 0.5, 0.5, "as drawn", True),
                         checked.Verdict("test_nll", 0.7, 0.6, "DIFFERS from the picture, and should not", False)])
    assert "<b>0.5</b><small class=\"\">as drawn</small>" in html
    assert '<small class="alarm">drawn 0.6: DIFFERS' in html
    assert opened.tiles_of_two(seen, seen).count("</li>") == 5


def test_distances_are_told_for_every_marked_network():
    html = opened.distances(moons())
    assert html.count("<li>") == 3
    assert "14.2" in html
    assert opened.distances(dataclasses.replace(moons(), distances={})) == ""
    assert opened.distances(dataclasses.replace(moons(), distances={"network": 0.0})) == "", "it is the only one"


def test_places_in_words():
    assert opened.named({"plane": "bezier", "x": 1.234, "y": -0.5}) == "(1.23, −0.5) on the plane of the Bezier curve"
    assert opened.named({"path": "segment", "t": 0.4}) == "t = 0.4 on the straight segment"
    assert opened.named({"network": "w1 (seed 0)"}) == "w1 (seed 0)"
    assert opened.named({"plane": "elsewhere", "x": 0, "y": 0}).endswith("on the plane elsewhere")
    assert opened.named({"path": "line 1", "t": 1}) == "t = 1 on line 1"


def test_two_networks_in_words():
    said = opened.two_in_words(moons(), moons(shift=0.3), 2.5)
    assert said.startswith("**A and B agree on ")
    assert "2.5 apart" in said
    assert "apart" not in opened.two_in_words(moons(), moons(), None)
    a, b = line(), line(0.5)
    assert f"differ by {np.sqrt(np.mean((a.outputs - b.outputs) ** 2)):.3g}" in opened.two_in_words(a, b, None)


def test_outputs_that_are_not_numbers_are_said_and_not_drawn():
    seen = moons()
    broken = seen.outputs.copy()
    broken[3] = np.nan
    seen = dataclasses.replace(seen, outputs=broken)
    assert opened.pictures(seen) == []
    assert opened.in_words(seen).startswith("2 of its 2,000 outputs are not finite")
    assert "outputs of B cannot be compared" in opened.two_in_words(moons(), seen, None)


def test_a_network_without_outputs_shows_its_numbers_alone():
    seen = dataclasses.replace(moons(), outputs=np.empty((1000, 0), np.float32))
    assert opened.pictures(seen) == []
    assert opened.in_words(seen) == ""


def test_the_line_between_two_networks_ends_in_them():
    figure = opened.between(np.linspace(0, 5, 21), np.linspace(1, 2, 21), "train loss")
    assert trace(figure, "A").x[0] == 0
    assert (trace(figure, "B").x[0], trace(figure, "B").y[0]) == (5, 2)
