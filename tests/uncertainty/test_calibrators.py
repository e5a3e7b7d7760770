"""Every calibrator is a valid probability map; temperature is exact and changes no prediction."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from landscape.errors import BadInput
from landscape.uncertainty import calibrators, metrics
from landscape.uncertainty.calibrators import CALIBRATORS, changed, fit, fit_density, fit_pooled, fit_temperature
from landscape.uncertainty.calibrators.calibrator import log_odds, nll_of


def too_sure(n: int = 600, classes: int = 5, seed: int = 0, by: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``by`` times too large, and labels."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.standard_normal((n, classes))
    labels = (softmax(logits, 1).cumsum(1) < generator.random((n, 1))).sum(1).clip(0, classes - 1)
    return by * logits, labels


HARD = {
    "as usual": too_sure(),
    "logits of 1e4": (1e4 * too_sure(seed=1)[0], too_sure(seed=1)[1]),
    "equal logits": (np.zeros((40, 3)), np.arange(40) % 3),
    "all right": (20 * np.eye(4)[np.arange(40) % 4], np.arange(40) % 4),
    "all wrong": (20 * np.eye(4)[np.arange(40) % 4], (np.arange(40) + 1) % 4),
    "a class never seen": (too_sure(classes=4, seed=2)[0], np.minimum(too_sure(classes=4, seed=2)[1], 2)),
    "two examples": (np.array([[1.0, 0.0], [0.5, 0.0]]), np.array([0, 1])),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", CALIBRATORS)
def test_every_calibrator_is_a_valid_probability_map(name, case):
    logits, labels = HARD[case]
    calibrator = fit(name, logits, labels)
    far = 1e4 * np.eye(logits.shape[1])
    others = np.concatenate([logits, np.zeros_like(logits[:1]), far, -far])
    p = calibrator(others)
    assert p.shape == others.shape
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    assert np.allclose(p.sum(1), 1, atol=1e-12)
    assert np.allclose(softmax(calibrator.logits(others), 1), p)
    if CALIBRATORS[name].keeps:
        assert changed(others, p) == 0


@pytest.mark.parametrize("name", ["temperature", "vector", "matrix"])
@pytest.mark.parametrize("case", HARD)
def test_validation_nll_never_rises(name, case):
    logits, labels = HARD[case]
    assert nll_of(fit(name, logits, labels).logits(logits), labels) <= nll_of(logits, labels) + 1e-12


def test_temperature_equals_a_minimiser_of_its_own_kind():
    logits, labels = too_sure(seed=3)
    found = fit_temperature(logits, labels).temperature
    expected = minimize_scalar(lambda t: nll_of(logits / np.exp(t), labels), bracket=(0, 1), tol=1e-12).x
    assert np.log(found) == pytest.approx(expected, abs=1e-6)
    step = 1e-5
    assert all(nll_of(logits / (found * np.exp(s)), labels) >= nll_of(logits / found, labels) for s in (-step, step))
    assert found == pytest.approx(2.5, rel=0.15)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_temperature_follows_the_scale_of_the_logits(scale):
    logits, labels = too_sure()
    assert fit_temperature(scale * logits, labels).temperature == pytest.approx(
        scale * fit_temperature(logits, labels).temperature, rel=1e-9)


def test_margin_four_and_eighty_percent_right():
    logits, labels = np.tile([4.0, 0.0], (1000, 1)), np.r_[np.zeros(800, int), np.ones(200, int)]
    calibrator = fit_temperature(logits, labels)
    assert calibrator.temperature == pytest.approx(2.885390, abs=1e-6)
    assert metrics.ece(calibrator(logits), labels) == pytest.approx(0, abs=1e-9)
    assert metrics.nll(calibrator(logits), labels) == pytest.approx(0.500402, abs=1e-6)


def test_a_temperature_without_end_is_said():
    for case, words in (("all right", "every validation example is right"), ("all wrong", "worse than equal"),
                        ("equal logits", "all logits are equal")):
        assert words in fit_temperature(*HARD[case]).said[0].lower()
    assert not fit_temperature(*HARD["as usual"]).said


@pytest.mark.parametrize("name", CALIBRATORS)
def test_calibrators_help_a_predictor_that_is_too_sure(name):
    logits, labels = too_sure(4000, seed=4)
    calibrator = fit(name, logits[:2000], labels[:2000])
    before, after = softmax(logits[2000:], 1), calibrator(logits[2000:])
    assert metrics.ece(after, labels[2000:]) < 0.4 * metrics.ece(before, labels[2000:])
    assert metrics.nll(after, labels[2000:]) < metrics.nll(before, labels[2000:])


def test_matrix_without_regularisation_is_a_logistic_regression():
    logits, labels = too_sure(3000, classes=3, seed=5)
    free = LogisticRegression(C=1e6, max_iter=5000, tol=1e-10).fit(logits, labels)
    ours = fit("matrix", logits, labels, off_diagonal=0.0)
    assert nll_of(ours.logits(logits), labels) == pytest.approx(-free.predict_log_proba(logits)[
        np.arange(len(labels)), labels].mean(), abs=2e-4)
    strong = fit("matrix", logits, labels, off_diagonal=1e4)
    assert np.abs(strong.matrix - np.diag(np.diag(strong.matrix))).max() < 1e-4


def test_platt_of_two_classes_recovers_the_logistic_curve():
    generator = np.random.default_rng(6)
    z = 3 * generator.standard_normal(20_000)
    labels = (generator.random(20_000) < 1 / (1 + np.exp(-(0.5 * z + 0.3)))).astype(int)
    slope, shift = fit("platt", np.c_[np.zeros_like(z), z], labels).weights[1]
    assert slope == pytest.approx(0.5, abs=0.03)
    assert shift == pytest.approx(0.3, abs=0.06)


def test_isotonic_curves_grow_and_histogram_counts():
    logits, labels = too_sure(seed=7)
    assert all((np.diff(y) >= 0).all() and (np.diff(x) > 0).all() for x, y in
               zip(*(getattr(fit("isotonic", logits, labels), part) for part in ("edges", "values")), strict=True))
    two = np.c_[np.zeros(100), np.r_[np.full(50, -1.0), np.full(50, 1.0)]]
    labels = np.r_[np.zeros(40, int), np.ones(10, int), np.zeros(5, int), np.ones(45, int)]
    found = fit("histogram", two, labels, bins=2)(two)
    assert found[[0, -1], 1] == pytest.approx([10.5 / 51, 45.5 / 51], abs=1e-12)


def test_pooled_temperature_of_an_ensemble():
    generator = np.random.default_rng(8)
    truth, labels = too_sure(1500, by=1.0, seed=8)
    members = truth + generator.standard_normal((4, *truth.shape))
    pool = np.exp(log_softmax(members, 2)).mean(0)
    for where in ("before", "after"):
        pooled = fit_pooled(members, labels, where)
        p = pooled.members(members)
        assert metrics.nll(p, labels) <= metrics.nll(pool, labels) + 1e-12
        assert np.allclose(p.sum(1), 1)
    assert changed(pool, fit_pooled(members, labels, "after").members(members)) == 0
    one = fit_pooled(members[:1], labels, "before").temperature
    assert one == pytest.approx(fit_temperature(members[0], labels).temperature, rel=1e-5)


def test_density_aware_scaling_is_less_sure_far_away_and_keeps_predictions():
    near, near_labels = too_sure(1500, by=1.0, seed=9)
    far, far_labels = too_sure(1500, by=5.0, seed=10)
    logits, labels = np.concatenate([near, far]), np.concatenate([near_labels, far_labels])
    distances = np.r_[np.full(1500, 1.0), np.full(1500, 5.0)]
    calibrator = fit_density(logits, labels, distances)
    assert calibrator.temperatures(np.array([1.0, 5.0])) == pytest.approx([1, 5], rel=0.15)
    p = calibrator.at(logits, distances)
    assert changed(logits, p) == 0
    assert metrics.nll(p, labels) < metrics.nll(fit_temperature(logits, labels)(logits), labels) - 0.01
    train = np.random.default_rng(0).standard_normal((50, 3))
    assert calibrators.nearest_distances(train, train, 1) == pytest.approx(np.zeros(50), abs=1e-9)


def test_log_odds_are_exact_where_a_class_is_nearly_certain():
    log_p, log_q = log_odds(np.array([[60.0, 0.0, 0.0]]))
    assert log_q[0, 0] == pytest.approx(np.log(2) - 60, abs=1e-9)
    assert log_p[0, 0] == pytest.approx(-2 * np.exp(-60), abs=1e-20)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_one_class_cannot_be_fitted(name):
    with pytest.raises(BadInput, match="at least two classes"):
        fit(name, np.random.default_rng(0).standard_normal((20, 3)), np.ones(20, int))
    with pytest.raises(BadInput, match="at least two classes"):
        fit(name, np.array([[1.0, 2.0]]), np.array([1]))


def test_refused():
    logits, labels = too_sure()
    with pytest.raises(BadInput, match=r"no calibrator 'temprature'.*'temperature'"):
        fit("temprature", logits, labels)
    with pytest.raises(BadInput, match="5 classes this was fitted on, found 2"):
        fit_temperature(logits, labels)(np.zeros((3, 2)))
    with pytest.raises(BadInput, match="finite"):
        fit_temperature(np.where(logits > 1, np.inf, logits), labels)
    with pytest.raises(BadInput, match="members, examples, classes"):
        fit_pooled(logits, labels)
