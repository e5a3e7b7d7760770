"""Which data, how they were prepared when the network was trained, and the first examples as the network would see them."""

from __future__ import annotations

import os

import numpy as np
import streamlit as st

from landscape import catalog
from landscape.data import own_files
from landscape.data.folder import find
from landscape.data.prepared import Prepared, Wanted, prepared
from landscape.errors import BadInput
from landscape.ui.report import shown

OWN = "own"
NORMALISATIONS = {
    "standard": "standardised",
    "unit": "scaled to 0 … 1",
    "none": "as stored",
    OWN: "mean and deviation of mine",
}
LOSSES = {"auto": "what fits the data", "cross-entropy": "cross-entropy", "mse": "mean squared error",
          "gaussian": "Gaussian NLL", "causal": "next token", OWN: "a function of mine"}
SAMPLES = 6
SMALL = 64 * 2**20  # bytes of data that a page reads for a preview


def data(given: dict[str, str], functions: bool) -> dict:
    """``{"data", "normalisation", "channels", "loss"}`` as chosen, the samples below; ``functions``: losses may be named."""
    names = [*catalog.DATASETS, *own_files()]
    asked = given.get("data", "mnist1d")
    names += [asked] if asked not in names else []
    name = st.selectbox("Data", names, names.index(asked), key="data", format_func=_title)
    channels, seen = given.get("channels", "RGB"), None
    colour = (first := _read(name)) is not None and first.dataset.view == "image" and first.dataset.shape[0] == 3
    columns = st.columns(3 if colour else 2, vertical_alignment="bottom")
    loss = _loss(columns[1], given.get("loss", "auto"), functions)
    if colour:
        channels = columns[2].selectbox("Channels", ["RGB", "BGR"], int(channels == "BGR"), key="channels",
                                        help="The order the network was trained with; OpenCV reads BGR.")
    how = _normalisation(columns[0], given.get("normalisation", "standard"))
    if (seen := _read(name, how, channels if colour else "RGB", loss, say=True)) is not None:
        shown(described(seen))
    return {"data": name, "normalisation": how, "channels": channels, "loss": loss}


def _read(name: str, *how: str, say: bool = False) -> Prepared | None:
    """The data as the network would see them; None where they cannot be read, with the reason if ``say``, or are large."""
    try:
        return _samples(name, *_identity(name), *how)
    except BadInput as error:
        if say:
            st.warning(str(error))
        return None


def described(seen: Prepared) -> dict:
    """The first examples as the report shows samples, with the range of numbers the network receives."""
    dataset = seen.dataset
    x = dataset.test.x[:SAMPLES]
    targets = dataset.test.y[:SAMPLES]
    if dataset.kind == "classification":
        names = [dataset.classes[int(y)] for y in targets]
    else:
        names = ["" if dataset.kind == "language" else f"{float(np.ravel(y)[0]):.3g}" for y in targets]
    note = dataset.normalisation.get("note", "")
    said = (f"Judged by {seen.judged}. The network receives numbers from {float(dataset.test.x.min()):.3g} to "
            f"{float(dataset.test.x.max()):.3g} ({note}).")
    return {"x": dataset.raw(x) if dataset.view in ("image", "signal") else x, "targets": names, "view": dataset.view,
            "said": " ".join((said, *seen.notes))}


def _title(name: str) -> str:
    return catalog.DATASETS[name].title if name in catalog.DATASETS else f"My file {name.removeprefix('file:')}"


def _normalisation(column, asked: str) -> str:
    known = list(NORMALISATIONS)
    how = column.selectbox("Inputs were", known, known.index(asked if asked in known else OWN), key="normalisation",
                           format_func=NORMALISATIONS.get,
                           help="As in the training script. The wrong choice is the usual reason for chance accuracy.")
    if how != OWN:
        return how
    return st.text_input("Means; deviations", asked if asked not in known else "0.5; 0.5", key="normalisation-own",
                         help="As in transforms.Normalize, of values from 0 to 1: one number each, or one for each channel, "
                              "as 0.485, 0.456, 0.406; 0.229, 0.224, 0.225.").replace(" ", "")


def _loss(column, asked: str, functions: bool) -> str:
    known = [name for name in LOSSES if name != OWN or functions]
    start = asked if asked in known else OWN if functions else "auto"
    loss = column.selectbox("Loss", known, known.index(start), key="loss", format_func=LOSSES.get)
    if loss != OWN:
        return loss
    return st.text_input("Loss function", asked if ":" in asked else "", key="loss-own",
                         placeholder="package.module:function",
                         help="It takes outputs and targets and returns one value for each example.") or "auto"


def _identity(name: str) -> tuple:
    """Changes when the file does; raises BadInput for one that is not there."""
    if name in catalog.DATASETS:
        return (0, 0)
    if not name.startswith("file:"):
        return (0, SMALL + 1)
    path = find(name.removeprefix("file:"))
    if path.is_file():
        return path.stat().st_mtime_ns, path.stat().st_size
    size = newest = 0
    for here, _, files in os.walk(path):
        for each in files:
            status = os.lstat(os.path.join(here, each))
            size, newest = size + status.st_size, max(newest, status.st_mtime_ns)
        if size > SMALL:
            break
    return newest, size


@st.cache_data(max_entries=32, show_spinner="Reading the data")
def _samples(name: str, changed: int, size: int, normalisation: str = "standard", channels: str = "RGB",
             loss: str = "auto") -> Prepared | None:
    """The data as the network would see them; None where the file is too large for a page to read."""
    if size > SMALL:
        return None
    return prepared(Wanted(name, normalisation, channels, loss if ":" not in loss else "auto"))
