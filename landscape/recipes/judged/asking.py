"""What the sources of one task are asked for, and the results of the run that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.data import Dataset
from landscape.errors import BadInput
from landscape.recipes.judged import distant, shifted, unknown
from landscape.recipes.judged.predicting import Asked
from landscape.recipes.judged.shifted import Ladders
from landscape.recipes.judged.sources import Source
from landscape.recipes.judged.unknown import Unknown
from landscape.settings_calibration import Calibration
from landscape.uncertainty.shift import corrupt

FAR = "validation, corrupted"  # examples that a density-aware calibrator learns from what distance means
SEVERITY = 3  # of their noise
UNKNOWN, KNOWN = "unknown", "test"


@dataclass(frozen=True, eq=False)
class Questions:
    """``asked`` of every source of the task's own data; its ladders and unknown inputs, if there are any; sentences."""

    dataset: Dataset
    asked: Asked
    ladders: Ladders | None
    unknown: Unknown | None
    said: list[str]

    def same(self, dataset: Dataset) -> bool:
        """Whether a source of another run is judged by the very same examples."""
        own = self.dataset
        return (dataset.kind == own.kind and dataset.shape == own.shape and len(dataset.test) == len(own.test)
                and np.array_equal(dataset.test.x, own.test.x) and np.array_equal(dataset.test.y, own.test.y))


def questions(s: Calibration, dataset: Dataset, context) -> Questions:
    """All that is asked for on the task's own data. A ladder or unknown inputs that make no sense here leave a sentence."""
    asked, said = plain(dataset), []
    if dataset.kind != "classification":
        said += ["Corrupted and unknown inputs are for predictions of classes; this task predicts numbers."] if (
            s.corruptions or s.ood != "none") else []
        return Questions(dataset, asked, None, None, said)
    corrupted, said = shifted.inputs(dataset, s)
    parts = asked.parts | corrupted | distant.inputs(dataset)
    if "density" in s.calibrators and len(dataset.validation):
        parts[FAR] = corrupt(dataset.validation.x, "noise", SEVERITY, s.seed + 1)
    ladders = Ladders(s, dataset, corrupted, context) if corrupted else None
    found = None
    if s.ood not in ("none", "classes"):
        try:
            parts[UNKNOWN] = unknown.unknown_inputs(dataset, s)
            found = Unknown(s, context, len(dataset.test), len(parts[UNKNOWN]), [])
        except BadInput as error:
            said.append(f"No unknown inputs: {error}")
    return Questions(dataset, Asked(parts), ladders, found, said)


def plain(dataset: Dataset) -> Asked:
    """Validation and test examples alone, and the plane of two inputs."""
    return Asked({name: getattr(dataset, name).x for name in ("validation", "test") if len(getattr(dataset, name))})


def sets(source: Source) -> tuple[str, ...]:
    """The sets of examples a source may be judged by. Raises BadInput where there is none it was not trained on."""
    there = source.problem.task.splits
    found = tuple(name for name in ("test", "validation") if name in there and len(there[name][0]))
    if "test" not in found:
        raise BadInput(f"{source.title} has no test examples: it was opened with one set, which may be its training set.")
    return found
