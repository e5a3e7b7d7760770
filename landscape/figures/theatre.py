"""The theatre: the exact posterior of a plane of weight space, and the draws of the methods that explore it."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.errors import unknown
from landscape.figures import coordinates, draws, style, walks
from landscape.figures import surface as surfaces
from landscape.figures.levels import TOP, Scale, common_scale
from landscape.results import Samples, Surface

VALUES = {"log_density": "log density", "density": "density", "train_nll": "train NLL"}
BELOW = {"log_density": "nats below the mode", "density": "density, share of its mode", "train_nll": "train NLL"}
SHARES = (50, 90, 99)  # per cent of the mass inside the lines
CAP = 32.0  # nats below the mode from which the picture is one colour
BACK = 1.1  # so much farther away than elsewhere: these axes have names below them
IN_SCENE = {"l": 8, "r": 8, "t": 8, "b": 8}  # a scene holds its own axes
FADED = 0.78  # of the map, where draws lie on it


def theatre(
    surface: Surface,
    shown: dict[str, Samples],
    value: str = "log_density",
    relief: bool = False,
    chains: bool = True,
    lasso: bool = False,
    small: bool = False,
) -> go.Figure:
    """One of ``VALUES`` on the plane, lines around 50, 90 and 99% of the mass, and the draws of the methods ``shown``.

    With ``chains`` every chain of a single method has a colour of its own, else every method. ``lasso``: dragging paints a
    region. ``small``: one of several beside each other, without names of axes and lines.
    """
    if value not in VALUES or value not in surface.values:
        raise unknown("value of the theatre", value, [v for v in VALUES if v in surface.values])
    if relief:
        return _relief(surface, shown, value, chains)
    figure = _map(surface, shown, value, chains)
    figure.update_layout(
        dragmode="lasso" if lasso else "zoom",
        newselection={"line": {"color": style.WALKER["color"], "width": 2, "dash": "solid"}},
    )
    if small:
        figure.layout.annotations = ()
        figure.update_layout(showlegend=False, margin={"l": 34, "r": 6, "t": 6, "b": 28})
        figure.update_xaxes(title=None).update_yaxes(title=None)
    return figure


def scale_of(surface: Surface, value: str) -> Scale:
    """Levels of a value: each doubles the distance from the mode (or the excess over the lowest NLL)."""
    if value == "density":
        return common_scale([1 - _share(surface)], None)
    if value == "log_density":
        return common_scale([depth(surface)], CAP)
    return common_scale([np.asarray(surface.values[value])], (surface.info.get("cap") or {}).get(value))


def depth(surface: Surface) -> np.ndarray:
    """(X, Y) nats below the highest cell."""
    found = np.asarray(surface.values["log_density"], float)
    return (np.nanmax(found) if np.isfinite(found).any() else 0.0) - found


def mass_levels(surface: Surface, shares=SHARES) -> dict[int, float]:
    """Depth (nats below the mode) of the line that holds each share of the mass of the grid, in per cent."""
    found = depth(surface)
    known = np.sort(found[np.isfinite(found)])
    if not known.size:
        return {}
    mass = np.cumsum(np.exp(-known))
    return {share: float(known[min(np.searchsorted(mass, share / 100 * mass[-1]), len(known) - 1)]) for share in shares}


def border_mass(surface: Surface) -> float:
    """Share of the grid's mass in its outermost cells: where it is not small, the plane is cut off too early."""
    p = np.nan_to_num(np.exp(-depth(surface)))
    return float((p.sum() - p[1:-1, 1:-1].sum()) / max(p.sum(), 1e-300))


def _share(surface: Surface) -> np.ndarray:
    return np.exp(-depth(surface))


def _heights(surface: Surface, value: str, scale: Scale) -> np.ndarray:
    """(X, Y) what is drawn: posterior densities as hills, a loss as valleys."""
    if value == "density":
        return _share(surface) * TOP
    if value == "log_density":
        return TOP - np.minimum(scale.height(depth(surface)), TOP)
    return scale.height(surface.values[value])


