"""What a GPU does, done on the CPU: networks and chains go together in parts as large as fit, halved where they do not.

Memory that runs out is a stand-in here; ``test_cuda.py`` does it on a GPU, where there is one.
"""

import pytest
import torch
from on_both import NETWORKS, task_of, trained

from landscape.geometry.curvature import Objective
from landscape.networks.accelerator import Room
from landscape.posteriors import method
from landscape.posteriors.likelihood import Likelihood
from landscape.posteriors.method import Given
from landscape.posteriors.space import random_space
from landscape.posteriors.target import Posterior
from landscape.training import sgd

CPU = torch.device("cpu")


def test_a_room_halves_what_does_not_fit_and_remembers_it():
    room, asked = Room(CPU, 8), []

    def work(part):
        asked.append((part.start, part.stop))
        if part.stop - part.start > 3:
            raise torch.OutOfMemoryError("full")
        return list(range(part.start, part.stop))

    assert [k for part in room.parts(10, work) for k in part] == list(range(10))
    assert asked == [(0, 8), (0, 4), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert (room.size, room.halved) == (2, 2)

    def never(part):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        room.parts(3, never)
    with pytest.raises(ValueError, match="other"):
        room.parts(3, lambda part: (_ for _ in ()).throw(ValueError("other")))


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_training_in_parts_is_the_same_training(network, norm, monkeypatch):
    """Bit for bit, also the statistics of BatchNorm, which a pass that fails has moved already."""
    task, true = task_of(network, norm), sgd.mean_nll
    whole = trained(task)
    parts = trained(task, room=Room(CPU, 2))
    failed = []

    def full(task, w, buffers, x, y):
        found = true(task, w, buffers, x, y)
        if len(w) > 1:
            failed.append(len(w))
            raise torch.OutOfMemoryError("a device that takes one network")
        return found

    monkeypatch.setattr(sgd, "mean_nll", full)
    tight = trained(task, room=Room(CPU, 3))
    assert failed == [3]
    for other in (parts, tight):
        assert torch.equal(other.parameters, whole.parameters)
        assert all(torch.equal(other.buffers[name], b) for name, b in whole.buffers.items())
        assert all(torch.equal(a, b) for name in whole.log for a, b in zip(whole.log[name], other.log[name], strict=True))


@pytest.mark.parametrize(("network", "norm"), NETWORKS[1:])
def test_networks_trained_together_equal_networks_trained_in_turn(network, norm):
    alone, several = trained(task_of(network, norm)), trained(task_of(network, norm, together=True))
    torch.testing.assert_close(several.parameters, alone.parameters, rtol=1e-4, atol=1e-5)
    for name, b in alone.buffers.items():
        torch.testing.assert_close(several.buffers[name], b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_likelihoods_and_gradients_together_equal_those_in_turn(network, norm):
    alone, several = task_of(network, norm), task_of(network, norm, together=True)
    w = 0.3 * torch.randn(5, alone.net.size, generator=torch.Generator().manual_seed(0))
    value, gradient = Likelihood(alone, threads=1).gradients(w)
    likelihood = Likelihood(several, threads=1)
    likelihood.room = Room(CPU, 3)
    assert likelihood.many == (network != "mlp")
    for found in (likelihood.gradients(w), (likelihood.values(w), gradient)):
        torch.testing.assert_close(found[0], value, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(found[1], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


def test_chains_go_on_when_memory_runs_out(monkeypatch):
    task = task_of()
    target = Posterior(task, random_space(0.1 * torch.ones(task.net.size), 2, torch.Generator().manual_seed(0)), 1.0, 100.0)

    def draws():
        return method.infer("hmc", Given(target=target), generator=torch.Generator().manual_seed(1), draws=5, warmup=5,
                            chains=4, most_steps=4, step_size=0.01).z

    expected, true = draws(), Likelihood._sums

    def full(self, w, examples, slopes):
        if len(w) > 2:
            raise torch.OutOfMemoryError("a device that takes two networks")
        return true(self, w, examples, slopes)

    monkeypatch.setattr(Likelihood, "_sums", full)
    target.likelihood.room = Room(CPU, 4)
    torch.testing.assert_close(draws(), expected, rtol=1e-6, atol=1e-9)
    assert target.likelihood.room.size == 2


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_products_with_the_hessian_together_equal_those_in_turn(network, norm):
    task = task_of(network, norm)
    w = 0.3 * torch.randn(task.net.size, generator=torch.Generator().manual_seed(0))
    buffers = task.buffers(w) if task.net.batchnorm else None
    alone, several = (Objective(task, buffers=buffers, dtype=torch.float64, together=t).hessian(w) for t in (False, True))
    v = torch.randn(5, task.net.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    several.several.room = Room(CPU, 3)
    torch.testing.assert_close(several(v), alone(v), rtol=1e-10, atol=1e-12)


def test_slices_are_evaluated_on_the_device(monkeypatch):
    """Elliptical slice sampling in a subspace: the way of GPUs gives the densities of the way of CPUs."""
    task = task_of()
    space = random_space(0.1 * torch.ones(task.net.size), 2, torch.Generator().manual_seed(0))
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = Posterior(task, space, 1.0).log_likelihood(z)
    monkeypatch.setenv("LANDSCAPE_WAY", "together")
    target = Posterior(task, space, 1.0)
    torch.testing.assert_close(target.log_likelihood(z), expected, rtol=1e-6, atol=1e-4)
    assert target.evaluator.said["kind"] == "together"
