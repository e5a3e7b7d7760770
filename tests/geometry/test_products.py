"""A Hessian times several vectors at once, the way of GPUs, taken here on the CPU: equal to one by one, whatever fits."""

import pytest
import torch
from test_curvature import CASES, task_of, weights_of
from torch import nn
from torch.nn import functional
from waiting import Beneath, nothing_waits

from landscape.data import load
from landscape.errors import BadInput
from landscape.geometry import products, spectrum
from landscape.geometry.curvature import Objective
from landscape.geometry.products import Products
from landscape.networks import Net
from landscape.networks.accelerator import Room
from landscape.training.losses import Causal, Given, SquaredError
from landscape.training.task import Task, task_from

CPU = torch.device("cpu")
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def both(task, tile=None, penalty=True, dtype=None):
    """The Hessian at one network, one vector after the other and several at once, and six vectors."""
    w = weights_of(task)
    buffers = task.buffers(w.to(task.dtype)) if task.net.batchnorm else None
    alone, several = (Objective(task, penalty=penalty, buffers=buffers, together=t, dtype=dtype).hessian(w)
                      for t in (False, True))
    assert several.refused is None
    if tile:
        several.several.tile = tile
    v = torch.randn(6, task.net.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return alone, several, v


@pytest.mark.parametrize("tile", [None, 23])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_several_at_once_equal_one_by_one(case, tile):
    alone, several, v = both(task_of(*case), tile)
    expected = alone(v)
    torch.testing.assert_close(several(v), expected, **EXACT)
    torch.testing.assert_close(several(v[:1]), expected[:1], **EXACT)
    several.several.room = Room(CPU, 4)  # 4 and 2
    torch.testing.assert_close(several(v), expected, **EXACT)
    assert several.products == 13


def test_in_float32_both_are_as_close_to_float64():
    task = task_of("digits", "conv", (2, 2), activation="relu", size=60, dtype=torch.float32)
    alone, several, v = both(task)
    exact = Objective(task, dtype=torch.float64, together=False).hessian(weights_of(task).float())(v)
    for found in (alone(v), several(v)):
        assert 1e-9 < float((found - exact).norm() / exact.norm()) < 1e-5


class Words(nn.Module):
    """Tokens through attention, whose fused kernels have no second derivative."""

    def __init__(self):
        super().__init__()
        self.table, self.mix, self.out = nn.Embedding(7, 6), nn.Linear(6, 18), nn.Linear(6, 7)

    def forward(self, x):
        q, k, v = self.mix(self.table(x)).chunk(3, -1)
        return self.out(functional.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_attention_and_tokens_go_at_once():
    tokens = torch.randint(0, 7, (20, 5), generator=torch.Generator().manual_seed(0))
    alone, several, v = both(Task(Net(Words().double()), {"train": (tokens, tokens)}, Causal(4.0, 7), 0.0))
    torch.testing.assert_close(several(v), alone(v), **EXACT)


@pytest.mark.parametrize("likelihood", [
    SquaredError(), Given(lambda outputs, y: (outputs - y).pow(4).sum(-1), "fourth powers", "loss", 0.0, 2, 2),
    Given(lambda outputs, y: outputs.sum(-1), "a sum", "loss", 0.0, 2, 2)], ids=["squares", "own", "linear"])
def test_other_losses_go_at_once(likelihood):
    """Those of users and those without curvature, through linear layers and through a module."""
    data = load("regression", 0, 40)
    for module in (nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)),
                   nn.Sequential(nn.Linear(2, 5), nn.Sigmoid(), nn.Linear(5, 1))):
        x, y = (torch.tensor(a, dtype=torch.float64) for a in (data.train.x, data.train.y))
        alone, several, v = both(Task(Net(module.double()), {"train": (x, y)}, likelihood, 0.0))
        torch.testing.assert_close(several(v), alone(v), **EXACT)


@pytest.mark.parametrize("case", [CASES[0], CASES[5]], ids=["layers", "module"])
def test_memory_that_runs_out_halves_the_vectors_and_goes_on(case, monkeypatch):
    alone, several, v = both(task_of(*case))
    expected, true, asked = alone(v), Products._summed, []

    def tight(self, given):
        asked.append(len(given))
        if len(given) > 2:
            raise torch.OutOfMemoryError("a device that takes two vectors")
        return true(self, given)

    monkeypatch.setattr(Products, "_summed", tight)
    torch.testing.assert_close(several(v), expected, **EXACT)
    assert asked == [6, 3, 1, 1, 1, 1, 1, 1]
    assert several.several.room.halved == 2
    asked.clear()
    torch.testing.assert_close(several(v[:3]), expected[:3], **EXACT)
    assert asked == [1, 1, 1]  # what did not fit once is not tried again


