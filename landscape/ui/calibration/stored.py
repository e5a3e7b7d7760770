"""Networks and posteriors of stored runs, to be judged beside what is trained anew."""

from __future__ import annotations

import streamlit as st

from landscape import catalog
from landscape.errors import BadInput
from landscape.runs import Library
from landscape.runs.where import text
from landscape.settings import Settings, parse
from landscape.ui.places import Pictures

KEPT = "calibration-stored"  # in the session: {"opened": [...], "posteriors": [...]}
MOST = 60  # runs that are offered
TITLES = {"opened": "Networks", "posteriors": "Averages over a posterior"}


def added(library: Library, settings: Settings | None) -> Settings | None:
    """The settings with what was added here; None where there are none, or they do not fit together."""
    kept = st.session_state.setdefault(KEPT, {"opened": [], "posteriors": []})
    runs = [run for run in library.runs(status="done") if "places" in _defaults(run.recipe)][:MOST]
    with st.expander(f"Add from a stored run{_counted(kept)}", icon=":material/library_add:", expanded=any(kept.values())):
        if not runs:
            st.caption("No stored run has networks yet. Any network that can be opened on another page can be judged here.")
        else:
            _offer(library, runs, kept)
        for name in kept:
            if kept[name]:
                left = st.pills(f"{TITLES[name]} to be judged", kept[name], selection_mode="multi", default=kept[name],
                                key=f"kept-{name}-{len(kept[name])}", format_func=_short)
                kept[name] = [one for one in kept[name] if one in left]
    if settings is None or not any(kept.values()):
        return settings
    try:
        return parse("calibration", settings.model_dump() | {
            name: tuple(dict.fromkeys([*getattr(settings, name), *kept[name]])) for name in kept})
    except BadInput as error:
        st.error(str(error))
        return None


def offers(library: Library, key: str) -> dict[str, dict[str, str]]:
    """``{"opened": {text: title}, "posteriors": {text: title}}`` of a run: its marked networks and its kept draws."""
    pictures, titles = Pictures(library, key), {}
    for name in pictures.marks:
        titles[f"{key}:{text({'run': key, 'network': name})}"] = name
    if library.run(key).recipe == "network":
        titles[f"{key}:={library.run(key).title}"] = library.run(key).title
    methods = {f"{key}:{name}": catalog.METHODS[name].title if name in catalog.METHODS else name for name in pictures.samples
               if not pictures.samples[name].info.get("failed")}
    return {"opened": titles, "posteriors": methods}


def _offer(library: Library, runs: list, kept: dict) -> None:
    named = {run.key: run.title for run in runs}
    which, what, way = st.columns([4, 6, 1], vertical_alignment="bottom")
    key = which.selectbox("Run", list(named), key="stored-run", format_func=lambda k: f"{named[k]} · {k[-8:]}")
    found = offers(library, key)
    every = {one: (name, title) for name, few in found.items() for one, title in few.items()}
    picked = what.multiselect("Networks and averages", list(every), key=f"stored-{key}",
                              format_func=lambda one: f"{every[one][1]}" + (" (average over its draws)" if every[one][0]
                                                                            == "posteriors" else ""))
    if way.button("Add", key="stored-add", disabled=not picked, width="stretch"):
        for one in picked:
            name = every[one][0]
            kept[name] = list(dict.fromkeys([*kept[name], one]))
        st.rerun()


def _defaults(recipe: str) -> dict:
    return catalog.RECIPES[recipe].defaults if recipe in catalog.RECIPES else {}


def _counted(kept: dict) -> str:
    count = sum(map(len, kept.values()))
    return f" ({count} added)" if count else ""


def _short(one: str) -> str:
    key, _, place = one.partition(":")
    return f"{place.removeprefix('=')} · {key[-8:]}"
