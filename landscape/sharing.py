"""Opening the app to other people: one explicit setting, ``LANDSCAPE_OPEN``, and all that it then insists on.

Without it the app answers this machine only. With it (the address to listen at, also ``landscape app --host ADDRESS``) the
app starts only if a login is configured, the names of the host and the people who may come in are given, and nothing is
open that only a single user may have: factories, folders of the server.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from landscape.errors import BadInput

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLOSED = {"LANDSCAPE_FACTORIES": "functions of modules would run for everybody who logs in",
          "LANDSCAPE_ROOTS": "files of the server would be readable for everybody who logs in"}
NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
SECRET = 32  # characters of a cookie secret
ALONE, TOGETHER = 1024, 100  # megabytes of one dropped file: on one's own machine, on one that many use


@dataclass(frozen=True)
class Quotas:
    """What one user may have: runs that are waiting or running, bytes of runs, bytes of uploads, open windows."""

    runs: int
    bytes: int
    uploads: int
    windows: int = 20


@dataclass(frozen=True)
class Sharing:
    """How the app is open to others. ``hosts`` are the names it answers to, ``users`` who may come in: addresses, endings
    such as ``@example.org``, or ``*`` for everybody whom the login provider lets in."""

    address: str
    hosts: tuple[str, ...]
    users: tuple[str, ...]

    def admits(self, payload: dict[str, Any]) -> bool:
        """Whether the person of these claims of the login may come in: an address must not be known to be unverified."""
        name = str(payload.get("email") or "").lower()
        if "*" in self.users:
            return True
        return payload.get("email_verified", True) is True and bool(name) and any(
            name == one or (one.startswith("@") and name.endswith(one)) for one in self.users)


def is_open() -> bool:
    return bool(os.environ.get("LANDSCAPE_OPEN", "").strip())


def sharing() -> Sharing | None:
    """As the environment says it; None for an app that only this machine sees. Nothing is checked here."""
    return Sharing(os.environ["LANDSCAPE_OPEN"].strip(), _listed("HOSTS"), _listed("USERS")) if is_open() else None


def quotas() -> Quotas | None:
    """What a user may have, None where the app is not open. Raises BadInput for a value that is no positive number."""
    if not is_open():
        return None
    return Quotas(_number("QUOTA_RUNS", 4), _number("QUOTA_BYTES", 10 * 10**9), _number("QUOTA_UPLOADS", 2 * 10**9))


def max_upload() -> int:
    """Megabytes of one dropped file; the server has it in memory while it comes in."""
    return _number("MAX_UPLOAD", TOGETHER if is_open() else ALONE)


def secrets_file() -> Path | None:
    """Where the login is configured: ``.streamlit/secrets.toml`` here, else in the home folder."""
    places = [folder / ".streamlit/secrets.toml" for folder in (Path.cwd(), Path.home())]
    return next((path for path in places if path.is_file()), None)


def check() -> None:
    """Raises BadInput with everything that is missing, or open and must not be, for an app that others can reach."""
    max_upload()
    if not is_open():
        return
    wrong = [*_about_hosts(sharing()), *_about_login(sharing()), *_about_openings()]
    try:
        quotas(), max_upload()
    except BadInput as error:
        wrong.append(str(error))
    if wrong:
        raise BadInput("The app is not opened to others (LANDSCAPE_OPEN, --host) before this is in order; "
                       "docs/operations.md shows how:" + "".join(f"\n- {one}" for one in wrong))


def _about_hosts(shared: Sharing) -> list[str]:
    wrong = []
    if not shared.hosts:
        wrong.append("Name the hosts under which people come: LANDSCAPE_HOSTS=lab.example.org")
    wrong += [f"LANDSCAPE_HOSTS holds {host!r}; expected plain names such as lab.example.org, without port, path or *."
              for host in shared.hosts if not _is_plain(host)]
    if not shared.users:
        wrong.append("Name the people who may come in: LANDSCAPE_USERS=ann@example.org,@group.example.org, or * for "
                     "everybody whom the login provider lets in")
    wrong += [f"LANDSCAPE_USERS holds {one!r}; expected an address, an ending such as @example.org, or *."
              for one in shared.users if one != "*" and "@" not in one]
    return wrong


def _about_login(shared: Sharing) -> list[str]:
    path = secrets_file()
    if path is None:
        return ["Configure a login (OpenID Connect): write .streamlit/secrets.toml here or in your home folder, with [auth]"]
    try:
        auth = tomllib.loads(path.read_text()).get("auth")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return [f"{path} cannot be read: {error}."]
    wrong = []
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        wrong.append(f"{path} can be read by others: chmod 600 {path}")
    if importlib.util.find_spec("authlib") is None or importlib.util.find_spec("httpx") is None:
        wrong.append("The login needs Authlib and httpx: pip install 'landscape[login]'")
    if not isinstance(auth, dict):
        return [*wrong, f"{path} has no [auth] section: {', '.join(NEEDED)} belong there."]
    missing = [name for name in NEEDED if not isinstance(auth.get(name), str) or not auth[name]]
    if missing:
        return [*wrong, f"[auth] in {path} lacks {', '.join(missing)}."]
    return wrong + _about_addresses(auth, path, shared)


def _about_addresses(auth: dict[str, str], path: Path, shared: Sharing) -> list[str]:
    wrong = []
    if len(auth["cookie_secret"]) < SECRET:
        wrong.append(f"cookie_secret in {path} has {len(auth['cookie_secret'])} characters, expected {SECRET} random ones: "
                     "python -c 'import secrets; print(secrets.token_urlsafe(48))'")
    back, provider = urlsplit(auth["redirect_uri"]), urlsplit(auth["server_metadata_url"])
    if back.path != "/oauth2callback":
        wrong.append(f"redirect_uri in {path} must be https://HOST/oauth2callback, found {auth['redirect_uri']!r}.")
    if (back.hostname or "") not in shared.hosts:
        wrong.append(f"The host of redirect_uri, {back.hostname!r}, is not among LANDSCAPE_HOSTS.")
    for name, where in (("redirect_uri", back), ("server_metadata_url", provider)):
        if where.scheme != "https" and where.hostname not in LOOPBACK:
            wrong.append(f"{name} in {path} must begin with https://: what goes over plain HTTP can be read and changed.")
    return wrong


def _about_openings() -> list[str]:
    wrong = [f"{name} is set, but {why}: unset it." for name, why in CLOSED.items() if os.environ.get(name, "").strip()]
    for name in ("ENABLE_XSRF_PROTECTION", "ENABLE_CORS"):
        if os.environ.get(f"STREAMLIT_SERVER_{name}", "true").strip().lower() not in ("true", "1"):
            wrong.append(f"STREAMLIT_SERVER_{name} switches off what keeps other sites out: unset it.")
    return wrong


def _is_plain(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        return host == parts.hostname and parts.port is None and "*" not in host
    except ValueError:
        return False


def _listed(name: str) -> tuple[str, ...]:
    given = os.environ.get(f"LANDSCAPE_{name}", "").split(",")
    return tuple(part.strip().lower() for part in given if part.strip())


def _number(name: str, default: int) -> int:
    given = os.environ.get(f"LANDSCAPE_{name}", "").strip()
    if not given:
        return default
    if not given.isdecimal() or int(given) == 0:
        raise BadInput(f"LANDSCAPE_{name} must be a positive whole number, found {given!r}.")
    return int(given)
