"""Width along lines: random rays from two solutions, and the line through both (Izmailov et al. 2018, figures 4 and 5)."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import unknown
from landscape.figures import style
from landscape.results import METRICS, Profile, Series

BOTH = ("sgd", "swa")
DISTANCE = "distance along the ray"


def offered(series: Series) -> list[str]:
    """The metrics that were measured along the rays of both solutions."""
    return [m for m in METRICS if all(f"{name} {m}" in series.values for name in BOTH)]


def rays(series: Series, metric: str, count: int | None = None, reach: float | None = None) -> go.Figure:
    """Every ray of both solutions, thin, and their medians; ``count`` rays, up to distance ``reach``. Errors in percent."""
    if metric not in offered(series):
        raise unknown("metric of these rays", metric, offered(series))
    figure, factor = go.Figure(), 100.0 if metric.endswith("error") else 1.0
    inside = np.asarray(series.x, float) <= (math.inf if reach is None else reach * (1 + 1e-9))
    x = np.asarray(series.x, float)[inside]
    for name in BOTH:
        look = style.METHODS[name]
        rows = factor * np.asarray(series.values[f"{name} {metric}"], float)[: count or None, inside]
        broken = np.full((len(rows), 1), np.nan)  # one trace for all rays: a gap ends each
        figure.add_scatter(x=np.tile(np.append(x, np.nan), len(rows)).astype(np.float32), mode="lines", opacity=0.28,
                           y=np.concatenate([rows, broken], axis=1).ravel().astype(np.float32), showlegend=False,
                           name=f"{look['title']}: rays", legendgroup=name, line={"color": look["color"], "width": 1},
                           hoverinfo="skip")
    for name in BOTH:  # the medians above all rays
        look = style.METHODS[name]
        rows = factor * np.asarray(series.values[f"{name} {metric}"], float)[: count or None, inside]
        figure.add_scatter(x=x.astype(np.float32), y=_median(rows).astype(np.float32), mode="lines", legendgroup=name,
                           name=f"{look['title']}, median of {len(rows)} rays", line={"color": look["color"], "width": 3.2},
                           hovertemplate="%{y:.4~g}")
    unit = " (filter-normalised steps)" if series.info.get("normalisation") == "filter" else " in weight space"
    figure.update_xaxes(style.axis(DISTANCE + unit))
    figure.update_yaxes(style.axis(METRICS[metric] + (" (%)" if factor > 1 else "")))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def width_in_words(series: Series, metric: str) -> str:
    """How far one can go along a random ray from each solution, with the interval over rays."""
    width = series.info.get("width") or {}
    both = {name: (width.get(name) or {}).get(metric) for name in BOTH}
    if not all(both.values()):
        return ""
    rise = series.info.get("rise")
    rise = rise.get(metric) if isinstance(rise, dict) else rise
    how = "risen by a set amount" if rise is None else \
        f"risen by {100 * rise:.3g} percentage points" if metric.endswith("error") else f"risen by {rise:.3g}"
    said = [f"{_far(both[name])} from {style.METHODS[name]['title']}" for name in BOTH]
    a, b = (_number(both[name].get("median")) for name in BOTH)
    wider = "" if not (math.isfinite(a) and math.isfinite(b) and min(a, b) > 0) else \
        f": **{'SWA' if b > a else 'SGD'} is {max(a, b) / min(a, b):.2f} times as wide**" if a != b else ": equally wide"
    return f"{METRICS[metric].capitalize()} has {how} after a median distance of {said[0]} and {said[1]}{wider}."


def agreement(series: Series) -> float:
    """How far the rays of one solution differ from each other at distance 0, where all are the same network."""
    at = int(np.abs(np.asarray(series.x, float)).argmin())
    if float(series.x[at]) != 0:
        return math.nan
    return max(float(np.ptp(np.asarray(v, float)[:, at])) for v in series.values.values() if np.ndim(v) == 2)


def line(path: Profile, left: str = "test_error", right: str = "train_loss") -> go.Figure:
    """Both metrics along the line through W_SGD and W_SWA (distance 0): a y axis each, circles at both networks.

    Drawn over t, so that a click names a network; ticks tell the distance.
    """
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    t, far = np.asarray(path.t, float), np.asarray(path.distance, float)
    ends = line_ends(path)
    for metric, color, second in ((left, "#e8590c", False), (right, "#3b8fd4", True)):
        if metric not in path.values:
            raise unknown("metric of this line", metric, path.values)
        values = (100.0 if metric.endswith("error") else 1.0) * np.asarray(path.values[metric], float)
        figure.add_scatter(x=t.astype(np.float32), y=values.astype(np.float32), mode="lines", name=METRICS[metric],
                           line={"color": color, "width": 2.6}, secondary_y=second, customdata=far.astype(np.float32),
                           hovertemplate="%{y:.4~g} at %{customdata:.3~g}")
        at = np.interp(ends, t, values)
        figure.add_scatter(x=ends, y=at, mode="markers+text", showlegend=False, name="networks", text=["SGD", "SWA"],
                           textposition="top center", textfont={"color": color, "size": 13}, secondary_y=second,
                           hoverinfo="skip", cliponaxis=False,
                           marker={"size": 10, "color": style.PAPER, "line": {"width": 2.4, "color": color}})
        figure.update_yaxes(style.axis(METRICS[metric] + (" (%)" if metric.endswith("error") else ""), rangemode="tozero",
                                       **({"showgrid": False, "tickmode": "auto"} if second else {})), secondary_y=second)
    figure.update_xaxes(style.axis("distance from SWA in weight space", **_distance_ticks(t, far), hoverformat=".3f"))
    figure.update_layout(meta={"walkers": []}, yaxis2_side="right")
    return style.layout(figure, hovermode="x unified").update_layout(margin={"r": 56})


def line_ends(path: Profile) -> list[float]:
    """t of W_SGD and of W_SWA: where the line's own ``positions["ends"]`` says, else the place of distance 0 for SWA."""
    given = path.positions.get("ends")
    if given is not None:
        return [float(v) for v in np.asarray(given, float).ravel()[:2]]
    t, far = np.asarray(path.t, float), np.asarray(path.distance, float)
    order = np.argsort(far)
    return [float("nan"), float(np.interp(0.0, far[order], t[order]))]


