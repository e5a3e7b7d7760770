"""A surface as a contour map and as a relief. Both draw ``scale.height``: evenly spaced contours are the talk's levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from landscape.errors import unknown
from landscape.figures import style
from landscape.figures.levels import TOP, Scale
from landscape.results import METRICS, Mark, Profile, Surface

DISTANCE = "distance in weight space"
DETAILED = 20_000  # cells up to which the hover tells more than the value: a figure stays below 1 MB
LIFT = 0.015  # how far marks and curves float above the relief, in units of height
EYE = {"x": -0.24, "y": -0.8, "z": 1.3}  # high enough for the ridge in front not to hide the valley
SYMBOLS = {"bend": "diamond", "average": "star"}
TALL = 0.42  # height of the relief over its longer side


def contour(surface: Surface, metric: str, scale: Scale, name: str = "optima",
            profiles: Sequence[Profile] = (), lines: bool = True) -> go.Figure:
    """Filled contours of one metric on the plane ``name`` (``optima``, ``bezier``, ``chain``), with its curves if ``lines``.

    Draws z (Y, X) = ``scale.height``, with the value itself in customdata; cells that are not known stay empty.
    ``layout.meta["walkers"]`` holds the hidden marker and the paths it can walk (those of ``profiles`` in this plane).
    """
    _known(surface, metric)
    data, words, template = _hover(surface, metric)
    figure = go.Figure(go.Contour(
        x=f32(surface.axes[0]), y=f32(surface.axes[1]), z=f32(scale.height(surface.values[metric]).T), customdata=data,
        text=words, hovertemplate=template, zmin=0, zmax=1, colorscale=_flat_colors(scale),
        showscale=False, connectgaps=False,
        contours={"start": scale.step, "end": TOP + 1e-9, "size": scale.step, "coloring": "fill"},
        line={"width": 0.7, "color": "rgba(12,14,24,0.45)", "smoothing": 0.9}, name=METRICS[metric]))
    paths = _paths(surface, name, profiles) if lines else {}
    for kind, xy in paths.items():
        for line in _cased(kind):
            figure.add_scatter(x=f32(xy[:, 0]), y=f32(xy[:, 1]), mode="lines", line=line, hoverinfo="skip",
                               showlegend=False)
    figure.add_trace(marked(surface.marks))
    figure.add_trace(_bar(scale, metric, go.Scatter))
    _walker(figure, _walks(name, profiles), go.Scatter)
    x, y = ((float(a[0]), float(a[-1])) for a in surface.axes)
    figure.update_xaxes(style.axis(DISTANCE, range=x, constrain="domain", showgrid=False))
    figure.update_yaxes(style.axis(DISTANCE, range=y, constrain="domain", constraintoward="top", showgrid=False,
                                   scaleanchor="x", scaleratio=1))
    return style.layout(figure, showlegend=False, hovermode="closest")


def relief(surface: Surface, metric: str, scale: Scale, name: str = "optima",
           profiles: Sequence[Profile] = (), lines: bool = True) -> go.Figure:
    """The same as a landscape in three dimensions: z (Y, X) is ``scale.height``, its ticks are the levels' values."""
    _known(surface, metric)
    data, words, template = _hover(surface, metric)
    data, words = f32(data.swapaxes(0, 1)), None if words is None else words.T  # a scene looks them up as [x][y]
    x, y = surface.axes
    height = scale.height(surface.values[metric])
    figure = go.Figure(go.Surface(
        x=f32(x), y=f32(y), z=f32(height.T), customdata=data, text=words, hovertemplate=template, cmin=0, cmax=1,
        colorscale=style.smooth(TOP), showscale=False, connectgaps=False, name=METRICS[metric],
        contours={"z": {"show": True, "start": scale.step, "end": TOP + 1e-9, "size": scale.step, "width": 1.5,
                        "color": "rgba(12,14,24,0.55)", "highlight": False},
                  "x": {"highlight": False}, "y": {"highlight": False}},
        lighting={"ambient": 0.72, "diffuse": 0.55, "specular": 0.06, "roughness": 0.85, "fresnel": 0.05},
        lightposition={"x": -4000, "y": -2500, "z": 9000}))

    def above(xy):
        return bilinear(x, y, height, xy)

    for kind, xy in (_paths(surface, name, profiles) if lines else {}).items():
        xy = _finer(xy)
        for i, line in enumerate(_cased(kind, thick=1.5)):
            figure.add_scatter3d(x=f32(xy[:, 0]), y=f32(xy[:, 1]), z=f32(above(xy) + LIFT * (1 + 0.5 * i)), mode="lines",
                                 line=line | {"dash": style.KINDS[kind]["dash"] if i else "solid"}, hoverinfo="skip",
                                 showlegend=False)
    own = [np.fmax(scale.height(m.values[metric]), above(np.array([[m.x, m.y]]))[0]) for m in surface.marks]
    figure.add_trace(marked(surface.marks, np.array(own) + 4 * LIFT))
    figure.add_trace(_bar(scale, metric, go.Scatter3d))
    walks = _walks(name, profiles)
    for kind, path in walks.items():
        values = next(p.values.get(metric) for p in profiles if p.kind == kind)
        ground = above(np.stack([path["x"], path["y"]], axis=1))
        path["z"] = _rounded((ground if values is None else np.fmax(ground, scale.height(values))) + 2.5 * LIFT)
    _walker(figure, walks, go.Scatter3d)
    scene = _scene(surface, scale, height) | {"annotations": labelled(surface.marks, np.array(own) + 4 * LIFT)}
    return style.layout(figure, showlegend=False, scene=scene)


