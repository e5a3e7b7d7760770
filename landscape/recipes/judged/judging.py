"""One source from its networks to its row: results of its label, its lines of the ladders, its unknown inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from landscape.errors import BadInput, Diverged
from landscape.recipes.averaged.curves import batchnorm
from landscape.recipes.judged import calibrating, classes, distant, predicting, regressed
from landscape.recipes.judged.asking import FAR, KNOWN, UNKNOWN, Questions, plain, sets
from landscape.recipes.judged.calibrating import Beside
from landscape.recipes.judged.predicting import Asked, Predicted
from landscape.recipes.judged.sources import Networks, Source
from landscape.results import Summary
from landscape.settings_calibration import Calibration
from landscape.uncertainty.entry import Predictions

FAILURES = (BadInput, Diverged, ModuleNotFoundError, torch.linalg.LinAlgError)  # the other sources go on
TINY = np.finfo(np.float64).tiny


def rows_of(s: Calibration, label: str, made: Callable[[], Source], questions: Questions, context) -> dict[str, dict]:
    """The rows of a source, and of the same at its temperature, by label; all its results are saved.

    What an earlier attempt has finished is not done again; a source that fails leaves its sentence and is tried again.
    """
    before = context.load(f"row:{label}")
    if before is None or before.values["rows"].get(label, {}).get("failed"):
        try:
            with threadpool_limits(1):  # small products: threads that wait for each other take several times as long
                source = made()
                if source.problem.dataset.kind == "classification":
                    found = _classes(s, source, questions, context)
                else:
                    found = {label: _numbers(s, source, context)}
        except FAILURES as error:
            found = {label: {"title": label, "failed": str(error)}}
            context.save(f"account:{label}", Summary({"label": label, "metrics": {}, "said": [str(error)], "n": 0,
                                                      "failed": str(error)}))
        before = Summary({"rows": found})
        context.save(f"row:{label}", before)
    context.progress(label, 1, 1)
    return before.values["rows"]


def _classes(s: Calibration, source: Source, questions: Questions, context) -> dict[str, dict]:
    dataset, label = source.problem.dataset, source.label
    own = questions.same(dataset)
    networks = source.networks(0)
    asked = questions.asked if own else plain(dataset)
    asked = Asked({name: x for name, x in asked.parts.items() if name not in ("validation", "test") or name in sets(source)})
    found = predicting.classes(source, networks, asked, lambda done, total: context.progress(label, 0.5 * done / total, 1))
    info = _info(source, networks, found.count) | {"classes": list(dataset.classes)}
    test, validation = (_predictions(found, dataset, name) for name in ("test", "validation"))
    beside = _beside(s, source, networks, found, asked)
    row, temperature = classes.judge(s, info, test, validation, context, beside, found.disagreement,
                                     lambda done, total: context.progress(label, 0.5 + 0.4 * done / total, 1))
    rows = {label: row | _over_seeds(source, test)}
    shown = {label: (info["title"], found.probabilities)}
    if label in s.scaled and temperature is not None and validation is not None:
        rows[f"{label} temperature"] = classes.twin(s, info, test, validation, temperature, context)
        shown[f"{label} temperature"] = (f"{info['title']} + temperature", _at(found.probabilities, temperature))
        shown |= _by_density(source, found, beside, asked)
    if own:
        _shared(source, shown, found, questions, context, info)
    return rows


def _shared(source: Source, shown: dict, found: Predicted, questions: Questions, context, info: dict) -> None:
    """This source's part of the results that all sources share."""
    for label, (title, p) in shown.items():
        if questions.ladders is not None:
            questions.ladders.add(label, title, p)
        if questions.unknown is not None and UNKNOWN in p:
            apart = _apart(found) if label == source.label else None
            questions.unknown.add(label, title, p[KNOWN], p[UNKNOWN], apart)
        if distant.RAYS in p:
            context.save(distant.FAR, distant.along_rays(context.load(distant.FAR), label, title, p[distant.RAYS]))
    if distant.GRID in found.probabilities:
        context.save(f"confidence:{source.label}", distant.confidence(questions.dataset, found, info))


def _apart(found: Predicted) -> tuple[np.ndarray, np.ndarray] | None:
    return (found.disagreement[KNOWN], found.disagreement[UNKNOWN]) if found.disagreement else None


