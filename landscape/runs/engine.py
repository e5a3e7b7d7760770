"""The process that computes: ``python -m landscape.runs.engine --home FOLDER``.

It is the only writer of the store, keeps the queue, and has Dask run the jobs: on workers of its own on this machine,
or on those of an existing scheduler. It outlives the page server and ends by itself after a while without work.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from landscape.errors import BadInput, StoreError
from landscape.runs import worker
from landscape.runs.channel import Server
from landscape.runs.clicks import Clicks
from landscape.runs.context import STOPPED
from landscape.runs.home import holder, home_of, write_atomically
from landscape.runs.records import UNFINISHED, identify
from landscape.runs.store import Store
from landscape.settings import settings_of

JOB_WORKERS = 1  # jobs at a time on this machine; each may use every core
GRACE = 1.5  # seconds between the wish to cancel and the end of the worker that did not hear it
IDLE = 600.0  # seconds without work, without requests and without a page server (LANDSCAPE_ENGINE_IDLE)
WRITES = ("enter", "describe", "begin", "link", "report", "finish", "save", "load", "save_weights", "load_weights")
log = logging.getLogger("landscape.engine")


class Engine:
    """Queue, cancelling and bookkeeping. Requests come in the channel's threads, ``serve`` does the rest in one loop."""

    def __init__(self, home: Path, scheduler: str | None, obeys: str = ""):
        from distributed.security import Security
        from distributed.utils import get_ip

        self.scheduler = scheduler
        self.security = Security.temporary()
        self.pem = self.security.tls_client_key + self.security.tls_client_cert
        self.store = Store(home, {"kind": "engine"})
        self.queue = deque(self.store.unfinished())
        self.futures: dict[str, object] = {}
        self.workers: dict[str, tuple[str, int]] = {}  # key -> Dask address and process of the worker that has it
        self.cancelling: dict[str, float] = {}  # key -> when the worker ends
        self.closing: dict[str, tuple[str, str, str]] = {}  # ends that a full disk has not taken yet
        self.changed = threading.Condition()
        self.stopping = False
        write_atomically(self.store.home / "certificate.pem", self.pem.encode())
        self.clicks = Clicks(self.store.home)
        own = (self.submit, self.cancel, self.delete, self.working, self.alive, self.stop, self.open, self.keep, self.warm,
               self.average)
        handlers = {function.__name__: function for function in own} | {"rename": self.store.rename}
        handlers |= {name: getattr(self.store, name) for name in WRITES}
        self.server = Server(get_ip(_host(scheduler)) if scheduler else "127.0.0.1", self.pem, handlers)
        self.store.lock.say({"kind": "engine", "address": self.server.address, "obeys": obeys})
        log.info("serving %s at %s, %d runs to go on with", self.store.home, self.server.address, len(self.queue))

    # Requests

    def alive(self) -> bool:
        return True

    def stop(self) -> None:
        """End the engine; unfinished runs go on when the next one starts."""
        with self.changed:
            self.stopping = True
            self.changed.notify_all()

    def submit(self, recipe: str, settings: dict) -> str:
        wanted = identify(recipe, settings_of(recipe)(**settings))
        with self.changed:
            if self.stopping:
                raise ConnectionAbortedError("the engine is ending")
            known = self.queue.count(wanted.key) or wanted.key in self.futures
            on_its_way = known and self.store.status(wanted.key) in UNFINISHED and wanted.key not in self.cancelling
            if self.store.enter(**wanted.row()) in UNFINISHED and not on_its_way:
                self.queue.append(wanted.key)
                self.changed.notify_all()
        return wanted.key

    def cancel(self, key: str) -> None:
        with self.changed:
            if key in self.queue:
                self.queue.remove(key)
            jobs = [job for job in self.futures if self._made_from(job, key)]
            if not jobs:
                self.store.finish(key, "cancelled", STOPPED)
            self.store.request_cancel(key)
            for job in jobs:
                self.cancelling.setdefault(job, time.monotonic() + GRACE)
            self.changed.notify_all()

    def _made_from(self, job: str, key: str) -> bool:
        return job == key or any(self._made_from(parent, key) for parent in self.store.parents(job))

    def delete(self, key: str) -> None:
        with self.changed:
            if key in self.futures:
                raise BadInput(f"Run {key} is just ending. Try again in a moment.")
            self.store.delete(key)

    def working(self, key: str, address: str, pid: int) -> bool:
        """A worker has taken up a job; False if nobody wants it any more."""
        with self.changed:
            self.workers[key] = (address, pid)
            return key in self.futures

    # Clicks, answered by a process of their own

    def open(self, where: dict) -> dict[str, bytes | str]:
        return self.clicks.ask("open", where)

    def average(self, region: dict) -> dict[str, bytes | str]:
        return self.clicks.ask("average", region)

    def keep(self, where: dict, title: str | None) -> str:
        return self.clicks.ask("keep", where, title, self.server.address)

    def warm(self, run: str | None) -> None:
        self.clicks.ask("warm", run)

    # The loop

    def serve(self) -> None:
        client = self._client()
        idle = float(os.environ.get("LANDSCAPE_ENGINE_IDLE", IDLE))
        while True:
            with self.changed:
                self._settle()
                self._dispatch(client)
                self._insist(client)
                busy = self.queue or self.futures or self.closing or self.server.calls
                if busy or holder(self.store.home / "server.lock") is not None:
                    self.server.last_call = time.monotonic()
                self.stopping |= time.monotonic() - self.server.last_call > idle
                if self.stopping:
                    break
                self.changed.wait(0.1 if self.cancelling else 1.0)
        log.info("ending")
        self.server.shutdown()
        self.clicks.close()
        client.close()
        if client.cluster is not None:
            client.cluster.close()
        self.store.close()

    def _client(self):
        import dask
        from distributed import Client, LocalCluster

        logging.getLogger("distributed").setLevel(logging.WARNING)  # what it says of every connection is of no use here
        if self.scheduler:
            return Client(self.scheduler, name="landscape-engine")
        dask.config.set(
            {
                # Dask would give each worker one thread for linear algebra; a job is alone and may use them all.
                "distributed.nanny.pre-spawn-environ": {},
                # The status pages are not behind TLS: they have nothing to tell.
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        )
        cluster = LocalCluster(
            n_workers=JOB_WORKERS,
            threads_per_worker=1,
            processes=True,
            protocol="tls://",
            security=self.security,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            preload=[worker.__name__],
            local_directory=str(self.store.home / "workers"),
        )
        return Client(cluster, name="landscape-engine")

    def _notify(self, _future) -> None:
        with self.changed:
            self.changed.notify_all()

    def _dispatch(self, client) -> None:
        """Give Dask the next jobs, no more than it can start: the queue is ours, in the order it was asked for."""
        places = JOB_WORKERS if not self.scheduler else max(1, len(client.scheduler_info()["workers"]))
        for key in [key for key in self.queue if key not in self.futures][: max(0, places - len(self.futures))]:
            self.queue.remove(key)
            if self.store.requeue(key) in UNFINISHED:
                self.workers.pop(key, None)
                name = f"job-{key}-{time.time_ns()}"  # never the name of an attempt that Dask may still remember
                self.futures[key] = client.submit(worker.job, key, self.server.address, self.pem, key=name, pure=False)
                self.futures[key].add_done_callback(self._notify)

    def _settle(self) -> None:
        """Note the end of jobs that have ended, also of those that could not say it themselves."""
        for key in [key for key, future in self.futures.items() if future.done()]:
            end = _end(self.futures.pop(key))
            self.cancelling.pop(key, None)
            if key not in self.queue and self.store.status(key) in UNFINISHED:
                self.closing[key] = end
        for key, end in list(self.closing.items()):
            try:
                self.store.finish(key, *end)
                del self.closing[key]
            except StoreError as error:
                log.error("run %s: %s", key, error)

    def _insist(self, client) -> None:
        """End the workers whose jobs did not hear that they are to stop."""
        now = time.monotonic()
        for key in [key for key, when in self.cancelling.items() if now >= when or key not in self.workers]:
            del self.cancelling[key]
            self.futures.pop(key).cancel(force=True)
            if key not in self.queue:
                self.closing[key] = ("cancelled", STOPPED, "")
            if key in self.workers:
                address, pid = self.workers.pop(key)
                log.warning("run %s did not stop by itself: ending its worker %s", key, address)
                self._end_worker(client, address, pid)
            self.changed.notify_all()

    def _end_worker(self, client, address: str, pid: int) -> None:
        if self.scheduler:
            end = {"workers": [address], "timeout": 10, "raise_for_error": False}
            threading.Thread(target=client.restart_workers, kwargs=end, daemon=True).start()
        else:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # its nanny starts another


def _end(future) -> tuple[str, str, str]:
    from distributed import KilledWorker

    if future.status == "finished":
        return tuple(future.result())
    if future.status == "cancelled":
        return "cancelled", STOPPED, ""
    error = future.exception()
    if isinstance(error, KilledWorker):
        return (
            "failed",
            (
                "The process that computed this run was ended from outside each time it was tried; most "
                "often memory has run out. Everything saved is kept. Choose a smaller task, then start it "
                "again."
            ),
            "",
        )
    log.error("a job ended with an error", exc_info=error)
    return "failed", f"{type(error).__name__}: {error}", ""


def _host(address: str) -> str:
    return address.split("://")[-1].rsplit(":", 1)[0].strip("[]")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m landscape.runs.engine", description="Compute the runs of a store.")
    parser.add_argument("--home", type=Path, help="the store's folder (default: LANDSCAPE_HOME)")
    parser.add_argument("--obeys", default="", help="fingerprint of the settings of the process that starts it")
    parser.add_argument("--scheduler", default=os.environ.get("LANDSCAPE_SCHEDULER"), help="an existing Dask scheduler")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        engine = Engine(home_of(options.home), options.scheduler or None, options.obeys)
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=engine.stop).start())
    engine.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
