"""The whole account: its numbers are those of the single metrics, its intervals hold, odd inputs are finite or flagged."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from landscape import ROOT
from landscape.errors import BadInput
from landscape.uncertainty import calibration_errors, kernel, metrics
from landscape.uncertainty.account import METRICS, account
from landscape.uncertainty.entry import predictions
from landscape.uncertainty.ranks import rank_correlation
from landscape.uncertainty.resampling import Resampler
from landscape.uncertainty.summary import summary


def sampled(n: int, classes: int = 10, seed: int = 0, by: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((n, classes))
    labels = (softmax(logits, 1).cumsum(1) < generator.random((n, 1))).sum(1).clip(0, classes - 1)
    return by * logits, labels


def test_numbers_are_those_of_the_single_metrics():
    logits, y = sampled(700, by=1.8)
    p = softmax(logits, 1)
    single = {"accuracy": metrics.accuracy, "nll": metrics.nll, "brier": metrics.brier, "ece": metrics.ece,
              "ece_mass": calibration_errors.ece_mass, "ece_debiased": calibration_errors.debiased,
              "ece_classwise": calibration_errors.classwise, "ece_adaptive": calibration_errors.adaptive,
              "mce": calibration_errors.mce, "ece_kde": lambda p, y: kernel.kde(*calibration_errors.top(p, y)).error,
              "error": lambda p, y: 1 - metrics.accuracy(p, y)}
    assert single.keys() == METRICS.keys()
    for given in (predictions(logits, y, "logits"), predictions(p, y)):
        found = account(given, draws=50)
        for name, metric in single.items():
            assert found.metrics[name].value == pytest.approx(metric(p, y), abs=1e-10), name
        assert found.brier_parts.total == pytest.approx(found.metrics["brier"].value, abs=1e-10)
        assert found.width.count.sum() == found.mass.count.sum() == 700


def test_no_interval_passes_what_its_metric_can_be():
    """One example wrong at full confidence makes the largest error 1 in most draws, and shifted draws would pass it."""
    labels = np.arange(40) % 2
    given = np.where(labels[:, None] == np.arange(2), 0.9, 0.1)
    given[0] = given[0, ::-1] * 0 + [1e-9, 1 - 1e-9]
    found = account(predictions(given, labels, "probabilities")).metrics
    assert found["mce"].value > 0.99
    assert all(one.high <= 1 for name, one in found.items() if name.startswith("ece") or name == "mce")
    assert all(one.low >= 0 for name, one in found.items() if name != "ece_debiased")


def test_intervals_hold_their_value_and_the_truth():
    """Over fresh sets the 95% intervals of means hold the true value in about 95% of the cases."""
    truth = metrics.nll(softmax(sampled(200_000, seed=99)[0], 1), sampled(200_000, seed=99)[1])
    held = 0
    for seed in range(100):
        found = account(predictions(*sampled(300, seed=seed), "logits"), draws=200, class_wise=False).metrics
        assert all(each.low <= each.value <= each.high for name, each in found.items() if name != "mce"), found
        held += found["nll"].low <= truth <= found["nll"].high
    assert 86 <= held <= 100


def test_the_bootstrap_is_that_of_a_loop():
    p, y = softmax(sampled(80)[0], 1), sampled(80)[1]
    sample = Resampler.of(80, 40, np.random.default_rng(0))
    value = metrics.nll_each(p, y)
    for draw in range(40):
        chosen = np.repeat(np.arange(80), sample.weights[:, draw].astype(int))
        assert len(chosen) == 80
        assert sample.totals([value])[0, draw] / 80 == pytest.approx(value[chosen].mean(), rel=1e-5)
        expected = np.bincount(y[chosen], value[chosen], 10)
        assert sample.binned(y, value, 10)[:, draw] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_groups_give_the_same_standard_error():
    value = np.random.default_rng(0).standard_normal(20_000)
    sample = Resampler.of(20_000, 1000, np.random.default_rng(1), most=1000)
    assert (sample.totals([value])[0] / sample.sizes).std() == pytest.approx(1 / np.sqrt(20_000), rel=0.1)


def test_one_seed_gives_one_account():
    given = predictions(*sampled(200), "logits")
    assert account(given, draws=30, seed=5).metrics == account(given, draws=30, seed=5).metrics
    assert account(given, draws=30, seed=5).metrics["nll"] != account(given, draws=30, seed=6).metrics["nll"]


ODD = {
    "logits of 1e4": (1e4 * sampled(50)[0], sampled(50)[1], "logits"),
    "equal logits": (np.zeros((50, 4)), np.arange(50) % 4, "logits"),
    "one class": (np.ones((50, 1)), np.zeros(50, int), "probabilities"),
    "one sample": (np.array([[2.0, 1.0]]), np.array([0]), "logits"),
    "zero-probability labels": (np.eye(3)[np.arange(30) % 3], (np.arange(30) // 2) % 3, "probabilities"),
    "confidence exactly one, all right": (np.eye(3)[np.arange(30) % 3], np.arange(30) % 3, "probabilities"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_inputs_are_finite_or_flagged(case):
    outputs, labels, kind = ODD[case]
    found = account(predictions(outputs, labels, kind), draws=50)
    for name, each in found.metrics.items():
        assert np.isfinite([each.value, each.low, each.high, each.sd]).all(), name
    words = {"equal logits": "shared by several classes", "one class": "one class only", "one sample": "Only 1 example:",
             "zero-probability labels": "probability zero: the true NLL is infinite"}
    assert words.get(case, "") in " ".join(found.said)
    assert json.dumps(summary(predictions(outputs, labels, kind), draws=20), allow_nan=False)


def test_the_machine_readable_result():
    logits, y = sampled(2000, by=2.5)
    found = summary(predictions(logits, y, "logits"), draws=50)
    keys = ["n", "error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce"]
    assert list(found)[:11] == [*keys, "temperature", "after", "changed_predictions"]
    assert list(found["after"]) == keys
    assert found["changed_predictions"] == 0
    assert found["temperature"] == pytest.approx(2.5, rel=0.1)
    assert found["after"]["nll"] < found["nll"]
    assert found["after"]["ece15"] < 0.3 * found["ece15"]
    assert found["after"]["error"] == found["error"]
    assert "half" in " ".join(found["said"])
    as_probabilities = summary(predictions(softmax(logits, 1), y), draws=50)
    assert as_probabilities["after"]["nll"] == pytest.approx(found["after"]["nll"], abs=1e-9)


def test_a_temperature_comes_from_validation_where_there_is_one():
    logits, y = sampled(3000, by=2.5)
    test, validation = predictions(logits[:2000], y[:2000], "logits"), predictions(0.5 * logits[2000:], y[2000:], "logits")
    assert summary(test, validation, draws=20)["temperature"] == pytest.approx(1.25, rel=0.1)
    with pytest.raises(BadInput, match="at least 2 bootstrap draws"):
        summary(test, draws=1)
    one_class = summary(predictions(logits[:40], np.zeros(40, int), "logits"), draws=20)
    assert one_class["after"] is None
    assert "at least two classes" in " ".join(one_class["said"])


def test_single_precision_is_the_same_account():
    logits, y = sampled(500, by=2)
    wide, narrow = (account(predictions(logits.astype(t), y, "logits"), draws=20).values() for t in (np.float64, np.float32))
    assert narrow == pytest.approx(wide, abs=1e-5)


def test_rank_correlation_of_metrics_over_runs():
    names, found = rank_correlation({"a": [1, 2, 3, 4], "b": [10, 20, 30, 1000], "c": [4, 3, 2, np.nan], "d": [1, 1, 1, 1]})
    assert names == ["a", "b", "c", "d"]
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(-1)
    assert np.isnan(found[0, 3])
    with pytest.raises(BadInput, match="every run"):
        rank_correlation({"a": [1, 2], "b": [1]})


def test_the_room_needs_no_torch_and_imports_nothing_slow():
    code = ("import pkgutil, importlib, sys, landscape.uncertainty as room;"
            "[importlib.import_module(m.name) for m in pkgutil.walk_packages(room.__path__, room.__name__ + '.')];"
            "print([m for m in ('torch', 'streamlit', 'sklearn', 'scipy.stats', 'pandas') if m in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_ten_thousand_predictions_with_a_thousand_draws_take_less_than_two_seconds():
    given = predictions(log_softmax(sampled(10_000)[0], 1), sampled(10_000)[1], "logits")
    seconds = []
    for _ in range(2):
        start = time.process_time()  # of all threads together
        account(given, draws=1000)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2
