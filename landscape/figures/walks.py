"""SGD's walk on a plane, step by step, and two metrics of one plane with the way between their minima."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures import surface as surfaces
from landscape.figures.levels import Scale
from landscape.results import METRICS, Mark, Surface

LIFT = 3 * surfaces.LIFT
TRAIL = ARROW = "#ff3b30"
STEPS = "steps of a filter-normalised direction"
TRAIL_BARS = "#e8590c"


def walk(surface: Surface, metric: str, scale: Scale, name: str = "walk", relief: bool = False) -> go.Figure:
    """A surface with the snapshots of a run in their order (``surface.path``, T by 2); ``meta["walkers"]`` can reveal them.

    ``info["steps"]`` (epochs of the points) and ``info["path_residuals"]`` (their distances from the plane) are hovered.
    """
    figure = (surfaces.relief if relief else surfaces.contour)(surface, metric, scale, name, lines=False)
    _named(figure, surface)
    if surface.info.get("units") == "direction":
        figure.update_xaxes(title={"text": STEPS}).update_yaxes(title={"text": STEPS})
        if relief:
            figure.update_scenes(xaxis_title={"text": STEPS}, yaxis_title={"text": STEPS})
    if surface.path is None or not len(surface.path):
        figure.layout.meta = {"walkers": []}
        return figure
    path = np.asarray(surface.path, float)
    x, y = path.T
    given = {"x": x.astype(np.float32), "y": y.astype(np.float32), "name": "walk", "showlegend": False,
             "hovertext": _steps(surface), "hovertemplate": "%{hovertext}<extra></extra>"}
    colors = [style.mix("#ffffff", TRAIL, 0.25 + 0.75 * i / max(1, len(path) - 1)) for i in range(len(path))]
    trail = {"x": _rounded(x), "y": _rounded(y), "colors": colors}
    if relief:
        height = surfaces.bilinear(*surface.axes, scale.height(surface.values[metric]), path) + LIFT
        trail["z"] = _rounded(height)
        figure.add_scatter3d(**given, z=height.astype(np.float32), mode="lines+markers",
                             line={"color": style.PAPER, "width": 5}, marker={"size": 4, "color": colors})
    else:
        figure.add_scatter(**given, mode="lines+markers", line={"color": style.PAPER, "width": 2},
                           marker={"size": 7, "color": colors, "line": {"width": 1, "color": style.INK}})
    at = len(figure.data) - 1
    figure.data = (figure.data[0], figure.data[at], *figure.data[1:at])  # below the marks
    figure.layout.meta = {"walkers": [{"trace": 1, "trail": trail}]}
    return figure


def twin(surface: Surface, metric: str, scale: Scale, relief: bool = False) -> go.Figure:
    """One metric of the plane through W_SGD, W_SWA and their start, with an arrow from the lowest train loss to the lowest
    test error on this very grid (``info["minima"]``)."""
    figure = (surfaces.relief if relief else surfaces.contour)(surface, metric, scale, "twin", lines=False)
    _named(figure, surface)
    figure.layout.meta = {"walkers": []}
    ends = ends_of(surface)
    if ends is None:
        return figure
    (a, b), points = ends, np.array([[e["x"], e["y"]] for e in ends])
    if relief:
        height = surfaces.bilinear(*surface.axes, scale.height(surface.values[metric]), points) + LIFT
        figure.add_scatter3d(x=points[:, 0], y=points[:, 1], z=height, mode="lines+markers", name="minima", showlegend=False,
                             line={"color": ARROW, "width": 8}, marker={"size": [3, 7], "color": ARROW},
                             hovertext=_minima(surface), hovertemplate="%{hovertext}<extra></extra>")
        return figure
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="markers", name="minima", showlegend=False,
                       hovertext=_minima(surface), hovertemplate="%{hovertext}<extra></extra>",
                       marker={"size": [9, 1], "color": ARROW, "line": {"width": 1.5, "color": style.PAPER}})
    if a != b:
        arrow = {"x": b["x"], "y": b["y"], "ax": a["x"], "ay": a["y"], "xref": "x", "yref": "y", "axref": "x", "ayref": "y",
                 "showarrow": True, "text": ""}
        figure.add_annotation(**arrow, arrowwidth=5.4, arrowcolor=style.PAPER, arrowhead=0)
        figure.add_annotation(**arrow, arrowwidth=2.6, arrowcolor=ARROW, arrowhead=2, arrowsize=1.2)
    return figure


def ends_of(surface: Surface, first: str = "train_loss", second: str = "test_error") -> tuple[dict, dict] | None:
    """Where the surface has its minimum of each metric, None where that was not read off."""
    minima = surface.info.get("minima") or {}
    return (minima[first], minima[second]) if first in minima and second in minima else None


def shift_in_words(surface: Surface) -> str:
    """How far the lowest test error lies from the lowest train loss, and what each mark has of both."""
    ends = ends_of(surface)
    if ends is None:
        return ""
    a, b = ends
    far = float(np.hypot(a["x"] - b["x"], a["y"] - b["y"]))
    if not far:
        return "The lowest train loss and the lowest test error of this plane are the same network."
    text = (f"The lowest test error of this plane ({100 * b['value']:.1f}%) lies {far:.2g} away from its lowest train loss "
            f"({a['value']:.3g}).")
    near = {m.name: np.hypot(m.x - b["x"], m.y - b["y"]) for m in surface.marks if m.name in ("W_SGD", "W_SWA")}
    if len(near) == 2:
        first = min(near, key=near.get)
        other = max(near, key=near.get)
        text += f" {first} is nearer to it than {other} ({near[first]:.2g} against {near[other]:.2g})."
    return text


def compared_in_words(pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Which of SGD and SWA is lower in each metric, in how many seeds; ``pairs`` maps a metric to values (K,) of each."""
    said = []
    for metric, (sgd, swa) in pairs.items():
        known = np.isfinite(sgd) & np.isfinite(swa)
        a, b = np.asarray(sgd, float)[known], np.asarray(swa, float)[known]
        if not len(a):
            continue
        lower, n = int((b < a).sum()), len(a)
        who = "SWA" if b.mean() < a.mean() else "SGD"
        count = lower if who == "SWA" else int((a < b).sum())
        unit = (lambda v: f"{100 * v:.1f}%") if metric.endswith("error") else (lambda v: f"{v:.3g}")
        spread = f" ± {unit(np.std(b - a, ddof=1))}" if n > 1 else ""
        apart = unit((b - a).mean()).replace("-", "−")
        said.append(f"**{who} has the lower {METRICS.get(metric, metric)}** in {count} of {n} seeds: "
                    f"SGD {unit(a.mean())}, SWA {unit(b.mean())}, difference {apart}{spread}")
    return ". ".join(said) + "." if said else ""


