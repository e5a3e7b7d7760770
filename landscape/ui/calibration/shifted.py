"""Away from the data: corrupted inputs, unknown inputs, and the plane far beyond the examples."""

from __future__ import annotations

import numpy as np
import streamlit as st

from landscape.figures import certainty, entropy, ood, shift, sources
from landscape.results import Predictive, Series
from landscape.ui.averaging.story import captions
from landscape.ui.calibration.story import Story, chosen, first_few, several
from landscape.uncertainty.shift import CORRUPTIONS

ROW = 3  # panels beside each other


def ladder(story: Story) -> None:
    """Three metrics over the severity, and what the inputs look like there."""
    found = {name: story.found[f"shift:{name}"] for name in CORRUPTIONS if f"shift:{name}" in story.found}
    names = [*found, shift.MEAN] if len(found) > 1 else list(found)
    left, right = st.columns([4, 5], vertical_alignment="bottom") if len(names) > 1 else (st.container(), st.container())
    with left:
        name = chosen("Corruption", names, "shift-name", lambda n: n if n == shift.MEAN else found[n].info.get("title", n))
    series: Series = shift.averaged(found) if name == shift.MEAN else found[name]
    options = [label for label in sources.ordered(shift.labels(series)) if label in story.looks]
    with right:
        shown = several(story, "Sources", options, "shift-sources", first_few(story, options))
    looks = {label: story.looks[label] for label in shown}
    st.markdown(shift.in_words(series, looks))
    st.html(shift.legend(shown, looks))
    for column, metric in zip(st.columns(3, gap="medium"), shift.METRICS, strict=True):
        with column:
            story.figure(f"shift-{metric}", shift.ladder, series, looks, metric, height=290,
                         identity=(name, tuple(shown), len(found)))
    seen = story.found.get(f"shifted:{name}")
    if seen is not None and (pictures := shift.examples(seen)):
        st.html(pictures)
    n = (series.info.get("data") or {}).get("test")
    words = "mean over all corruptions" if name == shift.MEAN else str(series.info.get("about", ""))
    data = f"{n:,} test examples" if n else ""
    said = [str(one).rstrip(".") for one in series.info.get("said", ())]
    captions("", " · ".join(part for part in (
        f"{words[:1].upper()}{words[1:]}", data, "severity 0 is the input itself; one seed gives every severity the same "
        "noise, direction and side", *said) if part) + ".")


def unknown(story: Story) -> None:
    """Which sources doubt inputs of another kind, and by how much."""
    values = story.values("ood")
    st.markdown(ood.in_words(values, story.looks))
    rows = values["methods"]
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Told apart**")
        story.figure("auroc", ood.auroc, values, story.looks, height=130 + 40 * len(rows))
    with right:
        labels = [label for label in sources.ordered(rows) if label in story.looks]
        score = chosen("Score", ood.scores(values), "ood-score", ood.SCORES.get)
        have = [label for label in labels if score in rows[label]["scores"]]
        label = st.selectbox("Source", have, key=f"ood-source-{score}", format_func=lambda name: story.looks[name].title)
        most = max(max(map(max, (rows[each]["scores"][score]["known"], rows[each]["scores"][score]["unknown"])))
                   for each in have)
        story.figure("doubt", ood.histogram, rows[label]["scores"][score], score, 1.06 * most, height=300,
                     identity=(label, score))
    n, m = values.get("known", 0), values.get("unknown", 0)
    captions("", f"{values.get('title', '')}: {values.get('about', '')} {n:,} known and {m:,} unknown inputs · AUROC: "
                 "the chance that an unknown input is doubted more than a known one, bars: 95% · nothing was fitted to "
                 "the unknown inputs. " + " ".join(values.get("said") or ()))


def beyond(story: Story) -> None:
    """One map a source, on one scale; then the confidence along rays."""
    found: dict[str, Predictive] = {label: one for label, one in story.of("confidence:").items() if certainty.drawable(one)}
    if found:
        part = chosen("Colour", list(certainty.PARTS), "beyond-part", certainty.PARTS.get)
        classes = max(np.shape(one.function["probabilities"])[2] for one in found.values())
        highest = _highest(found, part)
        if part == "confidence":
            st.html(certainty.key(classes))
        names = list(found)
        for start in range(0, len(names), ROW):
            for column, label in zip(st.columns(ROW, gap="medium"), names[start : start + ROW], strict=False):
                with column:
                    st.markdown(f"**{story.looks[label].title}**")
                    draw = (certainty.certainty, (found[label],)) if part == "confidence" else (
                        entropy.entropy, (found[label], part, highest))
                    story.figure(f"beyond-{label}", draw[0], *draw[1], height=330, identity=(part, label, highest),
                                 group=f"{story.run.key}-beyond", link_ranges=True)
                    st.caption(certainty.in_words(found[label]).capitalize() + ".")
    if "far" in story.found:
        st.markdown("**Along rays away from the data**")
        story.figure("far", certainty.far, story.found["far"], story.looks, height=330)
    times = next((one.info.get("times") for one in found.values()), None)
    captions("", story.true(f"the plane is {times:g} times as wide as the data" if times else "",
                            "dots: training examples; lines: where the decision changes"))


def _highest(found: dict[str, Predictive], part: str) -> float:
    """The end of the colours that all maps share."""
    if part != "disagreement":
        return float(np.log(max(np.shape(one.function["probabilities"])[2] for one in found.values())))
    return max((float(np.nanmax(v)) for one in found.values() if np.isfinite(v := entropy.values(one, part)).any()),
               default=1.0) or 1.0
