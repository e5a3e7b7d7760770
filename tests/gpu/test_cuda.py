"""On a GPU: the values of the CPU, nothing that waits within a chunk, and memory that really runs out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from on_both import NETWORKS, OPTIONS, plane_of, task_of, trained
from torch.utils._python_dispatch import TorchDispatchMode

from landscape.geometry import spectrum
from landscape.geometry.curvature import Objective
from landscape.geometry.curves import connect
from landscape.geometry.surface import Evaluator
from landscape.networks.accelerator import mixed, numbers
from landscape.posteriors import method
from landscape.posteriors.likelihood import Likelihood
from landscape.posteriors.method import Given
from landscape.posteriors.rounding import measured
from landscape.posteriors.space import random_space
from landscape.posteriors.target import Posterior
from landscape.training import sgd
from landscape.training.rounding import logged, rounding

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use")


@pytest.fixture
def strict():
    """What waits for the device raises, between ``on()`` and the end of the test."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def little():
    """No more than so many bytes of the device's memory."""
    def only(count: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + count) / total)

    yield only
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def grid(n):
    return np.random.default_rng(0).normal(size=(n, 2))


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_surfaces_equal_those_of_the_cpu(network, norm):
    here, there = task_of(network, norm), task_of(network, norm, "cuda")
    expected, evaluator = Evaluator(here, plane_of(here))(grid(24)), Evaluator(there, plane_of(here))
    assert evaluator.said["kind"] == "together"
    found = evaluator(grid(24))
    for metric, values in expected.items():
        np.testing.assert_allclose(found[metric], values, **({"atol": 0.01} if metric.endswith("error") else {"rtol": 1e-5}))


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_nothing_waits_within_a_chunk(network, norm, strict):
    task = task_of(network, norm, "cuda")
    evaluator, z = Evaluator(task, plane_of(task)), torch.tensor(grid(24), device="cuda")
    evaluator.on_device(z)  # measures how many fit
    strict()
    evaluator.on_device(z)


