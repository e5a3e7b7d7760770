"""Stores with something in them, and a running server with a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from landscape import ROOT
from landscape.runs import Library
from landscape.runs.home import holder
from landscape.runs.local import compute_here
from landscape.settings import parse

SMALL = {"task": "moons", "epochs": 4, "curve_epochs": 4, "grid": 17, "widths": (8, 8)}
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A store with one finished run, and its key."""
    home = tmp_path_factory.mktemp("full")
    key, status, message = compute_here("valleys", parse("valleys", SMALL), home)
    assert status == "done", message
    return home, key


class Server:
    """``landscape app`` on a port of its own."""

    def __init__(self, home: Path):
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "landscape", "app", "--port", str(self.port), "--home", str(self.home), "--no-browser"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "LANDSCAPE_ENGINE_IDLE": "20"})
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stdout.read().decode()
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
        self.process.stdout.close()


@pytest.fixture(scope="session")
def server(finished, tmp_path_factory):
    home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(finished[0], home)
    running = Server(home)
    yield running
    running.stop()
    says = holder(home / "writer.lock")
    if says:
        os.kill(says["pid"], signal.SIGTERM)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A new window that fails the test on an error in the page."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    outside = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(("http://localhost", "data:", "blob:", "ws://localhost"))
            else None)
    yield page
    context.close()
    assert not errors, errors
    assert not outside, f"the page asked for {outside}"


@pytest.fixture
def library(server) -> Library:
    return Library(server.home)