def _known(surface: Surface, metric: str) -> None:
    if metric not in METRICS or metric not in surface.values:
        raise unknown("metric of this surface", metric, [m for m in METRICS if m in surface.values])


def f32(values) -> np.ndarray:
    """As the browser takes arrays: contiguous, in single precision."""
    return np.ascontiguousarray(values, np.float32)


def _rounded(values) -> list:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def short(mark: Mark) -> str:
    """``w1`` of ``w1 (seed 0)``."""
    return mark.name.split(" (")[0]


def _hover(surface: Surface, metric: str) -> tuple[np.ndarray, np.ndarray | None, str]:
    """(customdata (Y, X, 1 + marks), words (Y, X), template): the value, how it is known, how far every mark is.

    Grids of more than ``DETAILED`` cells keep the value alone.
    """
    values, place = surface.values[metric], "<br>at (%{x:.2f}, %{y:.2f})"
    template = f"{METRICS[metric]} <b>%{{customdata[0]:.4g}}</b>"
    if values.size > DETAILED:
        return f32(values.T[..., None]), None, f"{template}{place}<extra></extra>"
    x, y = np.meshgrid(*surface.axes, indexing="ij")
    far = [np.sqrt((x - m.x) ** 2 + (y - m.y) ** 2 + m.residual**2) for m in surface.marks]
    distances = ", ".join(f"{short(m)} %{{customdata[{i}]:.4~g}}" for i, m in enumerate(surface.marks, start=1))
    words = np.where(surface.evaluated, "evaluated", "interpolated").T.astype(object)
    return (f32(np.stack([values, *far], axis=-1).transpose(1, 0, 2)), words,
            f"{template} (%{{text}}){place}{'<br>distance to ' if far else ''}{distances}<extra></extra>")


def _paths(surface: Surface, name: str, profiles: Sequence[Profile]) -> dict[str, np.ndarray]:
    """The lines of this plane, (T, 2) each: the straight segment between the first two marks, and the curve in it."""
    found = {p.kind: np.asarray(p.positions[name]) for p in profiles if name in p.positions}
    if surface.path is not None:
        found[name if name in style.KINDS else "bezier"] = np.asarray(surface.path)
    if "segment" not in found and len(surface.marks) > 1:
        ends = np.array([[m.x, m.y] for m in surface.marks[:2]])
        found["segment"] = ends[0] + np.linspace(0, 1, 61)[:, None] * (ends[1] - ends[0])
    return {kind: found[kind] for kind in style.KINDS if kind in found}


def _cased(kind: str, thick: float = 1.0) -> list[dict]:
    """A line's dark casing and its light core: it reads on every colour of the ramp."""
    wide = 2.0 if kind == "segment" else 3.5
    dash = {"dash": "6px,5px"} if kind == "segment" and thick == 1.0 else {}
    if kind == "segment":
        return [{"color": color, "width": w * thick, **dash} for color, w in ((style.INK, wide + 2), (style.PAPER, wide))]
    return [{"color": style.INK, "width": (wide + 2.4) * thick}, {"color": style.PAPER, "width": wide * thick}]


def marked(marks: Sequence[Mark], z: np.ndarray | None = None):
    """Circles for networks, diamonds for bends, stars for averages; the hover tells their own values, evaluated directly."""
    lines = [f"<b>{m.name}</b>" + (f"<br>{m.residual:.3g} outside the plane" if m.residual else "") + "".join(
        f"<br>{title} {m.values[key]:.4g}" for key, title in METRICS.items() if key in m.values) for m in marks]
    given = {"x": [m.x for m in marks], "y": [m.y for m in marks], "text": [short(m) for m in marks],
             "hovertext": lines, "hovertemplate": "%{hovertext}<extra></extra>", "showlegend": False, "name": "marks"}
    symbols = [SYMBOLS.get(m.kind, "circle") if z is None else "diamond" if m.kind in SYMBOLS else "circle" for m in marks]
    look = {"color": style.PAPER, "symbol": symbols, "line": {"width": 2, "color": style.INK}}
    if z is None:
        sizes = {"size": [16 if m.kind == "average" else 11 for m in marks]}
        return go.Scatter(**given, mode="markers+text", marker=look | sizes, textposition="top center", textfont=style.LABEL)
    return go.Scatter3d(**given, mode="markers", z=_rounded(z), marker=look | {"size": 6})


def labelled(marks: Sequence[Mark], z: np.ndarray) -> list[dict]:
    """Names above the marks of a relief. Annotations, as text in the scene would be cut by the slopes around it."""
    return [{"x": m.x, "y": m.y, "z": at, "text": short(m), "showarrow": False, "yshift": 17, "font": style.LABEL}
            for m, at in zip(marks, _rounded(z), strict=True) if at is not None]


