"""Densities in a lower precision: what they are off by is measured at the draws and said; chains run all the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_target import KINDS, defined, seeded, task_of
from waiting import nothing_waits

from landscape.errors import BadInput
from landscape.networks.accelerator import Room
from landscape.posteriors import method
from landscape.posteriors.likelihood import Likelihood
from landscape.posteriors.method import Given
from landscape.posteriors.rounding import CHEAP, POINTS, TRUSTED, Rounding, measured, reference
from landscape.posteriors.space import random_space, weight_space
from landscape.posteriors.target import Posterior


def target_of(kind=KINDS[0], precision="bfloat16", whole=False, temperature=3.0, like=torch.float32):
    task = replace(task_of(*kind, dtype=like), precision=precision)
    origin = 0.3 * seeded(task.net.size)
    space = weight_space(origin) if whole else random_space(origin, 3, torch.Generator().manual_seed(0))
    return Posterior(task, space, 0.7, temperature)


def points(target, count=40):
    return 0.2 * seeded(count, target.ndim, seed=1)


@pytest.mark.parametrize("whole", [False, True], ids=["subspace", "weights"])
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_what_is_measured_is_the_difference_from_the_definition(kind, whole):
    """The definition: one network after the other in float64, by autograd."""
    target, exact = target_of(kind, whole=whole), task_of(*kind)
    z = points(target)
    found = measured(target, z, gradients=True)
    rows = torch.linspace(0, len(z) - 1, POINTS).round().long()
    leaf = z[rows].clone().requires_grad_(True)
    true = defined(exact, target.space.lift(leaf) if whole else target.space.origin + leaf @ target.space.directions, 3.0)
    (slope,) = torch.autograd.grad(true.sum(), leaf)
    prior = target.normal_prior
    value, gradient = target.value_and_gradient(z[rows])
    away = value - true.detach() - prior.log_density(z[rows])
    near = 1e-4 if found.reference == "float64" else 1e-2  # a module's own reference is in float32
    assert found.sd == pytest.approx(float(away.std(correction=0)), rel=near)
    assert found.mean == pytest.approx(float(away.mean()), rel=near, abs=near * found.sd)
    assert found.worst == pytest.approx(float(away.abs().max()), rel=near)
    share = (gradient - slope - prior.gradient(z[rows])).norm() / (slope + prior.gradient(z[rows])).norm()
    assert found.gradient == pytest.approx(float(share), rel=near)
    assert 1e-3 < found.sd < 3
    assert 1e-3 < found.gradient < 0.05
    assert (found.points, found.precision, found.device) == (POINTS, "bfloat16", "cpu")


def test_values_alone_are_those_of_the_way_that_slices_take():
    target = target_of()
    z = points(target, 10)
    found = measured(target, z, gradients=False)
    away = target.log_density(z) - target_of(precision="", like=torch.float64).log_density(z)
    assert found.gradient is None
    assert found.points == 10
    assert found.worst == pytest.approx(float(away.abs().max()), rel=1e-3)
    assert found.reference == "float64"


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_float32_and_tf32_on_a_cpu_change_no_bit(kind, precision):
    """Today's numbers, whether nothing was asked for or the default was."""
    for whole in (False, True):
        plain, named = target_of(kind, "", whole), target_of(kind, precision, whole)
        z = points(plain, 9)
        assert torch.equal(plain.log_density(z), named.log_density(z))
        assert all(torch.equal(a, b) for a, b in zip(plain.value_and_gradient(z), named.value_and_gradient(z), strict=True))


def test_tf32_on_a_cpu_is_said_to_be_float32():
    found = measured(target_of(precision="tf32"), points(target_of()), gradients=True)
    assert found.sd < 1e-4
    assert found.trusted
    assert "tf32 (which a CPU computes as float32)" in found.said
    assert "WARNING" not in found.said


def test_a_density_that_is_far_off_is_said_not_to_be_trusted():
    """The log-likelihood is divided by the temperature, and so is what rounding does to it."""
    warm, cold = (measured(target_of(temperature=t, whole=True), points(target_of(whole=True)), True) for t in (300.0, 0.03))
    assert cold.sd == pytest.approx(1e4 * warm.sd, rel=0.01)
    assert warm.sd < TRUSTED < cold.sd
    assert (warm.trusted, cold.trusted) == (True, False)
    assert "WARNING: more than 0.1 nats" in cold.said
    assert f"off by {cold.sd:.2g} nats from float64" in cold.said
    assert cold.values["trusted"] is False


