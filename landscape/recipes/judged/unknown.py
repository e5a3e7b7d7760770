"""Inputs that a predictor cannot know: made from the test examples, from other data, or of classes it never saw."""

from __future__ import annotations

import numpy as np

from landscape import catalog
from landscape.data import Dataset, load
from landscape.data.held_out import parted
from landscape.errors import BadInput
from landscape.results import Summary
from landscape.settings_calibration import Calibration
from landscape.uncertainty import detection
from landscape.uncertainty.shift import kind_of

NAME = "ood"
FARTHER = 5.0  # times the distance from the mean
DRAWS = 500  # of the bootstrap of an AUROC, at most
SCORES = detection.SCORES | {"disagreement": "what the networks do not share, in nats"}


def held_out(dataset: Dataset, s: Calibration) -> np.ndarray:
    """Test examples of the classes that are left out; ``dataset`` has all of them."""
    return dataset.test.x[np.isin(dataset.test.y, classes_out(dataset, s))]


def classes_out(dataset: Dataset, s: Calibration) -> tuple[int, ...]:
    """Those of the settings, or the last fifth of all. Raises BadInput where fewer than two would be left."""
    count = len(dataset.classes)
    gone = s.held_out or tuple(range(count - max(1, count // 5), count))
    detection.held_out(dataset.test.y, count, gone)
    return gone


def shuffled(dataset: Dataset, s: Calibration) -> np.ndarray:
    x = dataset.test.x
    flat = np.random.default_rng(s.seed).permuted(x.reshape(len(x), -1), axis=1)
    return flat.reshape(x.shape)


def noise(dataset: Dataset, s: Calibration) -> np.ndarray:
    x = dataset.test.x
    drawn = np.random.default_rng(s.seed).standard_normal(x.shape)
    return (x.mean() + x.std() * drawn).astype(np.float32)


def far(dataset: Dataset, s: Calibration) -> np.ndarray:
    centre = dataset.train.x.mean(0)
    return (centre + FARTHER * (dataset.test.x - centre)).astype(np.float32)


def unknown_inputs(dataset: Dataset, s: Calibration) -> np.ndarray:
    """Inputs (m, *shape), scaled as the task's own. Raises BadInput for data of another shape."""
    if s.ood in catalog.UNKNOWNS:
        if s.ood == "shuffled" and kind_of(dataset.test.x.shape) == "table":
            raise BadInput(f"Shuffled inputs are unknown for images and signals; those of {dataset.name} are a few columns. "
                           "Choose ood=far.")
        return catalog.UNKNOWNS[s.ood].load()(dataset, s)
    other = load(s.ood, s.data_seed)
    if other.shape != dataset.shape:
        raise BadInput(f"Expected unknown inputs of the shape {dataset.shape} of {dataset.name}, found {other.shape} in "
                       f"{s.ood}. Choose ood=shuffled, far or classes, or another data set.")
    return scaled(dataset, other.raw(other.test.x))


def scaled(dataset: Dataset, raw: np.ndarray) -> np.ndarray:
    """Raw inputs (n, *shape) as a network of the dataset sees them: the inverse of ``dataset.raw``."""
    zero = dataset.raw(np.zeros((1, *dataset.shape), np.float32)).astype(np.float64)
    one = dataset.raw(np.ones((1, *dataset.shape), np.float32)).astype(np.float64)
    return ((raw - zero) / (one - zero)).astype(np.float32)


class Unknown:
    """The result ``ood``, which grows by one source after the other."""

    def __init__(self, s: Calibration, context, known: int, unknown: int, said: list[str]):
        row = catalog.UNKNOWNS.get(s.ood)
        before = context.load(NAME)
        self.s, self.context = s, context
        self.values = before.values if before is not None else {
            "kind": s.ood, "title": row.title if row else f"Inputs of {s.ood}", "task": parted(s.task)[0],
            "about": row.about if row else f"Test examples of the data set {s.ood}.", "known": known, "unknown": unknown,
            "scores": SCORES, "methods": {}, "said": said}

    def add(self, label: str, title: str, known: np.ndarray, unknown: np.ndarray,
            apart: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Probabilities (n, C), (m, C), and the disagreement (n,), (m,) of several networks."""
        pairs = {"doubt": tuple(map(detection.doubt, (known, unknown))),
                 "entropy": tuple(map(detection.entropy, (known, unknown)))} | ({"disagreement": apart} if apart else {})
        found = {}
        for score, (a, b) in pairs.items():
            seen = detection.detected(a, b)
            ends = detection.auroc_interval(a, b, min(DRAWS, self.s.draws), self.s.seed)
            found[score] = {"auroc": seen.auroc, "low": ends.low, "high": ends.high, "missed": seen.missed,
                            "edges": seen.edges.tolist(), "known": seen.known.tolist(), "unknown": seen.unknown.tolist()}
        self.values["methods"][label] = {"title": title, "scores": found}
        self.context.save(NAME, Summary(self.values))
