"""A finished run as files that need nothing of this program: one offline page, or pictures."""

from __future__ import annotations

import datetime
import importlib.util
import json
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from landscape import __version__
from landscape.errors import BadInput, unknown
from landscape.figures import history, judgements, levels, profile, story, surface, truth
from landscape.results import METRICS, Profile, Surface

PLANES = {"optima": "Three independently trained networks", "bezier": "The plane of the Bezier curve",
          "chain": "The plane of the polygonal chain"}
TOLD = {"averaging": story.parts, "calibration": judgements.parts, "predictions": judgements.parts}
STYLE = (Path(__file__).parent / "page.css").read_text()
SCRIPT = (Path(__file__).parent / "page.js").read_text()


def standalone(library, key: str, metric: str = "train_loss") -> str:
    """One HTML page with plotly.js in it: the planes as maps and reliefs, profiles, training, numbers, provenance."""
    run = library.run(key)
    planes, paths = _planes(library, run.key), _paths(library, run.key)
    told = TOLD[run.recipe](library, run.key) if run.recipe in TOLD else []
    if not planes and not told:
        raise BadInput(f"Run {run.key} has no surface to show yet: it is {run.status}. Wait until it has drawn one.")
    figures: dict[str, go.Figure] = {}
    maps = _maps(planes, paths, metric, figures) if planes else ""
    head = _head(run, metric if planes else None, bool(planes) or run.recipe == "averaging")
    body = [head, maps, *(_part(part, figures) for part in told),
            _profiles(paths, metric, figures), _training(library, run.key, figures), _rounding(library, run),
            _numbers(library.result(run.key, "summary")), _provenance(run)]
    data = json.dumps({name: json.loads(f.to_json(validate=False)) for name, f in figures.items()}).replace("</", "<\\/")
    library_code = get_plotlyjs().replace("</script", "<\\/script")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{escape(run.title)}</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main>"
            f'<script>{library_code}</script><script type="application/json" id="figures">{data}</script>'
            f"<script>{SCRIPT}</script></body></html>")


def images(library, key: str, format: str, metric: str = "train_loss") -> dict[str, bytes]:
    """``{name: file content}`` of every figure, ``png`` or ``svg``; an empty dict when there is nothing to draw yet."""
    if format not in ("png", "svg"):
        raise unknown("picture format", format, ("png", "svg"))
    if importlib.util.find_spec("kaleido") is None:
        raise BadInput(f"Export as {format} needs kaleido. Install it with: pip install 'landscape[export]'.")
    run, figures = library.run(key), {}
    planes, paths = _planes(library, run.key), _paths(library, run.key)
    if planes:
        _maps(planes, paths, metric, figures)
    for part in TOLD[run.recipe](library, run.key) if run.recipe in TOLD else ():
        figures |= part.figures
    _profiles(paths, metric, figures)
    _training(library, run.key, figures)
    found = {}
    for name, figure in figures.items():
        figure.update_layout(paper_bgcolor="#ffffff", font={"color": "#1c2028", "family": "Helvetica, Arial"})
        found[f"{run.key}-{name}"] = figure.to_image(format=format, width=900, height=720 if "-" in name else 560, scale=2)
    return found


def _planes(library, key: str) -> dict[str, Surface]:
    found = {name: library.result(key, f"surface:{name}") for name in PLANES}
    return {name: s for name, s in found.items() if s is not None}


def _paths(library, key: str) -> dict[str, Profile]:
    found = {kind: library.result(key, f"profile:{kind}") for kind in ("segment", "bezier", "chain")}
    return {kind: p for kind, p in found.items() if p is not None}


def _when(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%d %B %Y, %H:%M} UTC"


def _head(run, metric: str | None, maps: bool) -> str:
    """With the metric of all maps; without one, every map has its own, if there are ``maps``."""
    said = "Every contour multiplies the excess over the minimum by the same factor"
    said = f"{METRICS[metric]} in weight space. {said}; the maps share one scale." if metric else f"{said}." if maps else ""
    return (f'<header><p class="over">Loss Valleys</p><h1>{escape(run.title)}</h1><p class="under">{said}</p></header>')


