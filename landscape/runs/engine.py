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
from pathlib import Path

from landscape.errors import BadInput, Cancelled, StoreError
from landscape.runs.board import Board
from landscape.runs.channel import Server
from landscape.runs.claims import Claims
from landscape.runs.clicks import ASIDE, Clicks
from landscape.runs.context import STOPPED
from landscape.runs.crew import Crew, Lost, end_of
from landscape.runs.home import holder, home_of, write_atomically
from landscape.runs.people import People, Person
from landscape.runs.records import UNFINISHED, identify
from landscape.runs.store import Store
from landscape.runs.turns import Line
from landscape.settings import settings_of

GRACE = 1.5  # seconds between the wish to cancel and the end of the worker that did not hear it
IDLE = 600.0  # seconds without work, without requests and without a page server (LANDSCAPE_ENGINE_IDLE)
LOSSES = 10  # times that a run may lose its worker's connection before it is given up
WRITES = ("enter", "describe", "begin", "link", "save", "load", "save_weights", "load_weights", "place", "note_weights")
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
        self.people = People(self.store)
        self.turns = Line(self.people.wishes())
        self.futures: dict[str, object] = {}
        self.workers: dict[str, tuple[str, int]] = {}  # key -> Dask address and process of the worker that has it
        self.cancelling: dict[str, float] = {}  # key -> when the worker ends
        self.closing: dict[str, tuple[str, str, str]] = {}  # ends that a full disk has not taken yet
        self.lines: dict[str, object] = {}  # key -> connection of the only worker that may write it
        self.claims = Claims(self.store, self.lines, lambda: {*self.queue, *self.futures} - self.cancelling.keys())
        self.losses: dict[str, tuple[int, float]] = {}  # key -> how often its worker was lost, when it is given to another
        self.board = Board(self.store, self.people, self.claims.elsewhere)
        self.changed = threading.Condition()
        self.stopping = False
        write_atomically(self.store.home / "certificate.pem", self.pem.encode())
        self.clicks, self.estimates = Clicks(self.store.home), Clicks(self.store.home, ASIDE)
        own = (self.submit, self.cancel, self.delete, self.working, self.alive, self.stop, self.open, self.keep, self.warm,
               self.average, self.rename, self.estimate, self.claim, self.report, self.finish)
        handlers = {function.__name__: function for function in own}
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

    def submit(self, recipe: str, settings: dict, person: str = "", name: str = "") -> str:
        wanted, asking = identify(recipe, settings_of(recipe)(**settings)), Person(person, name)
        with self.changed:
            if self.stopping:
                raise ConnectionAbortedError("the engine is ending")
            known = self.queue.count(wanted.key) or wanted.key in self.futures
            on_its_way = known and self.store.status(wanted.key) in UNFINISHED and wanted.key not in self.cancelling
            self.people.admit(wanted.key, asking)
            status = self.store.enter(**wanted.row())
            self.people.wish(wanted.key, asking)
            self.turns.wish(wanted.key, person)
            if status in UNFINISHED and not on_its_way:
                self.queue.append(wanted.key)
                self.changed.notify_all()
        return wanted.key

    def cancel(self, key: str, person: str = "", name: str = "") -> None:
        """End the run's own job. What others need is left to them; if that is the run itself, it becomes part of theirs."""
        self.people.may(key, Person(person, name), "cancel")
        with self.changed:
            others = self.claims.needed(key, but=key)
            if others and not self.store.asked(key):
                raise BadInput(f"Run {key} is only computed as a part of {', '.join(others)}. Cancel that instead.")
            if key in self.queue:
                self.queue.remove(key)
            if others:
                self.people.withdraw(key, f"Cancelled; computed on as a part of {', '.join(others)}.")
            elif key not in self.futures:
                self.store.finish(key, "cancelled", STOPPED)
            else:
                self.store.request_cancel(key)
            if key in self.futures:
                self.cancelling.setdefault(key, time.monotonic() + GRACE)
            self.changed.notify_all()

    def rename(self, key: str, title: str, person: str = "", name: str = "") -> None:
        self.people.may(key, Person(person, name), "rename")
        self.store.rename(key, title)

    def delete(self, key: str, person: str = "", name: str = "") -> None:
        self.people.may(key, Person(person, name), "delete")
        with self.changed:
            if key in self.futures:
                raise BadInput(f"Run {key} is just ending. Try again in a moment.")
            self.store.delete(key)

    def working(self, key: str, address: str, pid: int) -> bool:
        """A worker has taken up a job; False if nobody wants it any more. From now on no other one is heard about it: a
        worker that was cut off and comes back must not write beside its successor."""
        with self.changed:
            self._cut(key)
            if key not in self.futures:
                return False
            self.workers[key], self.lines[key] = (address, pid), self.server.line()
            return True

    def claim(self, key: str) -> str | None:
        """The status of a run that a job is about to compute; ELSEWHERE while another job at work computes it: what several
        runs need is computed once."""
        with self.changed:
            if self._stopping():
                raise Cancelled(STOPPED)
            return self.claims.take(key, self.server.line())

    def report(self, key: str, progress: dict, cpu: float) -> bool:
        """As the store's; True also where only the job that says this is to stop, and not the run it is at."""
        stop = self.store.report(key, progress, cpu)
        with self.changed:
            return stop or self._stopping()

    def finish(self, key: str, status: str, message: str = "", detail: str = "", cpu: float = 0.0) -> None:
        """As the store's; what a cancelled job gives up and another one needs waits for that one."""
        if status != "cancelled":
            self.store.finish(key, status, message, detail, cpu)
            return
        with self.changed:  # nobody is to take it up in between
            line = self.server.line()
            if not self.claims.left(key, self.claims.job_of(line), line):
                self.store.finish(key, status, message, detail, cpu)

    def _stopping(self) -> bool:
        """Whether the job that is being answered is to stop."""
        return self.claims.job_of(self.server.line()) in self.cancelling

    def _cut(self, key: str) -> None:
        line = self.lines.pop(key, None)
        if line is not None:
            self.server.hang_up(line)

    # Clicks and estimates, each answered by a process of their own

    def open(self, where: dict) -> dict[str, bytes | str]:
        return self.clicks.ask("open", where)

    def average(self, region: dict) -> dict[str, bytes | str]:
        return self.clicks.ask("average", region)

    def estimate(self, recipe: str, settings: dict) -> dict | None:
        return self.estimates.ask("estimate", recipe, settings)

    def keep(self, where: dict, title: str | None, person: str = "", name: str = "") -> str:
        self.people.admit("", Person(person, name))
        key = self.clicks.ask("keep", where, title, self.server.address)
        self.people.wish(key, Person(person, name))
        return key

    def warm(self, run: str | None) -> None:
        self.clicks.ask("warm", run)

    # The loop

    def serve(self) -> None:
        self.crew = Crew(self.store.home, self.scheduler, self.security, self._notify)
        idle = float(os.environ.get("LANDSCAPE_ENGINE_IDLE", IDLE))
        while True:
            with self.changed:
                try:
                    self._settle()
                    self._dispatch()
                    self._insist()
                except StoreError as error:  # full or read-only for now: it may not be in a second
                    log.error("%s", error)
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
        self.estimates.close()
        self.crew.close()
        self.store.close()

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _dispatch(self) -> None:
        """Give Dask the next jobs, no more than it can start: the queue is ours, and people take turns in it."""
        now, away = time.monotonic(), self.crew.away
        order = self.turns.order(self.queue, self.futures, self.losses)
        ready = [key for key in order if key not in self.futures and self.losses.get(key, (0, 0.0))[1] <= now]
        for key in ready[: self.crew.vacancies(len(self.futures))]:
            self.queue.remove(key)
            if self.store.requeue(key) in UNFINISHED:
                self.workers.pop(key, None)
                self.board.forget(key)
                try:
                    self.futures[key] = self.crew.start(key, self.server.address, self.pem)
                    self.turns.started(key)
                except Lost as error:
                    self._again(key, error)
        for key in self.queue:
            self.board.tell(key, away)
        self.board.line_up([key for key in order if key in self.queue])

    def _settle(self) -> None:
        """Note the end of jobs that have ended, also of those that could not say it themselves."""
        for key in [key for key, future in self.futures.items() if future.done()]:
            future, stopped = self.futures.pop(key), self.cancelling.pop(key, None) is not None
            self._cut(key)
            if key in self.queue or self.store.status(key) not in UNFINISHED:
                continue
            try:
                self.closing[key] = end_of(future)
            except Lost as error:
                if stopped:
                    self.closing[key] = ("cancelled", STOPPED, "")
                else:
                    self._again(key, error)
        for key, end in list(self.closing.items()):
            try:
                if end[0] != "cancelled" or not self.claims.left(key, key):
                    self.store.finish(key, *end)
                del self.closing[key]
            except StoreError as error:
                log.error("run %s: %s", key, error)

    def _again(self, key: str, why: Lost) -> None:
        """Queue a run whose worker or scheduler went away; each time it waits twice as long for the next worker."""
        count = self.losses.get(key, (0, 0.0))[0] + 1
        log.warning("run %s lost its worker (%d): %s", key, count, why)
        if count > LOSSES:
            del self.losses[key]
            self.closing[key] = ("failed", f"The connection to the worker of this run was lost {count} times, last: {why}. "
                                 "Everything saved is kept. Look at the network between the machines, then start it again.",
                                 "")
            return
        self.losses[key] = count, time.monotonic() + min(30.0, 0.25 * 2**count)
        self.queue.appendleft(key)
        self.board.tell(key, self.crew.away or "The connection to the process that computed this run was lost. It goes on "
                        "from what is saved.")

    def _insist(self) -> None:
        """End the workers whose jobs did not hear that they are to stop."""
        now = time.monotonic()
        for key in [key for key, when in self.cancelling.items() if now >= when or key not in self.workers]:
            self.claims.leave(key)
            del self.cancelling[key]
            self._cut(key)
            self.crew.drop(self.futures.pop(key))
            if key not in self.queue:
                self.closing[key] = ("cancelled", STOPPED, "")
            if key in self.workers:
                address, pid = self.workers.pop(key)
                log.warning("run %s did not stop by itself: ending its worker %s", key, address)
                self.crew.end_worker(address, pid)
            self.changed.notify_all()


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
