"""The planes: SGD's walk with its average, SGD against SWA in two metrics, the principal components of the whole way."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from landscape.figures import components, truth, walks
from landscape.figures.averages import last_values
from landscape.results import METRICS, Surface
from landscape.ui import panels, plot
from landscape.ui.averaging.story import Story, captions

TWINS = ("test_error", "train_loss")


def walk(story: Story) -> None:
    """The plane through three snapshots with their mean; the walk appears step by step."""
    surface: Surface = story.found["surface:walk"]
    metric = _metric(story, surface)
    st.markdown("**The plane through W1, W2 and W3.** " + average_in_words(surface, metric))
    _played(story, "walk", surface, metric)


def average_in_words(surface: Surface, metric: str) -> str:
    """What the average has of a metric beside the networks it was made of, and where it lies."""
    means = [m for m in surface.marks if m.kind == "average" and metric in m.values]
    own = [m.values[metric] for m in surface.marks if m.kind != "average" and metric in m.values]
    if len(means) != 1 or not own:
        return ""
    place, mean = means[0], means[0].values[metric]
    unit = (lambda v: f"{100 * v:.1f}%") if metric.endswith("error") else (lambda v: f"{v:.3g}")
    lower = sum(mean < v for v in own)
    how = "lower than all of them" if lower == len(own) else f"lower than {lower} of {len(own)}"
    listed = ", ".join(unit(v) for v in own)
    inside = "in this plane" if place.residual < 1e-6 * np.ptp(surface.axes[0]) else f"{place.residual:.2g} outside it"
    return (f"Their {METRICS[metric]}: {listed}; that of their mean, which lies {inside}: **{unit(mean)}**, {how}.")


def twins(story: Story) -> None:
    """Test error and train loss of one plane, with one camera and one cursor."""
    surface: Surface = story.found["surface:twin"]
    st.markdown("**One plane, two surfaces.** " + walks.shift_in_words(surface) + " " + _seeds(story))
    for column, metric in zip(st.columns(2, gap="medium"), TWINS, strict=True):
        if metric not in surface.values:
            continue
        with column:
            scale = story.scale(metric, "twin")
            panels.legend(scale, metric)
            story.plane("twin", metric, scale, partial(walks.twin, relief=story.view.relief))
            captions("", truth.line(surface, metric), truth.anchor_ok(surface))
    st.caption("The arrow leads from the cell of lowest train loss to that of lowest test error, on this grid. The cross "
               "follows the pointer on the other surface: the same network, read off twice.")


def _seeds(story: Story) -> str:
    """Which of the two is lower in the end, over all seeds: from the curves for test data and train NLL."""
    histories = {name: story.found[f"history:{name}"] for name in ("sgd", "swa") if f"history:{name}" in story.found}
    if len(histories) < 2:
        return ""
    pairs = {}
    loss = "train_loss" if all("train_loss" in h.values for h in histories.values()) else "train_nll"
    for metric in (loss, "test_error"):
        found = last_values(histories, metric)
        if len(found) == 2 and all(np.isfinite(v).any() for v in found.values()):
            pairs[metric] = (found["sgd"], found["swa"])
    return walks.compared_in_words(pairs)


def pca(story: Story) -> None:
    """The plane of the first two components with all snapshots, and beside it what a walk without aim gives."""
    if "surface:pca" in story.found:
        surface: Surface = story.found["surface:pca"]
        _played(story, "pca", surface, _metric(story, surface))
    if "components" not in story.found:
        return
    result = story.found["components"]
    st.markdown("**Explained variance, and a random walk beside it.** " + components.in_words(result))
    parts = (("path", components.path, (result,)), ("explained", components.explained, (result,)),
             ("residuals", walks.residuals, (result.names, result.residuals)))
    for column, (name, draw, given) in zip(st.columns([5, 4, 3], gap="medium"), parts, strict=True):
        with column:
            story.figure(f"components-{name}", draw, *given, height=330)
    st.caption("Axes are distances in weight space. The random walk has as many steps in as many dimensions, each in a "
               "direction of its own: its shares and arcs are what no structure at all looks like.")


def _played(story: Story, name: str, surface: Surface, metric: str) -> None:
    """A plane with its walk, the player below it, how far the walk is from the plane, and how true the surface is."""
    group = f"{story.run.key}-{name}"
    scale = story.scale(metric, name)
    left, right = st.columns([4, 3], gap="large", vertical_alignment="center")
    with left:
        panels.legend(scale, metric)
        story.plane(name, metric, scale, partial(walks.walk, name=name, relief=story.view.relief), group=group)
        if surface.path is not None and len(surface.path) > 1:
            plot.play(f"play-{name}", group, steps_in_words(surface))
    with right:
        captions(walks.distances_in_words(surface), truth.line(surface, metric), truth.anchor_ok(surface))


def steps_in_words(surface: Surface) -> list[str]:
    """One text a snapshot, read out while it is played."""
    n = len(surface.path)
    steps, away = surface.info.get("steps"), surface.info.get("path_residuals")
    said = [f"epoch {float(e):g}" for e in steps] if steps is not None and len(steps) == n else \
        [f"snapshot {i + 1} of {n}" for i in range(n)]
    if away is None or len(away) != n:
        return said
    return [f"{text}  ·  {float(d):.2f} from the plane" for text, d in zip(said, away, strict=True)]


def _metric(story: Story, surface: Surface) -> str:
    return story.view.metric if story.view.metric in surface.values else next(iter(surface.values))
