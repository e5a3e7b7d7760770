"""Laplace around a trained network and Monte Carlo dropout."""

import importlib.util

import pytest
import torch
from torch import nn
from torch.func import hessian

from landscape.data import load
from landscape.errors import BadInput, Diverged
from landscape.networks import Net, build
from landscape.posteriors import method
from landscape.posteriors.dropout import droppable, masks_of
from landscape.posteriors.last_layer import gauss_newton, last_layer
from landscape.posteriors.method import Given
from landscape.posteriors.predictive import average
from landscape.training.losses import SquaredError
from landscape.training.task import Task, task_from

LAPLACE_TORCH = importlib.util.find_spec("laplace") is not None


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def task_of(name="digits", widths=(6,), norm="none", network="mlp", weight_decay=1e-2, size=120, **options):
    data = load(name, 0, size)
    return task_from(data, Net(build(network, data.shape, data.outputs, widths, "tanh", norm)), weight_decay, **options)


def start_of(task, spread=0.4):
    return spread * torch.randn(task.net.size, generator=generator(1))


@pytest.mark.parametrize("name", ["digits", "regression"])
def test_the_curvature_of_the_last_layer_is_the_hessian_of_the_summed_nll(name):
    task = task_of(name, dtype=torch.float64)
    w = start_of(task).double()
    layer = last_layer(task, w)
    places, (x, y) = layer.places.flatten(), task.splits["train"]

    def nll(theta):
        return task.likelihood.nll(task.net(w.index_put((places,), theta)[None], x), y).sum()

    torch.testing.assert_close(gauss_newton(task, layer), hessian(nll)(w[places]), rtol=1e-8, atol=1e-8)


def test_a_linear_gaussian_model_has_its_exact_posterior():
    """One linear layer with a Gaussian likelihood: covariance (X'X / (sigma^2 T) + I / s^2)^-1 around the best weights."""
    task = task_of("regression", (), noise_variance=0.5)
    x, y = (each.double() for each in task.splits["train"])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    covariance = torch.linalg.inv(x.T @ x / (0.5 * 40) + torch.eye(3) / 0.01)
    best = covariance @ x.T @ y[:, 0] / (0.5 * 40)
    found = method.infer("laplace", Given(task=task, networks=best[None]), generator=generator(), draws=20_000,
                         prior_std=0.1, temperature=40.0)
    sd = covariance.diagonal().sqrt()
    assert float(((found.weights.T.cov() - covariance) / torch.outer(sd, sd)).abs().max()) < 0.05
    assert float(((found.weights.mean(0) - best) / sd).abs().max()) < 0.05


def test_without_a_prior_it_is_that_of_the_weight_decay():
    task = task_of("regression", (), noise_variance=0.5)
    w = start_of(task)
    given = Given(task=task, networks=w[None])
    own = method.infer("laplace", given, generator=generator(), draws=5)
    said = method.infer("laplace", given, generator=generator(), draws=5, prior_std=(1e-2 * 120) ** -0.5)
    torch.testing.assert_close(own.z, said.z)
    assert "trained network is the top" in " ".join(own.info["said"])
    free = Given(task=task_of(weight_decay=0.0), networks=start_of(task_of())[None])
    with pytest.raises(BadInput, match="Give a prior_std"):
        method.infer("laplace", free, generator=generator())


@pytest.mark.parametrize(("network", "norm", "widths"), [
    ("mlp", "none", (6,)), ("mlp", "batch", (6,)), ("conv", "none", (4,)), ("preresnet8", "batch", (4, 4, 8))])
def test_only_the_last_layer_moves_whatever_is_before_it(network, norm, widths):
    task = task_of(network=network, norm=norm, widths=widths, size=60)
    w = task.net.initial
    found = method.infer("laplace", Given(task=task, networks=w[None]), generator=generator(), draws=3, chains=2)
    assert found.z.shape == (2, 3, task.net.size)
    moved = (found.flat != 0).any(0)
    count = 10 * (task.net.module.get_submodule([n for n, m in task.net.module.named_modules()
                                                 if isinstance(m, nn.Linear)][-1]).in_features + 1)
    assert moved[-count:].all()
    assert not moved[:-count].any()


def test_networks_that_do_not_end_in_a_linear_layer_are_refused():
    x, y = torch.randn(20, 3, generator=generator()), torch.zeros(20, dtype=torch.long)
    for module in (nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Sequential(nn.Flatten(), nn.PReLU())):
        task = Task(Net(module), {"train": (x, y)}, task_of().likelihood, 1e-2)
        with pytest.raises(BadInput, match="Choose the subspace one"):
            method.infer("laplace", Given(task=task, networks=task.net.initial[None]), generator=generator())
    task = task_of()
    other = Task(task.net, task.splits, SquaredError(), 1e-2)
    with pytest.raises(BadInput, match="need a likelihood"):
        method.infer("laplace", Given(task=other, networks=start_of(task)[None]), generator=generator())
    with pytest.raises(BadInput, match="above zero"):
        method.infer("laplace", Given(task=task, networks=start_of(task)[None]), generator=generator(), temperature=0.0)


