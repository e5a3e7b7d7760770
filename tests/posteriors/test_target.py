"""Posteriors over spaces: values and gradients against their definition, priors in both spaces, exact answer 1."""

import math

import pytest
import torch
from torch import nn

from landscape.data import load
from landscape.errors import BadInput
from landscape.networks import Net, build
from landscape.posteriors.space import curve_space, random_space, weight_space
from landscape.posteriors.target import Gaussian, Normal, Posterior
from landscape.training.losses import Gaussian as GaussianLoss
from landscape.training.task import Task, task_from

KINDS = [("regression", "mlp", "none"), ("digits", "mlp", "none"), ("digits", "conv", "none"), ("digits", "conv", "batch")]


def task_of(name, network="mlp", norm="none", activation="relu", dtype=torch.float64):
    data = load(name, 0, 60)
    module = build(network, data.shape, data.outputs, (6, 7), activation, norm=norm).to(dtype)
    return task_from(data, Net(module), 1e-3, dtype=dtype)


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def defined(task, w, temperature):
    """The tempered log-likelihood (N,) as it is defined."""
    x, y = task.splits["train"]
    buffers = [task.buffers(row) for row in w.detach()]
    outputs = torch.stack([task.net(row, x, own) for row, own in zip(w, buffers, strict=True)])
    return -task.likelihood.nll(outputs, y).sum(-1) / temperature


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@pytest.mark.parametrize("space", ["subspace", "weights"])
def test_values_and_gradients_are_those_of_the_definition(kind, space):
    task = task_of(*kind)
    origin = 0.3 * seeded(task.net.size)
    made = weight_space(origin) if space == "weights" else random_space(origin, 3, torch.Generator().manual_seed(0))
    target = Posterior(task, made, prior_std=0.7, temperature=3.0)
    z = 0.2 * seeded(17, made.ndim, seed=1).requires_grad_(True)
    z = z.detach().requires_grad_(True)
    w = origin + (z if space == "weights" else z @ made.directions)
    prior = -z.square().sum(1) / (2 * 0.49) - made.ndim * math.log(0.7 * math.sqrt(2 * math.pi))
    expected = defined(task, w, 3.0) + prior
    (slope,) = torch.autograd.grad(expected.sum(), z)
    value, gradient = target.value_and_gradient(z.detach())
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, slope)
    torch.testing.assert_close(target.log_density(z.detach()), expected.detach())
    torch.testing.assert_close(target.log_density(z.detach()[:1]), expected.detach()[:1])
    assert target.evaluations == {"values": 18, "gradients": 17}


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_every_activation_has_its_own_slope(activation):
    task = task_of("digits", activation=activation)
    target = Posterior(task, weight_space(0.3 * seeded(task.net.size)), 1.0)
    z = 0.1 * seeded(3, target.ndim, seed=2)
    leaf = z.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(defined(task, target.space.origin + leaf, 1.0).sum(), leaf)
    torch.testing.assert_close(target.value_and_gradient(z)[1], slope - z)


def test_any_module_and_layers_without_bias():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 5), nn.Linear(7, 1, bias=False)

        def forward(self, x):
            return self.b(torch.cat([torch.sin(self.a(x)), x], 1))

    data = load("regression", 0, 60)
    for module in (Skip(), nn.Sequential(nn.Linear(2, 5, bias=False), nn.Tanh(), nn.Linear(5, 1, bias=False), nn.Tanh())):
        task = task_from(data, Net(module.double()), 0, dtype=torch.float64)
        target = Posterior(task, weight_space(seeded(task.net.size)), 1.0)
        z = seeded(9, target.ndim, seed=2)
        leaf = z.clone().requires_grad_(True)
        expected = defined(task, target.space.origin + leaf, 1.0)
        (slope,) = torch.autograd.grad(expected.sum(), leaf)
        value, gradient = target.value_and_gradient(z)
        torch.testing.assert_close(gradient, slope - z)
        torch.testing.assert_close(value, target.log_density(z))


