"""The flat and the sharp minimum in one dimension."""

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid

from landscape.errors import BadInput
from landscape.geometry.basins import Basins, Well

CASES = [
    Basins(Well(-2, 1.0), Well(2, 0.2)),
    Basins(Well(-2, 1.0, 0.3), Well(2, 0.2, 0.0), 0.3),
    Basins(Well(0, 5.0, 1.0), Well(0.5, 0.1, 0.0), -0.1),
    Basins(Well(3, 0.8), Well(-1, 0.7999), 0.5),
    Basins(Well(0, 1.0), Well(40, 1e-3), 1.0),
]


@pytest.mark.parametrize("basins", CASES)
@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_masses_by_quadrature_equal_the_closed_form(basins, temperature):
    found, exact = basins.masses(temperature), basins.exact_masses(temperature)
    for name in ("flat", "sharp"):
        assert found[name] == pytest.approx(exact[name], rel=1e-8)


@pytest.mark.parametrize("basins", CASES[:3])
def test_masses_and_expected_test_loss_equal_a_sum_over_a_fine_grid(basins):
    x = np.linspace(-60, 60, 2_000_001)
    density = np.exp(-basins.train(x))
    low, high = basins.crossings()
    sharp = (x > low) & (x < high)
    masses = basins.masses()
    assert trapezoid(np.where(sharp, density, 0), x) == pytest.approx(masses["sharp"], rel=1e-3)
    assert trapezoid(np.where(sharp, 0, density), x) == pytest.approx(masses["flat"], rel=1e-3)
    expected = trapezoid(density * basins.test(x), x) / trapezoid(density, x)
    assert basins.expected_test() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("basins", CASES)
def test_the_wells_are_equally_high_where_they_cross(basins):
    low, high = basins.crossings()
    assert low < basins.sharp.centre < high
    for x in (low, high):
        assert basins.flat(x) == pytest.approx(float(basins.sharp(x)), rel=1e-6)
    inside, outside = np.linspace(low, high, 9)[1:-1], np.array([low - 1, high + 1])
    assert (basins.sharp(inside) < basins.flat(inside)).all()
    assert (basins.sharp(outside) > basins.flat(outside)).all()


def test_isolated_wells_have_masses_in_the_ratio_of_their_widths():
    masses = Basins(Well(-50, 1.0), Well(50, 0.1)).masses(0.5)
    assert masses["flat"] == pytest.approx(math.sqrt(math.pi), rel=1e-9)
    assert masses["flat"] / masses["sharp"] == pytest.approx(10, rel=1e-9)


def test_the_same_shift_costs_more_in_the_sharp_well():
    penalty = Basins(Well(-2, 1.0), Well(2, 0.2), 0.1).penalty()
    assert penalty["flat"] == pytest.approx(0.5 * 0.1**2)
    assert penalty["sharp"] == pytest.approx(0.5 * 0.5**2)


def test_bad_input():
    for flat, sharp in ((Well(0, 1), Well(3, 1)), (Well(0, 1), Well(3, 0)), (Well(math.nan, 1), Well(3, 0.5))):
        with pytest.raises(BadInput, match="narrower than the flat one"):
            Basins(flat, sharp)
    with pytest.raises(BadInput, match="only one minimum"):
        Basins(Well(0, 2), Well(0.5, 0.1, 1.0))
    with pytest.raises(BadInput, match="above 0 and finite"):
        Basins(Well(-2, 1), Well(2, 0.5)).masses(0)
