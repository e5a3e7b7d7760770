"""The engine: another process computes, and nothing that happens to it or to its clients loses anything."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from landscape.errors import BadInput, StoreError
from landscape.runs import Jobs, Library
from landscape.runs.channel import Channel
from landscape.runs.engine import Engine
from landscape.runs.home import Lock, holder
from landscape.runs.store import Store

SLOW = {"steps": 12, "pause": 0.15}


def test_two_clients_see_one_run_that_is_computed_once(shared, tmp_path, undisturbed):
    marker = tmp_path / "marker"
    settings = {"steps": 8, "pause": 0.1, "marker": str(marker)}
    words = [f"--set={name}={value}" for name, value in settings.items()]
    key = shared.jobs.submit("stroll", settings)
    shell = subprocess.Popen([sys.executable, "-m", "landscape", "run", "stroll", *words, "--json", f"--home={shared.home}"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert Jobs(shared.home).submit("stroll", settings) == key
    other = Library(shared.home)
    fractions = set()
    while other.run(key).status in ("queued", "running"):
        progress = other.progress(key)
        fractions.add(round(progress.fraction, 3) if progress else 0.0)
        time.sleep(0.02)
    out, err = shell.communicate(timeout=20)
    assert shell.returncode == 0, err
    assert f'"key": "{key}"' in out.splitlines()[-1]
    assert len(fractions) >= 3
    assert other.run(key).status == "done"
    assert shared.walked(key) == undisturbed(steps=8)
    assert len(marker.read_text().splitlines()) == 1
    shared.jobs.submit("stroll", settings)  # done: nothing happens
    assert len(other.attempts(key)) == 1


def test_torch_and_dask_stay_out_of_the_page_process(shared):
    code = ("import sys; from landscape.runs import Jobs, Library; import landscape.runs.engine, landscape.__main__; "
            f"key = Jobs({str(shared.home)!r}).submit('stroll', {{'steps': 2}}); "
            "print([name for name in ('torch', 'distributed', 'streamlit', 'multiprocessing') if name in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_worker_and_nobody_else_imports_what_jobs_need(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_PRELOAD", "preloaded,not_there")
    monkeypatch.setenv("PRELOADED", str(tmp_path / "preloaded"))
    key = shop.jobs.submit("stroll", {})
    assert shop.ended(key).status == "done"
    worker = shop.library.attempts(key)[0]["pid"]
    assert (tmp_path / "preloaded").read_text().split() == [str(worker)]
    assert worker not in (os.getpid(), shop.jobs.engine()["pid"])
    assert "could not import not_there" in (shop.home / "engine.log").read_text()


@pytest.mark.parametrize("fault", ["none", "deaf"])
def test_cancel_holds_within_two_seconds_and_the_run_goes_on_later(shared, undisturbed, fault):
    settings = {"steps": 12, "pause": 0.1, "seed": 5, "fault": fault}
    key = shared.jobs.submit("stroll", settings)
    shared.until(lambda: shared.saved(key, 1))
    worker = shared.library.attempts(key)[-1]["pid"]
    start = time.monotonic()
    shared.jobs.cancel(key)
    assert shared.ended(key).status == "cancelled"
    assert time.monotonic() - start < 2
    if fault == "deaf":
        shared.until(lambda: not psutil.pid_exists(worker), 1)
        return
    saved = len(shared.walked(key))
    assert 1 <= saved < 12
    shared.jobs.submit("stroll", settings)
    assert shared.ended(key).status == "done"
    assert shared.walked(key) == undisturbed(steps=12, seed=5)
    assert [each["outcome"] for each in shared.library.attempts(key)] == ["cancelled", "done"]


def test_a_run_asked_for_again_while_it_stops_is_computed(shared):
    settings = {"steps": 10, "pause": 0.1, "seed": 6}
    key = shared.jobs.submit("stroll", settings)
    shared.until(lambda: shared.saved(key, 1))
    shared.jobs.cancel(key)
    shared.jobs.submit("stroll", settings)
    shared.until(lambda: shared.library.run(key).status == "done")
    assert len(shared.walked(key)) == 10


def test_the_queue_is_fair_and_a_waiting_run_is_cancelled_at_once(shared):
    keys = [shared.jobs.submit("stroll", {"steps": 5, "pause": 0.1, "seed": seed}) for seed in (10, 11, 12)]
    shared.jobs.cancel(keys[1])
    assert shared.library.run(keys[1]).status == "cancelled"
    with pytest.raises(BadInput, match="Cancel it first"):
        shared.jobs.delete(keys[2])
    first, last = shared.ended(keys[0]), shared.ended(keys[2])
    assert first.status == last.status == "done"
    assert first.started < first.finished <= last.started
    assert shared.library.attempts(keys[1]) == []
    shared.jobs.rename(keys[2], "The last")
    assert shared.library.run(keys[2]).title == "The last"
    shared.until(lambda: not _refused(shared.jobs.delete, keys[2]))
    assert keys[2] not in [run.key for run in shared.library.runs()]


def _refused(act, *args) -> bool:
    try:
        act(*args)
    except BadInput:
        return True
    return False


def test_a_killed_worker_s_run_goes_on_and_ends_as_if_undisturbed(shared, undisturbed):
    settings = {"steps": 12, "pause": 0.1, "seed": 20}
    key = shared.jobs.submit("stroll", settings)
    shared.until(lambda: shared.saved(key, 4))
    os.kill(shared.library.attempts(key)[-1]["pid"], signal.SIGKILL)
    assert shared.ended(key).status == "done"
    assert shared.walked(key) == undisturbed(steps=12, seed=20)
    assert [each["outcome"] for each in shared.library.attempts(key)] == ["interrupted", "done"]


def test_a_run_that_ends_its_worker_every_time_fails_and_the_next_one_runs(shared):
    key = shared.jobs.submit("stroll", {"fault": "always kill"})
    after = shared.jobs.submit("stroll", {"seed": 30})
    run = shared.ended(key, 40)
    assert run.status == "failed"
    assert "ended from outside each time" in run.message
    assert len(shared.library.attempts(key)) == 4
    assert shared.ended(after).status == "done"


@pytest.mark.parametrize(("fault", "message"), [("error", "RuntimeError: the third step broke"),
                                                ("input", "Expected two legs, found three.")])
def test_a_run_that_fails_says_why_and_keeps_what_it_saved(shared, fault, message):
    key = shared.jobs.submit("stroll", {"fault": fault})
    assert shared.ended(key).message == message
    assert len(shared.walked(key)) == 3


def test_children_are_computed_in_the_worker_too(shared):
    key = shared.jobs.submit("pair", {"seeds": (40, 41)})
    assert shared.ended(key).status == "done"
    assert [shared.library.run(parent).status for parent in shared.library.run(key).parents] == ["done", "done"]


def test_settings_are_checked_before_anything_is_asked(shop):
    with pytest.raises(BadInput, match="Did you mean 'steps'"):
        shop.jobs.submit("stroll", {"step": 1})
    with pytest.raises(BadInput, match="Did you mean 'stroll'"):
        shop.jobs.submit("strlol", {})
    assert shop.jobs.engine() is None


def test_a_killed_engine_s_runs_go_on_with_the_next_one(shop, undisturbed):
    key = shop.jobs.submit("stroll", SLOW)
    waiting = shop.jobs.submit("stroll", {"seed": 1})
    shop.until(lambda: shop.saved(key, 4))
    worker = shop.library.attempts(key)[-1]["pid"]
    os.kill(shop.jobs.engine()["pid"], signal.SIGKILL)
    shop.until(lambda: shop.jobs.engine() is None)
    assert shop.library.run(key).status == "cancelled"
    assert "goes on" in shop.library.run(key).message
    shop.until(lambda: not psutil.pid_exists(worker), 5)
    assert Jobs(shop.home).resume()
    assert shop.ended(key).status == shop.ended(waiting).status == "done"
    assert shop.walked(key) == undisturbed(steps=12)
    assert not Jobs(shop.home).resume()


def test_an_engine_with_other_settings_is_renewed_and_its_runs_go_on(shop, undisturbed, monkeypatch):
    key = shop.jobs.submit("stroll", {"steps": 60, "pause": 0.1})
    shop.until(lambda: shop.saved(key, 4))
    assert not shop.jobs.renew(), "an engine that obeys the same settings stays"
    before = shop.jobs.engine()["pid"]
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "my_networks")
    assert shop.jobs.renew()
    assert shop.jobs.resume()
    assert shop.jobs.engine()["pid"] != before
    assert shop.ended(key).status == "done"
    assert shop.walked(key) == undisturbed(steps=60)


def test_the_engine_outlives_its_client_and_is_found_again(shop):
    code = (f"from landscape.runs import Jobs; jobs = Jobs({str(shop.home)!r}); "
            f"print(jobs.submit('stroll', {SLOW!r}), jobs.engine()['pid'])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    key, pid = out.split()
    assert shop.library.run(key).status in ("queued", "running")
    assert shop.jobs.submit("stroll", SLOW) == key
    assert shop.jobs.engine()["pid"] == int(pid)
    assert shop.ended(key).status == "done"
    assert len(shop.library.attempts(key)) == 1


def test_a_second_engine_and_a_second_writer_are_refused(shared):
    shared.jobs._ask("alive")
    done = subprocess.run([sys.executable, "-m", "landscape.runs.engine", "--home", str(shared.home)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"written by process {shared.jobs.engine()['pid']} (engine)" in done.stderr
    with pytest.raises(StoreError, match=r"\(engine\)"):
        Store(shared.home)


def test_a_store_in_which_a_shell_computes_takes_no_jobs(shop):
    with Store(shop.home), pytest.raises(StoreError, match=f"Process {os.getpid()} .* is computing"):
        shop.jobs.submit("stroll", {})


def test_an_idle_engine_ends_but_not_while_pages_are_served(shop, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ENGINE_IDLE", "0.5")
    shop.home.mkdir(mode=0o700)
    lock = Lock.take(shop.home / "server.lock", {"url": "http://localhost:1"})
    shop.ended(shop.jobs.submit("stroll", {}))
    pid = shop.jobs.engine()["pid"]
    time.sleep(2)
    assert shop.jobs.engine()["pid"] == pid
    lock.release()
    shop.until(lambda: holder(shop.home / "writer.lock") is None)
    shop.until(lambda: not psutil.pid_exists(pid), 5)
    shop.jobs.rename(shop.library.runs()[0].key, "No engine is started for this")
    assert shop.jobs.engine() is None


def test_the_last_words_of_a_run_wait_for_room_on_the_disk(tmp_path, monkeypatch):
    engine = Engine(tmp_path, None)
    try:
        key = engine.submit("stroll", {})
        engine.queue.clear()
        engine.closing[key] = ("failed", "The disk is full.", "")
        with monkeypatch.context() as patch:
            patch.setattr(engine.store, "finish", _no_room)
            engine._settle()
        assert engine.store.status(key) == "queued"
        engine._settle()
        assert Library(tmp_path).run(key).message == "The disk is full."
        assert not engine.closing
    finally:
        engine.server.shutdown()
        engine.store.close()


def _no_room(*_):
    raise StoreError("no room")


# Closed to others


def ports(pid: int) -> list[int]:
    """Where a process and its children listen; fails if that is not on this machine only."""
    root = psutil.Process(pid)
    found = [c.laddr for p in [root, *root.children(recursive=True)] for c in p.net_connections("inet")
             if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in found} == {"127.0.0.1"}
    return [address.port for address in found]


def test_a_client_without_the_certificate_gets_nothing_from_any_port(shared):
    shared.ended(shared.jobs.submit("stroll", {"seed": 50}))
    open_ports = ports(shared.jobs.engine()["pid"])
    assert len(open_ports) >= 3
    for port in open_ports:
        with pytest.raises(OSError) as refused:  # a URLError is one
            urllib.request.urlopen(f"http://127.0.0.1:{port}/json/identity.json", timeout=1)
        assert getattr(refused.value, "code", 404) == 404
        assert _answer_over_tls(port) == b""
        assert _refused_by_dask(port)


def _answer_over_tls(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=1)) as line:
            line.sendall(b"\0" * 64)
            return line.recv(100)
    except OSError:
        return b""


def _refused_by_dask(port: int) -> bool:
    from distributed.core import rpc

    async def ask():
        async with rpc(f"tcp://127.0.0.1:{port}", timeout=1) as scheduler:
            return await asyncio.wait_for(scheduler.identity(), 1)

    try:
        asyncio.run(ask())
    except (TimeoutError, OSError):
        return True
    return False


def test_another_certificate_is_refused_and_silence_blocks_nobody(shared):
    from distributed.security import Security

    shared.jobs._ask("alive")
    address = shared.jobs.engine()["address"]
    host, port = address.split(":")
    silent = socket.create_connection((host, int(port)))
    other = Security.temporary()
    with pytest.raises(ConnectionError), Channel(address, other.tls_client_key + other.tls_client_cert) as channel:
        channel.call("alive")
    pem = (shared.home / "certificate.pem").read_text()
    assert (shared.home / "certificate.pem").stat().st_mode & 0o777 == 0o600
    with Channel(address, pem) as channel:
        assert channel.call("alive") is True
        assert channel.load("nothing", "there") is None
        with pytest.raises(BadInput, match="no run"):
            channel.describe("nothing")
        with pytest.raises(RuntimeError, match="__init__"):
            channel.call("__init__")
    silent.close()


def test_an_existing_scheduler_computes_too(shop, undisturbed):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp://",
                      host="127.0.0.1") as cluster:
        jobs = Jobs(shop.home, scheduler=cluster.scheduler_address)
        key = jobs.submit("stroll", {"steps": 6, "pause": 0.02})
        assert shop.ended(key).status == "done"
        assert shop.library.attempts(key)[0]["pid"] == os.getpid()  # its worker is a thread of this process
        assert shop.walked(key) == undisturbed(steps=6)
        shop.close()