def test_parts_of_the_data_add_up_to_all_of_it():
    task = task_of("digits", "conv")
    target = Posterior(task, random_space(0.3 * seeded(task.net.size), 2, torch.Generator().manual_seed(0)), 1.0, 2.0)
    z, n = seeded(3, 2), target.examples
    prior = target.log_prior(z)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    value, gradient = target.value_and_gradient(z)
    thirds = [target.stochastic_gradient(z, part) for part in order.split(n // 3)]
    torch.testing.assert_close(sum(v for v, _ in thirds) / 3, value)
    torch.testing.assert_close(sum(g for _, g in thirds) / 3, gradient)
    assert target.evaluations["gradients"] == pytest.approx(3 + 3)
    assert torch.equal(prior, target.log_prior(z))


def test_fixed_statistics_are_used_where_given():
    task = task_of("digits", "conv", "batch")
    origin = 0.3 * seeded(task.net.size)
    space, buffers = random_space(origin, 2, torch.Generator().manual_seed(0)), task.buffers(origin)
    fixed, free = (Posterior(task, space, 1.0, buffers=given) for given in (buffers, None))
    z = seeded(2, 2)
    x, y = task.splits["train"]
    expected = -task.likelihood.nll(torch.stack([task.net(w, x, buffers) for w in space.lift(z)]), y).sum(-1)
    torch.testing.assert_close(fixed.log_likelihood(z), expected)
    torch.testing.assert_close(fixed.value_and_gradient(z)[0], fixed.log_density(z))
    assert (free.log_likelihood(z) - expected).abs().max() > 1e-3
    origin_alone = torch.zeros(1, 2)
    torch.testing.assert_close(fixed.log_likelihood(origin_alone), free.log_likelihood(origin_alone))


@pytest.mark.parametrize("kind", ["subspace", "weights"])
def test_a_prior_on_weights_is_the_weights_density_along_the_space(kind):
    task = task_of("regression")
    origin = seeded(task.net.size)
    points = torch.stack([origin, seeded(task.net.size, seed=4), seeded(task.net.size, seed=5)])
    space = weight_space(origin) if kind == "weights" else curve_space(points, scaling="singular values")
    target = Posterior(task, space, 0.6, prior="weights")
    z = seeded(6, space.ndim, seed=1)
    along = -space.lift(z).square().sum(1) / (2 * 0.36)
    found = target.log_prior(z)
    torch.testing.assert_close(found - found[0], along - along[0])
    drawn = target.normal_prior.draw(20_000 if kind == "subspace" else 50, torch.Generator().manual_seed(0))
    if kind == "subspace":
        precision = space.directions @ space.directions.T / 0.36
        torch.testing.assert_close(torch.cov(drawn.T), torch.linalg.inv(precision), rtol=0.05, atol=0.02)
    else:
        assert float(space.lift(drawn).std()) == pytest.approx(0.6, rel=0.02)
    assert "weights, along the space" in target.said


def linear_model(noise=0.3, n=40, features=5):
    """A linear network without bias, its data and a subspace: what exact answer 1 is about."""
    x = seeded(n, features)
    y = (x @ seeded(features, 1, seed=1) + noise * seeded(n, 1, seed=2))
    module = nn.Linear(features, 1, bias=False).double()
    task = Task(Net(module), {"train": (x, y), "test": (x, y), "validation": (x, y)}, GaussianLoss(noise**2), 0.0)
    return task, random_space(0.2 * seeded(features, seed=3), 2, torch.Generator().manual_seed(5))


def closed_form(task, space, prior_std, temperature):
    """Exact answer 1: the mean and covariance of a linear-Gaussian posterior in a subspace."""
    x, y = task.splits["train"]
    xp, variance = x @ space.directions.T, task.likelihood.variance
    precision = torch.eye(space.ndim, dtype=torch.float64) / prior_std**2 + xp.T @ xp / (variance * temperature)
    covariance = torch.linalg.inv(precision)
    return covariance @ xp.T @ (y[:, 0] - x @ space.origin) / (variance * temperature), covariance


@pytest.mark.parametrize("temperature", [1.0, 7.0])
def test_a_linear_model_has_the_posterior_of_exact_answer_1(temperature):
    task, space = linear_model()
    target = Posterior(task, space, 0.8, temperature)
    mean, covariance = closed_form(task, space, 0.8, temperature)
    exact = Normal(mean, torch.linalg.cholesky(covariance))
    z = mean + 0.1 * seeded(9, 2, seed=8)
    difference = target.log_density(z) - exact.log_density(z)
    torch.testing.assert_close(difference, difference[:1].expand(9))
    torch.testing.assert_close(target.value_and_gradient(z)[1], exact.gradient(z))


@pytest.mark.parametrize("deviation", [0.7, torch.tensor([0.5, 2.0]), torch.tensor([[0.5, 0.0], [0.3, 2.0]])])
def test_normal_densities(deviation):
    deviation = deviation.double() if isinstance(deviation, torch.Tensor) else deviation
    normal = Normal(torch.tensor([1.0, -2.0], dtype=torch.float64), deviation)
    factor = torch.as_tensor(deviation, dtype=torch.float64)
    factor = factor if factor.ndim == 2 else torch.diag(factor.expand(2))
    reference = torch.distributions.MultivariateNormal(normal.mean, scale_tril=factor)
    z = seeded(5, 2).requires_grad_(True)
    torch.testing.assert_close(normal.log_density(z), reference.log_prob(z))
    (slope,) = torch.autograd.grad(reference.log_prob(z).sum(), z)
    torch.testing.assert_close(normal.gradient(z.detach()), slope)
    drawn = normal.draw(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), normal.mean, atol=0.04, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), factor @ factor.T, atol=0.08, rtol=0)


def test_the_test_density_is_prior_times_likelihood():
    target = Gaussian(torch.tensor([1.0, -0.5]), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    z = seeded(5, 2)
    reference = torch.distributions.MultivariateNormal(target.mean, target.covariance).log_prob(z)
    torch.testing.assert_close(target.log_density(z), reference)
    torch.testing.assert_close(target.log_likelihood(z) + target.log_prior(z), reference)
    torch.testing.assert_close(target.value_and_gradient(z)[0], reference)


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"temperature": -1.0}, {"prior_std": 0.0},
                                 {"prior_std": float("nan")}, {"prior": "outputs"}])
def test_impossible_settings_are_refused(bad):
    task, space = linear_model()
    with pytest.raises(BadInput, match=next(iter(bad))):
        Posterior(task, space, **{"prior_std": 1.0} | bad)


def test_a_space_of_another_network_is_refused():
    task, _ = linear_model()
    with pytest.raises(BadInput, match="9 weights and the network 5"):
        Posterior(task, weight_space(torch.zeros(9)), 1.0)
    with pytest.raises(BadInput, match="takes points"):
        Posterior(task, weight_space(torch.zeros(5)), 1.0).log_density(torch.zeros(5))
