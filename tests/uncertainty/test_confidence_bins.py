"""Every example in exactly one bin; bands that hold zero as often as they say; the talk's axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import BadInput
from landscape.uncertainty import binning
from landscape.uncertainty.binning import binned

EDGES = [k / 15 for k in range(16)]


CONFIDENCES = st.one_of(st.sampled_from([0.0, 1.0, np.nextafter(1.0, 0), *EDGES]), st.floats(0, 1))


@given(st.lists(CONFIDENCES, min_size=1, max_size=60), st.integers(1, 30), st.sampled_from(sorted(binning.RULES)))
def test_every_example_is_in_exactly_one_bin(confidence, bins, rule):
    confidence = np.array(confidence)
    found = binned(confidence, np.ones(len(confidence)), bins, rule)
    assert found.count.sum() == len(confidence)
    together = np.concatenate([found.examples(b) for b in range(len(found.count))])
    assert sorted(together) == list(range(len(confidence)))
    assert (np.diff(found.edges) >= 0).all()
    for value, b in zip(confidence, found.place, strict=True):
        assert found.edges[b] <= value <= found.edges[b + 1]


def test_an_edge_belongs_to_the_bin_below_it():
    found = binned(np.array([0.0, 0.5, 0.5000001, 1.0]), np.zeros(4), 2)
    assert found.place.tolist() == [0, 0, 1, 1]


def test_equal_mass_keeps_equal_confidences_together():
    confidence = np.array([0.3, 0.4, 1.0, 1.0, 1.0, 1.0])
    found = binned(confidence, np.ones(6), 3, "mass")
    assert found.count.tolist() == [2, 4]
    shuffled = binned(confidence[::-1], np.ones(6), 3, "mass")
    assert shuffled.edges.tolist() == found.edges.tolist()
    assert binned(np.random.default_rng(0).random(2000), np.ones(2000), 20, "mass").count.tolist() == [100] * 20


@pytest.mark.parametrize("rule", sorted(binning.RULES))
def test_bands_of_a_calibrated_predictor_hold_zero_at_about_the_nominal_share(rule):
    generator = np.random.default_rng(0)
    held, bins = 0, 0
    for _ in range(200):
        confidence = 1 - 0.5 * generator.random(1000) ** 4
        found = binned(confidence, generator.random(1000) < confidence, 15, rule)
        filled = found.count > 0
        held += ((found.low <= 0) & (found.high >= 0))[filled].sum()
        bins += filled.sum()
    assert 0.935 <= held / bins <= 0.985


def test_a_band_holds_its_own_gap():
    generator = np.random.default_rng(1)
    found = binned(generator.random(300), generator.random(300) < 0.5)
    filled = found.count > 0
    assert ((found.low <= found.gap + 1e-12) & (found.gap <= found.high + 1e-12))[filled].all()
    assert np.isnan(found.confidence[~filled]).all()


def test_the_ticks_of_the_talk_by_formula():
    assert [f"{tick:.3f}" for tick in binning.ticks()] == ["0.200", "0.759", "0.927", "0.978", "0.993", "0.998"]
    steps = np.diff(binning.on_axis(binning.ticks()))
    assert np.ptp(steps) < 1e-12
    assert np.isfinite(binning.on_axis(np.array([0.0, 1.0]))).all()


def test_refused_bins():
    with pytest.raises(BadInput, match="at least 1 bin"):
        binned(np.array([0.5]), np.array([1]), 0)
    with pytest.raises(BadInput, match=r"no rule for bins 'masss'.*'mass'"):
        binned(np.array([0.5]), np.array([1]), 5, "masss")
    with pytest.raises(BadInput, match="not finite"):
        binned(np.array([np.nan]), np.array([1]))
    with pytest.raises(BadInput, match="no bin 15"):
        binned(np.array([0.5]), np.array([1])).examples(15)
