"""SWAG's moments and draws against their closed forms; mixtures and ensembles of them; what they refuse."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape import catalog, settings_posterior
from landscape.errors import BadInput, Diverged
from landscape.networks import Net
from landscape.posteriors import method, swag
from landscape.posteriors.method import Given
from landscape.posteriors.predictive import average
from landscape.posteriors.swag import moments
from landscape.training.losses import Categorical
from landscape.training.task import Task


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def walk(snapshots=8, size=6, seed=1, dtype=torch.float64):
    """Snapshots whose entries have very different spreads and a common drift."""
    g = generator(seed)
    steps = torch.randn(snapshots, size, generator=g, dtype=dtype) * torch.logspace(-2, 0.5, size, dtype=dtype)
    return 3 + steps + torch.linspace(0, 1, snapshots, dtype=dtype)[:, None]


def draws_of(name, trajectories, **options):
    networks = torch.stack([trajectory[-1] for trajectory in trajectories])
    return method.infer(name, Given(trajectories=tuple(trajectories), networks=networks), generator=generator(), **options)


def test_moments_are_those_of_the_snapshots():
    w = walk()
    found = moments(w, 5)
    torch.testing.assert_close(found.mean, w.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(found.variance, w.var(0, unbiased=False), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.deviations, (w - w.mean(0))[-5:], rtol=1e-12, atol=1e-13)
    assert found.rank == 5


def test_single_precision_snapshots_keep_their_small_variances():
    """The mean of squares less the square of the mean, in single precision, would be all rounding here."""
    w = (1000 + 1e-3 * torch.randn(50, 3, generator=generator(), dtype=torch.float64)).float()
    np.testing.assert_allclose(moments(w).variance, w.double().numpy().var(0), rtol=1e-9)


def test_a_column_of_the_running_convention():
    """Column t is (t - 1) / t times the distance from the mean of the snapshots before it, and the first is zero."""
    w = walk(7)
    found = moments(w, 20, "running").deviations
    assert len(found) == 7
    for t in range(2, 8):
        torch.testing.assert_close(found[t - 1], (t - 1) / t * (w[t - 1] - w[: t - 1].mean(0)), rtol=1e-11, atol=1e-12)
    assert not found[0].any()
    assert found.norm() < moments(w, 20, "final").deviations.norm()


def added_one_by_one(w, rank):
    """The authors' order of operations in single precision, on plain numbers: mean, variance, deviations."""
    f = np.float32
    mean, square, columns = [f(0)] * w.shape[1], [f(0)] * w.shape[1], []
    for n, row in enumerate(w):
        mean = [f(f(m * f(n)) / f(n + 1)) + f(v / f(n + 1)) for m, v in zip(mean, row, strict=True)]
        square = [f(f(s * f(n)) / f(n + 1)) + f(f(v * v) / f(n + 1)) for s, v in zip(square, row, strict=True)]
        columns.append([v - m for m, v in zip(mean, row, strict=True)])
    variance = [max(s - f(m * m), f(1e-30)) for s, m in zip(square, mean, strict=True)]
    return np.array(mean, f), np.array(variance, f), np.array(columns[-rank:], f)


@pytest.mark.parametrize(("snapshots", "rank"), [(25, 20), (3, 20), (6, 4)])
def test_the_reference_convention_has_the_arithmetic_of_the_authors_program_bit_for_bit(snapshots, rank):
    w = walk(snapshots, 26, dtype=torch.float32)
    found = moments(w, rank, "reference")
    for mine, theirs in zip((found.mean, found.variance, found.deviations), added_one_by_one(w.numpy(), rank), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.astype(np.float64))
    exact = moments(w, rank, "running")
    largest = float(w.abs().max())
    for mine, true, size in ((found.mean, exact.mean, largest), (found.deviations, exact.deviations, largest),
                             (found.variance, exact.variance, largest**2)):
        assert 0 < float((mine - true).abs().max()) < 2e-6 * size  # rounding, and no more than rounding


def test_the_reference_convention_divides_by_the_rank_asked_for():
    """With 5 columns of 20 its low-rank part is sqrt(4 / 19) = .46 times too narrow; with all 20 it is right."""
    few, many = walk(5, dtype=torch.float32), walk(25, dtype=torch.float32)
    theirs, mine = moments(few, 20, "reference").factor, moments(few, 20, "running").factor
    assert float(theirs.norm() / mine.norm()) == pytest.approx(0.4588, abs=1e-4)
    theirs, mine = moments(many, 20, "reference").factor, moments(many, 20, "running").factor
    torch.testing.assert_close(theirs, mine, rtol=1e-5, atol=1e-6)
    said = " ".join(draws_of("swag", [few], draws=2, deviations="reference").info["said"])
    assert "running mean, divided by 19" in said
    assert "0.46 times as wide as its 5 columns" in said


