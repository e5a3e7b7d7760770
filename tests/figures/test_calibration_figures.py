"""The figures of the Calibration page: what is drawn is what was counted."""


import judged
import numpy as np
import pytest
from drawn import Shelf

from landscape.figures import (
    calibrators,
    certainty,
    confidence_gap,
    diagram,
    gap_thumbnail,
    intervals,
    judgements,
    metric_table,
    ood,
    page,
    points,
    rank_matrix,
    shift,
    sources,
)
from landscape.results import Judged, Series
from landscape.uncertainty.binning import on_axis, ticks
from landscape.uncertainty.calibration_errors import debiased

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def found():
    return judged.results()


@pytest.fixture(scope="module")
def looks(found):
    return sources.named(found)


def lines(figure):
    return {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.showlegend is not False}


def marks(figure, label):
    return next(t for t in figure.data if (t.meta or {}).get("label") == label)


@pytest.mark.parametrize("rule", ["width", "mass"])
@pytest.mark.parametrize("bins", [3, 15, 50])
def test_every_example_is_in_exactly_one_bin_of_both_figures(found, looks, rule, bins):
    seen = {"sgd": found["judged:sgd"], "swag": found["judged:swag"]}
    counted = {label: sources.bins_of(one, bins, rule) for label, one in seen.items()}
    for figure in (confidence_gap.gap(counted, looks), diagram.diagram(
            counted, {label: sources.top(one)[0] for label, one in seen.items()}, looks)):
        for label in seen:
            told = marks(figure, label).customdata
            assert told[:, 2].sum() == 600
            np.testing.assert_allclose(counted[label].confidence[told[:, 3].astype(int)], told[:, 0], rtol=1e-6)
    gap = marks(confidence_gap.gap(counted, looks), "sgd")
    np.testing.assert_allclose(np.asarray(gap.y), gap.customdata[:, 0] - gap.customdata[:, 1], atol=1e-6)


def test_the_ticks_are_those_of_the_slide(found, looks):
    figure = confidence_gap.gap({"sgd": sources.bins_of(found["judged:sgd"], 15, "mass")}, looks)
    assert figure.layout.xaxis.ticktext[:6] == ("0.200", "0.759", "0.927", "0.978", "0.993", "0.998")
    np.testing.assert_allclose(figure.layout.xaxis.tickvals[:6], on_axis(ticks()))
    seen = on_axis(sources.bins_of(found["judged:sgd"], 15, "mass").confidence)
    assert figure.layout.xaxis.range[1] > np.nanmax(seen), "no bin lies outside"


def test_bins_of_a_few_examples_are_points_that_no_line_joins(looks):
    p = np.array([[0.2, 0.8]] * 40 + [[0.45, 0.55]] * 2 + [[0.03, 0.97]] * 9)
    one = Judged("classes", {"probabilities": p, "labels": np.ones(len(p), int)})
    seen = sources.bins_of(one, 10, "width")
    figure = confidence_gap.gap({"sgd": seen}, looks)
    assert len(lines(figure)["SGD"].x) == 2
    assert len(marks(figure, "sgd").x) == 3


def test_bands_hold_the_line_in_both_figures(found, looks):
    seen = {"sgd": sources.bins_of(found["judged:sgd"], 10, "width")}
    confidence_gap.gap(seen, looks, ("sgd",))
    figure = diagram.diagram(seen | {"swa": seen["sgd"]}, dict.fromkeys(("sgd", "swa"), np.full(5, 0.5)), looks, ("sgd",))
    band = next(t for t in figure.data if t.fill == "toself")
    n = len(band.x) // 2
    accuracy = seen["sgd"].accuracy[seen["sgd"].count > 0]
    high, low = np.asarray(band.y[:n]), np.asarray(band.y[n:])[::-1]
    assert ((low <= accuracy + 1e-6) & (accuracy <= high + 1e-6)).all()
    assert ((low >= 0) & (high <= 1)).all()


