"""Interpolation between scattered cells against polynomials that it reproduces."""

import numpy as np
import pytest

from landscape.geometry import scattered

SHAPE = (17, 12)


@pytest.fixture
def cells():
    taken = np.zeros(SHAPE, bool)
    taken[::16, ::11] = True  # the corners
    taken.ravel()[np.random.default_rng(0).permutation(taken.size)[:40]] = True
    return np.argwhere(taken)


def polynomial(degree):
    x, y = np.meshgrid(np.arange(SHAPE[0]) / 10, np.arange(SHAPE[1]) / 10, indexing="ij")
    square = 0.7 * x**2 - 1.3 * x * y + 0.2 * y**2 if degree > 1 else 0.0
    return np.stack([2 - x + 0.5 * y + square, 1 + 3 * y], axis=-1)


@pytest.mark.parametrize(("way", "degree", "number", "within"), [
    (scattered.smooth, 2, 0, 1e-9), (scattered.smooth, 1, 1, 1e-9), (scattered.local, 1, 0, scattered.SLOPES),
    (scattered.local, 1, 1, 1e-12)])
def test_polynomials_of_its_degree_are_reproduced(cells, way, degree, number, within):
    truth = polynomial(degree)
    np.testing.assert_allclose(way(cells, truth[tuple(cells.T)], SHAPE)[number], truth, atol=within)


@pytest.mark.parametrize("way", [scattered.smooth, scattered.local])
def test_it_goes_through_what_is_known_and_differs_where_it_cannot_know(cells, way):
    truth = np.sin(3 * polynomial(2))
    one, other = way(cells, truth[tuple(cells.T)], SHAPE)
    np.testing.assert_allclose(one[tuple(cells.T)], truth[tuple(cells.T)], atol=1e-8)
    np.testing.assert_allclose(other[tuple(cells.T)], truth[tuple(cells.T)], atol=1e-8)
    off, apart = np.abs(one - truth).max(), np.abs(one - other).max()
    assert apart > 0.1 * off > 0
    (alone,) = way(cells, truth[tuple(cells.T)], SHAPE, both=False)
    assert alone.tobytes() == one.tobytes()


@pytest.mark.parametrize("many", [10, 1000])
def test_two_lines_of_neighbours_are_no_accident(monkeypatch, many):
    monkeypatch.setattr(scattered, "MANY", many)
    taken = np.zeros((90, 40), bool)
    taken[:, 20:22] = taken[::89, ::39] = True
    cells, truth = np.argwhere(taken), np.sin(np.add.outer(np.arange(90), np.arange(40)) / 20)[..., None]
    for found in scattered.smooth(cells, truth[taken], taken.shape):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[taken], truth[taken], atol=1e-6)
