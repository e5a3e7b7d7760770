"""Trainings of several seeds divided among helpers that are played: the bits, the log and what was gathered as undivided."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from played import Company, Nobody

from landscape.errors import Cancelled, Damaged
from landscape.networks.architectures import initial_weights
from landscape.networks.net import stack
from landscape.recipes import seeds
from landscape.recipes import spread as spreading
from landscape.recipes.seeds import Course, follow, gone_on
from landscape.recipes.state import pack, validated
from landscape.recipes.training import problem
from landscape.runs import location, parts
from landscape.settings import Training
from landscape.training import sgd
from landscape.training.averaging import Collector

EPOCHS = 8
RATES = {"regression": 0.002}
TASKS = {
    "mlp": {"task": "moons", "widths": (16, 16), "train_size": 120},
    "regression": {"task": "regression", "widths": (8,)},
    "conv": {"task": "mnist5k", "widths": (4, 4), "norm": "batch", "train_size": 90},
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Whatever is there is divided at once, in rounds of one or a few epochs."""
    for module in (seeds, spreading):
        monkeypatch.setattr(module, "WORTH", 1e-9)
    monkeypatch.setattr(spreading, "LOOK", 0.0)
    monkeypatch.setattr(seeds, "ROUND", 1e-9)
    monkeypatch.setattr(seeds, "GAIN", 1e9)


def trained(context, name="mlp", spoilt=(), stops=(), course=None, seen=None, progress=lambda done, total: None, **settings):
    """Five networks after the course; those in ``spoilt`` start with weights that their loss is not finite for."""
    s = Training(**TASKS[name] | {"seeds": (0, 1, 2, 3, 4), "epochs": EPOCHS, "batch_size": 50} | settings)
    p = problem(s)
    steps = -(-len(p.dataset.train) // s.batch_size)
    last, rates = EPOCHS * steps, np.linspace(1, 0.1, EPOCHS * steps) * RATES.get(name, 0.1)
    each = course or Course(s.seeds, s.batch_size, EPOCHS, rates, 0.9, np.arange(2 * steps, last + 1, steps),
                            np.arange(0, last + 1, 3))
    starts = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in s.seeds])
    for k, factor in dict(spoilt).items():
        starts[k] *= factor

    def note(state):
        if len(state.log.get("validation_nll", ())) < state.epoch:
            for metric, values in validated(p.task, state).items():
                state.log.setdefault(metric, []).append(values)
        if seen is not None:
            seen.append(state.epoch)

    def alone(state, until, progress):
        if state is None:
            state = sgd.start(starts, stack([p.task.net.buffers] * len(s.seeds)))
            Collector(each.collect, each.trace).begin(state)
        return gone_on(p.task, each, state, until, progress, note)

    return follow(context, p.task, each, None, alone, progress=progress, after_round=note, stops=stops)


def assert_equal(found, wanted):
    one, other = pack(found), pack(wanted)
    one.pop("numbers"), other.pop("numbers")
    assert one.keys() == other.keys()
    for name in other:
        assert one[name].shape == other[name].shape, name
        assert one[name].tobytes() == other[name].tobytes(), name
    assert (found.epoch, found.diverged) == (wanted.epoch, wanted.diverged)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("helpers", [1, 2, 7])
def test_the_same_bits_as_undivided(name, helpers):
    company = Company(count=helpers)
    wanted = trained(Nobody(), name)
    assert not wanted.diverged
    assert_equal(trained(company, name), wanted)
    assert company.given >= EPOCHS - 2


def test_parts_that_never_come_are_done_here():
    company = Company(lost=(1, 2))
    assert_equal(trained(company), trained(Nobody()))
    assert company.given


@pytest.mark.parametrize("spoilt", [{0: 1e25}, {0: 1e25, 1: 1e25}, {4: 1e25}, {k: 1e25 for k in range(5)}],
                         ids=["one", "a group", "the last", "all"])
def test_networks_that_diverge_at_the_start_are_told_and_cost_the_others_no_bit(spoilt):
    wanted = trained(Nobody(), spoilt=spoilt)
    assert set(wanted.diverged) == set(spoilt)
    assert_equal(trained(Company(), spoilt=spoilt), wanted)


@pytest.mark.parametrize("helpers", [1, 4])
def test_networks_that_diverge_on_the_way_too(helpers):
    """Their rates explode in epoch 4; with five groups each has a group of its own."""
    wanted = trained(Nobody(), course=_exploding(helpers))
    assert 0 < len(wanted.diverged) <= 5
    assert min(wanted.diverged.values()) > 1
    assert_equal(trained(Company(count=helpers), course=_exploding(helpers)), wanted)


