"""What pages of runs share: the run that the URL names or the way to a new one, its title, the way back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from landscape.errors import LandscapeError
from landscape.runs import Library, Run
from landscape.ui.reading import badge


def route(
    new_run: Callable[[Library], None], one_run: Callable[[Library, str], None], again: str = "Start a new run"
) -> None:
    """The page: ``one_run(library, key)`` if the URL names a run, else ``new_run(library)``. An error is said, with a way
    out of it called ``again``."""
    try:
        library, asked = Library(), st.query_params.get("run")
        if asked:
            one_run(library, asked)
        else:
            new_run(library)
    except LandscapeError as error:
        st.error(str(error))
        if st.query_params.get("run") and st.button(again):
            leave()


def head(run: Run, again: str = "New run") -> None:
    """Title, status, and a button back to where runs are started."""
    title, status, way = st.columns([8, 1, 1.6], vertical_alignment="center")
    title.title(run.title)
    status.markdown(badge(run))
    if way.button(again, icon=":material/add:", width="stretch", key="new-run"):
        leave()


def leave() -> None:
    """Forget the run and the points that were open in it."""
    for name in ("run", "open", "with"):
        st.query_params.pop(name, None)
    st.rerun()
