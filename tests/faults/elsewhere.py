"""A Dask scheduler and workers in processes of their own, as on other machines: what tests stop, kill and cut off."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from landscape import ROOT

QUICK = {  # seconds after which the others are given up, fewer than on a cluster
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
}


class Elsewhere:
    """``with Elsewhere(folder) as cluster``: all its processes end with the block."""

    def __init__(self, folder: Path):
        self.folder, self._all = folder, []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"

    def scheduler(self) -> subprocess.Popen:
        """At the same address every time."""
        started = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return started
            time.sleep(0.05)
        raise AssertionError((self.folder / "dask.log").read_text())

    def worker(self, path: Path = ROOT, *options: str) -> subprocess.Popen:
        """A nanny and its worker with the program that lies at ``path``."""
        given = ("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(self.folder / "dask"))
        return self._start("worker", self.address, *given, *options, path=path)

    def _start(self, what: str, *words: str, path: Path = ROOT) -> subprocess.Popen:
        paths = [word for word in os.environ["PYTHONPATH"].split(os.pathsep) if Path(word) != ROOT]
        with (self.folder / "dask.log").open("ab") as log:
            self._all.append(subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *words], cwd=self.folder, stdout=log, stderr=log,
                env={**os.environ, **QUICK, "PYTHONPATH": os.pathsep.join([str(path), *paths])}))
        return self._all[-1]

    def end(self, process: subprocess.Popen, sign=signal.SIGKILL) -> None:
        """End a process and those it has started."""
        found = [psutil.Process(process.pid)] if process.poll() is None else []
        for each in [*found, *(child for one in found for child in one.children(recursive=True))]:
            each.send_signal(sign)
            if sign == signal.SIGTERM:
                break
        process.wait(20)

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self._all):
            self.end(process)
