"""Metrics along the paths between two networks: the straight segment, the Bezier curve and the polygonal chain."""

from __future__ import annotations

import decimal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import unknown
from landscape.figures import style
from landscape.results import METRICS, Profile

T = "t along the path"
ARC = "distance along the path in weight space"
CURSOR = {"color": "rgba(255,59,48,0.8)", "width": 1.6}


def profile(profiles: dict[str, Profile], metric: str, *, distance: bool = False) -> go.Figure:
    """One metric along every path over t, or over the arc length (``distance``).

    The walker is a vertical line over t; over the arc length, where equal t are different places, a point on each path.
    """
    _known(profiles, metric)
    figure = go.Figure()
    for kind, path in _ordered(profiles).items():
        _line(figure, kind, path, metric, distance)
    paths = {}
    if distance:
        paths = {kind: {"x": _rounded(p.distance), "y": _rounded(p.values[metric])}
                 for kind, p in _ordered(profiles).items()}
        start = next(iter(paths.values()), {"x": [None], "y": [None]})
        figure.add_scatter(x=start["x"][:1], y=start["y"][:1], mode="markers", name="walker", visible=False,
                           hoverinfo="skip", showlegend=False, marker=style.WALKER | {"size": 12})
        figure.layout.meta = {"walkers": [{"trace": len(figure.data) - 1, "paths": paths}]}
    else:
        figure.layout.meta = {"walkers": [_cursor(figure, "y2")]}
        figure.update_layout(yaxis2=_overlay("y"))
    figure.update_xaxes(style.axis(ARC if distance else T))
    figure.update_layout(yaxis=style.axis(METRICS[metric], rangemode="tozero"))
    return style.layout(figure, hovermode="closest" if distance else "x unified")


def twin(profiles: dict[str, Profile], loss_metric: str, error_metric: str) -> go.Figure:
    """Loss above, error below, over the same t."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for row, metric in enumerate((loss_metric, error_metric), start=1):
        _known(profiles, metric)
        for kind, path in _ordered(profiles).items():
            _line(figure, kind, path, metric, False, legend=row == 1, row=row, col=1)
    figure.update_xaxes(style.axis())
    for name, metric in (("yaxis", loss_metric), ("yaxis2", error_metric)):
        figure.update_layout({name: style.axis(METRICS[metric], rangemode="tozero")})
    walkers = [_cursor(figure, "y3", "x"), _cursor(figure, "y4", "x2")]
    figure.update_layout(yaxis3=_overlay("y"), yaxis4=_overlay("y2") | {"anchor": "x2"}, xaxis2={"title": {"text": T}},
                         meta={"walkers": walkers})
    return style.layout(figure, hovermode="x unified")


def maxima_in_words(profiles: dict[str, Profile], metric: str) -> str:
    """Where the straight segment is highest, and how high the trained paths come beside it, whatever the result."""
    _known(profiles, metric)
    top = {kind: _highest(path, metric) for kind, path in _ordered(profiles).items()}
    if any(found is None for found in top.values()):
        bad = ", ".join(style.KINDS[kind]["title"] for kind, found in top.items() if found is None)
        return f"No finite {METRICS[metric]} along: {bad}."
    words, curves = [], [k for k in top if k != "segment"]
    if "segment" in top:
        highest, t = top["segment"]
        words.append(f"along the straight segment {METRICS[metric]} rises to {highest:.3g} (t = {t:.2f})")
    if curves:
        said = [{"bezier": "the Bezier curve", "chain": "the chain"}[k] for k in curves]
        words.append(f"{said[0]} never exceeds {at_most(top[curves[0]][0])}"
                     + "".join(f", {name} {at_most(top[k][0])}" for name, k in zip(said[1:], curves[1:], strict=True)))
    sentence = "; ".join(words)
    return sentence[:1].upper() + sentence[1:] + _compared(top, curves) + "." if sentence else ""


def at_most(value: float, digits: int = 2) -> str:
    """``value`` rounded up to so many significant digits: a bound that holds as it is printed."""
    with decimal.localcontext(prec=digits, rounding=decimal.ROUND_CEILING):
        return f"{float(+decimal.Decimal(f'{value:.12g}')):g}"


def _compared(top: dict[str, tuple[float, float]], curves: list[str]) -> str:
    if "segment" not in top or not curves:
        return ""
    line, best = top["segment"][0], max(top[k][0] for k in curves)
    if best <= 0 or line <= 0:
        return ""
    if line / best >= 1.1:
        times = line / best
        return f": {times:.0f} times lower" if times >= 3 else f": {times:.1f} times lower"
    return ": no lower than the segment" if best >= line else ": hardly lower than the segment"


def _highest(path: Profile, metric: str) -> tuple[float, float] | None:
    """(value, t) of the largest finite value."""
    values = np.asarray(path.values[metric], float)
    if not np.isfinite(values).any():
        return None
    i = int(np.nanargmax(np.where(np.isfinite(values), values, -np.inf)))
    return float(values[i]), float(path.t[i])


def _known(profiles: dict[str, Profile], metric: str) -> None:
    for path in profiles.values():
        if metric not in METRICS or metric not in path.values:
            raise unknown("metric of this profile", metric, [m for m in METRICS if m in path.values])


def _ordered(profiles: dict[str, Profile]) -> dict[str, Profile]:
    """By the kind of path, in the order all figures use."""
    by_kind = {p.kind: p for p in profiles.values()}
    return {kind: by_kind[kind] for kind in style.KINDS if kind in by_kind}


def _line(figure: go.Figure, kind: str, path: Profile, metric: str, distance: bool, legend: bool = True, **cell) -> None:
    """The path's line, and circles where its two networks are."""
    look = style.KINDS[kind]
    x, y = np.asarray(path.distance if distance else path.t, np.float32), np.asarray(path.values[metric], np.float32)
    figure.add_scatter(x=x, y=y, mode="lines", name=look["title"], legendgroup=kind, showlegend=legend, **cell,
                       line={"color": look["color"], "dash": look["dash"], "width": 2.6},
                       hovertemplate=f"{look['title']}<br>at %{{x:.2f}}: %{{y:.4g}}<extra></extra>"
                       if distance else "%{y:.4g}")
    figure.add_scatter(x=x[[0, -1]], y=y[[0, -1]], mode="markers", legendgroup=kind, showlegend=False, hoverinfo="skip",
                       name="networks", cliponaxis=False, **cell,
                       marker={"size": 9, "color": style.PAPER, "line": {"width": 2, "color": look["color"]}})


def _cursor(figure: go.Figure, yaxis: str, xaxis: str = "x") -> dict:
    """A vertical line at t = 0, hidden until the browser moves it; returns its entry of ``meta["walkers"]``."""
    figure.add_trace(go.Scatter(x=[0, 0], y=[0, 1], mode="lines", line=CURSOR, name="walker", visible=False,
                                hoverinfo="skip", showlegend=False, xaxis=xaxis, yaxis=yaxis))
    return {"trace": len(figure.data) - 1, "vertical": True}


def _overlay(axis: str) -> dict:
    """An invisible [0, 1] axis over another one, so that the vertical line is as high as the panel."""
    return {"overlaying": axis, "range": [0, 1], "visible": False, "fixedrange": True, "showgrid": False}


def _rounded(values) -> list:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, float)]