def test_one_source_is_drawn_as_bars_that_end_at_confidence_or_accuracy(found, looks):
    seen = sources.bins_of(found["judged:sgd"], 10, "width")
    figure = diagram.diagram({"sgd": seen}, {"sgd": sources.top(found["judged:sgd"])[0]}, looks)
    first, sure = figure.data[0], next(t for t in figure.data if t.name == "too sure")
    filled = seen.count > 0
    np.testing.assert_allclose(first.y, np.minimum(seen.accuracy, seen.confidence)[filled], rtol=1e-6)
    over = filled & (seen.gap > 0)
    np.testing.assert_allclose(np.asarray(sure.base, float) + np.asarray(sure.y, float), seen.confidence[over], rtol=1e-5)


def test_a_ring_marks_the_bin_that_is_open(found, looks):
    seen = {"sgd": sources.bins_of(found["judged:sgd"], 10, "mass")}
    figure = confidence_gap.gap(seen, looks, marked=("sgd", 4))
    ring = next(t for t in figure.data if t.name == "shown below")
    assert ring.y[0] == pytest.approx(seen["sgd"].gap[4])
    assert not [t for t in confidence_gap.gap(seen, looks, marked=("sgd", 99)).data if t.name == "shown below"]


def test_sources_have_colours_of_their_own_and_an_order():
    labels = ["posterior 1", "swag", "sgd temperature", "opened 1", "sgd", "opened 2"]
    seen = sources.looks(labels)
    assert len({look.color for look in seen.values()}) == len(labels)
    assert sources.ordered(labels)[:3] == ["sgd", "sgd temperature", "swag"]
    assert seen["sgd temperature"].title == "SGD + temperature"


def test_the_best_stands_out_and_what_meets_its_interval_is_marked(looks):
    def values(nll, low, high, debiased_ece):
        return {"metrics": {"nll": {"value": nll, "low": low, "high": high},
                            "ece_debiased": {"value": debiased_ece, "low": -0.1, "high": 0.1}}}

    accounts = {"sgd": values(0.9, 0.8, 1.0, 0.02), "swa": values(0.7, 0.65, 0.75, -0.03),
                "swag": values(0.72, 0.74, 0.76, 0.01)}
    assert metric_table.best(accounts, "nll", -1) == ("swa", {"swag"})
    assert metric_table.best(accounts, "ece_debiased", -1)[0] == "swag", "nearest to zero, not the lowest"
    html = metric_table.table(accounts, looks)
    assert '<b class="best">0.700</b>' in html
    assert '<b class="near">0.720</b>' in html
    assert "<b>0.900</b>" in html
    assert "0.650 – 0.750" in html
    assert metric_table.best({"sgd": accounts["sgd"]}, "nll", -1) == (None, set()), "one source is not the best of any"


def test_the_table_of_the_run_has_every_metric_with_its_interval(found, looks):
    accounts = {label: one.values for label, one in sources.of(found, "account:").items()}
    html = metric_table.table(accounts, looks)
    for title, _, _ in metric_table.COLUMNS.values():
        assert f">{title}<" in html
    assert html.count("<tr>") == len(accounts) + 2
    missing = {"metrics": {"nll": {"value": None, "low": None, "high": None}}}
    assert "nan" not in metric_table.table({"sgd": accounts["sgd"], "swa": missing}, looks)


def test_the_table_goes_into_a_spreadsheet_and_into_a_paper(found, looks):
    accounts = {label: one.values for label, one in sources.of(found, "account:").items()}
    head, first, *rest = metric_table.plain(accounts, looks)
    assert head[:4] == ["source", "accuracy", "accuracy_low", "accuracy_high"]
    assert float(first[1]) == pytest.approx(accounts["sgd"]["metrics"]["accuracy"]["value"], rel=1e-5)
    assert all(len(row) == len(head) for row in rest)
    text = metric_table.latex(accounts, looks)
    assert text.count("\\\\") == len(accounts) + 1
    assert "\\%" in text
    assert not [line for line in text.splitlines() if "%" in line.replace("\\%", "")], "every percent sign is escaped"
    assert f"{{l{'c' * len(metric_table.columns(accounts))}}}" in text


