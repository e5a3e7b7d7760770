"""Predictions of numbers: are stated intervals honest, do stated spreads say where the errors are; conformal sets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.methods import Look

WAYS = {"": "as it is", "scaled": "one factor", "isotonic": "isotonic"}  # how a forecast was recalibrated
DASHES = {"": "solid", "scaled": "dash", "isotonic": "dot"}
SCORES = {"threshold": "threshold", "cumulative": "cumulative", "equal width": "equally wide",
          "stated spread": "as wide as stated"}
SYMBOLS = {"threshold": "circle", "cumulative": "diamond", "equal width": "circle", "stated spread": "diamond"}


def part(values: dict, way: str, name: str):
    """``coverage`` or ``pit`` of a forecast as it is (``way`` is empty) or recalibrated; None where there is none."""
    return values.get(name) if not way else (values.get(way) or {}).get(name)


def ways(values: dict) -> list[str]:
    """How this forecast can be shown."""
    return [way for way in WAYS if part(values, way, "coverage") is not None]


def coverage(found: Mapping[str, dict], named: Mapping[str, Look], ways: tuple[str, ...] = ("",)) -> go.Figure:
    """Share of the truths inside the central interval of each level; on the diagonal an interval holds what it says."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False, name="honest",
                       line={"color": style.AXIS, "dash": "dash", "width": 1.5})
    for label, values in found.items():
        for way in ways:
            share = part(values, way, "coverage")
            if share is None:
                continue
            name = named[label].title + ("" if len(ways) == 1 else f", {WAYS[way]}")
            figure.add_scatter(
                x=np.float32(np.r_[0, values["levels"], 1]), y=np.float32(np.r_[0, share, 1]), mode="lines", name=name,
                line={"color": named[label].color, "width": 2.2, "dash": DASHES[way] if len(ways) > 1 else "solid"},
                hovertemplate=f"{name}: %{{x:.0%}} intervals hold <b>%{{y:.1%}}</b><extra></extra>")
    figure.update_xaxes(style.axis("nominal level of the interval", range=[0, 1.01], tickformat=".0%"))
    figure.update_yaxes(style.axis("share of truths inside", range=[0, 1.02], tickformat=".0%"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def pit(values: dict, colour: str) -> go.Figure:
    """Where the truths fall in their predicted distributions; between the lines lies a bar of an honest forecast."""
    count = np.asarray(values["counts"], float)
    middle = (np.arange(len(count)) + 0.5) / len(count)
    figure = go.Figure(go.Bar(x=np.float32(middle), y=count, width=0.94 / len(count), name="examples", showlegend=False,
                              marker={"color": style.clear(colour, 0.75), "line": {"width": 0}},
                              hovertemplate="%{x:.2f}: <b>%{y:,.0f}</b> examples<extra></extra>"))
    low, high = float(values["low"]), float(values["high"])
    figure.add_hrect(y0=low, y1=high, fillcolor="rgba(128,134,148,0.2)", line={"width": 0}, layer="above")
    figure.add_hline(y=float(count.mean()), line={"color": style.AXIS, "dash": "dash", "width": 1.4})
    figure.update_xaxes(style.axis("predicted probability of a smaller value", range=[0, 1], showgrid=False,
                                   tickvals=[0, 0.25, 0.5, 0.75, 1]))
    figure.update_yaxes(style.axis("examples", rangemode="tozero", nticks=4))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest", bargap=0)


def spread(found: Mapping[str, dict], named: Mapping[str, Look], by: str = "spread") -> go.Figure:
    """Stated against found errors in bins; on the diagonal the spread says where the errors are. A point is one bin."""
    figure, ends = go.Figure(), []
    for label, values in found.items():
        bins = values.get(by)
        if not bins:
            continue
        stated, error = np.asarray(bins["stated"], float), np.asarray(bins["error"], float)
        ends += [stated, error]
        figure.add_scatter(x=np.float32(stated), y=np.float32(error), mode="lines+markers" if by == "spread" else "markers",
                           name=named[label].title, customdata=np.asarray(bins["count"]),
                           line={"color": named[label].color, "width": 1.6},
                           marker={"size": 9, "color": style.clear(named[label].color, 0.8), "line": {"width": 0}},
                           hovertemplate=f"{named[label].title}: stated %{{x:.3f}}, found <b>%{{y:.3f}}</b> "
                                         "(%{customdata} examples)<extra></extra>")
    top = 1.08 * max((float(e.max()) for e in ends), default=1.0)
    figure.add_scatter(x=[0, top], y=[0, top], mode="lines", hoverinfo="skip", showlegend=False, name="honest",
                       line={"color": style.AXIS, "dash": "dash", "width": 1.5})
    figure.update_xaxes(style.axis("stated standard deviation", rangemode="tozero"))
    figure.update_yaxes(style.axis("root mean squared error", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def conformal(found: Mapping[str, dict], named: Mapping[str, Look]) -> go.Figure:
    """Coverage over repeated splits against the mean size: right of the line the promise is kept, lower is better."""
    figure = go.Figure()
    first = next(iter(found.values()))
    nominal = 1 - float(first["alpha"])
    kinds = list(dict.fromkeys(score for values in found.values() for score in values.get("scores", {})))
    for label, values in found.items():
        for score, one in values.get("scores", {}).items():
            coverage_, size = np.asarray(one["coverage"], float), sizes_of(one)
            figure.add_scatter(x=np.float32(coverage_), y=np.float32(size), mode="markers", hoverinfo="skip",
                               showlegend=False, name=f"{named[label].title}, {score}: splits",
                               marker={"size": 4, "color": style.clear(named[label].color, 0.16)})
            figure.add_scatter(
                x=[float(coverage_.mean())], y=[float(np.nanmean(size))], mode="markers", showlegend=score == kinds[0],
                name=named[label].title, legendgroup=label, cliponaxis=False,
                marker={"size": 13, "color": named[label].color, "symbol": SYMBOLS.get(score, "square"),
                        "line": {"width": 1.6, "color": style.PAPER}},
                hovertemplate=f"{named[label].title}, {SCORES.get(score, score)}<br>covers <b>%{{x:.1%}}</b>, "
                              "size %{y:.3g}<extra></extra>")
    figure.add_vline(x=nominal, line={"color": style.AXIS, "dash": "dash", "width": 1.4})
    figure.add_annotation(x=nominal, y=1, yref="paper", text=f"promised: {nominal:.0%}", showarrow=False, xanchor="left",
                          yanchor="top", font={"size": 12}, xshift=4)
    figure.update_xaxes(style.axis("share of truths in the set", tickformat=".0%"))
    figure.update_yaxes(style.axis("mean classes in a set" if first["kind"] == "sets" else "mean width of an interval",
                                   **({"rangemode": "tozero"} if first["kind"] == "sets" else {})))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def sizes_of(one: dict) -> np.ndarray:
    """Mean sizes (S,) over the splits; NaN where an interval was infinite."""
    return np.array([np.nan if v is None else v for v in one["size"]], float)


def sizes(found: Mapping[str, dict], named: Mapping[str, Look], score: str) -> go.Figure:
    """How many classes a set holds: a group of bars for each number of classes."""
    figure = go.Figure()
    for label, values in found.items():
        count = np.asarray(((values.get("scores") or {}).get(score) or {}).get("sets") or (), float)
        if not count.sum():
            continue
        figure.add_bar(x=list(range(len(count))), y=np.float32(count / count.sum()), name=named[label].title,
                       marker={"color": named[label].color, "line": {"width": 0}},
                       hovertemplate=f"{named[label].title}: %{{x}} classes in <b>%{{y:.1%}}</b> of the sets<extra></extra>")
    figure.update_xaxes(style.axis("classes in a set", dtick=1, showgrid=False))
    figure.update_yaxes(style.axis("share of test examples", tickformat=".0%", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, barmode="group", bargap=0.25, hovermode="closest", showlegend=False)


def coverage_in_words(found: Mapping[str, dict], named: Mapping[str, Look], level: float = 0.9) -> str:
    """How much the intervals of one level hold, source by source."""
    said = []
    for label, values in found.items():
        share = part(values, "", "coverage")
        if share is not None:
            i = int(np.abs(np.asarray(values["levels"], float) - level).argmin())
            said.append(f"{named[label].title} **{share[i]:.0%}**")
    return f"The {level:.0%} intervals hold {', '.join(said)} of the truths." if said else ""


def conformal_in_words(found: Mapping[str, dict], named: Mapping[str, Look]) -> str:
    """The smallest sets of those that keep the promise on average."""
    rows = [(float(np.nanmean(sizes_of(one))), label, score, float(np.mean(one["coverage"])), 1 - float(values["alpha"]))
            for label, values in found.items() for score, one in values.get("scores", {}).items()]
    kept = sorted(row for row in rows if row[3] >= row[4] - 0.005)
    if not kept:
        return "No source keeps the promise on average: calibration and test examples are not of one kind."
    size, label, score, covered, _ = kept[0]
    what = "classes on average" if next(iter(found.values()))["kind"] == "sets" else "wide on average"
    return (f"Smallest where the promise is kept: **{named[label].title}** ({SCORES.get(score, score)}), {size:.3g} {what}, "
            f"covering {covered:.1%}.")
