"""The page server is killed while a run goes on, alone and together with all that computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
from sameness import assert_same
from serving import Server

SLOW = {"steps": 30, "pause": 0.1}


@pytest.fixture
def server(shop):
    shop.home.mkdir(mode=0o700)
    running = Server(shop.home)
    yield running
    running.stop()


def test_the_page_server_killed_mid_job_and_started_again(shop, server, undisturbed):
    key = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 3))
    server.stop(signal.SIGKILL)
    assert shop.library.run(key).status == "running"
    server.start()
    assert shop.ended(key).status == "done"
    assert len(shop.library.attempts(key)) == 1
    assert_same(shop.library, undisturbed(**SLOW)[0], key)


def test_server_engine_and_worker_killed_at_once(shop, server, undisturbed):
    key = shop.jobs.submit("stroll", SLOW)
    waiting = shop.jobs.submit("stroll", {"seed": 1})
    shop.until(lambda: shop.saved(key, 3))
    before = shop.walked(key)
    engine = psutil.Process(shop.jobs.engine()["pid"])
    together = [engine, *engine.children(recursive=True)]
    server.stop(signal.SIGKILL)
    for process in together:
        process.kill()
    psutil.wait_procs(together, timeout=10)
    assert shop.library.run(key).message.startswith("Interrupted: the process that computed it has ended.")
    assert shop.walked(key)[: len(before)] == before
    server.start()  # nobody asks for the runs again
    assert shop.ended(key).status == shop.ended(waiting).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "done"]
    assert_same(shop.library, undisturbed(**SLOW)[0], key)


def test_two_servers_and_two_shells_ask_for_the_first_run_at_once(shop, undisturbed, tmp_path):
    """None finds an engine, each would start one: one takes the store, and all of them are served by it."""
    code = ("import sys; from landscape.runs import Jobs; jobs = Jobs(sys.argv[1]); "
            "print(jobs.submit('stroll', {'marker': sys.argv[2]}), jobs.engine()['pid'])")
    marker = tmp_path / "attempts"
    asking = [subprocess.Popen([sys.executable, "-c", code, str(shop.home), str(marker)], stdout=subprocess.PIPE, text=True)
              for _ in range(4)]
    said = {process.communicate(timeout=40)[0] for process in asking}
    assert {process.returncode for process in asking} == {0}
    assert len(said) == 1
    key, pid = said.pop().split()
    assert shop.jobs.engine()["pid"] == int(pid)
    assert shop.ended(key).status == "done"
    assert len(marker.read_text().splitlines()) == 1
    assert os.listdir(shop.home / "weights") == [key]
