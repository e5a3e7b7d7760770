"""Where the mass of a Gaussian in many dimensions is, and where SGD's iterates and their averages are (slide 19)."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.gap import decades
from landscape.results import Series

ONE, MEAN = "#3b8fd4", "#e8590c"
NAMES = {"measured radius": "averages of k of SGD's iterates", "gaussian": "Gaussian: √(d/k) σ",
         "independent": "if the iterates were independent"}
LOOKS = {"measured radius": (MEAN, "solid"), "gaussian": ("#8b93a1", "dash"), "independent": ("#2f9e6b", "dot")}


def radial_density(dimensions: int, radius: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Density of |x| for x of N(0, sigma^2 I) in so many dimensions: the chi distribution, exact in any dimension."""
    d, r = float(dimensions), np.asarray(radius, float) / sigma
    with np.errstate(divide="ignore"):
        power = (d - 1) * np.log(r) if dimensions > 1 else 0.0
    return np.exp(power - r * r / 2 - (d / 2 - 1) * math.log(2) - math.lgamma(d / 2)) / sigma


def gaussian(dimensions: int, k: int) -> go.Figure:
    """Distances of samples of N(0, I) from the centre, and of averages of k; with lines at sqrt(d) and sqrt(d/k)."""
    figure = go.Figure()
    top = math.sqrt(dimensions) * 1.08 + 4
    for count, color, title in ((1, ONE, "one sample"), (k, MEAN, f"average of {k}"))[: 1 if k == 1 else 2]:
        sigma = 1 / math.sqrt(count)
        centre = math.sqrt(max(dimensions - 1, 0)) * sigma
        near = np.linspace(max(0.0, centre - 5 * sigma), centre + 5 * sigma, 301)
        r = np.unique(np.concatenate([np.linspace(0, top, 101), near]))
        density = radial_density(dimensions, r, sigma)
        figure.add_scatter(x=r.astype(np.float32), y=(density / density.max()).astype(np.float32), mode="lines", name=title,
                           fill="tozeroy", fillcolor=style.clear(color, 0.2), line={"color": color, "width": 2.2},
                           hoverinfo="skip")
        radius = math.sqrt(dimensions / count)
        figure.add_vline(x=radius, line={"color": color, "width": 1.4, "dash": "dash"}, annotation={
            "text": f"{'√d' if count == 1 else '√(d/k)'} = {radius:.4g}", "showarrow": False, "yref": "paper",
            "y": 1.0 if count == 1 else 0.88, "xanchor": "right", "font": {"color": color, "size": 12}})
    figure.update_xaxes(style.axis("distance from the centre, in units of σ", range=[0, top]))
    figure.update_yaxes(style.axis("density, highest point 1", range=[0, 1.12], showticklabels=False))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode=False)


def radii(series: Series) -> go.Figure:
    """Distance from the centre against the number k of iterates that are averaged, measured and of a Gaussian."""
    x = np.asarray(series.x, float)
    figure = go.Figure()
    for name, values in series.values.items():
        values = np.asarray(values, float)
        if name not in LOOKS or values.shape != x.shape:
            continue
        color, dash = LOOKS[name]
        measured = dash == "solid"
        figure.add_scatter(x=x, y=values, mode="lines+markers" if measured else "lines", name=NAMES[name],
                           line={"color": color, "width": 2.4, "dash": dash},
                           marker={"size": 8, "color": style.PAPER, "line": {"width": 2.2, "color": color}},
                           hovertemplate="k = %{x:.0f}: %{y:.4~g}<extra>" + NAMES[name] + "</extra>")
    figure.update_xaxes(style.axis("number k of iterates that are averaged", type="log", **decades(x)))
    figure.update_yaxes(style.axis("distance from the mean of all", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def histogram(series: Series) -> go.Figure | None:
    """Distances of single iterates and of averages from the centre, beside a Gaussian's; None where none were kept."""
    k = max((int(name.rsplit(" ", 1)[1]) for name in series.values if name.startswith("sampled averages of ")), default=0)
    k = k or max((int(name.rsplit(" ", 1)[1]) for name in series.values if name.startswith("averages of ")), default=0)
    kept = {"iterates": "SGD's iterates", f"averages of {k}": f"averages of {k} of them", "sampled": "Gaussian samples",
            f"sampled averages of {k}": f"averages of {k} of those"}
    given = {title: np.asarray(series.values[name], float).ravel() for name, title in kept.items() if name in series.values}
    given = {title: v[np.isfinite(v)] for title, v in given.items() if np.isfinite(v).any()}
    if not given:
        return None
    top = max(float(v.max()) for v in given.values()) * 1.05
    figure = go.Figure()
    colors = (ONE, MEAN, "#2f9e6b", "#cc5fa8")
    for color, (name, values) in zip(colors, given.items(), strict=False):
        figure.add_histogram(x=values.astype(np.float32), opacity=0.7, marker={"color": color},
                             name=f"{name} ({len(values)})",
                             histnorm="percent", xbins={"start": 0, "end": top, "size": top / 80},
                             hovertemplate="%{y:.3~g}% at %{x}<extra>" + name + "</extra>")
    d, sigma = series.info.get("d"), series.info.get("sigma")
    if d and sigma:
        figure.add_vline(x=math.sqrt(d) * sigma, line={"color": style.AXIS, "width": 1.4, "dash": "dash"}, annotation={
            "text": "√d σ", "showarrow": False, "yref": "paper", "y": 1, "xanchor": "right", "yanchor": "top"})
    figure.update_xaxes(style.axis("distance from the mean of all", range=[0, top]))
    figure.update_yaxes(style.axis("share (%)"))
    figure.update_layout(barmode="overlay", meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def gaussian_in_words(dimensions: int, k: int) -> str:
    """Where the mass is, and how much denser the Gaussian is at an average than at its samples."""
    text = (f"In {dimensions:,} dimension{'' if dimensions == 1 else 's'} a sample lies {math.sqrt(dimensions):.4g} σ from "
            "the centre")
    if k == 1:
        return text + "."
    gain = dimensions * (1 - 1 / k) / 2
    return (f"{text}, the average of {k} samples {math.sqrt(dimensions / k):.4g} σ: its log density is higher by "
            f"{gain:,.0f} nats, though hardly any sample is ever there.")


def in_words(series: Series) -> str:
    """How far averages of SGD's iterates come in, against independent samples of a Gaussian."""
    if "measured radius" not in series.values or len(series.x) < 2:
        return ""
    measured, k = np.asarray(series.values["measured radius"], float), np.asarray(series.x, float)
    last = int(np.flatnonzero(np.isfinite(measured))[-1]) if np.isfinite(measured).any() else 0
    if not last:
        return ""
    text = (f"SGD's iterates lie {measured[0]:.3g} from their mean; averages of {k[last]:g} in a row lie "
            f"{measured[last]:.3g} from it")
    gaussian = series.values.get("gaussian")
    if gaussian is not None and np.isfinite(gaussian[last]):
        text += f", where independent samples of a Gaussian would be at {float(gaussian[last]):.3g}"
        if measured[last] > 1.1 * float(gaussian[last]):
            text += ": neighbours on SGD's way are alike, so averaging them goes inside more slowly"
    effective, d = series.info.get("effective"), series.info.get("d")
    return text + (f". They fill about {effective:.3g} of {d:,} dimensions." if effective and d else ".")
