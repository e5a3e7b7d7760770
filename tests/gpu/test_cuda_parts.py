"""On a GPU, beside ``test_cuda``: what else computes there, with the values of the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from on_both import NETWORKS, Undecided, Words, plane_of, task_of, trained
from torch import nn

from landscape import catalog
from landscape.data import load
from landscape.geometry import surface
from landscape.geometry.curvature import Objective
from landscape.geometry.curves import connect
from landscape.geometry.matching import weight_matching
from landscape.geometry.surface import Evaluator
from landscape.networks import Net
from landscape.networks.architectures import initial_weights
from landscape.posteriors import flow, method
from landscape.posteriors.diagnostics import function_values
from landscape.posteriors.hamiltonian import leapfrog
from landscape.posteriors.likelihood import Likelihood
from landscape.posteriors.method import Given
from landscape.posteriors.predictive import average
from landscape.posteriors.space import random_space
from landscape.posteriors.target import Posterior
from landscape.schedules import plan, steps_per_epoch
from landscape.training import sgd
from landscape.training.averaging import average_of, trajectory_of
from landscape.training.ensembles import by_size
from landscape.training.losses import Causal
from landscape.training.range_test import range_test
from landscape.training.task import Task, task_from
from landscape.training.walk import walk

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use")
OPTIONS = {"rank": 4, "steps": 6, "samples": 4, "epochs": 2, "warmup": 4, "max_depth": 3, "most_steps": 3, "cycle": 4,
           "per_cycle": 1, "thin": 1, "prior_std": 1.0}
BOTH = ("cpu", "cuda")
NEAR = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture
def strict():
    """What waits for the device raises, between ``on()`` and the end of the test."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def grid(n):
    return np.random.default_rng(0).normal(size=(n, 2))


def random(task, count=3):
    g = torch.Generator().manual_seed(0)
    return (0.3 * torch.randn(count, task.net.size, generator=g)).to(task.splits["train"][0].device)


def tokens_task(device):
    tokens = torch.randint(0, 7, (20, 5), generator=torch.Generator().manual_seed(0)).to(device)
    with torch.random.fork_rng():
        torch.set_rng_state(torch.Generator().manual_seed(0).get_state())
        net = Net(Words()).to(device)
    return Task(net, {"train": (tokens, tokens)}, Causal(4.0, 7), 1e-3)


def regression_task(device):
    data = load("regression", 0)
    net = Net(nn.Sequential(nn.Linear(data.shape[0], 8), nn.Tanh(), nn.Linear(8, data.outputs))).to(device)
    return task_from(data, net, 1e-3, device=device)


@pytest.mark.parametrize("made", [lambda d: task_of("conv", "batch", d), tokens_task, regression_task],
                         ids=["conv", "tokens", "regression"])
def test_single_networks_are_judged_as_on_the_cpu(made):
    (here, _), (there, on) = ((task := made(device), task.net) for device in BOTH)
    w = random(here)
    expected, found = here.evaluate(w, "train"), there.evaluate(w.cuda(), "train")
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-6)
    for name, values in (here.buffers(w[0]) or {}).items():
        torch.testing.assert_close(there.buffers(w[0].cuda())[name].cpu(), values, rtol=1e-5, atol=1e-6)
    assert on.initial.device.type == "cuda"


@pytest.mark.parametrize("made", [tokens_task, regression_task], ids=["tokens", "regression"])
def test_tokens_and_numbers(made):
    (here, there), z = (made(device) for device in BOTH), grid(9)
    expected = Evaluator(here, plane_of(here), ("train",), way="module")(z)
    evaluator = Evaluator(there, plane_of(here), ("train",))
    assert evaluator.said["kind"] == "together"
    np.testing.assert_allclose(evaluator(z)["train_nll"], expected["train_nll"], rtol=1e-5)
    w = random(here)
    for a, b in zip(Likelihood(here).gradients(w), Likelihood(there).gradients(w.cuda()), strict=True):
        torch.testing.assert_close(b.cpu(), a, rtol=1e-4, atol=1e-4 * float(a.abs().max()))
    products = [Objective(task).hessian(w[0].to(task.splits["train"][1].device))(w).cpu() for task in (here, there)]
    torch.testing.assert_close(products[1], products[0], rtol=1e-3, atol=1e-4 * float(products[0].abs().max()))
    starts = [sgd.train(task, [0, 1, 2], w.to(task.splits["train"][1].device), epochs=1, batch_size=8,
                        rates=[0.02] * 100, momentum=0.9)
              for task in (here, there)]
    torch.testing.assert_close(starts[1].parameters.cpu(), starts[0].parameters, **NEAR)


def test_a_module_that_cannot_go_together():
    data, z = load("digits", 0, 60), grid(5)
    found = []
    for device in BOTH:
        net = Net(Undecided(), together=True)
        task = task_from(data, net.to(device), 0.0, device=device)
        task.splits.pop("validation")
        g = torch.Generator().manual_seed(0)
        w = torch.randn(2, task.net.size, generator=g).to(device)
        evaluator = Evaluator(task, plane_of(task))
        assert evaluator.said["kind"] == "module"
        hessian = Objective(task).hessian(w[0])
        found.append((evaluator(z)["train_nll"], hessian(w).cpu(), Likelihood(task).gradients(w)[1].cpu()))
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_surfaces_with_statistics_held_fixed_and_with_those_of_the_test_set(name):
    here, there = (replace(task_of("conv", "batch", device), precision=name) for device in BOTH)
    buffers = [task.buffers(random(task)[0]) for task in (here, there)]
    own = [replace(task, own_statistics=True, batchnorm_batches=(task.splits["test"][0],)) for task in (here, there)]
    near = {"rtol": 0.05 if name == "bfloat16" else 1e-5, "atol": 0}
    for tasks, splits, given in (((here, there), ("train", "test"), buffers), (own, ("test",), (None, None))):
        z, sub = grid(5), plane_of(here)
        found = [Evaluator(task, sub, splits, each, way="together")(z) for task, each in zip(tasks, given, strict=True)]
        np.testing.assert_allclose(found[1]["test_nll"], found[0]["test_nll"], **near)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_a_plane_that_stays_on_the_host(network, monkeypatch):
    here, there = (task_of(network, device=device) for device in BOTH)
    monkeypatch.setattr(surface, "STAYS", 0.0)
    evaluator = Evaluator(there, plane_of(here))
    assert evaluator.subspace.origin.device.type == "cpu"
    expected = Evaluator(here, plane_of(here))(grid(9))
    np.testing.assert_allclose(evaluator(grid(9))["test_nll"], expected["test_nll"], rtol=1e-5)


