"""What pages read: the library, results of a run and of the runs it was made from, figures kept between reruns."""

from __future__ import annotations

import base64
import time

import numpy as np
import streamlit as st

from landscape import ROOT
from landscape.figures import gap_thumbnail, history, profile, surface
from landscape.figures import thumbnail as thumbnails
from landscape.figures.levels import Scale, common_scale
from landscape.results import Profile, Surface
from landscape.runs import Library, Run
from landscape.ui.places import Pictures
from landscape.ui.plot import figure_json

VALLEYS = ROOT / "pages/valleys.py"  # page_link takes the path that st.navigation was given
AVERAGING = ROOT / "pages/averaging.py"
POSTERIOR = ROOT / "pages/posterior.py"
CALIBRATION = ROOT / "pages/calibration.py"
PAGES = {  # the page that shows the runs of a recipe
    "valleys": VALLEYS, "network": VALLEYS, "inspect": ROOT / "pages/checkpoints.py", "averaging": AVERAGING,
    "posterior": POSTERIOR, "around": POSTERIOR, "calibration": CALIBRATION, "predictions": CALIBRATION,
}
PLANES = ("optima", "bezier", "chain")
PATHS = {"segment": "segment", "bezier": "Bezier", "chain": "chain"}
STATUS = {"queued": ("waiting", "gray"), "running": ("running", "blue"), "done": ("done", "green"),
          "cancelled": ("stopped", "orange"), "failed": ("failed", "red")}


def stamp(library: Library, run: Run) -> tuple:
    """Changes with every save of the run or of a run it is made from, and when it was deleted and computed anew."""
    return str(library.home), run.key, run.created, sum(library.version(one) for one in library.lineage(run.key))


@st.cache_resource(max_entries=64, show_spinner=False)
def _results(_library: Library, stamp: tuple, kind: str, names: tuple[str, ...]) -> dict:
    found = {name: _library.result(stamp[1], f"{kind}:{name}") for name in names}
    return {name: one for name, one in found.items() if one is not None}


def surfaces(library: Library, stamp: tuple) -> dict[str, Surface]:
    """The planes there are so far, read again only when something was saved."""
    return _results(library, stamp, "surface", PLANES)


def profiles(library: Library, stamp: tuple) -> dict[str, Profile]:
    return _results(library, stamp, "profile", tuple(PATHS))


@st.cache_resource(max_entries=16, show_spinner=False)
def pictures_of(_library: Library, stamp: tuple) -> Pictures:
    """All surfaces and profiles of a run, whatever their names, read again only when something was saved."""
    return Pictures(_library, stamp[1])


@st.cache_data(max_entries=256, show_spinner=False)
def surface_json(_surface: Surface, _profiles: dict, identity: tuple, metric: str, relief: bool, scale: Scale) -> str:
    """The figure of one plane as JSON; ``identity`` (the stamp, then the plane's name) stands for the arrays."""
    draw = surface.relief if relief else surface.contour
    return figure_json(draw(_surface, metric, scale, name=identity[-1], profiles=tuple(_profiles.values())))


@st.cache_data(max_entries=64, show_spinner=False)
def profile_json(_profiles: dict, identity: tuple, loss: str, error: str) -> str:
    return figure_json(profile.twin(_profiles, loss, error))


@st.cache_data(max_entries=64, show_spinner=False)
def history_json(_history, identity: tuple, metrics: tuple[str, ...]) -> str:
    return figure_json(history.history(_history, [m for m in metrics if m in _history.values]))


@st.cache_data(max_entries=64, show_spinner=False)
def thumbnail(_surface: Surface, identity: tuple) -> str:
    """A small picture of the train loss as the address of an image that is in the address itself."""
    scale = shared_scale({"one": _surface}, "train_loss", None, None, None)
    svg = thumbnails.thumbnail(_surface, "train_loss", scale)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


@st.cache_data(max_entries=64, show_spinner=False)
def judged_thumbnail(_library: Library, identity: tuple) -> str:
    """A small picture of how far from earned confidence is; empty where nothing was judged. ``identity`` is the stamp."""
    names = [name for name in _library.names(identity[1]) if name.startswith(("judged:", "regressed:"))]
    svg = gap_thumbnail.thumbnail({name: _library.result(identity[1], name) for name in names})
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" if svg else ""


def shared_scale(found: dict[str, Surface], metric: str, cap: float | None, a: float | None, growth: float | None) -> Scale:
    """One colour scale for all planes; the cap is the run's own unless one is given."""
    if cap is None:
        cap = next(iter(found.values())).info.get("cap", {}).get(metric)
    return common_scale([np.asarray(s.values[metric]) for s in found.values()], cap, a, growth)


def badge(run: Run) -> str:
    """The status as coloured markdown."""
    word, colour = STATUS[run.status]
    return f":{colour}-badge[{word}]"


def seconds_in_words(seconds: float | None) -> str:
    if seconds is None:
        return "measuring the speed"
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


def size_in_words(size: int) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} bytes"


def ago(then: float) -> str:
    """How long ago a time (seconds since 1970) was, in words."""
    gone = max(0.0, time.time() - then)
    for limit, unit, length in ((90, "s", 1), (5400, "min", 60), (129600, "h", 3600)):
        if gone < limit:
            return f"{gone / length:.0f} {unit} ago"
    return f"{gone / 86400:.0f} days ago"
