"""The workers, through Dask: of this machine, or those of an existing scheduler, which may be away for a while."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from landscape import __version__
from landscape.configuration import spreading
from landscape.errors import StoreError
from landscape.runs import worker
from landscape.runs.others import JOB
from landscape.runs.parts import OFF

JOB_WORKERS = 1  # jobs at a time on this machine; each may use every core
NAME = "landscape-engine"
LOOK = 1.0  # seconds between two looks at a scheduler elsewhere
SETTLED = 2.0  # seconds after which a scheduler knows of a job that it was given
PATIENCE = 5.0  # seconds for a scheduler to answer
KILLED = (
    "The process that computed this run was ended from outside each time it was tried; most often memory has run out. "
    "Everything saved is kept. Choose a smaller task, then start it again."
)
log = logging.getLogger("landscape.engine")


class Lost(Exception):
    """A job whose worker or scheduler went away: nobody's fault, it is to be given to another."""


class Crew:
    """Takes jobs and says how they ended. ``changed`` is called when a job has ended or workers have come or gone.

    ``places`` is the number of jobs that can run at a time, 0 while a scheduler elsewhere does not answer; ``away`` then
    says so in words.
    """

    def __init__(self, home: Path, scheduler: str | None, security, changed: Callable[[], None]):
        self.scheduler, self.places, self.away = scheduler, 0, ""
        self._whose = spreading() if scheduler else OFF
        self._free: list[str] = []  # workers that had no job at the last look and were given none since
        self._given: dict[str, tuple[str, float, object]] = {}  # name of a job -> worker it was given to, when, its future
        self._look_again = threading.Event()
        self._changed, self._closed = changed, threading.Event()
        self._client, self._cluster = None, None
        logging.getLogger("distributed").setLevel(logging.WARNING)  # what it says of every connection is of no use here
        if scheduler:
            self.away = f"Waiting for the scheduler {scheduler} to answer."
            threading.Thread(target=self._watch, name="crew", daemon=True).start()
        else:
            from distributed import Client

            self._cluster = _cluster_here(home, security)
            self._client, self.places = Client(self._cluster, name=NAME), JOB_WORKERS

    def start(self, key: str, *given):
        """A future of ``worker.job(key, *given)``. Raises Lost if the scheduler has just gone."""
        name = f"{JOB}{key}-{uuid.uuid4().hex}"  # never the name of an attempt that Dask may still remember
        # By name where there are several: Dask would see no difference between one that has a job and one that helps it.
        address = self._free.pop(0) if self._free else ""
        place = {"workers": [address], "allow_other_workers": True} if address and self.places > 1 else {}
        try:
            future = self._client.submit(worker.job, key, *given, __version__, self._whose, key=name, pure=False, **place)
        except Exception as error:
            raise Lost(f"{type(error).__name__}: {error}") from None
        self._given[name] = address, time.monotonic(), future
        future.add_done_callback(lambda _: self._ended(name))
        return future

    def vacancies(self, taken: int) -> int:
        """How many jobs can be started now, beside those that are ``taken``."""
        return max(0, min(self.places - taken, len(self._free) if self.scheduler else self.places))

    def _ended(self, name: str) -> None:
        self._given.pop(name, None)
        self._look_again.set()
        self._changed()

    def drop(self, future) -> None:
        """Nobody waits for the job any more. Returns at once, also where a scheduler does not answer."""

        def cancel() -> None:
            with suppress(Exception):  # a scheduler that is gone remembers nothing of it
                future.cancel(force=True)

        threading.Thread(target=cancel, name="drop", daemon=True).start()

    def end_worker(self, address: str, pid: int) -> None:
        """End the process of a worker; its nanny starts another."""
        if self.scheduler:
            end = {"workers": [address], "timeout": 10, "raise_for_error": False}
            threading.Thread(target=self._restart, kwargs=end, daemon=True).start()
        else:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self._closed.set()
        self._look_again.set()
        for each in (self._client, self._cluster):
            if each is not None:
                with suppress(Exception):
                    each.close()

    # A scheduler elsewhere

    def _restart(self, **end) -> None:
        with suppress(Exception):  # if it is gone, so is the job
            self._client.restart_workers(**end)

    def _watch(self) -> None:
        before = None
        while not self._closed.is_set():
            self._look_again.clear()
            self._look()
            if (now := (self.places, self.away)) != before:
                before = now
                log.info("%s", self.away or f"the scheduler {self.scheduler} has {self.places} workers")
            self._changed()
            self._look_again.wait(LOOK)

    def _look(self) -> None:
        """Count the workers; connect again if the connection is lost."""
        from distributed import Client

        try:
            if self._client is None or self._client.status == "closed":
                _knock(self.scheduler)
                self._client = Client(self.scheduler, name=NAME, timeout=PATIENCE)
            elif self._client.status != "running":
                raise OSError("the connection is lost")
            known = self._client.sync(self._client.scheduler.processing, workers=None, callback_timeout=PATIENCE)
            self.places = len(known)
            self._note({address: {str(key) for key in keys} for address, keys in known.items()})
            self.away = "" if self.places else (
                f"The scheduler {self.scheduler} has no workers now. The run goes on when one has come."
            )
        except Exception as error:  # Dask raises what it likes; all of it means that nobody answers
            log.debug("looking at %s", self.scheduler, exc_info=error)
            self.places, self._free = 0, []
            self.away = (
                f"The scheduler {self.scheduler} does not answer. The run goes on from what is saved when it does: start it "
                "again, or look at the network between the two."
            )


    def _note(self, tasks: dict[str, set[str]]) -> None:
        """Which workers have no job, by the names of the tasks that each has."""
        busy = {address for address, names in tasks.items() if any(name.startswith(JOB) for name in names)}
        for name, (address, since, future) in list(self._given.items()):
            if time.monotonic() - since < SETTLED:
                busy.add(address)
            elif address and address not in tasks and not any(name in names for names in tasks.values()):
                self.drop(future)  # it was given to a worker that has gone, and Dask would wait for that one for ever
        self._free = [address for address in tasks if address not in busy]


