"""A region painted on the theatre, and what the networks in it predict together: a posterior drawn by hand."""

from __future__ import annotations

import streamlit as st

from landscape.errors import LandscapeError
from landscape.figures import bands, entropy, methods, truth
from landscape.results import Predictive, Surface
from landscape.runs import Jobs, Library
from landscape.runs.region import WEIGHTS, parse, text
from landscape.ui.posterior.story import THEATRE, Story

QUERY = "region"
TITLES = {"nll": "test NLL", "error": "test error", "ece": "ECE", "brier": "Brier"}
OWN = "your region"


def asked() -> list[list[float]]:
    """The corners that the URL names; none where it names none or nothing that can be read."""
    try:
        return parse(st.query_params[QUERY]) if QUERY in st.query_params else []
    except LandscapeError:
        return []


def painted(key: str) -> None:
    """A loop was drawn, or taken away: put it into the URL."""
    corners = (st.session_state[key].painted or {}).get("polygon") or []
    if corners:
        st.query_params[QUERY] = text(corners)
    else:
        st.query_params.pop(QUERY, None)


def panel(story: Story, surface: Surface, polygon: list[list[float]]) -> None:
    """The prediction of the region beside that of a method; how to paint one, if there is none."""
    with st.container(key="region", border=True):
        head, away = st.columns([3, 1], vertical_alignment="center")
        head.markdown("**Your own posterior**")
        if not polygon:
            st.markdown(
                "Draw a loop on the map: the networks inside it are averaged, there and then."
                if not story.relief
                else "In the contour view, a loop drawn on the map averages the networks inside it."
            )
            return
        away.button("Clear", icon=":material/close:", type="tertiary", key="region-clear", on_click=_forget)
        weights = st.segmented_control(
            "Its networks weigh",
            list(WEIGHTS),
            default="density",
            key="region-weights",
            required=True,
            format_func=WEIGHTS.get,
        )
        try:
            with st.spinner("Averaging the region"):
                seen = _average(story.library, story.run.key, story.run.created, text(polygon), weights)
        except LandscapeError as error:
            st.error(str(error))
            return
        _shown(story, seen, (text(polygon), weights))


def _forget() -> None:
    st.query_params.pop(QUERY, None)


@st.cache_resource(max_entries=64, show_spinner=False)
def _average(_library: Library, run: str, created: float, polygon: str, weights: str) -> Predictive:
    return Jobs(_library.home).average({"run": run, "plane": THEATRE, "polygon": parse(polygon), "weights": weights})


def _shown(story: Story, seen: Predictive, identity: tuple) -> None:
    """Tiles with the numbers of the region and of one method beside them, and the prediction where it can be drawn."""
    name = next((n for n in ("ess", "nuts", "hmc", "swag") if n in story.predictives), None)
    other = story.predictives.get(name)
    st.html(tiles(seen, other, methods.look(name).title if name else ""))
    if bands.drawable(seen):
        story.figure(
            "region-bands",
            bands.bands,
            seen,
            OWN,
            height=230,
            identity=identity,
            given={"kind": "epistemic", "window": bands.window({"own": seen}, "epistemic")},
        )
        words = bands.width_in_words(seen)
        st.markdown(words[:1].upper() + words[1:] + "." if words else "")
    elif entropy.drawable(seen):
        story.figure("region-entropy", entropy.entropy, seen, height=260, identity=identity)
    info = seen.info
    st.caption(
        truth.said(
            info,
            f"{info.get('networks', 0)} networks of the region, which holds {info.get('mass', 0):.1%} of "
            "the mass of this plane",
            f"answered in {info.get('seconds', 0):.2f} s",
            metric="test_nll",
        )
    )


def tiles(seen: Predictive, other: Predictive | None, title: str) -> str:
    """HTML: each metric of the region, and what a method has instead."""
    regression = seen.info.get("kind") == "regression"
    cells = ""
    for metric, name in TITLES.items():
        if seen.values.get(metric) is None:
            continue
        form = (lambda v: f"{v:.1%}") if metric == "error" and not regression else (lambda v: f"{v:.3f}".replace("-", "−"))
        beside = other.values.get(metric) if other else None
        small = f"<small>{title}: {form(beside)}</small>" if beside is not None else ""
        cells += (
            f"<li><span>{'test RMSE' if metric == 'error' and regression else name}</span>"
            f"<b>{form(seen.values[metric])}</b>{small}</li>"
        )
    return f'<div class="landscape-numbers"><ul class="landscape-tiles">{cells}</ul></div>'
