"""Runs: everything computed or running; open, rename, export, delete."""

import importlib.util
import io
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import streamlit as st

from landscape import catalog
from landscape.errors import LandscapeError
from landscape.figures import page
from landscape.runs import Library, Run
from landscape.runs.archive import export
from landscape.ui import looking, people
from landscape.ui.reading import PAGES, STATUS, ago, badge, size_in_words

IMAGES = importlib.util.find_spec("kaleido") is not None


def archived(library: Library, key: str) -> bytes:
    """The export of a run as the bytes of a zip file."""
    with tempfile.TemporaryDirectory() as folder:
        return export(library, key, Path(folder) / f"{key}.zip").read_bytes()


def pictures(library: Library, key: str, kind: str) -> bytes:
    """All figures of a run as image files in one zip."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, image in page.images(library, key, kind).items():
            file.writestr(f"{name}.{kind}", image)
    return target.getvalue()


def attempt(action, *args) -> None:
    """Do it and draw the page anew, or say why not."""
    try:
        action(*args)
    except LandscapeError as error:
        st.error(str(error))
    else:
        st.rerun()


def tools(library: Library, run: Run) -> None:
    """Rename, export, delete."""
    with st.popover("More", icon=":material/more_horiz:", key=f"more-{run.key}", width="stretch"):
        name = f"{run.recipe}-{run.settings.get('task', '')}-{run.key[-8:]}".replace(":", "-")
        if library.names(run.key):
            st.download_button("Figures as one web page", lambda: page.standalone(library, run.key), f"{name}.html",
                               "text/html", key=f"html-{run.key}", on_click="ignore", icon=":material/web:", width="stretch")
            st.download_button("Numbers (npz + JSON)", lambda: archived(library, run.key), f"{name}.zip", "application/zip",
                               key=f"zip-{run.key}", on_click="ignore", icon=":material/database:", width="stretch")
            for kind in ("png", "svg") if IMAGES else ():
                st.download_button(f"Pictures ({kind.upper()})", partial(pictures, library, run.key, kind),
                                   f"{name}-{kind}.zip", "application/zip", key=f"{kind}-{run.key}", on_click="ignore",
                                   icon=":material/image:", width="stretch")
            if not IMAGES:
                st.caption("Pictures as PNG or SVG: pip install 'landscape[export]'")
        if run.read_only:
            st.caption("This run belongs to the gallery: it cannot be renamed or deleted.")
            return
        if looking.only():
            st.caption("This store can only be looked at: its runs cannot be renamed or deleted here.")
            return
        title = st.text_input("Title", run.title, key=f"title-{run.key}")
        if st.button("Rename", key=f"rename-{run.key}", width="stretch", disabled=title == run.title):
            attempt(people.jobs().rename, run.key, title)
        sure = st.checkbox("Delete it for good", key=f"sure-{run.key}")
        if st.button("Delete", key=f"delete-{run.key}", type="primary", disabled=not sure, width="stretch"):
            attempt(people.jobs().delete, run.key)


def line(library: Library, run: Run) -> None:
    with st.container(border=True):
        what, when, cost, open_, more = st.columns([5, 2, 2, 1.4, 1.6], vertical_alignment="center")
        what.markdown(f"**{run.title}** {badge(run)}  \n:gray[{run.key}]" + (f"  \n{run.message}" if run.message else ""))
        when.caption("gallery" if run.read_only else ago(run.created))
        cost.caption(f"{run.cpu_seconds:.0f} CPU s · {size_in_words(library.size(run.key))}")
        if run.recipe in PAGES:
            open_.page_link(PAGES[run.recipe], label="Open", query_params={"run": run.key}, icon=":material/open_in_new:")
        with more:
            tools(library, run)


def listing(library: Library) -> None:
    st.title("Runs")
    search, status, children = st.columns([4, 4, 2], vertical_alignment="bottom")
    words = search.text_input("Filter", key="filter", bind="query-params",
                              placeholder="title, key or setting, as task=digits")
    wanted = status.pills("Status", list(STATUS), selection_mode="multi", format_func=lambda s: STATUS[s][0], key="status",
                          bind="query-params")
    parts = children.toggle("Show parts of runs", key="parts", bind="query-params",
                            help=", ".join(row.title for row in catalog.RECIPES.values()))
    found = [run for run in library.runs(search=words or "", children=parts) if not wanted or run.status in wanted]
    st.caption(f"{len(found)} runs · store {size_in_words(library.total_size())} in {library.home}")
    if not found:
        st.info("Nothing here. Start a run on the Valleys page, or clear the filter.")
    for run in found[:100]:
        line(library, run)


try:
    listing(Library())
except LandscapeError as error:
    st.error(str(error))
