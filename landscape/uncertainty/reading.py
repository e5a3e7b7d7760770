"""Files of predictions from anywhere: CSV or npz with logits or probabilities and labels. Nothing in a file is run.

CSV: a line of column names, then one example a line; one column ``label`` (or target, labels, targets, y), all others are
the classes in their order. npz: arrays ``probabilities`` or ``logits`` (n, C) and ``labels`` (n,), and the same with
``validation_`` before their names where calibrators are to be fitted on examples of their own.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from landscape.data.folder import max_bytes, too_large
from landscape.errors import UNREADABLE, BadInput
from landscape.uncertainty.entry import KINDS, Predictions, predictions

LABELS = ("labels", "label", "targets", "target", "y", "y_true")
OUTPUTS = {"probabilities": "probabilities", "probs": "probabilities", "logits": "logits", "outputs": None,
           "predictions": None}
SKIPPED = ("", "index", "id", "unnamed: 0")  # columns of row numbers that other programs add
ROWS = 2**20  # numbers of a CSV that are parsed at once
WANTED_NPZ = ("Expected arrays 'probabilities' or 'logits' (examples, classes) and 'labels' (examples,): "
              "np.savez_compressed(name, logits=..., labels=...).")


@dataclass(frozen=True, eq=False)
class Contents:
    """Predictions of a file; ``validation`` where it has examples for fitting."""

    test: Predictions
    validation: Predictions | None = None


def read(path: Path, kind: str | None = None) -> Contents:
    """The predictions of a file. ``kind`` "logits" or "probabilities" decides what the file's names do not say.

    Raises BadInput for a file that is missing, empty, damaged, too large or lacks a column, and everything that
    ``entry.predictions`` refuses; Undecided where logits and probabilities cannot be told apart.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path.name!r} in {path.absolute().parent}. Give the path of a CSV or npz file.")
    size = path.stat().st_size
    if size == 0:
        raise BadInput(f"{path.name} is empty (0 bytes). Write it again, and check that writing ended.")
    if size > max_bytes():
        raise too_large(path.name, size)
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped or path.suffix == ".npz":
        return _npz(path, kind)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return Contents(_csv(path, kind))
    raise BadInput(f"Expected a file .csv or .npz, found {path.name!r}. {WANTED_NPZ}")


# npz


def _npz(path: Path, kind: str | None) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            test = _part(path.name, archive, names, "", kind)
            with_validation = any(name.startswith("validation_") for name in names)
            return Contents(test, _part(path.name, archive, names, "validation_", kind) if with_validation else None)
    except UNREADABLE as error:
        raise BadInput(f"{path.name} is not a readable npz file ({error}). It may be damaged or cut off; write it again. "
                       f"{WANTED_NPZ}") from None


def _part(name: str, archive: zipfile.ZipFile, names: dict, prefix: str, kind: str | None) -> Predictions:
    outputs = [key for key in OUTPUTS if prefix + key in names]
    labels = [key for key in LABELS if prefix + key in names]
    if kind is not None and len(outputs) > 1:
        outputs = [key for key in outputs if OUTPUTS[key] == kind] or outputs
    if len(outputs) != 1 or len(labels) != 1:
        found = ", ".join(sorted(names)) or "nothing"
        lacks = f"{len(outputs)} arrays of outputs and {len(labels)} of labels"
        raise BadInput(f"{name} has {lacks} under the names it may have; found {found[:300]}. {WANTED_NPZ}")
    said = OUTPUTS[outputs[0]]
    if kind is not None and said is not None and kind != said:
        raise BadInput(f"{name}: its array is called {outputs[0]!r}, but it is to be read as {kind}. Rename the array, or "
                       "do not say what it holds.")
    arrays = [_array(name, archive, names[prefix + key]) for key in (outputs[0], labels[0])]
    return predictions(*arrays, kind=said or kind, where=name)


