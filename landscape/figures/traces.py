"""Whether chains have mixed: their traces, the ranks of their draws, and a verdict in words."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.figures import methods, style, truth
from landscape.results import Samples, Series

MIXED, DOUBTFUL = 1.01, 1.1  # R-hat: below the first mixed, above the second not (Vehtari et al. 2021)
SHOWN = 8  # chains that are drawn


NAMES = {"log_density": "log density"}


def parts(series: Series) -> list[str]:
    """What was traced, in order: ``z1`` ... are coordinates, their ranks are called ``ranks z1``."""
    return [
        name
        for name in series.values
        if not name.startswith("ranks ") and np.isfinite(np.asarray(series.values[name], float)).any()
    ]


def named(part: str) -> str:
    """``coordinate 1`` of ``z1``."""
    return f"coordinate {part[1:]}" if part[:1] == "z" and part[1:].isdigit() else NAMES.get(part, part.replace("_", " "))


def traces(series: Series, part: str) -> go.Figure:
    """The draws of each chain over their number, and beside them the ranks: of mixed chains every rank is as frequent."""
    rows = np.atleast_2d(np.asarray(series.values[part], float))
    ranks = ranked(series, part)
    figure = make_subplots(rows=1, cols=2, column_widths=[0.66, 0.34], horizontal_spacing=0.1)
    x = np.asarray(series.x, float)[: rows.shape[1]]
    for c, row in enumerate(rows[:SHOWN]):
        figure.add_scatter(
            x=np.float32(x),
            y=np.float32(row),
            mode="lines",
            name=f"chain {c + 1}",
            row=1,
            col=1,
            line={"width": 1.1, "color": style.NETWORKS[c % len(style.NETWORKS)]},
            legendgroup=str(c),
            hovertemplate="%{y:.4g}",
        )
    for c, counts in enumerate(ranks[:SHOWN]):
        edges = np.repeat(np.arange(len(counts) + 1) / len(counts), 2)[1:-1]
        figure.add_scatter(
            x=np.float32(100 * edges),
            y=np.float32(np.repeat(counts, 2)),
            mode="lines",
            row=1,
            col=2,
            line={"width": 1.6, "color": style.NETWORKS[c % len(style.NETWORKS)]},
            legendgroup=str(c),
            showlegend=False,
            name=f"chain {c + 1}",
            hovertemplate="%{y:.0f} draws",
        )
    if len(ranks):
        figure.add_scatter(
            x=[0, 100],
            y=[float(np.mean(ranks))] * 2,
            mode="lines",
            row=1,
            col=2,
            hoverinfo="skip",
            line={"color": style.AXIS, "dash": "dash", "width": 1.4},
            showlegend=False,
            name="mixed",
        )
    figure.update_xaxes(style.axis("draw"), row=1, col=1).update_yaxes(style.axis(named(part)), row=1, col=1)
    figure.update_xaxes(style.axis("rank among all draws (%)"), row=1, col=2)
    figure.update_yaxes(style.axis(None, rangemode="tozero"), row=1, col=2)
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest", showlegend=False)


def ranked(series: Series, part: str, bins: int = 20) -> np.ndarray:
    """(chains, bins) how many draws of each chain have a rank in each bin; counted here where the run did not."""
    if f"ranks {part}" in series.values:
        return np.atleast_2d(np.asarray(series.values[f"ranks {part}"], float))
    rows = np.atleast_2d(np.asarray(series.values[part], float))
    if not np.isfinite(rows).all() or rows.size < 2 * bins:
        return np.empty((0, bins))
    order = rows.ravel().argsort(kind="stable").argsort(kind="stable").reshape(rows.shape)
    return np.stack([np.bincount(row * bins // rows.size, minlength=bins) for row in order]).astype(float)


def verdict(samples: Samples) -> tuple[str, bool]:
    """What the diagnostics of a method amount to, and whether it is good news. The run's own sentence, if it has one.

    A density that was rounded too much comes first: chains that agree agree on another one.
    """
    doubts = [said for said, ok in truth.rounded(samples.info) if not ok]
    said, good = _mixed(samples)
    return " ".join([*doubts, said]), good and not doubts


def _mixed(samples: Samples) -> tuple[str, bool]:
    info = samples.info
    if info.get("failed"):
        return str(info["failed"]), False
    found = [v for v in (info.get("rhat"), (info.get("function") or {}).get("rhat")) if v is not None]
    worst = max(found) if found and np.isfinite(found).all() else None
    good = worst is None or worst <= DOUBTFUL
    if info.get("verdict"):
        return str(info["verdict"]), good
    if not info.get("final", True):
        return f"{100 * info.get('done', 0) / max(info.get('total', 1), 1):.0f}% of the way", True
    if worst is None:
        return "Independent draws: no chain could get stuck.", True
    how = "agree" if worst <= MIXED else "nearly agree" if good else "do not agree"
    return f"The chains {how} (R-hat {methods.short(worst, 4)}).", good


def facts(samples: Samples) -> list[tuple[str, str]]:
    """(what, value) of the diagnostics that there are, in words."""
    info, function = samples.info, samples.info.get("function") or {}
    chains = int(info.get("chains") or len(methods.chains(samples)))
    each = int(info.get("draws") or len(samples.plane) // max(chains, 1))
    alone = chains == 1 or info.get("over") == "networks"
    told = [("draws", f"{chains * each:,}" if alone else f"{chains} chains × {each:,}")]
    if isinstance(info.get("acceptance"), (int, float)):
        told.append(("accepted", f"{100 * info['acceptance']:.0f}%"))
    told += [
        (title, methods.short(value, digits))
        for title, value, digits in (
            ("R-hat, weights", info.get("rhat"), 4),
            ("R-hat, predictions", function.get("rhat"), 4),
            ("step size", info.get("step_size"), 3),
            ("energy error", info.get("energy_error"), 2),
            ("log density error", (info.get("rounding") or {}).get("sd"), 2),
        )
        if _number(value)
    ]
    told += [
        (title, methods.count(value))
        for title, value in (
            ("effective draws, weights", info.get("ess")),
            ("effective draws, predictions", function.get("ess")),
            ("divergences", info.get("divergences")),
            ("gradients", info.get("gradient_evaluations")),
            ("values", info.get("value_evaluations")),
        )
        if _number(value)
    ]
    seconds = info.get("cpu_seconds", info.get("seconds"))
    return told + ([("CPU seconds", f"{seconds:.1f}")] if _number(seconds) else [])


def against_grid(samples: Samples) -> str:
    """How far the draws are from the exact integral over the grid; empty where that cannot be told."""
    tv, floor, errors = (samples.info.get(name) for name in ("tv", "tv_floor", "moment_error"))
    if not _number(tv):
        return ""
    text = f"Total variation to the grid **{tv:.3f}**"
    text += f" (as many exact draws show about {floor:.3f})" if _number(floor) else ""
    said = [
        f"{name} off by at most {methods.short(float(np.abs(errors[key]).max()), 2)}{unit}"
        for key, name, unit in (("mean", "mean", " sd"), ("sd", "sd", " of itself"), ("correlation", "correlation", ""))
        if key in (errors or {})
    ]
    return text + (f"; {', '.join(said)}" if said else "") + "."


def _number(value) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))
