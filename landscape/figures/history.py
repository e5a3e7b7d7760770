"""What training logged, while it runs and afterwards: one panel per metric, one colour per network, a dash per branch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import unknown
from landscape.figures import style
from landscape.results import METRICS, History

TITLES = METRICS | {"validation_loss": "validation loss", "validation_nll": "validation NLL",
                    "validation_error": "validation error", "lr": "learning rate"}
BRANCHES = {"sgd": "SGD, decaying rate", "constant": "constant rate"}
SHORT = 5.0  # highest over lowest value of a curve, below which an axis needs closer ticks
DASHES = ("solid", "dot", "dash", "dashdot")
BELOW = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"}  # away from tools


@dataclass(frozen=True)
class Look:
    """How one curve is drawn; ``network`` is what its colour stands for, ``branch`` its dash, empty where there is one."""

    color: str
    dash: str
    network: str
    branch: str


def looks(names: tuple[str, ...]) -> list[Look]:
    """Those of curves called ``sgd seed 0`` (a branch, then a network) or by their network alone; no two look alike before
    there are four times as many networks as colours."""
    parts = [name.rpartition(" seed ") for name in names]
    branches, networks = (list(dict.fromkeys(part[side] for part in parts)) for side in (0, 2))
    found = []
    for branch, between, network in parts:
        turn, k = divmod(networks.index(network), len(style.NETWORKS))
        dash = DASHES[(branches.index(branch) + len(branches) * turn) % len(DASHES)]
        found.append(Look(style.NETWORKS[k], dash, f"{between}{network}".strip(), branch if len(branches) > 1 else ""))
    return found


def history(result: History, metrics: list[str]) -> go.Figure:
    """Curves over epochs; losses on a logarithmic axis. A network that diverged ends in a cross at its last value."""
    missing = [m for m in metrics if m not in result.values]
    if missing:
        raise unknown("metric of this training", missing[0], result.values)
    drawn = looks(result.names)
    figure = make_subplots(rows=max(len(metrics), 1), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, metric in enumerate(metrics, start=1):
        values = np.asarray(result.values[metric], float)
        log = not metric.endswith("error") and np.isfinite(values).any() and bool(np.nanmin(_finite(values)) > 0)
        for k, name in enumerate(result.names):
            _curve(figure, result.epochs, values[k], name, drawn[k], row)
        figure.update_yaxes(style.axis(TITLES.get(metric, metric), type="log" if log else "linear",
                                       **(_log_ticks(values) if log else {"rangemode": "tozero"})), row=row, col=1)
    figure.update_xaxes(style.axis(**({"dtick": 1} if len(result.epochs) <= 10 else {})))
    figure.update_xaxes(title={"text": "epoch"}, row=max(len(metrics), 1), col=1)
    _named(figure, drawn)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified").update_layout(legend=BELOW)


def _named(figure: go.Figure, drawn: list[Look]) -> None:
    """Of curves of several branches, the legend names networks by their colour and branches by their dash, each once."""
    dashes, colors = {}, {}
    for look in filter(lambda look: look.branch, drawn):
        dashes.setdefault(look.branch, look.dash)
        colors.setdefault(look.network, look.color)
    for branch, dash in dashes.items():
        figure.add_scatter(x=[None], y=[None], mode="lines", name=BRANCHES.get(branch, branch), legendgroup=branch,
                           line={"color": style.AXIS, "width": 2, "dash": dash}, row=1, col=1)
    for network, color in colors.items():
        figure.add_scatter(x=[None], y=[None], mode="lines", name=network, legendgroup=network, row=1, col=1,
                           line={"color": color, "width": 4})


def _log_ticks(values: np.ndarray) -> dict:
    """1, 2 and 5 in every decade, written in full; every digit of a range that has few of these."""
    digits = range(1, 10) if np.nanmax(_finite(values)) < SHORT * np.nanmin(_finite(values)) else (1, 2, 5)
    ticks = [digit * 10.0**power for power in range(-8, 5) for digit in digits]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _curve(figure: go.Figure, epochs: np.ndarray, values: np.ndarray, name: str, look: Look, row: int) -> None:
    known, group, alone = np.isfinite(values), look.network, not look.branch
    figure.add_scatter(x=np.asarray(epochs, np.float32), y=np.asarray(_finite(values), np.float32), mode="lines", name=name,
                       legendgroup=group, showlegend=row == 1 and alone, hovertemplate="%{y:.4g}", row=row, col=1,
                       line={"color": look.color, "width": 2, "dash": look.dash})
    if not known.all():  # an epoch was logged, and this network was no longer finite in it
        last = np.flatnonzero(known)[-1:]
        at = epochs[last] if last.size else epochs[:1]
        figure.add_scatter(x=at, y=values[last] if last.size else [None], mode="markers", name=f"{name} diverged",
                           legendgroup=group, showlegend=row == 1, marker={"symbol": "x", "size": 11, "color": look.color},
                           hovertemplate=f"{name} diverged after epoch {float(at[0]):g}<extra></extra>", row=row, col=1)
