"""An evaluator that was told to another process gives the same bits, whatever its way."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from landscape.geometry.subspace import plane
from landscape.geometry.surface import Evaluator
from landscape.networks.architectures import initial_weights
from landscape.recipes.elsewhere import divisible, evaluating, needs
from landscape.recipes.training import problem
from landscape.settings import Valleys
from landscape.training import sgd

Z = np.stack([np.linspace(-1.0, 2.0, 70), np.linspace(1.5, -0.5, 70)], axis=1)
SETTINGS = {
    "mlp": {"task": "digits", "widths": (16, 16)},
    "conv": {"task": "mnist5k", "widths": (4, 4), "norm": "batch", "train_size": 60, "batchnorm_examples": 40},
    "regression": {"task": "regression", "widths": (8,)},
}


def told(evaluator: Evaluator) -> Evaluator:
    """Through bytes, as between processes."""
    return evaluating(*(each.make(pickle.loads(pickle.dumps(each.value, 5))) for each in needs(evaluator)))


def made(name: str, way: str | None = None, **options) -> Evaluator:
    s = Valleys(**SETTINGS[name])
    p = problem(s, s.batchnorm_examples)
    w = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in range(3)])
    return Evaluator(p.task, plane(*w), way=way, **options)


@pytest.mark.parametrize(("name", "way"), [("mlp", None), ("mlp", "folded"), ("conv", "folded"), ("conv", "module"),
                                           ("regression", None)])
def test_the_same_bits(name, way):
    here = made(name, way)
    z = Z if name != "conv" else Z[::14]
    there = told(here)
    assert there.said == here.said
    found, wanted = there(z), here(z)
    assert found.keys() == wanted.keys()
    for metric in wanted:
        assert found[metric].tobytes() == wanted[metric].tobytes(), metric
    part = there(z[3:])  # other company, other numbers of points
    assert all(part[m].tobytes() == wanted[m][3:].tobytes() for m in wanted)


def test_stored_statistics_go_along():
    s = Valleys(**SETTINGS["conv"])
    p = problem(s, s.batchnorm_examples)
    w = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in range(3)])
    buffers = {name: b + 0.25 if b.is_floating_point() else b for name, b in p.task.net.buffers.items()}
    here = Evaluator(p.task, plane(*w), ("test",), buffers, way="folded")
    found, wanted = told(here)(Z[::14]), here(Z[::14])
    assert all(found[m].tobytes() == wanted[m].tobytes() for m in wanted)


def test_a_way_that_was_taken_here_is_taken_there(monkeypatch):
    here = made("conv", "module")
    monkeypatch.setenv("LANDSCAPE_WAY", "folded")  # what that machine would choose
    assert told(here).said["kind"] == "module"


def test_a_task_is_told_once_for_all_its_planes():
    one = made("mlp")
    other = Evaluator(one.task, one.subspace, one.splits)
    assert needs(one)[0] is needs(other)[0]
    assert needs(one)[1].token == needs(other)[1].token
    assert needs(one)[0].token != needs(made("regression"))[0].token


def test_what_is_too_large_to_be_sent_is_not_divided(monkeypatch):
    from landscape.recipes import elsewhere

    here = made("mlp")
    assert divisible(here)
    monkeypatch.setattr(elsewhere, "MOST", 1000)
    assert not divisible(here)