@pytest.mark.parametrize("name", ["", "tf32", "bfloat16"])
def test_nothing_waits_within_an_epoch(name, strict):
    """But at the first step, where a lower precision may be compared with float32."""
    task, steps = replace(task_of(device="cuda"), training_precision=name), []

    def watched(done, total):
        steps.append(done)
        torch.cuda.set_sync_debug_mode("error" if done % 3 else "default")  # three steps an epoch: its end may wait

    trained(task, progress=watched)
    assert len(steps) == 6


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_nothing_waits_within_a_gradient(network, norm, strict):
    task = task_of(network, norm, "cuda")
    likelihood, w = Likelihood(task), 0.3 * torch.randn(6, task.net.size, generator=torch.Generator().manual_seed(0)).cuda()
    likelihood.gradients(w)
    strict()
    likelihood.gradients(w)


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_training_equals_that_of_the_cpu(network, norm):
    here, there = trained(task_of(network, norm)), trained(task_of(network, norm, "cuda"))
    torch.testing.assert_close(there.parameters.cpu(), here.parameters, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_training_in_lower_precision_tells_its_error_and_keeps_float32_weights(network, norm, name):
    task = replace(task_of(network, norm, "cuda"), training_precision=name)
    exact, state = trained(replace(task, training_precision="")), trained(task)
    assert {t.dtype for t in (state.parameters, state.velocity)} == {torch.float32}
    assert all(state.buffers[key].dtype == b.dtype for key, b in task.net.buffers.items())
    assert not torch.equal(state.parameters, state.parameters.bfloat16().float())
    torch.testing.assert_close(state.parameters, exact.parameters, rtol=0, atol=0.02)
    assert not torch.backends.cuda.matmul.allow_tf32
    found = rounding(task, logged(state))["rounding"]
    assert 0 < found["gradient"] <= found["worst"] < 0.1
    assert found["trusted"]
    assert "CPU" not in found["said"]


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
def test_curves_in_lower_precision_tell_their_error(name):
    task = replace(task_of(device="cuda"), training_precision=name)
    state = connect(task, ["bezier", "chain"], trained(task).parameters[:2], 1, 0, **OPTIONS)
    assert 0 < rounding(task, logged(state))["rounding"]["worst"] < 0.1


def test_products_and_convolutions_of_networks_at_once_are_in_bfloat16():
    """Autocast has convolutions of networks at once on a GPU, not on a CPU."""
    task, seen = task_of("conv", device="cuda"), []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.__name__.partition(".")[0] in ("convolution", "cudnn_convolution", "bmm", "baddbmm", "mm", "addmm"):
                seen.append({a.dtype for a in args if isinstance(a, torch.Tensor)})
            return function(*args, **(kwargs or {}))

    x, y = task.splits["train"]
    w = torch.stack([task.net.initial] * 3)
    sgd.mean_nll(task, w, {}, x[:120].view(3, 40, *x.shape[1:]), y[:120].view(3, 40))  # tries whether they go together
    with mixed(x.device, "bfloat16"), Seen():
        sgd.mean_nll(task, w, {}, x[:120].view(3, 40, *x.shape[1:]), y[:120].view(3, 40))
    assert seen
    assert all(found == {torch.bfloat16} for found in seen)


def test_gradients_equal_those_of_the_cpu():
    here, there = task_of(), task_of(device="cuda")
    w = 0.3 * torch.randn(6, here.net.size, generator=torch.Generator().manual_seed(0))
    expected, found = Likelihood(here).gradients(w), Likelihood(there).gradients(w.cuda())
    torch.testing.assert_close(found[0].cpu(), expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(found[1].cpu(), expected[1], rtol=1e-4, atol=1e-5 * float(expected[1].abs().max()))
    space = random_space(0.1 * torch.ones(here.net.size), 2, torch.Generator().manual_seed(0))
    z = torch.tensor(grid(6))
    torch.testing.assert_close(Posterior(there, space, 1.0).log_likelihood(z).cpu(),
                               Posterior(here, space, 1.0).log_likelihood(z), rtol=1e-5, atol=0)


def test_memory_that_runs_out_halves_the_chunk(little):
    task = task_of("conv", device="cuda")
    sub = plane_of(task)
    expected = Evaluator(task, sub)(grid(200))
    evaluator = Evaluator(task, sub)
    evaluator(grid(8))
    evaluator.room.size = 256  # as if more had been free when it was measured
    little(24 * 2**20)
    found = evaluator(grid(200))
    assert evaluator.room.halved > 0
    np.testing.assert_allclose(found["train_nll"], expected["train_nll"], rtol=1e-5)


def test_memory_that_runs_out_halves_the_networks_of_a_step(little, monkeypatch):
    task = task_of("conv", "batch", "cuda")
    seeds = tuple(range(64))
    expected, rooms, made = trained(task, seeds), [], sgd.Room
    monkeypatch.setattr(sgd, "Room", lambda *given: rooms.append(made(*given)) or rooms[-1])
    little(12 * 2**20)
    found = trained(task, seeds)
    assert rooms[0].halved > 0 or rooms[0].size < 64
    torch.testing.assert_close(found.parameters, expected.parameters, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
def test_lower_precision_tells_its_error(name):
    task = replace(task_of("conv", device="cuda"), precision=name)
    evaluator = Evaluator(task, plane_of(task))
    evaluator(grid(20))
    assert evaluator.said["checked"] == 5
    assert 0 < evaluator.said["off"] < 0.05


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
@pytest.mark.parametrize(("network", "norm"), NETWORKS[:2])
def test_chains_in_lower_precision_tell_their_error(network, norm, name):
    task = replace(task_of(network, norm, "cuda"), precision=name)
    target = Posterior(task, random_space(0.1 * torch.ones(task.net.size), 2, torch.Generator().manual_seed(0)), 1.0, 100.0)
    draws = method.infer("hmc", Given(target=target), generator=torch.Generator().manual_seed(1), draws=10, warmup=10,
                         chains=4, most_steps=4)
    found = measured(target, draws.flat, gradients=True)
    assert 0 < found.sd < 1
    assert 0 < found.gradient < 0.1
    assert "CPU" not in found.said


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_nothing_waits_within_a_gradient_in_lower_precision(network, norm, name, strict):
    task = replace(task_of(network, norm, "cuda"), precision=name)
    likelihood, w = Likelihood(task), 0.3 * torch.randn(6, task.net.size, generator=torch.Generator().manual_seed(0)).cuda()
    likelihood.gradients(w)
    strict()
    likelihood.gradients(w)


def hessian_of(network, norm, device, dtype=torch.float64):
    """At one network, with statistics held fixed, and eight vectors."""
    task = task_of(network, norm, device)
    g = torch.Generator().manual_seed(0)
    w = (0.3 * torch.randn(task.net.size, generator=g)).to(device)
    buffers = task.buffers(w) if task.net.batchnorm else None
    v = torch.randn(8, task.net.size, generator=g, dtype=torch.float64).to(device)
    return Objective(task, buffers=buffers, dtype=dtype).hessian(w), v


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_products_with_the_hessian_equal_those_of_the_cpu(network, norm):
    (here, v), (there, _) = hessian_of(network, norm, "cpu"), hessian_of(network, norm, "cuda")
    assert there.refused is None
    assert there.at_once > here.at_once
    expected = here(v)
    near = {"rtol": 1e-4, "atol": 1e-5 * float(expected.abs().max())} if norm == "batch" else {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(there(v.cuda()).cpu(), expected, **near)  # statistics are estimated in float32
    tops = [spectrum.eigenvalues(h, 2, generator=torch.Generator().manual_seed(0)).values for h in (here, there)]
    np.testing.assert_allclose(tops[1], tops[0], rtol=1e-4 if norm == "batch" else 1e-8)


@pytest.mark.parametrize(("network", "norm"), NETWORKS)
def test_nothing_waits_within_a_product_with_the_hessian(network, norm, strict):
    hessian, v = hessian_of(network, norm, "cuda", torch.float32)
    hessian(v)  # measures how many fit
    strict()
    hessian(v)


def test_memory_that_runs_out_halves_the_vectors(little):
    hessian, v = hessian_of("conv", "none", "cuda", torch.float32)
    expected = hessian(v)
    hessian.several.room.size, many = 64, v.repeat(8, 1)  # as if more had been free when it was measured
    little(24 * 2**20)
    torch.testing.assert_close(hessian(many)[:8], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert hessian.several.room.halved > 0


def test_float32_is_float32_within_and_left_as_it_was_without():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with numbers(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
