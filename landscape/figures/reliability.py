"""Reliability: how often a network is right when it is so and so sure."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.predictions import BINS, binned
from landscape.results import Opened

LOWER, SPACE = 0.22, 0.04  # of the height: the numbers of examples, and between them and the accuracy
TICKS = [0, 0.25, 0.5, 0.75, 1]
RIGHT = "#2b8a9c"
GAP = {"over": "rgba(232,89,12,0.6)", "under": "rgba(160,110,220,0.6)"}


def reliability(seen: Opened, bins: int = BINS) -> go.Figure:
    """Accuracy in each bin of confidence, the gap to the diagonal in colour, and below how many examples each bin has."""
    found = binned(seen, bins)
    filled = found.count > 0
    middle, width = (found.edges[:-1] + found.edges[1:])[filled] / 2, 1 / bins
    accuracy, sure, count = found.accuracy[filled], found.confidence[filled], found.count[filled]
    told = np.stack([found.edges[:-1][filled], found.edges[1:][filled], accuracy, sure, count], axis=-1)
    hover = ("sure of %{customdata[0]:.0%} to %{customdata[1]:.0%}: %{customdata[4]:,} examples<br>"
             "right <b>%{customdata[2]:.1%}</b>, sure of %{customdata[3]:.1%} on average<extra></extra>")
    bar = {"x": middle, "width": width * 0.94, "customdata": np.float32(told), "hovertemplate": hover}
    traces = [go.Bar(**bar, y=np.minimum(accuracy, sure), marker={"color": RIGHT, "line": {"width": 0}}, name="right")]
    for name, beyond in (("over", sure > accuracy), ("under", sure <= accuracy)):
        if beyond.any():
            kept = bar | {"x": middle[beyond], "customdata": bar["customdata"][beyond]}
            traces.append(go.Bar(**kept, y=np.abs(sure - accuracy)[beyond], base=np.minimum(accuracy, sure)[beyond],
                                 name=f"{name}confident", marker={"color": GAP[name], "line": {"width": 0}}))
    traces.append(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": style.AXIS, "dash": "dash", "width": 1.5},
                             hoverinfo="skip", showlegend=False, name="perfect"))
    traces.append(go.Bar(**bar, y=count, marker={"color": "rgba(128,134,148,0.55)"}, showlegend=False, name="examples",
                         xaxis="x2", yaxis="y2"))
    sides = {"range": [0, 1.02], "tickformat": ".0%", "tickvals": TICKS}
    return style.drawn(
        traces, barmode="overlay", bargap=0, hovermode="closest",
        xaxis=style.axis(**sides, showgrid=False, anchor="y", matches="x2", showticklabels=False),
        xaxis2=style.axis("confidence", **sides, showgrid=False, anchor="y2"),
        yaxis=style.axis("accuracy", **sides, anchor="x", domain=[LOWER + SPACE, 1]),
        yaxis2=style.axis("examples", nticks=3, showgrid=False, anchor="x2", domain=[0, LOWER]))