def test_numbers_that_overflow_are_not_trusted_and_fit_into_json():
    """Losses of 1e38 are finite in float32; in bfloat16 their networks' outputs round to infinity first."""
    found = Rounding("bfloat16", "cpu", "float64", 4, float("inf"), float("inf"), float("inf"), float("inf"))
    assert not found.trusted
    assert "is not finite everywhere, while it is in float64" in found.said
    assert [found.values[name] for name in ("mean", "sd", "worst", "gradient")] == [None] * 4
    target = target_of(whole=True)
    huge = torch.full((2, target.ndim), 1e25, dtype=torch.float64)
    assert not measured(target, huge, gradients=False).trusted


def test_what_is_compared_with_is_float64_where_that_is_cheap():
    target = target_of()
    assert reference(target, 32).precision == "float64"
    assert reference(target, int(2 * CHEAP)).precision == "float32"
    assert reference(target_of(KINDS[2]), 32).precision == "float32"  # a convolution's cost is not its number of weights


def test_parts_of_the_data_are_added_in_float32():
    """A sum of many parts in bfloat16 would stop growing."""
    task = replace(task_of("digits", "conv", "none", dtype=torch.float32), precision="bfloat16")
    w = 0.3 * seeded(2, task.net.size).float()
    whole, small = Likelihood(task), Likelihood(replace(task, batch=3))
    (value, gradient), (other, parts) = whole.gradients(w), small.gradients(w)
    assert gradient.dtype == parts.dtype == torch.float32
    torch.testing.assert_close(value, other, rtol=1e-3, atol=0)
    assert float((parts - gradient).norm() / gradient.norm()) < 0.02
    assert Likelihood(replace(task, precision="")).gradients(w)[1].dtype == torch.float32


@pytest.mark.parametrize("name", ["hmc", "nuts", "ess", "sgld", "metropolis"])
def test_every_chain_runs_in_bfloat16_and_keeps_coordinates_as_they_are(name):
    target = target_of(("regression", "mlp", "none"), temperature=30.0)
    draws = method.infer(name, Given(target=target), generator=torch.Generator().manual_seed(0), draws=20, warmup=20,
                         chains=2)
    assert draws.z.dtype == torch.float64
    found = measured(target, draws.flat, draws.info["gradient_evaluations"] > 0)
    assert 0 < found.sd < TRUSTED
    assert (found.gradient is not None) == (name in ("hmc", "nuts", "sgld"))
    assert "Networks are evaluated in bfloat16." in target.said


def test_chains_over_all_weights_move_by_less_than_a_weight_in_bfloat16_can():
    """Draws are kept in float32: steps that bfloat16 would round away still add up."""
    target = target_of(whole=True, temperature=3000.0)
    draws = method.infer("hmc", Given(target=target), generator=torch.Generator().manual_seed(0), draws=5, warmup=0,
                         chains=2, step_size=1e-4, most_steps=2)
    assert draws.z.dtype == torch.float32
    w = draws.weights.float()
    assert not torch.equal(w, w.bfloat16().float())
    assert (np.diff(draws.z.numpy(), axis=1) != 0).mean() > 0.9


@pytest.mark.parametrize("kind", [("digits", "mlp", "none"), ("digits", "conv", "none"), ("digits", "conv", "batch")],
                         ids=" ".join)
def test_nothing_waits_within_a_gradient_in_a_lower_precision(kind):
    task = task_of(*kind, dtype=torch.float32)
    net = type(task.net)(task.net.module, together=True)
    likelihood = Likelihood(replace(task, net=net, precision="bfloat16"))
    likelihood.room, w = Room(torch.device("cpu"), 2), 0.3 * seeded(5, task.net.size).float()
    expected = likelihood.gradients(w)
    with nothing_waits():
        found = likelihood.gradients(w)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match="bfloat16"):
        target_of(precision="bfloat61")
