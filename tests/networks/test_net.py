"""Net: any module as a function of a flat vector, the user's module untouched, batched equal to one by one."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape import catalog
from landscape.networks import Net, build, dense
from landscape.networks.architectures import initial_weights


class Strange(nn.Module):
    """Tied weights, a buffer of its own, BatchNorm, dropout and a frozen parameter."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.first.weight
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(6, 3)
        self.last.bias.requires_grad_(False)
        self.register_buffer("shift", torch.arange(6.0))

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.norm(self.tied(torch.relu(self.first(x))) + self.shift))))


def networks():
    image, made = {"conv", "preresnet8", "preresnet20"}, []
    for name in catalog.NETWORKS:
        for norm in catalog.NORMS:
            made.append(
                pytest.param(
                    lambda n=name, m=norm: build(n, (8, 8) if n in image else (6,), 3, (8, 8), norm=m), id=f"{name}-{norm}"
                )
            )
    return [*made, pytest.param(Strange, id="strange")]


def inputs_of(module, n=5, dtype=torch.float64):
    size = (6,) if isinstance(module, Strange | nn.Sequential) and not _is_conv(module) else (8, 8)
    return torch.randn(n, *size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _is_conv(module):
    return any(isinstance(m, nn.Conv2d) for m in module.modules())


@pytest.mark.parametrize("make", networks())
def test_flat_weights_round_trip_and_agree_with_the_module(make):
    module = make().double()
    net = Net(module)
    w = net.flatten(module)
    assert w.shape == (net.size,) == (sum(p.numel() for p in module.parameters()),)
    x = inputs_of(module)
    torch.testing.assert_close(net(w, x), module.eval()(x), rtol=0, atol=0)
    named = dict(net.unflatten(w))
    assert all(torch.equal(named[name], p) for name, p in module.named_parameters())


@pytest.mark.parametrize("make", networks())
def test_batched_equals_one_by_one(make):
    module = make().double()
    net = Net(module)
    w = net.flatten(module) + 0.1 * torch.randn(4, net.size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x = inputs_of(module)
    one_by_one = torch.stack([functional_call(module.eval(), dict(net.unflatten(v)), (x,)) for v in w])
    torch.testing.assert_close(net(w, x), one_by_one, rtol=1e-10, atol=1e-10)
    own = torch.stack([x + i for i in range(4)])
    each = torch.stack([net(w[i], own[i]) for i in range(4)])
    torch.testing.assert_close(net.each(w, own), each, rtol=1e-10, atol=1e-10)


def test_the_users_module_is_untouched():
    module = Strange().double().train()
    before = copy.deepcopy(module.state_dict())
    net = Net(module)
    w = torch.randn(net.size, dtype=torch.float64)
    x = inputs_of(module, 16)
    net(w, x), net(w, x, net.buffers, training=True), net.estimate_batchnorm(w, [x])
    assert module.training
    assert all(m.training for m in module.modules())
    assert not module.last.bias.requires_grad
    assert module.first.weight.requires_grad
    assert module.tied.weight is module.first.weight
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_dropout_is_off_in_evaluation_and_tied_weights_count_once():
    net = Net(Strange().double())
    w = torch.randn(net.size, dtype=torch.float64)
    x = torch.randn(9, 6, dtype=torch.float64)
    assert torch.equal(net(w, x), net(w, x))
    assert sum(name.endswith("weight") and s == (6, 6) for name, s in zip(net.names, net.shapes, strict=True)) == 1


@pytest.mark.parametrize("make", [p for p in networks() if "batch" in p.id or p.id == "strange"])
def test_re_estimated_batchnorm_equals_a_two_pass_computation(make):
    module = make().double()
    net = Net(module)
    w = net.flatten(module) + 0.1 * torch.randn(net.size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = inputs_of(module, 64)
    found = net.estimate_batchnorm(w, [x])
    reference = copy.deepcopy(module).eval()
    torch.nn.utils.vector_to_parameters(w, reference.parameters())
    norms = {n: m for n, m in reference.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)}
    for name, norm in norms.items():  # in forward order: each is given the exact statistics before the next is measured
        seen = []
        hook = norm.register_forward_pre_hook(lambda m, inputs, seen=seen: seen.append(inputs[0]))
        with torch.no_grad():
            reference(x)
        hook.remove()
        rows = seen[0].transpose(0, 1).flatten(1)
        mean = rows.mean(1)
        centred = rows - mean[:, None]
        torch.testing.assert_close(found[f"{name}.running_mean"], mean, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(
            found[f"{name}.running_var"], centred.square().sum(1) / (rows.shape[1] - 1), rtol=1e-9, atol=1e-11
        )
        # the batch itself was normalised by its biased variance; the layers after saw that
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(centred.square().mean(1))


def test_re_estimation_equals_update_bn():
    module = build("conv", (8, 8), 3, (4, 8), norm="batch").double()
    net = Net(module)
    x = inputs_of(module, 60)
    batches = [x[:20], x[20:40], x[40:]]
    found = net.estimate_batchnorm(net.flatten(module), batches)
    torch.optim.swa_utils.update_bn(batches, module)
    for name, buffer in module.named_buffers():
        torch.testing.assert_close(found[name], buffer, rtol=1e-12, atol=1e-12)


def test_wrong_number_of_weights_says_what_was_expected():
    net = Net(build("mlp", (6,), 3, (8,)))
    with pytest.raises(ValueError, match=f"{net.size}.*found shape"):
        net(torch.zeros(5), torch.zeros(2, 6))


def test_dense_layers_are_read_only_off_plain_stacks():
    assert dense.layers_of(build("mlp", (8, 8), 10, (16, 16))) is not None
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    assert dense.layers_of(tied) is None
    assert dense.layers_of(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))) is None
    assert dense.layers_of(nn.Sequential(nn.ReLU(), nn.Linear(4, 4))) is None
    assert dense.layers_of(Strange()) is None


def test_initial_weights_depend_on_the_generator_alone():
    module = build("preresnet8", (8, 8), 10, (8, 8), norm="none")
    torch.manual_seed(0)
    a = initial_weights(module, torch.Generator().manual_seed(5))
    torch.manual_seed(1)
    b = initial_weights(module, torch.Generator().manual_seed(5))
    assert torch.equal(a, b)
    assert not torch.equal(a, initial_weights(module, torch.Generator().manual_seed(6)))


def test_one_pass_on_own_statistics_is_the_two_passes_of_a_biased_estimate():
    """What the network puts out while its statistics are measured, and with them afterwards; its own stay as they were."""
    module = build("preresnet8", (1, 8, 8), 4)
    net = Net(module)
    x, before = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)), net.buffers
    estimated = net.estimate_batchnorm(net.initial, [x], biased=True)
    assert torch.allclose(net.on_own_statistics(net.initial, x), net(net.initial, x, estimated), atol=1e-5)
    unbiased = net.estimate_batchnorm(net.initial, [x])
    assert not torch.allclose(net(net.initial, x, unbiased), net(net.initial, x, estimated), atol=1e-3)
    assert all(torch.equal(b, net.buffers[name]) for name, b in before.items())


class Wrapped(nn.Module):
    """A network of a library that wraps its predictions."""

    def __init__(self, form):
        super().__init__()
        self.inner, self.form = nn.Linear(3, 2), form

    def forward(self, x):
        return self.form(self.inner(x))


@pytest.mark.parametrize("form", [lambda y: {"logits": y}, lambda y: SimpleNamespace(logits=y, loss=None)])
def test_outputs_in_a_wrapping_are_unwrapped(form):
    net, x = Net(Wrapped(form)), torch.ones(4, 3)
    assert torch.equal(net(net.initial, x), net.module.inner(x))
