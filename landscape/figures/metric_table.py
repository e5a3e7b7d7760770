"""Every metric of every source with its interval: as a table, and one metric as points that can be compared at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go

from landscape.figures import sources, style
from landscape.figures.methods import Look
from landscape.results import Judged
from landscape.uncertainty.calibration_errors import debiased_error

COLUMNS = {  # name -> title, how it is written, +1 where the highest is best and -1 where the lowest is, 0 for neither
    "accuracy": ("accuracy", "{:.1%}", 1),
    "nll": ("NLL", "{:.3f}", -1),
    "brier": ("Brier", "{:.3f}", -1),
    "brier_reliability": ("reliability", "{:.3f}", 0),
    "brier_resolution": ("resolution", "{:.3f}", 0),
    "ece": ("ECE", "{:.3f}", -1),
    "ece_mass": ("equal mass", "{:.3f}", -1),
    "ece_debiased": ("debiased", "{:.3f}", -1),
    "ece_kde": ("KDE", "{:.3f}", -1),
    "ece_classwise": ("class-wise", "{:.3f}", -1),
    "ece_adaptive": ("adaptive", "{:.3f}", -1),
    "mce": ("MCE", "{:.2f}", -1),
}
REGRESSION = {"error": ("RMSE", "{:.3f}", -1), "nll": ("NLL", "{:.3f}", -1), "crps": ("CRPS", "{:.3f}", -1),
              "quantile_error": ("quantile error", "{:.3f}", -1)}
GROUPS = (("", ("accuracy",)), ("proper scores", ("nll", "brier")), ("parts of Brier", ("brier_reliability",
          "brier_resolution")), ("calibration error", ("ece", "ece_mass", "ece_debiased", "ece_kde", "ece_classwise",
                                                       "ece_adaptive", "mce")))
POINTS = {"nll": "NLL", "error": "error", "brier": "Brier", "ece": "ECE", "ece_debiased": "ECE, debiased"}
AROUND = ("ece_debiased",)  # best nearest to zero: below it is chance
STORED = {"ece": "ece15", "ece_mass": "ece15_mass"}  # what metrics are called in the machine-readable result
SWEPT = tuple(range(4, 13)) + tuple(range(14, 31, 2)) + tuple(range(35, 101, 5))  # numbers of bins


def cell(values: dict, metric: str) -> tuple[float, float, float]:
    """``(value, low, high)`` of a metric of an account; NaN where there is none."""
    found = (values.get("metrics") or {}).get(metric) or {}
    return tuple(math.nan if found.get(part) is None else float(found[part]) for part in ("value", "low", "high"))


def columns(accounts: Mapping[str, dict]) -> dict[str, tuple[str, str, int]]:
    """The metrics that at least one account has."""
    table = REGRESSION if any("crps" in (a.get("metrics") or {}) for a in accounts.values()) else COLUMNS
    return {m: row for m, row in table.items() if any(math.isfinite(cell(a, m)[0]) for a in accounts.values())}


def best(accounts: Mapping[str, dict], metric: str, sign: int) -> tuple[str | None, set[str]]:
    """The label of the best value, and those whose interval meets its interval: what cannot be told from the best."""
    found = {label: cell(a, metric) for label, a in accounts.items() if math.isfinite(cell(a, metric)[0])}
    if not sign or len(found) < 2:
        return None, set()
    first = min(found, key=lambda label: abs(found[label][0]) if metric in AROUND else -sign * found[label][0])
    _, low, high = found[first]
    near = {label for label, (_, a, b) in found.items() if label != first and a <= high and b >= low}
    return first, near


def table(accounts: Mapping[str, dict], named: Mapping[str, Look]) -> str:
    """HTML: a row a source, every metric with its 95% interval below it. Best: bold; what meets its interval: dotted."""
    shown = columns(accounts)
    winners = {m: best(accounts, m, sign) for m, (_, _, sign) in shown.items()}
    head = "".join(f"<th>{escape(title)}{'<small> ↑</small>' if sign > 0 else ''}</th>" for title, _, sign in shown.values())
    body = "".join(
        f'<tr><th scope="row"><i style="background:{named[label].color}"></i>{escape(named[label].title)}</th>'
        + "".join(_cell(label, values, m, shown[m][1], *winners[m]) for m in shown) + "</tr>"
        for label, values in accounts.items())
    over = _groups(shown) if "accuracy" in shown else ""
    return (f'<div class="landscape-wide"><table class="landscape-table landscape-judged"><thead>{over}<tr><th></th>{head}'
            f"</tr></thead><tbody>{body}</tbody></table></div>")


def plain(accounts: Mapping[str, dict], named: Mapping[str, Look]) -> list[list[str]]:
    """The table as rows of text, titles first; every metric has three columns: its value and both ends."""
    shown = columns(accounts)
    head = ["source", *(f"{metric}{part}" for metric in shown for part in ("", "_low", "_high"))]
    return [head, *([named[label].title, *("" if not math.isfinite(v) else f"{v:.6g}" for m in shown for v in cell(a, m))]
                    for label, a in accounts.items())]


def latex(accounts: Mapping[str, dict], named: Mapping[str, Look]) -> str:
    """The table for a paper (booktabs): values with their intervals, the best in bold."""
    shown = columns(accounts)
    winners = {m: best(accounts, m, sign)[0] for m, (_, _, sign) in shown.items()}
    lines = [f"\\begin{{tabular}}{{l{'c' * len(shown)}}}", "\\toprule",
             " & ".join(["", *(title for title, _, _ in shown.values())]) + " \\\\", "\\midrule"]
    for label, values in accounts.items():
        cells = [named[label].title]
        for m, (_, form, _) in shown.items():
            value, low, high = cell(values, m)
            text = form.format(value).replace("%", "\\%") if math.isfinite(value) else "--"
            ends = f" [{form.format(low)}, {form.format(high)}]".replace("%", "\\%") if math.isfinite(low + high) else ""
            cells.append((f"\\textbf{{{text}}}" if winners[m] == label else text) + ends)
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _groups(shown: dict) -> str:
    """A line above the titles: which columns are of one kind."""
    cells = [(title, sum(m in shown for m in names)) for title, names in GROUPS]
    return "<tr><th></th>" + "".join(f'<th colspan="{n}">{f"<span>{title}</span>" if title else ""}</th>'
                                     for title, n in cells if n) + "</tr>"


def _cell(label: str, values: dict, metric: str, form: str, first: str | None, near: set[str]) -> str:
    value, low, high = cell(values, metric)
    if not math.isfinite(value):
        return "<td>–</td>"
    kind = ' class="best"' if label == first else ' class="near"' if label in near else ""
    bare = form.replace("%}", "f}") if "%" in form else form
    scale = 100 if "%" in form else 1
    ends = f"<small>{bare.format(scale * low)} – {bare.format(scale * high)}</small>" if math.isfinite(low + high) else ""
    return f"<td><b{kind}>{form.format(value)}</b>{ends}</td>".replace("-0.000", "0.000").replace("-", "−")


def points(accounts: Mapping[str, dict], named: Mapping[str, Look], metric: str,
           seeds: Mapping[str, list[float]] | None = None) -> go.Figure:
    """One metric as a point a source with its 95% interval, the best at the top; other ``seeds`` as small points."""
    sign = {"accuracy": 1}.get(metric, -1)
    found = {label: cell(a, metric) for label, a in accounts.items() if math.isfinite(cell(a, metric)[0])}
    worst = {label: -abs(one[0]) if metric in AROUND else sign * one[0] for label, one in found.items()}
    order = sorted(found, key=worst.get)  # a category axis begins at the bottom
    figure = go.Figure()
    for label in order:
        value, low, high = found[label]
        others = (seeds or {}).get(label) or []
        figure.add_scatter(
            x=np.float32(others), y=[named[label].title] * len(others), mode="markers", showlegend=False, name="other seeds",
            marker={"size": 7, "symbol": "line-ns", "line": {"width": 2, "color": style.clear(named[label].color, 0.6)}},
            hovertemplate="another seed: %{x:.4f}<extra></extra>")
        ends = f" ({low:.4f} to {high:.4f})" if math.isfinite(low + high) else ""
        figure.add_scatter(
            x=[value], y=[named[label].title], mode="markers", name=named[label].title, showlegend=False,
            marker={"size": 12, "color": named[label].color, "line": {"width": 1.5, "color": style.PAPER}},
            error_x={"type": "data", "array": [high - value], "arrayminus": [value - low], "thickness": 2.2, "width": 5,
                     "color": named[label].color} if ends else None,
            hovertemplate=f"{named[label].title}<br><b>%{{x:.4f}}</b>{ends}<extra></extra>")
    numbers = "crps" in names(accounts)
    text = (REGRESSION if numbers else {"error": ("error",)} | COLUMNS).get(metric, (POINTS.get(metric, metric),))[0]
    figure.update_xaxes(style.axis(text, **({"tickformat": ".1%"} if metric == "error" and not numbers else {})))
    figure.update_yaxes(style.axis(None, type="category", ticks="", categoryarray=[named[label].title for label in order]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def by_bins(curves: Mapping[str, np.ndarray], named: Mapping[str, Look], kind: str) -> go.Figure:
    """The errors of ``errors_by_bins`` over the number of bins, one line a source."""
    figure = go.Figure()
    for label, curve in curves.items():
        figure.add_scatter(x=list(SWEPT), y=np.float32(curve), mode="lines", name=named[label].title,
                           hovertemplate="%{y:.4f}", line={"color": named[label].color, "width": 2.2})
    figure.update_xaxes(style.axis("number of bins"))
    figure.update_yaxes(style.axis("ECE" if kind != "debiased" else "ECE, debiased", rangemode="tozero"))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def errors_by_bins(found: Mapping[str, Judged], kind: str) -> dict[str, np.ndarray]:
    """The calibration error (len(SWEPT),) of each source: ``kind`` is ``width``, ``mass`` or ``debiased``."""
    curves = {}
    for label, seen in found.items():
        confidence, right, _ = sources.top(seen)
        rule = "width" if kind == "debiased" else kind
        bins = [sources.binning.binned(confidence, right, b, rule) for b in SWEPT]
        curves[label] = np.array([debiased_error(b, confidence, right) if kind == "debiased" else b.error for b in bins])
    return curves


def in_words(accounts: Mapping[str, dict], named: Mapping[str, Look], metric: str = "nll") -> str:
    """Which source has the lowest value, and from which it cannot be told apart."""
    title = {"nll": "NLL", "error": "error"}.get(metric, POINTS.get(metric, metric))
    first, near = best(accounts, metric, -1)
    if first is None:
        return ""
    value = f"{cell(accounts[first], metric)[0]:.3f}".replace("-", "−")
    text = f"**{named[first].title}** has the {'smallest' if metric in AROUND else 'lowest'} {title}, {value}"
    others = [named[label].title for label in accounts if label in near]
    return f"{text}; its interval meets that of {_and(others)}." if others else f"{text}, with an interval of its own."


def names(accounts: Mapping[str, dict]) -> set[str]:
    return {m for a in accounts.values() for m in a.get("metrics") or {}}


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
