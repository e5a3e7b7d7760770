"""Overview: a finished surface, the exhibits, and what is being computed now. Complete without a click."""

from functools import partial

import streamlit as st

from landscape import catalog
from landscape.errors import LandscapeError
from landscape.figures import truth
from landscape.figures.profile import at_most
from landscape.runs import Library, Run
from landscape.ui import opened, plot, running
from landscape.ui.cards import cards
from landscape.ui.places import network_of
from landscape.ui.reading import PAGES, VALLEYS, profiles, seconds_in_words, shared_scale, stamp, surface_json, surfaces

ACTIVE = ("queued", "running")
SHOWN = {"valleys": 6, "averaging": 2, "posterior": 2, "calibration": 2}  # finished runs of each exhibit that are shown
FIRST = ("mnist1d", "digits")  # the tasks whose picture is shown first, if there is one


def showcase(library: Library) -> Run | None:
    """The finished run of the first picture: the one of the URL, else the gallery's flagship, else the newest."""
    done = [run for run in library.runs("valleys", "done") if "surface:bezier" in library.names(run.key)]
    rank = {task: i for i, task in enumerate(FIRST)}
    asked = st.query_params.get("run")
    return min(done, default=None, key=lambda run: (
        run.key != asked, not run.read_only, rank.get(run.settings["task"], 9), -run.created))


def hero(library: Library, run: Run) -> None:
    words, picture = st.columns([3, 7], vertical_alignment="center", gap="medium")
    at = stamp(library, run)
    found = surfaces(library, at)
    nll = library.result(run.key, "summary").values["train_nll"]
    with words.container(key="hero-words"):
        st.title("Weight space, made visible")
        st.markdown(
            "Every point of this surface is a neural network. Two were trained from different starts; on the straight line "
            f"between them the training NLL climbs to **{nll['line_max']:.2f}**. Along the curve it never exceeds "
            f"**{at_most(nll['bezier_max'])}**: the optima lie in one valley."
        )
        if st.button("Walk along this valley", type="primary", icon=":material/hiking:", key="enter"):
            st.switch_page(VALLEYS, query_params={"run": run.key})
        st.page_link(VALLEYS, label="Train your own", icon=":material/play_arrow:")
        st.caption(f"{run.title}. Garipov et al. 2018; slide 7 of A. G. Wilson's talk.")
    with picture:
        scale = shared_scale({"bezier": found["bezier"]}, "train_loss", None, None, None)
        figure = surface_json(found["bezier"], profiles(library, at), (*at, "bezier"), "train_loss", True, scale)
        marks = [network_of("bezier", mark) for mark in found["bezier"].marks]
        plot.plot(figure, "hero", height=620, group="hero", revision=run.key,
                  place={"run": run.key, "plane": "bezier", "marks": marks})
        said = truth.line(found["bezier"], "train_loss")
        (st.caption if truth.anchor_ok(found["bezier"]) else st.error)(said)


@st.fragment(run_every=1.0)
def now(library: Library) -> None:
    """What is being computed."""
    active = [run for status in ACTIVE for run in library.runs(status=status)]
    if not active:
        return
    st.subheader("Running now")
    for run in active:
        at = library.progress(run.key)
        stage = f"{running.named(at.stage)} · {seconds_in_words(at.eta_seconds)}" if at else ""
        text = stage or running.waiting(library, run).lower()
        st.progress(at.fraction if at else 0.0, f"{run.title}: {text}")
        there = PAGES.get(run.recipe, VALLEYS)
        st.page_link(there, label="Watch", query_params={"run": run.key}, icon=":material/visibility:")


def exhibits(library: Library) -> None:
    """The newest finished runs of every exhibit, and the ways to new ones."""
    st.subheader("Exhibits")
    shown = [run for recipe, count in SHOWN.items() for run in library.runs(recipe, "done")[:count]]
    cards(library, shown, [partial(invitation, recipe) for recipe in SHOWN])


def invitation(recipe: str) -> None:
    """What an exhibit is, and the way to a run of one's own."""
    row = catalog.RECIPES[recipe]
    st.markdown(f"**New: {row.title.lower()}**")
    more = f" {len(catalog.TASKS)} tasks, {len(catalog.NETWORKS)} networks, or your data." if recipe == "valleys" else ""
    st.caption(row.about + more)
    st.page_link(PAGES[recipe], label="Start", icon=":material/play_arrow:")


try:
    shelf = Library()
    first = showcase(shelf)
    if first is not None:
        hero(shelf, first)
        answer = st.container()  # drawn when all else is there: nothing waits for it
    else:
        st.title("Weight space, made visible")
        st.info("There is no finished run yet. Start one on the Valleys page; it takes less than a minute.")
    now(shelf)
    exhibits(shelf)
    if first is not None:
        with answer:
            opened.panel(shelf, first)
except LandscapeError as error:
    st.error(str(error))
