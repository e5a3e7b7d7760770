"""The table of slides 17 and 18 with our own numbers: SGD, SWA and FGE at several budgets, mean and spread over seeds."""

from __future__ import annotations

import math
from html import escape

from landscape.figures import style

COLUMNS = {"test_error": ("test error", True), "test_nll": ("test NLL", False)}


def table(values: dict, address: str = "") -> str:
    """HTML: one row a method, one group of columns a budget; the lowest of each column stands out.

    ``address`` turns the key of a run into a link, as ``runs?filter={key}``.
    """
    rows = values.get("rows", [])
    methods = list(dict.fromkeys(row["method"] for row in rows))
    budgets = sorted({float(row["budget"]) for row in rows})
    shown = [metric for metric in COLUMNS if any(row.get(metric) for row in rows)]
    at = {(row["method"], float(row["budget"])): row for row in rows}
    best = {(b, m): min((_mean(at.get((k, b)), m) for k in methods), default=math.inf) for b in budgets for m in shown}
    head = "".join(f'<th colspan="{len(shown)}">{b:g} budget{"" if b == 1 else "s"}</th>' for b in budgets)
    under = "".join(f"<th>{COLUMNS[m][0]}</th>" for _ in budgets for m in shown)
    body = ""
    for method in methods:
        cells = "".join(_cell(at.get((method, b)), m, best[b, m], address) for b in budgets for m in shown)
        body += (f'<tr><th scope="row"><i style="background:{_color(method)}"></i>{escape(method)}</th>{cells}</tr>')
    return (f'<div class="landscape-wide"><table class="landscape-table landscape-budgets"><thead><tr><th></th>{head}</tr>'
            f"<tr><th></th>{under}</tr></thead><tbody>{body}</tbody></table></div>")


def seeds(values: dict) -> int:
    """The smallest number of seeds behind a number of the table; 0 where none is said."""
    counts = [row[m]["n"] for row in values.get("rows", []) for m in COLUMNS if (row.get(m) or {}).get("n")]
    return int(min(counts)) if counts else 0


def _cell(row: dict | None, metric: str, best: float, address: str) -> str:
    found = (row or {}).get(metric)
    if not found or found.get("mean") is None:
        return "<td>–</td>"
    mean, spread, n = found["mean"], found.get("sd"), found.get("n")
    percent = COLUMNS[metric][1]
    text = f"{100 * mean:.1f}" if percent else f"{mean:.3f}"
    if spread is not None and math.isfinite(spread) and (n or 2) > 1:
        text += f" ± {100 * spread:.1f}" if percent else f" ± {spread:.3f}"
    text += "%" if percent else ""
    runs = row.get("runs") or []
    if runs and address:
        text = f'<a href="{escape(address.format(key=runs[0]))}" target="_self" title="{escape(", ".join(runs))}">{text}</a>'
    small = f"<small> n = {n}</small>" if n else ""
    text = f'<b class="best">{text}</b>' if mean <= best else text
    return f"<td>{text}{small}</td>"


def _mean(row: dict | None, metric: str) -> float:
    mean = ((row or {}).get(metric) or {}).get("mean")
    return math.inf if mean is None or not math.isfinite(mean) else float(mean)


def _color(method: str) -> str:
    return style.METHODS.get(method.lower(), {"color": "#8b93a1"})["color"]