def test_small_variances_are_lost_in_the_reference_convention():
    """What cancels there does not in the others: see the test of single precision above."""
    w = (1000 + 1e-3 * torch.randn(50, 3, generator=generator(), dtype=torch.float64)).float()
    found = moments(w, 20, "reference").variance
    assert not np.allclose(found, w.double().numpy().var(0), rtol=0.5)
    assert float(found.min()) > 0


def test_a_draw_is_the_formula():
    """One weight, noise given: mean + sqrt(scale) (sqrt(variance) e + sum of columns f / sqrt(K - 1))."""
    w = torch.tensor([[1.0], [3.0], [2.0]])  # mean 2, variance 2/3, deviations -1, 1, 0
    drawn = moments(w, 3).weights(torch.tensor([[0.5]]), torch.tensor([[0.25, 1.0, 7.0]]), 0.5)
    assert float(drawn) == pytest.approx(2 + 0.5**0.5 * ((2 / 3) ** 0.5 * 0.5 + 0.75 / 2**0.5), rel=1e-12)
    running = moments(w, 20, "reference")  # deviations 0, 1, 0 from means 1, 2, 2; divided by 19
    assert float(running.weights(torch.tensor([[0.5]]), torch.tensor([[0.25, 1.0, 7.0]]), 0.5)) == pytest.approx(
        2 + 0.5**0.5 * ((2 / 3) ** 0.5 * 0.5 + 1 / 19**0.5), rel=1e-6)


@pytest.mark.parametrize(("snapshots", "rank"), [(3, 20), (5, 20), (25, 20)])
def test_the_divisor_is_the_number_of_columns_there_are_less_one(snapshots, rank):
    w = walk(snapshots)
    found = moments(w, rank)
    kept = min(snapshots, rank)
    expected = found.deviations.T @ found.deviations / (kept - 1)
    torch.testing.assert_close(found.factor.T @ found.factor, expected)
    if snapshots <= rank:  # with all the snapshots the low-rank part is their sample covariance
        torch.testing.assert_close(found.factor.T @ found.factor, w.T.cov())


@pytest.mark.parametrize("deviations", ["final", "running"])
@pytest.mark.parametrize(("rank", "scale"), [(4, 0.5), (0, 1.0), (20, 2.0)])
def test_the_covariance_of_many_draws_is_the_closed_form(rank, scale, deviations):
    w = walk()
    drawn = draws_of("swag", [w], draws=100_000, rank=rank, scale=scale, deviations=deviations).flat
    found = moments(w, rank, deviations)
    expected = scale * torch.diag(w.var(0, unbiased=False))
    if rank:
        d = found.deviations
        expected = expected + scale * d.T @ d / (len(d) - 1)
    torch.testing.assert_close(found.covariance(scale), expected)
    sd = expected.diagonal().sqrt()
    error = (drawn.T.cov() - expected) / torch.outer(sd, sd)
    assert float(error.abs().max()) < 5 / 100_000**0.5 * 2**0.5  # five standard errors of a covariance
    assert float((drawn.mean(0) / sd).abs().max()) < 5 / 100_000**0.5


def test_one_low_rank_noise_moves_the_whole_network():
    """With the variances gone, every draw lies in the span of the deviations: far fewer dimensions than weights."""
    w = torch.outer(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.0, 2.0, -3.0, 0.5])).double()
    found = moments(w, 3)
    drawn = found.weights(torch.zeros(40, 4), torch.randn(40, 3, generator=generator()))
    assert int(torch.linalg.matrix_rank(drawn - found.mean)) == 1


@pytest.mark.parametrize("name", ["swag", "swag_diagonal", "multiswag"])
def test_scale_zero_is_swa(name):
    w = walk()
    found = draws_of(name, [w], draws=3, scale=0.0)
    assert torch.equal(found.weights, w.mean(0).expand(3, -1))


def test_multiswag_of_one_is_swag():
    w = walk()
    one, many = (draws_of(name, [w], draws=50, chains=2) for name in ("swag", "multiswag"))
    assert torch.equal(one.z, many.z)
    assert torch.equal(one.weights, many.weights)


