"""How wide the places are: random rays, random planes, the width in numbers, and the line through both solutions."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from landscape.figures import rays as lines
from landscape.figures import truth, walks
from landscape.figures import width as widths
from landscape.results import METRICS, Profile, Series
from landscape.ui import panels
from landscape.ui.averaging.story import Story, captions

RANDOM = {"random sgd": "SGD", "random swa": "SWA"}


def rays(story: Story) -> None:
    """Rays, then planes of random directions, then numbers."""
    if "rays" in story.found:
        _rays(story, story.found["rays"])
    shown = [name for name in RANDOM if f"surface:{name}" in story.found]
    if shown:
        _planes(story, shown)
    if "width" in story.found:
        _table(story)


def _rays(story: Story, series: Series) -> None:
    offered = lines.offered(series)
    if not offered:
        return
    choice, number, far = st.columns([3, 2, 2], gap="large", vertical_alignment="bottom")
    metric = choice.segmented_control("Rays of", offered, default="test_error" if "test_error" in offered else offered[0],
                                      key="story-rays", required=True, format_func=METRICS.get)
    total, reach = len(series.values[f"sgd {metric}"]), float(np.max(series.x))
    count = number.slider("Rays", 1, total, total, key="story-rays-count") if total > 1 else 1
    until = far.slider("Up to distance", reach / 10, reach, reach, reach / 50, key="story-rays-reach", format="%.3g")
    st.markdown("**The same random directions from both.** " + lines.width_in_words(series, metric))
    story.figure("rays", lines.rays, series, metric, count, until, identity=(metric, count, until), height=440)
    same = lines.agreement(series)
    captions("", truth.said(series.info, f"{total} directions, the same for both",
                            f"at distance 0 all rays agree to {same:.1g}" if np.isfinite(same) else "no value at distance 0",
                            metric=metric), not same > 1e-6)


def _planes(story: Story, shown: list[str]) -> None:
    first = story.found[f"surface:{shown[0]}"]
    metric = story.view.metric if story.view.metric in first.values else next(iter(first.values))
    scale = story.scale(metric, *shown)
    st.markdown("**Random planes, filter-normalised.** The same two random directions, each filter scaled to that of the "
                "network (Li et al. 2018), on the same axes and with the same colours.")
    panels.legend(scale, metric)
    for column, name in zip(st.columns(2, gap="medium"), shown, strict=False):
        with column:
            surface = story.found[f"surface:{name}"]
            st.markdown(f"**{RANDOM[name]}**")
            story.plane(name, metric, scale, partial(walks.walk, name=name, relief=story.view.relief),
                        group=f"{story.run.key}-random")
            captions("", truth.line(surface, metric), truth.anchor_ok(surface))


def _table(story: Story) -> None:
    values = story.found["width"].values
    twins = any(name.endswith("rescaled") for name in values.get("rows", values))
    st.markdown("**Width in numbers.** " + widths.in_words(values))
    rescaled = twins and st.toggle("Rescale a pair of ReLU layers (the function stays the same)", key="story-rescaled",
                                   help="One layer times 10, the next divided by 10: every output stays as it is.")
    st.html(widths.table(values, rescaled))
    for note in values.get("notes") or ():
        st.warning(note)
    st.caption("± is the standard error of an estimate, or the residual of an eigenvalue. A "
               "small number is flat, but for the ray width, where a large one is.")


def line(story: Story) -> None:
    """The line through both solutions, drawn beyond both."""
    told = story.found["line"].values if "line" in story.found else {}
    path: Profile = story.found["profile:line"]
    far = told.get("distance")
    if far is not None:
        path = lines.line_with_ends(path, float((told.get("at") or {}).get("W_SGD", -far)))
    losses = [m for m in ("train_loss", "train_nll", "test_nll") if m in path.values]
    if "test_error" not in path.values or not losses:
        return
    apart = f"SGD and SWA are **{far:.3g}** apart. " if far is not None else ""
    st.markdown("**The line through both.** " + apart + lines.asymmetry_in_words(told))
    paths = {METRICS[m]: "line" for m in ("test_error", losses[0])}
    story.figure("line", lines.line, path, "test_error", losses[0], height=440, place={"run": story.run.key, "paths": paths})
    start = path.values["test_error"][int(np.abs(np.asarray(path.distance)).argmin())]
    info = told if "data" in told else next((s.info for n, s in story.found.items() if n.startswith("surface:")), {})
    captions("", truth.said(info, f"{len(path.t)} networks, each evaluated directly",
                            f"SWA stands at distance 0 with a test error of {100 * float(start):.2f}%", metric="test_error"))
