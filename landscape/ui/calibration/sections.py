"""The sections of the page, slides 23 and 24 first, and which results each of them needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from landscape.ui.averaging.story import contents, head
from landscape.ui.calibration import diagrams, mended, metrics, numbers, shifted
from landscape.ui.calibration.story import Story


@dataclass(frozen=True)
class Section:
    """``ready`` says whether there is something to show."""

    anchor: str
    slides: str
    title: str
    text: str
    draw: Callable[[Story], None]
    ready: Callable[[Story], bool]


def _any(kind: str, part: str = "") -> Callable[[Story], bool]:
    """Whether a result of that kind is there, with something under ``part``."""
    return lambda story: any(not part or values.get(part) for values in story.summaries(kind).values())


SECTIONS = (
    Section("calibration", "Slide 23", "Is the confidence earned?",
            "Of all the examples a source is 80% sure of, it should be right on 80%. Click a bin to see its examples.",
            diagrams.calibration, lambda story: bool(story.judged)),
    Section("likelihood", "Slide 24", "The likelihood of unseen data",
            "One number that rewards being right and being honest about doubt: the mean of −log p(y) over the test "
            "examples. Lower is better.", metrics.likelihood, _any("account", "metrics")),
    Section("metrics", "Beyond slide 24", "Every metric, none alone",
            "A calibration error says nothing about being right, and a bin of few examples can decide it. So each number "
            "stands beside the others, with its interval.", metrics.every, _any("account")),
    Section("bins", "Beyond the talk", "How many bins?",
            "The calibration error of one and the same predictions, for 4 to 100 bins.",
            metrics.bins, lambda story: bool(story.judged)),
    Section("ranks", "Beyond the talk", "Do metrics agree?",
            "If two metrics put everything that was ever computed here in the same order, one of them is enough.",
            metrics.ranks, lambda story: bool(story.judged) and "summary" in story.found),
    Section("calibrators", "Beyond slide 24", "Can it be mended afterwards?",
            "A calibrator changes what is said, not the network. It is fitted on validation examples; here is what it does "
            "to the test set.", mended.before_and_after, _any("calibrated", "rows")),
    Section("shift", "Beyond the talk", "When the inputs get worse",
            "Confidence that is earned on clean inputs need not be on noisy, blurred or shifted ones.",
            shifted.ladder, lambda story: bool(story.of("shift:"))),
    Section("unknown", "Beyond the talk", "Inputs of another kind",
            "Nothing it could say would be right. Does it at least doubt?",
            shifted.unknown, lambda story: bool(story.values("ood").get("methods"))),
    Section("beyond", "Beyond the talk", "Far beyond the data",
            "A network of rectified units grows surer, not less sure, the farther away an input lies. Averages of networks "
            "may do better.", shifted.beyond, lambda story: bool(story.of("confidence:")) or "far" in story.found),
    Section("intervals", "Beyond the talk", "Do intervals hold what they say?",
            "An honest forecast has 90% of the truths in its 90% intervals, and so for every level.",
            numbers.honest, _any("regressed")),
    Section("spread", "Beyond the talk", "Does the spread say where errors are?",
            "Intervals can be right on average and still tell nothing about any single example.",
            numbers.spread, _any("regressed")),
    Section("conformal", "Beyond the talk", "Sets with a promise",
            "Whatever the predictions are worth, sets can be made of them that hold the truth as often as promised. What "
            "better predictions buy is smaller sets.", numbers.conformal, _any("conformal", "scores")),
)


def told(story: Story) -> list[Section]:
    """The sections that have something to show."""
    return [section for section in SECTIONS if section.ready(story)]


def tell(story: Story) -> None:
    """Draw them all, with links to them above."""
    shown = told(story)
    contents([(s.anchor, s.slides, s.title) for s in shown])
    for section in shown:
        with st.container(key=f"section-{section.anchor}"):
            head(section.anchor, section.slides, section.title, section.text)
            section.draw(story)