@pytest.mark.skipif(LAPLACE_TORCH, reason="laplace-torch is installed")
def test_without_the_extra_it_is_said_how_to_get_it():
    task = task_of()
    with pytest.raises(BadInput, match=r"landscape\[laplace\]"):
        method.infer("laplace_kronecker", Given(task=task, networks=start_of(task)[None]), generator=generator())


@pytest.mark.skipif(not LAPLACE_TORCH, reason="needs laplace-torch")
def test_kronecker_factors_are_exact_for_one_linear_layer_without_bias():
    task = task_of("regression", (), noise_variance=0.5)
    task = Task(Net(nn.Linear(2, 1, bias=False)), task.splits, task.likelihood, 1e-2)
    x = task.splits["train"][0].double()
    expected = torch.linalg.inv(x.T @ x / 0.5 + torch.eye(2) * 1.2)
    given = Given(task=task, networks=torch.zeros(1, 2))
    found = method.infer("laplace_kronecker", given, generator=generator(), draws=20_000)
    sd = expected.diagonal().sqrt()
    assert float(((found.weights.T.cov() - expected) / torch.outer(sd, sd)).abs().max()) < 0.05


def test_a_mask_drops_units_and_keeps_the_mean():
    task = task_of(widths=(7, 5))
    layers = droppable(task.net)
    assert [(outputs, inputs) for _, outputs, inputs in layers] == [(5, 7), (10, 5)]
    masks = masks_of(layers, task.net.size, 4000, 0.25, generator())
    start, outputs, inputs = layers[0]
    block = masks[:, start : start + outputs * inputs].view(-1, outputs, inputs)
    assert torch.equal(block, block[:, :1].expand_as(block))  # a unit is dropped for all that it feeds
    assert block.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert float(block.mean()) == pytest.approx(1, abs=0.02)
    assert (masks[:, : 64 * 7 + 7] == 1).all()  # inputs are never dropped


def test_a_masked_network_is_the_network_without_its_units():
    task = task_of(widths=(7,))
    w, x = start_of(task), task.splits["test"][0][:6]
    found = method.infer("dropout", Given(task=task, networks=w[None]), generator=generator(), epochs=0, draws=3, drop=0.5)
    masks = masks_of(droppable(task.net), task.net.size, 3, 0.5, generator())
    kept = masks[:, 64 * 7 + 7 : 64 * 7 + 7 + 7]  # those of the first class
    hidden = torch.tanh(x.flatten(1) @ w[: 64 * 7].view(7, 64).T + w[64 * 7 : 65 * 7])
    expected = (hidden * kept[:, None]) @ w[65 * 7 : 65 * 7 + 70].view(10, 7).T + w[-10:]
    torch.testing.assert_close(task.net(found.weights.float(), x), expected, rtol=1e-4, atol=1e-5)
    assert "trained without dropout" in found.info["said"][0]


@pytest.mark.parametrize(("network", "norm", "widths"), [("mlp", "none", (32,)), ("conv", "batch", (4,))])
def test_a_network_trained_with_dropout_predicts_better_than_one_that_was_not_trained(network, norm, widths):
    task = task_of(network=network, norm=norm, widths=widths, size=300, weight_decay=1e-3)
    seen = []
    found = method.infer("dropout", Given(task=task), generator=generator(), epochs=6, lr=0.1, batch_size=50, draws=10,
                         watch=lambda done, total, new: seen.append((done, total)))
    assert average(task, found.weights).error < 0.35
    assert seen[-1] == (16, 16)
    assert found.info["gradient_evaluations"] == 6
    again = method.infer("dropout", Given(task=task), generator=generator(), epochs=6, lr=0.1, batch_size=50, draws=10)
    assert torch.equal(found.z, again.z)


def test_dropout_says_what_it_cannot_do():
    task = task_of(widths=())
    with pytest.raises(BadInput, match="behind a hidden one"):
        method.infer("dropout", Given(task=task), generator=generator())
    with pytest.raises(BadInput, match="between 0 and 1"):
        method.infer("dropout", Given(task=task_of()), generator=generator(), drop=1.0)
    with pytest.raises(BadInput, match="needs a trained network"):
        method.infer("dropout", Given(task=task_of()), generator=generator(), epochs=0)
    with pytest.raises(Diverged, match="diverged in epoch"):
        method.infer("dropout", Given(task=task_of("regression")), generator=generator(), lr=1e6, epochs=5)
