"""What averaged networks predict of one input: the mean in bands, the two kinds of uncertainty, and the gaps in numbers."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import methods, style
from landscape.results import Predictive

SHADES = ((3, 0.12), (2, 0.17), (1, 0.24))  # standard deviations and opacity of the bands
KINDS = {"epistemic": "between networks (epistemic)", "aleatoric": "noise (aleatoric)", "both": "total"}
DATA = "rgba(128,134,148,0.75)"
NARROW, WIDE = 1.25, 2.0  # ratios of the band in the gap to that at the data: below one hardly wider, above the other wide


def drawable(seen: Predictive) -> bool:
    """Whether it is the function of one input, in bands."""
    return {"x", "mean", "epistemic"} <= set(seen.function)


def bands(seen: Predictive, name: str, kind: str = "epistemic", window: tuple[float, float] | None = None) -> go.Figure:
    """Mean and 1, 2, 3 standard deviations over x, with the training data; ``kind`` is one of ``KINDS``.

    Where ``both`` are drawn, the noise alone stands as dotted lines two deviations from the mean. ``window`` is the range
    of y that panels share.
    """
    found, look = seen.function, methods.look(name)
    x, mean = np.ravel(found["x"]).astype(float), np.ravel(found["mean"]).astype(float)
    width = deviation(seen, kind)
    figure = go.Figure()
    for sd, share in SHADES:
        figure.add_scatter(
            x=_f32(np.r_[x, x[::-1]]),
            y=_f32(np.r_[mean + sd * width, (mean - sd * width)[::-1]]),
            fill="toself",
            fillcolor=style.clear(look.color, share),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name=f"±{sd} sd",
            showlegend=False,
        )
    if kind == "both":
        noise = deviation(seen, "aleatoric")
        for sign in (2, -2):
            figure.add_scatter(
                x=_f32(x),
                y=_f32(mean + sign * noise),
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                name="noise alone, ±2 sd",
                line={"color": look.color, "width": 1, "dash": "dot"},
            )
    if "train_x" in found:
        figure.add_scatter(
            x=_f32(np.ravel(found["train_x"])),
            y=_f32(np.ravel(found["train_y"])),
            mode="markers",
            name="training data",
            showlegend=False,
            hoverinfo="skip",
            marker={"size": 3.5, "color": DATA},
        )
    told = np.stack([deviation(seen, "epistemic"), deviation(seen, "aleatoric")], axis=1)
    figure.add_scatter(
        x=_f32(x),
        y=_f32(mean),
        mode="lines",
        name=look.title,
        customdata=_f32(told),
        showlegend=False,
        line={"color": look.color, "width": 2.4},
        hovertemplate="x %{x:.2f}: mean <b>%{y:.3f}</b><br>sd between networks %{customdata[0]:.3f}, noise "
        "%{customdata[1]:.3f}<extra></extra>",
    )
    _shaded(figure, gaps(seen))
    figure.update_xaxes(style.axis("x", range=[float(x[0]), float(x[-1])], showgrid=False))
    figure.update_yaxes(style.axis(None, range=window))
    style.layout(figure, hovermode="closest")
    return figure.update_layout(meta={"walkers": []}, margin={"l": 36, "r": 8, "t": 8, "b": 40})


def widths(found: dict[str, Predictive]) -> go.Figure:
    """The standard deviation between networks over x, one line a method on one logarithmic axis: as far up is as many times
    wider, so the methods with narrow bands are seen beside those with wide ones."""
    figure = go.Figure()
    for name in methods.ordered(found):
        seen, look = found[name], methods.look(name)
        figure.add_scatter(
            x=_f32(np.ravel(seen.function["x"])),
            y=_f32(np.where((sd := deviation(seen, "epistemic")) > 0, sd, np.nan)),
            mode="lines",
            name=look.title,
            line={"color": look.color, "width": 2.4},
            hovertemplate="%{y:.3~g}",
        )
    first = next(iter(found.values()), None)
    for left, right in gaps(first) if first is not None else ():
        figure.add_vrect(
            x0=left,
            x1=right,
            fillcolor="rgba(128,134,148,0.12)",
            line={"width": 0},
            layer="below",
            annotation={"text": "no data", "font": {"size": 12}},
            annotation_position="top",
        )
    figure.update_xaxes(style.axis("x", hoverformat=".2f"))
    figure.update_yaxes(style.axis("sd between networks", type="log", dtick=1))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def _shaded(figure: go.Figure, stretches: list[tuple[float, float]]) -> None:
    """Grey where there are no training data."""
    for left, right in stretches:
        figure.add_vrect(x0=left, x1=right, fillcolor="rgba(128,134,148,0.09)", line={"width": 0}, layer="below")


def deviation(seen: Predictive, kind: str) -> np.ndarray:
    """(X,) one standard deviation of the band of that kind."""
    epistemic = np.ravel(seen.function["epistemic"]).astype(float)
    aleatoric = np.ravel(seen.function.get("aleatoric", np.zeros_like(epistemic))).astype(float) + np.zeros_like(epistemic)
    return {"epistemic": epistemic, "aleatoric": aleatoric, "both": np.hypot(epistemic, aleatoric)}[kind]


def gaps(seen: Predictive) -> list[tuple[float, float]]:
    """The stretches of x without training data: as ``info["gaps"]`` says, else the wide ones between the data themselves."""
    given = seen.info.get("gaps")
    if given:
        return [(float(a), float(b)) for a, b in given]
    x = np.sort(np.ravel(seen.function.get("train_x", ())).astype(float))
    if len(x) < 3:
        return []
    between = np.diff(x)
    wide = np.flatnonzero(between > max(10 * np.median(between), np.ptp(x) / 10))
    return [(float(x[i]), float(x[i + 1])) for i in wide]


def gap_ratio(seen: Predictive) -> tuple[float, float, float] | None:
    """``(sd in the gaps, sd at the data, ratio)``, means over x of the sd between networks; None where nothing is told."""
    own = seen.info.get("gap") or {}
    if own.get("ratio") is not None:
        return float(own["in_gaps"]), float(own["at_data"]), float(own["ratio"])
    if not drawable(seen) or not gaps(seen):
        return None
    x, sd = np.ravel(seen.function["x"]).astype(float), deviation(seen, "epistemic")
    inside = np.any([(x > a) & (x < b) for a, b in gaps(seen)], axis=0)
    train = np.ravel(seen.function.get("train_x", x)).astype(float)
    at = (x >= train.min()) & (x <= train.max()) & ~inside
    if not inside.any() or not at.any():
        return None
    gap, data = float(sd[inside].mean()), float(sd[at].mean())
    return gap, data, gap / data if data > 0 else float("nan")


def window(found: dict[str, Predictive], kind: str) -> tuple[float, float] | None:
    """The range of y of all panels: the data, and the bands as far as two thirds of them reach."""
    edges = []
    for seen in found.values():
        mean, sd = np.ravel(seen.function["mean"]).astype(float), deviation(seen, kind)
        edges += [mean - 3 * sd, mean + 3 * sd, np.ravel(seen.function.get("train_y", mean)).astype(float)]
    known = np.concatenate(edges) if edges else np.empty(0)
    known = known[np.isfinite(known)]
    if not known.size:
        return None
    low, high = np.percentile(known, [2, 98])
    return float(low - 0.08 * (high - low)), float(high + 0.08 * (high - low))


def width_in_words(seen: Predictive) -> str:
    """One method: the width of its band in the gaps, relative to that at the data."""
    found = gap_ratio(seen)
    if found is None:
        return ""
    gap, data, ratio = found
    how = (
        "hardly wider where there are no data"
        if ratio < NARROW
        else "wide where there are no data"
        if ratio >= WIDE
        else "somewhat wider where there are no data"
    )
    return f"sd in the gaps {gap:.3f}, at the data {data:.3f}: **{ratio:.1f} times**, {how}"


def in_words(found: dict[str, Predictive]) -> str:
    """Whose band widens in the gaps and whose does not, in the order of the ratio."""
    ratios = {
        methods.look(n).title: r[2] for n in methods.ordered(found) if (r := gap_ratio(found[n])) and np.isfinite(r[2])
    }
    if not ratios:
        return ""
    listed = sorted(ratios, key=ratios.get, reverse=True)
    text = (
        "Width of the band in the gaps over that at the data: " + ", ".join(f"{n} **{ratios[n]:.1f}**" for n in listed) + "."
    )
    flat = [n for n in listed if ratios[n] < NARROW]
    return text + (f" {_and(flat)} hardly widen{'s' if len(flat) == 1 else ''} where nothing is known." if flat else "")


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _f32(values) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)
