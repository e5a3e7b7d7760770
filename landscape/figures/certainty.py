"""How sure a source is over the plane of its inputs, also far from all data, and along rays away from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.figures import regions, style
from landscape.figures.methods import Look
from landscape.results import Predictive, Series

SURE = "#2b8a9c"
POINTS = ("#e8590c", "#6741d9", "#c79a00", "#cc2a6d", "#5c940d")  # of the classes, on that colour
PARTS = {"confidence": "confidence", "entropy": "entropy", "disagreement": "disagreement of the draws"}


def drawable(seen: Predictive) -> bool:
    """Whether its inputs are points of a plane."""
    return {"x", "y", "probabilities"} <= set(seen.function)


def confidence(seen: Predictive) -> np.ndarray:
    """(X, Y) the probability of the most probable class."""
    return np.asarray(seen.function["probabilities"], float).max(axis=2)


def certainty(seen: Predictive) -> go.Figure:
    """Confidence as depth of colour from 1/C to 1, the boundary of the decision, and the training data."""
    found = seen.function
    p = np.asarray(found["probabilities"], float)
    sure, best = p.max(axis=2), p.argmax(axis=2)
    names = list(map(str, seen.info.get("classes") or ()))
    names = names if len(names) == p.shape[2] else [str(k) for k in range(p.shape[2])]
    scale = [(i / 8, style.clear(SURE, _depth(i / 8))) for i in range(9)]
    traces = [go.Heatmap(
        x=np.float32(found["x"]), y=np.float32(found["y"]), z=np.float32(sure.T), zmin=1 / p.shape[2], zmax=1,
        zsmooth="best", colorscale=scale, showscale=False, text=[[names[k] for k in row] for row in best.T],
        name="confidence", hovertemplate="<b>%{text}</b> %{z:.1%}<extra></extra>"), *regions.boundaries(found, p)]
    if "train_x" in found:
        at, labels = np.asarray(found["train_x"], float), np.ravel(found["train_y"]).astype(int)
        for k in np.unique(labels):
            mine = at[labels == k][:: max(1, len(at) // 1000)]
            traces.append(go.Scatter(x=np.float32(mine[:, 0]), y=np.float32(mine[:, 1]), mode="markers", showlegend=False,
                                     name=f"training: {names[k]}", hoverinfo="skip",
                                     marker={"size": 3, "color": POINTS[k % len(POINTS)]}))
    look = regions.square(found) | {"meta": {"walkers": []}, "margin": {"l": 32, "r": 6, "t": 6, "b": 26}}
    return style.drawn(traces, **look, showlegend=False)


def key(classes: int) -> str:
    """HTML: the colours of the maps, from knowing nothing to being certain."""
    steps = "".join(f'<i style="background:{style.clear(SURE, _depth(i / 11))}"></i>' for i in range(12))
    return f'<p class="landscape-key"><span>{1 / classes:.0%} sure</span><b>{steps}</b><span>100%</span></p>'


def far(series: Series, named: Mapping[str, Look]) -> go.Figure:
    """Mean confidence along rays away from the data, over the distance in units of the data's own reach."""
    figure, x = go.Figure(), np.asarray(series.x, float)
    for label, values in series.values.items():
        if label in named and np.shape(values) == x.shape:
            figure.add_scatter(x=np.float32(x), y=np.float32(values), mode="lines", name=named[label].title,
                               line={"color": named[label].color, "width": 2.4}, hovertemplate="%{y:.1%}")
    figure.add_vline(x=1.0, line={"color": style.AXIS, "width": 1, "dash": "dot"}, annotation={
        "text": "end of the data", "showarrow": False, "yref": "paper", "y": 0.04, "xanchor": "left", "yanchor": "bottom",
        "font": {"size": 12}})
    logarithmic = len(x) > 2 and x[0] > 0 and x[-1] / x[0] > 20
    figure.update_xaxes(style.axis("distance from the middle of the data (1: the farthest example)",
                                   **({"type": "log"} if logarithmic else {})))
    figure.update_yaxes(style.axis("mean confidence", tickformat=".0%"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def _depth(share: float) -> float:
    """Opacity of the colour at that share of the way from knowing nothing to certain."""
    return 0.02 + 0.6 * share**1.3


def in_words(seen: Predictive) -> str:
    """How sure it is beside the data, and at the border of the picture."""
    sure, found = confidence(seen), seen.function
    edge = np.concatenate([sure[0], sure[-1], sure[:, 0], sure[:, -1]])
    train = np.asarray(found.get("train_x", np.empty((0, 2))), float)
    if not len(train):
        return f"sure of {edge.mean():.0%} at the border"
    i, j = (np.abs(np.asarray(found[a], float)[:, None] - train[:, k]).argmin(axis=0) for k, a in enumerate("xy"))
    return f"sure of {sure[i, j].mean():.0%} at the data, of {edge.mean():.0%} at the border"
