"""Data as a given network wants it: which examples, how they are scaled, in which order their channels come.

A network from elsewhere was trained on inputs that somebody else prepared. ``standard`` is what this program does for its
own tasks; ``none``, ``unit`` and two lists of numbers are what others do.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape import catalog
from landscape.data import OWN_FILE, load
from landscape.data.dataset import SPLITS, Dataset, Split
from landscape.data.files import from_file, reader, stored, view_of
from landscape.data.folder import beneath, find
from landscape.data.readers import POOL, Contents, npz
from landscape.data.splits import standardised, stratified_order, stream
from landscape.errors import BadInput

LIMIT = 4  # the random stream that chooses the examples of a limit
NORMALISATIONS = ("standard", "none", "unit")
BYTE = 255.0


@dataclass(frozen=True)
class Wanted:
    """How data are to be prepared. ``data`` is a task, ``file:NAME`` of the data folder, or a path under the roots.

    ``normalisation`` is ``standard``, ``none``, ``unit`` (0 to 1) or ``MEANS;DEVIATIONS``: of values from 0 to 1 for
    pictures, of the values as stored for everything else; one number, or one a channel or column, in the order the network
    sees them. ``seed`` None leaves a file that is one set undivided; a seed divides it as for training here. ``examples``
    is a limit on the set the network is judged by. ``loss`` ``causal`` reads tokens; ``mse`` and ``gaussian`` want numbers.
    """

    data: str
    normalisation: str = "standard"
    channels: str = "RGB"
    loss: str = "auto"
    seed: int | None = None
    train_size: int | None = None
    label_noise: float = 0.0
    split: str = "test"
    examples: int | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """``dataset`` as the network sees it; its ``test`` set is what the network is judged by, ``judged`` says what that is.

    ``given`` are the sets that were given, each with examples of its own; one that was not stands for another: without
    ``train`` nothing but the set that judges is there.
    """

    dataset: Dataset
    judged: str
    given: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def own_train(self) -> bool:
        return "train" in self.given


def prepared(wanted: Wanted) -> Prepared:
    """Read, scale and choose. Raises BadInput for data that cannot be read, or a preparation they do not allow."""
    if wanted.loss == "causal":
        found = _tokens(wanted)
    elif wanted.data in catalog.TASKS or (wanted.seed is not None and wanted.normalisation == "standard"):
        found = _task(wanted)
    else:
        found = _file(wanted)
    if wanted.channels == "BGR":
        found = dataclasses.replace(found, dataset=_reversed(found.dataset))
    found = dataclasses.replace(found, dataset=_scaled(found.dataset, wanted)) if _numbers(wanted) else found
    return _chosen(found, wanted)


def path_of(data: str) -> tuple[str, Path]:
    """(name, path) of a file named ``file:NAME`` or by its path."""
    if data.startswith(OWN_FILE):
        return data.removeprefix(OWN_FILE), find(data.removeprefix(OWN_FILE))
    path = beneath(data)
    return path.name, path


def _task(wanted: Wanted) -> Prepared:
    """Data exactly as this program prepares them for its own training."""
    given = (wanted.seed or 0, wanted.train_size)
    if wanted.data in catalog.TASKS or wanted.data.startswith(OWN_FILE):
        dataset = load(wanted.data, *given, wanted.label_noise)
    else:
        name, path = path_of(wanted.data)
        dataset = from_file(name, *given, path=path)
    return Prepared(_as_asked(dataset, wanted.loss), f"the {len(dataset.test):,} test examples of {dataset.title}", SPLITS)


def _file(wanted: Wanted) -> Prepared:
    """The sets a file has; one that is not divided is used whole."""
    name, path = path_of(wanted.data)
    contents, notes = _true_labels(reader(path)(path))
    labels = [y for _, y in contents.sets.values()]
    counted = () if contents.classes or any(y.dtype.kind not in "iu" for y in labels) else tuple(
        str(k) for k in range(int(max(y.max(initial=0) for y in labels)) + 1))
    found = stored(name, path, contents, counted)
    pool = found.sets.get(POOL)
    train, test = (pool or found.sets.get(which) or next(iter(found.sets.values())) for which in ("train", "test"))
    validation = found.sets.get("validation", test)
    view = view_of(train.x.shape[1:], found.kind)
    which = "test " if "test" in found.sets else ""
    dataset = Dataset(wanted.data, Path(name).name, found.kind, train, validation, test, found.classes, view,
                      {"mean": 0.0, "std": 1.0, "unit": "values as in the file", "note": "as stored",
                       "full_scale": BYTE if found.bytes else _full_scale(train.x)},
                      f"The user's file {name}.", "As the owner of the file decides.")
    judged = f"the {len(test):,} {which}examples of {name}" if which else f"all {len(test):,} examples of {name}"
    dataset = _as_asked(dataset, wanted.loss)
    if wanted.normalisation == "standard":
        sets = (dataset.validation, dataset.test)
        (train, *others), said = standardised(dataset.train, sets, "channel" if view == "image" else "column",
                                              "values as in the file")
        if pool is not None:
            said["note"] = said["note"].replace("training set", "file")
        dataset = dataclasses.replace(dataset, train=train, validation=others[0], test=others[1], normalisation=said)
    return Prepared(dataset, judged, ("test",) if pool else tuple(found.sets), notes)


def _tokens(wanted: Wanted) -> Prepared:
    """Tokens (n, length), the targets of which are the same tokens unless the file has a y."""
    name, path = path_of(wanted.data)
    if path.suffix.lower() != ".npz":
        raise BadInput(f"Tokens come as an npz file with whole numbers x (examples, length), found {name}. Write it with "
                       "np.savez_compressed(name, x=tokens).")
    sets = {}
    for which, (x, y) in npz.read(path, inputs_alone=True).sets.items():
        if x.dtype.kind not in "iu" or x.ndim != 2 or y.shape != x.shape or y.dtype.kind not in "iu" or not x.size:
            raise BadInput(f"{name}, {which}: tokens must be whole numbers of shape (examples, length), and y, if there is "
                           f"one, of the same shape; found x {x.dtype} {x.shape}, y {y.dtype} {y.shape}.")
        sets[which] = Split(x.astype(np.int64), y.astype(np.int64))
    pool = sets.get(POOL)
    train, test = (pool or sets.get(which) or next(iter(sets.values())) for which in ("train", "test"))
    dataset = Dataset(wanted.data, name, "language", train, sets.get("validation", test), test, (), "tokens",
                      {"mean": 0.0, "std": 1.0, "unit": "tokens", "note": "as stored"}, f"The user's file {name}.",
                      "As the owner of the file decides.")
    return Prepared(dataset, f"{'all' if pool else 'the'} {len(test):,} sequences of {test.x.shape[1]} tokens of {name}",
                    ("test",) if pool else tuple(sets))


def _true_labels(contents: Contents) -> tuple[Contents, tuple[str, ...]]:
    """Labels that a table numbered anew, as the numbers they were: a network's output k stands for label k."""
    names = contents.classes
    if not names or not all(name.isdecimal() for name in names) or list(names) == [str(k) for k in range(len(names))]:
        return contents, ()
    numbers = np.array([int(name) for name in names])
    if numbers.max() > 10_000 or any(y.dtype.kind not in "iu" for _, y in contents.sets.values()):
        return contents, ()
    sets = {which: (x, numbers[y]) for which, (x, y) in contents.sets.items()}
    shown = ", ".join(names[:5]) + (" ..." if names[5:] else "")
    note = f"Labels stand for the network's outputs of the same numbers: {shown}."
    return Contents(sets, tuple(str(k) for k in range(int(numbers.max()) + 1))), (note,)


