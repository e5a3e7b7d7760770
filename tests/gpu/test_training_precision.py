"""Training in a lower precision: what rounding does to gradients is measured on the way, and leaves no trace in it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from on_both import NETWORKS, OPTIONS, task_of, trained
from torch.nn import functional
from waiting import nothing_waits

from landscape.data import load
from landscape.geometry.curves import connect
from landscape.networks import Net, build
from landscape.networks.accelerator import Room, mixed
from landscape.networks.net import stack
from landscape.recipes.state import pack, unpack
from landscape.training import gradients as measuring
from landscape.training import sgd
from landscape.training.gradients import FIGURES, Compared, due
from landscape.training.rounding import TRUSTED, Rounding, logged, rounding
from landscape.training.task import task_from

WAYS = [(*network, together) for network in NETWORKS for together in (False, True)]


def lower(network="mlp", norm="none", together=None, precision="bfloat16"):
    return replace(task_of(network, norm, together=together), training_precision=precision)


def figures(state):
    return {name: torch.stack(state.log[name]).numpy() for name in FIGURES}


def same(one, other):
    """The states, bit for bit."""
    a, b = pack(one), pack(other)
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.parametrize(("network", "norm", "together"), WAYS)
def test_weights_stay_float32_and_the_error_is_small_beside_the_noise(network, norm, together):
    task = lower(network, norm, together)
    state, exact = trained(task), trained(replace(task, training_precision=""))
    for tensor in (state.parameters, state.velocity, *(b for b in state.buffers.values() if b.is_floating_point())):
        assert tensor.dtype == torch.float32
    assert not torch.equal(state.parameters, state.parameters.bfloat16().float())
    assert not torch.equal(state.parameters, exact.parameters)
    torch.testing.assert_close(state.parameters, exact.parameters, rtol=0, atol=0.02)
    found = figures(state)
    assert found["train_gradient_error"].shape == (2, 3)
    assert np.all((found["train_gradient_error"] > 5e-4) & (found["train_gradient_error"] < 0.05))
    assert np.all((found["train_gradient_noise"] > 0.1) & (found["train_gradient_noise"] < 3))
    assert np.all(found["train_loss_error"] < 0.01)
    assert not set(FIGURES) & set(exact.log)


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_tf32_on_a_cpu_is_float32_and_says_so(network, norm):
    state, exact = trained(lower(network, norm, precision="tf32")), trained(task_of(network, norm))
    assert torch.equal(state.parameters, exact.parameters)
    found = figures(state)
    assert not found["train_gradient_error"].any()
    assert not found["train_loss_error"].any()
    assert found["train_gradient_noise"].all()
    told = rounding(lower(precision="tf32"), logged(state))["rounding"]
    assert "trained in tf32 (which a CPU computes as float32), weights" in told["said"]
    assert told["trusted"]


@pytest.mark.parametrize(("network", "norm"), NETWORKS[::2])
def test_the_error_is_that_of_the_definition(network, norm):
    """At the same weights: torch's own modules under its own autocast, one network after the other; BatchNorm in float32."""
    task = lower(network, norm)
    state = trained(task, seeds=(3, 4), epochs=1)
    x, y = task.splits["train"]
    module = task.net.module
    for k, seed in enumerate((3, 4)):
        start = trained(task, seeds=(seed,), epochs=0).parameters[0]
        rows = sgd.shuffles([seed], 1, len(x))[0][:40]

        def slope(rows, rounds, start=start):
            own = build_like(module, start)
            for norm in (each for each in own.modules() if isinstance(each, torch.nn.BatchNorm2d)):
                norm.register_forward_pre_hook(lambda _, given: (given[0].float(),))
            with torch.autocast("cpu", torch.bfloat16, enabled=rounds):
                out = own(x[rows])
            loss = functional.cross_entropy(out.float(), y[rows]) + task.penalty(torch.nn.utils.parameters_to_vector(
                own.parameters()))
            loss.backward()
            return loss.detach(), torch.cat([p.grad.reshape(-1) for p in own.parameters()])

        (loss, exact), (off, rounded) = slope(rows, False), slope(rows, True)
        halves = slope(rows[:20], False)[1] - slope(rows[20:], False)[1]
        error, noise, apart = (state.log[name][0][k] for name in FIGURES)
        assert float(error) == pytest.approx(float((rounded - exact).norm() / exact.norm()), rel=0.05)
        assert float(noise) == pytest.approx(float(halves.norm() / exact.norm()) / 2, rel=1e-3)
        assert float(apart) == pytest.approx(float((off - loss).abs() / loss), rel=0.1, abs=1e-6)


def build_like(module, w):
    """The module itself in training mode, with these weights."""
    own = Net(module).module.train().requires_grad_(True)
    torch.nn.utils.vector_to_parameters(w.clone(), own.parameters())
    return own


