"""Maps and reliefs say what the surface says."""

import json

import numpy as np
import pytest
from drawn import make_surface

from landscape.errors import BadInput
from landscape.figures import levels
from landscape.figures import surface as S

DRAW = pytest.mark.parametrize("draw", [S.contour, S.relief])


@pytest.fixture
def scale(surface):
    return levels.common_scale([surface.values["train_loss"]], surface.info["cap"]["train_loss"])


def told(trace) -> np.ndarray:
    """What the hover reads, (X, Y, ...): plotly looks it up by row and column in a map, by x and y in a scene."""
    return trace.customdata.swapaxes(0, 1) if trace.type == "contour" else trace.customdata


@DRAW
def test_evenly_spaced_contours_are_the_levels(draw, surface, scale):
    trace = draw(surface, "train_loss", scale, name="bezier").data[0]
    lines = trace.contours if trace.type == "contour" else trace.contours.z
    drawn = np.arange(lines.start, lines.end, lines.size)
    np.testing.assert_allclose(drawn, scale.fraction(scale.levels)[1:], atol=1e-9)


@DRAW
def test_x_runs_along_columns_and_empty_cells_stay_empty(draw, surface, scale):
    trace = draw(surface, "train_loss", scale).data[0]
    assert trace.z.shape == (25, 31)
    assert trace.z.dtype == np.float32
    assert np.isnan(trace.z[3, 2])
    assert np.isnan(trace.z).sum() == 1
    np.testing.assert_allclose(told(trace)[..., 0], surface.values["train_loss"].astype(np.float32))


@DRAW
def test_hover_tells_how_a_value_is_known_and_how_far_the_marks_are(draw, surface, scale):
    trace = draw(surface, "train_loss", scale).data[0]
    assert trace.text[0][0] == "evaluated"
    assert trace.text[1][0] == "interpolated"
    assert len(trace.text) == len(trace.customdata)
    i, j = 7, 11
    x, y = surface.axes[0][i], surface.axes[1][j]
    want = [np.hypot(x, y), np.hypot(x - 10, y), np.sqrt((x - 5) ** 2 + (y - 6) ** 2 + 2.0**2)]
    np.testing.assert_allclose(told(trace)[i, j, 1:], want, rtol=1e-6)
    assert "w1 %{customdata[1]" in trace.hovertemplate
    assert "bend %{customdata[3]" in trace.hovertemplate


@DRAW
def test_colour_bar_shows_the_levels_in_their_values(draw, surface, scale):
    bar = next(t for t in draw(surface, "train_loss", scale).data if t.name == "levels").marker
    assert list(bar.colorbar.ticktext) == scale.labels
    assert scale.labels[-1] == "> 2"
    np.testing.assert_allclose(bar.colorbar.tickvals[:8], np.arange(8) * 0.9 / 7)
    assert bar.colorbar.title.text == "train loss"
    unclipped = levels.common_scale([surface.values["train_loss"]], None)
    bar = next(t for t in draw(surface, "train_loss", unclipped).data if t.name == "levels").marker
    assert bar.cmax == 0.9
    assert len(bar.colorbar.ticktext) == 8


@DRAW
def test_walkers_know_every_path_of_this_plane(draw, surface, scale, profiles):
    figure = draw(surface, "train_loss", scale, name="bezier", profiles=list(profiles.values()))
    (walker,) = json.loads(figure.to_json())["layout"]["meta"]["walkers"]
    assert figure.data[walker["trace"]].name == "walker"
    assert figure.data[walker["trace"]].visible is False
    assert set(walker["paths"]) == {"segment", "bezier"}
    for path in walker["paths"].values():
        assert set(path) == ({"x", "y"} if draw is S.contour else {"x", "y", "z"})
        assert all(len(v) == 61 for v in path.values())


def test_the_walker_and_the_curve_float_above_the_relief(surface, scale, profiles):
    figure = S.relief(surface, "train_loss", scale, name="bezier", profiles=list(profiles.values()))
    x, y = surface.axes
    for path in figure.layout.meta["walkers"][0]["paths"].values():
        ground = S.bilinear(x, y, scale.height(surface.values["train_loss"]), np.array([path["x"], path["y"]]).T)
        assert (np.array(path["z"]) > ground).all()


def test_bilinear_is_exact_for_a_plane():
    x, y = np.linspace(0, 1, 4), np.linspace(-2, 3, 7)
    z = 2 * x[:, None] - 3 * y
    at = np.array([[0.3, 1.1], [0, -2], [1, 3], [0.99, 0.01]])
    np.testing.assert_allclose(S.bilinear(x, y, z, at), 2 * at[:, 0] - 3 * at[:, 1])


def test_sides_keep_their_proportion(surface, scale):
    contour, relief = S.contour(surface, "train_loss", scale), S.relief(surface, "train_loss", scale)
    assert contour.layout.yaxis.scaleanchor == "x"
    assert contour.layout.yaxis.scaleratio == 1
    assert relief.layout.scene.aspectratio.y / relief.layout.scene.aspectratio.x == pytest.approx(12 / 16)
    z = relief.layout.scene.zaxis
    assert list(z.ticktext) == [scale.labels[i] for i in (0, 3, 5, 7)]
    np.testing.assert_allclose(z.tickvals[1:], scale.fraction(scale.levels[[3, 5, 7]]), rtol=1e-4)


@DRAW
def test_figures_leave_colours_to_the_page(draw, surface, scale):
    layout = draw(surface, "train_loss", scale).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.font.color is None
    assert layout.uirevision == "keep"


@DRAW
@pytest.mark.parametrize("side", [97, 257])
def test_a_figure_is_below_a_megabyte(draw, side, scale, profiles):
    figure = draw(make_surface(side), "train_loss", scale, name="bezier", profiles=list(profiles.values()))
    assert len(figure.to_json(validate=False)) < 1_000_000


@DRAW
def test_marks_tell_their_own_values(draw, surface, scale):
    marks = next(t for t in draw(surface, "train_loss", scale).data if t.name == "marks")
    assert list(marks.text) == ["w1", "w2", "bend"]
    assert list(marks.marker.symbol) == ["circle", "circle", "diamond"]
    assert "2 outside the plane" in marks.hovertext[2]
    assert "train loss 0.1" in marks.hovertext[0]


def test_names_in_a_relief_stand_above_their_marks_and_are_never_cut(surface, scale):
    figure = S.relief(surface, "train_loss", scale)
    marks = next(t for t in figure.data if t.name == "marks")
    notes = figure.layout.scene.annotations
    assert [n.text for n in notes] == ["w1", "w2", "bend"]
    assert [(n.x, n.y, n.z) for n in notes] == list(zip(marks.x, marks.y, marks.z, strict=True))
    assert all(n.yshift > 0 for n in notes)


@DRAW
def test_an_unfinished_or_empty_picture_is_drawn(draw, scale):
    found = make_surface()
    for v in found.values.values():
        v[:] = np.nan
    assert np.isnan(draw(found, "train_loss", levels.common_scale(list(found.values.values()), 2.0)).data[0].z).all()


@DRAW
def test_an_unknown_metric_is_named(draw, surface, scale):
    with pytest.raises(BadInput, match="train_loss"):
        draw(surface, "train_lss", scale)