def _map(surface: Surface, shown: dict[str, Samples], value: str, chains: bool) -> go.Figure:
    scale = scale_of(surface, value)
    z, step = _heights(surface, value, scale), scale.step
    hills = value != "train_nll"
    colors = _reversed(scale) if hills else style.banded(scale.n, TOP)
    data = surfaces.f32(_told(surface, value).transpose(1, 0, 2))
    figure = go.Figure(
        go.Contour(
            x=surfaces.f32(surface.axes[0]),
            y=surfaces.f32(surface.axes[1]),
            z=surfaces.f32(z.T),
            customdata=data,
            zmin=0,
            zmax=TOP if hills else 1,
            colorscale=colors,
            showscale=False,
            connectgaps=False,
            name=BELOW[value],
            opacity=FADED if shown else 1,
            hovertemplate=_hover(surface, value),
            contours={"start": step, "end": TOP + 1e-9, "size": step, "coloring": "fill"},
            line={"width": 0.5, "color": "rgba(12,14,24,0.35)", "smoothing": 0.9},
        )
    )
    _mass(figure, surface)
    for cloud in draws.clouds(shown, chains):
        figure.add_trace(draws.on_map(cloud))
    draws.outline(figure, shown)
    figure.add_trace(_named(surface))
    for axis, update, more in ((0, figure.update_xaxes, {}), (1, figure.update_yaxes, coordinates.aspect(surface))):
        ends = [float(surface.axes[axis][0]), float(surface.axes[axis][-1])]
        update(style.axis(coordinates.axis_title(surface, axis), range=ends, constrain="domain", showgrid=False, **more))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, showlegend=len(shown) > 1, hovermode="closest")


def _reversed(scale: Scale) -> list[tuple[float, str]]:
    """Flat bands for hills: the top is lit, as valleys are where a loss is drawn."""
    n = scale.n
    colors = [style.ramp(1 - i / (n - 1)) for i in range(n)]
    return [(edge, c) for i, c in enumerate(colors) for edge in (i / n, (i + 1) / n)]


def _told(surface: Surface, value: str) -> np.ndarray:
    """(X, Y, 2): the value as it is read out, then the train NLL where it is known."""
    nll = np.asarray(surface.values.get("train_nll", np.full(surface.values[value].shape, np.nan)), float)
    own = {"log_density": depth(surface), "density": _share(surface)}.get(value, nll)
    return np.stack([own, nll], axis=-1)


def _hover(surface: Surface, value: str) -> str:
    text = f"<b>%{{customdata[0]:.3g}}</b> {BELOW[value]}"
    if value != "train_nll" and "train_nll" in surface.values:
        text += "<br>train NLL %{customdata[1]:.4g}"
    return f"{text}<br>at (%{{x:.3g}}, %{{y:.3g}})<extra></extra>"


def _mass(figure: go.Figure, surface: Surface) -> None:
    """White lines around the shares of the mass, each with its number."""
    found = depth(surface)
    for share, level in mass_levels(surface).items():
        if not level > 0:
            continue  # less than a cell: nothing to go around
        for color, width in (("rgba(20,23,31,0.75)", 3.4), (style.PAPER, 1.6)):
            figure.add_contour(
                x=surfaces.f32(surface.axes[0]),
                y=surfaces.f32(surface.axes[1]),
                z=surfaces.f32(found.T),
                contours={"start": level, "end": level, "size": 1, "coloring": "none"},
                showscale=False,
                line={"color": color, "width": width, "smoothing": 0.9},
                hoverinfo="skip",
                name=f"{share}% of the mass",
                showlegend=False,
            )
        at = _outermost(surface, found, level)
        if at is not None:
            figure.add_annotation(x=at[0], y=at[1], text=f"{share}%", showarrow=False, font={**style.LABEL, "size": 12})


def _outermost(surface: Surface, found: np.ndarray, level: float) -> tuple[float, float] | None:
    """The highest point of the region inside a line, where its number is written."""
    inside = np.argwhere(found <= level)
    if not len(inside):
        return None
    i, j = inside[inside[:, 1].argmax()]
    return float(surface.axes[0][i]), float(surface.axes[1][j])


def loss(surface: Surface, metric: str, scale: Scale, shown: dict[str, Samples], relief: bool = False) -> go.Figure:
    """The loss on the plane of the theatre, with SGD's walk, the draws of the methods ``shown`` and their ellipses."""
    if surface.info.get("subspace") == "curve":  # the line is a curve of low loss, no walk
        figure = (surfaces.relief if relief else surfaces.contour)(surface, metric, scale, "bezier")
    else:
        figure = walks.walk(surface, metric, scale, "loss", relief)
    if relief:
        height = scale.height(surface.values[metric])
        for cloud in draws.clouds(shown, False):
            draws.in_scene(figure, surface, height, cloud)
        figure.update_scenes(
            xaxis_title=coordinates.scene_title(surface, 0),
            yaxis_title=coordinates.scene_title(surface, 1),
            aspectratio=coordinates.sides(surface) | {"z": surfaces.TALL},
            camera={"eye": {axis: BACK * at for axis, at in surfaces.EYE.items()}},
        )
        figure.update_layout(margin=IN_SCENE)
        return figure
    for cloud in draws.clouds(shown, False):
        figure.add_trace(draws.on_map(cloud))
    draws.outline(figure, shown)
    figure.update_xaxes(title={"text": coordinates.axis_title(surface, 0)})
    figure.update_yaxes(title={"text": coordinates.axis_title(surface, 1)}, **coordinates.aspect(surface))
    return figure


