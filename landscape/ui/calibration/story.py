"""What all sections of the Calibration page share: the sources of a run with their looks, and what was found of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from landscape.figures import sources, truth
from landscape.figures.methods import Look
from landscape.results import Judged, Summary
from landscape.ui.posterior import story as told

chosen = told.chosen


@dataclass(frozen=True)
class Story(told.Story):
    """A run as its page shows it: every result there is so far by name, the sources in their order."""

    @cached_property
    def judged(self) -> dict[str, Judged]:
        """Every source with classes, by its label."""
        return {label: one for label, one in self.of("judged:").items() if sources.drawable(one)}

    @cached_property
    def labels(self) -> list[str]:
        return sources.labels(self.found)

    @cached_property
    def looks(self) -> dict[str, Look]:
        return sources.named(self.found)

    @property
    def numbers(self) -> bool:
        """Whether the sources predict numbers, not classes."""
        return any(one.kind == "regression" for one in self.of("judged:").values())

    @cached_property
    def info(self) -> dict:
        """Of the first source: the data and the statistics that all are judged with."""
        return next((one.info for one in self.of("judged:").values()), {})

    def summaries(self, kind: str) -> dict[str, dict]:
        """The values of ``KIND:LABEL`` by label."""
        return {label: one.values for label, one in self.of(f"{kind}:").items() if isinstance(one, Summary)}

    def true(self, *more: str) -> str:
        """The line below a figure: what was measured, on which data, with which statistics."""
        return truth.said(self.info, *more, metric="test_nll")

    def of(self, prefix: str) -> dict:
        """The results whose names begin so, by what follows, in the order of the sources."""
        return sources.of(self.found, prefix)


def several(story: Story, label: str, options: list[str], key: str, start: list[str]) -> list[str]:
    """Any number of sources, in the order in which they stand everywhere; the first ones where none is left."""
    return told.several(label, options, key, start, lambda name: story.looks[name].title) or start


def first_few(story: Story, options: list[str]) -> list[str]:
    """What is drawn before others are asked for."""
    return [name for name in options if name in sources.FIRST] or options[:6]
