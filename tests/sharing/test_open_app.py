"""The app as others reach it: a real server, a real login at a provider of our own, pages over the websocket."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing

import httpx
import pytest
from provider import write_secrets
from websockets.exceptions import InvalidStatus

from bench.visitor import Visitor
from landscape import ROOT, configuration
from landscape.runs import Library
from landscape.runs.home import holder
from landscape.runs.people import USER


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Open:
    """``landscape app --host 127.0.0.1`` with a login, for one person at a time."""

    def __init__(self, folder, provider, certificate=None, **variables):
        port = free_port()
        self.url, self.home = f"http{'s' if certificate else ''}://localhost:{port}", folder / "home"
        write_secrets(folder, redirect_uri=f"{self.url}/oauth2callback", server_metadata_url=provider.url)
        plain = {name: value for name, value in os.environ.items()
                 if name.removeprefix("LANDSCAPE_").lower() not in configuration.KEYS}
        given = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "LANDSCAPE_HOSTS": "localhost",
                 "LANDSCAPE_USERS": "@example.org", "LANDSCAPE_ENGINE_IDLE": "5"} | variables
        if certificate:
            given |= {f"STREAMLIT_SERVER_SSL_{what}_FILE": str(path)
                      for what, path in zip(("CERT", "KEY"), certificate, strict=True)}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "landscape", "app", "--host", "127.0.0.1", "--port", str(port),
                 "--home", str(self.home)],
                cwd=folder, env=plain | given, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(f"{self.url}/_stcore/health", verify=False)
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def login(self) -> httpx.Client:
        """A browser after the way through the provider, whose first page was asked for without a login."""
        browser = httpx.Client(follow_redirects=True, headers={"accept": "text/html"}, verify=False)
        self.answer = browser.get(f"{self.url}/valleys?task=moons")
        return browser

    def window(self, browser: httpx.Client, page: str = "") -> Visitor:
        return Visitor(self.url, {cookie.name: cookie.value.strip('"') for cookie in browser.cookies.jar}, page)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        says = holder(self.home / "writer.lock")
        if says and "pid" in says:
            os.kill(says["pid"], signal.SIGTERM)


@pytest.fixture(scope="module")
def server(provider, tmp_path_factory):
    running = Open(tmp_path_factory.mktemp("open"), provider, LANDSCAPE_QUOTA_RUNS="1")
    yield running
    running.stop()


def person(provider, name: str) -> None:
    provider.person = {"sub": name, "email": f"{name}@example.org", "email_verified": True}


def test_without_a_login_nothing_is_seen(server):
    assert httpx.get(server.url).status_code == 401
    with pytest.raises(InvalidStatus, match="403"):
        Visitor(server.url)


def test_after_the_login_pages_say_who_it_is(server, provider):
    person(provider, "ann")
    with closing(server.login()) as browser, server.window(browser) as window:
        assert server.answer.status_code == 200
        assert server.answer.history[0].status_code == 302
        assert str(server.answer.url) == f"{server.url}/valleys?task=moons"
        seen = window.run()
        assert any("ann@example.org" in str(element) for element in seen.elements)


def test_a_login_that_is_not_on_the_list_stays_outside(server, provider):
    provider.person = {"sub": "eve", "email": "eve@evil.org", "email_verified": True}
    with closing(server.login()) as browser:
        assert server.answer.status_code == 403
        assert "eve@evil.org is not among the people" in server.answer.text
        with pytest.raises(InvalidStatus, match="403"):
            server.window(browser)


def start(window: Visitor, seed: int):
    """A run that takes longer than the test. A busy machine may not know yet what it costs, and ask: then once more."""
    first = window.run(f"task=moons&epochs=4000&curve_epochs=4&grid=17&widths=8,8&seeds={seed},{seed + 1},{seed + 2}")
    for _ in range(4):
        seen = window.run(pressed=button(first, "Run"))
        if "Start it" not in [one.label for one in seen.of("button")]:
            break
    return seen


def button(seen, label: str) -> str:
    return next(one.id for one in seen.of("button") if one.label == label)


def said(seen) -> str:
    return " ".join(alert.body for alert in seen.of("alert"))


def test_runs_belong_to_who_started_them(server, provider):
    person(provider, "ann")
    with closing(server.login()) as browser, server.window(browser, "valleys") as window:
        assert "run=" in start(window, 10).query
    library = Library(server.home, gallery=None)
    run = library.runs()[0]
    (who,) = library.asked_by(run.key)
    assert who[0].startswith(USER)
    assert who[1] == "ann@example.org"
    with closing(server.login()) as browser, server.window(browser, "valleys") as window:
        assert "1 is what one person may have at a time" in said(start(window, 20))
    person(provider, "bob")
    with closing(server.login()) as browser, server.window(browser, "valleys") as window:
        cancel = button(window.run(f"run={run.key}"), "Cancel")
        assert "asked for by ann@example.org: it is not yours alone to cancel" in said(window.run(pressed=cancel))
    person(provider, "ann")
    with closing(server.login()) as browser, server.window(browser, "valleys") as window:
        window.run(pressed=button(window.run(f"run={run.key}"), "Cancel"))
    deadline = time.monotonic() + 20
    while library.run(run.key).status != "cancelled":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_tls_with_a_certificate_of_ones_own(provider, tmp_path, monkeypatch):
    from distributed.security import Security

    made = Security.temporary()
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for path, text in zip(files, (made.tls_client_cert, made.tls_client_key), strict=True):
        path.write_text(text)
    running = Open(tmp_path, provider, certificate=files)
    try:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert httpx.get(f"{running.url}/_stcore/health", verify=context).text == "ok"
        with pytest.raises(httpx.TransportError):
            httpx.get(running.url.replace("https", "http"))
    finally:
        running.stop()
