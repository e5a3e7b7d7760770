"""Exact answer 4: permuted and rescaled networks compute the same; a permuted copy is found again; matched barriers fall."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape.data import load
from landscape.errors import BadInput, LandscapeError
from landscape.geometry.curves import Curve
from landscape.geometry.matching import _assignment
from landscape.geometry.spaces import Spaces
from landscape.geometry.symmetry import assert_unchanged, permutation_structure, rescaled, weight_matching
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.training import schedules, sgd
from landscape.training.task import task_from


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_network(module, shape, seed=0):
    """``(net, w, buffers, x)`` in float64 with weights, statistics and inputs that have no symmetry of their own."""
    net = Net(module.double())
    g = generator(seed)
    w = 0.4 * torch.randn(net.size, generator=g, dtype=torch.float64)
    buffers = {n: 0.5 + torch.rand(b.shape, generator=g, dtype=torch.float64) if b.is_floating_point() else b
               for n, b in net.buffers.items()}
    return net, w, buffers, torch.randn(6, *shape, generator=g, dtype=torch.float64)


def assert_symmetry(net, w, buffers, x, spaces):
    """Every permutation of the spaces found changes the weights and not the outputs; returns the structure."""
    structure = permutation_structure(net, x)
    assert sorted(structure.spaces.values()) == sorted(spaces)
    before = net(w, x, buffers)
    for seed in range(3):
        drawn = structure.random(generator(seed))
        moved, moved_buffers = structure.apply(net, w, drawn, buffers)
        torch.testing.assert_close(net(moved, x, moved_buffers), before, rtol=1e-9, atol=1e-9)
        for name, size in structure.spaces.items():
            assert sorted(drawn[name].tolist()) == list(range(size))
            alone = structure.identity() | {name: drawn[name]}
            unchanged = torch.equal(structure.apply(net, w, alone, buffers)[0], w)
            assert unchanged == torch.equal(drawn[name], torch.arange(size))
    return structure


OURS = [("mlp", (8, 8), (16, 12, 9), "none", [16, 12, 9]), ("mlp", (5,), (16, 12), "batch", [16, 12]),
        ("mlp", (5,), (16, 12), "group", [16, 12]), ("conv", (8, 8), (4, 6), "none", [4, 6]),
        ("conv", (3, 20, 20), (4, 6), "batch", [4, 6]), ("conv", (8, 8), (4, 12), "group", [4, 12]),
        *(("preresnet8", (8, 8), (4, 6, 8), norm, [4, 4, 6, 6, 8, 8]) for norm in ("none", "batch", "group")),
        *(("preresnet20", (3, 8, 8), (4, 6, 8), norm, [4] * 4 + [6] * 4 + [8] * 4) for norm in ("none", "batch"))]


@pytest.mark.parametrize(("name", "shape", "widths", "norm", "spaces"), OURS)
def test_permutations_of_our_networks_do_not_change_their_function(name, shape, widths, norm, spaces):
    assert assert_symmetry(*random_network(build(name, shape, 3, widths, norm=norm), shape), spaces).fixed == ()


def test_units_that_are_normalised_together_stay_together():
    net, _, _, x = random_network(build("mlp", (5,), 3, (12,), norm="group"), (5,))
    structure = permutation_structure(net, x)
    assert structure.groups == {"0": 4}
    group = structure.random(generator())["0"].reshape(4, 3) // 3
    assert (group == group[:, :1]).all()
    wrong = {"0": torch.arange(12).roll(1)}
    w = torch.randn(net.size, generator=generator(), dtype=torch.float64)
    with pytest.raises(LandscapeError, match="not understood"):
        assert_unchanged(net, x, (w, None), structure.apply(net, w, wrong))


class Net1d(nn.Module):
    """Functional style, pooling, a reshape that flattens, LayerNorm, PReLU, dropout, a scale of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 6, 3)
        self.slopes = nn.PReLU(6)
        self.scale = nn.Parameter(torch.ones(6, 1))
        self.hidden = nn.Linear(24, 7)
        self.norm = nn.LayerNorm(7)
        self.weight = nn.Parameter(torch.ones(5, 7))
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        h = functional.max_pool1d(self.slopes(self.conv(x)), 2) * self.scale
        h = functional.dropout(torch.tanh(self.norm(self.hidden(h.view(h.size(0), -1)))), 0.5, self.training)
        return self.out(functional.linear(h, self.weight).relu_())


