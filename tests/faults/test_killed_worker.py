"""kill -9 of the process that computes, in every phase of the work."""

from __future__ import annotations

import os
import signal

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
def same_products(monkeypatch):
    """Sums of as many parts in this process as in a worker."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))


def kill_in(shop, key: str, stage: str, saved: str) -> None:
    """End the worker when it is at a stage with that ending and has saved a result or weights of that name."""
    def there() -> bool:
        assert shop.library.run(key).status in ("queued", "running"), shop.library.run(key).message
        now = shop.library.progress(key)
        everything = [name for one in shop.library.lineage(key)
                      for name in (*shop.library.names(one), *shop.library.weight_names(one))]
        return now is not None and now.stage.endswith(stage) and saved in everything

    shop.until(there, 60)
    attempts = shop.library.attempts(key)
    os.kill(attempts[-1]["pid"], signal.SIGKILL)
    shop.until(lambda: len(shop.library.attempts(key)) > len(attempts), 60)
    assert "ended from outside. It goes on" in shop.library.run(key).message


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
    key = shop.jobs.submit("valleys", VALLEYS)
    kill_in(shop, key, "training", "state-training")
    kill_in(shop, key, "curves", "state-curves")
    kill_in(shop, key, "surface:bezier", "surface:bezier")
    run = shop.ended(key, 120)
    assert (run.status, run.message) == ("done", "")
    assert [each["outcome"] for each in shop.library.attempts(key)] == 3 * ["interrupted"] + ["done"]
    reference, same = undisturbed("valleys", **VALLEYS)
    assert same == key
    assert_same(shop.library, reference, key)


@pytest.mark.timeout(180)
def test_killed_while_it_draws_from_a_posterior(shop, undisturbed):
    key = shop.jobs.submit("posterior", POSTERIOR)
    kill_in(shop, key, "draws:ess", "samples:swag")
    assert shop.ended(key, 120).status == "done"
    reference, _ = undisturbed("posterior", **POSTERIOR)
    assert_same(shop.library, reference, key)
