"""What temperature, prior scale and the number of members do to what is predicted."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import methods, style
from landscape.results import Series

AXES = {
    "temperature": "temperature T (1 is the posterior, below it is cold)",
    "prior": "standard deviation of the prior",
    "members": "members",
}
METRICS = {"nll": "test NLL", "error": "test error (%)", "ece": "ECE"}
RMSE = "test RMSE"  # what the error of a regression is
SWEPT = {
    "test_nll": "test NLL",
    "train_nll": "train NLL",
    "test_error": "test error",
    "test_ece": "ECE",
    "gap_ratio": "band in the gaps / at the data",
    "spread": "spread of the draws in weight space",
}
CLOSE = 0.005  # nats: a smaller difference of one seed says nothing
COLORS = {"test_nll": "#e8590c", "train_nll": "#3b8fd4"}


def swept(series: Series) -> list[str]:
    """What was measured, without the train NLL, which is drawn beside the test NLL."""
    return [name for name in SWEPT if name in series.values and name != "train_nll"]


def sweep(series: Series, kind: str, metric: str = "test_nll", regression: bool = False) -> go.Figure:
    """One metric over the temperature or the prior's scale; the value of the run itself is marked."""
    figure, x = go.Figure(), np.asarray(series.x, float)
    titles = SWEPT | ({"test_error": RMSE} if regression else {})
    for name in [metric, *(["train_nll"] if metric == "test_nll" and "train_nll" in series.values else [])]:
        color = COLORS.get(name, COLORS["test_nll"])
        figure.add_scatter(
            x=np.float32(x),
            y=np.float32(series.values[name]),
            mode="lines+markers",
            name=titles[name],
            line={"color": color, "width": 2.4},
            hovertemplate="%{y:.4~g}",
            marker={"size": 8, "color": style.PAPER, "line": {"width": 2.2, "color": color}},
        )
    logarithmic = len(x) > 1 and x.min() > 0 and x.max() / x.min() > 5
    at = series.info.get("marked")
    if at is not None and x.min() <= at <= x.max():
        figure.add_vline(x=float(at), line={"color": style.AXIS, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=float(np.log10(at)) if logarithmic else float(at),
            y=1,
            yref="paper",
            text="this run",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            font={"size": 12},
        )
    ticks = {"tickvals": [float(v) for v in x], "ticktext": [f"{v:g}" for v in x]} if len(x) <= 12 else {}
    figure.update_xaxes(style.axis(AXES[kind], **ticks, **({"type": "log"} if logarithmic else {})))
    figure.update_yaxes(style.axis(titles[metric]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def best_in_words(series: Series, kind: str) -> str:
    """Where the test NLL is lowest: whether a cold posterior predicts better than the posterior itself."""
    x, values = np.asarray(series.x, float), np.asarray(series.values.get("test_nll", ()), float)
    if not np.isfinite(values).any():
        return ""
    i = int(np.nanargmin(values))
    if kind != "temperature":
        return f"The test NLL is lowest, {methods.fixed(values[i])}, at a prior sd of **{x[i]:g}**."
    text = f"The test NLL is lowest, {methods.fixed(values[i])}, at **T = {x[i]:g}**"
    own = np.flatnonzero(np.isclose(x, 1.0))
    if not len(own) or own[0] == i or not np.isfinite(values[own[0]]):
        return f"{text}."
    how = (
        "too close to tell apart"
        if values[own[0]] - values[i] < CLOSE
        else f"here a {'cold' if x[i] < 1 else 'warm'} posterior predicts better"
    )
    return f"{text}; at T = 1 it is {methods.fixed(values[own[0]])}: {how}."


def rounded_in_words(series: Series) -> str:
    """The precision of a sweep's densities and how far off they were at worst; empty where they were not rounded."""
    if "precision" not in series.info:
        return ""
    found = np.asarray(series.values.get("log_density_error", ()), float)
    known = found[np.isfinite(found)]
    return f"networks evaluated in {series.info['precision']}, log densities " + (
        f"off by at most {methods.short(float(known.max()), 2)} nats (sd over draws)" if known.size else "never finite")


def lines(series: Series) -> dict[str, list[str]]:
    """``{metric: methods that have it}`` of growing ensembles; the values are called ``METHOD METRIC``."""
    found: dict[str, list[str]] = {}
    for name in series.values:
        method, _, metric = name.rpartition(" ")
        if metric in METRICS and method:
            found.setdefault(metric, []).append(method)
    return {metric: methods.ordered(found[metric]) for metric in METRICS if metric in found}


def members(series: Series, metric: str = "nll", regression: bool = False) -> go.Figure:
    """One line a method over the number of members, from the lowest to the highest group of members in a band."""
    figure, x = go.Figure(), np.asarray(series.x, float)
    factor = 100.0 if metric == "error" and not regression else 1.0
    for method in lines(series).get(metric, ()):
        look, mean = methods.look(method), factor * np.asarray(series.values[f"{method} {metric}"], float)
        groups = np.atleast_2d(factor * np.asarray(series.values.get(f"{method} {metric} by group", mean), float))
        if len(groups) > 1:
            low, high = np.nanmin(groups, axis=0), np.nanmax(groups, axis=0)
            figure.add_scatter(
                x=np.float32(np.r_[x, x[::-1]]),
                y=np.float32(np.r_[high, low[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=style.clear(look.color, 0.14),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                name=f"{look.title}: range",
                legendgroup=method,
            )
        figure.add_scatter(
            x=np.float32(x),
            y=np.float32(mean),
            mode="lines+markers",
            name=look.title,
            legendgroup=method,
            line={"color": look.color, "width": 2.4},
            hovertemplate="%{y:.4~g}",
            marker={"size": 8, "color": style.PAPER, "line": {"width": 2.2, "color": look.color}},
        )
    figure.update_xaxes(style.axis(AXES["members"], dtick=1 if len(x) <= 16 else None))
    figure.update_yaxes(style.axis(RMSE if metric == "error" and regression else METRICS[metric]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def members_in_words(series: Series) -> str:
    """What one member and the largest number of members reach, method by method."""
    found = {m: np.asarray(series.values[f"{m} nll"], float) for m in lines(series).get("nll", ())}
    found = {m: v for m, v in found.items() if len(v) and np.isfinite(v[[0, -1]]).all()}
    if not found:
        return ""
    ranked = sorted(found, key=lambda m: found[m][-1])
    many = ", ".join(f"{methods.look(m).title} {methods.fixed(found[m][-1])}" for m in ranked)
    one = ", ".join(f"{methods.look(m).title} {methods.fixed(found[m][0])}" for m in ranked)
    return f"Test NLL with {series.x[-1]:g} members: {many}; with one: {one}."