def line_with_ends(path: Profile, sgd: float) -> Profile:
    """The same profile with t of W_SGD, which stands at the signed distance ``sgd``, and of W_SWA at 0."""
    t, far = np.asarray(path.t, float), np.asarray(path.distance, float)
    order = np.argsort(far)
    ends = np.interp([sgd, 0.0], far[order], t[order])
    return Profile(path.kind, path.t, path.distance, path.values, path.positions | {"ends": ends})


def asymmetry_in_words(told: dict, metrics: tuple[str, ...] = ("test_error", "train_loss")) -> str:
    """How far it is from SWA to a set rise on each side: towards SGD and away from it."""
    said = []
    for metric in metrics:
        found = (told.get("asymmetry") or {}).get(metric)
        if not found:
            continue
        rise = found.get("rise")
        how = "" if rise is None else f" by {100 * rise:.3g} points" if metric.endswith("error") else f" by {rise:.3g}"
        sgd, swa = (_number(found.get(side)) for side in ("sgd_side", "swa_side"))
        said.append(f"{METRICS[metric]} has risen{how} {_reach(sgd)} towards SGD and {_reach(swa)} away from it")
    return f"From SWA, {'; '.join(said)}." if said else ""


def _reach(far: float) -> str:
    return f"after {far:.3g}" if math.isfinite(far) else "nowhere in the drawn range"


def _number(value) -> float:
    return math.inf if value is None else float(value)


def _far(found: dict) -> str:
    """``3.2 (2.9 to 3.6)``, or what is known when rays never end."""
    median, low, high = (_number(found.get(k)) for k in ("median", "low", "high"))
    if not math.isfinite(median):
        return "more than was drawn"
    return f"{median:.3g} ({low:.3g} to {f'{high:.3g}' if math.isfinite(high) else 'beyond'})"


def _median(rows: np.ndarray) -> np.ndarray:
    """(S,) of rows (R, S); a value that is not finite counts as above all others."""
    found = np.median(np.where(np.isfinite(rows), rows, np.inf), axis=0)
    return np.where(np.isfinite(found), found, np.nan)


def _distance_ticks(t: np.ndarray, far: np.ndarray, count: int = 8) -> dict:
    """Ticks at round distances, placed by t."""
    order = np.argsort(far)
    span = float(np.ptp(far))
    if not span:
        return {}
    raw = span / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw)
    ticks = np.arange(math.ceil(far.min() / step), math.floor(far.max() / step) + 1) * step
    return {"tickvals": np.interp(ticks, far[order], t[order]), "ticktext": [f"{v:.4g}" for v in ticks]}