@pytest.mark.parametrize(("network", "norm"), [NETWORKS[0], NETWORKS[2]])
def test_curves_are_those_of_the_cpu_and_nothing_waits_within_an_epoch(network, norm, strict):
    found = []
    for device in BOTH:
        task, steps = task_of(network, norm, device), []

        def watched(done, total, device=device, steps=steps):
            steps.append(done)
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("error" if done % 3 else "default")  # three steps an epoch

        found.append(connect(task, ["bezier", "chain"], random(task, 2), 2, 0, epochs=2, batch_size=40, momentum=0.9,
                             rates=[0.05] * 6,
                             progress=watched))
        assert len(steps) == 6
    torch.testing.assert_close(found[1].parameters.cpu(), found[0].parameters, **NEAR)


@pytest.mark.parametrize(("network", "norm"), [NETWORKS[0], NETWORKS[2]])
def test_walks_averages_and_range_tests_are_those_of_the_cpu(network, norm):
    found = []
    for device in BOTH:
        task, size = task_of(network, norm, device), 40
        steps = steps_per_epoch(len(task.splits["train"][0]), size)
        rates = plan("swa", lr=0.05, epochs=4, steps_per_epoch=steps, start=2)
        state = walk(task, [0, 1], random(task, 2), rates, batch_size=size, momentum=0.9, trace=range(0, rates.steps + 1, 3))
        track, (mean, count) = trajectory_of(state), average_of(state)
        judged = by_size(task, track.weights[1:3], "test")
        rising = plan("range", lr=1.0, epochs=6, steps_per_epoch=steps)
        test = range_test(task, [0, 1], random(task, 2), rising, batch_size=size, momentum=0.9)
        found.append((track.weights, mean.cpu(), count.cpu(), judged["ensemble_nll"], torch.tensor(test.losses[:12])))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, **NEAR)


def test_networks_that_diverge_are_put_back_at_the_end_of_an_epoch():
    state = trained(task_of(device="cuda"), lr=1e20)
    assert set(state.diverged) == {0, 1, 2}
    assert bool(state.parameters.isfinite().all())


def given_of(task) -> Given:
    w = random(task, 2)
    space = random_space(w[0], 2, torch.Generator().manual_seed(0))
    noise = torch.randn(2, 5, task.net.size, generator=torch.Generator().manual_seed(1))
    snapshots = w[:, None] + 0.01 * noise.to(w)
    return Given(target=Posterior(task, space, 1.0, 50.0), task=task, networks=w, trajectories=list(snapshots))


@pytest.mark.parametrize(("network", "norm", "name"), [
    *(("mlp", "none", name) for name in catalog.METHODS if name != "laplace_kronecker"),
    *(("conv", "batch", name) for name in ("ess", "hmc", "swag", "dropout", "laplace"))])
def test_every_method_draws_and_its_draws_predict(name, network, norm, monkeypatch):
    monkeypatch.setattr(flow, "GAUSSIAN_STEPS", 8)
    options = catalog.METHODS[name].defaults
    options = {key: value for key, value in OPTIONS.items() if key in options and options[key] != 0}
    task = task_of(network, norm, "cuda")
    draws = method.infer(name, given_of(task), generator=torch.Generator().manual_seed(2), draws=2, chains=2, **options)
    here = average(task_of(network, norm), draws.space.lift(draws.flat).cpu())
    there = average(task, draws.space.lift(draws.flat))
    np.testing.assert_allclose(there.each, here.each, rtol=1e-4, atol=1e-4)
    assert np.isfinite(function_values(task, draws, task.splits["test"][0][:3])).all()


def test_nothing_waits_within_a_trajectory(strict):
    target = given_of(task_of("conv", "batch", "cuda")).target
    q = torch.tensor(grid(3), device="cuda")
    p, (_, gradient) = q.flip(0), target.value_and_gradient(q)
    target.value_and_gradient(q)  # measures how many fit
    strict()
    leapfrog(target.value_and_gradient, q, p, gradient, 0.01, 3)


@pytest.mark.parametrize(("network", "norm"), [NETWORKS[0], NETWORKS[2]])
def test_networks_are_matched_as_on_the_cpu(network, norm):
    here, there = (weight_matching(task.net, *random(task, 2), torch.Generator().manual_seed(0), task.splits["test"][0][:9],
                                   task.buffers(random(task)[1])) for task in (task_of(network, norm, d) for d in BOTH))
    torch.testing.assert_close(there.w.cpu(), here.w, rtol=0, atol=0)


def test_a_start_is_on_the_cpu_wherever_its_module_is():
    here, there = (initial_weights(task_of("conv", "group", device).net.module, sgd.generator(0, 0)) for device in BOTH)
    assert torch.equal(here, there)