def _bar(scale: Scale, metric: str, kind):
    """An empty trace that carries the colour bar: the levels in their values, and the band above them when it is used."""
    ticks = [scale.step * i for i in range(scale.n + 1)] + ([(1 + TOP) / 2] if scale.clipped else [])
    colors = style.banded(scale.n, TOP) if kind is go.Scatter else style.smooth(TOP)
    if not scale.clipped:
        colors = [(min(t / TOP, 1.0), c) for t, c in colors if t <= TOP and c != style.BEYOND]
    place = {"z": [None]} if kind is go.Scatter3d else {}
    return kind(x=[None], y=[None], **place, mode="markers", hoverinfo="skip", showlegend=False, name="levels", marker={
        "color": [0], "cmin": 0, "cmax": 1 if scale.clipped else TOP, "colorscale": colors, "showscale": True, "colorbar": {
            "tickvals": ticks, "ticktext": scale.labels, "outlinewidth": 0,
            "title": {"text": METRICS[metric], "side": "top"},
            "thickness": 13, "len": 0.9, "y": 1, "yanchor": "top",
            "ticks": "outside", "ticklen": 3, "tickcolor": style.AXIS, "x": 1.01, "xpad": 4}})


def _flat_colors(scale: Scale) -> list[tuple[float, str]]:
    """Contour fills take the scale at evenly spaced places, one per band: n below the highest level, one above."""
    return [(i / scale.n, style.ramp(i / (scale.n - 1))) for i in range(scale.n)] + [(1.0, style.BEYOND)]


def _walks(name: str, profiles: Sequence[Profile]) -> dict[str, dict[str, list]]:
    return {p.kind: {"x": _rounded(p.positions[name][:, 0]), "y": _rounded(p.positions[name][:, 1])}
            for p in profiles if name in p.positions}


def _walker(figure: go.Figure, walks: dict[str, dict[str, list]], kind) -> None:
    """One marker, hidden until the browser moves it along one of ``walks``."""
    start = {axis: at[:1] for axis, at in next(iter(walks.values()), {}).items()}
    solid = kind is go.Scatter3d
    figure.add_trace(kind(**(start or {"x": [None], "y": [None], **({"z": [None]} if solid else {})}), mode="markers",
                          name="walker", visible=False, hoverinfo="skip", showlegend=False, marker={
        **style.WALKER, "size": 8 if solid else 15}))
    figure.layout.meta = {"walkers": [{"trace": len(figure.data) - 1, "paths": walks}]}


def _scene(surface: Surface, scale: Scale, height: np.ndarray) -> dict:
    """Side lengths in true proportion; height ticks are values; the camera looks into the valley."""
    sides = [float(a[-1] - a[0]) for a in surface.axes]
    ticks = [0, *range(3, scale.n + 1, 2)]  # every second level: all of them are in the colour bar
    known = height[np.isfinite(height)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    shown = {"backgroundcolor": "rgba(0,0,0,0)", "showbackground": False, "gridcolor": style.SCENE, "zeroline": False,
             "showspikes": False, "linecolor": style.SCENE, "tickcolor": style.SCENE, "tickfont": {"size": 10}}
    return {"xaxis": shown | {"title": {"text": DISTANCE}}, "yaxis": shown | {"title": {"text": DISTANCE}},
            "zaxis": shown | {"title": {"text": ""}, "tickvals": _rounded(scale.height(scale.levels[ticks])),
                              "ticktext": [scale.labels[i] for i in ticks],
                              "range": [low - 0.02, max(high, TOP) + 10 * LIFT]},
            "aspectmode": "manual", "aspectratio": {"x": sides[0] / max(sides), "y": sides[1] / max(sides), "z": TALL},
            "camera": {"eye": EYE, "center": {"x": 0, "y": 0, "z": -0.14}}, "dragmode": "turntable"}


def _finer(xy: np.ndarray, times: int = 4) -> np.ndarray:
    at = np.linspace(0, len(xy) - 1, times * (len(xy) - 1) + 1)
    return np.stack([np.interp(at, np.arange(len(xy)), xy[:, i]) for i in range(2)], axis=1)


def bilinear(x: np.ndarray, y: np.ndarray, z: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Heights z (X, Y) at the points xy (T, 2), bilinear, as the drawn surface is; NaN where a corner is not known."""
    i = np.clip(np.searchsorted(x, xy[:, 0], side="right") - 1, 0, len(x) - 2)
    j = np.clip(np.searchsorted(y, xy[:, 1], side="right") - 1, 0, len(y) - 2)
    u, v = (xy[:, 0] - x[i]) / (x[i + 1] - x[i]), (xy[:, 1] - y[j]) / (y[j + 1] - y[j])
    u, v = np.clip(u, 0, 1), np.clip(v, 0, 1)
    return ((1 - u) * (1 - v) * z[i, j] + u * (1 - v) * z[i + 1, j] + (1 - u) * v * z[i, j + 1] + u * v * z[i + 1, j + 1])
