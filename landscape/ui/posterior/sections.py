"""The sections of the page in the order of the talk, and which results each of them needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from landscape.figures import bands, confidence, entropy
from landscape.ui.averaging.story import contents, head
from landscape.ui.posterior import comparison, predictions, spaces, stage, swag
from landscape.ui.posterior.story import Story


@dataclass(frozen=True)
class Section:
    """``ready`` says whether there is something to show; ``opens`` are the planes whose networks open below it."""

    anchor: str
    slides: str
    title: str
    text: str
    draw: Callable[[Story], None]
    ready: Callable[[Story], bool]
    opens: tuple[str, ...] = ()


def _named(*names: str) -> Callable[[Story], bool]:
    return lambda story: any(name in story.found for name in names)


def _staged(story: Story) -> bool:
    """Whether there is a theatre to show, or to say of why there is none."""
    return story.theatre is not None or bool(story.lacking)


def _predicted(drawable: Callable) -> Callable[[Story], bool]:
    return lambda story: any(drawable(seen) for seen in story.predictives.values())


SECTIONS = (
    Section(
        "swag",
        "Slide 22",
        "SWAG in four steps",
        "SGD at a constant rate wanders around the mean of its own weights. Keep the mean and the spread of that walk, and "
        "a Gaussian in weight space is there at no further cost.",
        swag.swag,
        lambda story: "surface:loss" in story.found and swag.asked(story),
        ("loss",),
    ),
    Section(
        "swag",
        "Slide 22",
        "The plane of the loss",
        "Where the networks that this run starts from lie, and how the loss lies around them.",
        swag.swag,
        lambda story: "surface:loss" in story.found and not swag.asked(story),
        ("loss",),
    ),
    Section(
        "calibration",
        "Slide 23",
        "Is the confidence earned?",
        "Confidence minus accuracy, in bins of equally many test examples. On the line, what a method is sure of is as "
        "often right; above it, it is too sure.",
        predictions.calibration,
        _predicted(confidence.drawable),
    ),
    Section(
        "likelihood",
        "Slide 24",
        "The likelihood of unseen data",
        "One number that rewards being right and being honest about doubt: the mean of −log p(y) over the test examples. "
        "Lower is better.",
        comparison.likelihood,
        _named("table"),
    ),
    Section(
        "steps",
        "Slide 25",
        "Three steps",
        "A posterior over all weights is out of reach for exact methods. In a few dimensions of weight space it is not.",
        spaces.steps,
        _staged,
    ),
    Section(
        "subspace",
        "Slide 26",
        "The subspace",
        "A shift and a few directions: every point of the subspace is a network, and its likelihood is that network's.",
        spaces.subspace,
        lambda story: story.theatre is not None or bool(story.missing),
    ),
    Section(
        "theatre",
        "Slide 27",
        "Inference, on a stage",
        "In two dimensions the posterior can be computed cell by cell. So every method can be held against the truth: "
        "watch where its draws fall.",
        stage.theatre,
        _staged,
        ("theatre",),
    ),
    Section(
        "diagnostics",
        "Beyond slide 27",
        "Have the chains mixed?",
        "Several chains, started apart: if they have forgotten their starts, nobody can tell them apart. In weights and, "
        "what counts more, in predictions.",
        stage.diagnostics,
        lambda story: any(not s.info.get("failed") for s in story.samples.values()),
    ),
    Section(
        "choice",
        "Slides 28–31",
        "Which subspace?",
        "It should hold networks that are good and that differ in what they say, and be cheap to build: random directions, "
        "the principal components of SGD's walk, or the plane of a curve between two solutions.",
        spaces.choice,
        lambda story: bool(story.predictives),
    ),
    Section(
        "bands",
        "Slide 32",
        "Regression: what is not known",
        "Between the clusters there are no data. A method that knows what it does not know is unsure there.",
        predictions.bands_of_all,
        _predicted(bands.drawable),
    ),
    Section(
        "regions",
        "Slide 33",
        "Classification: where it is unsure",
        "The average over many networks, and its doubt: the entropy of what it predicts.",
        predictions.regions_of_all,
        _predicted(entropy.drawable),
    ),
    Section(
        "table",
        "Slide 33 and beyond",
        "All methods, side by side",
        "What every method predicts on the test set, how close it comes to the reference, and what it costs.",
        comparison.table,
        _named("table"),
    ),
    Section(
        "temperature",
        "Beyond the talk",
        "Cold posteriors, wide priors",
        "With the likelihood raised to the power 1/T, a posterior below T = 1 is sharper than Bayes' rule says. If that "
        "predicts better, something in likelihood or prior is not as it should be.",
        comparison.sweeps,
        _named("sweep:temperature", "sweep:prior"),
    ),
    Section(
        "members",
        "Beyond the talk",
        "More basins or more draws?",
        "Ensembles average over basins, SWAG within one, MultiSWAG does both.",
        comparison.members,
        _named("members"),
    ),
)


def told(story: Story) -> list[Section]:
    """The sections that have something to show."""
    return [section for section in SECTIONS if section.ready(story)]


def section_of(place: dict | None) -> str | None:
    """The anchor of the section in which a place is shown; draws of methods are shown on the theatre."""
    name = (place or {}).get("plane") or ("theatre" if " draw " in (place or {}).get("network", "") else None)
    return next((section.anchor for section in SECTIONS if name in section.opens), None)


def tell(story: Story, slots: bool = True) -> dict:
    """Draw them all; returns an empty container below each section whose networks can be opened, by its anchor."""
    shown, kept = told(story), {}
    contents([(s.anchor, s.slides, s.title) for s in shown])
    for section in shown:
        with st.container(key=f"section-{section.anchor}"):
            head(section.anchor, section.slides, section.title, section.text)
            section.draw(story)
        if slots and any(f"surface:{plane}" in story.found for plane in section.opens):
            kept[section.anchor] = st.container()
    return kept
