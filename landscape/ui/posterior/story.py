"""What all sections of the Posterior page share: the run's results by kind, and how a figure stands on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from landscape.figures import methods
from landscape.results import METRICS, Predictive, Samples, Surface
from landscape.runs import Library, Run
from landscape.settings import Settings, parse
from landscape.ui import plot
from landscape.ui.plot import figure_json
from landscape.ui.reading import stamp

THEATRE = "theatre"
ROOM = 64  # characters of a row of buttons


@st.cache_resource(max_entries=24, show_spinner=False)
def _results(_library: Library, at: tuple) -> dict:
    found = {name: _library.result(at[1], name) for name in _library.names(at[1])}
    return {name: one for name, one in found.items() if one is not None}


@st.cache_data(max_entries=256, show_spinner=False)
def _drawn(_draw: Callable, identity: tuple, _arguments: tuple, _more: dict) -> str:
    """The JSON of a figure; ``identity`` stands for the function and its arguments."""
    return figure_json(_draw(*_arguments, **_more))


@dataclass(frozen=True)
class Story:
    """A run as its page shows it: every result there is so far by name; ``relief`` draws surfaces in 3-D."""

    library: Library
    run: Run
    relief: bool = False

    @cached_property
    def at(self) -> tuple:
        return stamp(self.library, self.run)

    @cached_property
    def found(self) -> dict:
        return _results(self.library, self.at)

    @cached_property
    def settings(self) -> Settings:
        return parse(self.run.recipe, self.run.settings)

    @cached_property
    def samples(self) -> dict[str, Samples]:
        return self._kind("samples:")

    @cached_property
    def predictives(self) -> dict[str, Predictive]:
        return self._kind("predictive:")

    @property
    def theatre(self) -> Surface | None:
        return self.found.get(f"surface:{THEATRE}")

    @property
    def missing(self) -> str:
        """Why the run has no subspace; empty where it has one."""
        return self.values("summary").get("subspace", {}).get("failed", "")

    @property
    def lacking(self) -> str:
        """Why the run has no theatre; empty where it has one, or may still get one."""
        return self.missing or self.values("summary").get("theatre", {}).get("failed", "")

    @property
    def regression(self) -> bool:
        return any(seen.info.get("kind") == "regression" for seen in self.predictives.values())

    def values(self, name: str) -> dict:
        """What a summary says; empty where it is not there yet."""
        return self.found[name].values if name in self.found else {}

    def figure(
        self, name: str, draw: Callable, *arguments, height: int, identity: tuple = (), given: dict | None = None, **more
    ):
        """One figure; ``identity`` is what it depends on besides the results, ``given`` further arguments of ``draw``."""
        text = _drawn(draw, (*self.at, draw.__module__, draw.__name__, name, *identity), arguments, given or {})
        return plot.plot(text, f"figure-{name}", height=height, revision=f"{self.run.key}-{name}", **more)

    def _kind(self, prefix: str) -> dict:
        found = {name.removeprefix(prefix): one for name, one in self.found.items() if name.startswith(prefix)}
        return {name: found[name] for name in methods.ordered(found)}


def chosen(label: str, options: list[str], key: str, form=str, start: str | None = None) -> str:
    """One of a few options: a row of buttons, a list where they are too many for one, nothing to choose where it is one."""
    if len(options) == 1:
        return options[0]
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]  # of another run
    first = options.index(start) if start in options else 0
    if sum(len(form(option)) + 4 for option in options) > ROOM:
        return st.selectbox(label, options, first, key=key, format_func=form)
    return st.segmented_control(label, options, default=options[first], key=key, format_func=form, required=True)


def method_title(name: str) -> str:
    return methods.look(name).title


def several(label: str, options: list[str], key: str, start: list[str], title: Callable = method_title) -> list[str]:
    """Any number of the options, in their order; ``start`` until somebody chooses.

    While a run goes on there are more of them with every poll, and what was not chosen by hand grows along.
    """
    state, before = st.session_state, f"{key}-start"
    now = state.get(key)
    if now is None or now == state.get(before) or any(name not in options for name in now):
        state[key] = list(start)
    state[before] = list(start)
    picked = st.multiselect(label, options, key=key, format_func=title)
    return [name for name in options if name in picked]


def metrics_of(surface: Surface) -> list[str]:
    return [m for m in METRICS if m in surface.values]
