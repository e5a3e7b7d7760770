"""Samplers on real posteriors: a linear model's closed form, the regression task against its exact grid."""

import numpy as np
import pytest
import torch
from test_target import closed_form, linear_model

from landscape import catalog
from landscape.data import load
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.posteriors import grid, method
from landscape.posteriors.method import Given
from landscape.posteriors.space import pca_space, weight_space
from landscape.posteriors.target import Posterior
from landscape.training import sgd
from landscape.training.averaging import Collector, trajectory_of
from landscape.training.task import task_from


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def walk():
    """The regression task, and 60 snapshots of SGD at a constant rate after 100 epochs at it."""
    data = load("regression", 0)
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (50, 50), "tanh")), 1e-3)
    start = initial_weights(task.net.module, sgd.generator(0, 0))[None]
    collector = Collector(trace=range(8 * 101, 8 * 160 + 1, 8))
    state = sgd.train(task, [0], start, epochs=160, batch_size=50, lr=0.003, schedule=lambda share: 1.0, momentum=0.9,
                      points=collector.points, collect=collector)
    return task, trajectory_of(state).weights[:, 0]


@pytest.mark.parametrize("name", ["ess", "hmc", "nuts"])
@pytest.mark.parametrize("temperature", [1.0, 7.0])
def test_linear_gaussian_models_are_recovered(name, temperature):
    task, space = linear_model()
    mean, covariance = closed_form(task, space, 0.8, temperature)
    few = {"nuts": {"draws": 250, "warmup": 100}, "hmc": {"draws": 200}}
    target = Posterior(task, space, 0.8, temperature)
    found = method.infer(name, Given(target=target), generator=generator(), **few.get(name, {}))
    sd = covariance.diagonal().sqrt()
    assert ((found.flat.mean(0) - mean) / sd).abs().max() < 0.12
    assert ((torch.cov(found.flat.T) - covariance) / torch.outer(sd, sd)).abs().max() < 0.15


@pytest.mark.parametrize(("name", "prior_std"), [("ess", 1.0), ("ess", 5.0), ("nuts", 5.0)])
def test_default_draws_are_near_the_exact_grid_of_the_regression_task(walk, name, prior_std):
    task, snapshots = walk
    target = Posterior(task, pca_space(snapshots, 2), prior_std)
    exact = grid.exact(target)
    found = method.infer(name, Given(target=target), generator=generator())
    defaults = catalog.METHODS[name].defaults
    assert found.z.shape[:2] == (defaults["chains"], defaults["draws"])
    distance = exact.total_variation(found.flat)
    assert distance.value < 0.05
    assert distance.floor < 0.03
    errors = exact.moment_errors(found.flat)
    assert np.abs(errors["mean"]).max() < 0.1
    assert np.abs(errors["sd"]).max() < 0.1


def test_sgld_on_batches_is_near_it_too(walk):
    task, snapshots = walk
    target = Posterior(task, pca_space(snapshots, 2), 1.0)
    found = method.infer("sgld", Given(target=target), generator=generator(), batch_size=100, draws=100)
    assert grid.exact(target, cells=49).total_variation(found.flat).value < 0.15
    assert found.log_density.isnan().all()
    assert "batches of 100" in found.info["said"][1]


def test_hmc_over_all_weights_lowers_the_energy_and_predicts(walk):
    task, snapshots = walk
    target = Posterior(task, weight_space(snapshots[-1]), 0.5, prior="weights")
    found = method.infer("hmc", Given(target=target, networks=snapshots[-2:]), generator=generator(), draws=10, warmup=40,
                         chains=4, most_steps=30)
    assert found.z.dtype == torch.float32
    assert found.info["metric"] == "unit"
    assert found.info["acceptance"].mean() > 0.5
    before = target.log_likelihood(target.space.project(snapshots[-2:]))
    assert target.log_likelihood(found.z[:, -1]).mean() > before.max()
    assert found.info["gradient_evaluations"] > 4 * 10 * 20
