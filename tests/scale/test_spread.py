"""How work is divided, with helpers that are played: nothing is lost, doubled or waited for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from landscape.errors import Cancelled
from landscape.recipes import spread as module
from landscape.recipes.spread import Sent, Work, spread

ITEMS = np.arange(500.0)[:, None]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Others are asked at once and looked at whenever a few items are done."""
    monkeypatch.setattr(module, "WORTH", 0.0)
    monkeypatch.setattr(module, "LOOK", 0.0)


def squares(items, progress):
    for done in range(1, len(items) + 1):
        progress(done, len(items))
    return {"square": items[:, 0] ** 2}


class Played:
    """Helpers that do what ``fate(number)`` says with a part: ``done``, ``lost`` or ``silent``."""

    def __init__(self, fate=lambda number: "done", rooms=2):
        self.fate, self.rooms, self.out, self.given, self.forgotten = fate, rooms, {}, [], []

    def room(self):
        return self.rooms - len(self.out)

    def count(self):
        return 1

    def seconds(self):
        return 0.01

    def take(self, number, items):
        self.given.append(number)
        self.out[number] = items

    def come(self):
        values = {n: {"square": items[:, 0] ** 2} for n, items in self.out.items() if self.fate(n) == "done"}
        lost = [n for n in self.out if self.fate(n) == "lost"]
        for n in [*values, *lost]:
            del self.out[n]
        return values, lost

    def forget(self, numbers):
        self.forgotten += numbers
        for n in numbers:
            self.out.pop(n, None)


class Company:
    """A context with such helpers."""

    def __init__(self, helpers):
        self.helpers = lambda work: helpers


def gathered(context, work=None, progress=lambda done, total: None):
    """Every item's value, each delivered once."""
    values, times = np.full(len(ITEMS), np.nan), np.zeros(len(ITEMS), int)
    for (first, last), found in spread(context, work or Work(squares, there=squares), ITEMS, progress):
        values[first:last] = found["square"]
        times[first:last] += 1
    assert (times == 1).all()
    return values


@pytest.mark.parametrize("fate", ["done", "lost", "silent"])
def test_every_item_comes_once_whatever_helpers_do(fate):
    helpers = Played(lambda number: fate)
    np.testing.assert_array_equal(gathered(Company(helpers)), ITEMS[:, 0] ** 2)
    assert len(helpers.given) >= 2
    assert not helpers.out


def test_helpers_that_come_and_go_lose_nothing():
    fates = {0: "done", 1: "lost", 2: "silent"}
    helpers = Played(lambda number: fates[number % 3], rooms=5)
    np.testing.assert_array_equal(gathered(Company(helpers)), ITEMS[:, 0] ** 2)
    assert helpers.forgotten  # those who said nothing are not waited for


def test_without_helpers_all_is_done_here_in_growing_parts():
    parts = [part for part, _ in spread(object(), Work(squares), ITEMS)]
    assert parts[0] == (0, 16)
    assert parts[-1][1] == len(ITEMS)
    assert [first for first, _ in parts[1:]] == [last for _, last in parts[:-1]]
    assert parts[1][1] - parts[1][0] <= 64
    assert list(spread(object(), Work(squares), ITEMS[:0])) == []


def test_work_that_cannot_be_done_elsewhere_asks_nobody():
    helpers = Played()
    gathered(Company(helpers), Work(squares))
    assert helpers.given == []


def test_progress_counts_what_others_have_done_and_may_stop_all():
    helpers, seen = Played(lambda number: "done" if number < 3 else "silent"), []

    def progress(done, total):
        seen.append(done)
        assert total == len(ITEMS)
        if done > 400:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        gathered(Company(helpers), progress=progress)
    assert seen == sorted(seen)
    assert not helpers.out  # nobody goes on for nothing
    assert helpers.forgotten


def test_what_is_sent_has_a_name_of_its_content():
    one, same, other = ({"w": np.arange(n, dtype=np.float32), "said": "x"} for n in (5, 5, 6))
    assert Sent(one, dict).token == Sent(same, dict).token != Sent(other, dict).token
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        assert Sent(lambda: None, dict).token
