"""The one interactive plot of all pages, the slider that walks on it, and what hears clicks (components v2: no remount)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.utils import PlotlyJSONEncoder

LIBRARY = f"assets/plotly-{plotly.__version__}.min.js"
HERE = Path(__file__).parent

WALK = """
    .walk{display:flex;align-items:center;gap:.8rem;flex-wrap:wrap;font-family:var(--st-font);color:var(--st-text-color)}
    .walk-play{width:2.4rem;height:2.4rem;border-radius:50%;border:1px solid var(--st-border-color);cursor:pointer;
      background:var(--st-secondary-background-color);color:var(--st-text-color);font-size:.8rem}
    .walk-play:hover{border-color:var(--st-primary-color);color:var(--st-primary-color)}
    .walk-slider{flex:1 1 220px;accent-color:var(--st-primary-color)} .walk-choice{display:flex;gap:.9rem;font-size:.9rem}
    .walk-choice label{white-space:nowrap;display:flex;gap:.3rem;align-items:center;cursor:pointer}
    .walk-choice input{accent-color:var(--st-primary-color);margin:0}
    .walk-readout{font-variant-numeric:tabular-nums;font-size:.92rem;min-width:18rem}"""

_plot = st.components.v2.component(
    "landscape_plot",
    html="<div class='landscape-plot'></div>",
    css=""".landscape-plot{width:100%;outline:0 none var(--st-text-color);transition:outline-color 1ms}
    .landscape-plot .plotly .modebar{top:-14px!important}""",  # above the map: no cell lies under a button
    js="".join((HERE / name).read_text() for name in ("points.js", "overlay.js", "plot.js")),
    isolate_styles=False,
)
_walk = st.components.v2.component(
    "landscape_walk",
    js=(HERE / "walk.js").read_text(),
    isolate_styles=False,
    html="""<div class="walk"><button class="walk-play" aria-label="Play" title="Walk from one end to the other">▶</button>
    <input class="walk-slider" type="range" min="0" max="1" step="0.016666666666666666" value="0"
      aria-label="Position t on the path">
    <span class="walk-choice" role="radiogroup" aria-label="Path"></span>
    <span class="walk-readout" aria-live="polite"></span></div>""",
    css=WALK,
)

_play = st.components.v2.component(
    "landscape_play",
    js=(HERE / "play.js").read_text(),
    css=WALK,
    isolate_styles=False,
    html="""<div class="walk walk-box"><button class="walk-play" aria-label="Play" title="Let the walk appear">▶</button>
    <input class="walk-slider" type="range" min="0" max="1" step="any" value="0" aria-label="Snapshot">
    <span class="walk-readout" aria-live="polite"></span></div>""",
)
_clicks = st.components.v2.component(
    "landscape_clicks",
    html="<div class='landscape-clicks' aria-live='polite'></div>",
    css=""".landscape-clicks{font-family:var(--st-font);color:var(--st-text-color);font-size:.92rem;opacity:.75;min-height:1.5rem}
    .landscape-clicks.busy{opacity:1;animation:landscape-busy 1s ease-in-out infinite alternate}
    @keyframes landscape-busy{to{opacity:.35}}""",
    js=(HERE / "clicks.js").read_text(),
    isolate_styles=False,
)


def figure_json(figure: go.Figure) -> str:
    """The figure as the browser takes it: arrays in binary, not validated again, and not escaped for a page of HTML."""
    return json.dumps(figure.to_dict(), cls=PlotlyJSONEncoder, separators=(",", ":"))


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
    place: dict | None = None,
    paint: dict | None = None,
    painted: Callable[[], None] = lambda: None,
):
    """Draw a figure (JSON text), with its colour bar if ``bar``.

    Plots of a ``group`` share camera and walker, and their ranges if ``link_ranges``.

    ``place`` says which networks are shown: ``{"run": KEY, "plane": name, "marks": [network, ...]}`` for a surface whose
    ``marks`` trace are these networks, or ``{"run": KEY, "paths": {trace: path, ...}}`` for lines over t. A click then goes
    to ``clicks`` of that run, wherever it is on the page, and this plot is not run again. Without a place,
    ``result.clicked`` is ``{"x", "y", "z", "trace", "plot"}`` right after a click, else None.

    A trace with ``meta={"draws": NAME}`` and numbers in ``customdata`` are networks called ``NAME draw NUMBER``. With
    ``paint={"polygon": [[x, y], ...]}`` a loop can be drawn on a map; the one given is shown. ``painted()`` is called
    before the page is drawn anew, with the corners in ``st.session_state[key].painted["polygon"]``, none to take it away.
    """
    told = f"{figure}{height}{revision}{group}{bar}{place}{paint}"
    digest = hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()
    return _plot(
        key=key,
        height="content",  # a map on a narrow screen is less high
        on_clicked_change=lambda: None,
        on_painted_change=painted,
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
            "place": place,
            "paint": paint,
        },
    )


def walk(key: str, group: str, t: list[float], values: dict[str, list[float]], titles: dict[str, str], run: str = ""):
    """A slider over t that moves every walker of the group; values (one list for each path) are read out beside it.

    With a ``run``, the network at t of the chosen path is opened while it moves, by whoever hears its ``clicks``.
    """
    _walk(key=key, data={"group": group, "t": t, "values": values, "titles": titles, "run": run})


def play(key: str, group: str, said: list[str]):
    """A button that lets the walk on all plots of the group appear; ``said`` is read out beside it, one text a snapshot."""
    _play(key=key, data={"group": group, "said": said})


def clicks(key: str, run: str, hint: str, rings: list[dict], answered: int, *, moving: bool = False, pressed, visited):
    """Hears the clicks on all plots of a ``run`` and marks what is open with ``rings``.

    ``pressed()`` is called before the page is drawn anew, with ``{"where", "moving", "id"}`` in
    ``st.session_state[key].pressed``; the id comes back as ``answered`` when the answer is drawn. Something that moves is
    asked for about three times a second, and not before the answer to what came before. ``visited()`` is called once,
    when a browser shows the page. A ring is ``{"letter", "planes": {plane: [x, y]}, "path", "t"}``. Unless this is the
    answer to something ``moving``, the container of key ``opened`` is brought into view when it lies below the window.
    """
    data = {"run": run, "hint": hint, "rings": rings, "answered": answered, "moving": moving}
    _clicks(key=key, data=data, on_pressed_change=pressed, on_visited_change=visited)
