"""CSV (and TSV) tables: a line of column names, then one example a line."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landscape.data.folder import max_bytes, opened, too_large
from landscape.data.readers import POOL, Contents
from landscape.data.targets import MAX_CLASSES
from landscape.errors import BadInput

TARGET_NAMES = ("label", "target")
LARGEST = float(np.finfo(np.float32).max)


def read(path: Path) -> Contents:
    """Inputs (n, columns) float64; targets from the column ``label`` or ``target``, or else the last one.

    Targets that are texts, or at most 100 different whole numbers, are classes, numbered in (numerical) order
    of their names; other numbers are regression targets. Raises BadInput naming line and column of a cell
    that is missing or no finite number.
    """
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            x, cells = _columns(path.name, text)
        except UnicodeDecodeError as error:
            raise BadInput(f"{path.name} is not text in UTF-8 ({error.reason} at byte {error.start}). Save "
                           "it as CSV UTF-8.") from None
        except csv.Error as error:
            raise BadInput(f"{path.name} is not a readable CSV table ({error}). Save it again.") from None
    y, classes = _targets(path.name, cells)
    return Contents({POOL: (x, y)}, classes)


def _columns(name: str, text: io.TextIOWrapper) -> tuple[np.ndarray, list[str]]:
    """Inputs (n, columns) and target cells of the table."""
    first = text.readline()
    delimiter = max(",;\t", key=first.count)
    header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    target = _target_column(name, header)
    inputs = [column for i, column in enumerate(header) if i != target]
    values, cells, limit = array("d"), [], max_bytes()
    for line, row in _rows(name, text, delimiter, len(header)):
        cells.append(row.pop(target).strip())
        if not cells[-1]:
            raise BadInput(f"{name}, line {line}: the target (column {header[target]!r}) is missing. Fill it "
                           "in or remove the line.")
        values.extend(_numbers(name, line, inputs, row))
        if 4 * len(values) > limit:
            raise too_large(f"{name}, as numbers,", 4 * len(values))
    if not cells:
        raise BadInput(f"{name} is empty: it has column names but no examples. Add one example a line.")
    return np.frombuffer(values, dtype=np.float64).reshape(len(cells), len(inputs)), cells


def _target_column(name: str, header: list[str]) -> int:
    if header and all(_is_number(cell) for cell in header):
        raise BadInput(f"{name}: the first line must hold column names, found numbers only "
                       f"({', '.join(header[:3])} ...). Add a line of names; the target is the column "
                       "'label' or 'target', or else the last one.")
    if len(header) < 2:
        raise BadInput(f"{name} needs at least two columns, one input and the target; found {header}. "
                       "Separate columns by commas.")
    named = [i for i, column in enumerate(header) if column.lower() in TARGET_NAMES]
    if len(named) > 1:
        raise BadInput(f"{name} has {len(named)} columns called label or target; expected one. Rename the "
                       "others.")
    return named[0] if named else len(header) - 1


def _rows(name: str, text: io.TextIOWrapper, delimiter: str, width: int) -> Iterator[tuple[int, list[str]]]:
    """(line number in the file, cells) of every line that is not blank."""
    reader = csv.reader(text, delimiter=delimiter)
    for row in reader:
        if not row:
            continue
        line = reader.line_num + 1
        if len(row) != width:
            raise BadInput(f"{name}, line {line}: expected {width} cells as in the first line, found "
                           f"{len(row)}. The line may be cut off, or hold a separator that is not quoted.")
        yield line, row


def _numbers(name: str, line: int, columns: list[str], cells: list[str]) -> list[float]:
    try:
        numbers = [float(cell) for cell in cells]
        if all(abs(number) <= LARGEST for number in numbers):  # False for NaN
            return numbers
    except ValueError:
        pass
    bad = next(i for i, cell in enumerate(cells)
               if not _is_number(cell) or not abs(float(cell)) <= LARGEST)
    raise BadInput(f"{name}, line {line}, column {columns[bad]!r}: expected a finite number, found "
                   f"{cells[bad][:40]!r}. Inputs must be numbers without gaps: fill the cell in, remove the "
                   "line, or code texts as numbers.")


def _targets(name: str, cells: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers (n,) int64 and names, or numbers (n,) float64 and no names."""
    if not all(_is_number(cell) for cell in cells):
        return _named(name, cells)
    numbers = np.array([float(cell) for cell in cells])
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise BadInput(f"{name}, example {row} (counted from 0): the target must be finite, found "
                       f"{cells[row]!r}. Fill it in or remove the line.")
    distinct, y = np.unique(numbers, return_inverse=True)
    if len(distinct) <= MAX_CLASSES and (distinct == np.round(distinct)).all():
        return y.astype(np.int64), tuple(f"{value:.0f}" for value in distinct)
    return numbers, ()


def _named(name: str, cells: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers of texts, in alphabetical order."""
    classes, y = np.unique(np.array(cells), return_inverse=True)
    if len(classes) > max(MAX_CLASSES, len(cells) // 2):
        raise BadInput(f"{name}: {len(classes)} different class names in {len(cells)} examples. Check that "
                       "the target column (label, target, or the last one) holds classes or numbers.")
    return y.astype(np.int64), tuple(classes.tolist())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
