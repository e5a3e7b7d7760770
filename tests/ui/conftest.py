"""Stores with something in them, and a running server with a browser."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from serving import SMALL, Server

from landscape.runs import Library
from landscape.runs.home import holder
from landscape.runs.local import compute_here
from landscape.settings import parse

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A store with one finished run, and its key."""
    home = tmp_path_factory.mktemp("full")
    key, status, message = compute_here("valleys", parse("valleys", SMALL), home)
    assert status == "done", message
    return home, key


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
    page.on(
        "request",
        lambda r: (
            outside.append(r.url) if not r.url.startswith(("http://localhost", "data:", "blob:", "ws://localhost")) else None
        ),
    )
    yield page
    context.close()
    assert not errors, errors
    assert not outside, f"the page asked for {outside}"


@pytest.fixture
def library(server) -> Library:
    return Library(server.home)