def _array(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; its header is checked before memory is taken, and it is read in pieces."""
    where = f"{name}, array {info.filename.removesuffix('.npy')}"
    try:
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(member)
            stored = info.file_size - member.tell()
        if dtype.hasobject or dtype.kind not in "biufUS":
            raise BadInput(f"{where}: expected numbers, found {dtype}. Objects need pickle, which can run code and is never "
                           "loaded. Convert with .astype('float32').")
        wanted = math.prod(shape) * dtype.itemsize
        if wanted != stored:
            raise BadInput(f"{where}: its header promises {wanted:,} bytes, but {stored:,} are stored. "
                           "Write the file again.")
        if wanted > max_bytes():
            raise too_large(f"{where}, unpacked,", wanted)
        with archive.open(info) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except (*UNREADABLE, ValueError, TypeError, SyntaxError, KeyError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{where}: not a readable array ({str(error)[:200]}). Write the file again.") from None


# CSV


def _csv(path: Path, kind: str | None) -> Predictions:
    with path.open("rb") as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig")
        try:
            first = text.readline()
            delimiter = max(",;\t", key=first.count)
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            label, columns = _columns(path.name, header)
            pieces = list(_pieces(path.name, text, header, delimiter, label, columns))
        except UnicodeDecodeError as error:
            raise BadInput(f"{path.name} is not text in UTF-8 ({error.reason} at byte {error.start}). Save it as CSV "
                           "UTF-8, or give npz.") from None
    if not pieces:
        raise BadInput(f"{path.name} is empty: it has column names but no examples. Write one example a line.")
    names = tuple(header[c] for c in columns)
    outputs, labels = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
    pieces.clear()
    return predictions(outputs, labels, kind=kind or _kind_of(names), names=names, where=path.name)


def _columns(name: str, header: list[str]) -> tuple[int, list[int]]:
    """The column of labels and those of the classes."""
    if header and all(_is_number(cell) for cell in header):
        raise BadInput(f"{name}: the first line must hold column names, found numbers ({', '.join(header[:3])} ...). Add a "
                       "line such as label,p0,p1,p2.")
    labels = [i for i, cell in enumerate(header) if cell.lower() in LABELS]
    if len(labels) != 1:
        raise BadInput(f"{name}: expected one column called 'label', found {len(labels)} among: {', '.join(header)[:300]}. "
                       "Name the column of class numbers 'label'.")
    classes = [i for i, cell in enumerate(header) if i != labels[0] and cell.lower() not in SKIPPED]
    if len(classes) < 2:
        raise BadInput(f"{name}: expected a column for every class beside {header[labels[0]]!r}, found {len(classes)}. For "
                       "two classes give both columns.")
    return labels[0], classes


def _pieces(name: str, text: io.TextIOWrapper, header: list[str], delimiter: str, label: int,
            columns: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(outputs, labels) of a few lines at a time, float64."""
    size, line, taken = max(1, ROWS // len(header)), 2, 0
    while lines := list(islice(text, size)):
        if any(each.strip() for each in lines):
            try:
                numbers = np.loadtxt(lines, delimiter=delimiter, comments=None, ndmin=2, usecols=[*columns, label])
                if any(each.count(delimiter) != len(header) - 1 for each in lines if each.strip()):
                    raise ValueError("number of cells")
            except ValueError:
                raise _bad_cell(name, lines, line, header, delimiter, label) from None
            taken += numbers.nbytes
            if taken > max_bytes():
                raise too_large(f"{name}, as numbers,", taken)
            yield np.ascontiguousarray(numbers[:, :-1]), numbers[:, -1].copy()
        line += len(lines)


def _bad_cell(name: str, lines: list[str], start: int, header: list[str], delimiter: str, label: int) -> BadInput:
    """What is wrong in these lines, the first thing found."""
    for at, line in enumerate(lines):
        cells = next(csv.reader([line], delimiter=delimiter), [])
        where = f"{name}, line {start + at}"
        if not line.strip():
            continue
        if len(cells) != len(header):
            return BadInput(f"{where}: expected {len(header)} cells as in the first line, found {len(cells)}. The line may "
                            "be cut off.")
        for column, cell in enumerate(cells):
            if _is_number(cell):
                continue
            if column == label and cell.strip():
                return BadInput(f"{where}: expected labels as class numbers, counted from 0 in the order of the columns, "
                                f"found {cell.strip()[:40]!r}. Replace each name by its column's number.")
            if header[column].lower() not in SKIPPED:
                return BadInput(f"{where}, column {header[column]!r}: expected a number, found {cell.strip()[:40]!r}. Fill "
                                "the cell in or remove the line.")
    return BadInput(f"{name}, from line {start} on: these lines could not be read as numbers. Quotes around cells or "
                    "thousands separators may be the cause; write plain numbers.")


def _kind_of(names: tuple[str, ...]) -> str | None:
    """What the columns' names say, if all say it: logit_0 ..., or prob_0 ..."""
    lowered = [name.lower() for name in names]
    return next((kind for kind in KINDS if all(name.startswith(kind[:4]) for name in lowered)), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
