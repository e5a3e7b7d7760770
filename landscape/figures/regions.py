"""What a network of two inputs decides where, and the function of a network of one: drawn with the data it learnt from."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.figures.predictions import classified, names_of
from landscape.results import Opened

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "pentagon", "hexagram")
FAINT, FULL = 0.06, 0.62  # opacity of a class's colour where it is as likely as all others, and where it is certain
DATA = 2000  # training examples that are drawn at most, evenly thinned
PAIR = {"A": "#ff3b30", "B": "#3b8fd4"}  # the colours of two opened networks, here and of their rings
CHANGE = [(0.0, "rgba(190,60,150,0.0)"), (0.15, "rgba(190,60,150,0.14)"), (1.0, "rgba(190,60,150,0.85)")]


def regions(seen: Opened) -> go.Figure:
    """The winning class as colour, its probability as opacity, the entropy on hover; training data, worst test examples.

    Cells have no text: whoever draws them reads the class off ``z`` and its name off ``meta["names"]``.
    """
    found = seen.function
    p = np.asarray(found["probabilities"], np.float64)  # (X, Y, C)
    names, classes = names_of(seen), p.shape[2]
    best, sure = p.argmax(axis=2), p.max(axis=2)
    strength = np.clip((sure - 1 / classes) / max(1 - 1 / classes, 1e-9), 0, 1)
    entropy = -(p * np.log(np.maximum(p, 1e-38))).sum(axis=2)
    decision = go.Heatmap(
        x=_f32(found["x"]), y=_f32(found["y"]), z=_f32((best + 0.02 + 0.96 * strength).T), zmin=0, zmax=classes,
        colorscale=_colors(classes), showscale=False, customdata=_f32(np.stack([sure, entropy], -1).transpose(1, 0, 2)),
        meta={"names": names}, name="decision",
        hovertemplate="<b>%{text}</b> %{customdata[0]:.1%}<br>entropy %{customdata[1]:.3f} nats<extra></extra>")
    return style.drawn([decision, *boundaries(found, p), *data(found, names), *_worst(seen, names)], **square(found))


def difference(a: Opened, b: Opened) -> go.Figure:
    """Where two networks differ: half the sum of the absolute differences of their probabilities, and both boundaries."""
    one, two = (np.asarray(s.function["probabilities"], np.float64) for s in (a, b))
    far = 0.5 * np.abs(one - two).sum(axis=2)
    names, said = names_of(a), (one.argmax(axis=2), two.argmax(axis=2))
    words = [[f"A {names[i]}, B {names[j]}" for i, j in zip(*rows, strict=True)]
             for rows in zip(said[0].T, said[1].T, strict=True)]
    traces = [go.Heatmap(
        x=_f32(a.function["x"]), y=_f32(a.function["y"]), z=_f32(far.T), zmin=0, zmax=1, colorscale=CHANGE, showscale=False,
        text=words, name="difference", hovertemplate="%{text}<br>probabilities differ by <b>%{z:.1%}</b><extra></extra>")]
    for letter, s, p in (("A", a, one), ("B", b, two)):
        line = {"color": PAIR[letter], "width": 2, "dash": "solid" if letter == "A" else "dash"}
        traces += boundaries(s.function, p, line["color"], line["dash"])
        traces.append(go.Scatter(x=[None], y=[None], mode="lines", line=line, hoverinfo="skip",
                                 name=f"boundary of {letter}"))
    return style.drawn(traces, **square(a.function), showlegend=True)


def fitted(seen: Opened, other: Opened | None = None) -> go.Figure:
    """The function of one input with its training data and the noise it assumes (two deviations); two of them as A and B."""
    traces, found = [], seen.function
    x, y = _thinned(np.ravel(found["train_x"]), np.ravel(found["train_y"]))
    both = [(None, seen, style.NETWORKS[0])] if other is None else [("A", seen, PAIR["A"]), ("B", other, PAIR["B"])]
    for letter, s, color in both:
        at, mean, spread = s.function["x"], np.ravel(s.function["mean"]), 2 * float(s.info.get("noise_std", 0.0))
        name = "mean" if letter is None else letter
        if spread:
            traces.append(go.Scatter(
                x=_f32(np.r_[at, at[::-1]]), y=_f32(np.r_[mean + spread, (mean - spread)[::-1]]), fill="toself",
                fillcolor=_alpha(color, 0.14), line={"width": 0}, mode="lines", hoverinfo="skip",
                name="noise assumed, ±2 std" if letter is None else f"{letter} ±2 std", showlegend=letter is None))
        traces.append(go.Scatter(x=_f32(at), y=_f32(mean), mode="lines", name=name, hovertemplate="%{y:.3f}",
                                 line={"color": color, "width": 2.8, "dash": "dash" if letter == "B" else "solid"}))
    traces.append(go.Scatter(x=x, y=y, mode="markers", name="training data", hovertemplate="%{y:.3f}",
                             marker={"size": 5, "color": "rgba(128,134,148,0.75)"}))
    return style.drawn(traces, hovermode="x unified", yaxis=style.axis("y"),
                       xaxis=style.axis("x", range=[float(np.min(found["x"])), float(np.max(found["x"]))]))


def predicted_against_true(seen: Opened) -> go.Figure:
    """Regression: the mean the network gives every test example over what it was; on the diagonal both are equal."""
    mean, target = np.ravel(np.asarray(seen.outputs, float)), np.ravel(np.asarray(seen.targets, float))
    ends = [float(min(mean.min(), target.min())), float(max(mean.max(), target.max()))]
    spread, traces = 2 * float(seen.info.get("noise_std", 0.0)), []
    if spread:
        edges = [ends[0] + spread, ends[1] + spread, ends[1] - spread, ends[0] - spread]
        traces.append(go.Scatter(x=[*ends, *ends[::-1]], y=edges, fill="toself", fillcolor="rgba(128,134,148,0.14)",
                                 line={"width": 0}, mode="lines", hoverinfo="skip", name="noise assumed, ±2 std"))
    traces.append(go.Scatter(x=ends, y=ends, mode="lines", line={"color": style.AXIS, "dash": "dash", "width": 1.5},
                             hoverinfo="skip", showlegend=False, name="equal"))
    x, y = _thinned(target, mean)
    traces.append(go.Scatter(x=x, y=y, mode="markers", marker={"size": 5, "color": "#2b8a9c", "opacity": 0.7},
                             name="test examples", hovertemplate="true %{x:.3f}, predicted %{y:.3f}<extra></extra>"))
    return style.drawn(traces, hovermode="closest", xaxis=style.axis("true"), yaxis=style.axis("predicted"))


def _f32(values) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def _alpha(color: str, share: float) -> str:
    return f"rgba({','.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))},{share})"


def _colors(classes: int) -> list[tuple[float, str]]:
    """From k to k + 1 the colour of class k, fainter the less certain: a colour scale of [0, classes]."""
    return [(share / classes, _alpha(color, alpha)) for k in range(classes)
            for color in (style.NETWORKS[k % len(style.NETWORKS)],) for share, alpha in ((k, FAINT), (k + 1, FULL))]


def boundaries(found: dict, p: np.ndarray, color: str = style.AXIS, dash: str = "solid") -> list[go.Contour]:
    """Lines on which a class is as likely as the best of the others; the last class's lines are lines of others."""
    ordered, lines = np.sort(p, axis=2), []
    for k in range(p.shape[2] - 1):
        other = np.where(p[..., k] == ordered[..., -1], ordered[..., -2], ordered[..., -1])
        margin = p[..., k] - other
        if margin.min() < 0 < margin.max():
            lines.append(go.Contour(x=_f32(found["x"]), y=_f32(found["y"]), z=_f32(margin.T), showscale=False,
                                    hoverinfo="skip", name="boundary", showlegend=False,
                                    contours={"start": 0, "end": 0, "size": 1, "coloring": "none"},
                                    line={"color": color, "width": 2, "dash": dash, "smoothing": 0.6}))
    return lines


