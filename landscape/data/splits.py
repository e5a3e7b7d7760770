"""Dividing examples into sets, scaling them and disturbing training labels; all from arrays and a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from landscape.data.dataset import Dataset, Split
from landscape.errors import BadInput

# What a random stream is for; with the seed it makes one stream independent of the others.
ORDER, SUBSET, NOISE = 1, 2, 3
CHUNK = 1024  # examples converted to float64 at a time


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """The random numbers for one purpose; streams of different purposes are independent."""
    if seed < 0:
        raise BadInput(f"The data seed must be a whole number from 0, found {seed}.")
    return np.random.default_rng([seed, *purpose])


def stratified_order(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A shuffle (n,) of which every prefix holds each class in its share, to within one example.

    Members of a class are shuffled and spread evenly over (0, 1), each at a random place of its own interval.
    Targets that are not classes (two axes) are shuffled freely.
    """
    if y.ndim > 1:
        return rng.permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
    return np.argsort(place, kind="stable")


def three_sets(name: str, examples: Split, seed: int, train_size: int | None, validation: int, test: int,
               rest_to_test: bool = True) -> tuple[Split, Split, Split]:
    """Train, validation and test set of one pool of n examples, stratified in an order the seed decides.

    Validation and test keep ``validation`` and ``test`` examples, the same ones for every ``train_size``; the
    others are for training. Those that ``train_size`` leaves over join the test set, or stay unused. Raises
    BadInput if ``train_size`` is more than there are.
    """
    order = stratified_order(examples.y, stream(seed, ORDER))
    held, available = order[:validation], order[validation : len(order) - test]
    count = checked_train_size(name, train_size, len(available))
    first_test = validation + count if rest_to_test else len(order) - test
    return examples.rows(available[:count]), examples.rows(held), examples.rows(order[first_test:])


def smaller(name: str, train: Split, seed: int, train_size: int | None) -> Split:
    """``train_size`` examples of a training set, stratified; all of them, in their own order, for None."""
    if checked_train_size(name, train_size, len(train)) == len(train):
        return train
    return train.rows(stratified_order(train.y, stream(seed, SUBSET))[:train_size])


def checked_train_size(name: str, train_size: int | None, available: int) -> int:
    """The number of training examples to use, all for None.

    Raises BadInput for more than there are, or fewer than 1.
    """
    if train_size is None:
        return available
    if not 1 <= train_size <= available:
        raise BadInput(f"train_size must be from 1 to {available}, the training examples {name} has; found "
                       f"{train_size}. Leave it empty to use all.")
    return int(train_size)


def standardised(train: Split, others: tuple[Split, ...], per: str, unit: str) -> tuple[list[Split], dict]:
    """All sets scaled by the TRAINING set's mean and standard deviation, and the ``normalisation`` saying so.

    ``per`` is ``all`` (one mean and one deviation), ``channel`` (axis 1 of images) or ``column``. A deviation
    of zero (a constant column) counts as 1. Statistics are computed in float64; results are float32.
    """
    axes = {"all": None, "channel": (0, *range(2, train.x.ndim)), "column": (0,)}[per]
    mean, std = _moments(train.x, axes)
    scaled = [Split(_rescaled(split.x, mean, std), split.y) for split in (train, *others)]
    numbers = {key: value.item() if per == "all" else value.ravel().tolist() for key, value in
               {"mean": mean, "std": std}.items()}
    over = {"all": "all inputs together", "channel": "each channel", "column": "each column"}[per]
    return scaled, {**numbers, "unit": unit, "note": f"mean and deviation of the training set, {over}"}


def _moments(x: np.ndarray, axes: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1 where it is 0) over ``axes``, kept as axes of length 1.

    Computed in float64, without a float64 copy of ``x``.
    """
    mean = x.mean(axis=axes, dtype=np.float64, keepdims=True)
    squares = sum(np.square(x[i : i + CHUNK] - mean).sum(axis=axes, keepdims=True)
                  for i in range(0, len(x), CHUNK))
    std = np.sqrt(squares / (x.size // mean.size))
    return mean, np.where(std == 0, 1.0, std)


def _rescaled(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(x - mean) / std, computed in float64 a part at a time, float32."""
    scaled = np.empty_like(x)
    for i in range(0, len(x), CHUNK):
        scaled[i : i + CHUNK] = (x[i : i + CHUNK] - mean) / std
    return scaled


def with_label_noise(dataset: Dataset, share: float, seed: int) -> Dataset:
    """``share`` of the TRAIN labels replaced by labels drawn uniformly from all classes, the old one too.

    Validation and test labels stay as they are. Raises BadInput for a share outside [0, 1], or for
    regression.
    """
    if not 0 <= share <= 1:
        raise BadInput(f"label_noise must be a share from 0 to 1, found {share}.")
    if share == 0:
        return dataset
    if dataset.kind != "classification":
        raise BadInput(f"label_noise replaces class labels, but {dataset.name} is a {dataset.kind} task. Set "
                       "label_noise to 0.")
    rng, y = stream(seed, NOISE), dataset.train.y.copy()
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    y[chosen] = rng.integers(len(dataset.classes), size=len(chosen))
    said = f" {len(chosen)} of {len(y)} training labels were replaced by random ones (seed {seed})."
    return dataclasses.replace(dataset, train=Split(dataset.train.x, y), provenance=dataset.provenance + said)
