"""Checkpoints: open networks trained elsewhere; first whether they fit, then what can be seen of them."""

import streamlit as st

from landscape.runs import Library
from landscape.ui import checkpoints, inspected, page, running
from landscape.ui.reading import stamp
from landscape.ui.report import report

ACTIVE = ("queued", "running")


def new_run(library: Library) -> None:
    st.title("Checkpoints")
    st.markdown("Open networks you trained elsewhere: whether they fit and how good they are, then the surface they lie on, "
                "the barriers between them, the path they took and their average.")
    checkpoints.form(library)
    known = library.runs("inspect")[:6]
    if known:
        st.subheader("Opened before")
        for run in known:
            checkpoints.entry(library, run)
    checkpoints.tidy(library)


def one_run(library: Library, key: str) -> None:
    run = library.run(key)
    page.head(run, "Open others")
    if run.status in ACTIVE:
        watch(library, run.key, run.status)
        return
    if run.status != "done":
        running.ended_early(run)
    seen(library, run)
    with st.expander("Settings", icon=":material/tune:"):
        st.json(run.settings, expanded=False)


@st.fragment(run_every=0.5)
def watch(library: Library, key: str, status: str) -> None:
    """Polls a run that is being computed; the page is drawn anew when its status changes."""
    run = library.run(key)
    if run.status != status:
        st.rerun()
    running.progress(library, run)
    seen(library, run)


def seen(library: Library, run) -> None:
    """The report, then the pictures with their controls."""
    found = inspected.results(library, stamp(library, run))
    if "report" in found:
        samples = found.get("samples")
        values = found["report"].values
        report(values, samples.values if samples else None, coming=run.status in ACTIVE,
               after_advice=lambda: checkpoints.again(run, values.get("advice") or []))
    if inspected.offered(found):
        inspected.pictures(library, run, inspected.controls(found))


page.route(new_run, one_run, again="Open others")
