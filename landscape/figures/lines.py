"""Metrics along straight lines and curves through checkpoints, and the barrier on them in words."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import unknown
from landscape.figures import style
from landscape.figures.profile import at_most
from landscape.results import METRICS, Profile

LOOKS = {  # name of the result -> how it is drawn
    "line": {"title": "straight line", "color": "#8b93a1", "dash": "dash"},
    "matched": {"title": "line after matching hidden units", "color": "#3b8fd4", "dash": "solid"},
    "bezier": {"title": "trained Bezier curve", "color": "#e8590c", "dash": "solid"},
    "line 1": {"title": "random direction 1", "color": "#e8590c", "dash": "solid"},
    "line 2": {"title": "random direction 2", "color": "#3b8fd4", "dash": "solid"},
}
FLAT = 0.01  # share of the loss at the ends below which a rise is called none


def between(paths: dict[str, Profile], metrics: tuple[str, ...]) -> go.Figure:
    """One panel a metric over t in [0, 1]: every path leads from the first network to the second."""
    return _panels(paths, metrics, "t from the first network to the second")


def through(paths: dict[str, Profile], metrics: tuple[str, ...]) -> go.Figure:
    """One panel a metric over t, named by the distance from the network, which stands in the middle of every line.

    Lines of different lengths keep t on the axis.
    """
    lengths = [float(p.distance[-1]) for p in paths.values()]
    figure = _panels(paths, metrics, "distance from the network in weight space")
    if max(lengths) - min(lengths) > 1e-3 * max(lengths):
        return figure.update_xaxes(title={"text": "t along the line; the network is at 0.5"}, row=len(metrics), col=1)
    ticks = np.linspace(0, 1, 9)
    return figure.update_xaxes(tickvals=ticks, ticktext=[f"{(t - 0.5) * lengths[0]:.3g}" for t in ticks])


def title(name: str) -> str:
    """How the line of that result is called in figures."""
    return LOOKS[name]["title"] if name in LOOKS else name


def barrier(path: Profile, metric: str) -> float:
    """The largest rise of the metric above the straight line between its two ends; NaN if no point is finite.

    The error barrier of Frankle et al. 2020, for any metric.
    """
    t, v = np.asarray(path.t, float), np.asarray(path.values[metric], float)
    rise = v - ((1 - t) * v[0] + t * v[-1])
    return float(np.nanmax(rise)) if np.isfinite(rise).any() else float("nan")


def barrier_in_words(paths: dict[str, Profile], metric: str) -> str:
    """How high the straight line rises between the two networks, and what matching and a trained curve change."""
    _known(paths, metric)
    if "line" not in paths:
        return ""
    ends = np.asarray(paths["line"].values[metric], float)[[0, -1]]
    found = {name: barrier(p, metric) for name, p in paths.items()}
    height, said_metric = found["line"], METRICS[metric]
    if not np.isfinite(height):
        return f"Along the straight line {said_metric} is not finite."
    level = max(abs(float(ends.mean())), 1e-12)
    if height <= FLAT * level:
        text = (f"There is no barrier: along the straight line {said_metric} never rises above the line through its ends, "
                f"{ends[0]:.3g} and {ends[1]:.3g}")
    else:
        highest = float(np.nanmax(np.asarray(paths["line"].values[metric], float)))
        way = f"rises to {highest:.3g} from {ends[0]:.3g} and {ends[1]:.3g}"
        if highest <= ends.max():
            way = f"goes from {ends[0]:.3g} to {ends[1]:.3g}, in between above the line through these two"
        text = f"Along the straight line {said_metric} {way}: a barrier of {height:.2g}"
    said = []
    for name, words in (("matched", "after matching hidden units"), ("bezier", "along the trained curve")):
        if name in found and np.isfinite(found[name]):
            said.append(f"{words} it is {at_most(max(found[name], 0.0)) if found[name] > FLAT * level else 'none'}")
    return "; ".join([text, *said]) + "."


def _known(paths: dict[str, Profile], metric: str) -> None:
    for path in paths.values():
        if metric not in METRICS or metric not in path.values:
            raise unknown("metric of this line", metric, [m for m in METRICS if m in path.values])


def _panels(paths: dict[str, Profile], metrics: tuple[str, ...], below: str) -> go.Figure:
    figure = make_subplots(rows=max(1, len(metrics)), cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for row, metric in enumerate(metrics, start=1):
        _known(paths, metric)
        for name, path in paths.items():
            _line(figure, name, path, metric, row)
        figure.update_yaxes(style.axis(METRICS[metric], rangemode="tozero"), row=row, col=1)
    figure.update_xaxes(style.axis())
    figure.update_xaxes(title={"text": below}, row=max(1, len(metrics)), col=1)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def _line(figure: go.Figure, name: str, path: Profile, metric: str, row: int) -> None:
    """The line over t, with the distance from its start on hover; points that are not finite stay empty."""
    y = np.asarray(path.values[metric], np.float32)
    look = LOOKS.get(name, {"color": "#8b93a1", "dash": "solid"})
    figure.add_scatter(x=np.asarray(path.t, np.float32), y=np.where(np.isfinite(y), y, np.nan), mode="lines",
                       name=title(name), legendgroup=name, showlegend=row == 1, row=row, col=1, hovertemplate="%{y:.4g}",
                       line={"color": look["color"], "dash": look["dash"], "width": 2.6})
