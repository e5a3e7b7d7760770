"""Several networks at once, the way of GPUs, taken here on the CPU: the same values, whatever the company, whatever fits."""

import numpy as np
import pytest
import torch
from torch import nn
from waiting import nothing_waits

from landscape.data import load
from landscape.errors import BadInput
from landscape.geometry.subspace import plane
from landscape.geometry.surface import Evaluator
from landscape.geometry.together import Together
from landscape.networks import Net, build
from landscape.networks.net import stack
from landscape.training.losses import Causal, Gaussian
from landscape.training.task import Task, task_from

CASES = [("digits", "mlp", "none"), ("regression", "mlp", "none"), ("digits", "conv", "none"), ("digits", "conv", "batch"),
         ("digits", "conv", "group"), ("digits", "preresnet8", "batch")]


def task_of(name="digits", network="mlp", norm="none", dtype=torch.float32):
    data = load(name, 0, 120)
    module = build(network, data.shape, data.outputs, (8, 8) if network == "mlp" else (4, 8), "relu", norm=norm).to(dtype)
    return task_from(data, Net(module), 1e-3, dtype=dtype, batchnorm_examples=60)


def plane_of(net, scale=0.2):
    g = torch.Generator().manual_seed(0)
    return plane(*(scale * torch.randn(3, net.size, generator=g, dtype=torch.float64)))


def grid(n=11):
    return np.random.default_rng(0).normal(size=(n, 2))


def same(a, b):
    return all(np.array_equal(a[metric], b[metric]) for metric in a)


@pytest.mark.parametrize(("name", "network", "norm"), CASES)
def test_together_equals_one_by_one(name, network, norm):
    task, z = task_of(name, network, norm, torch.float64), grid()
    sub = plane_of(task.net)
    alone, several = (Evaluator(task, sub, way=way)(z) for way in ("module", "together"))
    for metric, values in alone.items():
        np.testing.assert_allclose(several[metric], values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("network", "norm"), [("mlp", "none"), ("conv", "batch")])
def test_company_threads_and_full_memory_change_no_bit(network, norm, monkeypatch):
    task, z = task_of("digits", network, norm), grid()
    sub, alike = plane_of(task.net), Together.__call__
    whole = Evaluator(task, sub, threads=2, way="together")(z)
    parts = [Evaluator(task, sub, threads=1, way="together")(z[i : i + 3]) for i in range(0, 11, 3)]
    assert all(np.array_equal(whole[m], np.concatenate([p[m] for p in parts])) for m in whole)
    asked = []

    def small(self, z):
        asked.append(len(z))
        if len(z) > 1:
            raise torch.OutOfMemoryError("a device that takes one network")
        return alike(self, z)

    monkeypatch.setattr(Together, "__call__", small)
    tight = Evaluator(task, sub, threads=1, way="together")
    assert same(tight(z), whole)
    assert asked[:3] == [4, 2, 1]
    assert tight.room.size == 1
    assert same(tight(z), whole)
    assert set(asked[3:]) == {1}  # what did not fit once is not tried again


def test_a_network_that_does_not_fit_is_told(monkeypatch):
    task = task_of()
    evaluator = Evaluator(task, plane_of(task.net), way="together")

    def full(self, z):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Together, "__call__", full)
    with pytest.raises(BadInput, match="does not fit into the memory"):
        evaluator(grid())


@pytest.mark.parametrize(("network", "norm"), [("mlp", "none"), ("conv", "none"), ("conv", "batch")])
def test_nothing_waits_for_the_device_within_a_chunk(network, norm):
    task = task_of("digits", network, norm)
    evaluator, z = Evaluator(task, plane_of(task.net), way="together"), torch.tensor(grid(8))
    with nothing_waits():
        found = evaluator.on_device(z)
    assert np.array_equal(found[0].numpy(), evaluator(z.numpy())["train_nll"])
    with pytest.raises(AssertionError, match="item"), nothing_waits():
        found[0, 0].item()


def test_statistics_of_several_networks_are_those_of_each():
    task = task_of("digits", "conv", "batch", torch.float64)
    g = torch.Generator().manual_seed(1)
    w = 0.3 * torch.randn(3, task.net.size, generator=g, dtype=torch.float64)
    batches = [task.splits["train"][0][:50], task.splits["train"][0][50:90]]
    for parts, biased in ((batches, False), (batches[:1], True)):
        several = task.net.estimate_many(w, parts, None, biased)
        each = stack([task.net.estimate_batchnorm(v, parts, None, biased) for v in w])
        for name, b in each.items():
            torch.testing.assert_close(several[name], b, rtol=1e-10, atol=1e-12)
    x = batches[0]
    own = torch.stack([task.net.on_own_statistics(v, x) for v in w])
    torch.testing.assert_close(task.net.many_on_own_statistics(w, x), own, rtol=1e-10, atol=1e-12)


class Undecided(nn.Module):
    """Looks at its numbers: cannot be run for several networks at once."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        out = self.layer(x.flatten(1))
        return out * 2 if float(out.abs().max()) > 1 else out


def test_a_module_that_cannot_go_together_is_run_by_itself():
    data = load("digits", 0, 60)
    task = task_from(data, Net(Undecided(), together=True), 0.0)
    assert "several networks at once" in task.net.refused(task.splits["train"][0])
    with pytest.raises(BadInput, match="together is not possible for Undecided"):
        Evaluator(task, plane_of(task.net), way="together")
    assert len(task.net(torch.stack([task.net.initial] * 2), task.splits["test"][0])) == 2


def test_tokens_and_numbers_go_together_too():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(7, 6), nn.Linear(6, 7)

        def forward(self, x):
            return self.out(torch.tanh(self.table(x)))

    tokens = torch.randint(0, 7, (20, 5), generator=torch.Generator().manual_seed(0))
    task = Task(Net(Words()), {"train": (tokens, tokens)}, Causal(4.0, 7), 0.0)
    z = grid(5)
    alone, several = (Evaluator(task, plane_of(task.net), ("train",), way=way)(z) for way in ("module", "together"))
    np.testing.assert_allclose(several["train_nll"], alone["train_nll"], rtol=1e-5)
    x = torch.linspace(-1, 1, 30)[:, None]
    net = Net(nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1, bias=False)))
    task = Task(net, {"train": (x, x)}, Gaussian(0.1), 0.0)
    alone, several = (Evaluator(task, plane_of(task.net), ("train",), way=way)(z) for way in ("module", "together"))
    np.testing.assert_allclose(several["train_error"], alone["train_error"], rtol=1e-5)
