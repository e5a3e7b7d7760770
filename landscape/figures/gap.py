"""The network with the mean weights against the mean of the networks: how close, and how fast they part (slide 16)."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.results import Series

GAP, MEASURED = "#e8590c", "#3b8fd4"
SECOND_ORDER = 2.0  # a Taylor expansion of f around the mean has no first-order term in the average


def gap(series: Series) -> go.Figure:
    """The distance of f(mean w) from the mean of f(w_i) over the size of the steps, both logarithmic; a slope of 2."""
    x, y = _points(series)
    figure = go.Figure()
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    if good.any():
        middle = np.flatnonzero(good)[good.sum() // 2]
        line = y[middle] * (x[good] / x[middle]) ** SECOND_ORDER
        figure.add_scatter(x=x[good], y=line, mode="lines", name="slope 2 (second order)", hoverinfo="skip",
                           line={"color": "#8b93a1", "width": 1.6, "dash": "dash"})
    figure.add_scatter(x=x[good], y=y[good], mode="lines+markers", name="measured", line={"color": GAP, "width": 2.6},
                       marker={"size": 8, "color": style.PAPER, "line": {"width": 2.4, "color": GAP}},
                       hovertemplate="steps of %{x:.3~g}: gap %{y:.3~g}")
    told = "mean distance of the iterates from their mean" if "distance" in series.values else "scale of the steps"
    figure.update_xaxes(style.axis(told, type="log", **decades(x[good])))
    figure.update_yaxes(style.axis("gap |f(mean w) − mean f(w)|", type="log", exponentformat="power", dtick=1))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def scatter(series: Series) -> go.Figure:
    """Every output of the network with the mean weights against the mean of the networks' outputs."""
    x, y = np.asarray(series.x, np.float32), np.asarray(next(iter(series.values.values())), np.float32)
    low, high = (float(reduce([np.nanmin(x), np.nanmin(y)] if reduce is min else [np.nanmax(x), np.nanmax(y)]))
                 for reduce in (min, max))
    figure = go.Figure(go.Scatter(x=[low, high], y=[low, high], mode="lines", name="equal", hoverinfo="skip",
                                  line={"color": "#8b93a1", "width": 1.6, "dash": "dash"}))
    figure.add_scatter(x=x, y=y, mode="markers", name="one output of one test example", hovertemplate="%{x:.3f}, %{y:.3f}",
                       marker={"size": 5, "color": MEASURED, "opacity": 0.5})
    kind = series.info.get("space", "outputs")
    figure.update_xaxes(style.axis(f"mean of the networks' {kind}", constrain="domain"))
    figure.update_yaxes(style.axis("network with the mean weights", scaleanchor="x", scaleratio=1, constrain="domain"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def in_words(series: Series) -> str:
    """The slope and the correlation as they were measured, beside what second order would be."""
    slope, error = series.info.get("slope"), series.info.get("slope_error")
    said = []
    if slope is not None and math.isfinite(slope):
        give = f" ± {error:.2f}" if error is not None and math.isfinite(error) else ""
        near = abs(slope - SECOND_ORDER) <= 0.25
        said.append(f"The gap grows with the steps to the power **{slope:.2f}**{give}: "
                    + ("second order, so small steps in weight space make an average of functions" if near
                       else "second order would be 2"))
    correlation = series.info.get("correlation")
    if correlation is not None and math.isfinite(correlation):
        said.append(f"at the steps that SGD really took, both sides correlate with {correlation:.4f}")
    return ". ".join(text[:1].upper() + text[1:] for text in said) + "." if said else ""


def _points(series: Series) -> tuple[np.ndarray, np.ndarray]:
    x = series.values.get("distance", series.x)
    return np.asarray(x, float), np.asarray(series.values["gap"], float)


def decades(x: np.ndarray) -> dict:
    """1, 2 and 5 in every decade that is drawn, written in full."""
    if not len(x):
        return {}
    powers = range(math.floor(math.log10(x.min())) - 1, math.ceil(math.log10(x.max())) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
