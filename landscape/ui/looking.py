"""A store that can only be looked at: the sentence on every page, and why a button is off."""

from __future__ import annotations

from typing import Any

import streamlit as st

from landscape.runs.home import home_of, unwritable


def only() -> str:
    """Why nothing can be written into the store of this server, and what to do; empty where it can."""
    return unwritable(home_of(None))


def notice() -> None:
    """On every page of such a server: what is there can be seen, nothing can be added or changed."""
    if why := only():
        with st.expander("This store can only be looked at: nothing is computed, kept, renamed or deleted here.",
                         icon=":material/lock:", key="looking"):
            st.markdown(why)


def off(otherwise: bool = False, help: str | None = None) -> dict[str, Any]:
    """``disabled`` and ``help`` of a button that writes; ``otherwise`` says whether it is off for another reason."""
    why = only()
    return {"disabled": otherwise or bool(why), "help": why or help}
