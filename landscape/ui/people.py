"""Who is looking: the user of the login, else the browser."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from landscape.runs import Jobs, uploads
from landscape.runs.people import BROWSER, USER, Person
from landscape.sharing import is_open, sharing

XSRF = "_streamlit_xsrf"  # the cookie that every browser has from its first page on, of its own


def user_of(claims: Mapping[str, Any]) -> Person | None:
    """The person of a login's claims; None for a login that does not say who it is."""
    subject = f"{claims.get('iss', '')}|{claims.get('sub') or claims.get('email') or ''}"
    if subject.endswith("|"):
        return None
    name = str(claims.get("email") or claims.get("name") or "a user")
    return Person(USER + hashlib.sha256(subject.encode()).hexdigest()[:16], name)


def visitor() -> Person:
    """Who looks at this page."""
    if sharing() is not None:
        found = user_of(st.user.to_dict()) if st.user.is_logged_in else None
        if found is None:
            st.stop()
        return found
    cookie = st.context.cookies.get(XSRF, "").split("|")  # version, mask, masked token, time: unmasked it stays the same
    return Person(BROWSER + hashlib.sha256(_unmasked(cookie)).hexdigest()[:16]) if len(cookie) == 4 else Person()


def jobs(home: Path | str | None = None) -> Jobs:
    """The engine, asked in the name of the visitor."""
    return Jobs(home, person=visitor())


def keep(home: Path, dropped) -> uploads.Upload:
    """A dropped file on disk, as the visitor's."""
    dropped.seek(0)  # a second click reads it again
    return uploads.keep(home, dropped.name, dropped, person=visitor())


def folders() -> str:
    """The folders of this machine whose files may be named, separated by ``:``; none where others can come in."""
    return "" if is_open() else os.environ.get("LANDSCAPE_ROOTS", "")


def door() -> None:
    """In an app that is open to others: nobody gets further without a login that is let in, and who it is stands there."""
    shared = sharing()
    if shared is None:
        return
    if not st.user.is_logged_in:
        st.title("Loss Valleys")
        if st.button("Log in", type="primary", icon=":material/login:"):
            st.login()
        st.stop()
    if user_of(st.user.to_dict()) is None or not shared.admits(st.user.to_dict()):
        st.error(f"{st.user.get('email') or 'This login'} is not among the people who may come in here.")
        if st.button("Log out", icon=":material/logout:"):
            st.logout()
        st.stop()
    with st.sidebar:
        st.caption(f"Logged in as {visitor().name}")
        if st.button("Log out", icon=":material/logout:", key="log-out"):
            st.logout()


def _unmasked(cookie: list[str]) -> bytes:
    try:
        mask, masked = bytes.fromhex(cookie[1]), bytes.fromhex(cookie[2])
    except ValueError:
        return cookie[2].encode()
    return bytes(byte ^ mask[i % len(mask)] for i, byte in enumerate(masked)) if mask else masked
