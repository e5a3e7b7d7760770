"""Twenty people on one server: half of them watch a run, half start small ones. How long does a page take to answer?

Each is a websocket client in a thread of this process, so what they cost is taken from the machine that is measured too.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.measure import Row
from bench.visitor import Visitor
from landscape import ROOT
from landscape.runs import Jobs, Library

PEOPLE = 20
SECONDS = 60.0
BAR = 1.0  # seconds of the 95th percentile of a rerun
POLL = 0.5  # seconds between two looks at a run, as its page has it
PAUSE = 3.0  # seconds that somebody looks at a page before they press something
SMALL = "task=moons&epochs=4&curve_epochs=4&grid=17&widths=8,8"
LONG = {"task": "moons", "epochs": 10_000, "grid": 17, "widths": (32, 32), "seeds": (900, 901, 902)}


@dataclass
class Taken:
    """Seconds by what was asked for, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, seen) -> None:
        alerts = [alert.body for alert in seen.of("alert") if alert.format == alert.ERROR]
        with self.lock:
            self.seconds.setdefault(what, []).append(seen.seconds)
            self.wrong += alerts + [element.type for element in seen.of("exception")]


def watch(url: str, key: str, taken: Taken, until: float) -> None:
    """The page of a run that computes, drawn again twice a second."""
    with Visitor(url, page="valleys") as window:
        seen = window.run(f"run={key}")
        taken.add("arrive", seen)
        fragment = seen.fragments[0] if seen.fragments else ""
        while time.monotonic() < until:
            time.sleep(POLL)
            taken.add("watch", window.run(fragment=fragment))


def begin(url: str, numbers, taken: Taken, until: float) -> None:
    """One small run after the other, each started on its page and looked at until its end."""
    with Visitor(url, page="valleys") as window:
        while time.monotonic() < until:
            seed = next(numbers)
            form = window.run(f"{SMALL}&seeds={seed},{seed + 1},{seed + 2}")
            taken.add("form", form)
            time.sleep(PAUSE)
            started = window.run(pressed=next(one.id for one in form.of("button") if one.label == "Run"))
            taken.add("start", started)
            while time.monotonic() < until:
                time.sleep(PAUSE)
                seen = window.run()
                taken.add("look", seen)
                if not seen.fragments:
                    break


def measured(home: Path, people: int = PEOPLE, seconds: float = SECONDS) -> Taken:
    """What ``people`` saw within ``seconds`` on a server of their own."""
    home.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, taken, numbers = f"http://localhost:{port}", Taken(), itertools.count(0, 3)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "landscape", "app", "--port", str(port), "--home", str(home / "store"), "--no-browser"],
            cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT), "LANDSCAPE_ENGINE_IDLE": "5"})
    try:
        _until(lambda: _answers(url), 60)
        key = Jobs(home / "store").submit("valleys", LONG)
        _until(lambda: Library(home / "store").progress(key), 60)
        until = time.monotonic() + seconds
        works = [(watch, key) if i % 2 else (begin, numbers) for i in range(people)]
        threads = [threading.Thread(target=_noted, args=(work, url, given, taken, until)) for work, given in works]
        for thread in threads:
            thread.start()
            time.sleep(0.1)  # twenty people do not come in the same moment
        for thread in threads:
            thread.join()
        if Library(home / "store").run(key).status != "running":
            taken.wrong.append("the run that is watched ended too soon")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        engine = Jobs(home / "store").engine()
        if engine:
            os.kill(engine["pid"], signal.SIGTERM)
    return taken


def rows(home: Path) -> list[Row]:
    taken = measured(home / "people")
    every = np.concatenate([np.array(values) for values in taken.seconds.values()])
    high = float(np.percentile(every, 95))
    each = ", ".join(f"{what} {np.percentile(values, 95):.2f} s ({len(values)})" for what, values in taken.seconds.items())
    wrong = f"; {len(taken.wrong)} errors, first: {taken.wrong[0]}" if taken.wrong else ""
    return [Row("people", f"{PEOPLE} windows, 95th percentile of a rerun {high:.2f} s", f"{BAR:.0f} s", BAR / high, bar=1.0,
                met=high <= BAR and not taken.wrong, note=f"95th percentiles: {each}{wrong}")]


def _noted(work: Callable, url: str, given, taken: Taken, until: float) -> None:
    try:
        work(url, given, taken, until)
    except Exception as error:  # in a thread: it would be lost
        taken.wrong.append(f"{type(error).__name__}: {error}")


def _until(holds: Callable, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the app was not ready within {seconds:.0f} seconds")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
            return True
    except OSError:
        return False