def _as_asked(dataset: Dataset, loss: str) -> Dataset:
    """Class numbers as numbers to regress on, where the loss wants those."""
    if loss not in ("mse", "gaussian") or dataset.kind != "classification":
        return dataset
    sets = {which: Split(split.x, split.y.astype(np.float32)[:, None]) for which, split in dataset.splits.items()}
    view = "line" if dataset.view == "table" and dataset.shape == (1,) else dataset.view
    return dataclasses.replace(dataset, kind="regression", classes=(), view=view, **sets)


def _reversed(dataset: Dataset) -> Dataset:
    if dataset.view != "image" or dataset.shape[0] != 3:
        raise BadInput(f"channels=BGR turns the order of three colour channels round; {dataset.title} has examples of shape "
                       f"{dataset.shape}. Leave channels at RGB.")
    sets = {which: Split(np.ascontiguousarray(split.x[:, ::-1]), split.y) for which, split in dataset.splits.items()}
    numbers = {k: list(reversed(v)) if isinstance(v, list) and len(v) == 3 and k in ("mean", "std") else v
               for k, v in dataset.normalisation.items()}
    return dataclasses.replace(dataset, normalisation=numbers, **sets)


def _numbers(wanted: Wanted) -> bool:
    return wanted.normalisation != "standard" and wanted.loss != "causal"


