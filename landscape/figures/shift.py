"""Under corruption: accuracy, NLL and ECE of every source over the severity, and what the corrupted inputs look like."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.examples import picture
from landscape.figures.methods import Look
from landscape.results import Series

METRICS = {"accuracy": "accuracy", "nll": "NLL", "ece": "ECE"}
MEAN = "all of them"
PICTURED = ("image", "signal")  # inputs that can be looked at


def labels(series: Series) -> list[str]:
    """The sources that were followed, in their order."""
    given = series.info.get("labels")
    found = [name.rpartition(" ")[0] for name in series.values if name.rpartition(" ")[2] in METRICS]
    return [one for one in (given or found) if f"{one} nll" in series.values] or list(dict.fromkeys(found))


def averaged(found: Mapping[str, Series]) -> Series:
    """The mean over corruptions at each severity."""
    first = next(iter(found.values()))
    values = {name: np.mean([np.asarray(s.values[name], float) for s in found.values() if name in s.values], axis=0)
              for name in first.values}
    return Series(first.x, values, first.info | {"title": MEAN, "strengths": None})


def ladder(series: Series, named: Mapping[str, Look], metric: str) -> go.Figure:
    """One metric over the severity, one line a source."""
    figure, x = go.Figure(), np.asarray(series.x, float)
    strengths = series.info.get("strengths") or [None] * len(x)
    words = [f"severity {s:g}" + (f" ({v:g} {series.info.get('unit', '')})" if v is not None else "")
             for s, v in zip(x, strengths, strict=True)]
    for label in labels(series):
        name = f"{label} {metric}"
        if label not in named or name not in series.values:
            continue
        look = named[label]
        figure.add_scatter(x=np.float32(x), y=np.float32(series.values[name]), mode="lines+markers", name=look.title,
                           line={"color": look.color, "width": 2.2}, customdata=words, hovertemplate="%{y:.4f}",
                           marker={"size": 7, "color": style.PAPER, "line": {"width": 2, "color": look.color}})
    figure.update_xaxes(style.axis("severity", dtick=1))
    figure.update_yaxes(style.axis(METRICS[metric], **({"tickformat": ".0%"} if metric == "accuracy"
                                                       else {"rangemode": "tozero"} if metric == "ece" else {})))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified", showlegend=False)


def legend(shown: list[str], named: Mapping[str, Look]) -> str:
    """HTML: the colours of panels that share one legend."""
    return ('<ul class="landscape-legend">' + "".join(
        f'<li><i style="background:{named[label].color}"></i>{escape(named[label].title)}</li>' for label in shown)
        + "</ul>")


def examples(series: Series, most: int = 3) -> str:
    """HTML: a few inputs at every severity, one row an example, the uncorrupted one first."""
    view, shape = str(series.info.get("view", "table")), series.info.get("shape")
    if view not in PICTURED:
        return ""
    rows = ""
    for name in [n for n in series.values if n.startswith("example")][:most]:
        columns = np.asarray(series.values[name], float).T
        first = columns[0] if view == "image" else columns  # an image keeps its black and white, a signal its scale
        ends = float(first.min()), float(first.max())
        for severity, column in zip(series.x, columns, strict=True):
            x = column.reshape(shape) if shape else column
            rows += f"<figure>{picture(x, view, f'{name}, severity {severity:g}', ends)}</figure>"
    heads = "".join(f"<span>{'as it is' if s == 0 else f'severity {s:g}' if s == 1 else f'{s:g}'}</span>" for s in series.x)
    return f'<div class="landscape-ladder {escape(view)}">{heads}{rows}</div>' if rows else ""


def in_words(series: Series, named: Mapping[str, Look]) -> str:
    """What the hardest severity does: whose NLL stays lowest there, and whose grows most."""
    found = {label: np.asarray(series.values[f"{label} nll"], float) for label in labels(series)
             if label in named and f"{label} nll" in series.values}
    found = {label: v for label, v in found.items() if np.isfinite(v[[0, -1]]).all()}
    if not found:
        return ""
    last = min(found, key=lambda label: found[label][-1])
    worst = max(found, key=lambda label: found[label][-1] - found[label][0])
    text = f"At severity {series.x[-1]:g} the NLL of **{named[last].title}** is lowest, {found[last][-1]:.2f}"
    if worst == last:
        return f"{text}, after {found[last][0]:.2f} on clean inputs."
    return (f"{text}; that of **{named[worst].title}** grows most, from {found[worst][0]:.2f} to {found[worst][-1]:.2f}.")
