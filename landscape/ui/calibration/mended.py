"""Calibrators fitted on validation examples: what each does to the test set."""

from __future__ import annotations

import streamlit as st

from landscape.figures import calibrators
from landscape.ui.averaging.story import captions
from landscape.ui.calibration.story import Story, chosen


def before_and_after(story: Story) -> None:
    """One metric before and after, then all of them, for one source."""
    found = {label: values for label, values in story.summaries("calibrated").items() if values.get("rows")}
    names = list(found)
    left, right = st.columns([5, 4], vertical_alignment="bottom")
    with left:
        label = chosen("Source", names, "calibrated-source", lambda name: story.looks[name].title, names[0])
    values = found[label]
    offered = calibrators.offered(values)
    if not offered:
        st.html(calibrators.table(values))
        return
    with right:
        metric = chosen("Metric", offered, "calibrated-metric", calibrators.METRICS.get, "nll")
    st.markdown(calibrators.in_words(values))
    story.figure("calibrators", calibrators.before_and_after, values, metric,
                 height=90 + 36 * len(calibrators.worked(values)), identity=(label, metric))
    st.html(calibrators.table(values))
    said = " ".join(dict.fromkeys([*values.get("said", ()), *(s for row in values["rows"] for s in row.get("said") or ())]))
    counts = values.get("n") or {}
    fitted = f"fitted on {counts['fitted']:,} examples" if isinstance(counts, dict) and counts.get("fitted") else ""
    captions("", f"{said} {story.true('hollow: before, dashed line; full: after', fitted)}".strip())
