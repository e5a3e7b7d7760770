"""Predictive averages: equal to all networks at once, variances apart, entropies, the speed that pages need."""

import time

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput, Diverged
from landscape.networks import Net, build
from landscape.posteriors.predictive import Average, average, growing
from landscape.training.ensembles import by_size
from landscape.training.losses import SquaredError
from landscape.training.task import Task, task_from
from landscape.uncertainty import metrics


def task_of(name="digits", widths=(16,), norm="none", network="mlp", **options):
    data = load(name, 0, options.pop("train_size", 200))
    return task_from(data, Net(build(network, data.shape, data.outputs, widths, "relu", norm)), 1e-3, **options)


def networks(task, count, spread=0.3):
    return spread * torch.randn(count, task.net.size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("network", "norm", "widths"), [
    ("mlp", "none", (16,)), ("mlp", "batch", (16,)), ("conv", "batch", (4,))])
def test_class_probabilities_of_blocks_are_those_of_all_at_once(network, norm, widths):
    task = task_of(network=network, norm=norm, widths=widths)
    w = networks(task, 5)
    x, y = task.splits["test"]
    each = torch.stack([task.net(v, x, task.buffers(v)).double().softmax(-1) for v in w]).numpy()
    found = average(task, iter([w[:2], w[2], w[3:]]))
    np.testing.assert_allclose(found.probabilities, each.mean(0), rtol=2e-5)
    assert found.count == 5
    assert found.nll == pytest.approx(metrics.nll(found.probabilities, y.numpy()), rel=1e-9)
    assert found.error == pytest.approx(1 - metrics.accuracy(found.probabilities, y.numpy()))
    own = -(each * np.log(each)).sum(-1).mean(0)
    np.testing.assert_allclose(found.entropy - found.information, own, atol=1e-6)
    assert (found.information >= 0).all()
    np.testing.assert_allclose(average(task, w).probabilities, found.probabilities, rtol=1e-5)


def test_one_network_predicts_as_itself_and_disagrees_with_nobody():
    task = task_of()
    w = networks(task, 1)
    found, own = average(task, w), task.evaluate(w, "test")
    assert found.nll == pytest.approx(float(own["nll"]), rel=1e-6)
    assert found.error == pytest.approx(float(own["error"]))
    assert float(found.information.max()) < 1e-12
    assert found.agreement(found) == 1
    assert found.total_variation(found) == 0


def test_regression_has_its_two_variances_apart_and_the_nll_of_the_mixture():
    task = task_of("regression", (20,), noise_variance=0.3)
    w = networks(task, 7)
    x, y = task.splits["test"]
    outputs = task.net(w, x).double()
    found = average(task, w.split(3))
    np.testing.assert_allclose(found.mean, outputs.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.epistemic, outputs.var(0, unbiased=False), rtol=1e-5)
    np.testing.assert_allclose(found.aleatoric, 0.3)
    np.testing.assert_allclose(found.deviation**2, found.epistemic + 0.3)
    likelihood = torch.distributions.Normal(outputs, 0.3**0.5).log_prob(y).exp().mean(0)
    np.testing.assert_allclose(found.each, -likelihood.log()[:, 0], rtol=1e-6)
    assert found.nll == pytest.approx(float(-likelihood.log().mean()), rel=1e-6)
    assert found.error == pytest.approx(float((outputs.mean(0) - y).square().mean().sqrt()), rel=1e-6)
    assert found.agreement(found) is None


def test_two_networks_one_of_them_right_are_a_mixture():
    """Of N(0, 1) and N(2, 1): mean 1 and variance 2, of which one half is theirs and one half the noise."""
    task = task_of("regression", (), noise_variance=1.0)
    w = torch.zeros(2, task.net.size)
    w[1, -1] = 2
    found = average(task, w, x=torch.zeros(3, 2))
    np.testing.assert_allclose(found.mean, 1)
    np.testing.assert_allclose(found.deviation**2, 2)
    np.testing.assert_allclose(found.epistemic, 1)
    assert found.nll is None


def test_growing_gives_the_average_after_each_group_as_ensembles_do():
    task = task_of()
    w = networks(task, 4)
    found = growing(task, w.split(1))
    expected = by_size(task, w[:, None], "test")["ensemble_nll"][:, 0]
    np.testing.assert_allclose([each.nll for each in found], expected, rtol=1e-6)
    assert [each.count for each in found] == [1, 2, 3, 4]


def test_a_confident_mistake_does_not_underflow():
    task = task_of()
    assert 300 < average(task, networks(task, 3, 30.0)).nll < 1e6


def test_what_cannot_be_averaged_is_said():
    task = task_of()
    w = networks(task, 3)
    w[2, 0] = torch.nan
    grown = Average(task, *task.splits["test"])
    grown.add(w[:2])
    with pytest.raises(Diverged, match="Draw number 3"):
        grown.add(w[2:])
    assert grown.predicted().count == 2
    with pytest.raises(BadInput, match="no networks"):
        average(task, w[:0])
    with pytest.raises(BadInput, match="no examples"):
        average(task, w, x=torch.zeros(0, 8, 8))
    other = Task(task.net, task.splits, SquaredError(), 0.0)
    with pytest.raises(BadInput, match="squarederror is no likelihood"):
        average(other, w)


def test_thirty_draws_predict_a_thousand_signals_while_one_looks_on():
    data = load("mnist1d")
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (100, 100))), 1e-3)
    w = networks(task, 30, 0.1)
    assert len(task.splits["test"][0]) == 1000
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        average(task, w)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.3
