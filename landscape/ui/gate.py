"""What every request passes before Streamlit sees it: who may ask, under which name, and how much.

On one's own machine: only this machine, under its own names, so that no other site can reach the app through the browser
(DNS rebinding, requests from elsewhere). Opened to others: only the listed hosts, and nothing but the login without a login.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections import Counter, deque
from html import escape
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from streamlit.auth_util import encode_provider_token, get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from landscape.runs.people import Person
from landscape.sharing import LOOPBACK, Quotas, Sharing
from landscape.ui.people import user_of

FREE = ("/_stcore/health", "/auth/login", "/auth/logout", "/oauth2callback")  # what the login itself needs
UPLOAD = "/_stcore/upload_file/"
WANTED = "landscape_wanted"  # cookie: the page that somebody asked for before they logged in
HOUR = 3600.0
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+?)\.?(?::[0-9]{1,5})?")
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"),
           (b"content-security-policy", b"frame-ancestors 'self'")]


class Refused(Exception):
    """A request that is answered here."""

    def __init__(self, response: Response):
        super().__init__(response.status_code)
        self.response = response


class Gate:
    """ASGI middleware. ``sharing`` and ``quotas`` are None for an app that only this machine sees."""

    def __init__(self, app, sharing: Sharing | None = None, quotas: Quotas | None = None, clock=time.monotonic):
        self.app, self.sharing, self.quotas, self.clock = app, sharing, quotas, clock
        self.windows: Counter[str] = Counter()
        self.uploads: dict[str, deque[tuple[float, int]]] = {}

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        try:
            self._place(asked)
            person = self._person(asked)
            self._amount(asked, person)
        except Refused as refused:
            await _refuse(scope, receive, send, refused.response)
            return
        if scope["type"] == "websocket" and person is not None:
            self.windows[person.id] += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.windows[person.id] -= 1
            return
        await self.app(scope, receive, _with_headers(send))

    def _place(self, asked: HTTPConnection) -> None:
        """From where, and by which name."""
        if self.sharing is None and not _is_here(asked.client.host if asked.client else ""):
            raise Refused(PlainTextResponse("This app answers to its own machine only. To open it to others, see "
                                            "docs/operations.md.", 403))
        host = asked.headers.getlist("host")
        name = _name(host[0]) if len(host) == 1 else None
        if name is None or name not in (self.sharing.hosts if self.sharing else LOOPBACK):
            raise Refused(PlainTextResponse("This app does not answer to this name (LANDSCAPE_HOSTS).", 421))
        origin = asked.headers.get("origin")
        changes = asked.scope["type"] == "websocket" or asked.scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and origin is not None and urlsplit(origin).netloc.lower() != host[0].lower():
            raise Refused(PlainTextResponse("This app takes no requests from other sites.", 403))

    def _person(self, asked: HTTPConnection) -> Person | None:
        """Who is logged in; None where nobody needs to be."""
        if self.sharing is None or asked.url.path in FREE:
            return None
        claims = _claims(asked)
        person = user_of(claims) if claims else None
        if person is None:
            if _wants_page(asked):
                raise Refused(_login(asked))
            raise Refused(PlainTextResponse("Log in first.", 401))
        if not self.sharing.admits(claims):
            raise Refused(HTMLResponse(f"<p>{escape(person.name)} is not among the people who may come in here "
                                       '(LANDSCAPE_USERS).</p><p><a href="/auth/logout">Log out</a></p>', 403))
        if WANTED in asked.cookies and _wants_page(asked):
            raise Refused(_back(asked.cookies[WANTED]))
        return person

    def _amount(self, asked: HTTPConnection, person: Person | None) -> None:
        """How many windows one person has open, and how much they have sent within the hour."""
        if person is None or self.quotas is None:
            return
        if asked.scope["type"] == "websocket":
            if self.windows[person.id] >= self.quotas.windows:
                raise Refused(PlainTextResponse(f"{self.quotas.windows} windows of this app are open. Close some.", 429))
        elif asked.scope["method"] == "PUT" and asked.url.path.startswith(UPLOAD):
            length, now = asked.headers.get("content-length", ""), self.clock()
            if not length.isdecimal():
                raise Refused(PlainTextResponse("An upload must say how long it is.", 411))
            sent = self.uploads.setdefault(person.id, deque())
            while sent and now - sent[0][0] > HOUR:
                sent.popleft()
            if sum(size for _, size in sent) + int(length) > self.quotas.uploads:
                raise Refused(PlainTextResponse(f"More than {self.quotas.uploads:,} bytes within an hour. Come back later.",
                                                429))
            sent.append((now, int(length)))


def _wants_page(asked: HTTPConnection) -> bool:
    reads = asked.scope["type"] == "http" and asked.scope["method"] == "GET"
    return reads and "text/html" in asked.headers.get("accept", "")


def _login(asked: HTTPConnection) -> Response:
    """The way to the login; a cookie remembers for ten minutes which page was wanted."""
    response = RedirectResponse(f"/auth/login?provider={encode_provider_token('default')}", 302)
    wanted = quote(asked.url.path + (f"?{asked.url.query}" if asked.url.query else ""), safe="")
    if len(wanted) < 3000:
        response.set_cookie(WANTED, wanted, max_age=600, httponly=True, samesite="lax")
    return response


def _back(wanted: str) -> Response:
    """To the page that was wanted before the login: of this app, whatever the cookie says."""
    found = unquote(wanted)
    inside = found.startswith("/") and found[1:2] not in ("/", "\\") and found.isprintable()
    response = RedirectResponse(found if inside else "/", 302)
    response.delete_cookie(WANTED)
    return response


def _claims(asked: HTTPConnection) -> dict:
    """What the signed cookie of the login says; empty without one, or with one that was not written for this address."""
    def one(name: str) -> bytes | None:
        value = asked.cookies.get(name)
        return None if value is None else decode_signed_value(get_cookie_secret(), name, value.encode("latin-1", "ignore"))

    try:
        found = json.loads(get_cookie_with_chunks(one, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    known = isinstance(found, dict) and found.get("is_logged_in") is True
    return found if known and urlsplit(str(found.get("origin"))).netloc.lower() == asked.headers["host"].lower() else {}


def _is_here(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _name(host: str) -> str | None:
    """The name in a Host header, in small letters without its port; None for anything else."""
    found = _HOST.fullmatch(host)
    return found[1].lower().strip("[]") if found else None


def _with_headers(send):
    async def sent(message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sent


async def _refuse(scope, receive, send, response: Response) -> None:
    if scope["type"] == "websocket":
        await receive()  # the wish to connect
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the client gets status 403
        return
    await response(scope, receive, _with_headers(send))
