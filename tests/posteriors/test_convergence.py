"""Diagnostics of chains: what has converged, what has not, what agrees in functions alone."""

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput
from landscape.networks import Net, build
from landscape.posteriors.diagnostics import COLUMNS, diagnose, function_values, mixing, rank_histograms
from landscape.posteriors.method import Draws
from landscape.posteriors.space import random_space, weight_space
from landscape.training.task import task_from


def chains(count=4, draws=500, columns=3, seed=0):
    return np.random.default_rng(seed).standard_normal((count, draws, columns))


def drawn(values, space=None, **info):
    z = torch.tensor(values)
    return Draws(z, torch.zeros(z.shape[:2]), space or weight_space(torch.zeros(z.shape[-1])), info)


def autoregressive(factor, count=4, draws=4000, seed=1):
    steps = np.random.default_rng(seed).standard_normal((count, draws)) * np.sqrt(1 - factor**2)
    steps[:, 0] /= np.sqrt(1 - factor**2)
    for t in range(1, draws):
        steps[:, t] += factor * steps[:, t - 1]
    return steps[..., None]


def test_independent_draws_are_worth_their_number():
    found = mixing(chains(draws=2000))
    assert found.rhat == pytest.approx(1, abs=0.005)
    assert found.bulk == pytest.approx(8000, rel=0.15)
    assert 0.7 * 8000 < found.least < 1.15 * 8000


def test_a_chain_that_remembers_is_worth_less_by_the_known_factor():
    """An autoregression with factor a has (1 - a) / (1 + a) effective draws for each."""
    assert mixing(autoregressive(0.8)).bulk[0] == pytest.approx(16_000 * 0.2 / 1.8, rel=0.25)


def test_a_chain_in_another_place_is_seen():
    values = chains()
    values[2] += 3
    found = diagnose(drawn(values))
    assert found.coordinates.worst > 1.3
    assert "NOT converged" in found.said[0]
    assert "have converged" in diagnose(drawn(chains(draws=1000))).said[0]


def test_one_chain_that_drifts_is_seen_and_a_single_one_is_warned_of():
    drift = chains(1) + np.linspace(0, 5, 500)[None, :, None]
    assert mixing(drift).worst > 1.5
    assert mixing(chains(1)).worst < 1.02
    assert any("at least four" in sentence for sentence in diagnose(drawn(chains(1))).said)


def test_symmetric_copies_agree_in_function_space_alone():
    values, functions = chains(), chains(seed=5)
    values[2:] *= -1
    values[2:] -= 8
    found = diagnose(drawn(values), functions)
    assert found.coordinates.worst > 1.5
    assert found.functions.worst < 1.02
    assert any("symmetric copies" in sentence for sentence in found.said)


def test_constants_short_chains_and_non_finite_values_have_no_numbers():
    values = chains()
    values[..., 1] = 2.0
    values[0, 0, 2] = np.nan
    found = mixing(values)
    assert np.isfinite(found.rhat).tolist() == [True, False, False]
    assert mixing(chains(draws=4)) is None
    assert "too short" in diagnose(drawn(chains(draws=4))).said[0]
    assert "cannot be told" in diagnose(drawn(np.ones((4, 50, 2)))).said[0]


def test_many_columns_are_judged_at_equal_spacings():
    assert len(mixing(chains(2, 50, 1000)).rhat) == COLUMNS


def test_independent_draws_are_not_praised():
    said = diagnose(drawn(chains()), independent=True).said
    assert len(said) == 1
    assert "nothing about whether" in said[0]


def test_acceptance_energy_and_divergences_are_told():
    told = {"acceptance": torch.full((4,), 0.1), "energy_error": np.array([[0.5, -0.5]]), "divergences": 3}
    found = diagnose(drawn(chains(), step_size=0.2, **told))
    assert found.acceptance == pytest.approx(0.1)
    assert found.energy_error == pytest.approx(0.5)
    assert found.divergences == 3
    assert sum("smaller steps" in sentence for sentence in found.said) == 2
    assert len(diagnose(drawn(chains(), **told)).said) == 2  # without steps few accepted proposals are no fault


def test_ranks_of_equal_chains_are_flat_and_of_a_lower_one_are_low():
    counts = rank_histograms(chains(4, 1000, 2), 10)
    assert counts.shape == (2, 4, 10)
    assert (counts.sum(-1) == 1000).all()
    assert (counts.sum(1) == 400).all()
    assert abs(counts / 100 - 1).max() < 0.45
    values = chains()
    values[1] -= 10
    low = rank_histograms(values, 4)[0]
    assert low[1].tolist() == [500, 0, 0, 0]
    assert (rank_histograms(np.zeros((4, 100, 1)), 10) == 10).all()


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_values_of_functions_are_what_the_networks_put_out(norm):
    data = load("digits", 0, 100)
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (8,), norm=norm)), 1e-3)
    space = random_space(task.net.initial, 2, torch.Generator().manual_seed(0))
    made = drawn(chains(2, 3, 2), space)
    x = task.splits["test"][0][:5]
    found = function_values(task, made, x)
    assert found.shape == (2, 3, 50)
    w = space.lift(made.z[1, 2]).float()
    np.testing.assert_allclose(found[1, 2], task.net(w, x, task.buffers(w)).log_softmax(-1).double().flatten(), atol=1e-5)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="4 x 500"):
        diagnose(drawn(chains()), chains(3))
    with pytest.raises(BadInput, match=r"\(chains, draws, F\)"):
        mixing(np.zeros((3, 4)))