def _thinned(*columns: np.ndarray) -> list[np.ndarray]:
    step = -(-len(columns[0]) // DATA)
    return [_f32(column[::step]) for column in columns]


def data(found: dict, names: list[str]) -> list[go.Scatter]:
    """The training examples, a trace a class."""
    at, labels = np.asarray(found["train_x"]), np.ravel(found["train_y"]).astype(int)
    step = -(-len(labels) // DATA)
    at, labels = at[::step], labels[::step]
    return [go.Scatter(
        x=_f32(at[labels == k, 0]), y=_f32(at[labels == k, 1]), mode="markers", name=name,
        hovertemplate=f"training example of {name}<extra></extra>",
        marker={"size": 6.5, "symbol": SYMBOLS[k % len(SYMBOLS)], "color": style.NETWORKS[k % len(style.NETWORKS)],
                "line": {"width": 0.8, "color": style.PAPER}}) for k, name in enumerate(names)]


def _worst(seen: Opened, names: list[str]) -> list[go.Scatter]:
    if not len(seen.examples.get("index", ())):
        return []
    probabilities, targets, predicted = classified(seen)
    index, at = np.asarray(seen.examples["index"]).astype(int), np.asarray(seen.examples["x"])
    said = [f"test example {i}: {names[targets[i]]} taken for {names[predicted[i]]}, {probabilities[i].max():.1%}<br>"
            f"NLL {loss:.3g} nats" for i, loss in zip(index, seen.examples["nll"], strict=True)]
    return [go.Scatter(x=_f32(at[:, 0]), y=_f32(at[:, 1]), mode="markers", name="most wrong", text=said,
                       hovertemplate="%{text}<extra></extra>",
                       marker={"size": 8, "symbol": "x", "color": style.PAPER, "line": {"width": 1, "color": style.INK}})]


def square(found: dict) -> dict:
    """The layout of a picture of the inputs: as far as the cells go, one unit as long on both axes."""
    axes = {}
    for key in "xy":
        ends = np.asarray(found[key], float)
        half = (ends[1] - ends[0]) / 2
        axes[key] = style.axis(None, range=[float(ends[0] - half), float(ends[-1] + half)], constrain="domain",
                               showgrid=False)
    return {"xaxis": axes["x"], "yaxis": axes["y"] | {"scaleanchor": "x", "scaleratio": 1, "constraintoward": "top"},
            "hovermode": "closest", "margin": {"l": 36, "r": 8, "t": 34, "b": 32},
            "legend": style.LOOK["legend"] | {"font": {"size": 12}}}
