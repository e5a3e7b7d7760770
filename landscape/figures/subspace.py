"""The directions of a subspace: how much of SGD's walk each of them holds."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style

MOST = 12  # directions that are drawn


def shares(explained: np.ndarray) -> go.Figure:
    """Shares of the variance (K,) as bars, in per cent."""
    percent = 100 * np.asarray(explained, float)[:MOST]
    figure = go.Figure(
        go.Bar(
            x=[f"d<sub>{i}</sub>" for i in range(1, len(percent) + 1)],
            y=percent.astype(np.float32),
            marker={"color": style.NETWORKS[0]},
            width=0.6,
            name="share",
            hovertemplate="%{y:.1f}% of the walk's variance<extra></extra>",
        )
    )
    figure.update_xaxes(style.axis(None, showgrid=False))
    figure.update_yaxes(style.axis("% of the variance", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, showlegend=False, hovermode="closest")
