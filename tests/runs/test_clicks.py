"""Clicks: answered by a process of their own while jobs run, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from landscape.errors import BadInput, StoreError
from landscape.results import METRICS
from landscape.runs import Jobs, Library, clicks
from landscape.runs.clicks import Opener
from landscape.runs.home import holder
from landscape.runs.local import compute_here
from landscape.runs.store import Store
from landscape.runs.worker import NICENESS

SMALL = {"task": "moons", "epochs": 3, "curve_epochs": 3, "grid": 9, "widths": (8,)}
LONG = {"task": "mnist1d", "epochs": 3000}  # half an hour of both cores
PROMPT = 5.0  # seconds, ten times what is promised: other tests may run on this machine


def opening_process(shop, aside: bool = False) -> psutil.Process | None:
    """The process that answers clicks, or the one aside, which finds out what runs will cost."""
    engine = shop.jobs.engine()
    children = psutil.Process(engine["pid"]).children() if engine else []
    commands = {child: child.cmdline() for child in children}
    return next((child for child, words in commands.items()
                 if clicks.__name__ in words and ("--aside" in words) == aside), None)


@pytest.fixture(scope="module")
def moons(shared) -> str:
    """A finished run in the shared store."""
    key, status, message = compute_here("valleys", SMALL, shared.home)
    assert status == "done", message
    return key


def places(library, key: str, count: int) -> list[dict]:
    axes = library.result(key, "surface:optima").axes
    rng = np.random.default_rng(0)
    return [{"run": key, "plane": "optima", **{name: float(rng.uniform(axis[0], axis[-1]))
                                               for name, axis in zip("xy", axes, strict=True)}} for _ in range(count)]


def test_clicks_are_answered_while_a_long_job_has_all_cores(shared, moons):
    job = shared.jobs.submit("training", LONG)
    shared.until(lambda: (p := shared.library.progress(job)) and p.fraction > 0, 60)
    shared.jobs.open({"run": moons, "network": "w1 (seed 0)"})
    took = []
    for place in places(shared.library, moons, 20):
        start = time.monotonic()
        seen = shared.jobs.open(place)
        took.append(time.monotonic() - start)
        assert seen.where == place
        assert set(seen.values) == set(METRICS)
    assert np.percentile(took, 95) < PROMPT, took
    worker = psutil.Process(shared.library.attempts(job)[-1]["pid"])
    assert shared.library.run(job).status == "running"
    busy = [thread.id for thread in worker.threads() if thread.user_time > 0.5]
    assert busy
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in busy} == {NICENESS}
    assert os.getsid(worker.pid) == worker.pid, "niceness counts only within a session where sessions share first"
    sharing = Path(f"/proc/{worker.pid}/autogroup")
    said = sharing.read_text() if sharing.exists() else ""
    assert not said or said.strip().endswith(f"nice {NICENESS}")
    assert opening_process(shared).nice() == psutil.Process().nice()
    start = time.monotonic()
    shared.jobs.cancel(job)
    assert shared.ended(job).status == "cancelled"
    assert time.monotonic() - start < PROMPT


def test_the_answer_is_what_a_process_alone_gives(shared, moons):
    from landscape.runs.records import decode

    place = places(shared.library, moons, 1)[0]
    seen, alone = shared.jobs.open(place), decode(**Opener(shared.home).open(place))
    for metric, value in alone.values.items():
        assert seen.values[metric] == pytest.approx(value, rel=1e-6)
    assert shared.jobs.open(place | {"run": moons[:6]}).where["run"] == moons
    np.testing.assert_allclose(seen.outputs, alone.outputs, atol=1e-6)


def test_no_click_waits_for_what_a_run_will_cost(shared, moons):
    asked = ("valleys", SMALL | {"seeds": (5, 6, 7)})
    assert shared.jobs.estimate(*asked)["seconds"] > 0
    aside, found = opening_process(shared, aside=True), []
    assert aside.nice() == NICENESS
    trying = threading.Thread(target=lambda: found.append(shared.jobs.estimate(*asked)))
    aside.suspend()  # an estimate that takes for ever
    try:
        trying.start()
        for place in places(shared.library, moons, 3):
            assert shared.jobs.open(place).where == place
        assert trying.is_alive()
    finally:
        aside.resume()
    trying.join(60)
    assert found[0]["seconds"] > 0


def test_the_process_aside_ends_when_nobody_asks_and_is_back_with_the_next_question(tmp_path):
    asked = ("estimate", "training", {"task": "moons", "epochs": 2, "widths": [8]})
    aside = clicks.Clicks(tmp_path, aside=0.5)
    try:
        first = aside.ask(*asked)
        process = aside._process
        assert process.wait(60) == 0
        assert aside.ask(*asked).keys() == first.keys()
        assert aside._process.pid != process.pid
    finally:
        aside.close()


def test_killed_it_is_back_with_the_next_click(shared, moons):
    place = {"run": moons, "network": "w2 (seed 1)"}
    before = shared.jobs.open(place)
    first = opening_process(shared)
    first.kill()
    assert shared.jobs.open(place).values == before.values
    assert opening_process(shared).pid != first.pid


def test_killed_while_it_works_it_is_asked_again_but_not_for_ever(shared):
    key, _, _ = compute_here_beside(shared, "trap")
    with pytest.raises(StoreError, match="ended 2 times"):
        shared.jobs.open({"run": key, "network": "bait"})
    with pytest.raises(BadInput, match="There is no run"):
        shared.jobs.open({"run": "ffff", "network": "w"})


def compute_here_beside(shop, recipe: str) -> tuple[str, str, str]:
    """A run computed by the engine that has the store."""
    key = shop.jobs.submit(recipe, {})
    run = shop.ended(key)
    return key, run.status, run.message


def test_what_is_wrong_is_said_as_bad_input(shared, moons):
    walk, _, _ = compute_here_beside(shared, "stroll")
    for where, message in (({"run": "0123", "network": "w"}, "There is no run '0123'"),
                           ({"run": walk, "network": "w"}, "recipe 'stroll', whose networks cannot be opened"),
                           ({"run": moons, "plane": "optimal", "x": 0, "y": 0}, "Did you mean 'optima'"),
                           ({"run": moons, "plane": "optima", "x": float("nan"), "y": 0}, "x of a place must be a finite"),
                           ({"run": moons, "plane": "optima", "x": "one", "y": 0}, "found 'one'"),
                           ({"run": moons, "path": "bezier", "t": 1.1}, "from t=0 to t=1"),
                           ({"run": moons, "network": "w7"}, "no network 'w7'"),
                           ({"run": moons}, "A place is a run with")):
        with pytest.raises(BadInput, match=message):
            shared.jobs.open(where)
        with pytest.raises(BadInput, match=message):
            shared.jobs.keep(where, "A title")
    # nor does an engine take the word of a client that does not look before it asks
    with pytest.raises(BadInput, match="x of a place"):
        shared.jobs._ask("open", {"run": moons, "plane": "optima", "x": "one", "y": 0})
    assert not [run for run in shared.library.runs() if run.recipe == "network"]


def test_a_run_that_is_still_drawn_opens(shared):
    key = shared.jobs.submit("valleys", SMALL | {"grid": 257, "picture": "exact", "widths": (128, 128)})
    shared.until(lambda: shared.library.result(key, "surface:optima") is not None, 60)
    seen = shared.jobs.open({"run": key, "plane": "optima", "x": 1.0, "y": 1.0})
    mark = shared.library.result(key, "surface:optima").marks[0]
    anchor = shared.jobs.open({"run": key, "plane": "optima", "x": mark.x, "y": mark.y})
    assert shared.library.run(key).status == "running"
    assert anchor.values["train_nll"] == pytest.approx(mark.values["train_nll"], rel=1e-5)
    assert seen.distances["w1 (seed 0)"] == pytest.approx(2**0.5, rel=1e-5)
    shared.jobs.cancel(key)
    shared.ended(key)


def test_a_kept_network_is_a_run_of_its_own(shared, moons):
    place = {"run": moons, "plane": "bezier", "x": 0.5, "y": 0.25}
    key = shared.jobs.keep(place, "  A point   I like ")
    run = shared.library.run(key)
    assert (run.status, run.recipe, run.title, run.parents) == ("done", "network", "A point I like", (moons,))
    assert shared.jobs.open({"run": key, "network": "network"}).values == shared.jobs.open(place).values
    with pytest.raises(BadInput, match=r"is used by .* \(A point I like\)"):
        shared.jobs.delete(moons)
    with pytest.raises(BadInput, match="1 to 200"):
        shared.jobs.keep(place, "x" * 201)
    assert shared.jobs.keep(place) == key
    assert shared.library.run(key).title == "A point I like"
    shared.jobs.delete(key)
    with pytest.raises(BadInput, match="no run"):
        shared.jobs.open({"run": key, "network": "network"})  # though it was in memory


def test_warming_returns_at_once_and_starts_both_processes_once(shop):
    jobs = Jobs(shop.home)
    start = time.monotonic()
    for _ in range(100):
        jobs.warm()
        Jobs(shop.home).warm("gallery")
    assert time.monotonic() - start < 1
    process = shop.until(lambda: opening_process(shop), 30)
    jobs.warm()
    time.sleep(0.5)
    assert opening_process(shop).pid == process.pid
    assert threading.active_count() < 20


def test_a_busy_store_is_told_by_the_click_not_by_the_warming(shop, caplog):
    with Store(shop.home):
        shop.jobs._warm(None)
        with pytest.raises(StoreError, match="is computing"):
            shop.jobs.open({"run": "abcd", "network": "w"})


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_engine_however_that_ends(shop, end):
    shop.jobs._ask("warm", None)
    process, engine = opening_process(shop), shop.jobs.engine()["pid"]
    os.kill(engine, end)
    shop.until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10)
    shop.until(lambda: holder(shop.home / "writer.lock") is None)


def test_clicks_keep_the_engine_up_and_an_idle_one_ends_with_its_process(shop, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ENGINE_IDLE", "3")
    shop.jobs._ask("warm", None)
    process = opening_process(shop)
    for _ in range(5):  # longer than the engine would stay
        time.sleep(1)
        with pytest.raises(BadInput):
            shop.jobs.open({"run": "0000", "network": "w"})
    assert opening_process(shop).pid == process.pid
    shop.until(lambda: holder(shop.home / "writer.lock") is None, 15)
    shop.until(lambda: not process.is_running(), 5)


def test_memory_is_bounded_and_a_run_is_read_once(tmp_path, monkeypatch):
    gallery = [run.key for run in Library(tmp_path).runs("valleys")]
    opener = Opener(tmp_path)
    opener.open({"run": gallery[0], "path": "bezier", "t": 0.5})
    held = opener._places(gallery[0])
    assert opener._places(gallery[0]) is held
    monkeypatch.setattr(clicks, "RUNS", 2)
    for key in gallery[1:4]:
        opener._places(key)
    assert list(opener._held) == gallery[2:4]
    opener._places(gallery[2])
    monkeypatch.setattr(clicks, "BYTES", 0)
    opener._places(gallery[2])
    assert list(opener._held) == [gallery[2]]


def test_weights_that_come_later_are_seen(tmp_path):
    with Store(tmp_path) as store:
        made = clicks.identify("training", {"task": "moons", "epochs": 1, "widths": (8,)})
        store.enter(**made.row())
    opener, place = Opener(tmp_path), {"run": made.key, "network": "seed 0"}
    with pytest.raises(BadInput, match="no trained networks yet"):
        opener.open(place)
    compute_here("training", made.settings, tmp_path)
    assert opener.open(place)["arrays"]


def test_torch_stays_out_of_the_pages_and_the_engine(shared, moons):
    code = ("import sys; from landscape.runs import Jobs; import landscape.runs.engine, landscape.runs.clicks; "
            f"Jobs({str(shared.home)!r}).open({{'run': {moons!r}, 'network': 'w1 (seed 0)'}}); "
            "print('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
    with open(f"/proc/{shared.jobs.engine()['pid']}/maps") as maps:
        assert "libtorch" not in maps.read()


def test_open_and_keep_from_the_shell(command, tmp_path):
    from landscape.runs.where import parse_where

    home = tmp_path / "home"
    key, _, _ = compute_here("valleys", SMALL, home)
    status, out, err = command("open", key[:6], "optima:1,-0.5", "--json")
    assert status == 0, err
    assert '"where": "optima:1.0,-0.5"' in out.splitlines()[-1]
    assert holder(home / "writer.lock") is None  # no engine was started for it
    status, out, err = command("open", key, "bezier@0.5")
    assert status == 0, err
    assert "test error" in out
    status, out, err = command("keep", key, "bezier@0.5", "--title", "The middle")
    assert status == 0, err
    kept = out.strip()
    assert Library(home).run(kept).title == "The middle"
    assert parse_where(key, Library(home).run(kept).settings["where"])["t"] == 0.5
    status, out, err = command("export", kept)
    assert status == 0, err
    assert (tmp_path / kept / "weights/network.safetensors").exists()
    for words, message in ((("open", key, "optima"), "names no place"), (("open", key, "bezier@2"), "from t=0 to t=1"),
                           (("keep", key, "=w9", "--title", "x"), "no network 'w9'"), (("open", "zzzz", "=w"), "no run")):
        status, out, err = command(*words)
        assert status == 1
        assert message in err
        assert "Traceback" not in err
