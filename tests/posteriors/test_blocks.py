"""Chains in blocks: which chain is in which, what stays as it was, and that many blocks draw from the exact density too."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from test_samplers import gaussian, generator, short
from test_target import linear_model

from landscape import catalog
from landscape.errors import BadInput, Diverged
from landscape.posteriors import grid, method
from landscape.posteriors.blocks import Block, blocks
from landscape.posteriors.diagnostics import diagnose
from landscape.posteriors.method import Draws, Given
from landscape.posteriors.space import weight_space
from landscape.posteriors.target import Normal, Posterior, Target

CHAINS = {name: row.defaults["block"] for name, row in catalog.METHODS.items() if "block" in row.defaults}
MARKOV = [name for name, row in catalog.METHODS.items() if "warmup" in row.defaults]


def test_methods_that_are_markov_chains_go_in_blocks_and_their_usual_number_in_one():
    assert sorted(CHAINS) == sorted(MARKOV)
    for name, block in CHAINS.items():
        assert catalog.METHODS[name].defaults["chains"] <= block


@pytest.mark.parametrize(("chains", "size"), [(1, 16), (16, 16), (17, 16), (33, 16), (256, 16), (5, 4), (7, 1)])
def test_every_chain_is_in_one_block_and_blocks_are_alike(chains, size):
    made = blocks(chains, size)
    assert [i for part in made for i in range(part.first, part.last)] == list(range(chains))
    assert [part.number for part in made] == list(range(-(-chains // size)))
    sizes = [len(part) for part in made]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", MARKOV)
def test_up_to_a_block_the_method_itself_has_all_chains_and_the_run_s_generator(name):
    target, few = gaussian(), {"draws": 8, "warmup": 20, "chains": CHAINS[name]}
    found = short(name, target, **few)
    alone = catalog.METHODS[name].load()(Given(target=target), generator=generator(1), **few)
    assert found.z.numpy().tobytes() == alone.z.numpy().tobytes()
    assert found.info["said"] == alone.info["said"]


@pytest.mark.parametrize("name", MARKOV)
def test_further_chains_are_further_blocks_with_numbers_of_their_own(name):
    count, target = 2 * CHAINS[name], gaussian()
    first, both, again = (short(name, target, draws=20, chains=chains) for chains in (count // 2, count, count))
    assert both.z.numpy().tobytes() == again.z.numpy().tobytes()
    assert torch.equal(both.z[: count // 2], first.z)
    assert len(both.z.flatten(1).unique(dim=0)) == count
    assert both.log_density.shape == (count, 20)
    assert both.info["acceptance"].shape == (count,)
    for kind in ("gradient_evaluations", "value_evaluations"):
        assert both.info[kind] >= first.info[kind]
    assert both.info["gradient_evaluations"] + both.info["value_evaluations"] > (
        1.3 * (first.info["gradient_evaluations"] + first.info["value_evaluations"]))
    assert f"{count} chains in 2 blocks" in " ".join(both.info["said"])
    assert both.info["said"].count(target.said) == 1


class Card(type(gaussian())):
    """A density that says it is on a GPU."""

    device = torch.device("cuda")


def test_on_a_gpu_all_chains_go_together_and_independent_draws_are_never_divided():
    here, there = gaussian(), Card(gaussian().mean, gaussian().covariance)
    assert [len(part) for part in method.divided("hmc", Given(target=here), chains=40)] == [14, 13, 13]
    assert [len(part) for part in method.divided("hmc", Given(target=there), chains=40)] == [40]
    assert [len(part) for part in method.divided("vi", Given(target=here), chains=40)] == [40]


def test_blocks_follow_from_the_state_of_the_generator_which_only_the_first_one_moves():
    own, state = generator(3), generator(3).get_state()
    parts = blocks(48, 16)
    drawn = [torch.rand(100, generator=part.generator(own)) for part in reversed(parts)]
    assert len(torch.stack(drawn).unique(dim=0)) == 3
    assert torch.equal(drawn[-1], torch.rand(100, generator=generator(3)))
    assert not torch.equal(own.get_state(), state)  # which block 0 has drawn from: another call gives other draws
    assert not torch.equal(torch.rand(100, generator=parts[1].generator(own)), drawn[1])


@pytest.mark.parametrize("name", ["ess", "nuts"])
def test_a_watch_sees_every_draw_of_all_chains_once(name):
    seen, chains = [], 2 * CHAINS[name] + 1
    found = short(name, gaussian(), draws=30, chains=chains, watch=lambda *a: seen.append(a))
    done = [a[0] for a in seen]
    assert all(a <= b for a, b in pairwise(done))
    assert done[-1] == seen[-1][1]
    assert all(a[0] < a[1] for a in seen[:-1])
    assert torch.equal(torch.cat([a[2] for a in seen if a[2] is not None], 1), found.z)


class Corner(Target):
    """A Gaussian that is not finite right of 50."""

    def __init__(self):
        super().__init__()
        known = gaussian()
        self.known, self.space, self.normal_prior = known, known.space, known.normal_prior

    def _likelihood(self, z):
        return torch.where(z[:, 0] > 50, torch.nan, self.known._likelihood(z))


def test_starts_go_with_their_chains_and_one_that_is_not_finite_is_named():
    start = torch.zeros(20, 2, dtype=torch.float64)
    start[:, 0] = torch.arange(20) / 10
    seen = []
    given = Given(target=gaussian(), start=start)
    part = method.divided("ess", given, chains=20)[1]
    assert torch.equal(part.given(given).start, start[10:])
    start[12, 0] = 60.0
    said = r"^Chains 11 to 20 of 20, a block of their own: Chain 3 of 10 starts at z = \(60, 0\)"
    with pytest.raises(BadInput, match=said):
        method.infer("ess", Given(target=Corner(), start=start), generator=generator(), chains=20, draws=2, warmup=2,
                     watch=lambda *a: seen.append(a))
    assert seen  # those before it were drawn
    with pytest.raises(BadInput, match=r"21 chains over 2 coordinates start at \(21, 2\); found \(20, 2\)"):
        method.infer("ess", given, generator=generator(), chains=21)


def test_chains_begin_at_the_trained_networks_in_turn_across_blocks():
    task, space = linear_model()
    w = space.lift(torch.arange(3 * space.ndim, dtype=torch.float64).reshape(3, -1) / 10)
    given = Given(target=Posterior(task, weight_space(w[0]), 1.0), networks=w)
    whole = method.starts(given, 20, generator())
    parts = method.divided("hmc", given, chains=20)
    divided = torch.cat([method.starts(part.given(given), len(part), generator()) for part in parts])
    assert len(parts) == 2
    assert torch.equal(divided, whole)


def test_steps_are_means_over_chains_and_what_blocks_say_names_their_chains(monkeypatch):
    def infer(given, *, draws, chains, generator, watch):
        z = torch.full((chains, draws, 2), float(chains))
        return Draws(z, z[..., 0], given.target.space, {"step_size": float(chains), "divergences": 1, "metric": "unit",
                                                        "said": ["All.", f"{chains} of them."]})

    row = catalog.Row("Counting", "", "-", {"over": "subspace", "block": 2, "draws": 1, "chains": 2})
    monkeypatch.setattr(catalog.Row, "load", lambda self: infer)
    monkeypatch.setitem(catalog.METHODS, "counting", row)
    found = method.infer("counting", Given(target=gaussian()), generator=generator(), chains=3)
    assert found.info["step_size"] == pytest.approx((2 * 2 + 1) / 3)
    assert (found.info["divergences"], found.info["metric"]) == (2, "unit")
    assert found.info["said"] == ["All.", "3 chains in 2 blocks, each with random numbers and a warm-up of its own.",
                                  "Chains 1 to 2: 2 of them.", "Chain 3: 1 of them."]
    assert Block(1, 2, 3, 3).named == "Chain 3"


def test_a_lost_block_keeps_its_kind_of_error():
    with pytest.raises(Diverged, match="Chains 1 to 9 of 18, a block of their own: SGLD: chain"):
        short("sgld", gaussian(), step_size=50.0, chains=18)


class Bent(Target):
    """A banana: z2 follows the square of z1."""

    def __init__(self):
        super().__init__()
        known = gaussian("gaussian")
        self.space, self.normal_prior = known.space, Normal(torch.zeros(2, dtype=torch.float64), 3.0)

    def _likelihood(self, z):
        return -0.5 * ((z[:, 1] - 0.5 * z[:, 0].square()) / 0.7).square() - 0.5 * (z[:, 0] / 1.2).square()

    def _likelihood_gradient(self, z, examples):
        away = (z[:, 1] - 0.5 * z[:, 0].square()) / 0.49
        gradient = torch.stack([away * z[:, 0] - z[:, 0] / 1.44, -away], 1)
        return self._likelihood(z), gradient


@pytest.mark.parametrize(("name", "options"), [
    ("ess", {"draws": 150}), ("hmc", {"draws": 60, "warmup": 60}), ("metropolis", {"draws": 300, "warmup": 200}),
    ("sgld", {"draws": 800}), ("nuts", {"draws": 120, "warmup": 60})])
def test_many_blocks_draw_from_the_exact_density_and_agree(name, options):
    """A bent density on a grid: all chains together, and those of each block. SGLD has no accept step."""
    target, chains = Bent(), 2 * CHAINS[name] + 4 * (name != "nuts")
    exact = grid.exact(target, cells=65)
    found = method.infer(name, Given(target=target), generator=generator(7), chains=chains, **options)
    parts = method.divided(name, Given(target=target), chains=chains)
    assert len(parts) == (2 if name == "nuts" else 3)
    judged = diagnose(found, None, False, 20)
    mixed = judged.coordinates
    assert mixed.worst < 1.06
    distance = exact.total_variation(found.flat, effective=mixed.least)
    assert distance.value < 1.3 * distance.effective_floor < 0.16
    assert np.abs(exact.moment_errors(found.flat)["mean"]).max() < 3 / mixed.least**0.5
    for part in parts:
        own = exact.total_variation(found.z[part.first : part.last].flatten(0, 1), effective=mixed.least / len(parts))
        assert own.value < 1.3 * own.effective_floor