def test_the_noise_is_the_deviation_of_gradients_of_batches():
    """Over many batches drawn at one network, the estimate from halves is right in the mean square."""
    x, w, size = torch.randn(400, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1), 25

    def objective(w, buffers, indices, epoch, step):
        loss = (w * x[indices]).mean(1)
        return loss, loss

    compared, draws = Compared(objective, "tf32", None, 10, 0.0), torch.Generator().manual_seed(1)
    batches = [torch.randint(400, (1, size), generator=draws) for _ in range(600)]
    means = torch.stack([x[batch].mean() for batch in batches])
    found = torch.cat([compared._noise(w, {}, batch, 0) for batch in batches])
    assert float(found.square().mean().sqrt()) == pytest.approx(float(means.std()), rel=0.1)
    assert compared._noise(w, {}, batches[0][:, :3], 0).isnan().all()


@pytest.mark.parametrize(("network", "norm"), [NETWORKS[0], NETWORKS[2]])
def test_measuring_leaves_no_trace(network, norm, monkeypatch):
    """With and without it, in parts that fit, with random numbers in the module, and whoever asks for them afterwards."""
    task = lower(network, norm)
    measured = trained(task)
    room = trained(task, room=Room(torch.device("cpu"), 2))
    monkeypatch.setattr(measuring, "due", lambda epoch, steps: False)
    plain = trained(task)
    assert all(torch.stack(plain.log[name]).isnan().all() for name in FIGURES)
    for other in (measured, room):
        assert torch.equal(plain.parameters, other.parameters)
        assert all(torch.equal(plain.buffers[name], b) for name, b in other.buffers.items())
        assert torch.equal(torch.stack(plain.log["train_loss"]), torch.stack(other.log["train_loss"]))
    for name in FIGURES:
        torch.testing.assert_close(torch.stack(room.log[name]), torch.stack(measured.log[name]), rtol=0.02, atol=1e-6)


def test_dropout_is_the_same_in_both_gradients_and_takes_no_random_numbers(monkeypatch):
    data = load("digits", 0, 120)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 30), torch.nn.Dropout(0.5), torch.nn.Linear(30, 10))
    task = replace(task_from(data, Net(module), 1e-3), training_precision="bfloat16")

    def again():
        with torch.random.fork_rng([]):
            torch.random.set_rng_state(torch.Generator().manual_seed(5).get_state())
            return trained(task, seeds=(0, 1))

    measured = again()
    assert figures(measured)["train_gradient_error"].max() < 0.05
    monkeypatch.setattr(measuring, "due", lambda epoch, steps: False)
    assert torch.equal(again().parameters, measured.parameters)


@pytest.mark.parametrize(("network", "norm"), NETWORKS[::2])
def test_stopped_and_continued_equals_undisturbed_bit_for_bit(network, norm):
    task, stored = lower(network, norm), []
    whole = trained(task, epochs=5, after_epoch=lambda state: stored.append(unpack(pack(state))))
    for epoch in (1, 4):
        continued = sgd.train(task, [0, 1, 2], whole.parameters, stored[epoch - 1], **OPTIONS | {"epochs": 5})
        assert same(continued, whole)


def test_which_steps_are_compared_does_not_depend_on_how_long_a_training_is():
    assert [epoch for epoch in range(30) if due(epoch, 12)] == [0, 1, 2, 5, 9, 13, 17, 21, 25]
    assert all(due(epoch, 60) for epoch in range(30))
    assert np.isnan(figures(trained(lower(), epochs=5))["train_loss_error"]).any(1).tolist() == [False] * 3 + [True] * 2


def test_a_network_that_has_diverged_is_not_measured_and_one_that_only_rounding_loses_is_infinitely_far_off():
    task = lower()
    starts = torch.stack([task.net.initial, task.net.initial * 1e30])
    state = sgd.train(task, [0, 1], starts, **OPTIONS)
    assert state.diverged == {1: 1}
    assert np.isnan(figures(state)["train_gradient_error"]).tolist() == [[False, True], [False, True]]

    def objective(w, buffers, indices, epoch, step):
        loss = w.square().sum(1) * (math.inf if torch.is_autocast_enabled("cpu") else 1.0)
        return loss, loss

    compared = Compared(objective, "bfloat16", None, 10, 0.0)
    compared(torch.ones(1, 3), {}, torch.zeros(1, 8, dtype=torch.int64), 0, 0)
    assert compared.figures["train_gradient_error"].isinf().all()
    told = rounding(task, {name: v[:, None].numpy() for name, v in compared.figures.items()})["rounding"]
    assert not told["trusted"]
    assert told["worst"] is None
    assert "gradients not finite everywhere at 1 step, while they are in float32" in told["said"]


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_nothing_waits_within_a_step(network, norm):
    task = lower(network, norm, together=True)
    x, y = task.splits["train"]

    def objective(w, buffers, indices, epoch, step):
        nll = sgd.mean_nll(task, w, buffers, x[indices], y[indices])
        return nll + task.penalty(w), nll

    w, buffers = torch.stack([task.net.initial] * 3), stack([task.net.buffers] * 3)
    compared, indices = Compared(objective, "bfloat16", None, 10, 0.0), torch.arange(120).view(3, 40)
    compared(w, buffers, indices, 0, 0)  # finds out whether networks go together
    with nothing_waits():
        compared(w, buffers, indices, 0, 1)
        compared(w, buffers, indices, 0, 0)


