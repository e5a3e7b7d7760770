"""The user's own data: a file of the data folder becomes a Dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape.data.dataset import Dataset, Split, check_finite
from landscape.data.folder import data_folder, find, max_bytes, too_large
from landscape.data.readers import POOL, Contents, cifar, idx, images, npz, table
from landscape.data.splits import smaller, standardised, three_sets
from landscape.data.targets import understood
from landscape.errors import BadInput

FORMATS = ("npz (x, y or x_train, y_train, x_test, y_test); csv or tsv (a line of names, last column or "
           "'label' is the target); IDX pairs (train-images-idx3-ubyte[.gz] ...); a folder of CIFAR batches; a folder "
           "of images, CLASS/NAME.png (or train/CLASS/NAME.png beside test/...)")
MIN_EXAMPLES = 10
VALIDATION_SHARE, TEST_SHARE = 0.15, 0.2


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds, understood but neither divided nor scaled: a Split for each of its sets, ``all`` if it has but one.

    ``held_out`` is the end of a sentence: which sets are missing. ``bytes`` is True for inputs stored as numbers 0 to 255.
    """

    kind: str
    sets: dict[str, Split]
    classes: tuple[str, ...]
    held_out: str
    bytes: bool


def stored(name: str, path: Path, contents: Contents, classes: tuple[str, ...] = ()) -> Stored:
    """Inputs as float32, targets as classes or numbers. ``classes`` replaces those the labels would be counted to.

    Raises BadInput for whatever makes the file unusable.
    """
    targets_of = {which: y for which, (_, y) in contents.sets.items()}
    first = "train" if "train" in targets_of else POOL if POOL in targets_of else next(iter(targets_of))
    kind, targets, classes = understood(name, targets_of, first, classes or contents.classes)
    examples = {which: Split(_inputs(f"{name}, {which}", x), targets[which])
                for which, (x, _) in contents.sets.items()}
    _check_sets(name, examples)
    return Stored(kind, examples, classes, _said(contents), contents.sets[first][0].dtype == np.uint8)


def from_file(name: str, seed: int = 0, train_size: int | None = None, path: Path | None = None) -> Dataset:
    """The dataset in ``name``, a file (or folder of CIFAR batches or images) of the data folder, or in ``path``.

    Sets the file does not have are held out of the training examples, stratified by the seed: 15% for
    validation, 20% for test. Inputs are standardised with the training set's statistics (a channel of images,
    a column of tables), and so are regression targets. Raises BadInput for whatever makes the file unusable.
    """
    path = find(name) if path is None else path
    found = stored(name, path, reader(path)(path))
    train, validation, test = _divided(name, found.sets, seed, train_size)
    view = view_of(train.x.shape[1:], found.kind)
    (train, validation, test), normalisation = standardised(
        train, (validation, test), "channel" if view == "image" else "column", "values as in the file")
    if found.kind == "regression":
        (train, validation, test), scale = _standardised_targets(train, validation, test)
        normalisation |= scale
    return Dataset(f"file:{name}", Path(name).name, found.kind, train, validation, test, found.classes, view,
                   normalisation, f"The user's file {name}{found.held_out}.",
                   "As the owner of the file decides.")


def own_files() -> list[str]:
    """Names in the data folder, at its top, that have a readable format; empty where there is no folder."""
    root = data_folder()
    if not root.is_dir():
        return []
    return [path.name for path in sorted(root.iterdir()) if "labels" not in path.name and _is_readable(path)]


def _is_readable(path: Path) -> bool:
    try:
        reader(path)
    except (BadInput, OSError):
        return False
    return True


def reader(path: Path) -> Callable[[Path], Contents]:
    """What reads this file or folder. Raises BadInput for a format that is not known."""
    suffix = path.suffix.lower()
    if path.is_dir():
        try:
            choices = ((cifar.is_cifar, cifar.read), (idx.is_idx, idx.read), (images.is_images, images.read))
            fitting = [read for fits, read in choices if fits(path)]
        except OSError as error:
            raise BadInput(f"The folder {path.name} cannot be read: {error.strerror}. Check its "
                           "permissions.") from None
        if fitting:
            return fitting[0]
    elif suffix == ".npz":
        return npz.read
    elif suffix in (".csv", ".tsv"):
        return table.read
    elif idx.is_idx(path):
        return idx.read
    what = "folder" if path.is_dir() else "file"
    raise BadInput(f"The {what} {path.name} is in no format that is read here. Expected: {FORMATS}.")


