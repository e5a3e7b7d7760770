"""The ladder of corruptions, and telling unknown inputs from known ones."""

import numpy as np
import pytest
from scipy.ndimage import rotate
from sklearn.metrics import roc_auc_score

from landscape.errors import BadInput
from landscape.uncertainty import detection, shift

IMAGES = np.random.default_rng(0).standard_normal((6, 3, 12, 12)).cumsum(2).cumsum(3).astype(np.float32)
SIGNALS = np.random.default_rng(1).standard_normal((6, 40)).cumsum(1).astype(np.float32)
TABLE = np.random.default_rng(2).standard_normal((6, 2)).astype(np.float32)
INPUTS = {"image": IMAGES, "signal": SIGNALS, "table": TABLE}
CASES = [(kind, name) for kind in INPUTS for name in shift.names_for(kind)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_corruption_is_a_ladder(kind, name):
    x = INPUTS[kind]
    assert shift.kind_of(x.shape) == kind
    steps = [shift.corrupt(x, name, severity, seed=3) for severity in shift.SEVERITIES]
    assert (steps[0] == x).all()
    assert all(step.shape == x.shape and step.dtype == x.dtype and np.isfinite(step).all() for step in steps)
    away = [np.abs(step - x).mean() for step in steps]
    assert (np.diff(away) > 0).all(), away
    assert (steps[3] == shift.corrupt(x, name, 3, seed=3)).all()
    assert steps[0] is not x


@pytest.mark.parametrize("name", ["noise", "shift", "rotation"])
def test_another_seed_is_another_corruption(name):
    assert (shift.corrupt(IMAGES, name, 3, seed=0) != shift.corrupt(IMAGES, name, 3, seed=1)).any()


def test_grey_images_and_images_without_channels_are_the_same():
    for name in ("blur", "shift", "rotation", "contrast"):
        assert (shift.corrupt(IMAGES[:, 0], name, 2) == shift.corrupt(IMAGES[:, :1], name, 2)[:, 0]).all()


def test_images_are_moved_and_turned_as_said():
    image = np.zeros((1, 1, 9, 9))
    image[0, 0, 4, 4] = 1
    zero = np.zeros(1)
    assert shift._sampled(image, zero + 2, zero - 1, zero)[0, 0, 6, 3] == pytest.approx(1)
    assert (shift._sampled(IMAGES, np.zeros(6), np.zeros(6), np.zeros(6)) == IMAGES).all()
    turned = shift._sampled(IMAGES, np.zeros(6), np.zeros(6), np.full(6, np.pi / 2))
    assert np.allclose(turned[0, 0], np.rot90(IMAGES[0, 0]), atol=1e-5) or np.allclose(
        turned[0, 0], np.rot90(IMAGES[0, 0], -1), atol=1e-5)
    angle = 27.0
    found = shift._sampled(IMAGES[:1], zero, zero, zero + np.deg2rad(angle))[0, 0]
    expected = [rotate(IMAGES[0, 0].astype(float), s * angle, reshape=False, order=1, mode="nearest") for s in (-1, 1)]
    assert min(np.abs(found - each)[3:9, 3:9].max() for each in expected) < 1e-4


def test_refused_corruptions():
    with pytest.raises(BadInput, match=r"no corruption 'blurr'.*'blur'"):
        shift.corrupt(IMAGES, "blurr", 1)
    with pytest.raises(BadInput, match=r"severity of 0 ... 5, found 6"):
        shift.corrupt(IMAGES, "blur", 6)
    with pytest.raises(BadInput, match="Choose one of: noise, contrast"):
        shift.corrupt(TABLE, "rotation", 1)
    with pytest.raises(BadInput, match="floating-point"):
        shift.corrupt(np.zeros((2, 8, 8), np.uint8), "noise", 1)


def test_auroc_equals_scikit_learn_also_with_ties():
    generator = np.random.default_rng(0)
    known, unknown = generator.integers(0, 9, 300), generator.integers(2, 12, 200)
    expected = roc_auc_score(np.r_[np.zeros(300), np.ones(200)], np.r_[known, unknown])
    assert detection.auroc(known, unknown) == pytest.approx(expected, abs=1e-12)
    assert detection.auroc(known, known) == pytest.approx(0.5)
    assert detection.auroc([0, 1], [2, 3]) == 1


def test_detected_histograms_share_their_edges():
    found = detection.detected(np.linspace(0, 1, 100), np.linspace(0.5, 2, 80))
    assert found.known.sum() == pytest.approx(1)
    assert found.unknown.sum() == pytest.approx(1)
    assert found.missed == pytest.approx(24 / 80, abs=0.02)
    assert detection.detected(np.ones(3), np.ones(4)).auroc == 0.5


def test_entropy_and_disagreement():
    assert detection.entropy(np.array([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx([0, np.log(2)])
    assert detection.doubt(np.array([[0.8, 0.2]])) == pytest.approx([0.2])
    agreeing = np.tile(np.array([[0.3, 0.7]]), (4, 1, 1))
    assert detection.disagreement(agreeing) == pytest.approx([0], abs=1e-12)
    assert detection.disagreement(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])) == pytest.approx([np.log(2)])


def test_far_from_the_data():
    low, high = detection.box(TABLE, times=10)
    assert (high - low) == pytest.approx(np.full(2, 10 * np.ptp(TABLE, axis=0).max()), rel=1e-6)
    points = detection.rays(TABLE, np.array([0.0, 1.0, 100.0]), directions=8)
    assert points.shape == (8, 3, 2)
    assert np.allclose(points[:, 0], TABLE.mean(0), atol=1e-6)
    reach = np.linalg.norm(TABLE - TABLE.mean(0), axis=1).max()
    assert np.linalg.norm(points[:, 2] - points[:, 0], axis=1) == pytest.approx(np.full(8, 100 * reach), rel=1e-5)


def test_held_out_classes():
    assert detection.held_out(np.array([0, 1, 2, 1]), 3, [1]).tolist() == [False, True, False, True]
    with pytest.raises(BadInput, match="at least two left"):
        detection.held_out(np.array([0, 1, 2]), 3, [0, 1])


def test_refused_scores():
    with pytest.raises(BadInput, match="finite scores"):
        detection.auroc([], [1.0])
    with pytest.raises(BadInput, match="members, examples, classes"):
        detection.disagreement(np.ones((2, 2)))


def test_the_interval_of_an_auroc_is_as_wide_as_chance_makes_it():
    """Its standard error against that of many drawn sets."""
    generator = np.random.default_rng(5)
    pairs = [(generator.standard_normal(150), generator.standard_normal(100) + 1) for _ in range(200)]
    found = [detection.auroc_interval(a, b, 100, seed=k) for k, (a, b) in enumerate(pairs)]
    true = 0.7602499389  # the chance that a normal with mean 1 is above one with mean 0
    spread = np.std([each.value for each in found])
    assert np.mean([each.sd for each in found]) == pytest.approx(spread, rel=0.15)
    assert np.mean([each.low <= true <= each.high for each in found]) > 0.88
    assert all(each.value == detection.auroc(a, b) for each, (a, b) in zip(found, pairs, strict=True))


def test_the_interval_of_an_auroc_counts_ties_half():
    known, unknown = np.repeat([0.0, 1.0], 50), np.repeat([0.0, 1.0], 40)
    found = detection.auroc_interval(known, unknown, 400, seed=1)
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    assert (found.low + found.high) / 2 == pytest.approx(0.5, abs=0.02)
