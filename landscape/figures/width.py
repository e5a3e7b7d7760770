"""Width in numbers: one row a solution, one column a measure, also for the same function written in other weights."""

from __future__ import annotations

import math
from html import escape

ROWS = {"sgd": "SGD", "swa": "SWA", "sgd rescaled": "SGD, rescaled", "swa rescaled": "SWA, rescaled"}
TITLES = {"eigenvalues": "largest Hessian eigenvalues", "eigenvalues with weight decay": "the same, with weight decay",
          "trace": "Hessian trace", "sam": "SAM sharpness", "asam": "adaptive sharpness (ASAM)",
          "normalised curvature": "curvature per filter", "ray width": "ray width"}
DOUBLED = ("eigenvalues with weight decay",)  # told in the table, not in words
SAME = 0.02  # relative change up to which a number is called unchanged by rescaling


def table(values: dict, rescaled: bool) -> str:
    """HTML: the measures as rows (they have words), the solutions as columns; with ``rescaled`` their twins beside them."""
    rows = values.get("rows", values)
    about = values.get("about", {})
    names = [n for n in ROWS if n in rows and (rescaled or not n.endswith("rescaled"))]
    head = "".join(f"<th>{ROWS[name]}</th>" for name in names)
    if rescaled:
        head += "<th>changes?</th>"
    body = ""
    for measure in measures(values):
        cells = "".join(f"<td>{cell(rows[name].get(measure))}{_over_seeds(values, name, measure)}</td>" for name in names)
        if rescaled:
            said, bad = verdict(rows, measure)
            cells += f'<td><b class="{"bad" if bad else ""}">{said}</b></td>'
        words = about.get(measure, "")
        body += (f'<tr><th scope="row">{escape(title(measure))}</th>{cells}<td class="words">{escape(words)}</td></tr>')
    return (f'<div class="landscape-wide"><table class="landscape-table"><thead><tr><th></th>{head}<th></th></tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def measures(values: dict) -> list[str]:
    """The names of the columns in the order in which they were given."""
    rows = values.get("rows", values)
    found: dict[str, None] = {}
    for name in ROWS:
        found |= dict.fromkeys(m for m, cells in (rows.get(name) or {}).items() if _numbers(cells))
    return list(found)


def title(measure: str) -> str:
    return TITLES.get(measure, measure.replace("_", " "))


def cell(found) -> str:
    """``3.21 ± 0.02``; several values one below the other."""
    if isinstance(found, (list, tuple)):
        return "<br>".join(cell(one) for one in found)
    if isinstance(found, dict) and "value" in found:
        value, error = found["value"], found.get("error")
        if value is None or error is None or not math.isfinite(error) or error <= 5e-4 * abs(value):
            return _short(value)  # none, or one that changes no digit that is shown
        return f"{_short(value)} ± {_short(error)}"
    return _short(found) if isinstance(found, (int, float)) else "–"


def _over_seeds(values: dict, name: str, measure: str) -> str:
    """The mean over seeds below the value of the one that is drawn, where several were measured."""
    found = ((values.get("mean") or {}).get(name) or {}).get(measure) or {}
    if (found.get("n") or 0) < 2:
        return ""
    return f"<br><small>{found['n']} seeds: {_short(found['mean'])} ± {_short(found['sd'])}</small>"


def verdict(rows: dict, measure: str) -> tuple[str, bool]:
    """Whether a measure tells the same of the same function in other weights; (words, whether it does not)."""
    factors = []
    for name in ("sgd", "swa"):
        one, other = (_numbers((rows.get(n) or {}).get(measure)) for n in (name, f"{name} rescaled"))
        factors += [b / a for a, b in zip(one, other, strict=False) if a]
    if not factors:
        return "not measured", False
    worst = max(factors, key=lambda f: abs(math.log(f)) if f > 0 and math.isfinite(f) else math.inf)
    if abs(worst - 1) <= SAME:
        return "no", False
    if worst <= 0 or not math.isfinite(worst):
        return "yes", True
    return f"yes: {_short(worst)} times" if worst >= 1 else f"yes: {_short(1 / worst)} times smaller", True


def in_words(values: dict) -> str:
    """Which solution is flatter by each measure, and which measures change though the function does not."""
    rows = values.get("rows", values)
    flatter: dict[str, list[str]] = {"SGD": [], "SWA": []}
    for measure in measures(values):
        if measure in DOUBLED:
            continue
        one, other = (_numbers((rows.get(name) or {}).get(measure))[:1] for name in ("sgd", "swa"))
        if one and other and one != other:
            wide = measure.endswith("width")
            flatter["SWA" if (other[0] < one[0]) != wide else "SGD"].append(title(measure))
    said = [f"**{who} is flatter** by {_listed(names)}" for who, names in flatter.items() if names]
    if not said:
        return ""
    changed = [title(m) for m in measures(values) if m not in DOUBLED and verdict(rows, m)[1]]
    text = "; ".join(said) + "."
    if changed:
        text += f" Rescaling a ReLU pair, which changes no output, changes {_listed(changed)}: none of these alone says why."
    return text


def _numbers(cells) -> list[float]:
    if isinstance(cells, (list, tuple)):
        return [v for one in cells for v in _numbers(one)]
    value = cells.get("value") if isinstance(cells, dict) else cells
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def _short(value) -> str:
    if value is None or not math.isfinite(value):
        return "∞" if value is not None and value > 0 else "–"
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.3g}".replace("e+0", "e")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
