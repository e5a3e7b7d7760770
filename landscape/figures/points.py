"""Two-dimensional test examples: those of one bin of confidence before all others."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.results import Judged


def points(x: np.ndarray, inside: np.ndarray, seen: Judged) -> go.Figure:
    """Inputs (n, 2), grey; those ``inside`` in the colour of their class, the wrong ones with a cross."""
    labels, p = np.asarray(seen.test["labels"]), np.asarray(seen.test["probabilities"], float)
    names = list(map(str, seen.info.get("classes") or ())) or [str(k) for k in range(p.shape[1])]
    rest = np.setdiff1d(np.arange(len(x)), inside)
    figure = go.Figure(go.Scatter(x=np.float32(x[rest, 0]), y=np.float32(x[rest, 1]), mode="markers", name="in other bins",
                                  marker={"size": 4, "color": "rgba(128,134,148,0.4)"}, hoverinfo="skip"))
    wrong = p.argmax(axis=1) != labels
    for k in np.unique(labels[inside]):
        mine = inside[labels[inside] == k]
        said = [f"example {i}: {names[k]}, taken for {names[p[i].argmax()]}, {p[i].max():.1%}" for i in mine]
        figure.add_scatter(
            x=np.float32(x[mine, 0]), y=np.float32(x[mine, 1]), mode="markers", name=names[k], text=said,
            hovertemplate="%{text}<extra></extra>",
            marker={"size": 10, "color": style.NETWORKS[k % len(style.NETWORKS)],
                    "symbol": ["x" if wrong[i] else "circle" for i in mine], "line": {"width": 1, "color": style.PAPER}})
    figure.update_xaxes(style.axis(None, showgrid=False))
    figure.update_yaxes(style.axis(None, showgrid=False, scaleanchor="x", scaleratio=1))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")