def known_classes(s: Calibration, source: Source, unknown_x: np.ndarray, unknown, context) -> None:
    """Adds a source that has never seen some classes to ``ood``: its test examples are known, theirs unknown."""
    dataset = source.problem.dataset
    found = predicting.classes(source, source.networks(0), Asked({KNOWN: dataset.test.x, UNKNOWN: unknown_x}))
    unknown.add(source.label, source.title, found.probabilities[KNOWN], found.probabilities[UNKNOWN], _apart(found))


def _info(source: Source, networks: Networks, count: int) -> dict:
    task = source.problem.task
    statistics = networks.place.batchnorm if networks.place is not None else batchnorm(task)
    return source.info | {"draws": count, "batchnorm": statistics, "said": list(networks.said),
                          "task": source.problem.dataset.name,
                          "data": {name: len(task.splits[name][0]) for name in sets(source)}}


def _predictions(found: Predicted, dataset, name: str) -> Predictions | None:
    if name not in found.probabilities:
        return None
    return Predictions(found.probabilities[name], getattr(dataset, name).y, "probabilities", tuple(dataset.classes))


def _beside(s: Calibration, source: Source, networks: Networks, found: Predicted, asked: Asked) -> Beside:
    """What the calibrators need that are not fitted on mean predictions alone; made when they ask for it."""
    task, dataset = source.problem.task, source.problem.dataset

    def members() -> tuple[np.ndarray, np.ndarray]:
        like = task.splits["train"][0]
        return tuple(predicting.members(task, networks, torch.tensor(getattr(dataset, name).x).to(like))
                     for name in ("validation", "test"))

    def density() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        distances = distant.Distances(source.problem, networks)
        beside.kept["distances"] = distances
        names = [name for name in ("validation", FAR) if name in found.probabilities]
        logits = np.concatenate([np.log(np.maximum(found.probabilities[name], TINY)) for name in names])
        labels = np.tile(dataset.validation.y, len(names))
        return logits, labels, np.concatenate([distances(asked.parts[name]) for name in names]), distances(dataset.test.x)

    there = "validation" in found.probabilities
    beside = Beside(members if there and found.count > 1 else None, density if there else None)
    return beside


def _by_density(source: Source, found: Predicted, beside: Beside, asked: Asked) -> dict:
    """The same by density-aware scaling, if it was fitted, to be shown on the ladders."""
    fitted, distances = beside.kept.get("density"), beside.kept.get("distances")
    if fitted is None or not any(name.endswith(" 1") for name in found.probabilities):
        return {}
    skipped = ("validation", FAR, UNKNOWN, distant.GRID, distant.RAYS)
    p = {name: fitted.at(np.log(np.maximum(each, TINY)), distances(asked.parts[name]))
         for name, each in found.probabilities.items() if name not in skipped}
    return {f"{source.label} density": (f"{source.title} + density-aware", p)}


def _at(probabilities: dict[str, np.ndarray], temperature: float) -> dict[str, np.ndarray]:
    return {name: softmax(np.log(np.maximum(p, TINY)) / temperature, axis=1) for name, p in probabilities.items()}


def _over_seeds(source: Source, test: Predictions) -> dict:
    """Metrics on test of every replicate, each with other seeds; nothing where there is one."""
    if len(source.seeds) < 2:
        return {}
    each = [calibrating.figures(test.probabilities(), test.labels)]
    asked = Asked({"test": source.problem.dataset.test.x})
    for k in range(1, len(source.seeds)):
        p = predicting.classes(source, source.networks(k), asked).probabilities["test"]
        each.append(calibrating.figures(p, test.labels))
    return {"over_seeds": {"seeds": [list(seeds) for seeds in source.seeds]}
            | {name: [found[name] for found in each] for name in calibrating.FOUND}}


def _numbers(s: Calibration, source: Source, context) -> dict:
    networks, there = source.networks(0), sets(source)
    if "validation" not in there:
        raise BadInput(f"{source.title} has no validation examples, and a spread is mended on them.")
    found = {name: predicting.numbers(source, networks, name) for name in there}
    info = _info(source, networks, len(found["test"].means))
    row = regressed.judge(s, info, found["test"], found["validation"], context)
    if len(source.seeds) < 2:
        return row
    each = [regressed.figures(regressed.forecast(found["test"]))]
    each += [regressed.figures(regressed.forecast(predicting.numbers(source, source.networks(k), "test")))
             for k in range(1, len(source.seeds))]
    return row | {"over_seeds": {"seeds": [list(seeds) for seeds in source.seeds]}
                  | {name: [one[name] for one in each] for name in each[0]}}


