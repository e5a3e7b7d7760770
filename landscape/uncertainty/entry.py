"""Where predictions enter: what they are is asked once and checked here, everything behind relies on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from landscape.errors import BadInput, unknown

KINDS = ("probabilities", "logits")
PIECE = 2**20  # numbers that are worked on at once
ROUNDED = 2e-3  # how far a row may be from summing to one: four decimals of ten classes, half precision


class Undecided(BadInput):
    """Numbers that may be one kind or the other; ``likely`` is what they look like. A page asks with two buttons."""

    def __init__(self, message: str, likely: str):
        super().__init__(message)
        self.likely = likely


@dataclass(frozen=True, eq=False)
class Predictions:
    """n predictions of C classes, checked: ``outputs`` (n, C) of ``kind`` logits or probabilities, ``labels`` (n,) intp.

    ``said`` are sentences on what was done on the way in.
    """

    outputs: np.ndarray
    labels: np.ndarray
    kind: str
    names: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        return self.outputs.shape[1]

    def pieces(self) -> Iterator[tuple[slice, np.ndarray]]:
        """(which rows, their outputs) in pieces small enough for copies in float64."""
        rows = max(1, PIECE // self.classes)
        for start in range(0, len(self), rows):
            which = slice(start, start + rows)
            yield which, self.outputs[which]

    def probabilities(self, which: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(m, C) float64 of these rows."""
        rows = self.outputs[which].astype(np.float64)
        return softmax(rows, axis=1) if self.kind == "logits" else rows

    def logits(self, which: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(m, C) float64, or log probabilities, which are logits too; a probability 0 counts as the smallest number."""
        rows = self.outputs[which]
        if self.kind == "logits":
            return rows.astype(np.float64)
        return np.log(np.maximum(rows, np.finfo(rows.dtype).tiny).astype(np.float64))

    def log_probabilities(self, which: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(m, C) float64; finite for every finite logit."""
        return log_softmax(self.logits(which), axis=1) if self.kind == "logits" else self.logits(which)

    def rows(self, which: np.ndarray) -> Predictions:
        """These examples alone."""
        return Predictions(self.outputs[which], self.labels[which], self.kind, self.names, self.said)


def predictions(outputs: np.ndarray, labels: np.ndarray, kind: str | None = None, names: tuple[str, ...] = (),
                where: str = "The predictions") -> Predictions:
    """``outputs`` (n, C) and ``labels`` (n,), checked; rows of probabilities are made to sum to exactly one.

    Without ``kind``, rows that sum to one are taken as probabilities; anything else raises Undecided, which says what it
    looks like. Raises BadInput for numbers that are not of the kind given, or labels that are not class numbers.
    """
    outputs = numbers(np.asarray(outputs), where)
    if kind is not None and kind not in KINDS:
        raise unknown("kind of outputs", kind, KINDS)
    labels = class_numbers(labels, outputs.shape, where)
    looks = Looks.of(outputs, where)
    kind = decided(looks, kind, where)
    said: tuple[str, ...] = ()
    if kind == "probabilities":
        looks.refuse_as_probabilities(where)
        outputs = _summing_to_one(outputs)
        if looks.apart > 1e-5:
            said = (f"Rows summed to one only within {looks.apart:.1g} (rounded numbers); each was divided by its sum.",)
    return Predictions(outputs, labels, kind, tuple(names), said)


def numbers(outputs: np.ndarray, where: str) -> np.ndarray:
    """(n, C) in float32 or float64. Raises BadInput for another shape or type, or no rows."""
    if outputs.dtype.kind not in "fiub":
        raise BadInput(f"{where}: expected numbers, found {outputs.dtype}. Store floating-point numbers.")
    if outputs.ndim != 2 or outputs.shape[1] == 0:
        raise BadInput(f"{where}: expected a table (examples, classes), found shape {outputs.shape}. Give one column for "
                       "each class, for two classes both of them.")
    if not len(outputs):
        raise BadInput(f"{where}: expected at least one example, found none. Check that the file was written to its end.")
    return outputs if outputs.dtype in (np.float32, np.float64) else outputs.astype(np.float64)


def class_numbers(labels: np.ndarray, shape: tuple[int, int], where: str) -> np.ndarray:
    """Labels (n,) as class numbers. Raises BadInput for texts, one-hot rows, fractions, or numbers outside the classes."""
    labels, (n, classes) = np.asarray(labels), shape
    counted = f"class numbers 0 ... {classes - 1} in the order of the columns"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "iufb":
        example = labels.ravel()[0] if labels.size else ""
        raise BadInput(f"{where}: expected labels as {counted}, found text such as {str(example)[:40]!r}. Replace each name "
                       "by the number of its column, the first column is 0.")
    if labels.ndim == 2 and labels.shape == shape:
        raise BadInput(f"{where}: expected one class number an example, found labels of shape {labels.shape}, one-hot as it "
                       "seems. Store labels.argmax(axis=1).")
    if labels.shape != (n,):
        raise BadInput(f"{where}: expected {n} labels, one for each row, found shape {labels.shape}. Store both for the "
                       "same examples, in the same order.")
    whole = np.isfinite(labels) & (labels == np.floor(labels)) if labels.dtype.kind == "f" else np.ones(n, bool)
    if not whole.all():
        raise BadInput(f"{where}: expected labels as {counted}, found {labels[~whole][0]} in row {int(np.argmin(whole))}. "
                       "Fill in the missing labels or leave those rows out.")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        hint = ("Classes seem to be counted from 1: subtract 1." if labels.min() == 1 and labels.max() == classes else
                "Add the missing columns, or leave those rows out.")
        raise BadInput(f"{where}: expected labels as {counted}, found {int(outside.sum())} outside, the first is "
                       f"{labels[outside][0]:g} in row {int(np.argmax(outside))}. {hint}")
    return labels.astype(np.intp)


@dataclass
class Looks:
    """What the numbers look like: how many rows are no probabilities, and why."""

    n: int
    low: float
    high: float
    negative: int
    broken: int
    apart: float
    off: int
    first: str

    @classmethod
    def of(cls, outputs: np.ndarray, where: str) -> Looks:
        """Raises BadInput, naming the row, for a number that is not finite."""
        low, high, negative, broken, apart, off, first = np.inf, -np.inf, 0, 0, 0.0, 0, ""
        size = max(1, PIECE // outputs.shape[1])
        for start in range(0, len(outputs), size):
            rows = outputs[start : start + size]
            finite = np.isfinite(rows).all(1)
            if not finite.all():
                at = int(np.argmin(finite))
                raise BadInput(f"{where}: expected finite numbers, found {rows[at][~np.isfinite(rows[at])][0]} in row "
                               f"{start + at}. Find out where predicting failed, or leave such rows out.")
            low, high = min(low, float(rows.min())), max(high, float(rows.max()))
            below, sums = (rows < -ROUNDED).any(1), rows.sum(1, dtype=np.float64)
            wrong = np.abs(sums - 1) > tolerance(outputs)
            if wrong.any() and not first:
                at = int(np.argmax(wrong))
                first = f"row {start + at} sums to {sums[at]:.4g}"
            negative, off = negative + int(below.sum()), off + int(wrong.sum())
            broken += int((below | wrong).sum())
            apart = max(apart, float(np.abs(sums - 1).max()))
        return cls(len(outputs), low, high, negative, broken, apart, off, first)

    @property
    def likely(self) -> str:
        """Probabilities if at most a tenth of the rows speaks against them, or if all numbers lie in [0, 1]."""
        inside = self.low >= -ROUNDED and self.high <= 1 + ROUNDED
        return "probabilities" if inside or self.broken <= 0.1 * self.n else "logits"

    def refuse_as_probabilities(self, where: str) -> None:
        """Raises BadInput if a row is negative or does not sum to one."""
        if self.likely == "logits":
            raise Undecided(f"{where}: expected probabilities, found numbers from {self.low:.4g} to {self.high:.4g} whose "
                            "rows do not sum to one; they look like logits. Say that they are logits, or apply the softmax.",
                            "logits")
        if self.negative:
            raise BadInput(f"{where}: expected probabilities, found negative numbers in {self.negative} of {self.n} rows "
                           f"(the smallest is {self.low:.4g}). Check how they were computed.")
        if self.off:
            raise BadInput(f"{where}: expected rows that sum to one, found {self.off} of {self.n} that do not "
                           f"({self.first}). Check that every class has its column, or give logits.")


def decided(looks: Looks, kind: str | None, where: str) -> str:
    """The kind of the numbers. Raises Undecided where what they look like and what was said differ, or nothing was said."""
    clean = looks.off == 0 and looks.negative == 0
    if kind is None and not clean and looks.likely == "logits":
        raise Undecided(f"{where}: are these logits? Expected to be told, or rows that sum to one; found numbers from "
                        f"{looks.low:.4g} to {looks.high:.4g}. Say whether they are logits or probabilities.", "logits")
    if kind == "logits" and clean and looks.low >= 0 and looks.high <= 1 and looks.apart < ROUNDED:
        raise Undecided(f"{where}: expected logits, found {looks.n} rows of numbers in [0, 1] that sum to one; they look "
                        "like probabilities. Say that they are probabilities; as logits they would be far too unsure.",
                        "probabilities")
    return kind or "probabilities"


def tolerance(outputs: np.ndarray) -> float:
    """How far a row's sum may be from one: half a unit of the fourth decimal in every column, at least ``ROUNDED``."""
    return max(ROUNDED, 5e-5 * outputs.shape[1])


def _summing_to_one(outputs: np.ndarray) -> np.ndarray:
    """A copy, each row clipped at zero and divided by its sum, piece by piece."""
    made = np.empty_like(outputs)
    size = max(1, PIECE // outputs.shape[1])
    for start in range(0, len(outputs), size):
        rows = np.maximum(outputs[start : start + size], 0)
        made[start : start + size] = rows / rows.sum(1, dtype=np.float64, keepdims=True)
    return made
