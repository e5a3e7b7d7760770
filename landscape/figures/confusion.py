"""Who is taken for whom: counts of true against predicted classes, or of one network's answers against another's."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.predictions import classified, names_of
from landscape.results import Opened

WRITTEN = 25  # classes up to which the counts are written into the cells
SCALE = [(0.0, "rgba(232,89,12,0.88)"), (0.25, "rgba(232,89,12,0.42)"), (0.4999, "rgba(232,89,12,0.03)"),
         (0.5, "rgba(128,134,148,0.05)"), (0.5001, "rgba(43,138,156,0.03)"), (1.0, "rgba(43,138,156,0.85)")]


def counts(rows: np.ndarray, columns: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) how many examples have that class in ``rows`` (n,) and that in ``columns`` (n,)."""
    return np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def confusion(seen: Opened) -> go.Figure:
    """Rows are the true classes, columns what the network says; colour is the share of the row."""
    probabilities, targets, predicted = classified(seen)
    table = counts(targets, predicted, probabilities.shape[1])
    hover = "true <b>%{y}</b>, predicted <b>%{x}</b><br>%{customdata[0]:,} of %{customdata[1]:,} (%{customdata[2]:.1%})"
    return _table(table, names_of(seen), "predicted", "true", hover)


def against(a: Opened, b: Opened) -> go.Figure:
    """Rows are what the first network says of the test examples, columns what the second says of the same ones."""
    (probabilities, _, said), (_, _, other) = classified(a), classified(b)
    table = counts(said, other, probabilities.shape[1])
    hover = "A says <b>%{y}</b>, B says <b>%{x}</b><br>%{customdata[0]:,} of %{customdata[1]:,} (%{customdata[2]:.1%})"
    return _table(table, names_of(a), "predicted by B", "predicted by A", hover)


def _table(table: np.ndarray, names: list[str], x: str, y: str, hover: str) -> go.Figure:
    whole = table.sum(axis=1, keepdims=True)
    share = table / np.maximum(whole, 1)
    diagonal = np.eye(len(names), dtype=bool)
    told = np.stack([table, np.broadcast_to(whole, table.shape), share], axis=-1)
    places = list(range(len(names)))
    traces = [go.Heatmap(
        x=places, y=places, z=np.float32(np.where(diagonal, share, -share)), zmin=-1, zmax=1, colorscale=SCALE,
        showscale=False, xgap=1.5, ygap=1.5, customdata=np.float32(told), name="counts",
        hovertemplate=hover.replace("%{y}", "%{text[0]}").replace("%{x}", "%{text[1]}") + "<extra></extra>",
        text=[[[row, column] for column in names] for row in names])]
    if len(names) <= WRITTEN:
        i, j = np.nonzero(table)
        traces.append(go.Scatter(x=j, y=i, mode="text", text=[f"{v:,}" for v in table[i, j]], hoverinfo="skip",
                                 showlegend=False, name="numbers",
                                 textfont={"size": 15 if len(names) <= 4 else 12 if len(names) <= 12 else 9}))
    ticks = {"tickvals": places, "ticktext": [_cut(name) for name in names]} if len(names) <= WRITTEN else {}
    look = {"showgrid": False, "ticks": "", "showline": False, "zeroline": False, "constrain": "domain", "fixedrange": True}
    edge = [-0.5, len(names) - 0.5]
    return style.drawn(traces, showlegend=False, hovermode="closest", margin={"l": 56, "r": 8, "t": 48, "b": 8},
                       xaxis=style.axis(x, side="top", range=edge) | look | ticks,
                       yaxis=style.axis(y, range=edge[::-1], scaleanchor="x", constraintoward="top") | look | ticks)


def _cut(name: str, longest: int = 12) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
