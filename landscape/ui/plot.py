"""The one interactive plot of all pages, and the slider that walks on it (components v2: no remount, camera kept)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st

LIBRARY = f"assets/plotly-{plotly.__version__}.min.js"
HERE = Path(__file__).parent

_plot = st.components.v2.component(
    "landscape_plot",
    html="<div class='landscape-plot'></div>",
    css=".landscape-plot{width:100%;outline:0 none var(--st-text-color);transition:outline-color 1ms}",
    js=(HERE / "plot.js").read_text(),
    isolate_styles=False,
)
_walk = st.components.v2.component(
    "landscape_walk",
    js=(HERE / "walk.js").read_text(),
    isolate_styles=False,
    html="""<div class="walk"><button class="walk-play" aria-label="Play" title="Walk from one end to the other">▶</button>
    <input class="walk-slider" type="range" min="0" max="1" step="0.016666666666666666" value="0"
      aria-label="Position t on the path">
    <label class="walk-choice"><input class="walk-segment" type="checkbox"> straight segment</label>
    <span class="walk-readout" aria-live="polite"></span></div>""",
    css=""".walk{display:flex;align-items:center;gap:.8rem;flex-wrap:wrap;font-family:var(--st-font);color:var(--st-text-color)}
    .walk-play{width:2.4rem;height:2.4rem;border-radius:50%;border:1px solid var(--st-border-color);cursor:pointer;
      background:var(--st-secondary-background-color);color:var(--st-text-color);font-size:.8rem}
    .walk-play:hover{border-color:var(--st-primary-color);color:var(--st-primary-color)}
    .walk-slider{flex:1 1 220px;accent-color:var(--st-primary-color)} .walk-choice{white-space:nowrap;font-size:.9rem}
    .walk-readout{font-variant-numeric:tabular-nums;font-size:.92rem;min-width:18rem}""",
)


def figure_json(figure: go.Figure) -> str:
    """The figure as the browser takes it: arrays in binary, not validated again."""
    return figure.to_json(validate=False)


def plot(
    figure: str,
    key: str,
    *,
    height: int = 480,
    group: str = "",
    link_ranges: bool = False,
    bar: bool = True,
    name: str = "",
    revision="keep",
):
    """Draw a figure (JSON text), with its colour bar if ``bar``.

    Plots of a ``group`` share camera and walker, and their ranges if ``link_ranges``.

    ``result.clicked`` is ``{"x", "y", "z", "trace", "plot"}`` right after a click, else None.
    """
    digest = hashlib.sha1(f"{figure}{height}{revision}{group}{bar}".encode(), usedforsecurity=False).hexdigest()
    return _plot(
        key=key,
        height=height,
        on_clicked_change=lambda: None,
        data={
            "figure": figure,
            "digest": digest,
            "library": LIBRARY,
            "height": height,
            "group": group,
            "link_ranges": link_ranges,
            "bar": bar,
            "name": name,
            "revision": revision,
        },
    )


def walk(key: str, group: str, t: list[float], values: dict[str, list[float]], titles: dict[str, str]) -> None:
    """A slider over t that moves every walker of the group; values (one list for each path) are read out beside it."""
    _walk(key=key, data={"group": group, "t": t, "values": values, "titles": titles})
