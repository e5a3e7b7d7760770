"""Predictive distributions of numbers: scores equal integrals, honest ones cover, the constant-variance trap."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from landscape.errors import BadInput
from landscape.uncertainty import regression


def heteroscedastic(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    sd = generator.uniform(0.2, 2, n)
    mean = generator.standard_normal(n)
    return mean, sd, mean + sd * generator.standard_normal(n)


def test_scores_of_a_normal_equal_integrals():
    mean, sd, truth = heteroscedastic(5)
    found = regression.normal(mean, sd, truth)
    for i in range(5):
        below = quad(lambda x, i=i: norm.cdf(x, mean[i], sd[i]) ** 2, -30, truth[i], limit=200)[0]
        above = quad(lambda x, i=i: norm.sf(x, mean[i], sd[i]) ** 2, truth[i], 30, limit=200)[0]
        assert found.crps[i] == pytest.approx(below + above, abs=1e-6)
    assert found.nll == pytest.approx(-norm.logpdf(truth, mean, sd), abs=1e-12)


def test_scores_of_a_mixture_equal_integrals():
    means, sds, truth = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]), np.array([0.7])
    found = regression.mixture(means, sds, truth)
    assert (found.mean[0], found.sd[0] ** 2) == pytest.approx((1, 2))  # exact answer: N(0, 1) and N(2, 1)

    def cdf(x):
        return norm.cdf(x, means[:, 0], sds[:, 0]).mean()

    whole = quad(lambda x: cdf(x) ** 2, -20, 0.7)[0] + quad(lambda x: (1 - cdf(x)) ** 2, 0.7, 20)[0]
    assert found.crps[0] == pytest.approx(whole, abs=1e-7)
    assert found.cdf[0] == pytest.approx(cdf(0.7))
    assert found.nll[0] == pytest.approx(-np.log(norm.pdf(0.7, means[:, 0], sds[:, 0]).mean()))
    mean, sd, truth = heteroscedastic(20)
    same = regression.mixture(np.stack([mean] * 3), np.stack([sd] * 3), truth)
    assert same.crps == pytest.approx(regression.normal(mean, sd, truth).crps)


def test_an_honest_forecast_covers_at_every_level():
    found = regression.normal(*heteroscedastic())
    assert np.abs(regression.coverage(found.cdf) - regression.LEVELS).max() < 0.025
    counts, low, high = regression.pit_histogram(found.cdf)
    assert counts.sum() == 4000
    assert ((counts >= low) & (counts <= high)).mean() >= 0.8
    assert regression.quantile_error(found.cdf) < 0.015
    assert regression.pit_histogram(np.array([0.0, 0.1, 1.0]))[0].sum() == 3


def test_quantile_error_is_exact():
    assert regression.quantile_error(np.array([0.5])) == pytest.approx(0.25)
    assert regression.quantile_error(np.array([0.0])) == pytest.approx(0.5)
    u = np.random.default_rng(0).random(7)
    x = (np.arange(400_000) + 0.5) / 400_000
    height = np.searchsorted(np.sort(u), x, side="right") / 7
    assert regression.quantile_error(u) == pytest.approx(np.abs(height - x).mean(), abs=1e-5)


def test_a_constant_variance_passes_the_quantile_plot_and_fails_the_binned_one():
    """The predictor knows the distribution of all errors and nothing of any single one."""
    mean, sd, truth = heteroscedastic(20_000)
    everyone = np.quantile(truth - mean, (np.arange(999) + 0.5) / 999)
    pit = (np.searchsorted(everyone, truth - mean) + 0.5) / 1000
    assert regression.quantile_error(pit) < 0.01
    constant = np.full_like(sd, (truth - mean).std())
    told, hidden = regression.spread(mean, constant, truth), regression.spread(mean, constant, truth, by=sd)
    assert told.constant
    assert len(told.count) == 1
    assert hidden.encal > 0.3
    honest = regression.spread(mean, sd, truth)
    assert not honest.constant
    assert honest.encal < 0.06
    assert honest.count.sum() == 20_000


def test_scaling_is_fitted_on_validation_and_minimises_its_nll():
    mean, sd, truth = heteroscedastic()
    factor = regression.fit_scale(mean[:2000], 3 * sd[:2000], truth[:2000])
    assert factor == pytest.approx(1 / 3, rel=0.05)
    nll = [regression.normal(mean[:2000], 3 * sd[:2000] * factor * s, truth[:2000]).nll.mean() for s in (0.99, 1, 1.01)]
    assert nll[1] < min(nll[0], nll[2])


def test_isotonic_recalibration_and_empirical_errors():
    generator = np.random.default_rng(1)
    mean, sd = np.zeros(6000), np.ones(6000)
    truth = generator.exponential(size=6000) - 0.5  # neither the shape nor the place is right
    stated = regression.normal(mean, sd, truth).cdf
    learned = regression.fit_isotonic(stated[:3000])
    assert regression.quantile_error(learned(stated[3000:])) < 0.2 * regression.quantile_error(stated[3000:])
    assert (np.diff(learned(np.linspace(0, 1, 500))) >= 0).all()
    levels = np.array([0.05, 0.5, 0.95])
    assert (stated[3000:] <= learned.level(levels)[:, None]).mean(1) == pytest.approx(levels, abs=0.03)
    found = regression.empirical_quantiles(mean[:3000], sd[:3000], truth[:3000], mean[3000:], sd[3000:], levels)
    assert (truth[3000:] <= found).mean(1) == pytest.approx(levels, abs=0.03)


@pytest.mark.parametrize(("mean", "sd", "truth", "words"), [
    ([0.0], [0.0], [1.0], "above 0"),
    ([0.0, 1.0], [1.0, 1.0], [1.0], "one shape"),
    ([np.nan], [1.0], [1.0], "finite"),
    ([], [], [], "n > 0"),
])
def test_refused(mean, sd, truth, words):
    with pytest.raises(BadInput, match=words):
        regression.normal(np.array(mean), np.array(sd), np.array(truth))