def test_points_are_ordered_and_other_seeds_are_beside_them(found, looks):
    accounts = {label: one.values for label, one in sources.of(found, "account:").items()}
    figure = metric_table.points(accounts, looks, "nll", {"sgd": [1.0, 1.1]})
    order = figure.layout.yaxis.categoryarray
    nll = {looks[label].title: values["metrics"]["nll"]["value"] for label, values in accounts.items()}
    assert [nll[name] for name in order] == sorted(nll.values(), reverse=True), "the lowest is at the top"
    assert [len(t.x) for t in figure.data if t.name == "other seeds" and len(t.x)] == [2]


def test_the_error_by_number_of_bins_equals_the_direct_one(found, looks):
    one = found["judged:swag"]
    curve = metric_table.errors_by_bins({"swag": one}, "debiased")["swag"]
    p, labels = one.test["probabilities"], one.test["labels"]
    for i in (0, 5, -1):
        assert curve[i] == pytest.approx(debiased(p, labels, metric_table.SWEPT[i]), abs=1e-9)
    assert len(metric_table.by_bins({"swag": curve}, looks, "debiased").data[0].x) == len(metric_table.SWEPT)


def test_ranks_leave_out_what_has_no_values_and_name_the_pair_that_agrees_least():
    rows = [{"nll": n, "error": n, "ece15": -n, "mce": None} for n in (0.1, 0.2, 0.4, 0.9)]
    columns = rank_matrix.table(rows)
    assert list(columns) == ["error", "nll", "ece15"]
    figure = rank_matrix.matrix(columns)
    np.testing.assert_allclose(figure.data[0].z, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-6)
    assert "**error** and **ECE**" in rank_matrix.in_words(columns)
    assert rank_matrix.table(rows[:2]) == {}


def test_calibrators_before_and_after(found):
    values = found["calibrated:sgd"].values
    figure = calibrators.before_and_after(values, "nll")
    ends = {t.name: t.x for t in figure.data if t.mode == "markers"}
    rows = {row["title"]: row for row in calibrators.worked(values)}
    assert {name: tuple(x) for name, x in ends.items()} == {
        name: (row["before"]["nll"], row["after"]["nll"]) for name, row in rows.items()}
    html = calibrators.table(values)
    assert '<b class="bad">Here there is one network only.</b>' in html
    assert "Temperature changed 0 predictions." in calibrators.in_words(values)
    assert calibrators.in_words({"rows": []}) == "None of the calibrators could be fitted."


def test_a_calibrator_that_makes_it_worse_is_said():
    rows = [{"calibrator": name, "title": name, "before": {"nll": 0.5}, "after": {"nll": nll}, "changed": 1}
            for name, nll in (("temperature", 0.4), ("isotonic", 0.6))]
    assert "isotonic raises it" in calibrators.in_words({"rows": rows})
    assert "No calibrator lowers" in calibrators.in_words({"rows": rows[1:]})


def test_the_ladder_has_a_line_a_source_and_examples_keep_their_scale(found, looks):
    series = found["shift:noise"]
    figure = shift.ladder(series, looks, "accuracy")
    assert [t.name for t in figure.data] == [looks[label].title for label in judged.SOURCES]
    both = shift.averaged({name: found[f"shift:{name}"] for name in judged.CORRUPTIONS})
    np.testing.assert_allclose(both.values["sgd nll"], series.values["sgd nll"])
    assert "**MultiSWAG** is lowest" in shift.in_words(series, looks)
    x = np.linspace(-1, 1, 20)
    fading = Series(np.arange(6.0), {"example 0": np.stack([x / 2**s for s in range(6)]).T},
                    {"view": "signal", "shape": [20]})
    html = shift.examples(fading)
    assert html.count("<figure>") == 6
    assert len(set(html.split('src="')[1:])) == 6, "what fades is seen to fade"


def test_unknown_inputs(found, looks):
    values = found["ood"].values
    figure = ood.auroc(values, looks)
    drawn = {t.name: t for t in figure.data if t.customdata is not None}
    assert set(drawn) == {ood.SCORES[s] for s in ("entropy", "doubt", "disagreement")}
    assert len(drawn[ood.SCORES["disagreement"]].x) == 2, "only sources of several networks"
    one = values["methods"]["sgd"]["scores"]["entropy"]
    histogram = ood.histogram(one, "entropy")
    assert sum(histogram.data[0].y[:-1]) == pytest.approx(1, abs=1e-5)
    assert "AUROC" in ood.in_words(values, looks)


