"""The methods side by side: likelihoods, the table, sweeps of temperature and prior, and growing ensembles."""

from __future__ import annotations

import json
import math

import streamlit as st

from landscape.figures import posterior_table as tables
from landscape.figures import sweep as swept
from landscape.figures import truth
from landscape.ui.averaging.story import captions
from landscape.ui.posterior.story import Story, chosen

ADDRESS = "runs?filter={key}&parts=true"
HINT = "test data is for looking only: nothing was chosen by it"


def likelihood(story: Story) -> None:
    """One point a method, with its spread over seeds."""
    values = story.values("table")
    rows = [row for row in values.get("rows", ()) if math.isfinite(tables.cells(row, "nll")[0])]
    if not rows:
        st.caption("No method is done yet.")
        return
    st.markdown(tables.in_words(values))
    story.figure("likelihoods", tables.likelihoods, values, height=90 + 34 * len(rows), identity=(len(rows),))
    most = max(tables.cells(row, "nll")[2] for row in rows)
    spread = (
        f"points: means; bars: standard deviation over up to {most} seeds" if most > 1 else "one seed: no spread is known"
    )
    captions("", f"{spread[:1].upper()}{spread[1:]} · {_data(story)} · {HINT}.")


def table(story: Story) -> None:
    """Every number; methods that failed say why."""
    values = story.values("table")
    st.markdown("\n".join(f"- {sentence}" for sentence in values.get("verdict") or ()))
    linked = {**values, "rows": [row | {"runs": row.get("runs") or [story.run.key]} for row in values.get("rows", ())]}
    st.html(tables.table(linked, ADDRESS, "regression" if story.regression else "classification"))
    said = story.values("reference").get("said", "")
    n = tables.seeds(values)
    spread = f"mean ± standard deviation over at least {n} seeds" if n > 1 else "some methods: one seed, no spread"
    captions(
        said,
        f"{spread[:1].upper()}{spread[1:]} · R-hat, effective draws and TV to the grid are of the first seed · "
        f"gradients count passes of one network over the training data · {_data(story)} · {HINT}.",
    )
    found = story.found.get("summary")
    if found is not None:
        st.download_button(
            "These numbers (JSON)",
            json.dumps(found.values, indent=1, default=str),
            f"posterior-{story.run.key[-8:]}.json",
            "application/json",
            key="story-json",
            on_click="ignore",
            icon=":material/download:",
        )


def sweeps(story: Story) -> None:
    """One curve for the temperature, one for the scale of the prior."""
    kinds = [kind for kind in ("temperature", "prior") if f"sweep:{kind}" in story.found]
    offered = swept.swept(story.found[f"sweep:{kinds[0]}"])
    if not offered:
        said = dict.fromkeys(text for kind in kinds for text in story.found[f"sweep:{kind}"].info.get("said") or ())
        st.warning(" ".join(["At none of the values could the chains be run.", *said]))
        return
    titles = swept.SWEPT | ({"test_error": swept.RMSE} if story.regression else {})
    metric = chosen("Drawn", offered, "sweep-metric", titles.get)
    for column, kind in zip(st.columns(2, gap="large"), kinds, strict=False):
        with column:
            series = story.found[f"sweep:{kind}"]
            if metric not in series.values:
                continue
            st.markdown(swept.best_in_words(series, kind))
            given = {"regression": story.regression}
            story.figure(f"sweep-{kind}", swept.sweep, series, kind, metric, height=360, identity=(metric,), given=given)
            captions(
                "",
                truth.said(
                    series.info,
                    f"{len(series.x)} values, elliptical slice sampling in the subspace of this run at each, one seed",
                    swept.rounded_in_words(series),
                    str(series.info.get("x", "")),
                    metric="test_nll",
                ),
            )
            for sentence in series.info.get("said") or ():
                st.warning(sentence)


def members(story: Story) -> None:
    """NLL and error against the number of members."""
    series = story.found["members"]
    offered = list(swept.lines(series))
    if not offered:
        return
    titles = swept.METRICS | ({"error": swept.RMSE} if story.regression else {})
    metric = chosen("Drawn", offered, "members-metric", titles.get)
    st.markdown(swept.members_in_words(series))
    story.figure(
        "members", swept.members, series, metric, height=400, identity=(metric,), given={"regression": story.regression}
    )
    groups = series.info.get("groups")
    captions(
        "",
        truth.said(
            series.info,
            f"lines: means over {groups} orders of the seeds, bands from the lowest to the highest; "
            "groups share members, so they are not independent"
            if groups
            else "",
            metric="test_nll",
        ),
    )


def _data(story: Story) -> str:
    counts = next((s.info["data"] for s in story.predictives.values() if "data" in s.info), {})
    return f"all {counts['test']:,} test examples" if "test" in counts else "data not stated"
