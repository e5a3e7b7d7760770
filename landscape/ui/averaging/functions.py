"""Averages of functions: the mean network against the mean of networks, and the ensembles of FGE."""

from __future__ import annotations

import streamlit as st

from landscape.figures import fge as ensembles
from landscape.figures import gap as gaps
from landscape.figures import truth
from landscape.ui.averaging.story import Story, captions


def functions(story: Story) -> None:
    """f(mean w) beside the mean of f(w), then what an ensemble of such networks gains."""
    if "gap" in story.found:
        _gap(story)
    if "fge" in story.found or "fge:run" in story.found:
        _fge(story)


def _gap(story: Story) -> None:
    series = story.found["gap"]
    st.markdown("**One network instead of an ensemble.** " + gaps.in_words(series))
    left, right = st.columns([4, 3], gap="large")
    with left:
        story.figure("gap", gaps.gap, series, height=420)
        captions("", truth.said(series.info, f"{len(series.x)} step sizes, each measured"))
    if "function" in story.found:
        with right:
            pairs = story.found["function"]
            story.figure("function", gaps.scatter, pairs, height=420)
            captions("", truth.said(pairs.info or series.info, f"{len(pairs.x):,} outputs shown"))


def _fge(story: Story) -> None:
    members, run = story.found.get("fge"), story.found.get("fge:run")
    st.markdown("**Fast geometric ensembles.** " + (ensembles.in_words(members) if members else ""))
    left, right = st.columns(2, gap="large")
    if members is not None:
        with left:
            story.figure("fge", ensembles.members, members, height=460)
            seeds = len(members.info.get("seeds", (0,)))
            runs = "one cyclical run" if seeds == 1 else f"a cyclical run, mean over {seeds} seeds"
            captions("", truth.said(members.info, f"{len(members.x)} members of {runs}", metric="test_error"))
    if run is not None:
        with right:
            story.figure("fge-run", ensembles.run, run, height=460)
            points = f"{len(run.x)} points of one run, circles where a member is taken"
            captions("", truth.said(run.info, points, metric="test_error"))
