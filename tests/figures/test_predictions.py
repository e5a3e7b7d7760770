"""Numbers of predictions: every example counted once, calibration with known answers."""

import numpy as np
import pytest
from seen import classifier, line, moons
from seen import pictures as examples_of

from landscape.errors import BadInput
from landscape.figures import predictions as P


def certain(confidence, targets, classes=2):
    """A classifier that always says class 0, with these confidences."""
    p = np.full((len(targets), classes), 0.0)
    p[:, 0] = confidence
    p[:, 1:] = ((1 - np.asarray(confidence)) / (classes - 1))[:, None]
    return classifier(p, np.asarray(targets))


def test_every_example_is_in_exactly_one_bin_also_a_saturated_one():
    confidence = np.array([0.5, 0.6, 2 / 3, 0.8, 0.9999999, 1.0, 1.0, 1.0])
    found = P.binned(certain(confidence, np.zeros(8, int)))
    assert found.count.sum() == 8
    assert found.count[-1] == 4, "confidence 1 belongs to the last bin"
    assert found.count[P.BINS * 3 // 5] == 1, "a confidence on an edge belongs to the bin above it"
    assert np.isnan(found.accuracy[0])


@pytest.mark.parametrize("n", [1, 7, 200])
def test_bin_counts_sum_to_n_whatever_the_confidences(n):
    p = np.random.default_rng(n).dirichlet([0.05] * 3, n).astype(np.float32)
    p[0] = [1, 0, 0]
    found = P.binned(classifier(p.astype(float), np.zeros(n, int)), bins=15)
    assert found.count.sum() == n
    assert 0 <= found.error <= 1


def test_the_calibration_error_of_two_known_bins():
    # 80 examples at 0.9 of which 60 are right, 20 at 0.7 all right: (80 |.75 - .9| + 20 |1 - .7|) / 100
    seen = certain([0.9] * 80 + [0.7] * 20, [0] * 60 + [1] * 20 + [0] * 20)
    assert P.binned(seen).error == pytest.approx(0.18)


def test_chance_is_what_a_calibrated_network_shows():
    """The closed form against networks that are calibrated by construction."""
    random = np.random.default_rng(0)
    errors, chances = [], []
    for _ in range(200):
        sure = random.uniform(0.5, 1, 400)
        found = P.binned(certain(sure, (random.uniform(size=400) > sure).astype(int)))
        errors.append(found.error)
        chances.append(found.chance)
    assert np.mean(chances) == pytest.approx(np.mean(errors), rel=0.1)


def test_words_tell_over_from_under_confident():
    over, under = certain([0.95] * 100, [0] * 60 + [1] * 40), certain([0.55] * 100, [0] * 95 + [1] * 5)
    assert "overconfident by 35.0%" in P.calibration_in_words(over)
    assert "underconfident by 40.0%" in P.calibration_in_words(under)
    assert "as well calibrated as can be told" in P.calibration_in_words(certain([0.75] * 100, [0] * 75 + [1] * 25))


def test_agreement_and_where_two_networks_differ():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5001, 0.4999]])
    q = np.array([[0.8, 0.2], [0.3, 0.7], [0.9, 0.1], [0.4, 0.6]])
    a, b = classifier(p, np.array([0, 0, 1, 1])), classifier(q, np.array([0, 0, 1, 1]))
    assert P.agreement(a, b) == 0.25
    assert list(P.differing(a, b)) == [2, 1, 3], "the most different first"
    assert P.agreement(a, a) == 1.0
    assert not len(P.differing(a, a))


def test_networks_of_other_data_are_not_compared():
    with pytest.raises(BadInput, match="same test examples"):
        P.agreement(moons(), examples_of("digits"))


def test_a_regression_has_no_confidence():
    with pytest.raises(BadInput, match="classification"):
        P.binned(line())


def test_the_nll_of_a_certain_mistake_is_finite():
    found = P.nll(certain([1.0], [1]))
    assert np.isfinite(found).all()
    assert found[0] > 80
