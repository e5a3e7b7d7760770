"""A file of predictions of one's own: dropped, or named by its path; and the question what its numbers are."""

from __future__ import annotations

import streamlit as st

from landscape.errors import LandscapeError
from landscape.runs import Library, Run
from landscape.settings import parse
from landscape.ui import looking, people, running

KINDS = {"auto": "read off the numbers", "probabilities": "probabilities", "logits": "logits"}
ENDINGS = ("csv", "tsv", "txt", "npz")
EXAMPLE = """np.savez_compressed(
    "predictions.npz",
    logits=test_logits, labels=test_labels,
    validation_logits=..., validation_labels=...,  # if there are any
)"""


def form(library: Library) -> None:
    """A file, what its outputs are, a button; an error is said where the button is."""
    left, right = st.columns([5, 4], gap="large")
    with left:
        dropped = st.file_uploader("A file of predictions", ENDINGS, key="predictions-file",
                                   help="CSV: a line of column names, then one example a line, a column 'label' and one "
                                        "column for each class. npz: arrays logits or probabilities, and labels.")
        roots = people.folders()
        path = st.text_input("Or its path on this machine", key="predictions-path",
                             help=f"Below {roots.replace(':', ', ')}.").strip() if roots else ""
        kind = st.segmented_control("The outputs are", list(KINDS), default="auto", key="predictions-kind", required=True,
                                    format_func=KINDS.get)
        if st.button("Judge it", type="primary", icon=":material/target:", key="predictions-button",
                     **looking.off(dropped is None and not path)):
            _submit(library, dropped, path, kind)
    with right:
        st.markdown("From any program, for any data: one row of class probabilities or logits for each example, "
                    "and its label. With validation examples beside the test examples calibrators are fitted on those; "
                    "without, each half is mended by what was fitted on the other.")
        st.code(EXAMPLE, language="python")
        st.caption("Only numbers are read: nothing in a file is run. `landscape calibrate FILE` does the same in a shell.")


def _submit(library: Library, dropped, path: str, kind: str) -> None:
    try:
        given = {"file": path} if dropped is None else _kept(library, dropped)
        settings = parse("predictions", given | {"kind": kind})
    except LandscapeError as error:
        st.error(str(error))
    else:
        running.submit("predictions", settings)


def _kept(library: Library, dropped) -> dict[str, str]:
    """The dropped file on disk, named by its path."""
    with st.spinner("Keeping the file"):
        upload = people.keep(library.home, dropped)
    return {"file": str(upload.path), "digest": upload.digest, "name": dropped.name}


def question(run: Run, values: dict) -> None:
    """Logits or probabilities? The run could not tell; either answer is a run of its own."""
    st.warning(str(values.get("message", "")), icon=":material/help:")
    likely = values.get("likely")
    buttons = st.columns([2, 2, 6])
    for column, kind in zip(buttons, ("probabilities", "logits"), strict=False):
        if column.button(f"They are {kind}", key=f"kind-{kind}", type="primary" if kind == likely else "secondary",
                         width="stretch", **looking.off()):
            try:
                given = {name: value for name, value in run.settings.items() if value != ""}
                settings = parse("predictions", given | {"kind": kind})
            except LandscapeError as error:
                st.error(str(error))
            else:
                running.submit("predictions", settings)