def _said(contents: Contents) -> str:
    missing = [which for which in ("validation", "test") if which not in contents.sets]
    if not missing:
        return ""
    return f"; {' and '.join(missing)} examples held out here by a seeded, stratified shuffle"


def _inputs(where: str, x: np.ndarray) -> np.ndarray:
    """float32 (n, columns), or images (n, channels, height, width); channels that stand last are moved."""
    if x.dtype.kind not in "biuf":
        raise BadInput(f"{where}: inputs must be numbers, found dtype {x.dtype}. Code texts as numbers.")
    if not 1 <= x.ndim <= 4:
        raise BadInput(f"{where}: inputs must have shape (n, columns), (n, height, width) or (n, channels, "
                       f"height, width), found {x.shape}.")
    if x.size == 0:
        raise BadInput(f"{where} is empty (x has shape {x.shape}). It needs at least one example and one "
                       "feature.")
    if 4 * x.size > max_bytes():
        raise too_large(f"{where}, as float32,", 4 * x.size)
    if x.ndim == 1 or x.ndim == 3:
        x = x[:, None]
    if x.ndim == 4 and x.shape[1] not in (1, 3, 4):
        if x.shape[3] not in (1, 3, 4):
            raise BadInput(f"{where}: images need 1, 3 or 4 channels, first or last, found shape {x.shape}.")
        x = np.moveaxis(x, 3, 1)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is named just below
        x = np.ascontiguousarray(x, dtype=np.float32)
    check_finite(where, x, "x")
    return x


def view_of(shape: tuple[int, ...], kind: str) -> str:
    if len(shape) == 3:
        return "image"
    return {1: "line" if kind == "regression" else "table", 2: "plane"}.get(shape[0], "table")


def _check_sets(name: str, examples: dict[str, Split]) -> None:
    """Equal lengths and shapes, before anything is divided."""
    shape = next(iter(examples.values())).x.shape[1:]
    for which, split in examples.items():
        if len(split.x) != len(split.y):
            raise BadInput(f"{name}, {which}: {len(split.x)} examples but {len(split.y)} targets. Every "
                           "example needs one target.")
        if split.x.shape[1:] != shape:
            raise BadInput(f"{name}, {which}: examples have shape {split.x.shape[1:]}, those of the first "
                           f"set {shape}. All sets need examples of one shape.")


def _divided(name: str, examples: dict[str, Split], seed: int,
             train_size: int | None) -> tuple[Split, Split, Split]:
    """Three sets; those the file lacks are held out of the training examples."""
    train = examples.get("train", examples.get(POOL))
    held = {which: 0 if which in examples else max(1, round(share * len(train)))
            for which, share in (("validation", VALIDATION_SHARE), ("test", TEST_SHARE))}
    if not any(held.values()):
        return smaller(name, train, seed, train_size), examples["validation"], examples["test"]
    if len(train) < MIN_EXAMPLES:
        raise BadInput(f"{name} has {len(train)} examples; at least {MIN_EXAMPLES} are needed to make a "
                       "training, a validation and a test set of them.")
    train, validation, test = three_sets(name, train, seed, train_size, held["validation"], held["test"],
                                         rest_to_test=False)
    return train, examples.get("validation", validation), examples.get("test", test)


def _standardised_targets(*splits: Split) -> tuple[list[Split], dict]:
    """Regression targets scaled by the training targets' mean and standard deviation."""
    mean, std = splits[0].y.mean(0, dtype=np.float64), splits[0].y.std(0, dtype=np.float64)
    if not (std > 0).all():
        raise BadInput("All regression targets of the training set are equal. Check which column holds the "
                       "target.")
    scaled = [Split(split.x, ((split.y - mean) / std).astype(np.float32)) for split in splits]
    return scaled, {"target_mean": mean.tolist(), "target_std": std.tolist()}
