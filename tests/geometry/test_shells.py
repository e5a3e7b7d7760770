"""Shells of Gaussians and of real iterates."""

import numpy as np
import pytest

from landscape.errors import BadInput, Cancelled
from landscape.geometry.shells import gaussian_shells, iterate_shells


@pytest.mark.parametrize("dimensions", [1000, 100_000])
def test_radii_concentrate_at_the_square_root_of_the_dimension(dimensions):
    found = gaussian_shells(dimensions, k=4, count=10, sigma=0.3, seed=1)
    assert found.expected == {1: pytest.approx(0.3 * dimensions**0.5), 4: pytest.approx(0.3 * (dimensions / 4) ** 0.5)}
    spread = 1 / (2 * dimensions) ** 0.5  # standard deviation of a radius, relative
    assert np.abs(found.radii / found.expected[1] - 1).max() < 5 * spread
    assert np.abs(found.averages[4] / found.expected[4] - 1).max() < 5 * spread
    assert found.radii.shape == (40,)
    assert found.gain[4].mean() == pytest.approx(dimensions / 2 * (1 - 1 / 4), rel=0.1)


def test_few_dimensions_have_the_chi_distribution():
    found = gaussian_shells(1, k=2, count=20_000, seed=0)
    assert found.radii.mean() == pytest.approx((2 / np.pi) ** 0.5, abs=0.01)
    assert (found.radii**2).mean() == pytest.approx(1, abs=0.03)
    assert (found.averages[2] ** 2).mean() == pytest.approx(0.5, abs=0.02)


def test_one_sample_is_its_own_average():
    found = gaussian_shells(50, k=1, count=5)
    np.testing.assert_array_equal(found.radii, found.averages[1])
    assert (found.gain[1] == 0).all()


def test_same_seed_same_radii():
    a, b, c = (gaussian_shells(300, 3, 4, seed=s).radii for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_iterates_that_are_gaussian_lie_where_a_gaussian_does():
    d, t = 20_000, 40
    w = 5 + 0.2 * np.random.default_rng(0).normal(size=(t, d))
    found = iterate_shells(w, d, (2, 5, 10, 40, 99))
    assert found.sigma == pytest.approx(0.2, rel=0.01)
    assert list(found.averages) == [2, 5, 10]
    for k in (2, 5, 10):
        shrunk = ((t - k) / (t - 1)) ** 0.5 / ((t - 1) / t) ** 0.5 * (1 - 1 / t) ** 0.5
        assert found.averages[k].mean() == pytest.approx(found.independent[k], rel=0.02)
        assert found.independent[k] == pytest.approx(found.expected[k] * shrunk * (1 - 1 / t) ** 0.5, rel=1e-9)
    assert found.radii.mean() == pytest.approx(found.expected[1] * (1 - 1 / t) ** 0.5, rel=0.01)
    assert 35 < found.effective <= t - 1


def test_iterate_numbers_are_those_of_the_definition():
    w = np.random.default_rng(1).normal(size=(7, 12)).cumsum(0)
    mean, found = w.mean(0), iterate_shells(w, 12, (3,))
    np.testing.assert_allclose(found.radii, np.linalg.norm(w - mean, axis=1))
    inside = [np.linalg.norm(w[i : i + 3].mean(0) - mean) for i in range(5)]
    np.testing.assert_allclose(found.averages[3], inside)
    sigma = np.sqrt(((w - mean) ** 2).sum() / (6 * 12))
    assert found.sigma == pytest.approx(sigma)
    gain = [(np.mean(found.radii[i : i + 3] ** 2) - inside[i] ** 2) / (2 * sigma**2) for i in range(5)]
    np.testing.assert_allclose(found.gain[3], gain)
    eigenvalues = np.linalg.svd(w - mean, compute_uv=False) ** 2
    assert found.effective == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def test_the_line_for_independent_averages_is_an_identity():
    """The mean over ALL groups of 3 of the squared distance of their average, whatever the iterates are."""
    from itertools import combinations

    w = np.random.default_rng(2).normal(size=(8, 5)).cumsum(0)
    mean = w.mean(0)
    squared = np.mean([((w[list(g)].mean(0) - mean) ** 2).sum() for g in combinations(range(8), 3)])
    assert iterate_shells(w, 5, (3,)).independent[3] == pytest.approx(squared**0.5, rel=1e-9)


def test_neighbours_that_are_alike_average_to_a_point_farther_out():
    walk = np.random.default_rng(3).normal(size=(60, 500)).cumsum(0)
    found = iterate_shells(walk, 500, (5,))
    assert np.sqrt((found.averages[5] ** 2).mean()) > 1.5 * found.independent[5]
    assert found.effective < 5


def test_bad_input_and_stopping():
    for wrong in ({"dimensions": 0}, {"dimensions": 5, "k": 0}, {"dimensions": 5, "sigma": 0.0}):
        with pytest.raises(BadInput, match="at least one dimension"):
            gaussian_shells(**wrong)
    with pytest.raises(BadInput, match="at least 3 iterates"):
        iterate_shells(np.random.default_rng(0).normal(size=(2, 4)), 4)
    with pytest.raises(BadInput, match="all the same"):
        iterate_shells(np.ones((4, 4)), 4)
    seen = []

    def stop(done, total):
        seen.append((done, total))
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        gaussian_shells(10**6, progress=stop)
    assert seen[0][0] < seen[0][1] == 10**6
