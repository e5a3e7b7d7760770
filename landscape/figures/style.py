"""Colours, line styles and layout that all figures share. They read on white and on dark pages alike.

No font colour is set: the page sets it from its theme. Backgrounds are transparent, lines mid-grey.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

GRID = "rgba(128,134,148,0.28)"
SCENE = "#8b929d"  # lines of a 3-D scene: there the browser draws transparency too light
AXIS = "rgba(128,134,148,0.75)"
INK = "#14171f"
PAPER = "#ffffff"

# Viridis upside down, darkest end left out: a low loss is a lit valley. Lightness falls evenly from valley to ridge.
RAMP = ("#fde725", "#b5de2b", "#6ece58", "#35b779", "#1f9e89", "#26828e", "#31688e", "#3e4989")
BEYOND = "#48345f"  # the band above the highest level

KINDS = {  # how each path is named and drawn, in every figure
    "segment": {"title": "straight segment", "color": "#8b93a1", "dash": "dash"},
    "bezier": {"title": "Bezier curve", "color": "#e8590c", "dash": "solid"},
    "chain": {"title": "polygonal chain", "color": "#cc5fa8", "dash": "solid"},
}
METHODS = {  # how a solution is trained: its title and colour in every figure
    "sgd": {"title": "SGD", "color": "#3b8fd4"},
    "last": {"title": "last iterate, constant rate", "color": "#8b93a1"},
    "swa": {"title": "SWA", "color": "#e8590c"},
    "prediction average": {"title": "average of predictions", "color": "#2f9e6b"},
    "fge": {"title": "FGE", "color": "#cc5fa8"},
}
LABEL = {"size": 14, "color": PAPER, "weight": 600, "shadow": "0 0 3px #14171f, 0 0 5px #14171f"}  # on the ramp
WALKER = {"color": "#ff3b30", "line": {"width": 2, "color": PAPER}}
NETWORKS = ("#e8590c", "#3b8fd4", "#2f9e6b", "#cc5fa8", "#c79a00", "#7a6fd0", "#5fb3c9", "#a5673f")  # one per network


def mix(first: str, second: str, share: float) -> str:
    """The colour ``share`` of the way from one hex colour to another."""
    a, b = (tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (first, second))
    return "#" + "".join(f"{round(p + (q - p) * share):02x}" for p, q in zip(a, b, strict=True))


def clear(color: str, share: float) -> str:
    """A hex colour that lets the page through: ``share`` of it is seen."""
    return f"rgba({','.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))},{share})"


def moments(figure: go.Figure, named: dict[str, float]) -> None:
    """Dotted vertical lines at these places, each with its name at the top; names that would meet stand below each other."""
    for i, (title, at) in enumerate(named.items()):
        figure.add_vline(x=at, line={"color": AXIS, "width": 1, "dash": "dot"}, annotation={
            "text": title, "showarrow": False, "yref": "paper", "y": 1 - 0.07 * i, "xanchor": "left", "yanchor": "top",
            "font": {"size": 12}})


def ramp(t: float) -> str:
    """The ramp's colour at ``t`` in [0, 1]."""
    at = min(max(t, 0.0), 1.0) * (len(RAMP) - 1)
    i = min(int(at), len(RAMP) - 2)
    return mix(RAMP[i], RAMP[i + 1], at - i)


def banded(n: int, top: float) -> list[tuple[float, str]]:
    """Colour scale of n flat bands below ``top`` and one above it, as fractions of [0, 1]."""
    edges = [top * i / n for i in range(n + 1)] + [1.0]
    colors = [ramp(i / (n - 1)) for i in range(n)] + [BEYOND]
    return [(edge, c) for i, c in enumerate(colors) for edge in (edges[i], edges[i + 1])]


def smooth(top: float) -> list[tuple[float, str]]:
    """Colour scale that rises evenly to ``top``, with the colour of the band above it beyond."""
    steps = 4 * (len(RAMP) - 1)
    return [(top * i / steps, ramp(i / steps)) for i in range(steps + 1)] + [(top + 1e-6, BEYOND), (1.0, BEYOND)]


LOOK = {"template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "uirevision": "keep",
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48}, "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"}}


def layout(figure: go.Figure, **more) -> go.Figure:
    """Transparent, tight, and with the reader's own zoom kept when the data change."""
    return figure.update_layout(**LOOK, **more)


def drawn(traces: Sequence, **more) -> go.Figure:
    """Traces with that layout and ``more`` of it, made in one piece: each later update takes plotly as long as this does."""
    return go.Figure(list(traces), LOOK | more)


def axis(title: str | None = None, **more) -> dict:
    """A quiet axis: thin grid, ticks outside, no zero line."""
    return {"title": {"text": title} if title else None, "gridcolor": GRID, "linecolor": AXIS, "tickcolor": AXIS,
            "ticks": "outside", "ticklen": 4, "zeroline": False, "showline": True, "automargin": True, **more}
