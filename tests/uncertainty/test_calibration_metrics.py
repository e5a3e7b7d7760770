"""Metrics and calibration errors: equal to direct computation and to scikit-learn; what a calibrated predictor shows."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from landscape.errors import BadInput
from landscape.uncertainty import calibration_errors, kernel, metrics
from landscape.uncertainty.binning import binned
from landscape.uncertainty.decomposition import brier_parts


def predicted(n: int = 500, classes: int = 6, seed: int = 0, sharper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels drawn from them; ``sharper`` than 1 afterwards: too sure."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((n, classes))
    labels = (softmax(logits, 1).cumsum(1) < generator.random((n, 1))).sum(1).clip(0, classes - 1)
    return softmax(sharper * logits, 1), labels


def sure_and_right(n: int, generator: np.random.Generator, off: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of a sure predictor, right exactly as often as said (less ``off``)."""
    confidence = 1 - 0.5 * generator.random(n) ** 6
    return confidence, generator.random(n) < confidence - off


def direct_ece(probabilities, labels, bins):
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [(max(p), p.argmax() == y) for p, y in zip(probabilities, labels, strict=True)
                  if (low < max(p) or b == 0) and max(p) <= high]
        if inside:
            total += len(inside) * abs(np.mean([c for c, _ in inside]) - np.mean([r for _, r in inside]))
    return total / len(labels)


def test_nll_brier_and_accuracy_are_means_per_example_as_in_scikit_learn():
    p, y = predicted()
    assert metrics.nll(p, y) == pytest.approx(log_loss(y, p), abs=1e-12)
    assert metrics.nll(p, y) == pytest.approx(np.mean([-np.log(row[k]) for row, k in zip(p, y, strict=True)]), abs=1e-12)
    assert metrics.brier(p, y) == pytest.approx(brier_score_loss(y, p, scale_by_half=False), abs=1e-12)
    assert metrics.accuracy(p, y) == pytest.approx((p.argmax(1) == y).mean())
    doubled = np.concatenate([p, p]), np.concatenate([y, y])
    for metric in (metrics.nll, metrics.brier, metrics.accuracy, metrics.ece):
        assert metric(*doubled) == pytest.approx(metric(p, y), abs=1e-12)


@pytest.mark.parametrize("bins", [1, 10, 15, 100])
def test_ece_equals_a_loop_over_bins(bins):
    p, y = predicted(sharper=2.0)
    assert metrics.ece(p, y, bins) == pytest.approx(direct_ece(p, y, bins), abs=1e-12)


def test_margin_four_and_eighty_percent_right():
    """Exact answer: two classes, every logit margin 4, 80% right."""
    p = softmax(np.tile([4.0, 0.0], (1000, 1)), 1)
    y = np.r_[np.zeros(800, int), np.ones(200, int)]
    assert metrics.ece(p, y) == pytest.approx(0.182014, abs=1e-6)
    assert metrics.nll(p, y) == pytest.approx(0.818150, abs=1e-6)
    assert calibration_errors.mce(p, y) == pytest.approx(0.182014, abs=1e-6)


def test_plain_ece_is_biased_at_few_examples_and_debiased_is_not():
    generator = np.random.default_rng(1)
    plain, fair, floor = [], [], []
    for _ in range(400):
        confidence, right = sure_and_right(200, generator)
        found = binned(confidence, right)
        plain.append(found.error)
        fair.append(calibration_errors.debiased_error(found, confidence, right))
        floor.append(calibration_errors.floor(confidence))
    assert np.mean(plain) > 0.02  # although nothing is wrong
    assert abs(np.mean(fair)) < 3.5 * np.std(fair) / 20
    assert np.mean(floor) == pytest.approx(np.mean(plain), abs=0.003)


def test_debiased_finds_a_real_error_and_does_not_exceed_it():
    generator = np.random.default_rng(2)
    confidence, right = sure_and_right(20_000, generator, off=0.1)
    found = binned(confidence, right)
    assert calibration_errors.debiased_error(found, confidence, right) == pytest.approx(0.1, abs=0.01)
    assert calibration_errors.debiased_error(found, confidence, right) <= found.error
    assert calibration_errors.debiased_error(binned(np.array([0.9]), np.array([0])), np.array([0.9]), np.array([0])) == 0


def test_kernel_error_converges_to_the_known_one():
    generator = np.random.default_rng(3)
    off = {}
    for n in (300, 30_000):
        confidence = 0.5 + 0.5 * generator.random(n)
        off[n] = abs(kernel.kde(confidence, generator.random(n) < confidence - 0.1).error - 0.1)
    assert off[30_000] < 0.01
    assert kernel.kde(np.ones(50), np.ones(50)).error == pytest.approx(0, abs=1e-12)
    assert np.isfinite(kernel.kde(np.array([0.7]), np.array([1])).error)


def test_classwise_errors_equal_a_loop():
    p, y = predicted(sharper=1.5)
    loop = np.mean([binned(p[:, c], y == c).error for c in range(p.shape[1])])
    assert calibration_errors.classwise(p, y) == pytest.approx(loop, abs=1e-12)
    loop = np.mean([binned(p[:, c], y == c, 15, "mass").error for c in range(p.shape[1])])
    assert calibration_errors.adaptive(p, y) == pytest.approx(loop, abs=1e-12)


def test_brier_parts_sum_to_the_score():
    p, y = predicted(sharper=1.7)
    parts = brier_parts(p, y)
    assert parts.total == pytest.approx(metrics.brier(p, y), abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
    one_value_a_bin = np.round(p[:, :1] * 5) / 5 * 0.9
    assert brier_parts(np.c_[one_value_a_bin, 1 - one_value_a_bin], np.minimum(y, 1)).within == pytest.approx(0, abs=1e-12)


def test_agreement_and_total_variation():
    p = np.array([[0.6, 0.4], [0.2, 0.8]])
    q = np.array([[0.4, 0.6], [0.2, 0.8]])
    assert metrics.agreement(p, q) == 0.5
    assert metrics.total_variation(p, q) == pytest.approx(0.1)
    with pytest.raises(BadInput, match="one shape"):
        metrics.agreement(p, q[:1])


def test_a_label_of_probability_zero_is_finite_and_counted():
    for dtype, worst in ((np.float32, 87.34), (np.float64, 708.4)):
        p = np.array([[1, 0], [1, 0]], dtype)
        assert metrics.nll(p, np.array([0, 1])) == pytest.approx(worst / 2, abs=0.01)
        assert metrics.impossible(p, np.array([0, 1])) == 1


@pytest.mark.parametrize(("p", "y", "words"), [
    ([[0.5, np.nan]], [0], "not finite"),
    ([[4.0, -3.0]], [0], "softmax"),
    ([[0.5, 0.5]], [2], "Count classes from 0"),
    ([[0.5, 0.5]], [[1, 0]], "one-hot"),
    ([[0.5, 0.5]], ["cat"], "class numbers"),
    ([0.5, 0.5], [0, 1], "both columns"),
])
def test_refused(p, y, words):
    with pytest.raises(BadInput, match=words):
        metrics.nll(np.array(p), np.array(y))
