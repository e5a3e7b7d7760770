"""What the targets of a user's file mean: classes, numbered from 0, or numbers to regress on."""

from __future__ import annotations

import numpy as np

from landscape.data.dataset import check_finite, one_class
from landscape.errors import BadInput

MAX_CLASSES = 100  # whole numbers stored as floats that take more values than this are regression targets
FEW_VALUES = 10  # targets that are not whole and take fewer values than this are taken for spoilt labels

Targets = dict[str, np.ndarray]


def understood(name: str, stored: Targets, first: str,
               classes: tuple[str, ...]) -> tuple[str, Targets, tuple[str, ...]]:
    """``(kind, targets, classes)`` for the targets ``stored`` of each set; the set ``first`` decides.

    Texts, whole numbers of an integer type, and floats that are whole and take at most 100 values are labels;
    other floats are regression targets. ``classes`` are names the file gives, () for none. Labels come back
    int64 (n,), regression targets float32 (n, targets). Raises BadInput for labels that are negative, not
    whole, not numbered 0, 1, 2 ... without gaps, of one class, or unknown to the training set.
    """
    ys = {which: _squeezed(f"{name}, {which}", y) for which, y in stored.items()}
    if ys[first].dtype.kind in "US":
        ys, classes = _numbered(name, ys, first)
    for which, y in ys.items():
        if y.dtype.kind not in "biuf":
            raise BadInput(f"{name}, {which}: targets must be "
                           f"{'numbers' if first != which else 'numbers or texts'}, found dtype {y.dtype}. "
                           "Store the targets of every set in the same way.")
        check_finite(f"{name}, {which}", y, "y")
    if _is_regression(ys[first]):
        _check_many_values(name, ys[first])
        return "regression", {which: _numbers(f"{name}, {which}", y) for which, y in ys.items()}, ()
    ys = {which: _labels(f"{name}, {which}", y) for which, y in ys.items()}
    return "classification", ys, classes or _class_names(name, ys[first])


def _squeezed(where: str, y: np.ndarray) -> np.ndarray:
    """(n,), or (n, targets) with more than one target."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.size == 0:
        raise BadInput(f"{where} is empty (y has shape {y.shape}). It needs at least one example.")
    if y.ndim not in (1, 2) or (y.ndim == 2 and (y.dtype.kind != "f" or _whole(y))):
        raise BadInput(f"{where}: y must be labels of shape (n,) or regression targets of shape (n, "
                       f"targets), found {y.dtype} {y.shape}. Turn one-hot labels into numbers with "
                       "y.argmax(1).")
    return y


def _whole(y: np.ndarray) -> bool:
    return bool((y == np.round(y)).all())


def _is_regression(y: np.ndarray) -> bool:
    return y.dtype.kind == "f" and (not _whole(y) or len(np.unique(y)) > MAX_CLASSES)


def _numbers(where: str, y: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is named just below
        numbers = y.reshape(len(y), -1).astype(np.float32)
    check_finite(where, numbers, "y")
    return numbers


def _numbered(name: str, ys: Targets, first: str) -> tuple[Targets, tuple[str, ...]]:
    """Texts as class numbers, in the alphabetical order of the training set's names."""
    texts = {which: np.char.decode(y, "latin1") if y.dtype.kind == "S" else y.astype(str)
             for which, y in ys.items()}
    names = np.unique(texts[first])
    for which, y in texts.items():
        strange = np.flatnonzero(~np.isin(y, names))
        if len(strange):
            raise BadInput(f"{name}, {which}: label {str(y[strange[0]])!r} in row {strange[0]} (counted from "
                           f"0) is no class of the training set ({', '.join(names[:8])}). Spell classes the "
                           "same way in every set.")
    return {which: np.searchsorted(names, y) for which, y in texts.items()}, tuple(names.tolist())


def _labels(where: str, y: np.ndarray) -> np.ndarray:
    for bad, rule in ((y != np.round(y), "whole numbers as in the training set"),
                      (y < 0, "whole numbers from 0"),
                      (y > 2**31, "whole numbers from 0, below the number of classes")):
        if bad.any():
            row = int(np.argmax(bad))
            raise BadInput(f"{where}: labels must be {rule}, found {y[row]} in row {row} (counted from 0). "
                           "Number the classes 0, 1, 2, ...")
    return y.astype(np.int64)


def _class_names(name: str, y: np.ndarray) -> tuple[str, ...]:
    """Names of classes that are numbered without gaps from 0."""
    present = np.unique(y)
    if len(present) == 1:
        raise one_class(name, int(present[0]))
    if present[-1] != len(present) - 1:
        raise BadInput(f"{name}: labels are out of range. {len(present)} different labels must be numbered 0 "
                       f"to {len(present) - 1}, found {present[0]} to {present[-1]}. Renumber them with "
                       "np.unique(y, return_inverse=True)[1]; for regression store y as numbers with "
                       "decimals.")
    return tuple(str(label) for label in present)


def _check_many_values(name: str, y: np.ndarray) -> None:
    distinct = np.unique(y)
    if len(distinct) < min(FEW_VALUES, len(y)):
        row = int(np.argmax((y != np.round(y)).reshape(len(y), -1).any(1)))
        raise BadInput(f"{name}: y takes only {len(distinct)} values, but they are not whole numbers (found "
                       f"{y[row]} in row {row}, counted from 0). Labels must be whole numbers 0, 1, 2, ...; "
                       f"regression needs targets of at least {FEW_VALUES} different values.")
