"""Metrics of all sources: one as points, all in a table, what the number of bins does, and how metrics order stored runs."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import streamlit as st

from landscape.figures import metric_table as table
from landscape.figures import rank_matrix
from landscape.runs import Library
from landscape.ui.averaging.story import captions
from landscape.ui.calibration.story import Story, chosen, first_few, several

KINDS = {"width": "equal width", "mass": "equal mass", "debiased": "debiased"}
JUDGED = ("calibration", "predictions")  # recipes whose summaries hold every metric
MOST = 200  # stored runs that are looked at
EVERY = "every task"


def likelihood(story: Story) -> None:
    """Slide 24: one point a source."""
    found = _accounts(story)
    titles = {m: row[0] for m, row in table.REGRESSION.items()} if story.numbers else table.POINTS
    offered = [m for m in titles if m in table.names(found)]
    if not offered:
        st.caption("No source is done yet.")
        return
    metric = chosen("Metric", offered, "points-metric", titles.get, "nll")
    st.markdown(table.in_words(found, story.looks, metric))
    seeds = over_seeds(story, table.STORED.get(metric, metric))
    story.figure("points", table.points, found, story.looks, metric, seeds, height=90 + 36 * len(found), identity=(metric,))
    several_seeds = max(map(len, seeds.values()), default=0)
    captions("", story.true(
        f"bars: 95% of {_draws(found)} bootstrap draws over the test examples" + ", of the first seed" * bool(several_seeds),
        *([f"small points: up to {several_seeds} other seeds, or groups of them"] if several_seeds else []),
        *(["sources share the examples, so differences are surer than the bars suggest"] if len(found) > 1 else [])))


def every(story: Story) -> None:
    """The table; sources that failed say why."""
    found = _accounts(story)
    for label, values in story.summaries("account").items():
        if values.get("failed"):
            st.warning(f"**{story.looks[label].title}**: {values['failed']}")
    st.html(table.table(found, story.looks))
    floor = max((values.get("floor") or 0.0 for values in found.values()), default=0.0)
    chance = f"a perfectly calibrated source would show an ECE of up to {floor:.3f} by chance" if floor else ""
    bins = next((values.get("bins") for values in found.values()), 15)
    captions("", story.true(
        "small: 95% bootstrap intervals; **bold**: best; dotted: its interval meets that of the best",
        f"calibration errors in {bins} bins, NLL in nats and a mean per example" if not story.numbers else "", chance))
    notes = [f"- **{story.looks[label].title}.** {' '.join(values['said'])}" for label, values in found.items()
             if values.get("said")]
    if notes:
        with st.expander("Notes on the sources", icon=":material/notes:"):
            st.markdown("\n".join(notes))
    _exports(story, found)


def _exports(story: Story, found: dict[str, dict]) -> None:
    """The numbers as a program, a spreadsheet and a paper want them."""
    rows = io.StringIO()
    csv.writer(rows).writerows(table.plain(found, story.looks))
    files = {"JSON": (json.dumps(story.values("summary"), indent=1, default=str), "json", "application/json"),
             "CSV": (rows.getvalue(), "csv", "text/csv"),
             "LaTeX": (table.latex(found, story.looks), "tex", "application/x-tex")}
    with st.container(horizontal=True):
        for title, (text, ending, kind) in files.items():
            st.download_button(title, text, f"calibration-{story.run.key[-8:]}.{ending}", kind, key=f"story-{ending}",
                               on_click="ignore", icon=":material/download:")


def bins(story: Story) -> None:
    """The calibration error is a function of how it is measured."""
    _by_bins(story)


@st.fragment
def _by_bins(story: Story) -> None:
    options = list(story.judged)
    left, right = st.columns([5, 3], vertical_alignment="bottom")
    with left:
        shown = several(story, "Sources", options, "by-bins-sources", first_few(story, options))
    with right:
        kind = chosen("Bins", list(KINDS), "by-bins-kind", KINDS.get)
    found = {label: story.judged[label] for label in shown}
    curves = table.errors_by_bins(found, kind)
    ranked = [sorted(curves, key=lambda label, i=i: curves[label][i]) for i in (table.SWEPT.index(10), -1)]
    if len(shown) > 1 and ranked[0] != ranked[1]:
        st.markdown(f"By 10 bins **{story.looks[ranked[0][0]].title}** has the lowest, by {table.SWEPT[-1]} "
                    f"**{story.looks[ranked[1][0]].title}**; the order of all sources is not the same.")
    elif len(shown) > 1:
        st.markdown(f"**{story.looks[ranked[0][0]].title}** has the lowest by 10 bins and by {table.SWEPT[-1]}.")
    story.figure("by-bins", table.by_bins, curves, story.looks, kind, height=340, identity=(tuple(shown), kind))
    captions("", story.true("plain calibration errors grow with the number of bins, because chance does; the debiased one "
                            "does not, and may be below zero"))


def ranks(story: Story) -> None:
    """Spearman's correlation of every pair of metrics, over all sources of all stored runs."""
    rows = stored(story.library, tuple(run.key for run in _runs(story.library)))
    tasks = sorted({row["task"] for row in rows})
    own = str(story.values("summary").get("task") or story.run.settings.get("task", ""))
    task = chosen("Runs of", [*tasks, EVERY] if len(tasks) > 1 else tasks, "ranks-task", start=own) if tasks else EVERY
    kept = [row for row in rows if task in (EVERY, row["task"])]
    columns = rank_matrix.table(kept)
    if len(columns) < 2:
        st.info(f"There are {len(kept)} sources in stored runs: metrics can be compared from {rank_matrix.LEAST} on.")
        return
    left, right = st.columns([5, 3], gap="large", vertical_alignment="center")
    with left:
        story.figure("ranks", rank_matrix.matrix, columns, height=430, identity=(task, len(kept), _digest(columns)))
    with right:
        st.markdown(rank_matrix.in_words(columns))
        runs = len({row["run"] for row in kept})
        st.caption(f"Spearman's rank correlation over {len(kept)} sources of {runs} stored run{'s' if runs > 1 else ''} "
                   "with classes. 1: both metrics put them in the same order; 0: no relation. Over several tasks, it is "
                   "mostly about which task is hard.")


def over_seeds(story: Story, metric: str) -> dict[str, list[float]]:
    """The metric of further seeds, or groups of seeds, by source."""
    rows = story.values("summary")
    found = {label: ((rows.get(label) or {}).get("over_seeds") or {}).get(metric) for label in story.labels}
    return {label: values[1:] for label, values in found.items() if values}


def _runs(library: Library) -> list:
    return [run for recipe in JUDGED for run in library.runs(recipe, "done")][:MOST]


@st.cache_data(max_entries=8, show_spinner=False)
def stored(_library: Library, keys: tuple[str, ...]) -> list[dict]:
    """The metrics of every source of these runs, one row each."""
    rows = []
    for key in keys:
        summary = _library.result(key, "summary")
        values = {} if summary is None else summary.values
        rows += [{"run": key, "task": str(values.get("task", "")), **row} for row in values.values()
                 if isinstance(row, dict) and row.get("ece15") is not None and not row.get("failed")]
    return rows


def _accounts(story: Story) -> dict[str, dict]:
    return {label: values for label, values in story.summaries("account").items() if values.get("metrics")}


def _draws(found: dict[str, dict]) -> str:
    draws = next((values.get("draws") for values in found.values() if values.get("draws")), None)
    return f"{draws:,}" if draws else "all"


def _digest(columns: dict[str, np.ndarray]) -> tuple:
    return tuple(round(float(np.nansum(values)), 9) for values in columns.values())