def _relief(surface: Surface, shown: dict[str, Samples], value: str, chains: bool) -> go.Figure:
    scale = scale_of(surface, value)
    z, (x, y) = _heights(surface, value, scale), surface.axes
    hills = value != "train_nll"
    steps = [(i / 28, style.ramp(1 - i / 28)) for i in range(29)] if hills else style.smooth(TOP)
    figure = go.Figure(
        go.Surface(
            x=surfaces.f32(x),
            y=surfaces.f32(y),
            z=surfaces.f32(z.T),
            customdata=surfaces.f32(_told(surface, value)),
            colorscale=steps,
            cmin=0,
            cmax=TOP if hills else 1,
            showscale=False,
            name=BELOW[value],
            hovertemplate=_hover(surface, value),
            contours={
                "z": {
                    "show": True,
                    "start": scale.step,
                    "end": TOP + 1e-9,
                    "size": scale.step,
                    "width": 1.5,
                    "color": "rgba(12,14,24,0.5)",
                    "highlight": False,
                },
                "x": {"highlight": False},
                "y": {"highlight": False},
            },
            lighting={"ambient": 0.74, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9, "fresnel": 0.05},
            lightposition={"x": -4000, "y": -2500, "z": 9000},
        )
    )
    for cloud in draws.clouds(shown, chains):
        draws.in_scene(figure, surface, z, cloud)
    own = np.array([surfaces.bilinear(x, y, z, np.array([[m.x, m.y]]))[0] for m in surface.marks]) + 3 * surfaces.LIFT
    figure.add_trace(_named(surface, own))
    figure.update_layout(meta={"walkers": []})
    scene = _stage(surface, value, scale, own)
    return style.layout(figure, showlegend=len(shown) > 1, scene=scene).update_layout(margin=IN_SCENE)


def _stage(surface: Surface, value: str, scale: Scale, own: np.ndarray) -> dict:
    """The scene: true proportions where both axes are distances, heights named in the value's own unit."""
    told = scale.levels[[0, 2, 4, 6, 7]]
    if value == "density":
        told = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        heights = told * TOP
    else:
        heights = TOP - scale.height(told) if value == "log_density" else scale.height(told)
    plain = {
        "showbackground": False,
        "gridcolor": style.SCENE,
        "zeroline": False,
        "showspikes": False,
        "linecolor": style.SCENE,
        "tickcolor": style.SCENE,
        "tickfont": {"size": 10},
    }
    return {
        "xaxis": plain | {"title": coordinates.scene_title(surface, 0)},
        "yaxis": plain | {"title": coordinates.scene_title(surface, 1)},
        "zaxis": plain
        | {
            "title": {"text": ""},
            "tickvals": [float(h) for h in heights],
            "ticktext": [f"{v:.2g}" for v in told],
            "range": [-0.03, TOP + 0.16],
        },
        "aspectmode": "manual",
        "aspectratio": coordinates.sides(surface) | {"z": 0.46},
        "camera": {"eye": {"x": -0.4, "y": -1.0, "z": 1.05}, "center": {"x": 0, "y": 0, "z": -0.14}},
        "dragmode": "turntable",
        "annotations": _labels(surface, own),
    }


def legend(scale: Scale, value: str) -> list[tuple[str, str]]:
    """(label, colour) of the bands in the order of a loss: the best first."""
    if value == "density":
        return [(f"{1 - i / scale.n:.2g}", style.ramp(i / (scale.n - 1))) for i in range(scale.n)]
    return [(scale.labels[i], style.ramp(i / (scale.n - 1))) for i in range(scale.n)]


def _named(surface: Surface, z: np.ndarray | None = None):
    """The marks by their names as they are written everywhere."""
    trace = surfaces.marked(surface.marks, z)
    trace.text = [walks.pretty(surfaces.short(mark)) for mark in surface.marks]
    return trace


def _labels(surface: Surface, z: np.ndarray) -> list[dict]:
    notes = surfaces.labelled(surface.marks, z)
    return [note | {"text": walks.pretty(note["text"])} for note in notes]
