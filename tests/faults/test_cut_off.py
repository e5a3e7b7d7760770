"""A scheduler elsewhere is killed, workers stop answering, the network between them is cut."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import time

import psutil
import pytest
from elsewhere import Elsewhere
from sameness import assert_same

from landscape import ROOT
from landscape.runs import Jobs
from landscape.runs.channel import Channel

SLOW = {"steps": 40, "pause": 0.1}


@pytest.fixture
def elsewhere(tmp_path):
    with Elsewhere(tmp_path) as made:
        yield made


def test_a_run_waits_for_a_scheduler_that_is_not_there_yet(shop, elsewhere, undisturbed):
    jobs = Jobs(shop.home, scheduler=elsewhere.address)
    key = jobs.submit("stroll", {})
    shop.until(lambda: "does not answer" in shop.library.run(key).message)
    assert shop.library.run(key).status == "queued"
    elsewhere.scheduler()
    shop.until(lambda: "has no workers" in shop.library.run(key).message)
    elsewhere.worker()
    assert shop.ended(key, 30).status == "done"
    assert_same(shop.library, undisturbed()[0], key)


def test_the_scheduler_is_killed_mid_job_and_started_again(shop, elsewhere, undisturbed):
    scheduler, worker = elsewhere.scheduler(), elsewhere.worker()
    jobs = Jobs(shop.home, scheduler=elsewhere.address)
    key, waiting = jobs.submit("stroll", SLOW), jobs.submit("stroll", {"seed": 1})
    shop.until(lambda: shop.saved(key, 3), 30)
    elsewhere.end(scheduler)
    shop.until(lambda: "does not answer" in shop.library.run(key).message, 30)
    assert shop.library.run(key).status == "queued"
    jobs.cancel(waiting)  # the engine answers all the same
    assert shop.ended(waiting, 3).status == "cancelled"
    elsewhere.end(worker)
    elsewhere.scheduler()
    elsewhere.worker()
    run = shop.ended(key, 60)
    assert (run.status, run.message) == ("done", "")
    assert_same(shop.library, undisturbed(**SLOW)[0], key)
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "done"]


def test_a_worker_that_comes_back_does_not_write_beside_its_successor(shop, elsewhere, undisturbed):
    """It stops answering (as a machine that sleeps, or whose network is cut), is given up, and wakes while another works."""
    elsewhere.scheduler()
    elsewhere.worker(ROOT, "--no-nanny")
    jobs = Jobs(shop.home, scheduler=elsewhere.address)
    key = jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 3), 30)
    asleep = psutil.Process(shop.library.attempts(key)[-1]["pid"])
    asleep.suspend()
    elsewhere.worker()
    shop.until(lambda: len(shop.library.attempts(key)) == 2, 60)
    assert "ended from outside" in shop.library.run(key).message
    asleep.resume()
    assert shop.ended(key, 60).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "done"]
    assert_same(shop.library, undisturbed(**SLOW)[0], key)
    time.sleep(1)
    assert len(shop.library.attempts(key)) == 2


def test_only_the_last_worker_to_take_up_a_run_is_heard(shop, undisturbed):
    key = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 3))
    pem = (shop.home / "certificate.pem").read_text()
    with Channel(shop.jobs.engine()["address"], pem) as other, Channel(shop.jobs.engine()["address"], pem) as aside:
        assert other.working(key, "tcp://elsewhere:1", 4194303)  # the worker that had it is cut off, and takes it up anew
        shop.until(lambda: len(shop.library.attempts(key)) == 2)
        with pytest.raises(ConnectionError):
            other.save(key, "summary", "{}", b"")
        assert aside.alive()
    assert shop.ended(key).status == "done"
    assert_same(shop.library, undisturbed(**SLOW)[0], key)


def test_a_connection_to_the_engine_that_breaks_is_made_again(shop, undisturbed, monkeypatch):
    """The worker is a thread of this process, and its line is cut in the middle of a call, twice."""
    from distributed import LocalCluster

    calls, call = [], Channel.call

    def breaking(self, method, *args, **kwargs):
        calls.append(method)
        if method == "save" and calls.count("save") in (3, 5):
            self._socket.shutdown(socket.SHUT_RDWR)
        return call(self, method, *args, **kwargs)

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp://",
                      host="127.0.0.1") as cluster:
        jobs = Jobs(shop.home, scheduler=cluster.scheduler_address)
        jobs._ask("alive")
        monkeypatch.setattr(Channel, "call", breaking)
        key = jobs.submit("stroll", {"steps": 10, "pause": 0.05})
        assert shop.ended(key, 40).status == "done"
        assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "interrupted", "done"]
        assert_same(shop.library, undisturbed(steps=10, pause=0.05)[0], key)
        shop.close()


def loopback(up: bool) -> None:
    """Switch the only network of this namespace: all connections between engine, scheduler and workers are cut at once."""
    with socket.socket() as any_socket:
        flags = socket.htons(0) | (0x1 | 0x40 if up else 0)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", flags))  # SIOCSIFFLAGS


@pytest.mark.namespace("--net")
@pytest.mark.parametrize("seconds", [2, 14])
def test_the_network_is_cut_and_comes_back(tmp_path, undisturbed, seconds):
    """For a moment, and for longer than the connections live (12 s here)."""
    from shops import Shop

    loopback(True)
    shop = Shop(tmp_path / "home")
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.scheduler()
        elsewhere.worker()
        jobs = Jobs(shop.home, scheduler=elsewhere.address)
        key = jobs.submit("stroll", SLOW)
        shop.until(lambda: shop.saved(key, 3), 30)
        loopback(False)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", elsewhere.port), timeout=1)
        time.sleep(seconds)
        assert shop.library.run(key).status in ("queued", "running")
        loopback(True)
        if seconds > 12:
            elsewhere.worker()  # Dask's own ends when it has lost its scheduler; whoever runs them starts another
        assert shop.ended(key, 90).status == "done", shop.library.run(key).message
        assert_same(shop.library, undisturbed(**SLOW)[0], key)
        os.kill(shop.jobs.engine()["pid"], signal.SIGTERM)
