"""Variational Gaussians and the flow on targets whose answers are known."""

import math

import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput, Diverged
from landscape.networks import Net, build
from landscape.posteriors import method
from landscape.posteriors.method import Given
from landscape.posteriors.mode import climb, precision
from landscape.posteriors.space import random_space, weight_space
from landscape.posteriors.target import Gaussian, Normal, Posterior, Target
from landscape.posteriors.vi import fit
from landscape.training.task import task_from

RHO = 0.9


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(rho=RHO, mean=(1.0, -2.0)):
    return Gaussian(torch.tensor(mean), torch.tensor([[1.0, rho], [rho, 1.0]]))


def divergence(fitted, target):
    """KL(q | p) of Gaussians, nats."""
    factor = fitted.factor if fitted.factor.ndim == 2 else torch.diag(fitted.factor)
    q, inverse, away = factor @ factor.T, torch.linalg.inv(target.covariance), fitted.mean - target.mean
    apart = torch.logdet(target.covariance) - torch.logdet(q)
    return float(0.5 * (torch.trace(inverse @ q) + away @ inverse @ away - len(away) + apart))


class Banana(Target):
    """z1 ~ N(0, 1) and z2 given z1 ~ N(z1^2, 1/4): E z2 = 1, variance 2 + 1/4, no correlation; a Gaussian cannot fit it."""

    def __init__(self):
        super().__init__()
        self.space = weight_space(torch.zeros(2))
        self.normal_prior = Normal(torch.zeros(2).double(), 3.0)

    def _density(self, z):
        away = z[:, 1] - z[:, 0].square()
        return -0.5 * z[:, 0].square() - 2 * away.square() + math.log(2) - math.log(2 * math.pi)

    def _likelihood(self, z):
        return self._density(z) - self.normal_prior.log_density(z)

    def _likelihood_gradient(self, z, examples):
        z = z.detach().requires_grad_(True)
        value = self._likelihood(z)
        return value.detach(), torch.autograd.grad(value.sum(), z)[0]


@pytest.mark.parametrize("seed", range(3))
def test_mean_field_variances_of_a_correlated_gaussian_are_one_over_the_precision(seed):
    """0.19 instead of 1 at a correlation of 0.9, and a divergence of 0.830366 nats."""
    target = correlated()
    found = fit(target, generator(seed), full=False)
    torch.testing.assert_close(found.variances, torch.full((2,), 1 - RHO**2).double(), rtol=0.06, atol=0)
    torch.testing.assert_close(found.mean, target.mean, rtol=0, atol=0.01)
    assert divergence(found, target) == pytest.approx(0.830366, abs=1e-3)
    assert divergence(found, target) >= 0.830365  # none is nearer


def test_a_full_covariance_is_exact_for_a_gaussian_and_its_bound_is_its_mass():
    target = correlated(0.999)
    found = fit(target, generator(), full=True)
    torch.testing.assert_close(found.factor @ found.factor.T, target.covariance, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.mean, target.mean, rtol=1e-6, atol=0)
    assert found.reached == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("full", [False, True])
def test_scales_ten_orders_apart_and_a_far_start_do_not_matter(full):
    covariance = torch.diag(torch.logspace(-6, 2, 12, dtype=torch.float64)) ** 1.0
    target = Gaussian(3 * torch.randn(12, generator=generator()), covariance)
    found = fit(target, generator(), full=full)
    torch.testing.assert_close(found.variances, covariance.diagonal(), rtol=1e-6, atol=0)
    assert float(((found.mean - target.mean) / covariance.diagonal().sqrt()).abs().max()) < 1e-4


def test_many_coordinates_start_from_random_curvatures():
    precision = torch.logspace(0, 3, 600, dtype=torch.float64)
    target = Gaussian(torch.zeros(600), torch.diag(1 / precision))
    torch.testing.assert_close(fit(target, generator(), full=False, steps=60).variances, 1 / precision, rtol=1e-3, atol=0)


