"""Clicks: a process beside the engine opens networks while jobs run, ``python -m landscape.runs.clicks``.

The engine starts it when the first page is shown or the first network asked for, and again when it was ended; a page server
does where the store cannot be written and there is no engine. The two
talk over a pair of sockets that no other process can reach. Torch is loaded there, on one thread; jobs run at a lower
priority. One click is answered after the other. What a run will cost takes seconds to find out: a second such process does
that aside, so that no click waits for it, and ends when nothing was asked for a while.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from landscape import ROOT, catalog
from landscape.errors import BadInput, LandscapeError, StoreError
from landscape.runs.channel import Channel, answered, receive, send
from landscape.runs.context import Reader, run_job
from landscape.runs.estimates import known
from landscape.runs.library import Library
from landscape.runs.records import UNFINISHED, Run, encode, identify
from landscape.runs.region import checked_region
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.runs.where import checked, text
from landscape.runs.worker import give_way
from landscape.settings import restored

PRELOAD = ("landscape.recipes.opening", "landscape.recipes.valleys", "landscape.recipes.network", "sklearn.datasets")
PATIENCE = 100.0  # seconds after which a click is given up and the process ended
TRIES = 2  # times that a click may end the process
RUNS, BYTES = 8, 2**30  # whose planes, networks and data are held in memory: so many runs, and no more than this in all
ASIDE = 300.0  # seconds without a question after which the process aside ends
KEPT = "network"  # the recipe of a network that was kept, and its name in its run
log = logging.getLogger("landscape.clicks")


class Clicks:
    """The engine's side: starts the process, asks it, starts it again. One ``aside`` gives way to everything else and ends
    after so many seconds without a question."""

    def __init__(self, home: Path, aside: float | None = None):
        self._home, self._aside, self._turn, self._closed = home, aside, threading.Lock(), False
        self._process: subprocess.Popen | None = None
        self._line: Channel | None = None

    def ask(self, method: str, *args) -> Any:
        """Call a method of ``Opener``; errors arrive as what they are. Raises StoreError if the process does not survive."""
        for _ in range(TRIES):
            line = self._connected()
            try:
                return line.call(method, *args)
            except ConnectionError as error:
                log.warning("%s was not answered: %s", method, error)
                self._lost(line)
        raise StoreError(
            f"The process that opens networks was ended {TRIES} times while it worked on this; most often memory has run "
            f"out, or it took over {PATIENCE:.0f} seconds. What it said is in {self._home / 'engine.log'}, or where this "
            "program writes its messages."
        )

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._end()

    def _connected(self) -> Channel:
        with self._turn:
            if self._closed:
                raise ConnectionAbortedError("the engine is ending")
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._start()
            return self._line

    def _lost(self, line: Channel) -> None:
        with self._turn:
            if line is self._line:
                self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._line.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", __name__, "--home", str(self._home), "--socket", str(theirs.fileno())]
            command += [] if self._aside is None else ["--aside", str(self._aside)]
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment
            )
        self._line = Channel.over(ours, PATIENCE)


class Opener:
    """What the process does; also used without an engine, by a command. The first call loads torch."""

    def __init__(self, home: Path | str | None = None):
        self.library = Library(home)
        self._shelf = Shelf(self.library)
        self._held: OrderedDict[str, tuple[list, Any]] = OrderedDict()  # key -> what from, Places; oldest first

    def warm(self, run: str | None = None) -> None:
        """Import what clicks need, and get the run ready if it can be opened."""
        for name in PRELOAD:
            importlib.import_module(name)
        if run is not None:
            with suppress(LandscapeError):  # the click on it says why not
                self._places(self.library.run(run).key)

    def open(self, where: dict) -> dict[str, bytes | str]:
        """The ``Opened`` at a place as ``records.encode`` writes it: ``{"meta", "arrays"}``."""
        place, run = self._found(where)
        meta, arrays = encode(_compute("opening:opened")(self._places(run.key), place))
        return {"meta": meta, "arrays": arrays}

    def average(self, region: dict) -> dict[str, bytes | str]:
        """The ``Predictive`` of a painted region, written as ``open`` writes what it finds."""
        region = checked_region(region)
        key = self.library.run(region["run"]).key
        surface = self.library.result(key, f"surface:{region['plane']}")
        if surface is None or "log_density" not in surface.values:
            raise BadInput(f"Run {key} has no posterior on the plane {region['plane']!r} to paint on.")
        meta, arrays = encode(_compute("region:averaged")(self._places(key), region, surface))
        return {"meta": meta, "arrays": arrays}

    def estimate(self, recipe: str, settings: dict) -> dict | None:
        """What a run will cost, as ``recipes.costs.estimate`` says it; None for one that is done, or whose recipe does not
        count its costs. Raises whatever a network or a file that is tried raises."""
        wanted = identify(recipe, restored(recipe, settings))
        if not known(recipe) or self._done(wanted.key):
            return None
        return _compute("costs:estimate")(recipe, wanted.settings, Reader(self._shelf, wanted.key),
                                          lambda part, s: self._done(identify(part, s).key))

    def _done(self, key: str) -> bool:
        with suppress(BadInput):  # there is no such run
            return self.library.run(key).status == "done" and not self.library.damaged(key)
        return False

    def keep(self, where: dict, title: str | None, address: str) -> str:
        """As ``kept``, written by the engine at ``address``."""
        with Channel(address, (self.library.home / "certificate.pem").read_text()) as engine:
            return self.kept(where, title, engine)

    def kept(self, where: dict, title: str | None, writer: Store | Channel) -> str:
        """The key of the run in which the network is kept, computed here. One that was kept before is only named anew."""
        place, run = self._found(where)
        opened = self._places(run.key).at(place)  # what is wrong with it is said before anything is stored
        if run.recipe == KEPT:
            key = run.key
        else:
            wanted = identify(KEPT, {"source": run.key, "where": text(place)})
            key = wanted.key
            if writer.enter(**wanted.row()) in UNFINISHED:
                status, message, _ = run_job(writer, key)
                if status != "done":
                    raise BadInput(f"The network could not be kept, it {status}: {message}")
                title = title or f"{opened.title} · {run.title}"[:200]
        if title:
            writer.rename(self.library.writable(key).key, title)
        return key

    def _found(self, where: dict) -> tuple[dict, Run]:
        place = checked(where)
        run = self.library.run(place["run"])
        return place | {"run": run.key}, run

    def _places(self, key: str):
        """The places of a run, from memory if nothing was added to what they are made from."""
        made_from = [(each, self._weights(each)) for each in self.library.lineage(key)]
        if key not in self._held or self._held[key][0] != made_from:
            self._held.pop(key, None)
            self._held[key] = made_from, _compute("places:places_of")(Reader(self._shelf, key))
        self._held.move_to_end(key)
        while len(self._held) > 1 and (
            len(self._held) > RUNS or sum(places.size for _, places in self._held.values()) > BYTES
        ):
            self._held.popitem(last=False)
        return self._held[key][1]

    def _weights(self, key: str) -> list[str]:
        return [name for name in self.library.weight_names(key) if not name.startswith("state-")]


def _compute(target: str):
    """A function of the recipes, imported when it is needed: with it comes torch."""
    return catalog.Row("", "", f"landscape.recipes.{target}").load()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m landscape.runs.clicks", description="Open networks for the engine.")
    parser.add_argument("--home", type=Path, required=True, help="the store's folder")
    parser.add_argument("--socket", type=int, required=True, help="the inherited socket on which the engine asks")
    parser.add_argument("--aside", type=float, help="give way to others, and end after so many seconds without a question")
    options = parser.parse_args()
    if options.aside is not None:
        give_way()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    opener = Opener(options.home)
    handlers = {function.__name__: function for function in (opener.warm, opener.open, opener.keep, opener.average,
                                                          opener.estimate)}
    with suppress(ConnectionError, TimeoutError), socket.socket(fileno=options.socket) as engine:  # until that has ended
        opener.warm()
        engine.settimeout(options.aside)
        while True:
            send(engine, answered(handlers, *receive(engine)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
