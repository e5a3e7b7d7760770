"""The reliability diagram of any number of sources: accuracy over confidence with bands, and where the examples are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.figures import style
from landscape.figures.confidence_gap import BANDS, band, line, ring, told
from landscape.figures.methods import Look
from landscape.figures.reliability import GAP, TICKS
from landscape.uncertainty.binning import Bins

CELLS = 20  # of the histogram of several sources; it has equal widths, whatever the bins above have
QUIET = "rgba(128,134,148,0.55)"
HOVER = "sure of %{customdata[0]:.1%}, right <b>%{customdata[1]:.1%}</b> (%{customdata[2]:,} examples)"


def diagram(found: Mapping[str, Bins], confidence: Mapping[str, np.ndarray], named: Mapping[str, Look],
            banded: tuple[str, ...] = (), marked: tuple[str, int] | None = None) -> go.Figure:
    """One source as bars with the gap to the diagonal in colour, several as lines; ``confidence`` (n,) is for the histogram.

    A point's ``customdata`` is (confidence, accuracy, examples, number of the bin).
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.045, row_heights=[0.76, 0.24])
    if len(found) == 1:
        label, seen = next(iter(found.items()))
        _bars(figure, label, seen, named[label])
    else:
        for label in banded:
            band(figure, found[label], named[label], _same, BANDS.get(len(banded), 0.07), ("least", "most"), xaxis="x",
                 yaxis="y")
        for label, seen in found.items():
            line(figure, label, seen, named[label], _same, seen.accuracy, HOVER, xaxis="x", yaxis="y")
            _steps(figure, confidence[label], named[label])
    ring(figure, found, marked, _same, lambda seen: seen.accuracy, xaxis="x", yaxis="y")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False, name="perfect", row=1, col=1,
                       line={"color": style.AXIS, "dash": "dash", "width": 1.5})
    figure.update_xaxes(style.axis(range=[0, 1.02], tickformat=".0%", tickvals=TICKS, showgrid=False))
    figure.update_xaxes(title={"text": "confidence"}, row=2, col=1)
    figure.update_yaxes(style.axis("accuracy", range=[0, 1.03], tickformat=".0%", tickvals=TICKS), row=1, col=1)
    figure.update_yaxes(style.axis("examples", nticks=3, showgrid=False, rangemode="tozero"), row=2, col=1)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, barmode="overlay", bargap=0, hovermode="closest")


def _bars(figure: go.Figure, label: str, seen: Bins, look: Look) -> None:
    """The classical diagram: what is right, and the gap that is missing to the confidence or exceeds it."""
    filled = seen.count > 0
    left, right = seen.edges[:-1][filled], seen.edges[1:][filled]
    bar = {"x": np.float32((left + right) / 2), "width": np.float32(np.maximum(right - left, 2e-3) * 0.95),
           "meta": {"label": label}, "hovertemplate": f"{HOVER}<extra></extra>"}
    rows, sure, accurate = told(seen), seen.confidence[filled], seen.accuracy[filled]
    figure.add_bar(**bar, customdata=rows, y=np.float32(np.minimum(accurate, sure)), name=look.title, row=1, col=1,
                   marker={"color": style.clear(look.color, 0.85), "line": {"width": 0}})
    for name, beyond in (("too sure", sure > accurate), ("too careful", sure < accurate)):
        if beyond.any():
            kept = bar | {"x": bar["x"][beyond], "width": bar["width"][beyond]}
            figure.add_bar(**kept, customdata=rows[beyond], y=np.float32(np.abs(sure - accurate)[beyond]), name=name, row=1,
                           col=1, base=np.float32(np.minimum(accurate, sure)[beyond]),
                           marker={"color": GAP["over" if name == "too sure" else "under"], "line": {"width": 0}})
    half = np.float32(seen.confidence - seen.low)[filled] - np.float32(accurate), np.float32(accurate) - np.float32(
        seen.confidence - seen.high)[filled]
    figure.add_scatter(x=bar["x"], y=np.float32(accurate), mode="markers", showlegend=False, hoverinfo="skip", name="95%",
                       marker={"size": 4, "color": style.AXIS}, row=1, col=1,
                       error_y={"type": "data", "array": half[0], "arrayminus": half[1], "thickness": 1.3, "width": 3,
                                "color": style.AXIS})
    figure.add_bar(**bar, customdata=rows, y=seen.count[filled], marker={"color": QUIET}, showlegend=False, name="examples",
                   row=2, col=1)


def _steps(figure: go.Figure, confidence: np.ndarray, look: Look) -> None:
    """The histogram of one of several sources, as a line of steps."""
    count, edges = np.histogram(confidence, CELLS, (0, 1))
    figure.add_scatter(x=np.float32(edges), y=np.float32(np.r_[count, count[-1]]), mode="lines", showlegend=False,
                       name=look.title, line={"color": look.color, "width": 1.8, "shape": "hv"}, row=2, col=1,
                       hovertemplate=f"{look.title}: %{{y:,}} examples<extra></extra>")


def _same(confidence: np.ndarray) -> np.ndarray:
    return confidence
