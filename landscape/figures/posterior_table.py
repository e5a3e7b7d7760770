"""The comparison of methods: a table, the likelihoods as points with their spread, and what a method costs."""

from __future__ import annotations

import math
from html import escape

import numpy as np
import plotly.graph_objects as go

from landscape.figures import methods, style

COLUMNS = {  # name -> title, written as, whether the best stands out: +1 the highest, -1 the lowest, 0 none
    "nll": ("test NLL", "{:.3f}", -1),
    "error": ("test error", "{:.1%}", -1),
    "ece": ("ECE", "{:.3f}", -1),
    "brier": ("Brier", "{:.3f}", -1),
    "agreement": ("agreement", "{:.1%}", 1),
    "total_variation": ("total variation", "{:.3f}", -1),
    "tv": ("TV to the grid", "{:.3f}", 0),
    "gap_ratio": ("gap / data", "{:.2f}", 0),
    "rhat": ("R-hat", "{:.3f}", 0),
    "ess": ("eff. draws", "{:,.0f}", 0),
    "gradient_evaluations": ("gradients", "{:,.0f}", 0),
    "cpu_seconds": ("CPU s", "{:.1f}", 0),
}
TO_REFERENCE = ("agreement", "total_variation")


def cells(row: dict, column: str) -> tuple[float, float, int]:
    """``(mean, sd, n)`` of a number of a row; NaN where there is none. A plain number has no spread."""
    found = row.get(column)
    if isinstance(found, dict):
        mean, sd = found.get("mean"), found.get("sd")
        return (
            math.nan if mean is None else float(mean),
            math.nan if sd is None else float(sd),
            int(found.get("n") or row.get("n") or 1),
        )
    return (float(found) if isinstance(found, (int, float)) else math.nan), math.nan, 1


def table(values: dict, address: str = "", kind: str = "classification") -> str:
    """HTML: one row a method, one column a number; the best of a column stands out, a method that failed says why.

    ``address`` turns the key of a run into a link, as ``runs?filter={key}``.
    """
    rows = values.get("rows", [])
    shown = [c for c in COLUMNS if any(math.isfinite(cells(row, c)[0]) for row in rows)]
    best = {c: _best(rows, c, values.get("reference")) for c in shown}
    head = "".join(f"<th>{_title(c, kind)}</th>" for c in shown)
    body = "".join(_row(row, shown, best, address, kind, values.get("reference")) for row in rows)
    return (
        f'<div class="landscape-wide"><table class="landscape-table landscape-budgets"><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def seeds(values: dict) -> int:
    """The smallest number of seeds behind a likelihood of the table; 0 where there is none."""
    return min((cells(row, "nll")[2] for row in values.get("rows", []) if math.isfinite(cells(row, "nll")[0])), default=0)


def likelihoods(values: dict, column: str = "nll") -> go.Figure:
    """One point a method with its standard deviation over seeds, the best at the top."""
    rows = [row for row in values.get("rows", []) if math.isfinite(cells(row, column)[0])]
    rows.sort(key=lambda row: -COLUMNS[column][2] * -cells(row, column)[0])
    figure = go.Figure()
    for row in rows:
        look, (mean, sd, n) = methods.look(row["label"]), cells(row, column)
        title = look.title
        spread = f" ± {sd:.4f} over {n} seeds" if math.isfinite(sd) else ""
        figure.add_scatter(
            x=[mean],
            y=[title],
            mode="markers",
            name=title,
            showlegend=False,
            marker={"size": 12, "color": look.color, "line": {"width": 1.5, "color": style.PAPER}},
            error_x={"type": "data", "array": [sd], "thickness": 2, "width": 5, "color": look.color}
            if math.isfinite(sd)
            else None,
            hovertemplate=f"{title}<br><b>%{{x:.4f}}</b>{spread}<extra></extra>",
        )
    figure.update_xaxes(style.axis(COLUMNS[column][0], zeroline=False))
    figure.update_yaxes(
        style.axis(
            None, showgrid=True, type="category", ticks="", categoryarray=[methods.look(row["label"]).title for row in rows]
        )
    )
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def _title(column: str, kind: str) -> str:
    return "RMSE" if column == "error" and kind == "regression" else COLUMNS[column][0]


def _best(rows: list[dict], column: str, reference: str | None) -> float:
    """The best mean; agreement with the reference is not the reference's own."""
    sign = COLUMNS[column][2]
    found = [cells(row, column)[0] for row in rows if not (column in TO_REFERENCE and row.get("label") == reference)]
    found = [v for v in found if math.isfinite(v)]
    return math.nan if not sign or len(found) < 2 else max(found) if sign > 0 else min(found)


def _row(row: dict, shown: list[str], best: dict, address: str, kind: str, reference: str | None) -> str:
    look = methods.look(row["label"])
    title = escape(look.title) + ("<small> · reference</small>" if row["label"] == reference else "")
    head = f'<th scope="row"><i style="background:{look.color}"></i>{title}</th>'
    if row.get("failed"):
        return (
            f'<tr>{head}<td class="words" colspan="{len(shown)}"><b class="bad">{escape(str(row["failed"]))}</b></td></tr>'
        )
    return f"<tr>{head}{''.join(_cell(row, c, best[c], address, kind) for c in shown)}</tr>"


def _cell(row: dict, column: str, best: float, address: str, kind: str) -> str:
    mean, sd, n = cells(row, column)
    if not math.isfinite(mean):
        return "<td>–</td>"
    form = "{:.3f}" if column == "error" and kind == "regression" else COLUMNS[column][1]
    text = form.format(mean) + (f" ± {form.format(sd)}" if n > 1 and sd > 0 else "")
    text = text.replace("-", "−")
    runs = row.get("runs") or []
    if runs and address and column == "nll":
        text = f'<a href="{escape(address.format(key=runs[0]))}" target="_self">{text}</a>'
    return f"<td>{f'<b class=best>{text}</b>' if mean == best else text}</td>"


def in_words(values: dict) -> str:
    """The method with the lowest test NLL, and how far the others are from it."""
    rows = [row for row in values.get("rows", []) if math.isfinite(cells(row, "nll")[0])]
    if len(rows) < 2:
        return ""
    rows.sort(key=lambda row: cells(row, "nll")[0])
    names = [methods.look(row["label"]).title for row in rows]
    first, second, last = (cells(rows[i], "nll")[0] for i in (0, 1, -1))
    spread = np.nanmax([0.0, *(s for i in (0, 1) if math.isfinite(s := cells(rows[i], "nll")[1]))])
    close = " (closer than the spread over seeds)" if second - first < spread else ""
    return (
        f"Lowest test NLL: **{names[0]}** {first:.3f}, then {names[1]} {second:.3f}{close}; highest {names[-1]} {last:.3f}."
    ).replace(" -", " −")
