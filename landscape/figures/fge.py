"""Fast geometric ensembles: the error against the number of members, and the run they come from (Garipov et al. 2018)."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.figures import style
from landscape.results import Series

LINES = {  # name of the values -> title, colour
    "member error": ("one member", "#8b93a1"),
    "ensemble error": ("ensemble of the first m", "#cc5fa8"),
    "swa of members": ("mean weights of the first m", "#e8590c"),
}
STACKED = {"rate": "learning rate", "test_error": "test error (%)", "distance": "distance from the start"}
COLORS = {"rate": "#8b93a1", "test_error": "#cc5fa8", "distance": "#3b8fd4"}


def members(series: Series) -> go.Figure:
    """Test error (%) of the m-th member, of the ensemble of the first m, and of the mean of their weights."""
    x = np.asarray(series.x, float)
    figure = go.Figure()
    for name, (title, color) in LINES.items():
        if name in series.values:
            figure.add_scatter(x=x, y=100 * np.asarray(series.values[name], float), mode="lines+markers", name=title,
                               line={"color": color, "width": 2.4}, hovertemplate="%{y:.2f}%", marker={
                                   "size": 8, "color": style.PAPER, "line": {"width": 2.2, "color": color}})
    figure.update_xaxes(style.axis("members", dtick=1 if len(x) <= 16 else None))
    figure.update_yaxes(style.axis("test error (%)"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def run(series: Series) -> go.Figure:
    """Rate, test error and distance from the start along the run, one above the other; circles where one is taken."""
    shown = [name for name in STACKED if name in series.values]
    x = np.asarray(series.x, float)
    figure = make_subplots(rows=max(1, len(shown)), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    taken = np.asarray(series.info.get("collected", ()), float)
    for row, name in enumerate(shown, start=1):
        values = (100 if name.endswith("error") else 1) * np.asarray(series.values[name], float)
        figure.add_scatter(x=x, y=values, mode="lines", name=STACKED[name], showlegend=False, row=row, col=1,
                           line={"color": COLORS[name], "width": 2.2}, hovertemplate="%{y:.4~g}")
        if len(taken):
            known = np.isfinite(values)
            figure.add_scatter(x=taken, y=np.interp(taken, x[known], values[known]) if known.any() else [None] * len(taken),
                               mode="markers", name="member taken", showlegend=False, hoverinfo="skip", row=row, col=1,
                               marker={"size": 8, "color": style.PAPER, "line": {"width": 2, "color": COLORS[name]}})
        figure.update_yaxes(style.axis(STACKED[name], **({"rangemode": "tozero"} if name != "test_error" else {})), row=row,
                            col=1)
    figure.update_xaxes(style.axis())
    figure.update_xaxes(title={"text": series.info.get("x", "epoch")}, row=max(1, len(shown)), col=1)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def in_words(series: Series) -> str:
    """What the ensemble, and the mean of its weights, gain over one member."""
    values = {name: np.asarray(v, float) for name, v in series.values.items()}
    if "ensemble error" not in values or not np.isfinite(values["ensemble error"]).any():
        return ""
    known = np.flatnonzero(np.isfinite(values["ensemble error"]))
    last = int(known[-1])
    text = f"The ensemble of {series.x[last]:g} has a test error of **{100 * values['ensemble error'][last]:.1f}%**"
    if "member error" in values:
        text += f", its members {100 * float(np.nanmean(values['member error'][: last + 1])):.1f}% on average"
    if "swa of members" in values and np.isfinite(values["swa of members"][last]):
        mean, both = values["swa of members"][last], values["ensemble error"][last]
        text += f"; the single network with their mean weights {100 * mean:.1f}%"
        text += ", at the cost of one network" if mean <= both + 0.01 else ""
    return text + "."
