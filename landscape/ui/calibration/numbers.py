"""Predictions of numbers: coverage, PIT and stated spread; and conformal sets and intervals of any prediction."""

from __future__ import annotations

import streamlit as st

from landscape.figures import intervals
from landscape.ui.averaging.story import captions
from landscape.ui.calibration.story import Story, chosen, several

BY = {"spread": "by stated spread", "by_input": "by the input"}


def honest(story: Story) -> None:
    """Do intervals hold what they say, and where in their distributions do the truths fall?"""
    found = story.summaries("regressed")
    left, right = st.columns(2, gap="large")
    with right:
        label = chosen("Source", list(found), "pit-source", lambda name: story.looks[name].title)
        way = chosen("Recalibrated", intervals.ways(found[label]), "pit-way", intervals.WAYS.get)
        story.figure("pit", intervals.pit, intervals.part(found[label], way, "pit"), story.looks[label].color, height=330,
                     identity=(label, way))
        st.caption("Where the truths fall in their predicted distributions: flat is honest, a cup is too narrow, a dome too "
                   "wide. The band holds a bar of an honest forecast in 95 of 100 cases.")
    with left:
        shown = several(story, "Sources", list(found), "coverage-sources", list(found))
        each = {name: found[name] for name in shown}
        st.markdown(intervals.coverage_in_words(each, story.looks))
        ways = tuple(intervals.ways(found[label])) if len(shown) == 1 else ("",)
        story.figure("coverage", intervals.coverage, each, story.looks, ways, height=400, identity=(tuple(shown), ways))
    failed = [values["failed"] for values in found.values() if values.get("failed")]
    captions("", story.true("below the diagonal intervals are too narrow", "one factor and isotonic map: fitted on "
                            "validation examples", *failed))


def spread(story: Story) -> None:
    """Whether the stated spread says where errors are large: the trap of a constant variance."""
    found = story.summaries("regressed")
    by = chosen("Bins", [by for by in BY if any(v.get(by) for v in found.values())], "spread-by", BY.get, "by_input")
    traps: dict[str, list[str]] = {}
    for label, values in found.items():
        if values.get("constant_variance"):
            traps.setdefault(values["constant_variance"], []).append(story.looks[label].title)
    for sentence, titles in traps.items():
        st.warning(f"**{', '.join(titles)}.** {sentence}")
    story.figure("spread", intervals.spread, found, story.looks, by, height=420, identity=(by,))
    captions("", story.true("a point is a bin of equally many examples", "on the line the stated spread is the error found"))


def conformal(story: Story) -> None:
    """Sets and intervals that hold the truth as often as promised, over repeated splits."""
    found = {label: values for label, values in story.summaries("conformal").items() if values.get("scores")}
    first = next(iter(found.values()))
    st.markdown(intervals.conformal_in_words(found, story.looks))
    sets = first.get("kind") == "sets"
    scores = [s for s in first["scores"] if any((v["scores"].get(s) or {}).get("sets") for v in found.values())]
    left, right = st.columns(2, gap="large") if scores else (st.container(), None)
    with left:
        st.markdown("**Coverage and size**")
        story.figure("conformal", intervals.conformal, found, story.looks, height=420)
    if right is not None:
        with right:
            st.markdown("**How large the sets are**")
            score = chosen("Score", scores, "sets-score", intervals.SCORES.get)
            story.figure("sizes", intervals.sizes, found, story.looks, score, height=350, identity=(score,))
    marks = ("circles: all classes of enough probability; diamonds: the likeliest until their sum is large enough" if sets
             else "circles: all intervals equally wide; diamonds: as wide as stated, up to one factor")
    said = " ".join(dict.fromkeys(s for values in found.values() for s in values.get("said") or ()))
    splits = f"small points: {first.get('splits', '')} splits"
    captions("", f"{said} {story.true(splits, marks)}".strip())
