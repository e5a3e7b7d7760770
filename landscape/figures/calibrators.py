"""What calibrators fitted on validation do to the test set: one metric before and after, and a table of all of them."""

from __future__ import annotations

import math
from html import escape

import plotly.graph_objects as go

from landscape.figures import style

METRICS = {"nll": "NLL", "brier": "Brier", "ece15": "ECE", "ece15_mass": "ECE, equal mass", "ece_debiased": "ECE, debiased",
           "mce": "MCE", "error": "error"}
BETTER, WORSE = "#2b8a9c", "#e8590c"
TABLE = ("nll", "brier", "ece15", "ece_debiased", "error")


def worked(values: dict) -> list[dict]:
    """The calibrators that could be fitted."""
    return [row for row in values.get("rows", ()) if not row.get("failed") and row.get("after")]


def offered(values: dict) -> list[str]:
    """The metrics that are there before and after."""
    return [m for m in METRICS if any(_number(row["after"], m) is not None for row in worked(values))]


def before_and_after(values: dict, metric: str) -> go.Figure:
    """One line a calibrator, from the hollow point before to the full one after; the best is at the top."""
    rows = [row for row in worked(values) if _number(row["after"], metric) is not None]
    rows.sort(key=lambda row: -_number(row["after"], metric))
    figure = go.Figure()
    before = _number(rows[0]["before"], metric) if rows else None
    if before is not None:
        figure.add_vline(x=before, line={"color": style.AXIS, "dash": "dash", "width": 1.3})
    for row in rows:
        start, end = (_number(row[side], metric) for side in ("before", "after"))
        colour = BETTER if end <= start else WORSE
        figure.add_scatter(x=[start, end], y=[_title(row)] * 2, mode="lines", line={"color": colour, "width": 3},
                           hoverinfo="skip", showlegend=False, name=_title(row))
        figure.add_scatter(
            x=[start, end], y=[_title(row)] * 2, mode="markers", showlegend=False, name=_title(row), cliponaxis=False,
            marker={"size": [10, 12], "opacity": 1, "color": [style.PAPER, colour], "line": {"width": 2, "color": colour}},
            text=["before", "after"], customdata=[row.get("parameters") or ""] * 2,
            hovertemplate=f"{_title(row)}, %{{text}}: <b>%{{x:.4f}}</b><br>%{{customdata}}<extra></extra>")
    figure.update_xaxes(style.axis(f"test {METRICS[metric]}", **({"tickformat": ".1%"} if metric == "error" else {})))
    figure.update_yaxes(style.axis(None, type="category", ticks="", categoryarray=[_title(row) for row in rows]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def table(values: dict) -> str:
    """HTML: a row a calibrator with its parameters, its metrics after, and how many predictions it changed."""
    rows = list(values.get("rows", ()))
    good = worked(values)
    shown = [m for m in TABLE if m in offered(values)]
    lowest = {m: min((_number(row["after"], m) for row in good), key=abs, default=math.nan) for m in shown}
    head = "".join(f"<th>{METRICS[m]}</th>" for m in shown) + "<th>predictions changed</th><th>validation NLL</th><th></th>"
    first = good[0]["before"] if good else {}
    body = f'<tr><th scope="row">as they are</th>{"".join(f"<td>{_form(m, _number(first, m))}</td>" for m in shown)}' \
           "<td></td><td></td><td></td></tr>" if first else ""
    return ('<div class="landscape-wide"><table class="landscape-table"><thead><tr><th></th>' + head + "</tr></thead><tbody>"
            + body + "".join(_row(row, shown, lowest) for row in rows) + "</tbody></table></div>")


def in_words(values: dict) -> str:
    """The calibrator of the lowest NLL, whether one made it worse, and whether temperature kept every prediction."""
    rows = worked(values)
    if not rows:
        return "None of the calibrators could be fitted."
    ranked = sorted(rows, key=lambda row: _number(row["after"], "nll") or math.inf)
    first = ranked[0]
    text = (f"**{_title(first)}** has the lowest test NLL, {_number(first['after'], 'nll'):.3f} after "
            f"{_number(first['before'], 'nll'):.3f}.")
    if _number(first["after"], "nll") > _number(first["before"], "nll"):
        text = "**No calibrator lowers the test NLL here.**"
    worse = [_title(row) for row in ranked if _number(row["after"], "nll") > _number(row["before"], "nll")]
    if worse and len(worse) < len(rows):
        text += (f" {', '.join(worse)} {'raises' if len(worse) == 1 else 'raise'} it: what fits the validation examples "
                 "need not fit others.")
    kept = next((row for row in rows if row["calibrator"] == "temperature"), None)
    return text + (f" Temperature changed {kept['changed']:,} predictions." if kept else "")


def _row(row: dict, shown: list[str], lowest: dict[str, float]) -> str:
    head = f'<th scope="row">{escape(_title(row))}</th>'
    if row.get("failed") or not row.get("after"):
        why = escape(str(row.get("failed") or "Nothing was measured."))
        return f'<tr>{head}<td class="words" colspan="{len(shown) + 3}"><b class="bad">{why}</b></td></tr>'
    cells = ""
    for m in shown:
        value = _number(row["after"], m)
        text = _form(m, value)
        cells += f"<td>{f'<b class=best>{text}</b>' if value == lowest[m] else text}</td>"
    on_validation = row.get("validation_nll") or ()
    fitted = " → ".join(f"{v:.3f}" for v in on_validation if v is not None)
    return (f'<tr>{head}{cells}<td>{row.get("changed", 0):,}</td><td>{fitted or "–"}</td><td class="words">'
            f'{escape(str(row.get("parameters") or ""))}</td></tr>')


def _title(row: dict) -> str:
    return str(row.get("title") or row["calibrator"])


def _number(values: dict, metric: str) -> float | None:
    found = (values or {}).get(metric)
    found = found.get("value") if isinstance(found, dict) else found
    return float(found) if isinstance(found, (int, float)) and math.isfinite(found) else None


def _form(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if metric == "error" else f"{value:.3f}".replace("-", "−")
