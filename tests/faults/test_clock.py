"""The clock of the machine goes backwards by a day while runs are computed and wait."""

from __future__ import annotations

import os
import signal

import pytest
from sameness import assert_same

from landscape.runs import Jobs

SLOW = {"steps": 20, "pause": 0.1}
DAY = 86_400


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """What the processes started from now on take from the time, in a file."""
    file = tmp_path / "clock"
    file.write_text("0")
    monkeypatch.setenv("LANDSCAPE_RECIPES", "skewed:RECIPES")
    monkeypatch.setenv("LANDSCAPE_TEST_CLOCK", str(file))
    return file


def back(clock) -> None:
    """All at once: a reader sees one time or the other."""
    new = clock.with_suffix(".new")
    new.write_text(str(-DAY))
    new.replace(clock)


def test_a_run_goes_on_and_its_times_make_sense(shop, clock, undisturbed):
    key = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 3))
    back(clock)
    shop.until(lambda: shop.saved(key, 6))
    os.kill(shop.library.attempts(key)[-1]["pid"], signal.SIGKILL)
    run = shop.ended(key)
    assert run.status == "done"
    assert run.created <= run.started <= run.finished
    assert all(each["started"] <= each["ended"] for each in shop.library.attempts(key))
    assert shop.library.progress(key).fraction == 1
    assert_same(shop.library, undisturbed(**SLOW)[0], key)


def test_the_queue_keeps_its_order_and_a_cancelled_run_stops(shop, clock, undisturbed):
    first = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(first, 3))
    back(clock)
    later = [shop.jobs.submit("stroll", {"seed": seed}) for seed in (1, 2)]
    os.kill(shop.jobs.engine()["pid"], signal.SIGKILL)
    shop.until(lambda: shop.jobs.engine() is None)
    assert Jobs(shop.home).resume()
    assert [shop.ended(key).status for key in (first, *later)] == 3 * ["done"]
    began = [shop.library.attempts(key)[-1]["started"] for key in (first, *later)]
    assert began == sorted(began)
    assert_same(shop.library, undisturbed(**SLOW)[0], first)
    last = shop.jobs.submit("stroll", {"steps": 100, "pause": 0.1})
    shop.until(lambda: shop.saved(last, 1))
    shop.jobs.cancel(last)
    assert shop.ended(last, 3).status == "cancelled"
