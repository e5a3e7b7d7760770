"""A run while it is computed, and what to say of one that ended early."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from landscape import catalog
from landscape.errors import LandscapeError
from landscape.figures import truth
from landscape.figures.methods import look
from landscape.runs import Library, Run
from landscape.ui import costs, looking, people, plot
from landscape.ui.reading import history_json, seconds_in_words, stamp

STAGES = {
    "training": "Training the networks",
    "curves": "Training the curves",
    "surface:optima": "Plane of the three optima",
    "surface:bezier": "Plane of the Bezier curve",
    "surface:chain": "Plane of the chain",
    "report": "Reading and judging the files",
    "average": "Averaging the weights",
    "components": "Principal components",
    "pairs": "Every pair",
    "surface:random": "Random plane",
    "surface:plane": "Plane of the three networks",
    "surface:pca": "Plane of the principal components",
    "profile:line": "Line between the two",
    "profile:matched": "Line after matching hidden units",
    "curve": "Training a curve",
    "profile:bezier": "Along the curve",
    "profile:line 1": "First random line",
    "profile:line 2": "Second random line",
    "start": "SGD up to where the ways part",
    "sgd": "SGD with a falling rate",
    "constant": "SGD at a constant rate, to be averaged",
    "fge": "FGE's cycles",
    "surface:walk": "Plane of W1, W2 and W3",
    "surface:twin": "Plane of SGD, SWA and their start",
    "surface:random sgd": "Random plane around SGD",
    "surface:random swa": "Random plane around SWA",
    "rays": "Random rays",
    "width": "Width in numbers",
    "gap": "Mean network against mean of networks",
    "shells": "Shells",
    "ensembles": "Ensembles",
    "table": "Results table",
    "histories": "Errors along the way",
    "surface:theatre": "The posterior of the plane, cell by cell",
    "surface:loss": "The loss around the walk",
    "members": "Growing ensembles",
    "sweep:temperature": "Temperatures",
    "sweep:prior": "Scales of the prior",
    "walk": "Training the networks",
    "held-out classes": "Networks that have never seen some classes",
    "reading": "Reading the file",
    "file": "Judging the file",
    "starting": "Starting",
}


def named(stage: str) -> str:
    """A stage in words; the stages of a run made for another come as ``curves: training``."""
    last = stage.rsplit(": ", 1)[-1]
    if last.startswith("sgd-"):
        return f"SGD with {last.removeprefix('sgd-')} budgets"
    if last.startswith("draws:"):
        return f"Drawing: {look(last.removeprefix('draws:')).title}"
    return STAGES.get(last) or (f"Judging: {catalog.SOURCES[last].title}" if last in catalog.SOURCES else last)


def progress(library: Library, run: Run) -> None:
    """Stage, epoch, time left, Cancel."""
    now = library.progress(run.key)
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    with left:
        if now is None:
            st.progress(0.0, waiting(library, run) if run.status == "queued" else "Starting")
        else:
            stage = named(now.stage)
            detail = now.detail
            where = (
                f", epoch {detail['epoch']} of {detail['epochs']}"
                if "epochs" in detail
                else (f", {detail['cells']:,} networks evaluated" if "cells" in detail else "")
            )
            st.progress(min(1.0, now.fraction), f"{stage}{where} · {seconds_in_words(now.eta_seconds)}")
        if run.message:  # what befell it so far, and that it goes on
            st.caption(run.message)
    if right.button("Cancel", key="cancel", width="stretch", **looking.off()):
        try:
            people.jobs().cancel(run.key)
        except LandscapeError as error:
            st.error(str(error))
        else:
            st.rerun()


def waiting(library: Library, run: Run) -> str:
    """What a queued run waits for."""
    place = library.place(run.key)
    if place is None or place[1] < 2:
        return "Waiting for a worker"
    return f"Place {place[0]} of {place[1]} in the queue; people take turns"


def live_curves(library: Library, run: Run) -> None:
    """What training and curves have logged so far."""
    shown = {"history:training": "Networks", "history:curves": "Curves"}
    found = {title: library.inherited(run.key, name) for name, title in shown.items()}
    found = {title: h for title, h in found.items() if h is not None}
    for column, (title, log) in zip(st.columns(max(1, len(found))), found.items(), strict=False):
        with column:
            st.caption(title)
            figure = history_json(log, (*stamp(library, run), title), ("train_loss", "validation_error"))
            plot.plot(figure, f"history-{title}", height=360, revision=f"{run.key}-{title}")
    rounding(library, run)


def rounding(library: Library, run: Run) -> None:
    """How far off training in a lower precision was, in red where that is too much."""
    for said, ok in truth.trained(library, run):
        (st.caption if ok else st.error)(said)


def noteworthy(library: Library, run: Run) -> bool:
    """Whether its training is to be seen unasked: it did not come to its end, or was rounded too much."""
    return run.status != "done" or not all(ok for _, ok in truth.trained(library, run))


def ended_early(run: Run) -> None:
    """Why a run stopped, and a button that goes on from what it has."""
    (st.error if run.status == "failed" else st.info)(run.message or f"This run is {run.status}.")
    if not run.read_only and st.button("Go on", icon=":material/play_arrow:", key="go-on", **looking.off()):
        submit(run.recipe, run.settings)


def run_button(recipe: str, settings) -> None:
    """The button that starts a run, and beside it what the run will cost; ``settings`` None: those given are not valid."""
    button, words = st.columns([1, 6], vertical_alignment="center")
    if button.button("Run", type="primary", icon=":material/play_arrow:", key="run-button", **looking.off(settings is None)):
        submit(recipe, settings)
    if settings is not None:
        with words:
            costs.said(recipe, settings)


def submit(recipe: str, settings, shown_on: Path | None = None) -> None:
    """Start a run and show it, here or on another page; one that takes long is asked about first. An error is said where the
    button is."""
    if costs.agreed(recipe, settings, lambda: _started(recipe, settings, shown_on)):
        _started(recipe, settings, shown_on)


def _started(recipe: str, settings, shown_on: Path | None) -> None:
    try:
        with st.spinner("Handing the job to the engine"):
            key = people.jobs().submit(recipe, settings)
    except LandscapeError as error:
        st.error(str(error))
        return
    if shown_on is not None:
        st.switch_page(shown_on, query_params={"run": key})
    st.query_params["run"] = key
    st.rerun()
