"""Tasks whose networks never see some classes: ``mnist1d without 8,9``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import numpy as np

from landscape.data.dataset import Dataset, Split
from landscape.errors import BadInput

_NAMED = re.compile(r"(?P<task>.+) without (?P<classes>\d+(,\d+)*)", re.DOTALL)


def parted(name: str) -> tuple[str, tuple[int, ...]]:
    """The task of a name and the classes held out of it, none for most names."""
    found = _NAMED.fullmatch(name)
    return (found["task"], tuple(int(part) for part in found["classes"].split(","))) if found else (name, ())


def named(task: str, classes: Iterable[int]) -> str:
    """The name of a task without some classes."""
    return f"{task} without {','.join(str(c) for c in sorted(set(classes)))}"


def without(dataset: Dataset, classes: Iterable[int]) -> Dataset:
    """The examples of all other classes, in their order and as they were scaled, classes numbered anew.

    Raises BadInput for a regression, for classes that are not there, or if fewer than two are left.
    """
    gone, count = sorted(set(classes)), len(dataset.classes)
    if dataset.kind != "classification":
        raise BadInput(f"{dataset.name} is a {dataset.kind} task: it has no classes to hold out.")
    if not gone or gone[-1] >= count or count - len(gone) < 2:
        raise BadInput(f"Expected some of the classes 0 ... {count - 1} of {dataset.name} to hold out, with at least two "
                       f"left, found {', '.join(map(str, gone)) or 'none'}.")
    number = np.cumsum(~np.isin(np.arange(count), gone)) - 1
    parts = {}
    for name, split in dataset.splits.items():
        own = split.rows(~np.isin(split.y, gone))
        parts[name] = Split(own.x, number[own.y])
    left = tuple(title for k, title in enumerate(dataset.classes) if k not in gone)
    told = f" Without the classes {', '.join(dataset.classes[k] for k in gone)}, which were held out."
    return dataclasses.replace(dataset, name=named(dataset.name, gone), classes=left,
                               provenance=dataset.provenance + told, **parts)
