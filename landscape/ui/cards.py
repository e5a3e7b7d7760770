"""Runs as cards: a picture of the valley, what was found, a way in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape

import streamlit as st

from landscape.figures.profile import at_most
from landscape.runs import Library, Run
from landscape.ui.reading import VALLEYS, badge, stamp, surfaces, thumbnail

PICTURED = ("bezier", "chain", "optima")


def cards(library: Library, runs: list[Run], last: Callable[[], None] | None = None) -> None:
    """Three in a row; on a narrow screen one below the other in the same order. ``last`` fills a card of its own."""
    filled = [partial(card, library, run) for run in runs] + ([last] if last else [])
    for start in range(0, len(filled), 3):
        for column, fill in zip(st.columns(3), filled[start : start + 3], strict=False):
            with column.container(border=True, height="stretch"):
                fill()


def card(library: Library, run: Run) -> None:
    at = stamp(library, run)
    found = surfaces(library, at)
    name = next((n for n in PICTURED if n in found), None)
    if name is not None:
        picture = thumbnail(found[name], (*at, name))
        st.html(f'<img class="landscape-card" alt="Train loss of {escape(run.title)}" src="{picture}">')
    st.markdown(f"**{run.title}** {badge(run) if run.status != 'done' else ''}")
    summary = library.result(run.key, "summary")
    if summary is not None:
        nll = summary.values["train_nll"]
        st.caption(f"Train NLL between two optima: {nll['line_max']:.2g} on the segment, at most "
                   f"{at_most(nll['bezier_max'])} on the Bezier curve, {at_most(nll['chain_max'])} on the chain.")
    st.page_link(VALLEYS, label="Open", query_params={"run": run.key}, icon=":material/conversion_path:")
