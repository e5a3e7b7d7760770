"""The app on a port of its own, and what the tests start it with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from landscape import ROOT

SMALL = {"task": "moons", "epochs": 4, "curve_epochs": 4, "grid": 17, "widths": (8, 8)}


class Server:
    """``landscape app`` on a port of its own."""

    def __init__(self, home: Path, **variables: str):
        self.home, self.variables = home, variables
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.log = home.parent / f"server-{self.port}.log"  # a pipe that nobody reads would stop the server when full
        self.start()

    def start(self) -> None:
        given = ["--port", str(self.port), "--home", str(self.home), "--no-browser"]
        environment = {**os.environ, "LANDSCAPE_ENGINE_IDLE": "20", **self.variables}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "landscape", "app", *given],
                cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self, sign=signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(20)
