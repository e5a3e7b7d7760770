"""Sequences of operations that run without the interpreter: the same numbers, bit for bit, as written in Python."""

import numpy as np
import pytest
import torch

from landscape.geometry import affine, passes
from landscape.geometry.affine import Forward, Layers
from landscape.geometry.subspace import Subspace
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.networks.compiled import compiled
from landscape.training.losses import Categorical
from landscape.training.task import Task


def outputs(activation, dtype, dimension, widths=(7, 20)):
    g = torch.Generator().manual_seed(0)
    net = Net(build("mlp", (5,), 3, widths, activation=activation))
    subspace = Subspace(torch.randn(net.size, generator=g, dtype=torch.float64),
                        torch.randn(dimension, net.size, generator=g, dtype=torch.float64))
    layers = Layers(net.layers, subspace, dtype)
    x, z = torch.randn(50, 5, generator=g).to(dtype), torch.randn(7, dimension, generator=g, dtype=torch.float64)
    z[1:4, :-1] = z[:1, :-1]  # neighbours on a grid
    tiles = layers.tiles(x)
    parts = [part[..., : tile.examples.stop - tile.examples.start].clone()
             for part, tile in zip(Forward(layers)(z, tiles), tiles, strict=True)]
    direct = torch.stack([torch.func.functional_call(
        net.module.double(), net.unflatten(subspace.lift(point)), (x.double(),)).T for point in z])
    assert tiles[-1].examples.stop == len(x)
    return torch.cat(parts, -1), direct


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize(("dtype", "dimension"), [
    (torch.float32, 2), (torch.float64, 1), (torch.bfloat16, 2), (torch.float32, 5)])
def test_compiled_and_plain_give_the_same_bits(monkeypatch, activation, dtype, dimension):
    assert isinstance(compiled(passes.through), torch.jit.ScriptFunction)
    assert isinstance(compiled(passes.combine), torch.jit.ScriptFunction)
    quick, exact = outputs(activation, dtype, dimension)
    monkeypatch.setattr(affine, "compiled", lambda function: function)
    plain, _ = outputs(activation, dtype, dimension)
    assert torch.equal(quick, plain)
    within = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype]
    assert float((quick.double() - exact).abs().max()) <= within * float(exact.abs().max())


def test_no_hidden_layer_and_no_offset():
    quick, exact = outputs("relu", torch.float64, 3, widths=())
    torch.testing.assert_close(quick, exact)


def test_without_a_compiler_a_function_stays_what_it_is_and_the_log_says_so(monkeypatch, caplog):
    def refuse(_):
        raise RuntimeError("no longer supported")

    def twice(x):
        return 2 * x

    monkeypatch.setattr(torch.jit, "script", refuse)
    assert compiled(twice) is twice
    assert "twice runs as plain Python" in caplog.text
    assert "no longer supported" in caplog.text


@pytest.mark.parametrize("last", [1e-2, 1.0])
def test_what_overflows_in_a_hidden_layer_is_no_finite_loss(last):
    net = Net(build("mlp", (5,), 3, (4, 4)))
    w = torch.full((net.size,), 1e20, dtype=torch.float64)
    w[net.layers[-1].start :] = last * torch.arange(15)
    x, y = torch.ones(6, 5), torch.zeros(6, dtype=torch.long)
    task = Task(net, {"train": (x, y)}, Categorical(), 0.0)
    subspace = Subspace(w, torch.eye(2, net.size, dtype=torch.float64))
    assert not task.evaluate(w[None].float(), "train")["nll"].isfinite().any()
    assert not np.isfinite(Evaluator(task, subspace, ("train",))(np.zeros((3, 2)))["train_nll"]).any()