class Dense(nn.Module):
    """Concatenation of features, depthwise and transposed convolutions, global mean."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.second = nn.Conv2d(4, 3, 1)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 5, 2, stride=2)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        a = torch.relu(self.first(x))
        b = functional.gelu(self.second(self.depthwise(a)))
        return self.out(torch.relu(self.up(self.norm(torch.cat([x, a, b], dim=1)))).mean(dim=(2, 3)))


class Tied(nn.Module):
    """One layer used twice, and the same table to read and to write."""

    def __init__(self):
        super().__init__()
        self.table = nn.Linear(5, 6, bias=False)
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        h = torch.relu(self.table(x))
        return functional.linear(torch.tanh(self.inner(torch.tanh(self.inner(h)))) + h, self.table.weight.t())


class Attention(nn.Module):
    """A block that is not understood inside one that is."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.position = nn.Parameter(torch.zeros(1, 3, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide = nn.Linear(8, 10)
        self.narrow = nn.Linear(10, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        h = self.embed(x) + self.position
        h = h + self.attention(h, h, h)[0]
        h = h + self.narrow(functional.gelu(self.wide(h)))
        return self.out(h.mean(1))


class Shuffle(nn.Module):
    """Channels mixed by a reshape, grouped convolutions: nothing here may move but the last layer's inputs."""

    def __init__(self):
        super().__init__()
        self.first, self.grouped, self.last = nn.Conv1d(1, 4, 1), nn.Conv1d(4, 4, 1, groups=2), nn.Linear(12, 7)
        self.out = nn.Linear(7, 2)

    def forward(self, x):
        h = torch.relu(self.first(x)).reshape(x.shape[0], 2, 2, 3).transpose(1, 2).flatten(1, 2)
        return self.out(torch.relu(self.last(self.grouped(h).flatten(1))))


@pytest.mark.parametrize(("module", "shape", "spaces", "fixed"), [
    (Net1d, (2, 10), [6, 7, 5], 0), (Dense, (1, 4, 4), [4, 3, 5], 0), (Attention, (3, 4), [10], 1),
    (Shuffle, (1, 3), [7], 2)])
def test_networks_of_others(module, shape, spaces, fixed):
    structure = assert_symmetry(*random_network(module(), shape), spaces)
    assert len(structure.fixed) == fixed, structure.fixed
    if module is Attention:
        assert "attention (MultiheadAttention) keeps its units, and those that feed it, in their places." in structure.fixed


def test_a_layer_used_twice_and_shared_weights():
    assert_symmetry(*random_network(Tied(), (5,)), [])
    twice = nn.Linear(6, 6)
    module = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), twice, nn.Tanh(), twice, nn.Tanh(), nn.Linear(6, 2))
    assert_symmetry(*random_network(module, (5,)), [6])


def test_what_cannot_be_traced_is_said():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    net, w, _, x = random_network(Branches(), (3,))
    with pytest.raises(BadInput, match=r"Branches cannot be traced.*branches or loops"):
        weight_matching(net, w, w, generator(), x)
    net, w, _, x = random_network(nn.Linear(3, 2), (3,))
    with pytest.raises(BadInput, match=r"examples of shape \(6, 2\)"):
        permutation_structure(net, x[:, :2])
    with pytest.raises(BadInput, match="can change places"):
        weight_matching(net, w, w, generator(), x)


def test_programs_of_torch_export():
    module = build("preresnet8", (8, 8), 3, (4, 8), norm="batch").eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(module.double(), (torch.zeros(4, 8, 8).double(),), dynamic_shapes=({0: batch},))
    assert_symmetry(*random_network(program.module(check_guards=False), (8, 8)), [4, 4, 8, 8])


def trained(network, widths, norm, seeds, epochs):
    data = load("digits", 0, 600)
    module = build(network, data.shape, data.outputs, widths, norm=norm)
    task = task_from(data, Net(module), 5e-4)
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in seeds])
    state = sgd.train(task, seeds, starts, batch_size=64, epochs=epochs, lr=0.1, momentum=0.9, schedule=schedules.linear)
    return task, state.parameters, [{n: b[k] for n, b in state.buffers.items()} for k in range(len(seeds))]


def barrier(task, a, b, buffers=None):
    """The largest rise of the train NLL above the line between its ends, at 11 points."""
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    values = task.evaluate(Curve(torch.stack([a, b]), "chain").at(t.to(a)), "train", buffers)["nll"]
    return float((values - (1 - t) * values[0] - t * values[-1]).max())


@pytest.mark.parametrize(("network", "widths", "norm", "epochs"), [
    ("mlp", (32, 24, 16), "none", 10), ("conv", (8, 16), "none", 2), ("preresnet8", (8, 8, 16), "batch", 1)])
def test_a_permuted_copy_is_recovered_exactly(network, widths, norm, epochs):
    task, (w,), (buffers,) = trained(network, widths, norm, [0], epochs)
    x = task.splits["validation"][0][:32]
    structure = permutation_structure(task.net, x)
    for seed in range(5):
        drawn = structure.random(generator(seed))
        copy, copied = structure.apply(task.net, w, drawn, buffers)
        found = weight_matching(task.net, w, copy, generator(seed), x, copied)
        assert torch.equal(found.w, w)
        assert all(torch.equal(found.buffers[name], b) for name, b in buffers.items())
        assert all(torch.equal(drawn[s][p], torch.arange(len(p))) for s, p in found.permutations.items())
        assert found.distance == 0 < found.before
    assert barrier(task, w, found.w, buffers or None) == pytest.approx(0, abs=1e-7)
    assert barrier(task, w, copy, buffers or None) > 0.1


