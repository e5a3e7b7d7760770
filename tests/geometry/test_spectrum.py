"""Lanczos and trace estimates against matrices that are written out; operators that are not what they should be."""

import numpy as np
import pytest
import torch

from landscape.errors import BadInput, Cancelled
from landscape.geometry.spectrum import Scaled, Written, assert_symmetric, eigenvalues, trace


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def symmetric(values, seed=0):
    """A matrix with the eigenvalues given and random eigenvectors."""
    q = torch.linalg.qr(torch.randn(len(values), len(values), generator=seeded(seed), dtype=torch.float64)).Q
    matrix = q @ torch.diag(torch.as_tensor(values, dtype=torch.float64)) @ q.T
    return (matrix + matrix.T) / 2


DECAYING = [*(-3 * 0.8 ** np.arange(20)), *(5 * 0.7 ** np.arange(60))]


@pytest.mark.parametrize("which", ["largest", "magnitude", "smallest"])
def test_ends_of_the_spectrum(which):
    matrix = symmetric(DECAYING)
    found = eigenvalues(Written(matrix), 4, which, generator=seeded(1), tolerance=1e-8)
    exact = torch.linalg.eigvalsh(matrix).numpy()
    order = {"largest": np.argsort(-exact), "smallest": np.argsort(exact), "magnitude": np.argsort(-np.abs(exact))}[which]
    np.testing.assert_allclose(found.values, exact[order[:4]], rtol=1e-10)
    assert found.converged
    assert found.products < 80
    vectors = found.vectors
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-10)
    residuals = (vectors @ matrix - torch.from_numpy(found.values)[:, None] * vectors).norm(dim=1).numpy()
    np.testing.assert_allclose(residuals, found.residuals, atol=1e-10)


def test_residuals_bound_the_error_and_are_honest_when_products_run_out():
    matrix = symmetric(np.linspace(0, 1, 200))
    found = eigenvalues(Written(matrix), 3, generator=seeded(), tolerance=1e-12, most=20)
    assert found.products == 20
    assert not found.converged
    exact = np.linspace(0, 1, 200)
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert np.abs(exact - value).min() <= residual
    assert found.residuals[0] > 1e-4


def test_a_coarser_tolerance_needs_fewer_products():
    matrix = Written(symmetric(DECAYING))
    products = [eigenvalues(matrix, 5, generator=seeded(), tolerance=t).products for t in (1e-1, 1e-3, 1e-6)]
    assert products[0] < products[1] < products[2]


@pytest.mark.parametrize("values", [[1.0] * 6, [2, 2, 2, 0, 0, 0, 0, 0], [0.0] * 5, [3.0], [4, 4, -1, -1, -1, 2]])
def test_repeated_eigenvalues_are_counted(values):
    found = eigenvalues(Written(symmetric(values)), min(4, len(values)), generator=seeded(2))
    assert found.values.tolist() == pytest.approx(sorted(values, reverse=True)[:4], abs=1e-10)


def test_full_length_is_exact_for_any_matrix():
    matrix = symmetric(np.random.default_rng(0).normal(size=40))
    found = eigenvalues(Written(matrix), 40, generator=seeded(), tolerance=0)
    np.testing.assert_allclose(found.values, torch.linalg.eigvalsh(matrix).flip(0).numpy(), atol=1e-12)


def test_the_basis_stays_orthogonal_where_eigenvalues_span_many_orders():
    matrix = symmetric(10.0 ** -np.linspace(0, 12, 60))
    found = eigenvalues(Written(matrix), 20, generator=seeded(), tolerance=0, most=50)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(20, dtype=torch.float64), rtol=0, atol=1e-13)


