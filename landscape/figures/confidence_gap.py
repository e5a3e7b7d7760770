"""Confidence minus accuracy over confidence, on an axis of log(1 - confidence): the talk's picture of calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.methods import Look
from landscape.uncertainty.binning import Bins, on_axis, ticks

SURER = {"1−10⁻⁴": 1e-4, "1−10⁻⁵": 1e-5, "1−10⁻⁶": 1e-6, "1−10⁻⁷": 1e-7}  # ticks beyond those of the slide
FEW = 5  # examples of a bin below which chance decides where it lies
BANDS = {1: 0.18, 2: 0.13, 3: 0.1}  # opacity where so many bands are drawn; more of them are fainter


def gap(found: Mapping[str, Bins], named: Mapping[str, Look], banded: tuple[str, ...] = (),
        marked: tuple[str, int] | None = None) -> go.Figure:
    """One line a source; above zero it is too sure. ``banded`` have their 95% bands drawn, ``marked`` (label, bin) a ring.

    A point's ``customdata`` is (confidence, accuracy, examples, number of the bin).
    """
    figure, highest = go.Figure(), 0.0
    for label in banded:
        band(figure, found[label], named[label], on_axis, BANDS.get(len(banded), 0.07), ("low", "high"))
    for label, seen in found.items():
        highest = max(highest, float(on_axis(seen.confidence[seen.count > 0]).max(initial=0.0)))
        line(figure, label, seen, named[label], on_axis, seen.gap,
             "sure of %{customdata[0]:.1%}, right %{customdata[1]:.1%}: <b>%{y:+.3f}</b> (%{customdata[2]:,} examples)")
    ring(figure, found, marked, on_axis, lambda seen: seen.gap)
    figure.add_hline(y=0, line={"color": style.AXIS, "dash": "dash", "width": 1.4})
    at = ticks()
    surer = {name: float(on_axis(1 - gone)) for name, gone in SURER.items() if on_axis(1 - gone) < highest + 0.3}
    figure.update_xaxes(style.axis(
        "confidence (probability of the predicted class)", tickvals=[*map(float, on_axis(at)), *surer.values()],
        ticktext=[*(f"{v:.3f}" for v in at), *surer],
        range=[0.0, max(float(on_axis(at)[-1]), highest) + 0.35]))
    figure.update_yaxes(style.axis("confidence − accuracy"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def line(figure: go.Figure, label: str, seen: Bins, look: Look, across, up: np.ndarray, hover: str, **more) -> None:
    """One source: bins are the larger the fuller; those of fewer than ``FEW`` examples are points that no line joins."""
    filled = seen.count > 0
    x, y, count = across(seen.confidence[filled]), up[filled], seen.count[filled]
    full = count >= FEW
    figure.add_scatter(x=np.float32(x[full]), y=np.float32(y[full]), mode="lines", name=look.title, hoverinfo="skip",
                       line={"color": look.color, "width": 2.2}, legendgroup=label, **more)
    size = np.float32(np.where(full, 4.5 + 4.5 * np.sqrt(count / max(count.max(initial=0), 1)), 4))
    figure.add_scatter(
        x=np.float32(x), y=np.float32(y), mode="markers", name=look.title, meta={"label": label}, customdata=told(seen),
        legendgroup=label, showlegend=False, cliponaxis=False, hovertemplate=f"{look.title}<br>{hover}<extra></extra>",
        marker={"size": size, "color": look.color, "opacity": 1, "line": {"width": 0}}, **more)


def told(seen: Bins) -> np.ndarray:
    """What a reader is told of each filled bin, and its number: (B, 4) float32."""
    filled = np.flatnonzero(seen.count)
    return np.float32(np.stack([seen.confidence[filled], seen.accuracy[filled], seen.count[filled], filled], axis=-1))


def band(figure: go.Figure, seen: Bins, look: Look, across, share: float, ends: tuple[str, str], **more) -> None:
    """The 95% band of one source; ``ends`` names the bounds, of the gap or (``least``, ``most``) of the accuracy."""
    filled = seen.count > 0
    bounds = {"low": seen.low, "high": seen.high, "least": seen.confidence - seen.high, "most": seen.confidence - seen.low}
    x, low, high = across(seen.confidence[filled]), bounds[ends[0]][filled], bounds[ends[1]][filled]
    figure.add_scatter(x=np.float32(np.r_[x, x[::-1]]), y=np.float32(np.r_[high, low[::-1]]), mode="lines", fill="toself",
                       fillcolor=style.clear(look.color, share), line={"width": 0}, hoverinfo="skip", showlegend=False,
                       name=f"{look.title}: 95%", **more)


def ring(figure: go.Figure, found: Mapping[str, Bins], marked: tuple[str, int] | None, across, up, **more) -> None:
    """A ring around the bin whose examples are shown."""
    if marked is None or marked[0] not in found or not 0 <= marked[1] < len(found[marked[0]].count):
        return
    seen, i = found[marked[0]], marked[1]
    if seen.count[i]:
        figure.add_scatter(x=[float(across(seen.confidence[i]))], y=[float(up(seen)[i])], mode="markers", name="shown below",
                           showlegend=False, hoverinfo="skip", cliponaxis=False, **more,
                           marker={"size": 17, "symbol": "circle-open", "color": "#ff3b30", "line": {"width": 3}})