def distances_in_words(surface: Surface) -> str:
    """How far the snapshots lie from the plane on which they are drawn."""
    away = np.asarray(surface.info.get("path_residuals", ()), float)
    if not len(away):
        return ""
    steps = np.asarray(surface.info.get("steps", range(len(away))), float)
    inside, worst = int((away < 1e-6 * max(1.0, float(np.ptp(surface.axes[0])))).sum()), int(np.nanargmax(away))
    if inside == len(away):
        return f"All {inside} snapshots lie in this plane."
    exact = f"{inside} of {len(away)} snapshots lie in this plane; the others" if inside else \
        f"None of the {len(away)} snapshots lies in this plane: they"
    return (f"{exact} are drawn where their foot falls, up to {away[worst]:.3g} away (epoch {steps[worst]:g}), so the "
            "surface there is not their own.")


def residuals(names: tuple[str, ...], away: np.ndarray) -> go.Figure:
    """The distance of each snapshot from the plane of the first two components, over its epoch."""
    epochs = [_epoch(name, i) for i, name in enumerate(names)]
    figure = go.Figure(go.Bar(x=epochs, y=np.asarray(away, np.float32), name="outside the plane",
                              marker={"color": TRAIL_BARS},
                              hovertemplate="epoch %{x:g}: %{y:.3~g} outside the plane<extra></extra>"))
    figure.update_xaxes(style.axis("epoch"))
    figure.update_yaxes(style.axis("distance from the plane", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []}, bargap=0.35)
    return style.layout(figure, hovermode="closest", showlegend=False)


def _epoch(name: str, place: int) -> float:
    """``31`` of ``epoch 31``; the place in the row of a name without a number."""
    try:
        return float(name.rsplit(" ", 1)[-1])
    except ValueError:
        return float(place)


def pretty(name: str) -> str:
    """``W_SWA`` with its index below the line; of ``W_SWA of W1, W2, W3`` what is before the "of"."""
    head, _, tail = name.partition(" of ")[0].partition("_")
    return f"{head}<sub>{tail}</sub>" if tail and len(head) == 1 else name


def _named(figure: go.Figure, surface: Surface) -> None:
    (marks,) = [trace for trace in figure.data if trace.name == "marks"]
    labels = [pretty(surfaces.short(mark)) for mark in surface.marks]
    marks.text = labels
    if isinstance(marks, go.Scatter):
        marks.textposition = _sides(surface.marks)
    for note, label in zip(figure.layout.scene.annotations, labels, strict=False):
        note.text = label


def _sides(marks: tuple[Mark, ...]) -> list[str]:
    """Names of the lower marks below them, those of the others above: so they lead away from the middle."""
    middle = float(np.mean([mark.y for mark in marks])) if marks else 0.0
    return ["bottom center" if mark.y < middle and mark.kind != "average" else "top center" for mark in marks]


def _steps(surface: Surface) -> list[str]:
    n = len(surface.path)
    steps, away = surface.info.get("steps"), surface.info.get("path_residuals")
    said = [f"<b>epoch {float(e):g}</b>" for e in steps] if steps is not None and len(steps) == n else \
        [f"<b>snapshot {i + 1}</b>" for i in range(n)]
    if away is not None and len(away) == n:
        said = [f"{text}<br>{float(d):.3g} outside the plane" for text, d in zip(said, away, strict=True)]
    return said


def _minima(surface: Surface) -> list[str]:
    return [f"lowest {METRICS[m]} of this plane<br><b>{e['value']:.4g}</b>"
            for m, e in zip(("train_loss", "test_error"), ends_of(surface), strict=True)]


def _rounded(values) -> list:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, float)]
