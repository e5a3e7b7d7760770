"""Two opened networks side by side: where they differ, how far they are apart, and the straight line between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from landscape.figures import examples
from landscape.figures import opened as shown
from landscape.figures.predictions import differing
from landscape.results import METRICS, Opened
from landscape.runs import Library, Run
from landscape.runs.where import text as text_of
from landscape.ui import plot
from landscape.ui.places import Pictures, distance

STEPS = 21


def show(library: Library, run: Run, pictures: Pictures, places: list[dict], networks: list[Opened], metric: str,
         answer: Callable) -> None:
    """Numbers, figures and examples of two networks; the line between them on request."""
    a, b = networks
    st.html(f'<div class="landscape-numbers">{shown.tiles_of_two(a, b)}</div>')
    far = distance(pictures, *places, a.distances, b.distances)
    st.markdown(shown.two_in_words(a, b, far))
    side_by_side(shown.pictures_of_two(a, b), run)
    _examples(a, b)
    _line(library, run, pictures, places, networks, metric, answer)


def side_by_side(drawn: list[shown.Picture], run: Run) -> None:
    """Figures beside each other; on a narrow screen one below the other."""
    if not drawn:
        return
    for column, picture in zip(st.columns([p.width for p in drawn], gap="medium"), drawn, strict=True):
        with column:
            st.markdown(f"**{picture.title}**")
            plot.plot(plot.figure_json(picture.figure), f"opened-{picture.name}", height=picture.height,
                      group=f"opened-{run.key}" if picture.linked else "", link_ranges=picture.linked,
                      revision=f"{run.key}-{picture.name}")


def _examples(a: Opened, b: Opened) -> None:
    if a.info.get("kind") != "classification" or a.function or not (shown.drawable(a) and shown.drawable(b)):
        return
    order = differing(a, b)
    drawn = examples.disagreements(a, b, order)
    if drawn:
        st.markdown("**Test examples on which they differ**")
        st.html(drawn)
        st.caption("The most different first, of those that are among the most wrong ones of A or of B.")


def _line(library: Library, run: Run, pictures: Pictures, places: list[dict], networks: list[Opened], metric: str,
          answer: Callable) -> None:
    """The straight line from A to B, evaluated point by point when it is asked for."""
    common = pictures.common_plane(*places)
    if common is None:
        st.caption("No plane of this run contains both: the straight line between them is not among its networks.")
        return
    plane, start, end = common
    if start == end:
        return
    known = st.session_state.setdefault("opened-lines", {})
    mark = (run.key, *map(text_of, places))
    offer = st.empty()
    if mark not in known and offer.button("Evaluate the straight line between them", icon=":material/timeline:", key="line"):
        known.clear()  # one line at a time is kept
        known[mark] = _evaluated(library, run, plane, start, end, networks, answer)
        offer.empty()
    if mark in known:
        far, values = known[mark]
        chosen = metric if metric in values else next(iter(values))
        st.markdown(f"**The straight line from A to B**: {METRICS[chosen]} of {STEPS} networks, each evaluated")
        figure = shown.between(far, values[chosen], METRICS[chosen])
        plot.plot(plot.figure_json(figure), "opened-line", height=300, revision="opened-line")


def _evaluated(library: Library, run: Run, plane: str, start: tuple, end: tuple, networks: list[Opened],
               answer: Callable) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """``(distance from A (T,), {metric: (T,)})`` of points of the plane."""
    shares = np.linspace(0, 1, STEPS)
    points = np.asarray(start) + shares[:, None] * (np.asarray(end) - np.asarray(start))
    found = [networks[0]]
    for x, y in points[1:-1]:
        found.append(answer(library, run, {"run": run.key, "plane": plane, "x": float(x), "y": float(y)}))
    found.append(networks[1])
    far = shares * float(np.hypot(*(np.asarray(end) - np.asarray(start))))
    return far, {m: np.array([one.values[m] for one in found]) for m in METRICS if all(m in one.values for one in found)}