def test_matching_lowers_the_barrier_between_independently_trained_networks():
    task, w, _ = trained("mlp", (32, 32), "none", [0, 1, 2], 60)
    x = task.splits["validation"][0]
    for other in (1, 2):
        found = weight_matching(task.net, w[0], w[other], generator(), x)
        assert found.distance < found.before
        torch.testing.assert_close(task.net(found.w, x), task.net(w[other], x), rtol=1e-4, atol=1e-4)
        unmatched, matched = barrier(task, w[0], w[other]), barrier(task, w[0], found.w)
        assert unmatched > 0.5
        assert matched < 0.2 * unmatched
        best = weight_matching(task.net, w[0], w[other], generator(), x, starts=4)
        assert best.distance <= found.distance


def test_a_misunderstood_structure_is_caught_before_anything_is_returned():
    net, w, _, x = random_network(build("mlp", (5,), 3, (8, 6)), (5,))
    other = torch.randn(net.size, generator=generator(5), dtype=torch.float64)
    structure = permutation_structure(net, x)
    structure.axes["4.weight"].clear()
    with pytest.raises(LandscapeError, match="changed the outputs"):
        weight_matching(net, w, other, generator(), x, structure=structure)
    with pytest.raises(BadInput, match="finite"):
        weight_matching(net, w, other / 0, generator(), x)


@pytest.mark.parametrize(("size", "groups"), [(5, 1), (6, 1), (6, 2), (6, 3), (4, 4)])
def test_assignment_is_the_best_of_all(size, groups):
    gain = np.random.default_rng(size + groups).normal(size=(size, size))
    per = size // groups

    def together(p):
        return all(len({unit // per for unit in p[i : i + per]}) == 1 for i in range(0, size, per))

    best = max((p for p in itertools.permutations(range(size)) if together(p)), key=lambda p: gain[range(size), p].sum())
    assert _assignment(gain, groups).tolist() == list(best)


def test_axes_that_cannot_agree_stay_in_place():
    spaces = Spaces()
    a, b, c = spaces.fresh(6), spaces.fresh(3), spaces.fresh(2)
    spaces.unify(a, ((b[0][0], 2),))
    assert spaces.resolve(a) == ((b[0][0], 2),)
    assert spaces.free(a)
    spaces.unify(a, ((c[0][0], 3),))
    assert not spaces.free(b)
    assert not spaces.free(c)
    d = spaces.fresh(6)
    spaces.gather(d, 2)
    spaces.gather(d, 3)
    assert not spaces.free(d)


@pytest.mark.parametrize(("network", "norm", "layer"), [
    ("mlp", "none", "1"), ("mlp", "none", "3"), ("mlp", "batch", "2"), ("conv", "none", "3"), ("conv", "batch", "2"),
    ("preresnet8", "none", "stages.0.first"), ("preresnet8", "batch", "stages.1.between.0")])
@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_rescaling_a_relu_layer_does_not_change_the_function(network, norm, layer, factor):
    net, w, buffers, x = random_network(build(network, (8, 8), 3, (6, 4), norm=norm), (8, 8))
    scaled = rescaled(net, w, layer, factor)
    torch.testing.assert_close(net(scaled, x, buffers), net(w, x, buffers), rtol=1e-10, atol=1e-10)
    old, new = net.unflatten(w), net.unflatten(scaled)
    torch.testing.assert_close(new[f"{layer}.weight"], factor * old[f"{layer}.weight"])
    changed = [name for name in net.names if not torch.equal(old[name], new[name])]
    assert len(changed) == (3 if f"{layer}.bias" in net.names else 2)


@pytest.mark.parametrize(("network", "norm", "activation", "layer", "message"), [
    ("mlp", "none", "tanh", "1", r"reach 2 \(Tanh\)"), ("mlp", "batch", "relu", "1", r"reach 2 \(BatchNorm1d\)"),
    ("mlp", "none", "relu", "5", "reach output"), ("preresnet8", "none", "relu", "stem.1", "reach add"),
    ("mlp", "none", "relu", "7", "no layer to rescale '7'")])
def test_rescaling_that_would_change_the_function_is_refused(network, norm, activation, layer, message):
    net, w, _, _ = random_network(build(network, (8, 8), 3, (6, 4), activation, norm), (8, 8))
    with pytest.raises(BadInput, match=message):
        rescaled(net, w, layer, 2.0)


def test_only_positive_factors():
    net, w, _, _ = random_network(build("mlp", (5,), 3, (6,)), (5,))
    with pytest.raises(BadInput, match="positive number, found -1"):
        rescaled(net, w, "0", -1.0)
