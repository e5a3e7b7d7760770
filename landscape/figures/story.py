"""A run of averaging as parts of a page that is handed on: heading, words, figures or a table, and how true they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from landscape.figures import averages, components, fge, gap, levels, rays, shells, table, truth, walks, width
from landscape.results import METRICS, Surface

CURVES = ("sgd", "last", "swa", "prediction average")
RANDOM = {"random sgd": "around SGD", "random swa": "around SWA"}


@dataclass(frozen=True)
class Part:
    """``figures`` by the name they have in the page, ``html`` a table instead; ``true`` are (sentence, ok)."""

    title: str
    words: str = ""
    figures: dict[str, go.Figure] = field(default_factory=dict)
    html: str = ""
    true: tuple[tuple[str, bool], ...] = ()


def parts(library, key: str) -> list[Part]:
    """What there is so far, in the order of the talk's slides."""
    found = {name: library.inherited(key, name) for name in (
        "surface:walk", "surface:twin", "surface:pca", *(f"surface:{n}" for n in RANDOM), "components", "rays", "width",
        "profile:line", "line", "gap", "function", "fge", "fge:run", "table", "shells", *(f"history:{n}" for n in CURVES))}
    found = {name: one for name, one in found.items() if one is not None}
    made = [*_walk(found), *_twin(found), *_components(found), *_width(found), *_line(found), *_functions(found),
            *_table(found), *_shells(found), *_curves(found)]
    return [part for part in made if part.figures or part.html]


def _walk(found: dict) -> Iterator[Part]:
    for name, title in (("walk", "Where SGD goes"), ("pca", "The plane of the principal components")):
        if f"surface:{name}" in found:
            surface: Surface = found[f"surface:{name}"]
            metric = "test_error" if "test_error" in surface.values else next(iter(surface.values))
            both = {f"{kind}-{name}": walks.walk(surface, metric, _scale([surface], metric), name, kind == "relief")
                    for kind in ("map", "relief")}
            yield Part(f"{title}: {METRICS[metric]}", walks.distances_in_words(surface), both, "", _true(surface, metric))


def _twin(found: dict) -> Iterator[Part]:
    if "surface:twin" in found:
        surface: Surface = found["surface:twin"]
        shown = [m for m in ("test_error", "train_loss") if m in surface.values]
        yield Part("SGD and SWA on one plane", walks.shift_in_words(surface),
                   {f"map-twin-{m}": walks.twin(surface, m, _scale([surface], m)) for m in shown}, "",
                   _true(surface, shown[0]) if shown else ())


def _components(found: dict) -> Iterator[Part]:
    if "components" in found:
        result = found["components"]
        yield Part("Principal components of the whole way, and a random walk beside it", components.in_words(result), {
            "components-path": components.path(result), "components-explained": components.explained(result)})


def _width(found: dict) -> Iterator[Part]:
    if "rays" in found:
        series = found["rays"]
        offered = rays.offered(series)
        metric = "test_error" if "test_error" in offered else next(iter(offered), None)
        if metric:
            yield Part("Following random paths", rays.width_in_words(series, metric), {
                "rays": rays.rays(series, metric)}, "", ((truth.said(series.info, metric=metric), True),))
    flat = {name: found[f"surface:{name}"] for name in RANDOM if f"surface:{name}" in found}
    if flat:
        scale = _scale(list(flat.values()), "test_error")
        yield Part("Random planes, filter-normalised, around SGD and around SWA", "", {
            f"map-{name.replace(' ', '-')}": walks.walk(s, "test_error", scale, name) for name, s in flat.items()}, "",
            _true(next(iter(flat.values())), "test_error"))
    if "width" in found:
        values = found["width"].values
        twins = any(name.endswith("rescaled") for name in values.get("rows", values))
        yield Part("Width in numbers", width.in_words(values), html=width.table(values, twins))


def _line(found: dict) -> Iterator[Part]:
    path, told = found.get("profile:line"), found["line"].values if "line" in found else {}
    if path is None or not {"test_error", "train_loss"} <= set(path.values):
        return
    if told.get("distance") is not None:
        path = rays.line_with_ends(path, float((told.get("at") or {}).get("W_SGD", -told["distance"])))
    yield Part("From SWA to SGD", rays.asymmetry_in_words(told), {"line": rays.line(path)}, "",
               ((f"{len(path.t)} networks, each evaluated directly", True),))


def _functions(found: dict) -> Iterator[Part]:
    if "gap" in found:
        figures = {"gap": gap.gap(found["gap"])}
        figures |= {"function": gap.scatter(found["function"])} if "function" in found else {}
        yield Part("Averaging weights, averaging functions", gap.in_words(found["gap"]), figures, "",
                   ((truth.said(found["gap"].info), True),))
    figures = {name: draw(found[result]) for name, result, draw in (
        ("fge", "fge", fge.members), ("fge-run", "fge:run", fge.run)) if result in found}
    yield Part("Fast geometric ensembles", fge.in_words(found["fge"]) if "fge" in found else "", figures, "",
               tuple((truth.said(found[r].info, metric="test_error"), True) for r in ("fge",) if r in found))


def _table(found: dict) -> Iterator[Part]:
    if "table" in found:
        values = found["table"].values
        yield Part("Results", " ".join(values.get("verdict", ())), html=table.table(values), true=(
            (f"mean ± standard deviation over {table.seeds(values)} seeds", True),))


def _shells(found: dict) -> Iterator[Part]:
    if "shells" in found:
        series = found["shells"]
        histogram = shells.histogram(series)
        yield Part("Shells", shells.in_words(series), {"radii": shells.radii(series)} | (
            {"radii-histogram": histogram} if histogram is not None else {}))


def _curves(found: dict) -> Iterator[Part]:
    histories = {name: found[f"history:{name}"] for name in CURVES if f"history:{name}" in found}
    if histories and all("test_error" in h.values for h in histories.values()):
        info = next(iter(histories.values())).info
        moments = {title: info[k] for title, k in (("rate of SGD falls", "branch"), ("averaging starts", "swa_start"))
                   if info.get(k) is not None}
        yield Part("A high constant rate", averages.in_words(histories).replace("**", ""), {
            "curves": averages.averages(histories, "test_error", moments)})


def _scale(surfaces: list[Surface], metric: str):
    cap = surfaces[0].info.get("cap", {}).get(metric)
    return levels.common_scale([np.asarray(s.values[metric]) for s in surfaces], cap)


def _true(surface: Surface, metric: str) -> tuple[tuple[str, bool], ...]:
    return tuple(truth.sentences(surface, metric))
