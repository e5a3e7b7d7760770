"""The form of the Checkpoints page: which files, which data, which network; everything else behind *More*."""

from __future__ import annotations

import importlib.util
import json
import os
import re

import streamlit as st

from landscape import catalog
from landscape.errors import BadInput, LandscapeError
from landscape.runs import Library, Run, uploads
from landscape.runs.origins import origin
from landscape.settings import parse, settings_of
from landscape.settings_inspect import KEPT, digest
from landscape.sharing import is_open
from landscape.ui import looking, people, preview, running
from landscape.ui.form import from_address, widget
from landscape.ui.reading import PAGES, ago, badge, size_in_words

FORMATS = ("safetensors", "pt", "pth", "ckpt", "t7", "bin", "npz")
MOST = 50  # files of one run that a page takes; a shell takes more
OURS, FACTORY, PROGRAM, TIMM, TRANSFORMERS = "auto", "factory", "program", "timm", "transformers"
KINDS = {
    OURS: "One of ours, widths read off the shapes",
    FACTORY: "My own class, from a factory function",
    PROGRAM: "A torch.export program",
    TIMM: "A timm model",
    TRANSFORMERS: "A transformers model",
}
FRONT = ("files", "digests", "network", "arguments", "data", "normalisation", "channels", "loss")
HIDDEN = ("device", "data_digest", "code_digest")
BETTER = re.compile(r"With (normalisation|channels)=(\S+) the error is")  # as recipes.inspecting.advice says it
MORE = {  # the settings behind *More*, by what they are about; one that is not named here joins the last
    "Judged by": ("split", "examples", "weight_decay", "noise_variance", "data_seed", "train_size", "label_noise"),
    "Directions": ("only", "others", "rank", "radius", "seed", "center"),
    "Pictures": ("grid", "margin", "picture", "tolerance", "line_points", "pair_points"),
    "A trained curve between two": ("curve_epochs", "curve_lr", "batch_size", "bends"),
    "Computing": (),
}


def form(library: Library) -> None:
    """Files and their network on the left, the data on the right, one button; an error is said where the button is."""
    given = from_address("inspect")
    left, right = st.columns(2, gap="large")
    with left:
        files = _files(library)
    known = told(library, files)
    with right:
        other = not known or st.toggle("Other data, or another network, than those they were kept with", key="other")
        chosen = preview.data(given, functions=bool(factories())) if other else known
        if not other:
            st.caption(f"As kept: judged on {known.get('data', '')}, network {known.get('network', '')}.")
    if other:
        with left:
            chosen |= _network(given)
    with st.expander("More", icon=":material/tune:"):
        chosen |= _more(given)
    count = sum(map(len, files.values()))
    button, words = st.columns([1, 5], vertical_alignment="center")
    pressed = button.button("Open", type="primary", icon=":material/folder_open:", key="open-button", width="stretch",
                            **looking.off(not 1 <= count <= MOST))
    words.caption(outlook(count))
    if pressed:
        _open(library, files, chosen)


def outlook(count: int) -> str:
    """What can be seen of so many files."""
    if count > MOST:
        return f"{count} files are given; a page opens at most {MOST} together, `landscape inspect` up to 100."
    return {
        0: "One file shows the plane around it, two the line between them, three their plane, more the path they took.",
        1: "One file: its report, a filter-normalised plane around it and two lines through it.",
        2: "Two files: the line between them and its barrier, before and after matching hidden units.",
        3: "Three files: the plane through them, every pair, their principal components and their average.",
    }.get(count, f"{count} files: their path in the plane of two principal components, every pair, and their average.")


def told(library: Library, files: dict[str, list]) -> dict:
    """Network, data and their preparation where all files are networks kept here, which know it; else empty."""
    if not files["kept"] or files["dropped"] or files["paths"]:
        return {}
    return origin(f"{KEPT}{files['kept'][0]}", library)


def _files(library: Library) -> dict[str, list]:
    """``{"dropped": [...], "paths": [...], "kept": [keys]}`` as given so far."""
    dropped = st.file_uploader("Checkpoints", FORMATS, accept_multiple_files=True, key="dropped",
                               help="State dicts of PyTorch and Lightning, safetensors, numpy npz. They are read without "
                                    "running any code in them.")
    kept = library.runs("network", "done") if "network" in catalog.RECIPES else []
    chosen = st.multiselect("Networks I kept", [run.key for run in kept], key="kept",
                            format_func=lambda key: next(run.title for run in kept if run.key == key)) if kept else []
    roots, asked = people.folders(), st.query_params.get("files", "")
    with st.expander("Files on this machine", icon=":material/hard_drive:", expanded=bool(asked)):
        typed = st.text_area("Paths, one a line", asked.replace(",", "\n"), key="paths", height=110, disabled=not roots,
                             placeholder="/runs/net-epoch-10.pt\n/runs/net-epoch-20.pt")
        st.caption(f"They are read where they lie, below {roots.replace(':', ', ')}." if roots else
                   "Nobody can name files of the server here: the app is open to others." if is_open() else
                   "For large files: start the app with `LANDSCAPE_ROOTS=/my/folder`; files below it can be named here.")
    paths = [line.strip() for line in (typed or "").splitlines() if line.strip()] if roots else []
    return {"dropped": dropped or [], "paths": paths, "kept": chosen or []}


