"""Reliability: how often a network is right when it is so and so sure."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.figures import style
from landscape.figures.predictions import BINS, binned
from landscape.results import Opened

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
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[0.77, 0.23])
    bar = {"x": middle, "width": width * 0.94, "customdata": np.float32(told), "hovertemplate": hover}
    figure.add_bar(**bar, y=np.minimum(accuracy, sure), marker={"color": RIGHT, "line": {"width": 0}}, name="right", row=1,
                   col=1)
    for name, beyond in (("over", sure > accuracy), ("under", sure <= accuracy)):
        if beyond.any():
            kept = bar | {"x": middle[beyond], "customdata": bar["customdata"][beyond]}
            figure.add_bar(**kept, y=np.abs(sure - accuracy)[beyond], base=np.minimum(accuracy, sure)[beyond],
                           name=f"{name}confident", row=1, col=1, marker={"color": GAP[name], "line": {"width": 0}})
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": style.AXIS, "dash": "dash", "width": 1.5},
                       hoverinfo="skip", showlegend=False, name="perfect", row=1, col=1)
    figure.add_bar(**bar, y=count, marker={"color": "rgba(128,134,148,0.55)"}, showlegend=False, name="examples", row=2,
                   col=1)
    figure.update_xaxes(style.axis(range=[0, 1.02], tickformat=".0%", tickvals=TICKS, showgrid=False))
    figure.update_xaxes(title={"text": "confidence"}, row=2, col=1)
    figure.update_yaxes(style.axis("accuracy", range=[0, 1.02], tickformat=".0%", tickvals=TICKS), row=1, col=1)
    figure.update_yaxes(style.axis("examples", nticks=3, showgrid=False), row=2, col=1)
    return style.layout(figure, barmode="overlay", bargap=0, hovermode="closest")
