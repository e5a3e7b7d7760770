"""Conformal sets and intervals hold the truth as often as promised."""

import numpy as np
import pytest
from scipy.special import softmax

from landscape.errors import BadInput
from landscape.uncertainty import conformal


def badly_calibrated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((n, 6))
    labels = (softmax(logits, 1).cumsum(1) < generator.random((n, 1))).sum(1).clip(0, 5)
    return softmax(4 * logits, 1), labels


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("score", conformal.SCORES)
def test_sets_cover_at_or_above_nominal_over_200_splits(score, alpha):
    """Fresh data for every split, so the mean is that of the promise and its error is known."""
    coverage = []
    for s in range(200):
        p, y = badly_calibrated(240, s)
        inside = conformal.sets(p[:80], y[:80], p[80:], alpha, score, np.random.default_rng(s))
        coverage.append(inside[np.arange(160), y[80:]].mean())
    assert np.mean(coverage) >= 1 - alpha - 2.5 * np.std(coverage) / np.sqrt(200)
    assert np.mean(coverage) <= 1 - alpha + 0.03


@pytest.mark.parametrize("score", conformal.SCORES)
def test_repeated_splits_of_one_set(score):
    found = conformal.repeated_sets(*badly_calibrated(400, 0), alpha=0.1, score=score)
    assert len(found.coverage) == 200
    assert found.mean >= 0.9 - 2.5 * found.coverage.std() / np.sqrt(200)
    assert 1 <= found.size.mean() <= 6


def test_intervals_cover_and_follow_the_stated_spread():
    generator = np.random.default_rng(0)
    sd = generator.uniform(0.2, 2, 600)
    mean, truth = np.zeros(600), 3 * sd * generator.standard_normal(600)
    for stated in (sd, None):
        found = conformal.repeated_intervals(mean, truth, stated, 0.1)
        assert found.mean >= 0.9 - 2.5 * found.coverage.std() / np.sqrt(200)
    low, high = conformal.intervals(mean[:300], truth[:300], mean[300:], 0.1, sd[:300], sd[300:])
    assert np.ptp((high - low) / sd[300:]) < 1e-9
    low, high = conformal.intervals(mean[:300], truth[:300], mean[300:], 0.1)
    assert np.ptp(high - low) < 1e-9


def test_the_quantile_is_the_one_of_rank_n_plus_one():
    scores = np.arange(1.0, 10.0)  # nine scores: the ninth for 90%
    assert conformal.quantile(scores, 0.1) == 9
    assert conformal.quantile(scores, 0.5) == 5
    assert conformal.quantile(scores, 0.05) == np.inf
    p, y = badly_calibrated(5, 0)
    assert conformal.sets(p, y, p, 0.01).all()


def test_cumulative_sets_hold_the_most_probable_classes():
    p = np.array([[0.5, 0.3, 0.2]])
    assert conformal.class_scores(p, "cumulative")[0] == pytest.approx([0.5, 0.8, 1.0])


def test_refused():
    with pytest.raises(BadInput, match="between 0 and 1"):
        conformal.quantile(np.ones(3), 1.0)
    with pytest.raises(BadInput, match="calibration scores"):
        conformal.quantile(np.array([]), 0.1)
    with pytest.raises(BadInput, match="found one of them"):
        conformal.intervals(np.zeros(3), np.zeros(3), np.zeros(3), 0.1, sd=np.ones(3))
