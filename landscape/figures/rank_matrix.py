"""How alike metrics order what was judged: Spearman's correlation of every pair of metrics over stored runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.uncertainty.ranks import rank_correlation

METRICS = {"error": "error", "nll": "NLL", "brier": "Brier", "ece15": "ECE", "ece15_mass": "ECE, equal mass",
           "ece_debiased": "ECE, debiased", "mce": "MCE"}
LEAST = 3  # rows without which no rank correlation is formed
COLORS = [(0.0, "#b2551b"), (0.25, "#e9b183"), (0.5, "#eef0f2"), (0.75, "#8fbccb"), (1.0, "#1f6f82")]


def table(rows: Iterable[Mapping]) -> dict[str, np.ndarray]:
    """Every metric (R,) over rows such as ``{"nll": 0.7, ...}``; NaN where a row lacks it, no metric that none has."""
    rows = list(rows)
    found = {m: np.array([_number(row.get(m)) for row in rows]) for m in METRICS}
    return {m: values for m, values in found.items() if np.isfinite(values).sum() >= LEAST}


def matrix(columns: Mapping[str, np.ndarray]) -> go.Figure:
    """The square of correlations, every cell with its number; pairs without one stay empty."""
    names, found = rank_correlation(columns)
    titles = [METRICS[m] for m in names]
    words = np.full(found.shape, "", dtype=object)
    for i, j in zip(*np.nonzero(np.isfinite(found)), strict=True):
        ink = style.PAPER if abs(found[i, j]) > 0.72 else style.INK
        words[i, j] = f'<span style="color:{ink}">{found[i, j]:.2f}</span>'.replace("-", "−")
    both = np.stack(np.broadcast_arrays(np.array(titles, object)[None], np.array(titles, object)[:, None]), axis=-1)
    figure = go.Figure(go.Heatmap(
        z=found.astype(np.float32), zmin=-1, zmax=1, colorscale=COLORS, xgap=2, ygap=2, showscale=False, hoverongaps=False,
        text=words, texttemplate="%{text}", textfont={"size": 12}, customdata=both, name="rank correlation",
        hovertemplate="%{customdata[1]} and %{customdata[0]}: <b>%{z:.3f}</b><extra></extra>"))
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": titles, "ticks": "", "showline": False,
             "showgrid": False}
    figure.update_xaxes(style.axis(range=[-0.5, len(names) - 0.5], tickangle=-35, **ticks))
    figure.update_yaxes(style.axis(range=[len(names) - 0.5, -0.5], **ticks))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest").update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def in_words(columns: Mapping[str, np.ndarray]) -> str:
    """The pair of metrics that agrees least about the order."""
    names, found = rank_correlation(columns)
    upper = np.triu(np.ones(found.shape, bool), 1) & np.isfinite(found)
    if not upper.any():
        return "No two metrics have enough values in common."
    values = np.where(upper, found, np.inf)
    i, j = np.unravel_index(values.argmin(), values.shape)
    return (f"Least agreed: **{METRICS[names[i]]}** and **{METRICS[names[j]]}**, rank correlation {found[i, j]:.2f}. "
            "A source that is best by one metric need not be by another.").replace(" -", " −")


def _number(value) -> float:
    return float(value) if isinstance(value, (int, float)) and value is not None else float("nan")
