"""Matching a checkpoint with a module: names, prefixes, order, tied weights, and what is said about the rest."""

import copy

import pytest
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.networks import Net
from landscape.networks.foreign import match


class Unseen(nn.Module):
    """A class the project never saw: tied weights, BatchNorm, buffers of both kinds, a frozen parameter, dropout."""

    def __init__(self, width=6, classes=3):
        super().__init__()
        self.encode = nn.Linear(4, width)
        self.mix = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.again = nn.Linear(width, width)
        self.again.weight = self.mix.weight
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("grid", torch.arange(width).float(), persistent=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        h = self.drop(torch.relu(self.norm(self.mix(self.encode(x))) + self.shift + 0.01 * self.grid))
        return self.head(self.gain * self.again(h))


def trained(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    module = Unseen(**options)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    module.grid.copy_(torch.arange(len(module.grid)))
    module.norm.num_batches_tracked.fill_(7)
    return module.eval()


def check(source, target, matched):
    """The flat weights and buffers make the target the source, and neither module changed."""
    net = Net(target)
    assert matched.complete
    assert matched.w.shape == (net.size,)
    assert torch.equal(matched.w, Net(source).initial)
    assert list(matched.buffers) == list(net.buffers)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(net(matched.w, x, matched.buffers), source(x))


def test_an_unseen_class_and_its_module_untouched():
    source, target = trained(), Unseen().train()
    before = copy.deepcopy(target.state_dict())
    matched = match(target, source.state_dict())
    check(source, target, matched)
    assert (matched.unexpected, matched.mismatched, matched.notes) == ({}, {}, ())
    assert matched.buffers["norm.num_batches_tracked"] == 7
    assert target.training
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())
    matched.buffers["shift"].add_(1)
    matched.w.add_(1)
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


@pytest.mark.parametrize("gone", ["mix.weight", "again.weight"])
def test_tied_weights_may_stand_under_either_name(gone):
    state = {name: tensor for name, tensor in trained().state_dict().items() if name != gone}
    check(trained(), Unseen(), match(Unseen(), state))


def test_tied_weights_that_differ_in_the_file_are_told():
    state = dict(trained().state_dict())
    state["again.weight"] = state["again.weight"] + 1
    matched = match(Unseen(), state)
    check(trained(), Unseen(), matched)
    assert "mix.weight and again.weight are one tensor" in matched.notes[0]


def test_missing_counters_and_temporary_buffers_are_tolerated():
    state = dict(trained().state_dict())
    del state["norm.num_batches_tracked"]
    assert "grid" not in state
    matched = match(Unseen(), state)
    assert matched.complete
    assert matched.buffers["norm.num_batches_tracked"] == 0
    matched = match(Unseen(), {**state, "grid": torch.zeros(6)})
    assert matched.unexpected == {}
    assert matched.buffers["grid"].tolist() == list(range(6))
    assert "grid" in matched.notes[0]


def test_missing_unexpected_and_mismatched_by_name_and_shape():
    state = dict(trained().state_dict())
    state["heads.weight"] = state.pop("head.weight")
    state["shift"] = torch.zeros(7)
    del state["encode.bias"]
    state["extra"] = torch.zeros(2, 2)
    target = Unseen()
    matched = match(target, state)
    assert not matched.complete
    assert matched.missing == {"encode.bias": (6,), "head.weight": (3, 6)}
    assert matched.unexpected == {"heads.weight": (3, 6), "extra": (2, 2)}
    assert matched.mismatched == {"shift": ((7,), (6,))}
    assert matched.nearest == {"head.weight": "heads.weight"}
    named = Net(target).unflatten(matched.w)
    assert torch.equal(named["head.weight"], target.head.weight)  # what the file lacks is the module's own
    assert torch.equal(named["encode.weight"], state["encode.weight"])
    assert torch.equal(matched.buffers["shift"], target.shift)


@pytest.mark.parametrize(("added", "taken"), [("backbone.", ""), ("a.b.", ""), ("", "network."), ("other.", "network.")])
def test_prefixes_on_either_side(added, taken):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Unseen()

        def forward(self, x):
            return self.network(x)

    target = Wrapped() if taken else Unseen()
    state = {added + name: tensor for name, tensor in trained().state_dict().items()} | {"loss.weight": torch.ones(3)}
    matched = match(target, state)
    net = Net(target)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(net(matched.w, x, matched.buffers), trained()(x))
    assert matched.unexpected == {"loss.weight": (3,)}
    assert repr(added) in matched.notes[0]


def sequential():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("alphabetic", [False, True])
def test_other_names_are_matched_in_order_and_said(alphabetic):
    state = sequential().state_dict()
    renamed = {name.replace("0.", "fc1.").replace("1.", "fc2.", 1).replace("fcfc2.", "fc1.").replace("3.", "fc3.")
               .replace("5.", "fc10."): value for name, value in state.items()}
    assert len(renamed) == len(state)
    if alphabetic:
        renamed = dict(sorted(renamed.items()))
    matched = match(sequential(), renamed)
    assert matched.complete
    assert matched.unexpected == {}
    assert "same order" in matched.notes[0]
    source = sequential()
    source.load_state_dict(state)
    assert torch.equal(matched.w, Net(source).initial)
    assert torch.equal(matched.buffers["1.running_var"], state["1.running_var"])


def test_order_does_not_overrule_names():
    state = sequential().state_dict()
    swapped = {"3.weight": state["3.weight"], "x.weight": state["0.weight"]}
    matched = match(nn.ModuleDict({"0": nn.Linear(4, 5, bias=False), "3": nn.Linear(5, 5, bias=False)}), swapped)
    assert list(matched.missing) == ["0.weight"]


def test_lazy_layers_are_refused():
    with pytest.raises(BadInput, match="lazy"):
        match(nn.LazyLinear(3), {})


def test_complex_weights_do_not_lose_half_of_themselves():
    matched = match(nn.Linear(2, 1, bias=False), {"weight": torch.ones(1, 2, dtype=torch.complex64)})
    assert list(matched.mismatched) == ["weight"]


def test_mixed_precisions_as_net_has_them():
    module = nn.Sequential(nn.Linear(2, 2).double(), nn.Linear(2, 2))
    matched = match(module, module.state_dict())
    assert matched.w.dtype == Net(module).initial.dtype
    assert torch.equal(matched.w, Net(module).initial)