def _exploding(helpers):
    rates = np.full(EPOCHS * 3, 0.05)
    rates[9:11] = 400.0 if helpers == 1 else 3000.0
    return Course((0, 1, 2, 3, 4), 50, EPOCHS, rates, 0.9, collect=np.arange(6, 25, 3), trace=np.arange(0, 25, 3))


def test_a_network_does_not_depend_on_whether_another_one_diverged():
    p = problem(Training(**TASKS["mlp"]))
    starts = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in range(2)])
    spoilt = starts.clone()
    spoilt[1] *= 1e25
    options = {"epochs": 4, "batch_size": 50, "rates": np.full(12, 0.0123), "momentum": 0.9}
    one, other = (sgd.train(p.task, [0, 1], each, **options) for each in (starts, spoilt))
    assert set(other.diverged) == {1}
    assert one.parameters[0].numpy().tobytes() == other.parameters[0].numpy().tobytes()


def test_rounds_end_where_a_state_is_wanted(monkeypatch):
    monkeypatch.setattr(seeds, "ROUND", 1e9)
    seen = []
    company = Company()
    trained(company, stops=(3, 6), seen=seen)
    assert seen == [1, 3, 6, EPOCHS]
    assert company.given


def test_networks_whose_bits_depend_on_their_company_stay_together(monkeypatch):
    exact = sgd.mean_nll
    monkeypatch.setattr(sgd, "mean_nll", lambda task, w, *rest: exact(task, w, *rest) * (1 + 1e-6 * len(w)))
    company = Company()
    assert_equal(trained(company), trained(Nobody()))
    assert not company.given


def test_trainings_in_lower_precision_stay_together():
    """Processors differ in what they round."""
    company = Company()
    assert_equal(trained(company, training_precision="bfloat16"), trained(Nobody(), training_precision="bfloat16"))
    assert not company.made


def test_what_is_no_faster_divided_is_not_divided_for_long(monkeypatch):
    monkeypatch.setattr(seeds, "GAIN", 0.0)
    company = Company(count=1)
    assert_equal(trained(company), trained(Nobody()))
    assert len(company.made) == 1 + seeds.TRIES  # it was asked for once, and for each round


def test_weights_go_by_the_location_and_leave_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setattr(seeds, "DIRECT", 0)
    company = Company()
    assert_equal(trained(company), trained(Nobody()))
    assert not company.given  # too much for the scheduler
    company = Company(parts.Passage(tmp_path.as_uri(), "0" * 16))
    left = []
    leave = parts.Passage.leave
    monkeypatch.setattr(parts.Passage, "leave", lambda *args: left.append(leave(*args)) or left[-1])
    assert_equal(trained(company), trained(Nobody()))
    assert company.given
    assert len(left) > company.given
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [location.MARK]


def test_a_group_whose_weights_are_gone_from_the_location_is_trained_again(tmp_path, monkeypatch):
    company, take, lost = Company(parts.Passage(tmp_path.as_uri(), "0" * 16), count=1), parts.Passage.take, []

    def taken(self, note):
        """What a helper has left is gone once: its file differs from all that the job has left itself."""
        arrays = take(self, note)
        if not lost and int(json.loads(arrays["numbers"].tobytes())["epoch"]) > 1 and arrays["rates"].size:
            lost.append(note)
            raise Damaged("gone")
        return arrays

    monkeypatch.setattr(parts.Passage, "take", taken)
    assert_equal(trained(company), trained(Nobody()))
    assert lost


def test_progress_counts_all_networks_and_stops_a_round(tmp_path):
    seen = []

    def progress(done, total):
        seen.append(done)
        assert total == EPOCHS * 3
        if done > 12:
            raise Cancelled("enough")

    company = Company(parts.Passage(tmp_path.as_uri(), "0" * 16), lost=range(100))
    with pytest.raises(Cancelled):
        trained(company, progress=progress)
    assert company.given
    assert seen == sorted(seen)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [location.MARK]


def test_too_much_data_is_not_sent(monkeypatch):
    monkeypatch.setattr(seeds, "MOST", 10)
    company = Company()
    trained(company)
    assert not company.made


def test_one_network_is_not_divided():
    company = Company()
    s = replace(_exploding(1), seeds=(0,), rates=np.full(EPOCHS * 3, 0.05))
    trained(company, course=s, seeds=(0,))
    assert not company.made
