"""Principal components of a family of networks, always beside those of a random walk (Antognini & Sohl-Dickstein 2018).

A walk without any aim, in as many dimensions and steps, already puts about 60% of its variance into one component and
draws smooth arcs: only what differs from it says something about the networks.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.figures import style
from landscape.figures.matrix import short_names
from landscape.results import Components

SHOWN = 10  # components that are drawn
LETTER, LINE = 0.02, 0.07  # width of a letter and height of a line of text, in widths of a map
OWN, NULL = "#e8590c", "#8b93a1"
WALK = "random walk"


def explained(result: Components) -> go.Figure:
    """Share of the variance of each component: the networks' beside the random walk's."""
    k = min(SHOWN, max(len(result.explained), len(result.null_explained)))
    figure = go.Figure()
    for title, shares, color in (("these networks", result.explained, OWN), (WALK, result.null_explained, NULL)):
        shares = np.asarray(shares, float)[:k]
        total = np.cumsum(shares)
        figure.add_bar(x=[f"PC{i + 1}" for i in range(len(shares))], y=100 * shares, name=title, marker={"color": color},
                       customdata=100 * total,
                       hovertemplate=f"{title}: %{{y:.1f}}%<br>with those before %{{customdata:.1f}}%<extra></extra>")
    figure.update_xaxes(style.axis())
    figure.update_yaxes(style.axis("% of the variance", rangemode="tozero"))
    figure.update_layout(barmode="group", bargap=0.28, meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def path(result: Components) -> go.Figure:
    """The networks in the plane of the first two components, and beside it a random walk of as many steps in its own.

    Distances are those of weight space for the networks; the walk is scaled to the same extent. Colour runs with the order.
    """
    own, null = _plane(result.coordinates), _plane(result.null_coordinates)
    size, other = np.ptp(own, axis=0).max(initial=0.0), np.ptp(null, axis=0).max(initial=0.0)
    null = null * (size / other if other > 0 else 1.0)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    names = short_names(result.names)
    for column, (points, title, labels) in enumerate(
            ((own, "these networks", names), (null, WALK, [f"step {i + 1}" for i in range(len(null))])), start=1):
        _arc(figure, points, title, labels, column)
        figure.update_xaxes(style.axis(f"PC1, {title}", range=_room(points[:, 0], size), constrain="domain"),
                            row=1, col=column)
        figure.update_yaxes(style.axis("PC2", range=_room(points[:, 1], size), scaleratio=1, constrain="domain",
                                       scaleanchor="x" if column == 1 else "x2"), row=1, col=column)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest", showlegend=False)


def against_order(result: Components, count: int = 3) -> go.Figure:
    """The first coordinates against the order of the networks, above; those of the random walk, below: cosines."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    both = ((result.coordinates, "these networks"), (result.null_coordinates, WALK))
    for row, (points, title) in enumerate(both, start=1):
        points = np.asarray(points, float)
        order = np.arange(1, len(points) + 1)
        for k in range(min(count, points.shape[1])):
            figure.add_scatter(x=order, y=points[:, k].astype(np.float32), mode="lines+markers", name=f"PC{k + 1}",
                               legendgroup=f"PC{k + 1}", showlegend=row == 1, row=row, col=1, marker={"size": 5},
                               line={"width": 2, "color": style.NETWORKS[k % len(style.NETWORKS)]},
                               hovertemplate=f"PC{k + 1} %{{y:.4~g}}<extra>{title}</extra>")
        figure.update_yaxes(style.axis(title), row=row, col=1)
    whole = {"dtick": 1} if len(result.names) <= 12 else {"tickformat": "d"}
    figure.update_xaxes(style.axis(**whole))
    figure.update_xaxes(title={"text": "order of the files"}, row=2, col=1)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def residuals(result: Components) -> go.Figure:
    """How far each network lies from the plane of the first two components: what the picture of the path leaves out."""
    away = np.asarray(result.residuals, float)
    names = short_names(result.names)
    place = np.arange(len(away))
    figure = go.Figure(go.Bar(x=place, y=away.astype(np.float32), name="outside the plane", customdata=list(result.names),
                              marker={"color": OWN}, width=0.5,
                              hovertemplate="%{customdata}<br>%{y:.4~g} outside the plane<extra></extra>"))
    few = len(names) <= 30
    figure.update_xaxes(style.axis(None if few else "order of the files", tickmode="array", tickvals=place if few else None,
                                   ticktext=names if few else None, tickfont={"size": 11},
                                   tickangle=-45 if len(names) > 4 else 0) if few else style.axis("order of the files"))
    figure.update_yaxes(style.axis("distance from the plane", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest", showlegend=False)


def in_words(result: Components) -> str:
    """What two components hold, what they hold of a random walk, and what the plane leaves out."""
    own, null = (float(np.sum(np.asarray(s, float)[:2])) for s in (result.explained, result.null_explained))
    steps = len(result.names)
    text = (f"The first two components hold {100 * own:.0f}% of the variance of these {steps} networks; of a {WALK} of "
            f"{steps} steps without any aim they hold {100 * null:.0f}%. ")
    if own <= null + 0.05:
        text += "Smooth arcs here are what chance draws too; the loss along them is what tells. "
    away = np.asarray(result.residuals, float)
    worst = int(np.argmax(away))
    return text + (f"Farthest from the plane: {short_names(result.names)[worst]}, by {away[worst]:.3g}. Origin: the "
                   f"{'mean of all' if result.origin == 'mean' else 'last network'}.")


def named(figure: go.Figure, labels: list[str]) -> go.Figure:
    """A surface's figure, its marks called by short ``labels``, as many as have room; the hover keeps the whole names."""
    (marks,) = [trace for trace in figure.data if trace.name == "marks"]
    notes = figure.layout.scene.annotations  # a relief's names
    points = np.stack([marks.x, marks.y], axis=1).astype(float)
    room = _roomy(points, labels, 1.6 if notes else 1.0)
    texts = [label if shown else "" for label, shown in zip(labels, room, strict=True)]
    at = {tuple(point): text for point, text in zip(points.tolist(), texts, strict=True)}
    for note in notes:
        note.text = at[float(note.x), float(note.y)]
    if not notes:
        low, high = figure.layout.xaxis.range
        reach = [LETTER * len(label) / 2 * (high - low) for label in labels]
        side = ["right" if x - w < low else "left" if x + w > high else "center"
                for (x, _), w in zip(points, reach, strict=True)]
        marks.update(text=texts, textposition=[f"top {where}" for where in side])
    return figure


def _roomy(points: np.ndarray, labels: list[str], apart: float) -> list[bool]:
    """Which points (T, 2) may carry their label without covering that of another: the first, the last, then in order."""
    size = max(float(np.ptp(points, axis=0).max(initial=0.0)), 1e-12)
    order = list(dict.fromkeys([0, len(points) - 1, *range(len(points))]))
    shown: list[int] = []
    for i in order:
        far = np.abs(points[shown] - points[i]) / (size * apart)
        width = [LETTER * (len(labels[i]) + len(labels[j])) / 2 for j in shown]
        if all(x > w or y > LINE for (x, y), w in zip(far, width, strict=True)):
            shown.append(i)
    return [i in shown for i in range(len(points))]


def _plane(coordinates) -> np.ndarray:
    """The first two columns (T, 2) of (T, K), zeros where there is no second component."""
    points = np.asarray(coordinates, float)
    return np.pad(points[:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))


def _room(values: np.ndarray, size: float) -> list[float]:
    """A range of one length for all panels, with room for names around the points."""
    middle, half = float(values.min() + values.max()) / 2, 0.62 * max(size, 1e-12)
    return [middle - half, middle + half]


def _arc(figure: go.Figure, points: np.ndarray, title: str, labels: list[str], column: int) -> None:
    """The points in their order, from dark to light; the first and the last carry their number."""
    colors = [style.ramp(1 - i / max(1, len(points) - 1)) for i in range(len(points))]
    last = len(points) - 1
    figure.add_scatter(x=points[:, 0].astype(np.float32), y=points[:, 1].astype(np.float32), name=title, row=1, col=column,
                       mode="lines+markers+text", text=[str(i + 1) if i in (0, last) else "" for i in range(last + 1)],
                       textposition="top center", line={"color": NULL, "width": 1.5}, cliponaxis=False, customdata=labels,
                       marker={"size": 9, "color": colors, "line": {"width": 1, "color": style.INK}},
                       hovertemplate="%{customdata}<br>(%{x:.4~g}, %{y:.4~g})<extra></extra>")
