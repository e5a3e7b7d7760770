"""The sections of the page in the order of the talk, and which results each of them needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from landscape.ui.averaging import functions, numbers, planes, training, width
from landscape.ui.averaging.story import Story, contents, head


@dataclass(frozen=True)
class Section:
    """``needs`` are results of which one must be there; ``opens`` the planes and paths whose networks open below it."""

    anchor: str
    slides: str
    title: str
    text: str
    draw: Callable[[Story], None]
    needs: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()

    def ready(self, story: Story) -> bool:
        return not self.needs or any(name in story.found for name in self.needs)


SECTIONS = (
    Section("schedule", "Slide 8", "The schedule",
            "SGD is usually sent home: its rate decays to almost nothing. Kept up, or made to rise and fall, it goes on "
            "walking and leaves networks behind that can be collected.", training.schedule),
    Section("walk", "Slides 9–11", "Where SGD goes",
            "Three snapshots of the walk span a plane, and their mean lies in it. Let the walk appear, step by step, and "
            "see where the mean falls.", planes.walk, ("surface:walk",), ("walk",)),
    Section("algorithm", "Slide 12", "Stochastic weight averaging",
            "The algorithm, with the numbers of this run.", training.algorithm),
    Section("twins", "Slide 13", "SGD and SWA on one plane",
            "The plane through both solutions and the point where their ways part. Train loss and test error need not have "
            "their minima at one place.", planes.twins, ("surface:twin",), ("twin",)),
    Section("components", "Beyond slide 13", "The whole way",
            "The plane of the two principal components of all snapshots, and what of it a walk without any aim would show "
            "as well.", planes.pca, ("surface:pca", "components"), ("pca",)),
    Section("width", "Slide 14", "Following random paths",
            "From each solution outwards, until the error rises: how far that is is one meaning of width.", width.rays,
            ("rays", "surface:random sgd", "surface:random swa", "width"), ("random sgd", "random swa")),
    Section("line", "Slide 15", "From SWA to SGD",
            "Along the straight line through both and beyond: how far it is on each side until the error rises, and which "
            "of the two stands in the middle.", width.line, ("profile:line",), ("line",)),
    Section("ensemble", "Slide 16", "Averaging weights, averaging functions",
            "If steps in weight space are small, the network with the mean weights should compute nearly the mean of the "
            "networks: an ensemble at the price of one.", functions.functions, ("gap", "fge", "fge:run")),
    Section("table", "Slides 17–18", "Results",
            "SGD, SWA and FGE with growing budgets of epochs, on this task.", numbers.table, ("table",)),
    Section("shells", "Slide 19", "Sampling from a high-dimensional Gaussian",
            "In many dimensions all samples lie on a thin shell; their average goes inside, where the density is higher.",
            numbers.shells, ("shells",)),
    Section("curves", "Slide 20", "A high constant rate",
            "“Averaging bad models does not give good solutions. Averaging bad weights can give great solutions”: the "
            "talk's claim, held against this run.", training.constant, ("history:swa", "history:last")),
    Section("summary", "Slide 21", "Summary", "What this run says.", numbers.summary, ("table",)),
)


def told(story: Story) -> list[Section]:
    """The sections that have something to show."""
    return [section for section in SECTIONS if section.ready(story)]


def section_of(place: dict | None) -> str | None:
    """The anchor of the section whose planes or paths hold a place; None for a network by name, which is in several."""
    name = (place or {}).get("plane") or (place or {}).get("path")
    return next((section.anchor for section in SECTIONS if name in section.opens), None)


def tell(story: Story, slots: bool = True) -> dict:
    """Draw them all; returns an empty container below each section whose networks can be opened, by its anchor."""
    shown, kept = told(story), {}
    contents([(s.anchor, s.slides, s.title) for s in shown])
    for section in shown:
        with st.container(key=f"section-{section.anchor}"):
            head(section.anchor, section.slides, section.title, section.text)
            section.draw(story)
        if section.opens and slots:
            kept[section.anchor] = st.container()
    return kept
