"""The square of pairs says what the pairs say."""

import json

import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.figures import matrix, style
from landscape.results import Matrix


def make_matrix(n: int = 5, missing: bool = False) -> Matrix:
    """Networks on a line at 0, 10, 1, 11, 2, ...: two clusters that alternate in the order of the files."""
    place = np.array([10 * (i % 2) + i // 2 for i in range(n)], float)
    distance = np.abs(place[:, None] - place[None, :])
    agreement = 1 - distance / 40
    barrier = 0.1 * distance
    if missing:
        barrier[0, 1] = barrier[1, 0] = np.nan
    names = tuple(f"runs/family_seed-{i}.pt" for i in range(n))
    return Matrix(names, {"distance": distance, "barrier": barrier, "agreement": agreement})


def heat(figure):
    (trace,) = [t for t in figure.data if t.type == "heatmap"]
    return trace


def test_cells_are_the_values_and_the_diagonal_is_empty():
    result = make_matrix()
    trace = heat(matrix.heatmap(result, "distance"))
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(trace.z[off], result.values["distance"][off])
    assert np.isnan(np.diag(trace.z)).all()
    assert list(trace.customdata[1, 3]) == ["runs/family_seed-3.pt", "runs/family_seed-1.pt"]


@pytest.mark.parametrize("quantity", matrix.QUANTITIES)
def test_light_is_alike_in_every_quantity(quantity):
    trace = heat(matrix.heatmap(make_matrix(), quantity))
    alike = matrix.QUANTITIES[quantity].alike
    end = trace.colorscale[0] if alike == trace.zmin else trace.colorscale[-1]
    assert alike in (trace.zmin, trace.zmax)
    assert end[1] == style.RAMP[0]


def test_an_order_moves_rows_and_columns_together():
    result = make_matrix()
    order = matrix.by_likeness(result)
    near = np.abs(np.diff([10 * (i % 2) + i // 2 for i in order]))
    assert sorted(order) == list(range(5))
    assert sorted(near)[:-1] == [1, 1, 1], "inside a cluster neighbours stand side by side"
    figure = matrix.heatmap(result, "distance", order)
    trace, names = heat(figure), list(figure.layout.xaxis.ticktext)
    assert names == [f"seed-{i}" for i in order]
    assert trace.z[0, 1] == pytest.approx(result.values["distance"][order[0], order[1]])
    assert list(figure.layout.yaxis.ticktext) == names


def test_no_order_where_a_distance_is_missing():
    result = make_matrix()
    result.values["distance"][0, 1] = np.nan
    assert matrix.by_likeness(result) is None
    assert matrix.by_likeness(make_matrix(2)) is None


def test_fifty_networks_stay_readable():
    figure = matrix.heatmap(make_matrix(50), "barrier")
    trace = heat(figure)
    assert trace.texttemplate is None, "numbers of 2,500 cells could not be read"
    assert trace.showscale
    assert figure.layout.xaxis.tickangle == -90
    assert len(figure.layout.xaxis.ticktext) == 50
    assert len(json.dumps(json.loads(figure.to_json()))) < 600_000
    few = matrix.heatmap(make_matrix(5), "barrier")
    assert heat(few).texttemplate
    assert not heat(few).showscale


def test_words_name_the_pairs_and_what_is_missing():
    said = matrix.in_words(make_matrix(4, missing=True), "barrier")
    assert said == ("Lowest barrier 0.1 (seed-0 and seed-2), highest barrier 1.1 (seed-0 and seed-3). "
                    "1 of 6 pairs are not finite or not evaluated.")
    assert matrix.in_words(make_matrix(2), "agreement") == "Agreement 75.0% (seed-0 and seed-1)."
    flat = make_matrix()
    flat.values["barrier"][:] = 0
    assert matrix.in_words(flat, "barrier") == "No pair has a barrier."
    empty = make_matrix(2)
    empty.values["barrier"][:] = np.nan
    assert "No pair" in matrix.in_words(empty, "barrier")
    assert matrix.shown(empty) == ["distance", "agreement"]


@pytest.mark.parametrize(("names", "short"), [
    (("a/net_0.pt", "a/net_1.pt"), ["net_0", "net_1"]),
    (("epoch10.pt", "epoch20.pt"), ["epoch10", "epoch20"]),
    (("one.pt",), ["one.pt"]),
    (("run/a-7.pt", "run/b-7.pt"), ["a", "b"]),
    (("last.pt", "last.pt"), ["1 last.pt", "2 last.pt"]),
    (("a.pt", "a.pt.pt"), ["a", "a.pt"]),
])
def test_short_names(names, short):
    assert matrix.short_names(names) == short


def test_long_names_are_cut_in_the_middle_and_stay_different():
    names = tuple(f"{c * 40}{d * 40}" for c in "ab" for d in "xy")
    short = matrix.short_names(names)
    assert len(set(short)) == 4
    assert max(map(len, short)) <= matrix.LONGEST


def test_an_unknown_quantity_is_answered_with_the_nearest():
    with pytest.raises(BadInput, match="Did you mean 'distance'"):
        matrix.heatmap(make_matrix(), "distanse")


def test_numbers_are_written_where_they_can_be_read():
    result = make_matrix()
    text = heat(matrix.heatmap(result, "agreement")).text
    assert text[0, 0] == ""
    assert ">75%<" in text[0, 1]
    far, near = heat(matrix.heatmap(result, "distance")).text[0, 3], heat(matrix.heatmap(result, "distance")).text[0, 2]
    assert style.PAPER in far
    assert style.INK in near