def _scaled(dataset: Dataset, wanted: Wanted) -> Dataset:
    """From whatever scale the set has to the one asked for."""
    mean, std, note = _scale(dataset, wanted.normalisation)
    sets = {}
    for which, split in dataset.splits.items():
        x = _unrounded(dataset.raw(split.x)) if dataset.view == "image" else dataset.raw(split.x)
        sets[which] = Split(((x - mean) / std).astype(np.float32), split.y)
    said = {k: v for k, v in dataset.normalisation.items() if k.startswith("target")}
    numbers = {key: np.asarray(value, float).ravel().tolist() for key, value in (("mean", mean), ("std", std))}
    numbers = {key: value[0] if len(value) == 1 else value for key, value in numbers.items()}
    unit = {"unit": dataset.normalisation.get("unit", ""), "note": note}
    return dataclasses.replace(dataset, normalisation={**numbers, **unit, **said}, **sets)


def _scale(dataset: Dataset, normalisation: str) -> tuple[np.ndarray, np.ndarray, str]:
    """(mean, std, sentence) such that x = (raw - mean) / std; of shapes that fit an example."""
    zero, one = np.zeros(()), np.ones(())
    if normalisation == "none":
        return zero, one, "none: values as stored"
    full = dataset.normalisation.get("full_scale") or _full_scale(_unrounded(dataset.raw(dataset.train.x)))
    if normalisation == "unit":
        return zero, full * one, f"values divided by {full:g}, to lie from 0 to 1"
    means, stds = parsed(normalisation)
    count = dataset.shape[0]
    if {len(means), len(stds)} - {1, count}:
        raise BadInput(f"normalisation needs one mean and deviation, or {count} of each (one a "
                       f"{'channel' if dataset.view == 'image' else 'column'}), found {len(means)} and {len(stds)}.")
    shape = (-1,) + (1,) * (len(dataset.shape) - 1)
    mean, std = (np.array(values).reshape(shape) for values in (means, stds))
    if dataset.view != "image":
        return mean, std, "the mean and deviation given, of the values as stored"
    if full > 2 and np.abs(mean).max() > 1.5:
        raise BadInput(f"The means of normalisation are of pixels from 0 to 1, found {normalisation!r}. Divide both lists "
                       f"by {full:g}.")
    return mean * full, std * full, f"pixels divided by {full:g}, then the mean and deviation given"


def parsed(text: str) -> tuple[list[float], list[float]]:
    """The two lists of ``MEANS;DEVIATIONS`` (or ``MEANS/DEVIATIONS``), numbers separated by commas. Raises BadInput."""
    parts = text.replace("/", ";").split(";")
    try:
        means, stds = ([float(number) for number in part.split(",")] for part in parts)
        if not all(np.isfinite([*means, *stds])) or min(stds) <= 0:
            raise ValueError
    except ValueError:
        raise BadInput(f"normalisation must be standard, none, unit, or MEANS;DEVIATIONS such as 0.1307;0.3081 or "
                       f"0.485,0.456,0.406;0.229,0.224,0.225 (deviations above 0), found {text!r}.") from None
    return means, stds


def _full_scale(x: np.ndarray) -> float:
    """What stands for 1: 1 where the values already lie in 0 to 1, else the largest value."""
    largest = float(np.abs(x).max())
    return 1.0 if largest <= 1 else largest


def _unrounded(x: np.ndarray) -> np.ndarray:
    """Whole numbers that scaling there and back has moved off themselves by rounding."""
    whole = np.rint(x)
    return whole if np.abs(whole).max() > 2 and np.abs(x - whole).max() < 1e-3 else x


def _chosen(found: Prepared, wanted: Wanted) -> Prepared:
    """The set the network is judged by: all examples if asked for, no more than the limit."""
    dataset, judged, own = found.dataset, found.judged, found.own_train
    if wanted.split == "all" and own:
        parts = [dataset.splits[name] for name in found.given]
        dataset = dataclasses.replace(dataset, test=Split(*(np.concatenate([getattr(p, n) for p in parts]) for n in "xy")))
        judged = f"all {len(dataset.test):,} examples of {dataset.title}, training examples among them"
    if wanted.examples is not None and wanted.examples < len(dataset.test):
        order = stratified_order(dataset.test.y, stream(wanted.seed or 0, LIMIT))[: wanted.examples]
        judged = f"{len(order):,} of {judged}, chosen at random"
        dataset = dataclasses.replace(dataset, test=dataset.test.rows(np.sort(order)))
    if not own:
        dataset = dataclasses.replace(dataset, train=dataset.test, validation=dataset.test)
    return dataclasses.replace(found, dataset=dataset, judged=judged)
