"""Every method that works on any density, on the same densities: a new row of the catalog inherits these tests."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from arviz_stats.base import array_stats

from landscape import catalog
from landscape.errors import BadInput, Cancelled, Diverged
from landscape.posteriors import hmc, method
from landscape.posteriors.hamiltonian import leapfrog
from landscape.posteriors.method import Given, Recorder
from landscape.posteriors.target import Gaussian, Normal, Target

GENERAL = [name for name, row in catalog.METHODS.items() if row.defaults["needs"] == ("target",)]
SAMPLERS = ["ess", "hmc", "nuts", "sgld"]
BIASED = {"sgld": 0.08}  # of the variances, by the size of its steps: it has no accept step
FACTORISED = {"vi"}  # gives the means, and 1 / precision_ii as variances, by construction
QUICK = {"ess": {"draws": 600}, "hmc": {"draws": 200}, "sgld": {"draws": 300}, "nuts": {"draws": 200, "warmup": 80}}
SHORT = {"warmup": 30, "steps": 40}  # where draws need not be good, of the options a method has
COVARIANCES = {"gaussian": [[1.0, 0.0], [0.0, 4.0]], "correlated": [[1.0, 1.8], [1.8, 4.0]]}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(kind="correlated"):
    return Gaussian(torch.tensor([1.0, -2.0]), torch.tensor(COVARIANCES[kind]))


def sampled(name, target, seed=1, **options):
    return method.infer(name, Given(target=target), generator=generator(seed), **QUICK.get(name, {}) | options)


def short(name, target, **options):
    own = {key: value for key, value in SHORT.items() if key in catalog.METHODS[name].defaults}
    return sampled(name, target, **own | options)


def test_the_samplers_are_among_the_general_methods():
    assert set(SAMPLERS) <= set(GENERAL)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("name", GENERAL)
def test_every_method_finds_the_same_gaussians(name, kind):
    target = gaussian(kind)
    found = sampled(name, target)
    z = found.z.double().numpy()
    effective = min(float(array_stats.ess(z[..., k])) for k in range(2))
    assert effective > 150
    covariance = target.covariance.numpy()
    if name in FACTORISED:
        covariance = np.diag(1 / np.diag(np.linalg.inv(covariance)))
    sd, margin = np.sqrt(np.diag(covariance)), 4 / math.sqrt(effective)
    own = np.cov(z.reshape(-1, 2).T)
    assert np.abs((z.mean((0, 1)) - target.mean.numpy()) / sd).max() < margin
    assert np.abs((own - covariance) / np.outer(sd, sd)).max() < 1.5 * margin + BIASED.get(name, 0)


@pytest.mark.parametrize("name", GENERAL)
def test_draws_are_what_they_say(name):
    target, seen = gaussian(), []
    found = short(name, target, draws=30, chains=3, watch=lambda *a: seen.append(a))
    assert found.z.shape == (3, 30, 2)
    assert found.log_density.shape == (3, 30)
    given = found.log_density.isfinite()
    again = target.log_density(found.flat)[given.flatten()]
    torch.testing.assert_close(again, found.log_density[given], rtol=1e-6, atol=1e-6)
    assert given.all() or name not in SAMPLERS
    assert found.info["said"]
    assert found.info["seconds"] > 0
    assert found.info["gradient_evaluations"] + found.info["value_evaluations"] > 0
    torch.testing.assert_close(found.weights, found.space.lift(found.flat))
    done = [a[0] for a in seen]
    assert all(a <= b for a, b in pairwise(done))
    assert done[-1] == seen[-1][1]
    new = [a[2] for a in seen if a[2] is not None]
    torch.testing.assert_close(torch.cat(new, 1), found.z)


@pytest.mark.parametrize("name", GENERAL)
def test_the_same_seed_gives_the_same_draws_and_nothing_else_moves(name):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    few = {"draws": 10, "chains": 2}
    first, again = (short(name, gaussian(), **few) for _ in range(2))
    assert torch.equal(first.z, again.z)
    assert not torch.equal(first.z, short(name, gaussian(), seed=2, **few).z)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", GENERAL)
def test_a_watch_can_stop_it(name):
    def stop(done, total, new):
        raise Cancelled("asked to stop")

    with pytest.raises(Cancelled):
        sampled(name, gaussian(), watch=stop)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("bad", [{"draws": 0}, {"chains": 0}, {"sizes": 3}])
def test_impossible_requests_are_refused(name, bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        sampled(name, gaussian(), **bad)


class Constant(Target):
    """A prior and nothing else."""

    def __init__(self, ndim=3, deviation=0.7):
        super().__init__()
        self.space = Gaussian(torch.zeros(ndim), torch.eye(ndim)).space
        self.normal_prior = Normal(torch.full((ndim,), 2.0, dtype=torch.float64), deviation)

    def _likelihood(self, z):
        return torch.zeros(len(z), dtype=torch.float64)

    def _likelihood_gradient(self, z, examples):
        return self._likelihood(z), torch.zeros_like(z)


@pytest.mark.parametrize("deviation", [0.7, torch.tensor([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.1]]).double()])
def test_a_constant_likelihood_gives_the_prior_and_every_first_proposal_is_accepted(deviation):
    """Exact answer 9."""
    target = Constant(deviation=deviation)
    found = sampled("ess", target, draws=1000)
    assert found.info["first"] == 1.0
    assert torch.equal(found.info["acceptance"], torch.ones(16, dtype=torch.float64))
    factor = torch.as_tensor(deviation) if isinstance(deviation, torch.Tensor) else deviation * torch.eye(3).double()
    torch.testing.assert_close(torch.cov(found.flat.T), factor @ factor.T, rtol=0.08, atol=0.04)
    torch.testing.assert_close(found.flat.mean(0), target.normal_prior.mean, rtol=0, atol=0.06)


@pytest.mark.parametrize("step", [0.1, 0.7, 1.9])
def test_one_step_in_a_harmonic_well_is_the_closed_form(step):
    """Exact answer 8: the matrix, its determinant, and what it conserves."""
    def well(q):
        return -0.5 * q.square().sum(-1), -q

    start = torch.eye(2, dtype=torch.float64)  # (q, p) = (1, 0) and (0, 1)
    q, p, value, gradient = leapfrog(well, start[:, :1], start[:, 1:], -start[:, :1], step, 1)
    matrix = torch.cat([q, p], 1).T
    e = step
    expected = [[1 - e**2 / 2, e], [-e + e**3 / 4, 1 - e**2 / 2]]
    torch.testing.assert_close(matrix, torch.tensor(expected, dtype=torch.float64))
    assert float(torch.linalg.det(matrix)) == pytest.approx(1.0)
    torch.testing.assert_close(value, -0.5 * q[:, 0].square())
    torch.testing.assert_close(gradient, -q)
    q, p, *_ = leapfrog(well, torch.ones(1, 1).double(), torch.ones(1, 1).double(), -torch.ones(1, 1).double(), step, 57)
    assert float(q**2 * (1 - e**2 / 4) + p**2) == pytest.approx(2 - e**2 / 4)


def test_leapfrog_is_stable_up_to_two():
    def far(step):
        one = torch.ones(1, 1, dtype=torch.float64)
        return float(leapfrog(lambda q: (q[:, 0], -q), one, one, -one, step, 2000)[0].abs())

    assert far(1.99) < 100
    assert far(2.01) > 1e10


@pytest.mark.parametrize("scale", [1.0, torch.tensor([0.5, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.7, 0.3]]).double()])
def test_leapfrog_is_reversible_and_keeps_volume(scale):
    def banana(z):
        z = z.detach().requires_grad_(True)
        value = -0.5 * z[:, 0].square() - 2 * (z[:, 1] - z[:, 0].square()).square()
        return value.detach(), torch.autograd.grad(value.sum(), z)[0]

    g = generator(4)
    q, p = torch.randn(5, 2, generator=g).double(), torch.randn(5, 2, generator=g).double()
    there = leapfrog(banana, q, p, banana(q)[1], 0.05, 40, scale)
    back = leapfrog(banana, there[0], -there[1], there[3], 0.05, 40, scale)
    torch.testing.assert_close(back[0], q, rtol=0, atol=1e-9)
    torch.testing.assert_close(-back[1], p, rtol=0, atol=1e-9)

    def flow(state):
        found = leapfrog(banana, state[None, :2], state[None, 2:], banana(state[None, :2])[1], 0.05, 10, scale)
        return torch.cat(found[:2], 1)[0]

    state, h = torch.cat([q[0], p[0]]), 1e-5
    columns = [(flow(state + h * e) - flow(state - h * e)) / (2 * h) for e in torch.eye(4, dtype=torch.float64)]
    assert float(torch.linalg.det(torch.stack(columns, 1))) == pytest.approx(1.0, abs=1e-6)


def test_hmc_conserves_energy_better_with_smaller_steps():
    small, large = (sampled("hmc", gaussian(), step_size=step, draws=50) for step in (0.05, 0.5))
    assert small.info["energy_error"].abs().median() < 0.02 * large.info["energy_error"].abs().median()
    assert small.info["acceptance"].mean() > 0.99
    assert small.info["divergences"] == 0
    assert small.info["energy_error"].shape == (16, 50)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_start_that_is_not_finite_is_named(name):
    class Edge(Constant):
        def _likelihood(self, z):
            return torch.where(z[:, 0] > 2.5, torch.nan, 0.0).double()

    given = Given(target=Edge(2), start=torch.tensor([[2.0, 2.0], [3.0, 2.0]]))
    with pytest.raises(BadInput, match=r"Chain 2 of 2 starts at z = \(3, 2\), where the log density is nan"):
        method.infer(name, given, generator=generator(), chains=2)
    with pytest.raises(BadInput, match="2 coordinates start at"):
        method.infer(name, given, generator=generator(), chains=5)


class Island(Constant):
    """Finite at the origin of coordinates and nowhere else."""

    def _likelihood(self, z):
        return torch.where((z == 0).all(1), 0.0, -torch.inf).double()


@pytest.mark.parametrize("name", ["ess", "hmc"])
def test_a_chain_that_never_accepts_is_an_error(name):
    given = Given(target=Island(2), start=torch.zeros(2, 2))
    with pytest.raises(Diverged, match=r"accept|small enough"):
        method.infer(name, given, generator=generator(), chains=2)
    if name == "hmc":
        with pytest.raises(Diverged, match="chains 1, 2 of 2 accepted none of 20"):
            hmc.infer(given, draws=20, chains=2, generator=generator(), warmup=0, step_size=0.1)


def test_sgld_that_explodes_says_so():
    with pytest.raises(Diverged, match="left the finite numbers"):
        sampled("sgld", gaussian(), step_size=50.0)
    with pytest.raises(BadInput, match="keep fewer"):
        sampled("sgld", gaussian(), per_cycle=40)


def test_what_is_needed_must_be_given():
    with pytest.raises(BadInput, match="needs a posterior over"):
        method.infer("ess", Given(), generator=generator())
    with pytest.raises(BadInput, match="Did you mean 'nuts'"):
        method.infer("nutz", Given(), generator=generator())


def test_a_recorder_lets_chains_go_at_their_own_pace():
    seen = []
    record = Recorder(gaussian(), 2, 3, watch=lambda *a: seen.append(a))
    for chains, value in (([0], 1.0), ([0, 1], 2.0), ([1], 3.0), ([0, 1], 4.0), ([0], 5.0)):
        record.add(torch.full((len(chains), 2), value), value, torch.tensor(chains))
    assert record.full
    assert record.z[..., 0].tolist() == [[1, 2, 4], [2, 3, 4]]
    assert record.log_density.tolist() == [[1, 2, 4], [2, 3, 4]]
    torch.testing.assert_close(torch.cat([a[2] for a in seen if a[2] is not None], 1), record.z)
