"""The settings of averaging: schedules that fit the run, and words for those that do not."""

import numpy as np
import pytest

from landscape import schedules
from landscape.errors import BadInput
from landscape.settings import parse


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": ""}, "1 to 64"),
        ({"swa_start": "1"}, "ends after 40"),
        ({"swa_start": "2"}, "starts after epoch 80"),
        ({"swa_start": "0.95"}, "3 snapshots are needed.*2 are"),
        ({"every": "20"}, "first snapshot 20 epochs later"),
        ({"fge_cycle": "30"}, "cycle of 30 epochs.*longer than the run"),
        ({"components": "60"}, "60 principal components need 61 snapshots"),
        ({"components": "1"}, "components"),
        ({"budgets": "1.5,1"}, "ascending"),
        ({"budgets": "2,3"}, "budgets must be 1"),
        ({"lr": "0"}, "lr"),
        ({"swa_lr": "-1"}, "swa_lr"),
        ({"branch": "0.95"}, "branch"),
        ({"grid": "3"}, "grid"),
        ({"ray_normalisation": "filters"}, "Did you mean 'filter'"),
        ({"rays": "1"}, "rays"),
    ],
)
def test_bad_settings_say_what_is_wrong(given, said):
    with pytest.raises(BadInput, match=said):
        parse("averaging", given)


@pytest.mark.parametrize("task", ["mnist1d", "digits", "mnist5k", "moons", "spirals", "regression"])
def test_every_task_has_a_run_that_fits(task):
    s = parse("averaging", {"task": task})
    plans = s.plans(24)
    assert set(plans) == {"sgd", "constant", "sgd-1.25", "sgd-1.5", "fge"}
    assert (plans["constant"].collect <= s.epochs * 24).sum() >= 3
    assert (plans["fge"].collect <= s.epochs * 24).any()


def test_what_is_drawn_is_what_is_trained_with():
    s = parse("averaging", {})
    plans = s.plans(32)
    np.testing.assert_array_equal(plans["sgd"].rates, schedules.plan("linear", lr=0.2, epochs=40, steps_per_epoch=32).rates)
    np.testing.assert_array_equal(plans["constant"].rates, 0.2)
    assert list(plans["constant"].collect[:2] / 32) == [31, 32]
    assert plans["sgd-1.5"].epochs == plans["constant"].epochs == plans["fge"].epochs == 60
    assert s.forks(plans) == {"sgd-1.25": 25, "sgd-1.5": 30, "fge": 30, "constant": 40}
    assert plans["fge"].heights == pytest.approx(0.002)


def test_a_lower_constant_rate_is_come_down_to_and_shared_up_to_the_branch():
    s = parse("averaging", {"swa_lr": 0.05})
    plans = s.plans(32)
    assert (plans["constant"].rates[: 20 * 32] == 0.2).all()
    assert plans["constant"].rates[27 * 32 :] == pytest.approx(0.05)
    assert schedules.shared_epochs([plans["sgd"], plans["constant"]]) == 20
    assert s.forks(plans)["sgd-1.5"] == 20
    assert s.forks(plans)["fge"] == 30


def test_members_that_cannot_be_collected_are_named():
    with pytest.raises(BadInput, match="100 snapshots are needed for the ensemble"):
        parse("averaging", {"fge_members": 100}).plans(32)
    assert len(parse("averaging", {"fge_members": 4}).plans(32)["fge"].collect) == 4
