"""SGD on many networks at once: equal to torch.optim.SGD, to itself, and restartable."""

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.recipes.state import pack, unpack
from landscape.training import schedules, sgd
from landscape.training.losses import Categorical, Gaussian
from landscape.training.task import task_from

OPTIONS = {"batch_size": 50, "epochs": 3, "lr": 0.1, "schedule": schedules.linear, "momentum": 0.9}


def moons_task(norm="none", dtype=torch.float64, network="mlp"):
    data = load("moons")
    module = build(network, data.shape, data.outputs, (16, 16), norm=norm).to(dtype)
    return task_from(data, Net(module), 1e-3, dtype=dtype), module


def starts_of(module, seeds, dtype=torch.float64):
    return torch.stack([initial_weights(module, sgd.generator(s, 0)) for s in seeds]).to(dtype)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_equals_a_loop_with_torch_optim(norm):
    task, module = moons_task(norm)
    seeds = [3, 8]
    starts = starts_of(module, seeds)
    state = sgd.train(task, seeds, starts, **OPTIONS)
    x, y = task.splits["train"]
    for k, seed in enumerate(seeds):
        torch.nn.utils.vector_to_parameters(starts[k].clone(), module.parameters())
        for name, buffer in module.named_buffers():
            buffer.copy_(task.net.buffers[name])
        optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        module.train()
        for epoch in range(3):
            order = sgd.shuffles([seed], epoch + 1, len(x))[0]
            for step in range(4):
                optimiser.param_groups[0]["lr"] = 0.1 * schedules.linear((epoch * 4 + step) / 12)
                batch = order[step * 50 : (step + 1) * 50]
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
                optimiser.step()
        torch.testing.assert_close(state.parameters[k], task.net.flatten(module), rtol=1e-9, atol=1e-11)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(state.buffers[name][k], buffer, rtol=1e-9, atol=1e-11)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    task, module = moons_task(dtype=torch.float32)
    runs = [sgd.train(task, [1, 2], starts_of(module, [1, 2], torch.float32), **OPTIONS).parameters for _ in range(2)]
    assert torch.equal(*runs)
    assert not torch.equal(runs[0][0], runs[0][1])


def test_stopped_and_continued_equals_undisturbed_bit_for_bit():
    task, module = moons_task("batch", torch.float32)
    starts = starts_of(module, [1, 2], torch.float32)
    whole = sgd.train(task, [1, 2], starts, **OPTIONS)
    stored = []

    class Stop(Exception):
        pass

    def after(state):
        stored.append(pack(state))
        if state.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        sgd.train(task, [1, 2], starts, **OPTIONS, after_epoch=after)
    continued = sgd.train(task, [1, 2], starts, unpack(stored[-1]), **OPTIONS)
    assert torch.equal(whole.parameters, continued.parameters)
    assert all(torch.equal(whole.buffers[n], continued.buffers[n]) for n in whole.buffers)
    assert whole.lr == continued.lr
    assert all(torch.equal(torch.stack(whole.log[n]), torch.stack(continued.log[n])) for n in whole.log)


def test_divergence_is_named_and_the_others_go_on():
    task, module = moons_task()
    starts = starts_of(module, [1, 2])
    alone = sgd.train(task, [2], starts[1:], **OPTIONS)
    starts[0] *= 1e200
    state = sgd.train(task, [1, 2], starts, **OPTIONS)
    assert state.diverged == {0: 1}
    assert torch.isnan(state.log["train_loss"][-1][0])
    torch.testing.assert_close(state.parameters[1], alone.parameters[0], rtol=1e-9, atol=1e-12)
    assert torch.isfinite(state.parameters).all()


def test_all_diverged_ends_early():
    task, module = moons_task()
    state = sgd.train(task, [1], starts_of(module, [1]) * 1e200, **OPTIONS)
    assert state.epoch == 1
    assert state.diverged == {0: 1}


def test_schedules_have_their_stated_values():
    assert [schedules.linear(p) for p in (0.0, 0.5, 0.9, 0.99)] == pytest.approx([1, 1, 0.01, 0.01])
    assert schedules.linear(0.7) == pytest.approx(1 - 0.99 * 0.5)
    assert [schedules.cosine(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    assert schedules.constant(0.3) == 1


def test_the_logged_rate_is_that_of_each_epochs_last_step():
    task, module = moons_task()
    state = sgd.train(task, [1], starts_of(module, [1]), **OPTIONS)
    assert state.lr == pytest.approx([0.1 * schedules.linear((4 * e + 3) / 12) for e in range(3)])


def test_likelihoods_agree_with_the_definition():
    outputs, y = torch.randn(3, 7, 4, dtype=torch.float64), torch.randint(4, (7,))
    expected = -outputs.log_softmax(-1)[:, torch.arange(7), y]
    torch.testing.assert_close(Categorical().nll(outputs, y), expected)
    mean, target = torch.randn(3, 7, 1, dtype=torch.float64), torch.randn(7, 1, dtype=torch.float64)
    normal = -torch.distributions.Normal(mean, np.sqrt(0.3)).log_prob(target).squeeze(-1)
    torch.testing.assert_close(Gaussian(0.3).nll(mean, target), normal)


@pytest.mark.parametrize("name", ["digits", "moons", "regression"])
def test_evaluate_is_a_mean_per_example_with_the_penalty_apart(name):
    data = load(name)
    module = build("mlp", data.shape, data.outputs, (8,)).double()
    task = task_from(data, Net(module), 0.1, dtype=torch.float64)
    w = starts_of(module, [0, 1, 2])
    found = task.evaluate(w, "test")
    x, y = task.splits["test"]
    for i in range(3):
        torch.testing.assert_close(found["nll"][i], task.likelihood.nll(task.net(w[i], x), y).mean(), rtol=1e-10, atol=0)
    torch.testing.assert_close(found["penalty"], 0.05 * w.square().sum(1))
    torch.testing.assert_close(found["loss"], found["nll"] + found["penalty"])
    torch.testing.assert_close(task.log_likelihood(w), -task.evaluate(w, "train")["nll"] * len(task.splits["train"][0]))