def test_scaled_operator():
    matrix, s = symmetric(DECAYING), torch.rand(80, generator=seeded(3), dtype=torch.float64)
    found = eigenvalues(Scaled(Written(matrix), s), 3, generator=seeded(), tolerance=1e-9)
    exact = torch.linalg.eigvalsh(s[:, None] * matrix * s)
    np.testing.assert_allclose(found.values, exact.flip(0)[:3].numpy(), rtol=1e-10)


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_trace_is_unbiased_with_an_honest_standard_error(method):
    matrix = symmetric(DECAYING)
    exact = float(matrix.trace())
    found = [trace(Written(matrix), generator=seeded(s), probes=30, method=method) for s in range(200)]
    z = np.array([(f.value - exact) / f.standard_error for f in found])
    assert abs(z.mean()) < 4 / 200**0.5
    assert 0.8 < z.std() < 1.35
    assert all(f.products == 30 for f in found)


def test_hutch_plus_plus_is_less_noisy_where_few_eigenvalues_are_large():
    matrix = Written(symmetric([100, 50, 20, *np.full(97, 0.01)]))
    plain = trace(matrix, generator=seeded(), probes=30, method="hutchinson")
    better = trace(matrix, generator=seeded(), probes=30, method="hutch++")
    assert better.standard_error < 1e-3 * plain.standard_error
    assert better.value == pytest.approx(170.97, rel=1e-4)


def test_signs_give_the_trace_of_a_diagonal_matrix_exactly():
    found = trace(Written(torch.diag(torch.arange(9.0, dtype=torch.float64))), generator=seeded(), probes=2,
                  method="hutchinson")
    assert (found.value, found.standard_error) == (36.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("find", [
    lambda op: eigenvalues(op, 2, generator=seeded()), lambda op: trace(op, generator=seeded()),
    lambda op: trace(op, generator=seeded(), method="hutch++"), lambda op: assert_symmetric(op, seeded())])
def test_an_operator_that_is_not_symmetric_is_reported(find, dtype):
    matrix = symmetric(DECAYING)
    find(Written(matrix.to(dtype)))
    skew = torch.randn(80, 80, generator=seeded(), dtype=torch.float64)
    with pytest.raises(BadInput, match="need a symmetric operator"):
        find(Written((matrix + 0.03 * (skew - skew.T)).to(dtype)))


@pytest.mark.parametrize("find", [
    lambda op: eigenvalues(op, 2, generator=seeded()), lambda op: trace(op, generator=seeded()),
    lambda op: assert_symmetric(op, seeded())])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_an_operator_that_is_not_finite_is_reported(find, wrong):
    matrix = symmetric(DECAYING)
    matrix[3, 4] = matrix[4, 3] = wrong
    with pytest.raises(BadInput, match="NaN or infinite"):
        find(Written(matrix))


def test_a_network_that_draws_at_random_is_reported():
    """What a layer that forgets to stop in evaluation mode looks like: each product is that of another matrix."""

    class Random(Written):
        def __call__(self, v):
            return super().__call__(v) * (1 + 0.1 * torch.rand(len(v), self.size, generator=noise))

    noise = seeded(9)
    with pytest.raises(BadInput, match="drawn at random"):
        eigenvalues(Random(symmetric(DECAYING)), 3, generator=seeded())


def test_progress_can_stop():
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done >= 16:
            raise Cancelled("stop")

    for find in (lambda: eigenvalues(Written(symmetric(np.linspace(0, 1, 100))), 5, generator=seeded(), progress=stop),
                 lambda: trace(Written(symmetric(DECAYING)), generator=seeded(), progress=stop)):
        seen.clear()
        with pytest.raises(Cancelled):
            find()
        assert seen[-1][0] == 16
        assert seen[-1][1] > 16


def test_bad_input():
    matrix = Written(symmetric(DECAYING))
    with pytest.raises(BadInput, match="largest"):
        eigenvalues(matrix, 2, "biggest", generator=seeded())
    with pytest.raises(BadInput, match="asked for 81"):
        eigenvalues(matrix, 81, generator=seeded())
    with pytest.raises(BadInput, match="hutchinson"):
        trace(matrix, generator=seeded(), method="hutchison")
    with pytest.raises(BadInput, match="at least 6 probes"):
        trace(matrix, generator=seeded(), probes=5, method="hutch++")
