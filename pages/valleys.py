"""Valleys: train networks, join them by curves, and walk on the three planes of the talk's slide 7."""

import streamlit as st

from landscape.runs import Library
from landscape.ui import opened, page, panels, running
from landscape.ui.cards import cards
from landscape.ui.form import form
from landscape.ui.reading import VALLEYS

ACTIVE = ("queued", "running")


def new_run(library: Library) -> None:
    st.title("Valleys")
    st.markdown(
        "Train networks from different starts, join two of them by a curve of low loss, and see the planes they lie in."
    )
    settings = form("valleys")
    running.run_button("valleys", settings)
    known = library.runs("valleys")[:6]
    if known:
        st.subheader("Or open one")
        cards(library, known)


def one_run(library: Library, key: str) -> None:
    run = library.run(key)
    page.head(run)
    if run.recipe == opened.KEPT:  # it was kept: there is no picture around it
        st.page_link(VALLEYS, label="Where it comes from", icon=":material/conversion_path:",
                     query_params={"run": run.settings["source"], "open": run.settings["where"]})
        opened.panel(library, run, first="=network")
        return
    view = panels.controls()
    if run.status in ACTIVE:
        watch(library, run.key, run.status, view)
        opened.panel(library, run, view.metric)
        return
    if run.status != "done":
        running.ended_early(run)
    panels.planes(library, run, view)
    panels.walker(library, run, view)
    answer = st.container()  # below the planes, but drawn when all else is there: nothing waits for it
    panels.along(library, run, view)
    with st.expander("Training and settings", icon=":material/show_chart:", expanded=running.noteworthy(library, run)):
        running.live_curves(library, run)
        st.json(run.settings, expanded=False)
    with answer:
        opened.panel(library, run, view.metric)


@st.fragment(run_every=0.5)
def watch(library: Library, key: str, status: str, view: panels.View) -> None:
    """Polls a run that is being computed; the page is drawn anew when its status changes."""
    run = library.run(key)
    if run.status != status:
        st.rerun()
    running.progress(library, run)
    panels.planes(library, run, view)
    panels.walker(library, run, view)
    panels.along(library, run, view)
    running.live_curves(library, run)


page.route(new_run, one_run)
