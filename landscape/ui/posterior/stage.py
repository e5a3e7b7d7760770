"""The theatre: draws on the exact posterior of a plane, a region painted by hand, and whether chains have mixed."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from landscape.figures import coordinates, methods, traces, truth
from landscape.figures import theatre as drawn
from landscape.results import Samples, Surface
from landscape.ui.averaging.story import captions
from landscape.ui.places import network_of
from landscape.ui.posterior import region
from landscape.ui.posterior.story import THEATRE, Story, chosen, several

BORDER = 0.005  # share of the mass in the outermost cells above which the picture is cut off too early
FACTS = {  # of the table of diagnostics, and their heads
    "draws": "draws",
    "accepted": "accepted",
    "R-hat, weights": "R-hat, weights",
    "effective draws, weights": "eff. draws",
    "R-hat, predictions": "R-hat, predictions",
    "effective draws, predictions": "eff. draws",
    "energy error": "energy error",
}
FEW = 3  # methods beside each other in a row


@st.fragment
def theatre(story: Story) -> None:
    """The stage with one method or several on it; what they are worth against the grid; what a painted region predicts."""
    if story.lacking:
        why = "the subspace could not be built" if story.missing else story.lacking.rstrip(".")
        st.info(
            f"There is no stage: {why}. What methods have drawn all the same lies on the plane of the loss, in the section "
            "of slide 22.",
            icon=":material/theater_comedy:",
        )
        return
    surface: Surface = story.theatre
    there = {name: s for name, s in story.samples.items() if len(s.plane)}
    left, right = st.columns([3, 2], gap="large")
    with left:
        value, on = _controls(surface, there)
        shown = {name: there[name] for name in on}
        _legend(surface, value)
        polygon = region.asked()
        story.figure(
            f"theatre-{value}-{'3d' if story.relief else '2d'}",
            drawn.theatre,
            surface,
            shown,
            value,
            height=560,
            identity=(value, tuple(on)),
            given={"relief": story.relief, "lasso": not story.relief},
            bar=False,
            place={"run": story.run.key, "plane": THEATRE, "marks": [network_of(THEATRE, m) for m in surface.marks]},
            paint={"polygon": polygon} if not story.relief else None,
            painted=lambda: region.painted(f"figure-theatre-{value}-2d"),
        )
        captions("", true_in_words(surface), truth.anchor_ok(surface) and drawn.border_mass(surface) < BORDER)
        _tell_rounded({name: there[name] for name in on})
    with right:
        region.panel(story, surface, polygon)
        for name in on:
            _method(name, there[name])
    if len(there) > 1:
        _side_by_side(story, surface, there, value)


def _controls(surface: Surface, there: dict[str, Samples]) -> tuple[str, list[str]]:
    values = [v for v in drawn.VALUES if v in surface.values]
    value = chosen("Surface", values, "theatre-value", drawn.VALUES.get)
    if not there:
        return value, []
    return value, several("Draws of", list(there), "theatre-methods", [first_of(there)])


def first_of(there: dict[str, Samples]) -> str:
    """The method that is shown first: one whose draws are compared with the grid, else one that draws in the plane."""
    compared = [name for name, s in there.items() if s.info.get("tv") is not None]
    return next(iter(compared or [n for n, s in there.items() if not np.any(np.asarray(s.residual) > 1e-6)] or there))


def _legend(surface: Surface, value: str) -> None:
    steps = drawn.legend(drawn.scale_of(surface, value), value)
    items = "".join(f'<li><i style="background:{color}"></i>{escape(label)}</li>' for label, color in steps)
    st.html(f'<div class="landscape-levels"><b>{drawn.BELOW[value]}</b><ol>{items}</ol></div>')


def true_in_words(surface: Surface) -> str:
    """How true the stage is, and what lines and unit mean."""
    s = [truth.line(surface, "train_nll").rstrip("."), "the lines hold 50, 90 and 99% of the grid's mass"]
    s += [] if coordinates.in_proportion(surface) else ["the axes have scales of their own"]
    masked = surface.info.get("masked", 0)
    s += [f"in {masked:,} cells the density is not finite"] if masked else []
    edge = drawn.border_mass(surface)
    s.append(
        f"{100 * edge:.1f}% of the mass is at the border: the picture is cut off too early"
        if edge >= BORDER
        else "the border holds none of it"
    )
    return " · ".join(s) + "."


def _tell_rounded(shown: dict[str, Samples]) -> None:
    """A line for each of these methods whose density was rounded: how far off it was, in red where that is too much."""
    for name, one in shown.items():
        for said, ok in truth.rounded(one.info):
            captions("", f"{methods.look(name).title}: {said}", ok)


def _method(name: str, samples: Samples) -> None:
    """One method: what it is, its draws against the grid, what it says of itself."""
    look, (verdict, good) = methods.look(name), traces.verdict(samples)
    st.html(f'<p class="landscape-method"><i style="background:{look.color}"></i><b>{escape(look.title)}</b></p>')
    grid = traces.against_grid(samples)
    st.markdown(" ".join([grid, outside_in_words(samples), verdict if good else f":red[{verdict}]"]))
    cells = "".join(f"<li><span>{escape(what)}</span>{escape(value)}</li>" for what, value in traces.facts(samples))
    st.html(f'<ul class="landscape-facts-list">{cells}</ul>')


def outside_in_words(samples: Samples) -> str:
    """How far the draws lie from the plane of the stage, where they do."""
    away = np.asarray(samples.residual, float)
    if not len(away) or not away.max() > 1e-6:
        return ""
    return (
        f"These networks lie {away.mean():.3g} away from this plane on average: their shadows are drawn, and are not "
        "expected to follow it."
    )


def _side_by_side(story: Story, surface: Surface, there: dict[str, Samples], value: str) -> None:
    """Every method alone on the same stage."""
    st.markdown("**Every method on the same stage**, chains in colours.")
    names = methods.ordered(there)
    for start in range(0, len(names), FEW):
        for column, name in zip(st.columns(FEW, gap="medium"), names[start : start + FEW], strict=False):
            with column:
                samples = there[name]
                tv = samples.info.get("tv")
                beside = f" · TV {tv:.3f}" if isinstance(tv, float) and np.isfinite(tv) else ""
                st.markdown(f"**{methods.look(name).title}**{beside}")
                story.figure(
                    f"small-{name}-{value}",
                    drawn.theatre,
                    surface,
                    {name: samples},
                    value,
                    height=330,
                    identity=(value,),
                    bar=False,
                    group=f"{story.run.key}-stages",
                    link_ranges=True,
                    given={"small": True},
                    place={"run": story.run.key, "plane": THEATRE, "marks": [network_of(THEATRE, m) for m in surface.marks]},
                )


def diagnostics(story: Story) -> None:
    """Verdicts in a table, then trace and rank plots of one method."""
    st.html(_verdicts(story.samples))
    traced = [name for name in story.samples if f"traces:{name}" in story.found]
    if not traced:
        st.caption("There are no chains to trace: no method that has them came to an end.")
        return
    left, right = st.columns(2)
    with left:
        name = chosen("Traces of", traced, "traces-method", lambda n: methods.look(n).title)
    series = story.found[f"traces:{name}"]
    parts = traces.parts(series)
    if not parts:
        return
    with right:
        part = chosen("Of", parts, "traces-part", traces.named)
    story.figure(f"traces-{name}-{part}", traces.traces, series, part, height=340, identity=(name, part))
    shown = min(traces.SHOWN, np.atleast_2d(series.values[part]).shape[0])
    warmup = series.info.get("warmup")
    captions(
        "Left, the draws of each chain in their order, a colour a chain. Right, how "
        "often its draws take each rank among the draws of all "
        "chains: of mixed chains, all ranks alike (the dashed line).",
        f"{shown} of {np.atleast_2d(series.values[part]).shape[0]} chains drawn"
        + (f", {warmup:,} warm-up steps left out" if warmup is not None else "")
        + " · R-hat and effective draws: rank-normalised, split chains (Vehtari et al. 2021).",
    )
    _tell_rounded({name: story.samples[name]})


def _verdicts(samples: dict[str, Samples]) -> str:
    rows = ""
    for name, one in samples.items():
        verdict, good = traces.verdict(one)
        if one.info.get("failed"):
            cells = f'<td class="words" colspan="{len(FACTS) + 1}"><b class="bad">{escape(verdict)}</b></td>'
        else:
            told = dict(traces.facts(one))
            words = escape(verdict) if good else f'<b class="bad">{escape(verdict)}</b>'
            cells = "".join(f"<td>{escape(told.get(what, '–'))}</td>" for what in FACTS) + f'<td class="words">{words}</td>'
        rows += (
            f'<tr><th scope="row"><i style="background:{methods.look(name).color}"></i>'
            f"{escape(methods.look(name).title)}</th>{cells}</tr>"
        )
    head = "".join(f"<th>{title}</th>" for title in FACTS.values())
    return (
        f'<div class="landscape-wide"><table class="landscape-table"><thead><tr><th></th>{head}<th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
