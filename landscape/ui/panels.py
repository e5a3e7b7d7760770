"""The linked panels of a valleys run: three planes, the walker, the profile, and how true each picture is."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import streamlit as st

from landscape.figures import style, truth
from landscape.figures.levels import PRESETS, Scale
from landscape.figures.profile import maxima_in_words
from landscape.results import METRICS
from landscape.runs import Library, Run
from landscape.ui import plot
from landscape.ui.places import network_of
from landscape.ui.reading import PATHS, PLANES, profile_json, profiles, shared_scale, stamp, surface_json, surfaces

TITLES = {"optima": "Three independent optima", "bezier": "Bezier curve", "chain": "Polygonal chain"}
SHOWN = ("train_loss", "train_error", "test_nll", "test_error", "train_nll")


@dataclass(frozen=True)
class View:
    """What is shown of a run: part of the URL, so a link shows the same."""

    metric: str
    relief: bool
    cap: float | None
    offset: float | None
    growth: float | None


def controls(shown: tuple[str, ...] = SHOWN) -> View:
    """The row above the panels; ``shown`` are the metrics that are offered."""
    left, middle, right = st.columns([5, 3, 2], vertical_alignment="bottom")
    asked = st.query_params.get("metric")
    metric = left.segmented_control(
        "Shown", shown, default=asked if asked in shown else shown[0], format_func=METRICS.get, key="shown", required=True
    )
    if (asked or shown[0]) != metric:
        st.query_params["metric"] = metric  # the metric's own name; a bound widget would write its title
    view = middle.segmented_control(
        "View", ["contour", "3D"], default="contour", key="view", bind="query-params", required=True
    )
    with right.popover("Levels", icon=":material/tune:", width="stretch"):
        st.caption("Every contour multiplies the excess over the minimum by the same factor (the rule of the talk).")
        preset = st.selectbox("Spacing", [*PRESETS, "own factor"], key="levels", bind="query-params")
        growth = st.slider(
            "Factor from level to level",
            1.2,
            4.0,
            2.0,
            0.05,
            key="factor",
            bind="query-params",
            disabled=preset != "own factor",
        )
        chosen = st.toggle("Saturate at a value of my own", key="own_cap", bind="query-params")
        cap = st.number_input(
            "Saturate above", min_value=1e-6, value=1.0, key="cap", bind="query-params", disabled=not chosen
        )
    own = preset == "own factor"
    return View(metric, view == "3D", cap if chosen else None, None if own else PRESETS[preset], growth if own else None)


def planes(library: Library, run: Run, view: View) -> None:
    """Three linked panels, those that have something to show; a line under each says how true it is."""
    at = stamp(library, run)
    found = surfaces(library, at)
    if not found:
        return
    walked = profiles(library, at)
    scale = shared_scale(found, view.metric, view.cap, view.offset, view.growth)
    legend(scale, view.metric)
    for column, name in zip(st.columns(len(PLANES), gap="medium"), PLANES, strict=True):
        if name not in found:
            continue
        with column:
            st.markdown(f"**{TITLES[name]}**")
            figure = surface_json(found[name], walked, (*at, name), view.metric, view.relief, scale)
            plot.plot(
                figure,
                f"plane-{name}-{'3d' if view.relief else '2d'}",
                height=380,
                group=f"run-{run.key}",
                link_ranges=True,
                bar=False,
                name=name,
                revision=f"{run.key}-{name}",
                place={"run": run.key, "plane": name, "marks": [network_of(name, m) for m in found[name].marks]},
            )
            said = truth.line(found[name], view.metric)
            (st.caption if truth.anchor_ok(found[name]) else st.error)(said)


def legend(scale: Scale, metric: str) -> None:
    """The levels and their colours, once for all panels: each number stands at the lower edge of its band."""
    drawn = "".join(f'<li><i style="background:{style.ramp(i / (scale.n - 1))}"></i>{escape(scale.labels[i])}</li>'
                    for i in range(scale.n))
    above = f'style="background:{style.BEYOND}"' if scale.clipped else ""
    drawn += f'<li{"" if above else " class=end"}><i {above}></i>{escape(scale.labels[-1])}</li>'
    st.html(f'<div class="landscape-levels"><b>{METRICS[metric]}</b><ol>{drawn}</ol></div>')


def walker(library: Library, run: Run, view: View) -> None:
    """The slider t: it walks on the planes and opens the networks it passes."""
    walked = profiles(library, stamp(library, run))
    if not walked:
        return
    st.markdown("**Walk from one optimum to the other**")
    plot.walk(
        "walk",
        f"run-{run.key}",
        [float(t) for t in walked["segment"].t],
        {name: p.values[view.metric].tolist() for name, p in walked.items()},
        PATHS,
        run.key,
    )


def along(library: Library, run: Run, view: View) -> None:
    """The profile along segment, Bezier and chain, with the maxima in words."""
    at = stamp(library, run)
    walked = profiles(library, at)
    if not walked:
        return
    split = view.metric.split("_")[0]
    loss = view.metric if not view.metric.endswith("error") else f"{split}_loss" if split == "train" else "test_nll"
    error = f"{split}_error"
    paths = {style.KINDS[name]["title"]: name for name in walked}
    plot.plot(profile_json(walked, at, loss, error), "profile", height=440, group=f"run-{run.key}",
              place={"run": run.key, "paths": paths})
    st.markdown(maxima_in_words(walked, loss) + " " + maxima_in_words(walked, error))
