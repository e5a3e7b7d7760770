"""The talk's contour levels and colours."""

import numpy as np
import pytest

from landscape.figures import levels as L

PRINTED = [  # low, high, a, digits, levels as printed on the slide
    (0.0650, 5, -3.85, 2, "0.065 0.11 0.17 0.28 0.54 1.1 2.3 5"),
    (19.95, 50, -1, 4, "19.95 20.64 21.24 22.38 24.5 28.49 35.97 50"),
    (19.62, 50, -1.3, 4, "19.62 20.15 20.67 21.67 23.65 27.52 35.11 50"),
    (0.00903, 0.8832, -5.1, 4, "0.00903 0.02142 0.03422 0.06023 0.1131 0.2206 0.4391 0.8832"),  # 0.06024 on the slide
]


@pytest.mark.parametrize(("low", "high", "a", "digits", "printed"), PRINTED)
def test_levels_are_those_printed_in_the_talk(low, high, a, digits, printed):
    assert [f"{v:.{digits}g}" for v in L.levels(low, high, a)] == printed.split()


def test_the_one_digit_that_differs_is_inside_the_rounding_of_the_printed_ends():
    found = [L.levels(m, M, -5.1)[3] for m in (0.009025, 0.009035) for M in (0.88315, 0.88325)]
    assert min(found) <= 0.060245
    assert max(found) >= 0.060235


@pytest.mark.parametrize(("low", "high", "a", "digits", "printed"), PRINTED[:3])
def test_labels_read_as_printed_with_the_band_above(low, high, a, digits, printed):
    text = L.labels(L.levels(low, high, a), clipped=True)
    assert text == [*printed.split(), f"> {printed.split()[-1]}"]
    assert L.labels(L.levels(low, high, a), clipped=False) == text[:-1]


def test_labels_stay_distinct():
    assert len(set(L.labels(L.levels(10.0, 10.001, L.auto_offset(10.0, 10.001)), False))) == 8


def test_auto_doubles_the_excess():
    a = L.auto_offset(0.4, 2.4)
    excess = L.levels(0.4, 2.4, a)[1:] - 0.4
    np.testing.assert_allclose(excess[1:] / excess[:-1], 2)
    assert L.growth(0.4, 2.4, a) == pytest.approx(2)
    assert L.growth(0.4, 2.4, L.offset_of_growth(0.4, 2.4, 3.3)) == pytest.approx(3.3)


def test_colour_rises_by_the_same_step_from_level_to_level():
    scale = L.Scale(0.4, 2.4, -3.0, clipped=True)
    np.testing.assert_allclose(scale.fraction(scale.levels)[1:], np.arange(1, 8) * 0.9 / 7)
    np.testing.assert_allclose(scale.height(scale.levels)[1:], np.arange(1, 8) * 0.9 / 7)
    assert scale.fraction(0.4) == 0
    assert scale.fraction(2.4001) == 1
    assert scale.fraction(np.inf) == 1
    assert np.isnan(scale.fraction(np.nan))


def test_height_is_the_colour_between_the_contours_and_smooth_beyond():
    scale = L.Scale(0.0, 1.0, L.auto_offset(0.0, 1.0), clipped=True)
    inside = np.linspace(scale.levels[1], 1, 500)
    np.testing.assert_allclose(scale.height(inside), scale.fraction(inside), atol=1e-12)
    v = np.concatenate([np.linspace(0, 3, 30_001), [1e6, np.inf]])
    height = scale.height(v)
    assert (np.diff(height) >= 0).all()
    assert height[-1] == pytest.approx(1)
    assert scale.height(1.2) < 1
    slope = np.diff(height[:30_001])
    assert (slope[1:] / slope[:-1]).min() > 0.9, "a kink"
    assert np.isnan(scale.height(np.nan))


def test_one_scale_for_all_pictures():
    a, b = np.array([0.5, 1.0, np.nan]), np.array([[0.2, 9.0]])
    scale = L.common_scale([a, b], cap=2.5)
    assert (scale.low, scale.high, scale.clipped) == (0.2, 2.5, True)
    assert not L.common_scale([a], cap=2.5).clipped
    assert L.common_scale([a], cap=2.5).high == 1.0
    assert L.common_scale([a, np.array([np.inf])], cap=None).clipped
    assert L.common_scale([a, b], None, a=-2.0).a == -2.0
    assert L.growth(0.2, 9.0, L.common_scale([a, b], None, growth=1.7).a) == pytest.approx(1.7)


@pytest.mark.parametrize(
    "values", [np.full((3, 3), 2.0), np.zeros(4), np.full(5, np.nan), np.empty(0), np.array([np.inf, 1.0])])
@pytest.mark.parametrize("a", [None, -3.85, 40.0])
def test_degenerate_values_still_have_rising_levels(values, a):
    scale = L.common_scale([values], cap=5.0, a=a)
    assert (np.diff(scale.levels) > 0).all()
    assert len(set(scale.labels)) == len(scale.labels)
    assert np.isfinite(scale.height(values[np.isfinite(values)])).all()
    assert ((scale.fraction(values[np.isfinite(values)]) >= 0) & (scale.fraction(values[np.isfinite(values)]) <= 1)).all()


def test_presets_are_the_talks():
    assert list(L.PRESETS.values()) == [None, -3.85, -1, -1.3, -5.1]
