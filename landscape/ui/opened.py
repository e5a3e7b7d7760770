"""What a click shows: one network seen from all sides, or two side by side, in a panel that is drawn again by itself."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from landscape.errors import LandscapeError
from landscape.figures import checked, examples
from landscape.figures import opened as shown
from landscape.results import Opened
from landscape.runs import Jobs, Library, Run
from landscape.runs.where import checked as checked_place
from landscape.runs.where import parse_where
from landscape.runs.where import text as text_of
from landscape.ui import compared, looking, people, plot
from landscape.ui.places import Pictures, understood
from landscape.ui.reading import VALLEYS, pictures_of, stamp

HEARS, MOVING, PICKS = "opened-clicks", "opened-moving", "opened-picks"
KEPT = "network"  # the recipe of a network that was kept, and the name of its weights
HINT = "Click a point: every point is a network."


def panel(library: Library, run: Run, metric: str = "train_loss", first: str | None = None,
          elsewhere: Callable[[dict], bool] | None = None) -> None:
    """The panel of a run's opened point, which ``open=`` in the URL names; ``first`` is open when nothing is.

    Give the plots of the run a ``place``: a click on them then leads here, and draws nothing but this anew.
    ``elsewhere`` says of a place that its panel belongs to another part of the page, which is then drawn anew.
    """
    with st.container(key="opened"):
        _panel(library, run, metric, first, elsewhere)


@st.fragment
def _panel(library: Library, run: Run, metric: str, first: str | None, elsewhere: Callable[[dict], bool] | None) -> None:
    pictures = pictures_of(library, stamp(library, run))
    said = st.container(key="opened-hint")
    moving = MOVING in st.session_state
    texts = _asked(first)
    places, problem = [], ""
    for text in texts:
        place, wrong = understood(pictures, run.key, text)
        problem = problem or wrong
        places += [place] if place else []
    if elsewhere and places and not moving and elsewhere(places[0]):
        st.rerun()
    try:
        if problem:
            _trouble(problem)
        elif places:
            _show(library, run, pictures, places, metric)
    except LandscapeError as error:
        _trouble(str(error))
    with said:
        _hear(library, run, pictures, [] if problem else places, moving)


def _asked(first: str | None) -> list[str]:
    """The texts of the point that is open and of the one it is compared with."""
    open_ = st.session_state.pop(MOVING, None) or st.query_params.get("open") or first
    return [open_, *([st.query_params["with"]] if "with" in st.query_params else [])] if open_ else []


def _hear(library: Library, run: Run, pictures: Pictures, places: list[dict], moving: bool) -> None:
    letters = "AB" if len(places) > 1 else ["A"]
    hint = "Click the second point." if st.session_state.get(PICKS) else HINT if pictures.surfaces else ""
    plot.clicks(HEARS, run.key, hint, [pictures.ring(letter if len(places) > 1 else "", place)
                                       for letter, place in zip(letters, places, strict=False)],
                st.session_state.get(f"{HEARS}-answered", 0), moving=moving,
                pressed=lambda: _pressed(run, pictures), visited=lambda: _visited(library, run))


def _pressed(run: Run, pictures: Pictures) -> None:
    """A point was clicked or walked to: put it into the URL, or, while it moves, show it this once."""
    given = st.session_state[HEARS].pressed
    try:
        text = text_of(pictures.exact(checked_place({**given["where"], "run": run.key})))
        st.session_state[f"{HEARS}-answered"] = int(given["id"])
    except (LandscapeError, TypeError, KeyError, ValueError):
        return  # nothing that this page's own plots say
    st.session_state.pop(MOVING, None)
    if given.get("moving"):
        st.session_state[MOVING] = text
    elif st.session_state.pop(PICKS, False) and "open" in st.query_params:
        st.query_params["with"] = text
    else:
        st.query_params.update(run=run.key, open=text)


def _visited(library: Library, run: Run) -> None:
    """A browser shows the page: let the process that answers clicks start, so that the first one need not wait for it."""
    Jobs(library.home).warm(run.key)


def _trouble(message: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.error(message)
        _close_button()


def answer(library: Library, run: Run, where: dict) -> Opened:
    """The network at a place; one that was opened before is not evaluated again."""
    return _answer(library, run.created, text_of(where), where)


@st.cache_resource(max_entries=64, show_spinner=False)
def _answer(_library: Library, created: float, text: str, where: dict) -> Opened:
    return Jobs(_library.home).open(where)


def _show(library: Library, run: Run, pictures: Pictures, places: list[dict], metric: str) -> None:
    networks = [answer(library, run, place) for place in places]
    if len(networks) > 1:
        _two_heads(places)
        compared.show(library, run, pictures, places, networks, metric, answer)
        return
    seen, place = networks[0], places[0]
    _head(library, run, pictures, place)
    st.html(f'<div class="landscape-numbers">{shown.tiles(checked.verdicts(seen, pictures.drawn(place)))}'
            f"{shown.distances(seen)}</div>")
    compared.side_by_side(shown.pictures(seen), run)
    st.markdown(shown.in_words(seen))
    pictured = seen.info.get("kind") == "classification" and not seen.function and shown.drawable(seen)
    wrong = examples.most_wrong(seen) if pictured else ""
    if wrong:
        st.markdown("**The test examples it gets most wrong**")
        st.html(wrong)
    st.caption(shown.provenance(seen))


def _head(library: Library, run: Run, pictures: Pictures, place: dict) -> None:
    if run.recipe == KEPT:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"Kept: {shown.named(parse_where(run.settings['source'], run.settings['where']))}", anchor=False)
            _download(library, run.key)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"The network at {shown.named(place)}" if "network" not in place else shown.named(place), anchor=False)
        with st.popover("Compare with", icon=":material/compare_arrows:"):
            _compare(pictures, place)
        with st.popover("Keep", icon=":material/bookmark_add:"):
            _keep(library, run, place)
        _close_button()


def _two_heads(places: list[dict]) -> None:
    for letter, place, column in zip("AB", places, st.columns(2, gap="medium"), strict=True):
        with column.container(horizontal=True, vertical_alignment="center"):
            st.html(f'<h4 class="landscape-pair"><span class="landscape-letter {letter.lower()}">{letter}</span>'
                    f"{escape(shown.named(place))}</h4>")
            st.button(f"Close {letter}", icon=":material/close:", key=f"close-{letter}", type="tertiary",
                      on_click=_close_one, args=(letter,))


def _close_one(letter: str) -> None:
    if letter == "A":
        st.query_params["open"] = st.query_params["with"]
    del st.query_params["with"]


def _close_button() -> None:
    st.button("Close", icon=":material/close:", key="close-opened", type="tertiary", on_click=_close)


def _close() -> None:
    for name in ("open", "with"):
        if name in st.query_params:
            del st.query_params[name]
    st.session_state.pop(PICKS, None)


def _compare(pictures: Pictures, place: dict) -> None:
    st.button("The next point I click", icon=":material/ads_click:", key="pick-second", width="stretch",
              on_click=st.session_state.update, kwargs={PICKS: True})
    for name in pictures.marks:
        if name != place.get("network"):
            st.button(name, key=f"with-{name}", width="stretch", on_click=st.query_params.update,
                      kwargs={"with": text_of({"run": place["run"], "network": name})})


def _keep(library: Library, run: Run, place: dict) -> None:
    """A title and a button; once kept, its file."""
    kept = st.session_state.setdefault("opened-kept", {})
    mark, offer = (run.key, text_of(place)), st.empty()
    if mark not in kept:
        with offer.container():
            title = st.text_input("Title", f"{run.title}: {shown.named(place)}"[:200], key=f"keep-title-{mark[1]}",
                                  max_chars=200)
            if st.button("Keep this network", key="keep", type="primary", width="stretch", **looking.off()):
                try:
                    kept[mark] = people.jobs(library.home).keep(place, title)
                except LandscapeError as error:
                    st.error(str(error))
    if mark in kept:
        offer.markdown(f"Kept as `{kept[mark]}`, with where it comes from.")
        st.page_link(VALLEYS, label="Open it", query_params={"run": kept[mark]}, icon=":material/open_in_new:")
        _download(library, kept[mark])


def _download(library: Library, key: str) -> None:
    st.download_button("Download (.safetensors)", lambda: library.weights_file(key, KEPT), f"network-{key[:8]}.safetensors",
                       key=f"download-{key}", on_click="ignore", icon=":material/download:")