def test_confidence_far_away(found, looks):
    sgd = found["confidence:sgd"]
    figure = certainty.certainty(sgd)
    assert figure.data[0].zmin == 0.5
    assert np.asarray(figure.data[0].z).max() == pytest.approx(certainty.confidence(sgd).max(), rel=1e-6)
    assert "at the border" in certainty.in_words(sgd)
    assert {t.name for t in certainty.far(found["far"], looks).data} == {"SGD", "Deep ensemble"}


def test_intervals_of_numbers():
    found = judged.results("regression")
    looks = sources.named(found)
    regressed = {label: one.values for label, one in sources.of(found, "regressed:").items()}
    figure = intervals.coverage(regressed, looks)
    sgd = next(t for t in figure.data if t.name == "SGD")
    np.testing.assert_allclose(sgd.y[1:-1], regressed["sgd"]["coverage"], rtol=1e-6)
    assert sum(intervals.pit(regressed["sgd"]["pit"], "#123456").data[0].y) == 300
    assert intervals.ways(regressed["sgd"]) == ["", "scaled", "isotonic"]
    stacked = intervals.spread({"sgd": regressed["sgd"]}, looks, "by_input").data[0]
    assert np.ptp(stacked.x) < 1e-6 < np.ptp(stacked.y), "a constant spread says nothing where the error differs"
    assert "SGD **" in intervals.coverage_in_words(regressed, looks)


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_conformal_sets(kind):
    found = judged.results(kind)
    looks = sources.named(found)
    sets = {label: one.values for label, one in sources.of(found, "conformal:").items()}
    figure = intervals.conformal(sets, looks)
    assert sum(len(t.x) for t in figure.data if t.hoverinfo == "skip") == 60 * 2 * len(sets)
    assert "keep the promise" in intervals.conformal_in_words(sets, looks) or "kept" in intervals.conformal_in_words(
        sets, looks)
    one = next(iter(sets.values()))["scores"]
    endless = {"x": {"alpha": 0.1, "kind": "intervals", "scores": {"equal width": next(iter(one.values())) | {
        "size": [None] * 59 + [1.0]}}}}
    assert intervals.conformal(endless, {"x": looks["sgd"]}).data[1].y[0] == 1.0


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_the_card_has_a_line_for_every_source(kind):
    found = judged.results(kind)
    svg = gap_thumbnail.thumbnail(found)
    count = len([name for name in found if name.startswith("judged:")])
    assert svg.count("<polyline") == count
    assert len(svg) < 12_000
    assert "nan" not in svg
    assert gap_thumbnail.thumbnail({}) == ""


def test_points_of_a_bin():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    seen = Judged("classes", {"probabilities": p, "labels": np.array([0, 1, 1])})
    figure = points.points(np.arange(6.0).reshape(3, 2), np.array([0, 1]), seen)
    assert [list(t.x) for t in figure.data] == [[4.0], [0.0], [2.0]]
    assert figure.data[2].marker.symbol == ("x",), "taken for another class"




@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_the_run_can_be_handed_on_as_one_page(kind, monkeypatch):
    shelf = Shelf(judged.results(kind))
    shelf.names = lambda key: list(judged.results(kind))
    parts = judgements.parts(shelf, KEY)
    titles = [part.title for part in parts]
    assert "Every metric, none alone" in titles
    assert "Sets with a promise" in titles
    assert ("Is the confidence earned?" in titles) == (kind == "classes")
    monkeypatch.setitem(page.TOLD, shelf.run(KEY).recipe, judgements.parts)
    html = page.standalone(shelf, KEY)
    names = [name for part in parts for name in part.figures]
    assert len(names) == len(set(names)), "every figure has a name of its own"
    assert all(f'id="{name}"' in html for name in names)
    assert "landscape-judged" in html
