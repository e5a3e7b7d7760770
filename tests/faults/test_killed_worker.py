"""kill -9 of the process that computes, in every phase of the work."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sameness import assert_same
from shops import toys_known

VALLEYS = {"task": "moons", "epochs": 80, "curve_epochs": 80, "grid": 65, "picture": "exact", "widths": (32, 32)}
POSTERIOR = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "curve_epochs": 8, "grid": 17, "members": 2,
             "methods": ("swag", "ess"), "draws": 400, "chains": 4, "side_draws": 20, "warmup": 100, "swag_draws": 6,
             "temperature": 10.0, "prior_std": 2.0, "temperatures": (), "prior_stds": (), "reference": "ess"}


@pytest.fixture(autouse=True, scope="module")
def torch_in_workers():
    with toys_known("hurried"):
        yield


@pytest.fixture(autouse=True)
def workers_that_wait(monkeypatch, tmp_path):
    """They stand still where a test says so; sums are of as many parts in this process as in a worker."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    monkeypatch.setenv("HURRIED_HOLD", str(tmp_path / "hold"))


def kill_at(shop, recipe: str, settings: dict, *names: str) -> str:
    """The key of a run whose worker is ended each time it has come to a stage, or saved something, of these names."""
    hold = Path(os.environ["HURRIED_HOLD"])
    hold.write_text(names[0])
    key = shop.jobs.submit(recipe, settings)
    for following in (*names[1:], ""):
        shop.until(lambda: held_in(hold) in [each["pid"] for each in shop.library.attempts(key)[-1:]], 60)
        attempts = shop.library.attempts(key)
        assert shop.library.run(key).status == "running"
        hold.write_text(following)
        os.kill(attempts[-1]["pid"], signal.SIGKILL)
        shop.until(lambda before=attempts: len(shop.library.attempts(key)) > len(before), 60)
        assert "ended from outside. It goes on" in shop.library.run(key).message
    return key


def held_in(hold: Path) -> int | None:
    """The process that stands still, if any does."""
    said = hold.with_suffix(".pid")
    try:
        return int(said.read_text())
    except (FileNotFoundError, ValueError):
        return None


def test_the_nanny_stays_however_long_a_worker_is_away(shop, undisturbed, monkeypatch):
    """Dask gives a local worker up that is not back 15 s after one was lost: also when two were killed 15 s apart."""
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "50ms")
    monkeypatch.setenv("LANDSCAPE_PRELOAD", "")
    settings = {"steps": 20, "pause": 0.05}
    key = shop.jobs.submit("stroll", settings)
    for attempt in (1, 2):
        shop.until(lambda attempt=attempt: len(shop.library.attempts(key)) == attempt)
        os.kill(shop.library.attempts(key)[-1]["pid"], signal.SIGKILL)
    assert shop.ended(key).status == "done"
    assert_same(shop.library, undisturbed(**settings)[0], key)


@pytest.mark.timeout(180)
def test_killed_in_training_in_a_curve_and_in_a_surface(shop, undisturbed):
    key = kill_at(shop, "valleys", VALLEYS, "state-training", "state-curves", "surface:bezier")
    run = shop.ended(key, 120)
    assert (run.status, run.message) == ("done", "")
    assert [each["outcome"] for each in shop.library.attempts(key)] == 3 * ["interrupted"] + ["done"]
    reference, same = undisturbed("valleys", **VALLEYS)
    assert same == key
    assert_same(shop.library, reference, key)


@pytest.mark.timeout(180)
def test_killed_while_it_draws_from_a_posterior(shop, undisturbed):
    key = kill_at(shop, "posterior", POSTERIOR, "draws:ess")
    assert shop.ended(key, 120).status == "done"
    reference, _ = undisturbed("posterior", **POSTERIOR)
    assert_same(shop.library, reference, key)
