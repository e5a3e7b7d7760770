"""Ladders of corrupted test inputs: accuracy, NLL and ECE of every source as inputs leave what it was trained on."""

from __future__ import annotations

import numpy as np

from landscape.data import Dataset
from landscape.errors import BadInput
from landscape.results import Series
from landscape.settings_calibration import Calibration
from landscape.uncertainty import metrics
from landscape.uncertainty.shift import CORRUPTIONS, SEVERITIES, corrupt

EXAMPLES = 4  # corrupted inputs that are shown
QUANTITIES = ("accuracy", "nll", "ece")


def name(corruption: str, severity: int) -> str:
    """Under which corrupted inputs are asked for."""
    return f"{corruption} {severity}"


def inputs(dataset: Dataset, s: Calibration) -> tuple[dict[str, np.ndarray], list[str]]:
    """Corrupted test inputs by ``name``, severities 1 to 5, and what was said of corruptions that have no meaning here."""
    x, made, said = dataset.test.x[: s.shift_examples], {}, []
    for corruption in s.corruptions:
        try:
            made |= {name(corruption, k): corrupt(x, corruption, k, s.seed) for k in list(SEVERITIES)[1:]}
        except BadInput as error:
            said.append(str(error))
    return made, said


class Ladders:
    """The results ``shift:CORRUPTION``, which grow by one source after the other, and ``shifted:CORRUPTION``."""

    def __init__(self, s: Calibration, dataset: Dataset, corrupted: dict[str, np.ndarray], context):
        self.s, self.context, self.dataset = s, context, dataset
        self.labels = dataset.test.y[: s.shift_examples]
        self.names = [each for each in s.corruptions if name(each, 1) in corrupted]
        self.kept: dict[str, Series] = {}
        for each in self.names:
            self.kept[each] = context.load(f"shift:{each}") or self._empty(each)
            if context.load(f"shifted:{each}") is None:
                context.save(f"shifted:{each}", self._shown(each, corrupted))

    def add(self, label: str, title: str, found: dict[str, np.ndarray]) -> None:
        """Probabilities (n, C) of ``test`` and of every severity, by their names."""
        for each in self.names:
            steps = [found["test"][: len(self.labels)]] + [found[name(each, k)] for k in list(SEVERITIES)[1:]]
            judged = {"accuracy": metrics.accuracy, "nll": metrics.nll,
                      "ece": lambda p, y: metrics.ece(p, y, self.s.bins)}
            values = {f"{label} {q}": np.array([judged[q](p, self.labels) for p in steps]) for q in QUANTITIES}
            before = self.kept[each]
            labels = [*(known for known in before.info["labels"] if known != label), label]
            info = before.info | {"labels": labels, "titles": before.info["titles"] | {label: title}}
            self.kept[each] = Series(before.x, before.values | values, info)
            self.context.save(f"shift:{each}", self.kept[each])

    def _empty(self, each: str) -> Series:
        row = CORRUPTIONS[each]
        return Series(np.arange(len(SEVERITIES), dtype=float), {}, {
            "x": "severity", "title": row.label, "about": row.words, "unit": row.unit, "strengths": list(row.strengths),
            "labels": [], "titles": {}, "data": {"test": len(self.labels)}, "bins": self.s.bins, "seed": self.s.seed,
            "said": ["The corruptions are this program's own, after Hendrycks and Dietterich (2019)."]})

    def _shown(self, each: str, corrupted: dict[str, np.ndarray]) -> Series:
        """The first examples at every severity, raw: columns of (D, 6)."""
        count = min(EXAMPLES, len(self.labels))
        steps = [self.dataset.test.x[:count]] + [corrupted[name(each, k)][:count] for k in list(SEVERITIES)[1:]]
        raw = np.stack([self.dataset.raw(x) for x in steps], axis=-1)  # (m, *shape, 6)
        values = {f"example {k}": raw[k].reshape(-1, len(steps)).astype(np.float32) for k in range(count)}
        y = self.labels[:count]
        return Series(np.arange(len(SEVERITIES), dtype=float), values, {
            "x": "severity", "shape": list(self.dataset.shape), "view": self.dataset.view, "index": list(range(count)),
            "targets": y.tolist(), "classes": list(self.dataset.classes), "title": CORRUPTIONS[each].label})
