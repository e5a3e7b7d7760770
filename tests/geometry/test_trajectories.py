"""Principal components against a full SVD, the random walk against its closed form, distances, averages, one at a time."""

import numpy as np
import pytest
import torch

from landscape.errors import BadInput
from landscape.geometry import trajectories
from landscape.geometry.subspace import Subspace
from landscape.geometry.trajectories import average, distances, null_walk, principal_components


def path(count=9, size=4000, dtype=torch.float32, seed=0):
    """A drift, two oscillations and noise around weights far from the origin."""
    g = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 1, count, dtype=torch.float64)
    shape = torch.stack([3 * t, torch.sin(5 * t), 0.3 * torch.cos(9 * t)], 1)
    w = shape @ torch.randn(3, size, generator=g, dtype=torch.float64)
    w = w + 0.02 * torch.randn(count, size, generator=g, dtype=torch.float64)
    return (w + 10 * torch.randn(size, generator=g, dtype=torch.float64)).to(dtype)


class OnDisk:
    """Vectors that come one at a time; counts how often each was read."""

    def __init__(self, weights):
        self.weights, self.read = weights, 0

    def __iter__(self):
        for row in self.weights:
            self.read += 1
            yield row.clone()


@pytest.mark.parametrize("center", ["mean", "last"])
@pytest.mark.parametrize("kind", ["tensor", "numpy", "list", "disk", "disk in panels"])
def test_equal_to_a_full_svd_up_to_sign(center, kind):
    w = path()
    given = {"tensor": w, "numpy": w.numpy(), "list": list(w)}.get(kind, OnDisk(w))
    found = principal_components(given, center, k=5, memory=w[:5].nbytes if kind == "disk in panels" else 2**30)
    x = w.double().numpy()
    origin = x.mean(0) if center == "mean" else x[-1]
    u, s, v = np.linalg.svd(x - origin, full_matrices=False)
    scores = u * s
    signs = np.sign((scores[:, :5] * found.coordinates).sum(0))
    np.testing.assert_allclose(found.coordinates * signs, scores[:, :5], atol=1e-6 * s[0])
    np.testing.assert_allclose(found.explained, (s**2 / (s**2).sum())[:5], atol=1e-9)
    np.testing.assert_allclose(found.residuals, np.linalg.norm(scores[:, 2:], axis=1), atol=1e-6 * s[0])
    np.testing.assert_allclose(found.subspace.basis.numpy() * signs[:2, None], v[:2], atol=1e-6)
    np.testing.assert_allclose(found.subspace.origin.numpy(), origin, rtol=1e-12)
    assert found.spread == pytest.approx(np.sqrt((s**2).sum()))
    np.testing.assert_allclose(found.subspace.project(w).numpy(), found.coordinates[:, :2], atol=1e-6 * s[0])
    np.testing.assert_allclose(found.subspace.residual(w).numpy(), found.residuals, atol=1e-6 * s[0])


def test_signs_do_not_depend_on_the_way_there():
    w = path()
    found = [principal_components(v, k=4).coordinates for v in (w, w.numpy().copy(), w.double(), OnDisk(w))]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6 * np.abs(found[0]).max())
    assert found[0][0, 0] < 0


def test_deviations_from_the_mean_contain_every_network():
    w = path(6)
    found = principal_components(w, span=5)
    assert found.residuals.max() == 0
    assert found.explained.sum() == pytest.approx(1)
    assert float(found.subspace.residual(w).max()) < 1e-9 * found.spread
    deviations = Subspace(w.double().mean(0), (w.double() - w.double().mean(0))[:5])
    assert float(deviations.residual(w).max()) < 1e-9 * found.spread
    np.testing.assert_allclose(found.subspace.lift(torch.from_numpy(found.coordinates)).numpy(), w.numpy(), rtol=1e-6,
                               atol=1e-6)


def test_a_path_in_a_plane_has_no_residual():
    g = torch.Generator().manual_seed(0)
    w = torch.randn(8, 2, generator=g, dtype=torch.float64) @ torch.randn(2, 500, generator=g, dtype=torch.float64) + 3
    found = principal_components(w)
    assert found.residuals.max() < 1e-6 * found.spread
    assert found.explained[:2].sum() == pytest.approx(1)
    assert not found.explained[2:].any()


