"""Convolutional and residual networks layer by layer: equal to the module itself, in any company, or not taken at all."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.geometry import folded, fused, ways
from landscape.geometry.folded import Folded
from landscape.geometry.subspace import plane
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.recipes.planes import Plane
from landscape.results import Surface
from landscape.training.losses import Categorical
from landscape.training.task import Task

SIDE = 12


def task_of(module, n=90, dtype=torch.float32, batches=1, channels=3, **more):
    g = torch.Generator().manual_seed(1)
    module = module.to(dtype)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                if tensor is not None:
                    tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=g))
    x = torch.randn(n, channels, SIDE, SIDE, generator=g, dtype=dtype)
    y = torch.randint(0, 4, (n,), generator=g)
    given = x[:60].split(60 // batches)
    return Task(Net(module), {"train": (x, y), "test": (x[:37] + 0.1, y[:37])}, Categorical(), 1e-3, given, **more)


def plane_of(task):
    g = torch.Generator().manual_seed(0)
    return plane(*(task.net.initial + 0.1 * torch.randn(3, task.net.size, generator=g)))


def conv(norm="batch"):
    return build("conv", (3, SIDE, SIDE), 4, (4, 8), norm=norm)


class Split(nn.Module):
    """Branches, a BatchNorm that follows an addition, one behind a linear layer, layers that work in place, a bias."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4, eps=1e-2), nn.ReLU(True))
        self.right = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False), nn.LeakyReLU(0.1, inplace=True))
        self.scale = nn.Parameter(torch.full((1, 4, 1, 1), 0.7))
        self.norm, self.pool = nn.BatchNorm2d(4), nn.MaxPool2d(2)
        self.hidden, self.last, self.out = nn.Linear(144, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        h = self.left(x)
        h += self.scale * self.right(x)
        h = self.pool(torch.relu_(self.norm(h)))
        return self.out(nn.functional.dropout(self.last(self.hidden(h.flatten(1))).tanh(), 0.5, self.training))


MODULES = {
    "conv": conv, "groups": lambda: build("preresnet8", (3, SIDE, SIDE), 4, (8, 8), norm="group"),
    "preresnet20": lambda: build("preresnet20", (3, SIDE, SIDE), 4, (4, 4, 8), norm="batch"), "split": Split,
    "none": lambda: conv("none"),
}


def directly(task, sub, z, split, buffers):
    found = []
    for point in z:
        w = sub.lift(torch.from_numpy(point)).to(task.dtype)
        found.append(float(task.evaluate(w[None], split, buffers)["nll"][0]))
    return np.array(found)


class Shortcuts(nn.Module):
    """Sums that may not take the memory of what is added: it is needed again, or no memory of its own. One may."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(inputs, 4, 3, padding=1) for inputs in (3, 4, 4))
        self.norm, self.wide = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)
        self.shortcut, self.c, self.out = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6 * 144, 4)

    def forward(self, x):
        first = self.stem(x)
        h = (self.norm(self.a(first)) + first).relu()
        h = self.b(h) + first * 0.5 + first
        h = (self.wide(h.relu()) + self.shortcut(h)).relu()
        return self.out((h + self.c(h).relu()).reshape(-1, 6 * 144))


@pytest.mark.skipif(not fused.possible(torch.float32), reason="this torch has no convolutions that do more than one thing")
@pytest.mark.parametrize(("module", "convolutions"), [
    (conv, ["r", "r"]), (Shortcuts, ["", "", "", "", "+r", "r"]),
    (lambda: build("preresnet8", (3, SIDE, SIDE), 4, (4, 8), norm="batch"), None)])
def test_fewer_passes_give_the_same_outputs(module, convolutions):
    task = task_of(module())
    folded = ways.chosen(task, False).folded
    x, w = task.splits["train"][0], task.net.initial
    batch, statistics = folded.batch(x, 16), folded.stored(None)
    plain = Folded(task.net, folded.steps, torch.float32)
    before = x.clone()
    outputs = folded.outputs(folded.weights(w, statistics), batch)
    assert torch.allclose(outputs, plain.outputs(plain.weights(w, statistics), batch), rtol=0, atol=2e-6)
    assert torch.equal(x, before)
    assert len(folded.passes) < len(folded.steps)
    found = ["+" * (step.plus is not None) + "r" * step.relu for step in folded.passes if step.kind == "conv"]
    assert found == convolutions if convolutions else "+" in found and "r" in found
    assert all(step.order for step in folded.passes if step.kind == "linear")


def test_where_fewer_passes_do_not_run_the_steps_stay_as_they_are(monkeypatch):
    def refuse(*_):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr("landscape.networks.steps._convolved", refuse)
    way = ways.chosen(task_of(conv()), False)
    assert way.kind == "folded"
    assert way.folded.passes == way.folded.steps


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_values_equal_direct_evaluation(name, stored, dtype, within):
    task = task_of(MODULES[name](), dtype=dtype)
    sub, z = plane_of(task), np.random.default_rng(0).normal(size=(4, 2))
    buffers = task.net.buffers if stored else None
    drawn = Evaluator(task, sub, buffers=buffers, way="folded")
    assert drawn.said["kind"] == "folded"
    found = drawn(z)
    for split in ("train", "test"):
        np.testing.assert_allclose(found[f"{split}_nll"], directly(task, sub, z, split, buffers), rtol=within)


def test_statistics_of_several_batches_and_of_the_test_set_itself():
    task = task_of(Split(), batches=3, dtype=torch.float64)
    sub, z = plane_of(task), np.random.default_rng(0).normal(size=(3, 2))
    found = Evaluator(task, sub, way="folded")(z)["test_nll"]
    np.testing.assert_allclose(found, directly(task, sub, z, "test", None), rtol=1e-11)
    own = task_of(Split(), dtype=torch.float64, own_statistics=True)
    x, y = own.splits["test"]
    found = Evaluator(own, sub, ("test",), way="folded")(z)["test_nll"]
    expected = [float(own.likelihood.nll(own.net.on_own_statistics(sub.lift(torch.from_numpy(p)), x), y).mean()) for p in z]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("name", ["conv", "preresnet20", "groups"])
def test_a_value_does_not_depend_on_company_or_threads(name, stored):
    task = task_of(MODULES[name]())
    sub, z = plane_of(task), np.random.default_rng(0).normal(size=(9, 2))
    buffers = task.net.buffers if stored else None
    whole = Evaluator(task, sub, buffers=buffers, threads=2, way="folded")(z)
    again = Evaluator(task, sub, buffers=buffers, threads=1, way="folded")
    parts = [again(z[i : i + 4].copy()) for i in range(0, 9, 4)]
    for metric, values in whole.items():
        assert np.array_equal(values, np.concatenate([part[metric] for part in parts])), metric


class Branches(nn.Module):
    """What it does depends on values, so it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.inner = conv()

    def forward(self, x):
        return self.inner(x) if x.mean() < 5 else self.inner(-x)


class Mixes(nn.Module):
    """Each example's output depends on the others of its batch."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3 * SIDE * SIDE, 4)

    def forward(self, x):
        return self.out((x - x.mean(0)).flatten(1))


class Overwrites(nn.Module):
    """Changes in place what its shortcut reads afterwards."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.out = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        return self.out((self.act(x) - x).sum((2, 3)) + x.mean((2, 3)))


def hooked():
    module = conv()
    module.register_forward_hook(lambda m, x, out: 2 * out)
    return module


def recurrent():
    return nn.Sequential(nn.Flatten(2), nn.GRU(SIDE * SIDE, 4, batch_first=True), First())


class First(nn.Module):
    def forward(self, found):
        return found[0][:, -1]


@pytest.mark.parametrize(("module", "why"), [
    (Branches, "cannot be traced"), (Mixes, "do not give its outputs"), (Overwrites, "do not give its outputs"),
    (hooked, "has hooks"), (recurrent, "only the module itself")])
def test_a_module_that_is_not_understood_runs_as_it_is(module, why):
    task = task_of(module())
    sub, z = plane_of(task), np.random.default_rng(0).normal(size=(2, 2))
    drawn = Evaluator(task, sub)
    assert drawn.said["kind"] == "module"
    assert why in drawn.said["words"]
    np.testing.assert_allclose(drawn(z)["test_nll"], directly(task, sub, z, "test", None), rtol=1e-6)
    with pytest.raises(BadInput, match="not possible"):
        Evaluator(task, sub, way="folded")


@pytest.mark.parametrize("wrong", ["no epsilon", "no bias", "unbiased"])
def test_a_wrong_folding_is_noticed(monkeypatch, wrong):
    right, moments = folded._folded, folded._moments
    if wrong == "no epsilon":
        monkeypatch.setattr(folded, "_folded", lambda layer, norm, mean, var, eps: right(layer, norm, mean, var, 0.0))
    elif wrong == "no bias":
        monkeypatch.setattr(folded, "_folded", lambda layer, *more: right((layer[0], None), *more))
    else:
        monkeypatch.setattr(folded, "_moments", lambda v: (*moments(v)[:1], moments(v)[1] * 1.001, moments(v)[2]))
    task = task_of(Split())
    with pytest.raises(BadInput, match="do not give its"):
        ways.chosen(task, True, "folded")


def test_nothing_keeps_a_net_alive():
    task = task_of(conv())
    Evaluator(task, plane_of(task))
    gone = weakref.ref(task.net)
    del task
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("n", [1, 2, 31, 241])
def test_tiles_of_any_number_of_examples(n):
    task = task_of(conv(), n=n, dtype=torch.float64)
    sub, z = plane_of(task), np.zeros((1, 2))
    drawn = Evaluator(task, sub, ("train",), task.net.buffers, way={"kind": "folded", "width": 16})
    np.testing.assert_allclose(drawn(z)["train_nll"], directly(task, sub, z, "train", task.net.buffers), rtol=1e-11)


def test_the_way_can_be_forced_and_is_said(monkeypatch):
    task = task_of(conv())
    sub = plane_of(task)
    monkeypatch.setenv("LANDSCAPE_WAY", "module")
    assert Evaluator(task, sub).said["kind"] == "module"
    monkeypatch.setenv("LANDSCAPE_WAY", "folded")
    said = Evaluator(task, sub, threads=2).said
    fewer = " and what follows a convolution done with it" * fused.possible(torch.float32)
    assert said["words"] == f"layers with BatchNorm folded in{fewer}, tiles of {said['width']} examples on 2 threads"
    assert Evaluator(task, sub, way={"kind": "folded", "width": 17}).said["width"] == 17
    for unknown, match in (("batched", "stack of linear layers"), ("fastest", "auto, batched, folded, module")):
        monkeypatch.setenv("LANDSCAPE_WAY", unknown)
        with pytest.raises(BadInput, match=match):
            Evaluator(task, sub)


def test_a_picture_goes_on_the_way_it_had_begun():
    task = task_of(conv())
    sub = plane_of(task)

    def surface(**info):
        return Surface((np.zeros(1), np.zeros(1)), {}, np.ones((1, 1), dtype=bool), info=info)

    def drawn():
        return Plane("p", "Plane", task, sub, [])

    began = drawn()
    width = began.evaluator.said["width"]
    assert began.taken_up(surface(way=began.evaluator.said)) is not None
    assert began.evaluator.said["kind"] == "folded"
    for way, kind, tile in (({"kind": "folded", "width": width + 3}, "folded", width + 3), (None, "module", 0)):
        went_on = drawn()
        assert went_on.taken_up(surface(**({"way": way} if way else {}))) is not None
        assert (went_on.evaluator.said["kind"], went_on.evaluator.said["width"]) == (kind, tile)
    assert drawn().taken_up(surface(way={"kind": "batched", "width": 0})) is None


def test_the_module_is_taken_only_if_it_is_clearly_faster(monkeypatch):
    for tiles, module, kind in ((1.9, 1.0, "folded"), (2.1, 1.0, "module")):
        times = iter([0.001] + 3 * [tiles, module])
        monkeypatch.setattr(ways, "_seconds", lambda work, times=times: (work(), next(times))[1])
        assert Evaluator(task_of(conv()), plane_of(task_of(conv()))).said["kind"] == kind