def test_a_linear_model_in_a_subspace_is_recovered():
    """Exact answer: covariance (I / s^2 + P'X'XP / (sigma^2 T))^-1 and its mean, through the task's own network."""
    data = load("regression")
    net = Net(build("mlp", data.shape, data.outputs, ()))
    task = task_from(data, net, 0.0, noise_variance=0.5)
    space = random_space(0.1 * torch.arange(3.0), 2, generator(1))
    target = Posterior(task, space, prior_std=2.0, temperature=3.0)
    x, y = (each.double() for each in task.splits["train"])
    design = torch.cat([x, torch.ones(len(x), 1)], 1) @ space.directions.T
    rest = y[:, 0] - torch.cat([x, torch.ones(len(x), 1)], 1) @ space.origin
    covariance = torch.linalg.inv(torch.eye(2) / 4 + design.T @ design / 1.5)
    mean = covariance @ design.T @ rest / 1.5
    found = fit(target, generator(), full=True)
    torch.testing.assert_close(found.factor @ found.factor.T, covariance, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(found.mean, mean, rtol=1e-3, atol=1e-5)
    drawn = method.infer("laplace_subspace", Given(target=target), generator=generator())
    torch.testing.assert_close(torch.tensor(drawn.info["covariance"]), covariance, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(torch.tensor(drawn.info["mean"]), mean, rtol=1e-3, atol=1e-5)
    assert drawn.log_density.isfinite().all()


def test_the_laplace_approximation_of_a_gaussian_is_the_gaussian():
    target = Gaussian(torch.tensor([1.0, -2.0, 3.0]), torch.diag(torch.tensor([1e-4, 1.0, 25.0])))
    mode = climb(target, torch.zeros(3).double())
    torch.testing.assert_close(mode, target.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.linalg.inv(precision(target, mode)), target.covariance, rtol=1e-5, atol=1e-8)


def test_a_saddle_has_no_laplace_approximation():
    class Saddle(Banana):
        def _density(self, z):
            return z[:, 0].square() - z[:, 1].square() - 0.01 * z[:, 0].square().square()

    with pytest.raises(BadInput, match="curves upwards along 1 of 2"):
        method.infer("laplace_subspace", Given(target=Saddle()), generator=generator())


def test_the_flow_bends_where_a_gaussian_cannot():
    target = Banana()
    gaussian = fit(target, generator(), full=True)
    found = method.infer("flow", Given(target=target), generator=generator(), draws=4000, chains=2)
    assert found.z.shape == (2, 4000, 2)
    z = found.flat
    assert z.mean(0).tolist() == pytest.approx([0, 1], abs=0.2)
    assert z[:, 0].var() > 0.75
    assert z[:, 1].var() > 1.1  # the tail is the last to be covered; the Gaussian's variances are 0.20 and 0.25
    assert gaussian.variances.max() < 0.3
    assert found.info["bound"][-20:].mean() > gaussian.reached + 0.5
    assert found.info["bound"][-20:].mean() < 0.05  # the density is normalised, so that nothing is above zero
    torch.testing.assert_close(found.log_density.flatten(), target.log_density(z))


@pytest.mark.parametrize("rate", [50.0, 1e300])
def test_a_flow_that_diverges_is_named(rate):
    with pytest.raises(Diverged, match="The flow diverged"):
        method.infer("flow", Given(target=Banana()), generator=generator(), steps=40, rate=rate)


def test_a_density_that_is_not_finite_is_named_with_its_step():
    class Wall(Banana):
        def _likelihood_gradient(self, z, examples):
            value, gradient = super()._likelihood_gradient(z, examples)
            return torch.where(z[:, 0] > 0.5, torch.nan, value), gradient

    with pytest.raises(Diverged, match="step 1"):
        fit(Wall(), generator(), full=False, samples=64)


def test_the_same_generator_gives_the_same_draws_and_leaves_torch_alone():
    before = torch.random.get_rng_state()
    found = [method.infer(name, Given(target=correlated()), generator=generator(3), draws=5, chains=2, steps=20).z
             for name in ("vi", "vi_full", "flow") for _ in range(2)]
    for a, b in zip(found[::2], found[1::2], strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("vi", {"steps": 1}, "at least 4 steps"), ("vi", {"rate": 0.0}, "rate in"), ("flow", {"rate": -1.0}, "above zero"),
    ("vi", {"draws": 0}, "at least one of draws")])
def test_settings_that_cannot_work_are_refused(name, options, message):
    with pytest.raises(BadInput, match=message):
        method.infer(name, Given(target=correlated()), generator=generator(), **options)


def test_too_many_coordinates_are_refused():
    large = Gaussian(torch.zeros(501), torch.eye(501))
    for name, message in (("vi_full", "at most 500"), ("flow", "2 to 50"), ("laplace_subspace", "at most 500")):
        with pytest.raises(BadInput, match=message):
            method.infer(name, Given(target=large), generator=generator())