def test_what_cannot_be_used_is_said():
    w = path(4, 20)
    for weights, message in [(iter(w), "used once"), (w[:0], "at least one"), (w[0], "one a row"),
                             (w[[0, 0, 0]], "the same"), (w[:1], "the same"),
                             ([w[0], w[1][:5]], "equally many"), (w[[0, 1]], "at most 1 components"),
                             (torch.stack([w[0], 2 * w[0], 3 * w[0]]), "span 1 dimension around"),
                             (torch.where(torch.arange(4)[:, None] == 2, torch.nan, w), "number 3 has NaN")]:
        with pytest.raises(BadInput, match=message):
            principal_components(weights)
    with pytest.raises(BadInput, match="origin"):
        principal_components(w, "first")


def test_the_shares_of_an_endless_walk_are_those_of_the_closed_form():
    """The Gram matrix is the pseudo-inverse of a path's Laplacian: 1 / (4 sin^2(pi k / 2T)), with cosines."""
    steps = 200
    explained, coordinates = null_walk(steps)
    k, t = np.arange(1, steps), np.arange(steps)
    values = 1 / (4 * np.sin(np.pi * k / (2 * steps)) ** 2)
    np.testing.assert_allclose(explained, values / values.sum(), rtol=1e-9)
    np.testing.assert_allclose(explained[:5], 6 / (np.pi * k[:5]) ** 2, rtol=1e-2)
    assert explained[0] == pytest.approx(0.608, abs=1e-3)
    assert explained[1] == pytest.approx(0.152, abs=1e-3)
    for i in range(3):
        cosine = np.sqrt(2 * values[i] / steps) * np.cos(np.pi * (i + 1) * (t + 0.5) / steps)
        np.testing.assert_allclose(coordinates[:, i], -cosine, atol=1e-9)
    last, _ = null_walk(steps, center="last")
    np.testing.assert_allclose(last[:3], 8 / (np.pi * np.array([1, 3, 5])) ** 2, rtol=1e-2)


@pytest.mark.parametrize("dimensions", [5, 60, 20_000])
def test_a_walk_in_finitely_many_dimensions_is_distributed_as_one_that_is_walked(dimensions):
    count, draws = 30, 40
    found = np.mean([null_walk(count, dimensions, seed)[0][:2] for seed in range(draws)], axis=0)
    g = torch.Generator().manual_seed(0)
    walked = [principal_components(torch.randn(count, dimensions, generator=g, dtype=torch.float64).cumsum(0), k=2).explained
              for _ in range(draws)]
    np.testing.assert_allclose(found, np.mean(walked, axis=0), atol=4 * np.std(walked, axis=0).max() / draws**0.5 * 2**0.5)
    if dimensions > 1000:
        np.testing.assert_allclose(found, null_walk(count)[0][:2], atol=0.01)


def test_a_walk_is_drawn_at_the_size_of_the_path():
    explained, coordinates = null_walk(12, spread=7.0)
    assert np.sqrt((coordinates**2).sum()) == pytest.approx(7)
    assert explained.sum() == pytest.approx(1)
    np.testing.assert_array_equal(null_walk(12, 100, seed=3)[1], null_walk(12, 100, seed=3)[1])
    with pytest.raises(BadInput, match="at least 3 points"):
        null_walk(2)


@pytest.mark.parametrize("kind", ["tensor", "disk", "disk in panels"])
def test_distances_are_exact_even_between_neighbours(kind):
    w = path(7, dtype=torch.float64)
    w[3], w[5] = w[1], w[2]
    w[5, 7] += 1e-5
    given = w if kind == "tensor" else OnDisk(w)
    found = distances(given, memory=w[:3].nbytes if kind == "disk in panels" else 2**30)
    np.testing.assert_allclose(found, torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist").numpy(), rtol=1e-9)
    assert found[3, 1] == found[1, 3] == 0
    assert found[5, 2] == pytest.approx(1e-5, rel=1e-6)
    assert (np.diag(found) == 0).all()


def test_the_average_is_the_arithmetic_mean():
    """Exact answer 6."""
    w = path()
    for given in (w, w.numpy(), OnDisk(w)):
        torch.testing.assert_close(average(given), w.double().mean(0), rtol=1e-14, atol=1e-14)
    assert average(w).dtype == torch.float64
    half = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.bfloat16)
    assert average(half).tolist() == [2, 4]


def test_vectors_on_disk_are_held_a_few_at_a_time(monkeypatch):
    w = path(12)
    whole, held = OnDisk(w), []
    products = trajectories._products
    monkeypatch.setattr(trajectories, "_products", lambda a, b, o: held.append((len(a), len(b))) or products(a, b, o))
    principal_components(whole)
    assert held == [(12, 12)]
    assert whole.read == 3 * 12 + 1
    held.clear()
    principal_components(OnDisk(w), memory=w[:6].nbytes)
    assert max(max(pair) for pair in held) == 3
    assert len(held) == 4 + 3 + 2 + 1
