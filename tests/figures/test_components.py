"""Components of a family, beside those of a walk without aim."""

import numpy as np
import pytest

from landscape.figures import components, levels, surface
from landscape.results import Components, Mark, Surface

from drawn import make_surface  # isort: skip


def make_components(steps: int = 8, own: float = 0.9) -> Components:
    t = np.linspace(0, 1, steps)
    coordinates = np.stack([10 * t - 5, 2 * np.sin(np.pi * t), 0.1 * t], axis=1)
    null = np.stack([np.cos(np.pi * t), 0.5 * np.cos(2 * np.pi * t), 0.2 * np.cos(3 * np.pi * t)], axis=1)
    away = np.full(steps, 0.5)
    away[3] = 2.25
    return Components(tuple(f"epoch-{i}.pt" for i in range(steps)), coordinates, np.array([own, 0.05, 0.02]), away,
                      np.array([0.61, 0.15, 0.07]), null)


def test_explained_variance_stands_beside_that_of_the_walk():
    figure = components.explained(make_components())
    own, null = figure.data
    np.testing.assert_allclose(own.y, [90, 5, 2])
    np.testing.assert_allclose(null.y, [61, 15, 7])
    assert list(own.x) == list(null.x) == ["PC1", "PC2", "PC3"]
    np.testing.assert_allclose(null.customdata, [61, 76, 83])
    assert null.name == "random walk"


def test_the_path_and_the_walk_have_the_same_extent_and_equal_aspect():
    result = make_components()
    figure = components.path(result)
    own, null = figure.data
    np.testing.assert_allclose(np.stack([own.x, own.y], 1), result.coordinates[:, :2], rtol=1e-6)
    assert np.ptp(null.x) == pytest.approx(np.ptp(own.x))
    shape = np.stack([null.x, null.y], 1) / result.null_coordinates[:, :2]
    np.testing.assert_allclose(shape, shape[0, 0], rtol=1e-5, err_msg="one factor for both axes keeps the walk's shape")
    assert figure.layout.yaxis.scaleanchor == "x"
    assert figure.layout.yaxis2.scaleanchor == "x2"
    widths = [np.ptp(axis.range) for axis in (figure.layout.xaxis, figure.layout.yaxis, figure.layout.xaxis2)]
    np.testing.assert_allclose(widths, widths[0])


def test_the_ends_of_the_path_are_numbered_and_all_points_named_on_hover():
    own, null = components.path(make_components(40)).data
    assert [text for text in own.text if text] == ["1", "40"]
    assert own.customdata[7] == "epoch-7"
    assert null.customdata[7] == "step 8"


def test_coordinates_over_the_order_show_both():
    figure = components.against_order(make_components(), count=2)
    assert [t.name for t in figure.data] == ["PC1", "PC2", "PC1", "PC2"]
    np.testing.assert_allclose(figure.data[1].y, make_components().coordinates[:, 1], rtol=1e-6)
    np.testing.assert_allclose(figure.data[2].y, make_components().null_coordinates[:, 0], rtol=1e-6)


def test_residuals_are_the_distances_from_the_plane():
    figure = components.residuals(make_components())
    np.testing.assert_allclose(figure.data[0].y, make_components().residuals)
    assert figure.data[0].customdata[3] == "epoch-3.pt"


def test_words_compare_with_the_walk_and_do_not_praise_an_arc():
    said = components.in_words(make_components())
    assert "hold 95% of the variance of these 8 networks" in said
    assert "random walk of 8 steps without any aim they hold 76%" in said
    assert "Farthest from the plane: epoch-3, by 2.25" in said
    assert "mean of all" in said
    assert "what chance draws too" not in said
    assert "what chance draws too" in components.in_words(make_components(own=0.7))


def test_one_component_is_drawn_on_a_line():
    two = Components(("a", "b"), np.array([[-1.0], [1.0]]), np.array([1.0]), np.zeros(2), np.array([1.0]),
                     np.array([[-2.0], [2.0]]), origin="last")
    figure = components.path(two)
    np.testing.assert_allclose(figure.data[0].y, 0)
    assert "the last network" in components.in_words(two)


@pytest.mark.parametrize("draw", [surface.contour, surface.relief])
def test_marks_of_a_family_carry_short_names_where_there_is_room(draw):
    place = [(0.0, 0.0), (0.1, 0.1), (5.0, 5.0), (12.9, 0.0)]
    names = [f"runs/net_epoch-{i:02d}.pt" for i in range(4)]
    seen = make_surface(hole=False)
    values = dict.fromkeys(seen.values, 0.1)
    marks = tuple(Mark(name, "optimum", x, y, values) for name, (x, y) in zip(names, place, strict=True))
    seen = Surface(seen.axes, seen.values, seen.evaluated, marks, None, seen.info)
    scale = levels.common_scale([seen.values["train_loss"]], 2.0)
    figure = components.named(draw(seen, "train_loss", scale), ["00", "01", "02", "03"])
    (drawn,) = [trace for trace in figure.data if trace.name == "marks"]
    notes = figure.layout.scene.annotations
    texts = [note.text for note in notes] if notes else list(drawn.text)
    assert texts == ["00", "", "02", "03"], "the second stands on the first"
    assert names[1] in drawn.hovertext[1]
    if not notes:
        assert drawn.textposition[3] == "top left", "a name at the right edge is not cut"
