"""What training logged, while it runs and afterwards: one panel per metric, one colour per network."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import unknown
from landscape.figures import style
from landscape.results import METRICS, History

TITLES = METRICS | {"validation_loss": "validation loss", "validation_nll": "validation NLL",
                    "validation_error": "validation error", "lr": "learning rate"}


def history(result: History, metrics: list[str]) -> go.Figure:
    """Curves over epochs; losses on a logarithmic axis. A network that diverged ends in a cross at its last value."""
    missing = [m for m in metrics if m not in result.values]
    if missing:
        raise unknown("metric of this training", missing[0], result.values)
    figure = make_subplots(rows=max(len(metrics), 1), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, metric in enumerate(metrics, start=1):
        values = np.asarray(result.values[metric], float)
        log = not metric.endswith("error") and np.isfinite(values).any() and bool(np.nanmin(_finite(values)) > 0)
        for k, name in enumerate(result.names):
            _curve(figure, result.epochs, values[k], name, k, row)
        figure.update_yaxes(style.axis(TITLES.get(metric, metric), type="log" if log else "linear",
                                       **(_log_ticks() if log else {"rangemode": "tozero"})), row=row, col=1)
    figure.update_xaxes(style.axis(**({"dtick": 1} if len(result.epochs) <= 10 else {})))
    figure.update_xaxes(title={"text": "epoch"}, row=max(len(metrics), 1), col=1)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def _log_ticks() -> dict:
    """1, 2 and 5 in every decade, written in full."""
    ticks = [digit * 10.0**power for power in range(-8, 5) for digit in (1, 2, 5)]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _curve(figure: go.Figure, epochs: np.ndarray, values: np.ndarray, name: str, k: int, row: int) -> None:
    color, known = style.NETWORKS[k % len(style.NETWORKS)], np.isfinite(values)
    figure.add_scatter(x=np.asarray(epochs, np.float32), y=np.asarray(_finite(values), np.float32), mode="lines", name=name,
                       legendgroup=name, showlegend=row == 1, line={"color": color, "width": 2}, hovertemplate="%{y:.4g}",
                       row=row, col=1)
    if not known.all():  # an epoch was logged, and this network was no longer finite in it
        last = np.flatnonzero(known)[-1:]
        at = epochs[last] if last.size else epochs[:1]
        figure.add_scatter(x=at, y=values[last] if last.size else [None], mode="markers", name=f"{name} diverged",
                           legendgroup=name, showlegend=row == 1, marker={"symbol": "x", "size": 11, "color": color},
                           hovertemplate=f"{name} diverged after epoch {float(at[0]):g}<extra></extra>", row=row, col=1)