def _network(given: dict[str, str]) -> dict:
    """What the weights belong to; only what can be opened here is offered."""
    kinds, asked = offered(), given.get("network", OURS)
    first = asked.partition(":")[0]
    start = first if first in KINDS or ":" not in asked else FACTORY
    kind = st.selectbox("Network", kinds, kinds.index(start) if start in kinds else 0, key="network-kind",
                        format_func=KINDS.get)
    if kind == FACTORY:
        name = st.text_input("Factory", asked if start == FACTORY else "", key="factory",
                             placeholder="package.module:function",
                             help=f"A function that returns the network. Allowed modules: {factories()}.")
        return {"network": name.strip() or f"{FACTORY}:", "arguments": _arguments(given)}
    if kind == PROGRAM:
        program = st.file_uploader("Program", ("pt2",), key="program",
                                   help="Written by torch.export.save: it holds operations, no Python.")
        return {"network": f"{PROGRAM}:", "program": program}
    if kind in (TIMM, TRANSFORMERS):
        name = st.text_input("Name" if kind == TIMM else "Name or folder", asked.partition(":")[2] if start == kind else "",
                             key=f"name-{kind}", placeholder="resnet18" if kind == TIMM else "folder with its config.json")
        return {"network": f"{kind}:{name.strip()}", "arguments": _arguments(given)}
    return {"network": asked if asked in catalog.NETWORKS else OURS}


def offered() -> list[str]:
    """The kinds of networks that can be opened on this machine."""
    missing = {kind for kind in (TIMM, TRANSFORMERS) if importlib.util.find_spec(kind) is None}
    return [kind for kind in KINDS if kind not in missing and (kind != FACTORY or factories())]


def factories() -> str:
    """The modules whose functions may be called, as the operator listed them."""
    given = "" if is_open() else os.environ.get("LANDSCAPE_FACTORIES", "")
    return ", ".join(part.strip() for part in given.split(",") if part.strip())


def _arguments(given: dict[str, str]) -> str:
    return st.text_input("Arguments", given.get("arguments", "{}"), key="arguments", help="Keyword arguments as JSON.",
                         placeholder='{"width": 64}').strip() or "{}"


def _more(given: dict[str, str]) -> dict:
    """Every other setting, started from the address and the defaults; what is typed is judged on the server."""
    fields = {name: field for name, field in settings_of("inspect").model_fields.items() if name not in (*FRONT, *HIDDEN)}
    named = {name for group in MORE.values() for name in group}
    chosen = {}
    for title, group in MORE.items():
        names = [name for name in group if name in fields] or [name for name in fields if name not in named]
        st.markdown(f"**{title}**")
        for i, name in enumerate(names):
            if i % 4 == 0:
                columns = st.columns(4)
            start = fields[name].get_default(call_default_factory=True)
            typed = widget(columns[i % 4], name, fields[name], given.get(name, start), f"more-{name}")
            if typed not in ("", start) and typed != _text(start):
                chosen[name] = typed  # what is left as it is stays the task's own
    return chosen


def _text(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def _open(library: Library, files: dict[str, list], chosen: dict) -> None:
    """Keep what was dropped, hand the job to the engine and show it."""
    try:
        with st.spinner("Keeping the files"):
            settings = parse("inspect", saved(library, files, chosen))
    except LandscapeError as error:
        st.error(str(error))
    else:
        running.submit("inspect", settings)


def saved(library: Library, files: dict[str, list], chosen: dict) -> dict:
    """The settings, with the dropped files kept on disk and named by their paths. Raises BadInput, StoreError."""
    chosen = dict(chosen)
    program = chosen.pop("program", None)
    if chosen["network"].endswith(":") and program is None:
        raise BadInput("The network is not named yet: give its factory as package.module:function, its name, or drop the "
                       ".pt2 file of the program.")
    if program is not None:
        chosen["network"] = f"{PROGRAM}:{people.keep(library.home, program).path}"
    dropped = [people.keep(library.home, file) for file in files["dropped"]]
    others = [*files["paths"], *(f"{KEPT}{key}" for key in files["kept"])]
    return chosen | {"files": (*(str(one.path) for one in dropped), *others),
                     "digests": (*(one.digest for one in dropped), *(digest(name) for name in others))}


def entry(library: Library, run: Run) -> None:
    """One line for a run of before: what was opened, and the way back to it."""
    with st.container(border=True):
        what, when, way = st.columns([7, 2, 2], vertical_alignment="center")
        what.markdown(f"**{run.title}** {badge(run) if run.status != 'done' else ''}")
        when.caption(ago(run.created))
        way.page_link(PAGES["inspect"], label="Open", query_params={"run": run.key}, icon=":material/open_in_new:")


def again(run: Run, advice: list[str]) -> None:
    """A button that opens the same files with what the report found to be better."""
    found = next((match for sentence in advice if (match := BETTER.search(sentence))), None)
    if found is None:
        return
    name, value = found.groups()
    if st.button(f"Open again with {name} {value}", icon=":material/refresh:", key="again", **looking.off()):
        try:
            settings = parse("inspect", run.settings | {name: value})
        except LandscapeError as error:
            st.error(str(error))
        else:
            running.submit("inspect", settings)


def tidy(library: Library) -> None:
    """What dropped files take on disk, and a way to be rid of those that no run uses."""
    kept = uploads.kept(library.home)
    if not kept:
        return
    size = size_in_words(sum(path.stat().st_size for path in kept))
    words, way = st.columns([7, 4], vertical_alignment="center")
    words.caption(f"{len(kept)} dropped {'file' if len(kept) == 1 else 'files'} kept in the store, {size}.")
    if way.button("Remove those no run uses", key="tidy", type="tertiary", icon=":material/delete:", **looking.off()):
        freed = uploads.remove_unused(library.home, {json.dumps(run.settings) for run in library.runs(children=True)})
        st.toast(f"{size_in_words(freed)} are free again; files of the last hour stay.")