def test_multiswag_is_a_mixture_in_equal_parts():
    """Of N(0, 1) and N(2, 1): mean 1, variance 2."""
    unit = torch.tensor([-1.0, 1.0]).double()[:, None].expand(-1, 3)
    found = draws_of("multiswag", [unit, unit + 2], draws=40_000, rank=0, scale=1.0)
    assert found.z.shape == (2, 40_000, 3)
    torch.testing.assert_close(found.weights.mean(0), torch.ones(3).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(found.weights.var(0), torch.full((3,), 2.0).double(), atol=0.06, rtol=0)
    torch.testing.assert_close(found.weights[:40_000].var(0), torch.ones(3).double(), atol=0.04, rtol=0)


def test_ensembles_are_their_members():
    tracks = [walk(seed=s) for s in range(3)]
    networks = torch.stack([t[-1] for t in tracks])
    torch.testing.assert_close(draws_of("ensemble", tracks, draws=7).weights, networks, rtol=1e-13, atol=1e-13)
    means = torch.stack([t.mean(0) for t in tracks])
    torch.testing.assert_close(draws_of("multiswa", tracks).weights, means, rtol=1e-13, atol=1e-13)
    assert any("no ensemble" in sentence for sentence in draws_of("ensemble", tracks[:1]).info["said"])


def test_the_ellipse_on_a_plane_is_the_covariance_of_what_is_projected():
    w = walk(12)
    directions = torch.randn(2, 6, generator=generator(4), dtype=torch.float64)
    drawn = draws_of("swag", [w], draws=60_000)
    z = torch.linalg.lstsq(directions.T, (drawn.weights - w.mean(0)).T).solution
    expected = moments(w).ellipse(directions)
    torch.testing.assert_close(z.cov(), expected, rtol=0.05, atol=0.02 * float(expected.abs().max()))


def test_batchnorm_statistics_are_those_of_each_draw():
    """Weights behind a BatchNorm layer scaled: the statistics of the mean network would give other predictions."""
    module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    net = Net(module)
    x = torch.randn(64, 2, generator=generator())
    task = Task(net, {"train": (x, torch.zeros(64, dtype=torch.long)), "test": (x, torch.zeros(64, dtype=torch.long))},
                Categorical(), 0.0, (x,))
    start = torch.randn(net.size, generator=generator(2))
    found = draws_of("swag", [start + 0.3 * torch.randn(6, net.size, generator=generator(3))], draws=4)
    w = found.weights.float()
    each = torch.stack([net(v, x, net.estimate_batchnorm(v, [x])).double().softmax(-1) for v in w])
    np.testing.assert_allclose(average(task, found.weights).probabilities, each.mean(0), rtol=1e-6)
    kept = net.estimate_batchnorm(w.mean(0), [x])
    stale = torch.stack([net(v, x, kept).double().softmax(-1) for v in w]).mean(0)
    assert float((each.mean(0) - stale).abs().max()) > 0.01


def test_draws_are_watched_as_they_come_and_can_be_stopped():
    seen = []
    found = method.infer("multiswag", Given(trajectories=(walk(), walk(seed=2))), generator=generator(), draws=1500,
                         watch=lambda done, total, new: seen.append((done, total, new)))
    assert seen[-1][:2] == (3000, 3000)
    torch.testing.assert_close(torch.cat([new[0] for _, _, new in seen]), found.flat)

    def stop(done, total, new):
        raise Diverged("enough")

    with pytest.raises(Diverged, match="enough"):
        method.infer("swag", Given(trajectories=(walk(),)), generator=generator(), watch=stop)


@pytest.mark.parametrize(("options", "message"), [
    ({"scale": -1.0}, "from 0"), ({"scale": float("nan")}, "from 0"), ({"rank": 1}, "at least 2 columns"),
    ({"rank": -2}, "at least 2 columns"), ({"deviations": "finale"}, "Did you mean 'final'"), ({"draws": 0}, "at least")])
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        draws_of("swag", [walk()], **options)


def test_trajectories_that_cannot_be_used_are_refused():
    with pytest.raises(BadInput, match="at least 2 snapshots"):
        draws_of("swag", [walk(1)])
    broken = walk()
    broken[3, 2] = torch.inf
    with pytest.raises(BadInput, match="number 4 of 8"):
        draws_of("swag", [broken])
    with pytest.raises(BadInput, match="Member number 2 of 2"):
        method.infer("ensemble", Given(networks=torch.stack([walk()[0], broken[3]])), generator=generator())
    with pytest.raises(BadInput, match="6 and 7 parameters"):
        method.infer("multiswag", Given(trajectories=(walk(), walk(size=7))), generator=generator())
    for name in ("swag", "multiswag", "multiswa"):
        with pytest.raises(BadInput, match="needs the snapshots of a training"):
            method.infer(name, Given(), generator=generator())


def test_what_is_said_names_the_convention_and_the_divisor():
    said = " ".join(draws_of("swag", [walk(5)], draws=2).info["said"])
    assert "final mean, divided by 4" in said
    assert catalog.METHODS["swag_diagonal"].defaults["scale"] == 1.0  # the paper's: the whole diagonal
    assert swag.DEVIATIONS == settings_posterior.CONVENTIONS
