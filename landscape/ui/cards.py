"""Runs as cards: a picture of the valley, what was found, a way in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape

import streamlit as st

from landscape.figures import posterior_table
from landscape.figures.profile import at_most
from landscape.runs import Library, Run
from landscape.ui.reading import PAGES, VALLEYS, badge, judged_thumbnail, stamp, thumbnail

ICONS = {"valleys": ":material/conversion_path:", "averaging": ":material/scatter_plot:",
         "posterior": ":material/bubble_chart:", "calibration": ":material/target:", "predictions": ":material/target:"}
JUDGED = ("calibration", "predictions")
PICTURED = ("bezier", "chain", "optima", "walk", "loss", "twin")  # surfaces, the first there is is shown


def cards(library: Library, runs: list[Run], last: Sequence[Callable[[], None]] = ()) -> None:
    """Three in a row; on a narrow screen one below the other in the same order. Each of ``last`` fills one of its own."""
    filled = [partial(card, library, run) for run in runs] + list(last)
    for start in range(0, len(filled), 3):
        for column, fill in zip(st.columns(3), filled[start : start + 3], strict=False):
            with column.container(border=True, height="stretch"):
                fill()


def card(library: Library, run: Run) -> None:
    at = stamp(library, run)
    there = library.names(run.key)
    name = next((n for n in PICTURED if f"surface:{n}" in there), "")
    surface = library.result(run.key, f"surface:{name}") if name else None
    if surface is not None and "train_loss" in surface.values:
        picture = thumbnail(surface, (*at, name))
        st.html(f'<img class="landscape-card" alt="Train loss of {escape(run.title)}" src="{picture}">')
    elif run.recipe in JUDGED and (picture := judged_thumbnail(library, at)):
        st.html(f'<img class="landscape-card" alt="Confidence against accuracy of {escape(run.title)}" src="{picture}">')
    st.markdown(f"**{run.title}** {badge(run) if run.status != 'done' else ''}")
    said = IN_WORDS[run.recipe](library, run) if run.recipe in IN_WORDS else ""
    if said:
        st.caption(said)
    st.page_link(PAGES.get(run.recipe, VALLEYS), label="Open", query_params={"run": run.key}, icon=ICONS.get(run.recipe))


def _valley(library: Library, run: Run) -> str:
    summary = library.result(run.key, "summary")
    if summary is None:
        return ""
    nll = summary.values["train_nll"]
    return (f"Train NLL between two optima: {nll['line_max']:.2g} on the segment, at most {at_most(nll['bezier_max'])} on "
            f"the Bezier curve, {at_most(nll['chain_max'])} on the chain.")


def _first_sentence(library: Library, run: Run) -> str:
    """What the run's own table says first."""
    table = library.result(run.key, "table")
    return next(iter((table.values.get("verdict") if table is not None else None) or ()), "")


def _likeliest(library: Library, run: Run) -> str:
    """The method whose average has the lowest NLL."""
    table = library.result(run.key, "table")
    return posterior_table.in_words(table.values).replace("**", "") if table is not None else ""


def _honest(library: Library, run: Run) -> str:
    """The source with the lowest NLL, and how far from calibrated it is."""
    summary = library.result(run.key, "summary")
    rows = [row for row in (summary.values if summary is not None else {}).values()
            if isinstance(row, dict) and row.get("nll") is not None and row.get("title")]
    if not rows:
        return ""
    best = min(rows, key=lambda row: row["nll"])
    ece = f", ECE {best['ece15']:.3f}" if best.get("ece15") is not None else ""
    among = f" of {len(rows)} sources" if len(rows) > 1 else ""
    return f"Lowest test NLL{among}: {best['title']}, {best['nll']:.3f}{ece}.".replace("-", "−")


IN_WORDS: dict[str, Callable[[Library, Run], str]] = {
    "valleys": _valley, "averaging": _first_sentence, "posterior": _likeliest,
    "calibration": _honest, "predictions": _honest}
