"""Draws of methods on a plane of weight space: clouds in the colours of chains or methods, and ellipses of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from landscape.figures import methods, style
from landscape.figures import surface as surfaces
from landscape.results import Samples, Surface

MANY = 200  # draws from which they are drawn as small dots
DRAWN = 2000  # draws of one method that are drawn
OUTLINE = "rgba(20,23,31,0.85)"


@dataclass(frozen=True, eq=False)
class Cloud:
    """Draws of one colour: ``rows`` (n,) are their numbers among the draws of ``method``, ``points`` (n, 2) where they are;
    ``dense`` if there are many of the method."""

    method: str
    title: str
    color: str
    rows: np.ndarray
    points: np.ndarray
    dense: bool


def clouds(shown: dict[str, Samples], chains: bool) -> list[Cloud]:
    """What is drawn, at most ``DRAWN`` draws a method; one cloud a chain where a single method is shown and asked to."""
    found = []
    for name in methods.ordered(shown):
        plane, chain = np.asarray(shown[name].plane, float), np.asarray(shown[name].chain)
        rows = np.arange(0, len(plane), max(1, -(-len(plane) // DRAWN)))
        rows, look = rows[np.isfinite(plane[rows]).all(axis=1)], methods.look(name)
        numbers = np.unique(chain)
        if not (chains and len(shown) == 1 and len(numbers) > 1):
            found.append(Cloud(name, look.title, look.color, rows, plane[rows], len(rows) > MANY))
            continue
        for i, c in enumerate(numbers):
            own = rows[chain[rows] == c]
            color = style.NETWORKS[i % len(style.NETWORKS)]
            found.append(Cloud(name, f"chain {int(c) + 1}", color, own, plane[own], len(rows) > MANY))
    return found


def on_map(cloud: Cloud) -> go.Scatter:
    return go.Scatter(
        x=surfaces.f32(cloud.points[:, 0]),
        y=surfaces.f32(cloud.points[:, 1]),
        mode="markers",
        name=cloud.title,
        legendgroup=cloud.method,
        meta={"draws": cloud.method},
        customdata=cloud.rows.astype(np.int32),
        marker={
            "size": 4.5 if cloud.dense else 7,
            "color": cloud.color,
            "opacity": 0.9,
            "line": {"width": 0.6 if cloud.dense else 1.2, "color": OUTLINE if cloud.dense else style.PAPER},
        },
        hovertemplate=f"{cloud.title}, draw %{{customdata}}<br>(%{{x:.3g}}, %{{y:.3g}})<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.2}},
    )


def in_scene(figure: go.Figure, surface: Surface, height: np.ndarray, cloud: Cloud) -> None:
    """The draws on the relief; those beside it cannot be drawn there."""
    (x, y), points = surface.axes, cloud.points
    inside = ((points >= [x[0], y[0]]) & (points <= [x[-1], y[-1]])).all(axis=1)
    at = points[inside]
    figure.add_scatter3d(
        x=surfaces.f32(at[:, 0]),
        y=surfaces.f32(at[:, 1]),
        z=surfaces.f32(surfaces.bilinear(x, y, height, at) + surfaces.LIFT),
        mode="markers",
        name=cloud.title,
        meta={"draws": cloud.method},
        customdata=cloud.rows[inside].astype(np.int32),
        hovertemplate=f"{cloud.title}, draw %{{customdata}}<extra></extra>",
        marker={"size": 3.4, "color": cloud.color, "line": {"width": 0.5, "color": OUTLINE}},
    )


def outline(figure: go.Figure, shown: dict[str, Samples]) -> None:
    """The two-sigma ellipse of every method whose draws are of one Gaussian."""
    for name in methods.ordered(set(shown) & set(methods.GAUSSIAN)):
        points, look = methods.ellipse(shown[name]), methods.look(name)
        for line in ({"color": style.PAPER, "width": 4.2}, {"color": look.color, "width": 2.4}):
            figure.add_scatter(
                x=surfaces.f32(points[:, 0]),
                y=surfaces.f32(points[:, 1]),
                mode="lines",
                line=line,
                name=f"{look.title}, two sigma",
                showlegend=False,
                hoverinfo="skip",
            )
