"""Posterior: build a subspace, infer in it, average over it; and what each method's average predicts."""

import streamlit as st

from landscape.figures.methods import look
from landscape.runs import Library
from landscape.ui import opened, page, running
from landscape.ui.form import form
from landscape.ui.places import understood
from landscape.ui.posterior.asked import units, without_subspace
from landscape.ui.posterior.sections import section_of, tell, told
from landscape.ui.posterior.story import Story
from landscape.ui.reading import POSTERIOR, ago, badge, pictures_of, stamp

ACTIVE = ("queued", "running")
FRONT = ("subspace", "dimension", "temperature", "prior_std", "methods")


def new_run(library: Library) -> None:
    st.title("Posterior")
    st.markdown(
        "Many networks fit the same data. See how likely each of them is, let different methods draw from them, and "
        "see what their averages predict: slides 22 to 33 of the talk, computed from one run."
    )
    settings = form("posterior", FRONT)
    if settings is not None:
        st.caption(units(settings))
        if settings.unspanned:
            st.warning(without_subspace(settings), icon=":material/block:")
    running.run_button("posterior", settings)
    known = sorted(library.runs("posterior") + library.runs("around"), key=lambda run: -run.created)[:8]
    if known:
        st.subheader("Or open one")
        for run in known:
            entry(run)


def entry(run) -> None:
    """One line for a run of before, and the way back to it."""
    with st.container(border=True):
        what, when, way = st.columns([7, 2, 2], vertical_alignment="center")
        s = run.settings
        what.markdown(
            f"**{run.title}** {badge(run) if run.status != 'done' else ''}  \n:gray[{s.get('subspace')} subspace of "
            f"{s.get('dimension')} dimensions · {' · '.join(look(name).title for name in s.get('methods', ()))}]"
        )
        when.caption("gallery" if run.read_only else ago(run.created))
        way.page_link(POSTERIOR, label="Open", query_params={"run": run.key}, icon=":material/open_in_new:")


def one_run(library: Library, key: str) -> None:
    run = library.run(key)
    page.head(run)
    relief = (
        st.segmented_control(
            "View",
            ["contour", "3D"],
            default="contour",
            key="view",
            bind="query-params",
            required=True,
            label_visibility="collapsed",
        )
        == "3D"
    )
    if run.status in ACTIVE:
        watch(library, run.key, run.status, relief)
        opened.panel(library, run, "train_nll")
        return
    if run.status != "done":
        running.ended_early(run)
    story = Story(library, run, relief)
    slots = tell(story)
    with st.expander("Settings", icon=":material/tune:", expanded=running.noteworthy(library, run)):
        running.live_curves(library, run)
        st.json(run.settings, expanded=False)
    panel(library, run, slots)


def panel(library: Library, run, slots: dict) -> None:
    """The opened network, below the section whose picture was clicked."""
    pictures = pictures_of(library, stamp(library, run))
    place, _ = understood(pictures, run.key, st.query_params["open"]) if "open" in st.query_params else (None, "")
    here = section_of(place) if section_of(place) in slots else next(iter(slots), None)
    with slots.get(here) or st.container():
        opened.panel(
            library,
            run,
            "train_nll",
            elsewhere=lambda other: (section_of(other) or here) != here and section_of(other) in slots,
        )


@st.fragment(run_every=0.5)
def watch(library: Library, key: str, status: str, relief: bool) -> None:
    """Polls a run that is being computed; the page is drawn anew when its status changes."""
    run = library.run(key)
    if run.status != status:
        st.rerun()
    running.progress(library, run)
    story = Story(library, run, relief)
    if not story.found:
        running.live_curves(library, run)
    if told(story):
        tell(story, slots=False)


page.route(new_run, one_run)