def _part(part: story.Part, figures: dict[str, go.Figure]) -> str:
    drawn = "".join(_plot(name, figures, figure) for name, figure in part.figures.items())
    words = f'<p class="lead">{escape(part.words.replace("**", ""))}</p>' if part.words else ""
    told = _told(part.true)
    return (f'<section><h2>{escape(part.title)}</h2>{words}<div class="pair">{drawn}</div>{part.html}'
            f'<p class="truth">{told}</p></section>')


def _plot(name: str, figures: dict[str, go.Figure], figure: go.Figure) -> str:
    figures[name] = figure
    return f'<div class="plot {"deep" if name.startswith("relief") else ""}" id="{name}"></div>'


def _maps(planes: dict[str, Surface], paths: dict[str, Profile], metric: str, figures: dict[str, go.Figure]) -> str:
    for s in planes.values():
        if metric not in METRICS or metric not in s.values:
            raise unknown("metric", metric, [m for m in METRICS if m in s.values])
    cap = next(iter(planes.values())).info.get("cap", {}).get(metric)
    scale = levels.common_scale([s.values[metric] for s in planes.values()], cap)
    sections, walked = [], list(paths.values())
    for name, s in planes.items():
        told = _told(truth.sentences(s, metric))
        sections.append(
            f'<section><h2>{PLANES[name]}</h2><div class="pair">'
            + _plot(f"map-{name}", figures, surface.contour(s, metric, scale, name, walked))
            + _plot(f"relief-{name}", figures, surface.relief(s, metric, scale, name, walked))
            + f'</div><p class="truth">{told}</p></section>')
    return "".join(sections)


def _profiles(paths: dict[str, Profile], metric: str, figures: dict[str, go.Figure]) -> str:
    if not paths:
        return ""
    other = "test_error" if all("test_error" in p.values for p in paths.values()) else metric
    return (f'<section><h2>Along the paths</h2><p class="lead">{escape(profile.maxima_in_words(paths, metric))}</p>'
            + _plot("profile", figures, profile.twin(paths, metric, other)) + "</section>")


def _training(library, key: str, figures: dict[str, go.Figure]) -> str:
    text = ""
    for name, title in (("training", "How the networks were trained"), ("curves", "How the curves were trained")):
        found = library.inherited(key, f"history:{name}")
        shown = [m for m in ("train_loss", "validation_error") if found is not None and m in found.values]
        if shown:
            text += (f"<section><h2>{title}</h2>" + _plot(f"history_{name}", figures, history.history(found, shown))
                     + "</section>")
    return text


def _rounding(library, run) -> str:
    told = truth.trained(library, run)
    return f'<section><p class="truth">{_told(told)}</p></section>' if told else ""


def _told(sentences) -> str:
    return " · ".join(f'<span class="{"ok" if ok else "bad"}">{escape(text)}</span>' for text, ok in sentences)


def _cell(value) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else escape(str(value))


def _numbers(summary) -> str:
    if summary is None:
        return ""
    columns = {"ends": "networks", "line_max": "segment, highest", "bezier_max": "Bezier curve, highest",
               "chain_max": "chain, highest"}
    rows = {m: v for m, v in summary.values.items() if isinstance(v, dict) and "ends" in v}
    table = "".join(f"<tr><th>{METRICS.get(m, m)}</th>" + "".join(f"<td>{_cell(v.get(c))}</td>" for c in columns) + "</tr>"
                    for m, v in rows.items())
    rest = " · ".join(f"{name.replace('_', ' ')} {_cell(v)}" for name, v in summary.values.items()
                      if not isinstance(v, dict))
    return ('<section><h2>Numbers</h2><div class="wide"><table><tr><th></th>'
            + "".join(f"<th>{c}</th>" for c in columns.values())
            + f'</tr>{table}</table></div><p class="truth">{rest}</p></section>')


def _provenance(run) -> str:
    settings = "".join(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{_cell(value) or '–'}</dd>"
                       for name, value in sorted(run.settings.items()))
    facts = {"run": run.key, "recipe": run.recipe, "made from runs": ", ".join(run.parents), "status": run.status,
             "finished": _when(run.finished), "CPU seconds": f"{run.cpu_seconds:.1f}", "program": f"landscape {__version__}"}
    told = "".join(f"<dt>{name}</dt><dd>{escape(value) or '–'}</dd>" for name, value in facts.items())
    return f"<section><h2>Provenance</h2><dl>{told}</dl><h3>Settings</h3><dl>{settings}</dl></section>"
