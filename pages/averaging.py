"""Averaging: where SGD goes, what averaging its weights does, and how wide the place is that it finds."""

import streamlit as st

from landscape.runs import Library
from landscape.ui import opened, page, panels, running
from landscape.ui.averaging.designer import designer
from landscape.ui.averaging.sections import section_of, tell, told
from landscape.ui.averaging.story import Story
from landscape.ui.form import form
from landscape.ui.places import understood
from landscape.ui.reading import AVERAGING, ago, badge, pictures_of, stamp

ACTIVE = ("queued", "running")
SHOWN = ("test_error", "train_loss", "test_nll", "train_nll", "train_error")


def new_run(library: Library) -> None:
    st.title("Averaging")
    st.markdown("SGD at a high rate walks around the valley it has found. Average its weights, and see where the mean "
                "lies, how wide it is there, and whether it helps: slides 8 to 21 of the talk, computed from one run.")
    settings = form("averaging")
    running.run_button("averaging", settings)
    known = library.runs("averaging")[:6]
    if known:
        st.subheader("Or open one")
        for run in known:
            entry(run)
    if settings is not None:
        st.subheader("Schedule designer", anchor="designer")
        designer(settings)


def entry(run) -> None:
    """One line for a run of before, and the way back to it."""
    with st.container(border=True):
        what, when, way = st.columns([7, 2, 2], vertical_alignment="center")
        what.markdown(f"**{run.title}** {badge(run) if run.status != 'done' else ''}")
        when.caption("gallery" if run.read_only else ago(run.created))
        way.page_link(AVERAGING, label="Open", query_params={"run": run.key}, icon=":material/open_in_new:")


def one_run(library: Library, key: str) -> None:
    run = library.run(key)
    page.head(run)
    view = panels.controls(SHOWN)
    if run.status in ACTIVE:
        watch(library, run.key, run.status, view)
        opened.panel(library, run, view.metric)
        return
    if run.status != "done":
        running.ended_early(run)
    story = Story(library, run, view)
    slots = tell(story)
    with st.expander("Training and settings", icon=":material/show_chart:", expanded=running.noteworthy(library, run)):
        running.live_curves(library, run)
        designer(story.settings)
        st.json(run.settings, expanded=False)
    panel(library, run, view, slots)


def panel(library: Library, run, view: panels.View, slots: dict) -> None:
    """The opened network, below the section whose picture was clicked."""
    pictures = pictures_of(library, stamp(library, run))
    place, _ = understood(pictures, run.key, st.query_params["open"]) if "open" in st.query_params else (None, "")
    here = section_of(place) or next(iter(slots), None)
    with slots.get(here) or st.container():
        opened.panel(library, run, view.metric,
                     elsewhere=lambda other: (section_of(other) or here) != here and section_of(other) in slots)


@st.fragment(run_every=0.5)
def watch(library: Library, key: str, status: str, view: panels.View) -> None:
    """Polls a run that is being computed; the page is drawn anew when its status changes."""
    run = library.run(key)
    if run.status != status:
        st.rerun()
    running.progress(library, run)
    story = Story(library, run, view)
    running.live_curves(library, run)
    if len(told(story)) > 2:  # more than what needs no result
        tell(story, slots=False)


page.route(new_run, one_run)