def test_whether_networks_go_together_is_tried_in_float32():
    task = task_of("conv", together=True)
    seen, tried = [], task.net._tried
    task.net._tried = lambda x, training: seen.append(torch.is_autocast_enabled("cpu")) or tried(x, training)
    with mixed(torch.device("cpu"), "bfloat16"):
        assert task.net.refused(task.splits["train"][0], True) is None
    assert seen == [False]


def test_curves_are_trained_in_it_and_their_weights_are_not_rounded():
    task = lower()
    ends = trained(task).parameters[:2]
    state = connect(task, ["bezier", "chain"], ends, 1, 0, **OPTIONS)
    seen, each = [], task.net.each
    task.net.each = lambda w, *rest, **more: seen.append(w) or each(w, *rest, **more)
    connect(task, ["bezier", "chain"], ends, 1, 0, **OPTIONS | {"epochs": 1})
    assert {w.dtype for w in seen} == {torch.float32}
    assert not any(torch.equal(w, w.bfloat16().float()) for w in seen)
    assert 0 < float(torch.stack(state.log["train_gradient_error"]).max()) < 0.05


def test_regression_in_bfloat16_reaches_the_loss_of_float32():
    """Losses of a Gaussian go below zero, so their error is told of what they are above the smallest possible one."""
    data = load("regression")
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (16,), "tanh")), 1e-3)
    options = {"seeds": (0, 1), "epochs": 40, "batch_size": 50, "lr": 0.003}
    exact, state = (trained(replace(task, training_precision=name), **options) for name in ("", "bfloat16"))
    torch.testing.assert_close(state.log["train_nll"][-1], exact.log["train_nll"][-1], rtol=0.05, atol=0.02)
    assert 0 < np.nanmax(figures(state)["train_loss_error"]) < 0.05
    assert 0 < np.nanmax(figures(state)["train_gradient_error"]) < 1


def test_digits_in_bfloat16_reach_the_loss_of_float32():
    data = load("digits")
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (32,))), 5e-4)
    exact, state = (trained(replace(task, training_precision=name), epochs=12, batch_size=64, lr=0.1)
                    for name in ("", "bfloat16"))
    torch.testing.assert_close(state.log["train_nll"][-1], exact.log["train_nll"][-1], rtol=0.1, atol=0)
    assert (state.log["train_nll"][-1] < 0.1).all()
    told = rounding(replace(task, training_precision="bfloat16"), logged(state))["rounding"]
    assert told["trusted"]
    assert 0 < told["of_noise"] < TRUSTED
    assert told["said"].startswith("Networks trained in bfloat16, weights and sums in float32: gradients off by ")
    assert "the batches' own noise is" in told["said"]


def test_the_sentence_has_the_figures_and_warns_of_the_worst_network():
    def values(error, noise):
        error, noise = np.array(error), np.array(noise)
        return dict(zip(FIGURES, (error, noise, error / 100), strict=True))

    nan = np.nan
    told = rounding(lower(), values([[0.01, nan, 0.03], [0.02, nan, 0.05]], [[0.5, nan, 0.5], [0.5, nan, 1.0]]))["rounding"]
    assert told["said"] == (
        "Networks trained in bfloat16, weights and sums in float32: gradients off by 2.5% (median; worst 5%) at 2 steps, "
        "where the batches' own noise is 50%; losses off by 0.025%.")
    assert (told["networks"], told["steps"], told["of_noise"]) == (2, 2, pytest.approx(0.045))
    bad = rounding(lower(), values([[0.01, 0.01], [0.08, 0.12]], [[0.5, 0.5], [0.5, 0.5]]), "Curves")["rounding"]
    assert not bad["trusted"]
    assert bad["said"].startswith("Curves trained")
    assert "WARNING: in one network rounding is 20% of that noise (median over its steps; limit 10%)" in bad["said"]
    alone = rounding(lower(), values([[0.01]], [[nan]]))["rounding"]
    assert "noise" not in alone["said"]
    assert rounding(lower(), {"train_loss": np.ones((1, 1))}) == {}
    assert isinstance(Rounding("Networks", "tf32", "cpu", 1, 1, 0.0, 0.0, None, 0.0, 0.0).said, str)
