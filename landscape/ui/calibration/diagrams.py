"""The reliability diagram and the talk's picture beside each other; number and rule of bins are live, a bin opens."""

from __future__ import annotations

import numpy as np
import streamlit as st

from landscape.figures import confidence_gap, diagram, sources
from landscape.ui.averaging.story import captions
from landscape.ui.calibration import examples
from landscape.ui.calibration.story import Story, chosen, first_few, several
from landscape.uncertainty import binning

FEWEST, MOST, FIRST = 3, 50, 15
EVERY, NONE = "all", "none"
OPENED = "calibration-bin"  # (run, source, confidence): the bin whose examples are shown
FIGURES = {"diagram": "width", "gap": "mass"}  # the rule each has on the slides and in the papers


def calibration(story: Story) -> None:
    """Both figures over the same sources; what is drawn can be chosen, and is drawn anew in a moment."""
    _drawn(story)


@st.fragment
def _drawn(story: Story) -> None:
    shown, bins, rule, banded = _controls(story)
    rules = {name: own if rule == "usual" else rule for name, own in FIGURES.items()}
    found = {name: {label: sources.bins_of(story.judged[label], bins, each) for label in shown}
             for name, each in rules.items()}
    opened = _opened(story, found)
    marked = {name: None if opened is None else (opened[0], _bin(found[name][opened[0]], opened[1])) for name in found}
    looks = {label: story.looks[label] for label in shown}
    st.markdown(sources.in_words({label: story.judged[label] for label in shown}, looks))
    identity = (tuple(shown), bins, rule, banded, opened)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Reliability diagram**")
        confidence = {label: sources.top(story.judged[label])[0] for label in shown}
        story.figure("diagram", diagram.diagram, found["diagram"], confidence, looks, banded, marked["diagram"], height=500,
                     identity=identity)
        st.caption(_rule_in_words(found["diagram"], rules["diagram"], bins) + " Below: how many examples are how sure.")
    with right:
        st.markdown("**Confidence minus accuracy**")
        story.figure("gap", confidence_gap.gap, found["gap"], looks, banded, marked["gap"], height=500, identity=identity)
        st.caption(_rule_in_words(found["gap"], rules["gap"], bins) + " Axis: log(1 − confidence), ticks as on the slide; "
                   "above the line a source is too sure.")
    bands = " and ".join(looks[label].title for label in banded)
    few = f"every example in exactly one bin; those of fewer than {confidence_gap.FEW} are not joined"
    captions("", story.true(few, f"95% bands of {bands}: what chance does to each bin" if banded else ""))
    if opened is not None:
        which = found["gap" if opened[2] == "gap" else "diagram"][opened[0]]
        examples.of_bin(story, opened[0], which, _bin(which, opened[1]), _close)


def _controls(story: Story) -> tuple[list[str], int, str, tuple[str, ...]]:
    options = list(story.judged)
    shown = several(story, "Sources", options, "calibration-sources", first_few(story, options))
    number, how, bands = st.columns([4, 4, 3], vertical_alignment="bottom", gap="medium")
    bins = number.slider("Bins", FEWEST, MOST, FIRST, key="calibration-bins")
    with how:
        rule = chosen("Rule", list(sources.RULES), "calibration-rule", sources.RULES.get)
    with bands:
        offered = [*shown, EVERY, NONE] if len(shown) > 1 else [EVERY, NONE]
        if st.session_state.get("calibration-bands") not in (None, *offered):
            del st.session_state["calibration-bands"]  # a source that is not drawn any more
        start = EVERY if len(shown) <= 3 else shown[0]
        band = st.selectbox("95% bands", offered, offered.index(start), key="calibration-bands",
                            format_func=lambda name: story.looks[name].title if name in story.looks else name)
    return shown, bins, rule, tuple(shown) if band == EVERY else () if band == NONE else (band,)


def _opened(story: Story, found: dict[str, dict]) -> tuple[str, float, str] | None:
    """The source, confidence and figure that were clicked last; a click is known before the page is drawn anew."""
    titles = {story.looks[label].title: label for label in story.judged}
    for name, seen in found.items():
        clicked = (st.session_state.get(f"figure-{name}") or {}).get("clicked")
        if not clicked:
            continue
        label = titles.get(clicked.get("trace")) or (next(iter(seen)) if len(seen) == 1 else None)
        if label in seen:
            st.session_state[OPENED] = (story.run.key, label, _confidence(seen[label], clicked["x"], name), name)
    run, label, confidence, name = st.session_state.get(OPENED) or (None,) * 4
    return (label, confidence, name) if run == story.run.key and label in found["gap"] else None


def _confidence(seen: binning.Bins, x: float, name: str) -> float:
    """The mean confidence of the bin that is drawn nearest to ``x``."""
    filled = np.flatnonzero(seen.count)
    middle = (seen.edges[:-1] + seen.edges[1:]) / 2
    at = binning.on_axis(seen.confidence) if name == "gap" else seen.confidence
    nearest = np.abs(np.c_[at, middle if name != "gap" else at][filled] - float(x)).min(axis=1).argmin()
    return float(seen.confidence[filled[nearest]])


def _bin(seen: binning.Bins, confidence: float) -> int:
    return int(binning.placed(np.array([confidence]), seen.edges)[0])


def _rule_in_words(found: dict[str, binning.Bins], rule: str, bins: int) -> str:
    fewest = min(int((one.count > 0).sum()) for one in found.values())
    words = f"{bins} {binning.RULES[rule]}"
    return f"{words}, {fewest} of them filled." if fewest < bins and len(found) == 1 else f"{words}."


def _close() -> None:
    st.session_state.pop(OPENED, None)
