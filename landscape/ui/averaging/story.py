"""What all sections of the Averaging page share: the run's results, how a figure stands on the page, the contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np
import streamlit as st

from landscape import data
from landscape.errors import LandscapeError
from landscape.figures.levels import Scale
from landscape.results import Surface
from landscape.runs import Library, Run
from landscape.schedules import Plan, steps_per_epoch
from landscape.settings import Settings, parse
from landscape.ui import panels, plot
from landscape.ui.places import network_of
from landscape.ui.plot import figure_json
from landscape.ui.reading import shared_scale, stamp

PLANES = ("walk", "twin", "pca", "random sgd", "random swa")
CURVES = ("sgd", "last", "swa", "prediction average")
NAMES = (*(f"surface:{name}" for name in PLANES), *(f"history:{name}" for name in CURVES), "components", "profile:line",
         "line", "rays", "width", "gap", "function", "shells", "fge", "fge:run", "table", "batchnorm", "summary")


@st.cache_resource(max_entries=32, show_spinner=False)
def _results(_library: Library, at: tuple) -> dict:
    found = {name: _library.inherited(at[1], name) for name in NAMES}
    return {name: one for name, one in found.items() if one is not None}


@st.cache_data(max_entries=256, show_spinner=False)
def _drawn(_draw: Callable, identity: tuple, _arguments: tuple) -> str:
    """The JSON of a figure; ``identity`` stands for the function and its arguments."""
    return figure_json(_draw(*_arguments))


@st.cache_data(max_entries=16, show_spinner=False)
def examples_of(task: str, data_seed: int, train_size: int | None) -> int:
    """How many training examples there are. Raises BadInput where they cannot be read."""
    return len(data.load(task, data_seed, train_size).train.x)


@dataclass(frozen=True)
class Story:
    """A run as its page shows it: every result there is so far, by name, and what the reader chose to look at."""

    library: Library
    run: Run
    view: panels.View

    @cached_property
    def at(self) -> tuple:
        return stamp(self.library, self.run)

    @cached_property
    def found(self) -> dict:
        return _results(self.library, self.at)

    @cached_property
    def settings(self) -> Settings:
        return parse(self.run.recipe, self.run.settings)

    def plans(self) -> dict[str, Plan]:
        """The schedule of every branch; empty where the data that say how many steps there are cannot be read."""
        try:
            examples = examples_of(self.settings.task, self.settings.data_seed, self.settings.train_size)
        except LandscapeError:
            return {}
        return self.settings.plans(steps_per_epoch(examples, self.settings.batch_size))

    def moments(self) -> dict[str, float]:
        """The epochs at which SGD's rate begins to fall and averaging starts, as the run's own curves say."""
        info = next((self.found[f"history:{name}"].info for name in CURVES if f"history:{name}" in self.found), {})
        told = {"rate of SGD falls": info.get("branch"), "averaging starts": info.get("swa_start")}
        return {name: float(epoch) for name, epoch in told.items() if epoch is not None}

    def figure(self, name: str, draw: Callable, *arguments, height: int, identity: tuple = (), **more) -> None:
        """One figure; ``identity`` is what it depends on besides the results."""
        text = _drawn(draw, (*self.at, name, *identity), arguments)
        plot.plot(text, f"figure-{name}", height=height, revision=f"{self.run.key}-{name}", **more)

    def plane(self, name: str, metric: str, scale: Scale, draw: Callable, *, group: str = "") -> None:
        """One surface, on which every point can be opened."""
        surface: Surface = self.found[f"surface:{name}"]
        key = f"{name}-{metric}-{'3d' if self.view.relief else '2d'}"
        self.figure(key, draw, surface, metric, scale, identity=(scale,), height=self.height(surface), bar=False,
                    group=group or f"{self.run.key}-{name}", link_ranges=True,
                    place={"run": self.run.key, "plane": name, "marks": [network_of(name, m) for m in surface.marks]})

    def height(self, surface: Surface, width: int = 620) -> int:
        """As high as a map of equal aspect needs where it is so many pixels wide."""
        across, up = (float(np.ptp(axis)) for axis in surface.axes)
        return 520 if self.view.relief else int(np.clip(90 + width * up / max(across, 1e-12), 320, 600))

    def scale(self, metric: str, *names: str) -> Scale:
        """One colour scale for these planes; a limit of the reader's own holds for the metric it was chosen for."""
        shown = {name: self.found[f"surface:{name}"] for name in names}
        cap = self.view.cap if metric == self.view.metric else None
        return shared_scale(shown, metric, cap, self.view.offset, self.view.growth)


def captions(text: str, true: str, ok: bool = True) -> None:
    """What to see in a figure, and how true it is."""
    if text:
        st.markdown(text)
    (st.caption if ok else st.error)(true)


def head(anchor: str, slides: str, title: str, text: str) -> None:
    """The beginning of a section: which slides it tells, and in a sentence or two what about."""
    st.html(f'<p class="landscape-over">{escape(slides)}</p>')
    st.subheader(title, anchor=anchor)
    st.markdown(text)


def contents(sections: list[tuple[str, str, str]]) -> None:
    """Links to the sections: (anchor, slides, title)."""
    links = "".join(f'<a href="#{anchor}"><b>{escape(slides.rpartition(" ")[2])}</b>{escape(title)}</a>'
                    for anchor, slides, title in sections)
    st.html(f'<nav class="landscape-story" aria-label="Sections">{links}</nav>')