@pytest.mark.parametrize("case", [CASES[0], CASES[5]], ids=["layers", "module"])
def test_where_one_vector_does_not_fit_the_examples_are_halved(case, monkeypatch):
    alone, several, v = both(task_of(*case))
    expected, tiles = alone(v), []

    def small(true):
        def made(self, part):
            tiles.append(self.tile)
            if self.tile > 20:
                raise torch.OutOfMemoryError("a device that takes twenty examples")
            return true(self, part)

        return made

    for kind in ("_stack", "_module"):
        monkeypatch.setattr(Products, kind, small(getattr(Products, kind)))
    several.several = Products(several.objective, several.w)
    torch.testing.assert_close(several(v), expected, **EXACT)
    assert several.several.tile <= 20
    assert not several.several._keeps
    assert tiles[0] == len(several.objective.x)
    assert set(tiles[1:]) >= {several.several.tile}


def test_one_example_that_does_not_fit_is_told(monkeypatch):
    several = both(task_of())[1]

    def full(self, given):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Products, "_summed", full)
    with pytest.raises(BadInput, match="on one example does not fit into the memory of cpu"):
        several(torch.ones(2, several.size, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[4], CASES[5], CASES[6], CASES[7]], ids=str)
def test_nothing_waits_for_the_device_within_a_product(case, dtype):
    several, v = both(task_of(*case, dtype=dtype), tile=23)[1:]
    expected = several(v)
    with nothing_waits():
        found = several(v)
    assert torch.equal(found, expected)
    with pytest.raises(AssertionError, match="item"), nothing_waits():
        found[0, 0].item()
    with pytest.raises(AssertionError, match="_local_scalar_dense"), Beneath():
        float(found[0, 0])


def test_passes_are_kept_while_they_take_little(monkeypatch):
    several, v = both(task_of())[1:]
    kept = several(v)
    assert len(several.several._kept) == 1
    monkeypatch.setattr(products, "KEPT_BYTES", 1)
    again = both(task_of())[1]
    assert torch.equal(again(v), kept)
    assert again.several._kept == []


def test_eigenvalues_and_trace_are_the_same_in_fewer_calls():
    alone, several, _ = both(task_of(), penalty=False)
    called, true = [], several.several._summed
    several.several._summed = lambda v: called.append(len(v)) or true(v)
    tops = [spectrum.eigenvalues(h, 4, generator=torch.Generator().manual_seed(0)).values for h in (alone, several)]
    torch.testing.assert_close(torch.tensor(tops[1]), torch.tensor(tops[0]), **EXACT)
    called.clear()
    traces = [spectrum.trace(h, generator=torch.Generator().manual_seed(0), probes=48) for h in (alone, several)]
    assert traces[1].value == pytest.approx(traces[0].value, rel=1e-10)
    assert traces[1].standard_error == pytest.approx(traces[0].standard_error, rel=1e-8)
    assert called == [48]
    assert (alone.at_once, several.at_once) == (spectrum.BATCH, products.MOST)
    assert spectrum.Scaled(several, torch.ones(several.size)).at_once == products.MOST


class Doubled(torch.autograd.Function):
    """A user's own operation with a backward pass and nothing else: no derivative forwards, no rule for vmap."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return 2 * slope


class Foreign(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return torch.tanh(Doubled.apply(self.layer(x)))


def test_a_module_that_cannot_go_at_once_is_multiplied_one_by_one_and_says_why():
    data = load("moons", 0, 40)
    task = task_from(data, Net(Foreign().double()), 0.0, dtype=torch.float64)
    w = weights_of(task)
    alone, several = (Objective(task, together=t).hessian(w) for t in (False, True))
    assert "several vectors at once could not be multiplied" in several.refused
    assert alone.refused is None
    v = torch.eye(task.net.size, dtype=torch.float64)
    assert torch.equal(several(v), alone(v))
    assert several.at_once == spectrum.BATCH


def test_on_a_cpu_nothing_is_different_unless_it_is_asked_for():
    hessian = Objective(task_of()).hessian(weights_of(task_of()))
    assert hessian.several is None
    assert hessian.refused is None
