"""What every dataset is, and what it must be before a network sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.errors import BadInput

SPLITS = ("train", "validation", "test")
KINDS = ("classification", "regression")
VIEWS = ("image", "signal", "plane", "line", "table")


@dataclass(frozen=True, eq=False)
class Split:
    """Examples and their targets.

    ``x`` (n, *shape) float32, normalised; ``y`` (n,) int64 class numbers, or (n, targets) float32 for
    regression.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, index: np.ndarray) -> Split:
        """The examples at ``index``, in that order."""
        return Split(self.x[index], self.y[index])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint sets of examples, how they are drawn and where they come from.

    ``view`` says how one example is drawn: ``image`` (channels, height, width), ``signal`` (samples,),
    ``plane`` (2,), ``line`` (features,) whose first feature is the coordinate, or ``table`` (columns,).
    ``normalisation`` holds ``mean`` and ``std`` (numbers, or lists: one entry a channel or column) such that
    ``x = (raw - mean) / std``, ``unit`` of the raw values and ``note`` saying where the two numbers come
    from; regression may add ``target_mean`` and ``target_std``, same rule.
    """

    name: str
    title: str
    kind: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    view: str
    normalisation: dict[str, Any] = field(default_factory=dict)
    provenance: str = ""
    licence: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.train.x.shape[1:])

    @property
    def outputs(self) -> int:
        """Numbers a network must put out: one a class, or one a target dimension."""
        return len(self.classes) if self.kind == "classification" else self.train.y.shape[1]

    @property
    def splits(self) -> dict[str, Split]:
        return {name: getattr(self, name) for name in SPLITS}

    def raw(self, x: np.ndarray) -> np.ndarray:
        """``x`` (n, *shape) before normalisation, float32."""
        mean, std = (_per_example(self.normalisation[key], x.ndim - 1) for key in ("mean", "std"))
        return (x * std + mean).astype(np.float32)


def validated(dataset: Dataset) -> Dataset:
    """The same dataset, once it is known to be usable.

    Raises BadInput naming the set, the row and what to do: no examples, unequal lengths or shapes, a value
    that is not finite, labels outside 0..classes-1, fewer than two classes.
    """
    if dataset.kind not in KINDS or dataset.view not in VIEWS:
        raise BadInput(f"{dataset.name}: expected kind in {KINDS} and view in {VIEWS}, found "
                       f"{dataset.kind!r} and {dataset.view!r}.")
    for name, split in dataset.splits.items():
        where = f"{dataset.name}, {name} set"
        _check_lengths(where, split)
        if split.x.shape[1:] != dataset.shape:
            raise BadInput(f"{where}: examples have shape {split.x.shape[1:]}, those of the train set "
                           f"{dataset.shape}. All sets need examples of one shape.")
        check_finite(where, split.x, "x")
        if dataset.kind == "classification":
            _check_labels(where, split.y, dataset.classes)
        else:
            _check_targets(where, split.y, dataset.outputs)
    if dataset.kind == "classification" and len(np.unique(dataset.train.y)) < 2:
        raise one_class(dataset.name, dataset.classes[dataset.train.y[0]])
    return dataset


def one_class(name: str, label: object) -> BadInput:
    """The error for training labels that are all the same."""
    return BadInput(f"{name}: every training label is {label!r}. Classification needs at least 2 classes; "
                    "add examples of another class (or use a larger train_size), or check which column or "
                    "array holds the labels.")


def check_finite(where: str, values: np.ndarray, what: str) -> None:
    """Raises BadInput naming the first row (and column) that is NaN or infinite."""
    finite = np.isfinite(values)
    if finite.all():
        return
    first = np.unravel_index(int(np.argmin(finite)), values.shape)
    column = f", column {', '.join(map(str, first[1:]))}" if len(first) > 1 else ""
    raise BadInput(f"{where}: {what} must be finite numbers (of float32), found {values[first]} in row "
                   f"{first[0]}{column} (counted from 0) and {np.size(finite) - np.count_nonzero(finite)} "
                   "such values in all. Remove these rows or fill the values in, then load again.")


def _check_lengths(where: str, split: Split) -> None:
    if split.x.ndim < 2 or split.x.dtype != np.float32:
        raise BadInput(f"{where}: x must be float32 of shape (n, ...), found {split.x.dtype} "
                       f"{split.x.shape}.")
    if len(split.x) != len(split.y):
        raise BadInput(f"{where}: {len(split.x)} examples but {len(split.y)} targets. Every example needs "
                       "one target.")
    if split.x.size == 0:
        raise BadInput(f"{where} is empty (x has shape {split.x.shape}). It needs at least one example and "
                       "one feature.")


def _check_labels(where: str, y: np.ndarray, classes: tuple[str, ...]) -> None:
    if y.ndim != 1 or y.dtype != np.int64:
        raise BadInput(f"{where}: labels must be int64 of shape (n,), found {y.dtype} {y.shape}.")
    outside = np.flatnonzero((y < 0) | (y >= len(classes)))
    if len(outside):
        raise BadInput(f"{where}: labels must be whole numbers from 0 to {len(classes) - 1} ({len(classes)} "
                       f"classes), found {y[outside[0]]} in row {outside[0]} (counted from 0) and "
                       f"{len(outside)} such labels in all. Number the classes from 0, the same way in every "
                       "set.")


def _check_targets(where: str, y: np.ndarray, outputs: int) -> None:
    if y.ndim != 2 or y.dtype != np.float32 or y.shape[1] != outputs:
        raise BadInput(f"{where}: targets must be float32 of shape (n, {outputs}), found {y.dtype} "
                       f"{y.shape}.")
    check_finite(where, y, "targets")


def _per_example(values: Any, dims: int) -> np.ndarray:
    """A number as it is; one number a channel or column, shaped to fit an example of ``dims`` axes."""
    values = np.asarray(values, dtype=np.float64)
    return values.reshape(-1, *[1] * (dims - 1)) if values.ndim else values