def end_of(future) -> tuple[str, str, str]:
    """``(status, message, detail)`` of a job that has ended. Raises Lost if it has not ended by itself."""
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    if future.status == "finished":
        return tuple(future.result())
    if future.status == "cancelled":
        raise Lost("the scheduler has forgotten the job")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return "failed", KILLED, ""
    if isinstance(error, (ConnectionError, CommClosedError)):
        raise Lost(str(error))
    log.error("a job ended with an error", exc_info=error)
    if isinstance(error, StoreError):
        return "failed", str(error), ""
    return "failed", (
        f"A worker could not take up this run ({type(error).__name__}: {error}). Install Loss Valleys {__version__} on "
        "every machine of the scheduler, then start the run again."
    ), ""


def _knock(address: str) -> None:
    """Raises OSError if nobody listens there: cheaper to ask again and again than to make a client that finds nobody."""
    host, _, port = address.split("://")[-1].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _cluster_here(home: Path, security):
    import dask
    from distributed import LocalCluster

    dask.config.set(
        {
            # Dask would give each worker one thread for linear algebra; a job is alone and may use them all.
            "distributed.nanny.pre-spawn-environ": {},
            # The status pages are not behind TLS: they have nothing to tell.
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            # It would close the nanny when no worker is there so long after one was lost, be it that another was just ended.
            "distributed.deploy.lost-worker-timeout": "1000 days",
        }
    )
    return LocalCluster(
        n_workers=JOB_WORKERS,
        threads_per_worker=1,
        processes=True,
        protocol="tls://",
        security=security,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        memory_limit=0,
        preload=[worker.__name__],
        local_directory=str(home / "workers"),
    )

