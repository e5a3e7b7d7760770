"""Surfaces in lower precision say how far off they are; those in float32 stay what they were, their keys too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_together import grid, plane_of, task_of

from landscape.errors import BadInput
from landscape.figures import truth
from landscape.geometry import precision
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.results import Surface
from landscape.settings import parse
from landscape.training.losses import Gaussian
from landscape.training.task import Task


@pytest.mark.parametrize(("network", "norm", "way"), [("mlp", "none", None), ("mlp", "none", "together"),
                                                       ("conv", "batch", "module"), ("conv", "batch", "together")])
def test_what_is_told_is_how_far_off_it_is(network, norm, way):
    task, z = task_of("digits", network, norm), grid(23)
    sub = plane_of(task.net)
    evaluator = Evaluator(replace(task, precision="bfloat16"), sub, way=way)
    low, exact = evaluator(z), Evaluator(task, sub)(z)
    rows = np.unique(np.linspace(0, 22, precision.CHECKED).round().astype(int))
    off = max(float(np.max(np.abs(low[m][rows] - exact[m][rows]) / exact[m][rows])) for m in ("train_nll", "test_nll"))
    assert 0 < off < 0.05
    assert evaluator.said["precision"] == "bfloat16"
    assert evaluator.said["checked"] == 5
    assert evaluator.said["off"] == pytest.approx(off, rel=1e-3)
    again = Evaluator(replace(task, precision="bfloat16"), sub, way=evaluator.said)
    assert again.said == evaluator.said  # a picture that goes on, or a part of it elsewhere
    assert "precision" not in Evaluator(task, sub).said


def test_single_points_add_up_to_the_points_checked():
    task = replace(task_of(), precision="tf32")
    evaluator = Evaluator(task, plane_of(task.net))
    for i in range(7):
        evaluator(grid(7)[i : i + 1])
    assert evaluator.said["checked"] == 5
    assert evaluator.said["off"] == 0  # no tf32 on a CPU
    with pytest.raises(BadInput, match="bfloat16"):
        Evaluator(replace(task, precision="bfloat61"), plane_of(task.net))


def surface(way):
    values = {"train_nll": np.ones((2, 2))}
    info = {"way": {"words": "several networks at once"} | way, "anchor_error": {"train_nll": 0.01}, "batchnorm": "none",
            "data": {"train": 9}, "final": True}
    return Surface((np.arange(2.0), np.arange(2.0)), values, np.ones((2, 2), bool), (), None, info)


def test_the_picture_says_it():
    good = surface({"precision": "bfloat16", "off": 0.004, "checked": 5})
    assert "computed in bfloat16, at most 0.40% off at 5 points checked" in truth.line(good, "train_nll")
    assert truth.anchor_ok(good)
    assert not truth.anchor_ok(surface({}))
    bad = dict(truth.sentences(surface({"precision": "bfloat16", "off": 0.2, "checked": 1})))
    assert bad["computed in bfloat16, at most 20.0% off at 1 point checked"] is False
    assert dict(truth.sentences(surface({"precision": "tf32"})))["computed in tf32, not compared with float32"] is False


def test_runs_from_before_keep_their_keys():
    for recipe in ("valleys", "averaging"):
        plain = parse(recipe, {"task": "digits"})
        assert plain.precision == "float32"
        assert "precision" not in plain.canonical()
        assert parse(recipe, {"task": "digits", "precision": "float32"}).canonical() == plain.canonical()
        assert '"precision":"tf32"' in parse(recipe, {"task": "digits", "precision": "tf32"}).canonical()
    assert not torch.backends.cuda.matmul.allow_tf32  # asking changes nothing for others


def test_targets_that_are_numbers_are_not_rounded():
    x, y = torch.linspace(-1, 1, 50)[:, None], torch.linspace(1, 2, 50)[:, None]
    task = Task(Net(build("mlp", (1,), 1, (4,))), {"train": (x, y)}, Gaussian(1e-4), 0.0)
    lower = precision.in_precision(task, torch.bfloat16).splits["train"]
    assert lower[0].dtype == torch.bfloat16
    assert torch.equal(lower[1], y)
    assert precision.in_precision(task, torch.float64).splits["train"][1].dtype == torch.float64
