"""Datasets as numpy arrays: embedded, generated, or read from the user's own files."""

from __future__ import annotations

from landscape import catalog
from landscape.data.dataset import Dataset, Split, validated
from landscape.data.held_out import parted, without
from landscape.data.splits import with_label_noise

__all__ = ["Dataset", "Split", "load", "own_files", "validated"]

OWN_FILE = "file:"


def own_files() -> list[str]:
    """The user's files that can be a task, as ``file:NAME``."""
    from landscape.data import files

    return [OWN_FILE + name for name in files.own_files()]


def load(name: str, seed: int = 0, train_size: int | None = None, label_noise: float = 0.0) -> Dataset:
    """The dataset ``name``: a row of ``catalog.DATASETS``, or ``file:NAME`` for a file of the data folder.

    ``NAME without 8,9`` is what ``NAME`` is without the examples of these classes (see ``held_out``), in every set.
    ``seed`` decides the split, generated values and label noise; equal arguments give equal arrays.
    ``train_size`` uses that many training examples; ``label_noise`` replaces that share of the TRAIN labels
    by random ones. Raises BadInput, saying what to do, for an unknown name, a size or share out of range, or
    unusable data.
    """
    name, classes = parted(name)
    if name.startswith(OWN_FILE):
        from landscape.data.files import from_file

        dataset = from_file(name[len(OWN_FILE):], seed, train_size)
    else:
        dataset = catalog.row("dataset", catalog.DATASETS, name).load()(seed, train_size)
    dataset = validated(without(dataset, classes) if classes else dataset)
    return with_label_noise(dataset, label_noise, seed)
