"""What is seen of opened checkpoints, by how many there are: lines, a plane, a path, the pairs, the average."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from landscape.figures import components, lines, matrix, truth
from landscape.figures import surface as surfaces
from landscape.figures.levels import Scale, common_scale
from landscape.results import METRICS, Components, Matrix, Profile, Surface
from landscape.runs import Library, Run
from landscape.ui import looking, opened, panels, plot, running
from landscape.ui.plot import figure_json
from landscape.ui.reading import POSTERIOR, stamp
from landscape.ui.report import error, number

PLANES = {  # name of the surface -> heading
    "pca": "The plane of the first two principal components",
    "plane": "The plane through the three networks",
    "random": "A random plane around the network, filter-normalised",
}
BETWEEN, THROUGH = ("line", "matched", "bezier"), ("line 1", "line 2")
LIKELIHOODS = ("cross-entropy", "gaussian")  # losses that are a likelihood of which there is a posterior
CURVE_EPOCHS = 40  # passes over the training data for a curve asked for afterwards
NAMES = (*(f"surface:{name}" for name in PLANES), *(f"profile:{name}" for name in (*BETWEEN, *THROUGH)), "report", "samples",
         "matrix", "components", "average", "summary")


@st.cache_resource(max_entries=32, show_spinner=False)
def results(_library: Library, at: tuple) -> dict:
    """Every result there is so far, by name; read again only when something was saved (``at`` is the run's stamp)."""
    found = {name: _library.result(at[1], name) for name in NAMES}
    return {name: one for name, one in found.items() if one is not None}


@st.cache_data(max_entries=128, show_spinner=False)
def _drawn(_draw, identity: tuple, _arguments: tuple) -> str:
    """The JSON of a figure; ``identity`` stands for the function and its arguments."""
    return figure_json(_draw(*_arguments))


def offered(found: dict) -> tuple[str, ...]:
    """The metrics that every surface and line has, in the order in which they are offered; empty while nothing is drawn."""
    pictured = [one.values for one in found.values() if isinstance(one, Surface | Profile)]
    return tuple(m for m in ("test_nll", "test_error", "train_loss", "train_nll", "train_error")
                 if pictured and all(m in values for values in pictured))


def controls(found: dict) -> panels.View:
    """The row above the pictures; where there is no surface, only what is shown along lines."""
    metrics = offered(found)
    if any(isinstance(one, Surface) for one in found.values()):
        return panels.controls(metrics)
    losses = [m for m in metrics if not m.endswith("error")]
    asked, metric = st.query_params.get("metric"), losses[0]
    if len(losses) > 1:
        metric = st.segmented_control("Shown", losses, default=asked if asked in losses else metric, format_func=METRICS.get,
                                      key="shown", required=True)
    return panels.View(metric, False, None, None, None)


def pictures(library: Library, run: Run, view: panels.View) -> None:
    """Everything that can be seen so far, each with its line on how true it is; a click opens a point below the first."""
    at = stamp(library, run)
    found = results(library, at)
    for name in PLANES:
        if f"surface:{name}" in found:
            _place(run, at, name, found, view)
    _paths(run, at, found, view.metric)
    opened.panel(library, run, view.metric)
    if "components" in found:
        _components(run, at, found["components"])
    if "matrix" in found and len(found["matrix"].names) > 2:
        _pairs(run, at, found)
    elif "average" in found:
        _average(found)
    _posterior(run, found)


def _posterior(run: Run, found: dict) -> None:
    """A way to the posterior around these networks, in the subspace that their number allows."""
    report = found["report"].values if "report" in found else {}
    count = len(report.get("usable", ()))
    likely = report.get("loss") in LIKELIHOODS and report.get("own_train", True)
    if run.status != "done" or not count or not likely:
        return
    st.subheader("The posterior around them" if count > 1 else "The posterior around it")
    said, way = st.columns([3, 2], gap="large", vertical_alignment="center")
    said.markdown("Draw further networks near these, by several methods, and see what they predict together: bands, doubt, "
                  "calibration.")
    wanted = {"source": run.key, "about": run.title.removeprefix("Checkpoints · ")}
    if "profile:bezier" in found:
        wanted |= {"subspace": "curve", "scaling": "singular values"}
    elif count > 2:
        wanted |= {"subspace": "pca", "scaling": "singular values"}
    wanted["methods"] = ("ess", "laplace_subspace", *(("ensemble",) if count > 1 else ()))
    if way.button("Draw from it", icon=":material/bubble_chart:", key="draw-posterior", **looking.off()):
        running.submit("around", wanted, POSTERIOR)


def _place(run: Run, at: tuple, name: str, found: dict, view: panels.View) -> None:
    """A surface; beside it the lines through the one network, or the components of the many."""
    surface, metric = found[f"surface:{name}"], view.metric
    scale = _scale(surface, metric, view)
    st.subheader(PLANES[name])
    panels.legend(scale, metric)
    beside = name == "random" or "components" in found
    left, right = st.columns([3, 2], gap="medium") if beside else (st.container(), None)
    with left:
        figure = _drawn(_plane, (*at, name, metric, view.relief, scale), (surface, metric, scale, name, view.relief))
        plot.plot(figure, f"plane-{name}-{'3d' if view.relief else '2d'}", height=_height(surface, view.relief),
                  group=f"run-{run.key}", bar=False, name=name, revision=f"{run.key}-{name}",
                  place={"run": run.key, "plane": name, "marks": [mark.name for mark in surface.marks]})
        said = truth.line(surface, metric)
        (st.caption if truth.anchor_ok(surface) else st.error)(said)
    if right is None:
        return
    with right:
        if name == "random":
            _through(run, at, found, metric)
        else:
            _explained(run, at, found["components"])


def _plane(surface: Surface, metric: str, scale: Scale, name: str, relief: bool):
    figure = (surfaces.relief if relief else surfaces.contour)(surface, metric, scale, name)
    return components.named(figure, matrix.short_names(tuple(mark.name for mark in surface.marks)))


def _height(surface: Surface, relief: bool) -> int:
    """As high as a map of equal aspect needs, so that no empty band is left below it."""
    across, up = (float(np.ptp(axis)) for axis in surface.axes)
    return 540 if relief else int(np.clip(90 + 640 * up / max(across, 1e-12), 320, 560))


def _scale(surface: Surface, metric: str, view: panels.View) -> Scale:
    cap = view.cap if view.cap is not None else surface.info.get("cap", {}).get(metric)
    return common_scale([surface.values[metric]], cap, view.offset, view.growth)


def _chosen(found: dict, names: tuple[str, ...]) -> dict[str, Profile]:
    return {name: found[f"profile:{name}"] for name in names if f"profile:{name}" in found}


def _clickable(run: Run, shown: dict[str, Profile]) -> dict:
    """Which path each drawn line is, so that a click on it opens a network."""
    return {"run": run.key, "paths": {lines.title(name): name for name in shown}}


def _panels_of(metric: str) -> tuple[str, str]:
    """The loss and the error of the split that is shown."""
    split = metric.split("_")[0]
    return metric if not metric.endswith("error") else f"{split}_nll", f"{split}_error"


def _through(run: Run, at: tuple, found: dict, metric: str) -> None:
    shown = _chosen(found, THROUGH)
    if not shown:
        return
    st.markdown("**Along two random directions**")
    figure = _drawn(lines.through, (*at, "through", metric), (shown, _panels_of(metric)))
    plot.plot(figure, "through", height=480, revision=f"{run.key}-through", place=_clickable(run, shown))
    st.caption("Each point is evaluated directly. Directions are drawn at random and scaled filter by filter to the "
               "network's own weights (Li et al. 2018): a few directions out of many, not a measure of sharpness.")


def _paths(run: Run, at: tuple, found: dict, metric: str) -> None:
    """The line between two networks, the same after matching, the trained curve, and the barrier in words."""
    shown = _chosen(found, BETWEEN)
    if not shown:
        return
    loss, wrong = _panels_of(metric)
    st.subheader("Between the two networks")
    words, numbers = st.columns([3, 2], gap="large")
    words.markdown(lines.barrier_in_words(shown, loss) + " " + lines.barrier_in_words(shown, wrong))
    if "matrix" in found and len(found["matrix"].names) == 2:
        with numbers:
            _one_pair(found["matrix"])
    figure = _drawn(lines.between, (*at, "between", metric), (shown, (loss, wrong)))
    plot.plot(figure, "between", height=480, revision=f"{run.key}-between", name="between", place=_clickable(run, shown))
    st.caption("Each point is evaluated directly. Matching permutes hidden units of the second network, which changes none "
               "of its outputs (Ainsworth et al. 2023); what remains of the barrier is not a matter of their order.")
    possible = run.status == "done" and "profile:bezier" not in found and run.settings.get("precision") != "bfloat16"
    if possible and st.button("Train a curve between them", icon=":material/timeline:", key="train-curve",
                              **looking.off(help="A path of low loss (Garipov et al. 2018), as a run of its own beside "
                                                 "this one.")):
        running.submit("inspect", run.settings | {"curve_epochs": CURVE_EPOCHS})


def _one_pair(result: Matrix) -> None:
    """The numbers of the only pair there is."""
    told = {name: float(result.values[name][0, 1]) for name in matrix.shown(result)}
    tiles = "".join(f"<li><span>{escape(matrix.QUANTITIES[name].title)}</span><b>"
                    f"{f'{value:.1%}' if matrix.QUANTITIES[name].alike else f'{value:.3g}'}</b></li>"
                    for name, value in told.items())
    st.html(f'<div class="landscape-numbers"><ul class="landscape-tiles">{tiles}</ul></div>')


def _explained(run: Run, at: tuple, result: Components) -> None:
    st.markdown("**Explained variance, and that of a random walk**")
    plot.plot(_drawn(components.explained, (*at, "explained"), (result,)), "explained", height=300,
              revision=f"{run.key}-explained")
    st.markdown(components.in_words(result))


def _components(run: Run, at: tuple, result: Components) -> None:
    st.subheader("The path, and a random walk beside it")
    parts = ((components.path, 5), (components.against_order, 4), (components.residuals, 3))
    for column, (draw, _) in zip(st.columns([width for _, width in parts], gap="medium"), parts, strict=True):
        with column:
            name = draw.__name__
            plot.plot(_drawn(draw, (*at, name), (result,)), name, height=320, revision=f"{run.key}-{name}")
    st.caption("Principal components of the weights as they are, in weight-space distance. The random walk has as many "
               "steps, each in a direction of its own: its shares and arcs are what no structure at all looks like.")


def _pairs(run: Run, at: tuple, found: dict) -> None:
    """The square of one quantity on the left; all quantities in words, and the average, on the right."""
    result: Matrix = found["matrix"]
    n = len(result.names)
    offered = matrix.shown(result)
    if not offered:
        return
    st.subheader("Every pair")
    left, right = st.columns([3, 2], gap="large", vertical_alignment="top")
    with left:
        order = matrix.by_likeness(result)
        switch, sort = st.columns([3, 2], vertical_alignment="center")
        quantity = switch.segmented_control("Quantity", offered, default=offered[0], key="pairs", required=True,
                                            format_func=lambda q: matrix.QUANTITIES[q].title, label_visibility="collapsed")
        near = order is not None and sort.toggle("Near ones together", key="pairs-sorted",
                                                 help="Average linkage of the distances.")
        figure = _drawn(matrix.heatmap, (*at, "pairs", quantity, near), (result, quantity, order if near else None))
        plot.plot(figure, "pairs-plot", height=min(720, 110 + round(n * max(34, min(72, 420 / n)))),
                  revision=f"{run.key}-{quantity}-{near}")
    with right:
        for name in offered:
            about = result.info.get(name) or matrix.QUANTITIES[name].about
            st.markdown(f"**{matrix.QUANTITIES[name].title.capitalize()}.** {about} {matrix.in_words(result, name)}")
        st.caption("Light is alike, in all of them.")
        if "average" in found:
            _average(found)


def _average(found: dict) -> None:
    """The mean of the weights beside the networks it was made of."""
    values, told = found["average"].values, found["report"].values if "report" in found else {}
    files = [file for file in told.get("files", ()) if file.get("usable", True)]
    rows = [("average of the weights", values)]
    for title, pick in (("best single network", min), ("worst single network", max)):
        known = {k: [f[k] for f in files if f.get(k) is not None] for k in ("nll", "error")}
        if all(known.values()):
            rows.append((title, {k: pick(v) for k, v in known.items()}))
    table = "".join(f"<tr><th>{escape(title)}</th><td>{number(row.get('nll'))}</td>"
                    f"<td>{error(row.get('error'), told.get('kind', ''))}</td></tr>" for title, row in rows)
    st.subheader("The average of the weights")
    st.html(f'<table class="landscape-table"><thead><tr><th></th><th>Loss</th><th>Error</th></tr></thead>{table}</table>')
    how = values.get("batchnorm", "none")
    st.caption("Izmailov et al. 2018." + ("" if how == "none" else f" BatchNorm statistics {how}: those of a single network "
                                          "would not fit the average."))
