"""The network with the mean weights against the mean of the networks."""

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.geometry.averaging import averaging_gap, slope_of
from landscape.networks import Net, build
from landscape.training.task import task_from


def task_of(activation="tanh", norm="none", network="mlp", widths=(8, 8)):
    data = load("digits", 0, 100)
    return task_from(data, Net(build(network, data.shape, data.outputs, widths, activation, norm)), 1e-2)


def iterates_of(task, n=5, step=0.01):
    g = torch.Generator().manual_seed(0)
    centre = 0.3 * torch.randn(task.net.size, generator=g)
    return centre + step * torch.randn(n, task.net.size, generator=g)


@pytest.mark.parametrize("space", ["outputs", "probabilities"])
@pytest.mark.parametrize(("activation", "network", "norm", "widths"), [
    ("tanh", "mlp", "none", (8, 8)), ("relu", "mlp", "none", (64, 64)), ("gelu", "conv", "batch", (8, 8))])
def test_the_gap_is_of_second_order_and_the_spread_of_first(activation, network, norm, widths, space):
    """With ReLU there have to be many kinks for their crossings to be counted well: a wide network."""
    task = task_of(activation, norm, network, widths)
    found = averaging_gap(task, iterates_of(task), space=space)
    assert found.slope == pytest.approx(2, abs=0.15)
    assert found.slope_error < 0.05
    assert slope_of(found.steps[found.fitted], found.spread[found.fitted])[0] == pytest.approx(1, abs=0.05)
    assert found.gaps[0] < 0.02 * found.spread[0]
    assert 0.5 < found.correlation <= 1


def test_one_iterate_has_no_gap_at_all():
    task = task_of()
    found = averaging_gap(task, iterates_of(task, 1))
    assert (found.gaps == 0).all()
    assert (found.spread == 0).all()
    assert np.isnan(found.slope)
    assert found.correlation == pytest.approx(1, abs=1e-12)


def test_values_are_those_of_the_definition():
    task = task_of()
    w = iterates_of(task).double()
    found = averaging_gap(task, w, (0.5, 1.0), "validation", "probabilities")
    net, x = task.net.to(dtype=torch.float64), task.splits["validation"][0].double()
    centre = w.mean(0)
    of_mean = net(centre, x).softmax(-1)
    for i, s in enumerate((0.5, 1.0)):
        each = torch.stack([net(centre + s * (v - centre), x).softmax(-1) for v in w])
        assert found.gaps[i] == pytest.approx(float((each.mean(0) - of_mean).norm(dim=-1).mean()), rel=1e-9)
        assert found.spread[i] == pytest.approx(float((each - of_mean).norm(dim=-1).mean()), rel=1e-9)
        assert found.steps[i] == pytest.approx(s * float((w - centre).norm(dim=1).mean()), rel=1e-12)
    np.testing.assert_allclose(found.of_mean, of_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.mean_of, each.mean(0).numpy(), rtol=1e-9)
    assert found.correlation == pytest.approx(np.corrcoef(of_mean.ravel(), each.mean(0).ravel())[0, 1], rel=1e-9)


def test_a_network_that_is_linear_in_its_weights_has_no_gap():
    data = load("digits", 0, 100)
    task = task_from(data, Net(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))), 0.0)
    found = averaging_gap(task, iterates_of(task))
    assert found.gaps.max() < 1e-12 * found.spread.max()


def test_slope_of_a_power():
    x = np.geomspace(1, 10, 6)
    assert slope_of(x, 3 * x**2.5) == (pytest.approx(2.5), pytest.approx(0, abs=1e-12))
    assert np.isnan(slope_of(x[:2], x[:2])).all()


def test_bad_input_and_stopping():
    task = task_of()
    w, seen = iterates_of(task), []
    averaging_gap(task, w, (0.5, 1.0), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (11, 11)

    def stop(done, total):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        averaging_gap(task, w, progress=stop)
    with pytest.raises(BadInput, match="space of predictions"):
        averaging_gap(task, w, space="logit")
    for wrong in (w[0], w[:0], w * float("nan")):
        with pytest.raises(BadInput, match="iterates"):
            averaging_gap(task, wrong)
