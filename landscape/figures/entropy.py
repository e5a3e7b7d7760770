"""What averaged networks decide in the plane of their inputs, how unsure they are, and how far that is disagreement."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import regions, style
from landscape.results import Predictive

PARTS = {"entropy": "entropy", "disagreement": "disagreement between networks"}
UNSURE = "#7a3fb0"


def drawable(seen: Predictive) -> bool:
    """Whether its inputs are points of a plane."""
    return {"x", "y", "probabilities"} <= set(seen.function)


def values(seen: Predictive, part: str) -> np.ndarray:
    """(X, Y) nats: the entropy of the average, or the part of it that is between networks (mutual information)."""
    if part in seen.function:
        return np.asarray(seen.function[part], float)
    if part == "disagreement":
        return np.full(np.shape(seen.function["probabilities"])[:2], np.nan)
    p = np.asarray(seen.function["probabilities"], float)
    return -(p * np.log(np.maximum(p, 1e-38))).sum(axis=2)


def entropy(seen: Predictive, part: str = "entropy", highest: float | None = None) -> go.Figure:
    """Entropy (or disagreement) in nats over the inputs, the boundary of the decision, and the training data.

    ``highest`` ends the colours; by default it is ln C, the entropy of knowing nothing.
    """
    found, names = seen.function, list(map(str, seen.info.get("classes") or ()))
    p = np.asarray(found["probabilities"], float)
    names = names if len(names) == p.shape[2] else [str(k) for k in range(p.shape[2])]
    z, best = values(seen, part), p.argmax(axis=2)
    told = np.stack([p.max(axis=2), values(seen, "entropy"), values(seen, "disagreement")], axis=-1)
    top = float(np.log(p.shape[2])) if highest is None else highest
    heat = go.Heatmap(
        x=_f32(found["x"]),
        y=_f32(found["y"]),
        z=_f32(z.T),
        zmin=0,
        zmax=top,
        colorscale=_faint(),
        showscale=False,
        zsmooth="best",
        customdata=_f32(told.transpose(1, 0, 2)),
        text=[[names[k] for k in row] for row in best.T],
        name=PARTS[part],
        hovertemplate="<b>%{text}</b> %{customdata[0]:.1%}<br>entropy %{customdata[1]:.3f} nats, of which "
        "disagreement %{customdata[2]:.3f}<extra></extra>",
    )
    examples = regions.data(found, names) if "train_x" in found else []
    look = regions.square(found) | {"meta": {"walkers": []}, "margin": {"l": 32, "r": 8, "t": 30, "b": 28}}
    return style.drawn([heat, *regions.boundaries(found, p), *examples], **look)


def in_words(seen: Predictive) -> str:
    """How unsure the average is beside the data and away from them."""
    z, p = values(seen, "entropy"), np.asarray(seen.function["probabilities"])
    train = np.asarray(seen.function.get("train_x", np.empty((0, 2))), float)
    if not len(train):
        return ""
    x, y = np.asarray(seen.function["x"], float), np.asarray(seen.function["y"], float)
    i = np.abs(x[:, None] - train[:, 0]).argmin(axis=0)
    j = np.abs(y[:, None] - train[:, 1]).argmin(axis=0)
    edge = np.concatenate([z[0], z[-1], z[:, 0], z[:, -1]])
    return (
        f"entropy {np.nanmean(z[i, j]):.3f} nats at the data, {np.nanmean(edge):.3f} at the border of the picture "
        f"(knowing nothing: {np.log(p.shape[2]):.3f})"
    )


def _faint() -> list[tuple[float, str]]:
    """From clear to the colour of not knowing: it reads on light and on dark pages."""
    return [(i / 8, style.clear(UNSURE, 0.03 + 0.75 * (i / 8) ** 0.8)) for i in range(9)]


def _f32(values_) -> np.ndarray:
    return np.ascontiguousarray(values_, np.float32)
