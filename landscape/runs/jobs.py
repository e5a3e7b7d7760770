"""The client of the engine: what pages and commands use to start, stop and tidy up runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from landscape import ROOT
from landscape.errors import StoreError
from landscape.runs.channel import Channel
from landscape.runs.context import STOPPED
from landscape.runs.home import holder, home_of, made
from landscape.runs.library import INTERRUPTED, Library
from landscape.runs.records import identify
from landscape.runs.store import Store
from landscape.settings import Settings

PATIENCE = 30.0  # seconds for an engine to start


class Jobs:
    """Asks the engine of the store in ``home``, which is started when it is needed and ends by itself when idle.

    ``scheduler`` is the address of an existing Dask scheduler for an engine that is started here.
    """

    def __init__(self, home: Path | str | None = None, scheduler: str | None = None):
        self.home, self.scheduler = home_of(home), scheduler
        self._lock = self.home / "writer.lock"

    def submit(self, recipe: str, settings: Settings | dict[str, Any]) -> str:
        """The key of the run of these settings, which is started unless it is done or on its way.

        Raises BadInput for settings that are not valid and StoreError if another process computes in this store.
        """
        wanted = identify(recipe, settings)
        known = [run for run in Library(self.home, gallery=None).runs(children=True) if run.key == wanted.key]
        if not known or known[0].status != "done":
            self._ask("submit", recipe, json.loads(wanted.settings.canonical()))
        return wanted.key

    def cancel(self, key: str) -> None:
        """Stop a run within two seconds; what it saved is kept. One that has ended stays as it is."""
        self._tidy("cancel", key)

    def rename(self, key: str, title: str) -> None:
        """Raises BadInput for an empty title, one of over 200 characters, or a run of the gallery."""
        self._tidy("rename", key, title)

    def delete(self, key: str) -> None:
        """Remove a run and the runs made only for it. Raises BadInput if it is computing or others were made from it."""
        self._tidy("delete", key)

    def resume(self) -> bool:
        """Start the engine if runs are waiting for one, as after a power cut; True if there are such runs."""
        runs = Library(self.home, gallery=None).runs()
        waiting = any(run.message == INTERRUPTED for run in runs)
        if waiting:
            self._ask("alive")
        return waiting

    def engine(self) -> dict[str, Any] | None:
        """``{"pid", "address"}`` of the running engine, None if there is none."""
        says = holder(self._lock)
        return says if says and says.get("kind") == "engine" and "address" in says else None

    def _tidy(self, method: str, key: str, *args) -> None:
        key = Library(self.home).writable(key).key
        if holder(self._lock) is not None:
            self._ask(method, key, *args)
            return
        with Store(self.home) as store:  # nobody computes: no need to start an engine
            if method == "cancel":
                store.finish(key, "cancelled", STOPPED)
            else:
                getattr(store, method)(key, *args)

    def _ask(self, method: str, *args) -> Any:
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
        command = [sys.executable, "-m", "landscape.runs.engine", "--home", str(self.home)]
        if self.scheduler:
            command += ["--scheduler", self.scheduler]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        large = self._log.exists() and self._log.stat().st_size > 1_000_000
        with open(os.open(self._log, mode | (os.O_TRUNC if large else 0), 0o600), "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie when it ends
        return process


def _tail(log: Path, length: int = 500) -> str:
    return log.read_text(errors="replace")[-length:].strip() if log.exists() else "(no log)"
