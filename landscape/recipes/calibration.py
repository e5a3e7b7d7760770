"""Predictions of several sources side by side: what each knows of its own errors (slides 23 and 24; Guo et al. 2017).

Training is in runs of its own, ``walk``; held-out classes have another one. Everything is fitted on validation examples and
judged on test examples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from landscape.data import load
from landscape.data.held_out import named
from landscape.errors import BadInput
from landscape.recipes.judged import asking, judging, unknown
from landscape.recipes.judged.asking import Questions
from landscape.recipes.judged.sources import Source, of_stored, of_walk
from landscape.recipes.judged.unknown import Unknown
from landscape.recipes.training import problem
from landscape.recipes.walks import Walked, of_run, planned, walked
from landscape.results import Summary
from landscape.schedules import steps_per_epoch
from landscape.settings_averaging import Walk
from landscape.settings_calibration import Calibration

HELD_OUT = "held-out classes"  # the stage of other networks that have never seen them


def compute(s: Calibration, context) -> None:
    """Saves for every source ``judged:``, ``account:``, ``calibrated:`` and ``conformal:LABEL`` (``regressed:`` for numbers,
    ``confidence:`` for two inputs), ``row:LABEL``; ``shift:`` and ``shifted:CORRUPTION``, ``ood``, ``far``, ``summary``.
    """
    p = problem(s, s.batchnorm_examples)
    labels = [*s.sources, *(f"opened {k + 1}" for k in range(len(s.opened))),
              *(f"posterior {k + 1}" for k in range(len(s.posteriors)))]
    context.plan(_costs(s, labels))
    walk = walked(s, context, p) if s.sources else None
    questions = asking.questions(s, p.dataset, context)
    made: list[Callable[[], Source]] = [partial(lambda source: source, each) for each in of_walk(s, walk)] if walk else []
    made += of_stored(s, context)
    rows: dict[str, dict] = {}
    for label, source in zip(labels, made, strict=True):
        rows |= judging.rows_of(s, label, source, questions, context)
        context.save("summary", _summary(s, context, walk, questions, rows))
    if all(row["failed"] for row in rows.values()):
        raise BadInput(f"No source could be judged. {' '.join(row['failed'] for row in rows.values())}")
    if s.ood == "classes" and walk is not None:
        try:
            _held_out(s, context)
        except BadInput as error:
            questions.said.append(f"No held-out classes: {error}")
    context.save("summary", _summary(s, context, walk, questions, rows))


def _costs(s: Calibration, labels: list[str]) -> list[tuple[str, float]]:
    """Relative costs: a guess, so that the time left is of the right order."""
    many = ("swag", "swag_diagonal", "multiswag", "dropout", "laplace")
    costs = [("walk", 4.0)] if s.sources else []
    costs += [(label, 4.0 if label in many else 1.5) for label in labels]
    return costs + ([(HELD_OUT, 5.0)] if s.ood == "classes" and s.sources else [])


def _held_out(s: Calibration, context) -> None:
    """``ood`` of networks that are trained without some classes."""
    full = load(s.task, s.data_seed, s.train_size, s.label_noise)
    gone = unknown.classes_out(full, s)
    other = Walk(**{name: getattr(s, name) for name in Walk.model_fields} | {"task": named(s.task, gone)})
    p = problem(other, s.batchnorm_examples)
    steps = steps_per_epoch(len(p.dataset.train), s.batch_size)  # fewer than with all classes: snapshots fall on whole ones
    other = other.model_copy(update={"every": max(1, round(other.every * steps)) / steps})
    walk = of_run(other, context.child("walk", other, stage=HELD_OUT), p, planned(other, p))
    titles = ", ".join(full.classes[k] for k in gone)
    said = [f"Trained without the classes {titles}, whose test examples are the unknown ones."]
    inputs = unknown.held_out(full, s)
    found = Unknown(s, context, len(p.dataset.test), len(inputs), said)
    for source in of_walk(s, walk):
        if source.label in found.values["methods"]:
            continue
        try:
            judging.known_classes(s, source, inputs, found, context)
        except judging.FAILURES as error:
            found.values["said"].append(f"{source.title} failed: {error}")


def _summary(s: Calibration, context, walk: Walked | None, questions: Questions, rows: dict[str, dict]) -> Summary:
    """The machine-readable result: every source by its label, with null where a figure does not apply."""
    made = {"key": context.key, "task": s.task, "kind": questions.dataset.kind, "seeds": list(walk.seeds if walk else ()),
            "parents": {"walk": walk.key} if walk else {}, "sources": list(rows), "said": list(questions.said)}
    if walk is not None and walk.lost:
        made["said"].append(f"Left out, as their numbers stopped being finite: {walk.lost}.")
    return Summary(made | rows | {"cpu_seconds": round(context.cpu_seconds, 3)})
