"""Calibration: what each source of predictions knows of its own errors; networks trained here, stored ones, or a file."""

import streamlit as st

from landscape import catalog
from landscape.runs import Library
from landscape.ui import page, running
from landscape.ui.calibration import files, stored
from landscape.ui.calibration.sections import tell
from landscape.ui.calibration.story import Story
from landscape.ui.form import form
from landscape.ui.reading import CALIBRATION, ago, badge

ACTIVE = ("queued", "running")
FRONT = ("sources", "corruptions", "ood", "members", "swag_draws", "repeats")


def new_run(library: Library) -> None:
    st.title("Calibration")
    st.markdown(
        "Does it know what it does not know? Predictions of several sources side by side, judged on the same examples: "
        "slides 23 and 24 of the talk, and what lies beyond them."
    )
    here, file = st.tabs(["Networks trained here", "A file of predictions"])
    with here:
        settings = stored.added(library, form("calibration", FRONT))
        running.run_button("calibration", settings)
    with file:
        files.form(library)
    known = sorted([*library.runs("calibration"), *library.runs("predictions")], key=lambda run: -run.created)[:8]
    if known:
        st.subheader("Or open one")
        for run in known:
            entry(run)
    else:
        st.info("Nothing has been judged yet. Run, with everything as it is, trains SGD, SWA, SWAG, an ensemble and "
                "MultiSWAG on MNIST-1D and shows how sure each of them is, and how often right.", icon=":material/target:")


def entry(run) -> None:
    """One line for a run of before, and the way back to it."""
    with st.container(border=True):
        what, when, way = st.columns([7, 2, 2], vertical_alignment="center")
        s = run.settings
        named = [catalog.SOURCES[name].title if name in catalog.SOURCES else name for name in s.get("sources", ())]
        told = ", ".join(named) if run.recipe == "calibration" else "a file of predictions"
        what.markdown(f"**{run.title}** {badge(run) if run.status != 'done' else ''}  \n:gray[{told}]")
        when.caption("gallery" if run.read_only else ago(run.created))
        way.page_link(CALIBRATION, label="Open", query_params={"run": run.key}, icon=":material/open_in_new:")


def one_run(library: Library, key: str) -> None:
    run = library.run(key)
    page.head(run)
    if run.status in ACTIVE:
        watch(library, run.key, run.status)
        return
    story = Story(library, run)
    if "undecided" in story.found:
        files.question(run, story.values("undecided"))
    elif run.status != "done":
        running.ended_early(run)
    tell(story)
    with st.expander("Settings", icon=":material/tune:", expanded=not story.found or running.noteworthy(library, run)):
        running.rounding(library, run)
        st.json(run.settings, expanded=False)


@st.fragment(run_every=0.5)
def watch(library: Library, key: str, status: str) -> None:
    """Polls a run that is being computed; the page is drawn anew when its status changes."""
    run = library.run(key)
    if run.status != status:
        st.rerun()
    running.progress(library, run)
    story = Story(library, run)
    if story.labels:
        tell(story)
    else:
        running.live_curves(library, run)


page.route(new_run, one_run)
