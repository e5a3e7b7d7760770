"""Averages of predictions: equal to all members at once, streaming, and never worse than the members' mean NLL."""

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput
from landscape.networks import Net, build
from landscape.training.ensembles import Ensemble, by_size
from landscape.training.losses import Causal
from landscape.training.task import Task, task_from
from tests.training.test_sgd import moons_task, starts_of


def members_of(module, count, networks=2):
    return torch.stack([starts_of(module, range(i, i + networks)) for i in range(count)])


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_class_probabilities_are_averaged(norm):
    task, module = moons_task(norm)
    members = members_of(module, 4)
    found = by_size(task, iter(members), "test")
    x, y = task.splits["test"]
    for k in range(2):
        p = torch.stack([task.net(w, x, task.buffers(w)).softmax(-1) for w in members[:, k]])
        for size in range(1, 5):
            mean = p[:size].mean(0)
            nll = -mean[torch.arange(len(y)), y].log().mean()
            assert float(found["ensemble_nll"][size - 1, k]) == pytest.approx(float(nll), rel=1e-10)
            assert float(found["ensemble_error"][size - 1, k]) == pytest.approx(float((mean.argmax(1) != y).double().mean()))
    for i, w in enumerate(members):
        own = task.evaluate(w, "test")
        torch.testing.assert_close(found["member_nll"][i], own["nll"], rtol=1e-10, atol=0)
        torch.testing.assert_close(found["member_error"][i], own["error"])
    assert torch.equal(found["member_nll"][0], found["ensemble_nll"][0])
    assert (found["ensemble_nll"] <= found["member_nll"].cumsum(0) / torch.arange(1, 5)[:, None] + 1e-12).all()


def test_regression_is_a_mixture_of_gaussians_with_the_mean_of_means():
    data = load("regression")
    module = build("mlp", data.shape, data.outputs, (8,)).double()
    task = task_from(data, Net(module), 0.1, noise_variance=0.3, dtype=torch.float64)
    members = members_of(module, 3)
    found = by_size(task, members, "validation")
    x, y = task.splits["validation"]
    for k in range(2):
        outputs = torch.stack([task.net(w, x) for w in members[:, k]])
        likelihood = torch.distributions.Normal(outputs, np.sqrt(0.3)).log_prob(y).exp().mean(0)
        assert float(found["ensemble_nll"][-1, k]) == pytest.approx(-float(likelihood.log().mean()), rel=1e-9)
        rmse = (outputs.mean(0) - y).square().mean().sqrt()
        assert float(found["ensemble_error"][-1, k]) == pytest.approx(float(rmse), rel=1e-9)


def test_a_confident_mistake_of_one_member_does_not_underflow():
    task, module = moons_task(dtype=torch.float32)
    w = starts_of(module, [1], torch.float32) * 30
    ensemble = Ensemble(task, "test")
    own = ensemble.add(w)
    ensemble.add(w)
    assert float(own["nll"]) > 50
    assert float(ensemble.scores()["nll"]) == pytest.approx(float(own["nll"]), rel=1e-6)


def test_a_member_that_is_not_finite_gives_nan_to_its_ensemble_alone():
    task, module = moons_task()
    members = members_of(module, 2)
    members[1, 0] = torch.nan
    found = by_size(task, members, "test")
    assert found["ensemble_error"][1].isnan().tolist() == [True, False]
    assert found["ensemble_nll"][1].isnan().tolist() == [True, False]
    assert found["ensemble_nll"][0].isfinite().all()


def test_what_cannot_be_averaged_is_said():
    task, _ = moons_task()
    with pytest.raises(BadInput, match="at least one member"):
        by_size(task, [], "test")
    with pytest.raises(BadInput, match="found the loss causal"):
        Ensemble(Task(task.net, task.splits, Causal(3.0, 5), 0.0), "test")
