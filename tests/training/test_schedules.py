"""Plans: the rate of every step, as the papers have it, and where snapshots are taken."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from landscape import ROOT, catalog
from landscape.errors import BadInput
from landscape.schedules import SHAPES, plan, shared_epochs, steps_per_epoch
from landscape.training import schedules

RUN = {"lr": 0.2, "epochs": 12, "steps_per_epoch": 10}
GIVEN = {"swa": {"start": 6}, "sawtooth": {"cycle": 3}, "fge": {"cycle": 4}}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_a_rate_for_every_step_and_sound_points(name):
    made = plan(name, **RUN, **GIVEN.get(name, {}))
    assert made.name == name
    assert made.rates.shape == (120,)
    assert made.rates.dtype == np.float64
    assert np.isfinite(made.rates).all()
    assert (made.rates > 0).all()
    assert made.rates.max() <= 0.2
    assert (np.diff(made.collect) > 0).all()
    assert len(made.collect) == len(made.heights)
    assert all(0 < n <= 120 for n in made.collect)
    assert set(SHAPES[name].defaults) | set(GIVEN.get(name, {})) == set(SHAPES[name].parameters)


@pytest.mark.parametrize("name", catalog.SCHEDULES)
def test_plans_are_the_factors_of_the_catalog_bit_for_bit(name):
    factor = catalog.row("schedule", catalog.SCHEDULES, name).load()
    assert plan(name, **RUN).rates.tolist() == [0.2 * factor((e * 10 + s) / 120) for e in range(12) for s in range(10)]
    assert factor is getattr(schedules, name)


def test_swa_goes_down_to_its_rate_by_nine_tenths_of_the_start():
    made = plan("swa", **RUN | {"steps_per_epoch": 20}, start=10, swa_lr=0.05, every=0.5)
    expected = np.interp(np.arange(240) / 200, [0.5, 0.9], [0.2, 0.05])
    np.testing.assert_allclose(made.rates, expected, rtol=1e-12)
    assert (made.rates[180:] == 0.05).all()
    assert (made.rates[:101] == 0.2).all()
    assert made.collect.tolist() == [210, 220, 230, 240]
    assert (plan("swa", **RUN, start=6).rates == 0.2).all()


def test_fge_is_a_triangle_whose_snapshots_lie_at_the_lowest_rate():
    made = plan("fge", **RUN, cycle=4, low=0.002)
    t = (np.arange(120) / 40) % 1
    np.testing.assert_allclose(made.rates, 0.002 + np.abs(1 - 2 * t) * 0.198, rtol=1e-12)
    assert made.collect.tolist() == [20, 60, 100]
    assert (made.rates[made.collect] == made.rates.min()).all()
    assert (made.heights == 0.002).all()


def test_sawtooth_ends_each_cycle_with_its_lowest_rate():
    made = plan("sawtooth", **RUN, cycle=3, low=0.02, start=3)
    assert (made.rates[:30] == 0.2).all()
    expected = [(1 - t) * 0.2 + t * 0.02 for t in (((i - 1) % 30 + 1) / 30 for i in range(1, 91))]
    np.testing.assert_allclose(made.rates[30:], expected, rtol=1e-12)
    assert made.collect.tolist() == [60, 90, 120]
    np.testing.assert_allclose(made.rates[made.collect - 1], 0.02, rtol=1e-12)


def test_onecycle_equals_that_of_torch():
    made = plan("onecycle", **RUN, low=0.02, final=0.0002, share=0.45, momentum_high=0.95, momentum_low=0.85)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=120, pct_start=0.45, anneal_strategy="linear",
                                                 three_phase=True, div_factor=10, final_div_factor=100)
    for rate, momentum in zip(made.rates, made.momenta, strict=True):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9)
        assert optimiser.param_groups[0]["momentum"] == pytest.approx(momentum, rel=1e-9)
        optimiser.step()
        theirs.step() if theirs.last_epoch < 119 else None


@pytest.mark.parametrize(("form", "of"), [("exponential", np.log), ("linear", np.array)])
def test_a_range_test_rises_evenly_from_end_to_end(form, of):
    rates = plan("range", **RUN, low=1e-3, form=form).rates
    assert rates[[0, -1]] == pytest.approx([1e-3, 0.2])
    steps = np.diff(of(rates))
    assert steps == pytest.approx(np.full(119, steps[0]))
    assert steps[0] > 0


def test_parts_and_sequences():
    first, second = plan("constant", **RUN), plan("fge", **RUN, cycle=4)
    both = first.head(5).then(second)
    assert both.epochs == 17
    assert both.name == "fge"
    assert both.rates.tolist() == [0.2] * 50 + second.rates.tolist()
    assert both.collect.tolist() == [70, 110, 150]
    assert second.head(6).collect.tolist() == [20, 60]
    assert first.every(2, start=8).tolist() == [80, 100, 120]
    assert first.time[[0, 10]].tolist() == [0, 1]


def test_epochs_in_which_plans_agree():
    linear, swa = plan("linear", **RUN), plan("swa", **RUN, start=9)
    assert shared_epochs([linear, swa]) == 6  # linear starts to fall in the step after one half
    assert shared_epochs([swa, plan("swa", **RUN, start=3)]) == 3  # nothing may be collected in the part that is shared
    assert shared_epochs([linear, plan("cosine", **RUN)]) == 0
    assert shared_epochs([linear]) == 12


def test_steps_per_epoch_counts_the_smaller_last_batch():
    assert [steps_per_epoch(n, 128) for n in (128, 129, 4000)] == [1, 2, 32]


@pytest.mark.parametrize(("name", "given", "said"), [
    ("fge", {"cycle": 13}, "longer than the run"),
    ("fge", {"cycle": 0.5}, "even number of steps"),
    ("fge", {"cycle": 0.25}, "whole number of steps"),
    ("fge", {"cycle": 4, "low": 0.3}, "must not be above"),
    ("fge", {}, "needs cycle"),
    ("swa", {"start": 12}, "the run ends after 12"),
    ("swa", {"start": 40}, "Averaging starts after 40 epochs"),
    ("swa", {"start": -1}, "at least 0"),
    ("swa", {"start": 6, "swa_lr": 0}, "finite number above 0"),
    ("swa", {"start": float("nan")}, "whole number of steps"),
    ("swa", {"begin": 6}, "no parameter of the schedule swa 'begin'"),
    ("sawtooth", {"cycle": 5, "start": 8}, "the run ends"),
    ("onecycle", {"share": 0.7}, "at most 0.5"),
    ("onecycle", {"momentum_high": 0.95}, "both"),
    ("range", {"low": 0.3}, "below the highest"),
    ("range", {"form": "cubic"}, "no form of a range test"),
    ("swaa", {}, "Did you mean 'swa'"),
    ("constant", {"lr": -1}, "lr must be"),
    ("constant", {"epochs": 0}, "at least 1 epoch"),
])
def test_what_does_not_fit_is_said(name, given, said):
    with pytest.raises(BadInput, match=said):
        plan(name, **RUN | given)


def test_fewer_snapshots_than_needed_and_parts_that_do_not_fit():
    made = plan("swa", **RUN, start=9)
    assert made.needing(3, "for 2 dimensions") is made
    with pytest.raises(BadInput, match="6 snapshots are needed for 5 dimensions, and this schedule collects 3"):
        made.needing(6, "for 5 dimensions")
    with pytest.raises(BadInput, match="0 to 12"):
        made.head(13)
    with pytest.raises(BadInput, match="equally many steps"):
        made.then(plan("constant", **RUN | {"steps_per_epoch": 9}))


def test_pages_can_draw_a_plan_without_torch():
    code = ("import sys; sys.modules['torch'] = None; from landscape.schedules import plan;"
            "assert len(plan('fge', lr=.1, epochs=4, steps_per_epoch=5, cycle=2).rates) == 20")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
