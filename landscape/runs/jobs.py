"""The client of the engine: what pages and commands use to start, stop and tidy up runs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape import ROOT
from landscape.configuration import fingerprint
from landscape.errors import LandscapeError, StoreError
from landscape.results import Opened, Predictive
from landscape.runs.channel import Channel
from landscape.runs.context import STOPPED
from landscape.runs.estimates import known
from landscape.runs.home import check_writable, holder, home_of, made, store_errors, unwritable
from landscape.runs.library import INTERRUPTED, Library
from landscape.runs.people import People, Person
from landscape.runs.records import checked_title, decode, identify
from landscape.runs.region import checked_region
from landscape.runs.store import Store
from landscape.runs.where import checked
from landscape.settings import Settings
from landscape.sharing import is_open

if TYPE_CHECKING:
    from landscape.runs.clicks import Clicks

PATIENCE = 30.0  # seconds for an engine to start
WARM = 30.0  # seconds for which pages need not ask again whether clicks are ready
log = logging.getLogger(__name__)
_warmed: dict[tuple[Path, str | None], float] = {}
_warming = threading.Lock()
_lookers: dict[Path, Clicks] = {}  # what answers the clicks of this process on stores that cannot be written


class Jobs:
    """Asks the engine of the store in ``home``, which is started when it is needed and ends by itself when idle.

    Where the store cannot be written no engine is started or asked: networks can be opened, all else raises StoreError.
    ``scheduler`` is the address of an existing Dask scheduler for an engine that is started here. ``person`` is who asks.
    """

    def __init__(self, home: Path | str | None = None, scheduler: str | None = None, person: Person = Person()):  # noqa: B008
        self.home, self.scheduler, self.person = home_of(home), scheduler, person
        self._lock = self.home / "writer.lock"

    def submit(self, recipe: str, settings: Settings | dict[str, Any]) -> str:
        """The key of the run of these settings, which is started unless it is done or on its way.

        Raises BadInput for settings that are not valid and StoreError if another process computes in this store.
        """
        wanted = identify(recipe, settings)
        library = Library(self.home, gallery=None)
        known = [run for run in library.runs(children=True) if run.key == wanted.key]
        if not known or known[0].status != "done" or library.damaged(wanted.key):
            if is_open():
                self.renew()  # one that a shell has started may allow more
            self._ask("submit", recipe, json.loads(wanted.settings.canonical()), *self._asking)
        return wanted.key

    def cancel(self, key: str) -> None:
        """Stop a run within two seconds; what it saved is kept. One that has ended stays as it is.

        What other runs need goes on for them; if that is the run itself, it is only a part of theirs from then on. Raises
        BadInput for one that nobody asked for by itself.
        """
        self._tidy("cancel", key)

    def rename(self, key: str, title: str) -> None:
        """Raises BadInput for an empty title, one of over 200 characters, or a run of the gallery."""
        self._tidy("rename", key, title)

    def delete(self, key: str) -> None:
        """Remove a run and the runs made only for it. Raises BadInput if it is computing or others were made from it."""
        self._tidy("delete", key)

    def open(self, where: dict[str, Any]) -> Opened:
        """The network at a place (see ``runs.where``), evaluated there and then, also while a long job runs.

        Raises BadInput for a run, plane, path or network that is not there and for coordinates that are no finite numbers.
        """
        found = self._click("open", checked(where))
        return decode(found["meta"], found["arrays"])

    def average(self, region: dict[str, Any]) -> Predictive:
        """What the networks of a painted region (see ``runs.region``) predict together, evaluated there and then.

        Raises BadInput for a run or plane that is not there and for a region that encloses nothing of the surface.
        """
        found = self._click("average", checked_region(region))
        return decode(found["meta"], found["arrays"])

    def estimate(self, recipe: str, settings: Settings | dict[str, Any]) -> dict[str, Any] | None:
        """What a run will cost before it starts (see ``runs.estimates``), also while a long job runs; None for a run that is
        done, and for a recipe that does not count its costs. Raises what the network or file raises that was tried."""
        wanted = identify(recipe, settings)
        return self._ask("estimate", recipe, json.loads(wanted.settings.canonical())) if known(recipe) else None

    def keep(self, where: dict[str, Any], title: str | None = None) -> str:
        """Keep the network at a place as a run of its own: the run's key. The run it belongs to becomes its parent.

        Raises BadInput as ``open`` does, and for a title of over 200 characters.
        """
        return self._ask("keep", checked(where), None if title is None else checked_title(title), *self._asking)

    def warm(self, run: str | None = None) -> None:
        """Start the engine and the process that answers clicks, so that the first click (on ``run``) is fast too.

        Returns at once and may be called on every rerun of a page; what goes wrong is told by the first click.
        """
        now, wanted = time.monotonic(), (self.home, run)
        with _warming:
            if now - _warmed.get(wanted, -WARM) < WARM:
                return
            _warmed[wanted] = now
        threading.Thread(target=self._warm, args=(run,), name="warm", daemon=True).start()

    def _warm(self, run: str | None) -> None:
        try:
            self._click("warm", run)
        except LandscapeError as error:
            log.info("clicks are not ready: %s", error)

    def renew(self) -> bool:
        """End an engine that obeys other settings than this process (factories, roots, limits ...); True if there was one.

        Its runs wait for the next engine and go on from what they saved.
        """
        says = self.engine()
        return says is not None and says.get("obeys") != self._obeyed and self.stop()

    def stop(self) -> bool:
        """End the engine and wait for its end; its runs wait for the next one. True if there was one."""
        says = self.engine()
        if says is None:
            if holder(self._lock) is not None:
                check_writable(self.home)
            return False
        self._ask("stop")
        deadline = time.monotonic() + PATIENCE
        while (left := holder(self._lock)) is not None and left.get("pid", says["pid"]) == says["pid"]:
            if time.monotonic() > deadline:
                raise StoreError(f"The engine of {self.home} (process {says['pid']}) does not end. "
                                 f"Its log is {self._log}.")
            time.sleep(0.05)
        return True

    def resume(self) -> bool:
        """Start the engine if runs are waiting for one, as after a power cut; True if there are such runs."""
        if unwritable(self.home):
            return False
        runs = Library(self.home, gallery=None).runs()
        waiting = any(run.message == INTERRUPTED for run in runs)
        if waiting:
            self._ask("alive")
        return waiting

    def engine(self) -> dict[str, Any] | None:
        """``{"pid", "address"}`` of the running engine, None if there is none or it is not for this process to ask."""
        says = None if unwritable(self.home) else holder(self._lock)
        return says if says and says.get("kind") == "engine" and "address" in says else None

    def _tidy(self, method: str, key: str, *args) -> None:
        key = Library(self.home).writable(key).key
        check_writable(self.home)
        if holder(self._lock) is not None:
            self._ask(method, key, *args, *self._asking)
            return
        with Store(self.home) as store:  # nobody computes: no need to start an engine
            People(store).may(key, self.person, method)
            if method == "cancel":
                store.finish(key, "cancelled", STOPPED)
            else:
                getattr(store, method)(key, *args)

    def _click(self, method: str, *args) -> Any:
        """As ``_ask``; where the store cannot be written, answered by a process of this one that only reads."""
        if not unwritable(self.home):
            return self._ask(method, *args)
        from landscape.runs.clicks import ASIDE, Clicks

        with _warming:
            if self.home not in _lookers:
                _lookers[self.home] = Clicks(self.home, ASIDE)
        return _lookers[self.home].ask(method, *args)

    def _ask(self, method: str, *args) -> Any:
        check_writable(self.home)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self._connect(deadline) as engine:
                    return engine.call(method, *args)
            except ConnectionError:  # it was just ending, or just killed
                if time.monotonic() > deadline:
                    raise StoreError(f"The engine of {self.home} does not answer; its log is {self._log}.") from None
                time.sleep(0.1)

    @property
    def _asking(self) -> tuple[str, str]:
        return self.person.id, self.person.name

    @property
    def _obeyed(self) -> str:
        return fingerprint(self.scheduler)

    @property
    def _log(self) -> Path:
        return self.home / "engine.log"

    def _connect(self, deadline: float) -> Channel:
        process = None
        while time.monotonic() < deadline:
            says = holder(self._lock)
            if says is None and process is None:
                process = self._start()
            elif says is None and process.poll() is not None:
                raise StoreError(
                    f"The engine did not start (exit status {process.returncode}). {self._log} ends with: {_tail(self._log)}"
                )
            elif says and says.get("kind") == "process":
                raise StoreError(
                    f"Process {says['pid']} (landscape run) is computing in {self.home}. Wait until it "
                    "has finished, or stop it: the run then goes on from here."
                )
            elif says and "address" in says:
                return Channel(says["address"], (self.home / "certificate.pem").read_text())
            time.sleep(0.05)
        raise StoreError(
            f"The engine did not start within {PATIENCE:.0f} seconds. {self._log} ends with: {_tail(self._log)}"
        )

    def _start(self) -> subprocess.Popen:
        """An engine in a session of its own: it outlives the process that started it."""
        made(self.home)
        command = [sys.executable, "-m", "landscape.runs.engine", "--home", str(self.home), "--obeys", self._obeyed]
        if self.scheduler:
            command += ["--scheduler", self.scheduler]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        large = self._log.exists() and self._log.stat().st_size > 1_000_000
        with store_errors(self.home):
            file = os.open(self._log, mode | (os.O_TRUNC if large else 0), 0o600)
        with open(file, "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, "LANDSCAPE_HOME": str(self.home)},
            )
        threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie when it ends
        return process


def _tail(log: Path, length: int = 500) -> str:
    return log.read_text(errors="replace")[-length:].strip() if log.exists() else "(no log)"
