"""Inputs of another kind than those trained on: can a source's doubt tell them apart? AUROC, and the doubt of both kinds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.figures import sources, style
from landscape.figures.methods import Look

SCORES = {"entropy": "entropy", "doubt": "1 − confidence", "disagreement": "disagreement of the draws"}
AXES = {"entropy": "entropy (nats)", "doubt": "1 − probability of the predicted class",
        "disagreement": "disagreement (nats)"}
SYMBOLS = {"doubt": "circle", "entropy": "diamond", "disagreement": "square"}
KNOWN, UNKNOWN = "#2b8a9c", "#e8590c"


def scores(values: dict) -> list[str]:
    """The scores that at least one source has."""
    return [s for s in SCORES if any(s in row.get("scores", {}) for row in values.get("methods", {}).values())]


def auroc(values: dict, named: Mapping[str, Look]) -> go.Figure:
    """The chance that an unknown input is doubted more than a known one, with its interval; 1/2 is guessing."""
    rows, shown = values.get("methods", {}), scores(values)
    order = sources.ordered(label for label in rows if label in named)[::-1]
    places = dict(zip(shown, np.linspace(0.22, -0.22, len(shown)) if len(shown) > 1 else [0.0], strict=True))
    figure = go.Figure()
    for score in shown:
        have = [label for label in order if score in rows[label].get("scores", {})]
        found = [rows[label]["scores"][score] for label in have]
        value, low, high = (np.array([f.get(k, np.nan) for f in found], float) for k in ("auroc", "low", "high"))
        figure.add_scatter(
            x=np.float32(value), y=np.float32([order.index(label) + places[score] for label in have]), mode="markers",
            name=SCORES[score], showlegend=False, customdata=[[named[label].title, f.get("missed", np.nan)]
                                            for label, f in zip(have, found, strict=True)],
            marker={"size": 10, "symbol": SYMBOLS[score], "color": [named[label].color for label in have],
                    "line": {"width": 1.2, "color": style.PAPER}},
            error_x={"type": "data", "array": np.float32(high - value), "arrayminus": np.float32(value - low),
                     "thickness": 1.6, "width": 0, "color": style.AXIS},
            hovertemplate="%{customdata[0]}, %{fullData.name}: <b>%{x:.3f}</b><br>%{customdata[1]:.0%} of the unknown pass "
                          "where 95% of the known do<extra></extra>")
        figure.add_scatter(x=[None], y=[None], mode="markers", name=SCORES[score], hoverinfo="skip",
                           marker={"size": 10, "symbol": SYMBOLS[score], "color": style.AXIS})
    figure.add_vline(x=0.5, line={"color": style.AXIS, "dash": "dash", "width": 1.3})
    figure.update_xaxes(style.axis("AUROC (dashed: guessing)"))
    figure.update_yaxes(style.axis(None, tickmode="array", tickvals=list(range(len(order))), ticks="",
                                   ticktext=[named[label].title for label in order], range=[-0.6, len(order) - 0.4]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def histogram(found: dict, score: str, highest: float | None = None) -> go.Figure:
    """How the doubt of known and of unknown inputs is distributed; ``found`` is one source's entry of that score."""
    edges = np.asarray(found["edges"], float)
    figure = go.Figure()
    for name, key, colour in (("known", "known", KNOWN), ("unknown", "unknown", UNKNOWN)):
        share = np.asarray(found[key], float)
        figure.add_scatter(x=np.float32(edges), y=np.float32(np.r_[share, share[-1:]]), mode="lines", name=name,
                           fill="tozeroy", fillcolor=style.clear(colour, 0.22), hovertemplate="%{y:.1%}",
                           line={"color": colour, "width": 2, "shape": "hv"})
    figure.update_xaxes(style.axis(AXES.get(score, score), range=[float(edges[0]), float(edges[-1])]))
    figure.update_yaxes(style.axis("share of the inputs", tickformat=".0%", range=None if highest is None else [0, highest],
                                   **({"rangemode": "tozero"} if highest is None else {})))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def in_words(values: dict, named: Mapping[str, Look]) -> str:
    """The source and score that tell unknown inputs best, and how far from certain that is."""
    found = {(label, score): one for label, row in values.get("methods", {}).items() if label in named
             for score, one in row.get("scores", {}).items() if score in SCORES}
    if not found:
        return ""
    label, score = max(found, key=lambda key: found[key]["auroc"])
    one = found[label, score]
    if one["auroc"] <= 0.5:
        return (f"**No score tells them apart**: the highest AUROC, {one['auroc']:.3f} ({named[label].title}, "
                f"{SCORES[score]}), is not above guessing. Unknown inputs are met with more confidence than known ones.")
    below = [named[name].title for (name, kind), f in found.items() if kind == "entropy" and f["auroc"] < 0.5]
    return (f"Told apart best by **{named[label].title}**, {SCORES[score]}: AUROC **{one['auroc']:.3f}**; still "
            f"{one['missed']:.0%} of the unknown inputs pass where 95% of the known do."
            + (f" {', '.join(below)} {'is' if len(below) == 1 else 'are'} surer of unknown inputs than of known ones."
               if below else ""))
