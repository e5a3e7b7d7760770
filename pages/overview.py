"""Overview: a finished surface, the exhibits, and what is being computed now. Complete without a click."""

import streamlit as st

from landscape import catalog
from landscape.errors import LandscapeError
from landscape.runs import Library, Run
from landscape.ui import plot, running
from landscape.ui.reading import VALLEYS, badge, profiles, seconds_in_words, shared_scale, surface_json, surfaces, version

ACTIVE = ("queued", "running")
FIRST = ("mnist1d", "digits")  # the tasks whose picture is shown first, if there is one


def showcase(library: Library) -> Run | None:
    """The finished run of the first picture: the gallery's flagship, else the newest."""
    done = [run for run in library.runs("valleys", "done") if "surface:bezier" in library.names(run.key)]
    rank = {task: i for i, task in enumerate(FIRST)}
    return min(done, key=lambda run: (not run.read_only, rank.get(run.settings["task"], 9), -run.created), default=None)


def hero(library: Library, run: Run) -> None:
    words, picture = st.columns([2, 5], vertical_alignment="center", gap="large")
    found = surfaces(library, run.key)
    summary = library.result(run.key, "summary").values["train_nll"]
    with words:
        st.title("Weight space, made visible")
        st.markdown(
            "Every point of this surface is a neural network. Two were trained from different starts; on the straight line "
            f"between them the training NLL climbs to **{summary['line_max']:.2f}**. Along the curve it stays below "
            f"**{summary['bezier_max']:.2f}**: the optima lie in one valley."
        )
        st.page_link(VALLEYS, label="Walk along this valley", query_params={"run": run.key}, icon=":material/hiking:")
        st.page_link(VALLEYS, label="Train your own", icon=":material/play_arrow:")
        st.caption(f"{run.title}. Garipov et al. 2018; slide 7 of A. G. Wilson's talk.")
    with picture:
        name = "bezier" if "bezier" in found else next(iter(found))
        scale = shared_scale({name: found[name]}, "train_loss", None, None, None)
        figure = surface_json(
            found[name], profiles(library, run.key), (run.key, version(library, run.key), name), "train_loss", True, scale
        )
        plot.plot(figure, "hero", height=600, group="hero", revision=run.key)


@st.fragment(run_every=1.0)
def now(library: Library) -> None:
    """What is being computed."""
    active = [run for status in ACTIVE for run in library.runs(status=status)]
    if not active:
        return
    st.subheader("Running now")
    for run in active:
        at = library.progress(run.key)
        text = running.named(at.stage) + " · " + seconds_in_words(at.eta_seconds) if at else "waiting"
        st.progress(at.fraction if at else 0.0, f"{run.title}: {text}")
        st.page_link(VALLEYS, label="Watch", query_params={"run": run.key}, icon=":material/visibility:")


def cards(library: Library) -> None:
    st.subheader("Exhibits")
    shown = library.runs("valleys", "done")[:6]
    columns = st.columns(3)
    for i, run in enumerate(shown):
        summary = library.result(run.key, "summary")
        with columns[i % 3].container(border=True, height="stretch"):
            st.markdown(f"**{run.title}** {badge(run) if not run.read_only else ''}")
            if summary is not None:
                nll = summary.values["train_nll"]
                st.caption(
                    f"Train NLL between two optima: {nll['line_max']:.2f} on the segment, {nll['bezier_max']:.3f} on the "
                    f"Bezier curve, {nll['chain_max']:.3f} on the chain."
                )
            st.page_link(VALLEYS, label="Open", query_params={"run": run.key}, icon=":material/conversion_path:")
    with columns[len(shown) % 3].container(border=True, height="stretch"):
        st.markdown("**New valley**")
        st.caption(
            f"{catalog.RECIPES['valleys'].about} {len(catalog.TASKS)} tasks, {len(catalog.NETWORKS)} networks, or your data."
        )
        st.page_link(VALLEYS, label="Start", icon=":material/play_arrow:")


try:
    shelf = Library()
    first = showcase(shelf)
    if first is not None:
        hero(shelf, first)
    else:
        st.title("Weight space, made visible")
        st.info("There is no finished run yet. Start one on the Valleys page; it takes less than a minute.")
    now(shelf)
    cards(shelf)
except LandscapeError as error:
    st.error(str(error))
