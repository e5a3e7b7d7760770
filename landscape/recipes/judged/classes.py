"""Predictions of classes from any source: their account, calibrators, conformal sets, and what is kept to look at again."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from landscape.errors import BadInput
from landscape.recipes.judged import calibrating
from landscape.recipes.judged.calibrating import Beside
from landscape.results import Judged, Summary
from landscape.settings_calibration import Judging
from landscape.uncertainty import conformal
from landscape.uncertainty.account import Account, account
from landscape.uncertainty.entry import Predictions
from landscape.uncertainty.metrics import BINS
from landscape.uncertainty.summary import divided, plain, temperatures

MOST = 4_000_000  # numbers (examples times classes) that are kept, and that all calibrators are tried on
SPLITS_WITHIN = (2.5, 97.5)  # percentiles of the coverages of all splits that are told
FURTHER = ("ece_kde", "ece_classwise", "ece_adaptive")  # of the machine-readable result, beside those of ``plain``


def judge(s: Judging, info: dict, test: Predictions, validation: Predictions | None, context, beside: Beside,
          disagreement: dict[str, np.ndarray], progress=lambda done, total: None) -> tuple[dict, float | None]:
    """Saves ``judged:``, ``account:``, ``calibrated:`` and ``conformal:LABEL``; the row of the summary, the temperature.

    Large files: metrics and temperature are of all examples; what is kept, calibrators and sets of a seeded part of them.
    """
    label = info["label"]
    found = account(test, s.bins, s.draws, s.seed, class_wise=_all_classes(test))
    row = {"title": info["title"], "source": info["source"], "failed": None, "n": len(test), **figures(s, test, found),
           "temperature": None, "after": None, "changed_predictions": None}
    said, temperature = list(found.said), None
    progress(1, 4)
    try:
        temperature, each, words = temperatures(test, validation, s.seed)
        scaled, differ = divided(test, each)
        after = account(scaled, BINS, s.draws, s.seed, class_wise=False)
        said += words
        row |= {"temperature": temperature, "after": {"n": len(test), **plain(after)}, "changed_predictions": differ}
    except BadInput as error:
        said.append(f"No temperature: {error}")
    progress(2, 4)
    told = info | {"temperature": temperature, "said": [*info.get("said", []), *said]}
    small, rows = kept(test, s.seed)
    if rows is not None:
        told["said"].append(f"{len(small):,} of {len(test):,} examples, drawn at random, are kept to be looked at; "
                            "calibrators and conformal sets are of them, the metrics of all.")
    fitted = None if validation is None else kept(validation, s.seed)[0]
    save(told, small, fitted, disagreement, rows, context)
    save_account(label, found, s, told["said"], context)
    _calibrated(s, label, small, fitted, context, beside, progress)
    context.save(f"conformal:{label}", Summary(sets(s, small, fitted)))
    return row, temperature


def figures(s: Judging, given: Predictions, found: Account) -> dict[str, float]:
    """The metrics of the machine-readable result, over 15 bins whatever the account has."""
    if s.bins != BINS:
        found = account(given, BINS, draws=2, seed=s.seed, class_wise=_all_classes(given))
    return plain(found) | {name: found.metrics[name].value for name in FURTHER if name in found.metrics}


def _all_classes(given: Predictions) -> bool:
    """Whether the metrics of every class are computed, most of the work where there are many."""
    return len(given) * given.classes <= MOST


def twin(s: Judging, info: dict, test: Predictions, validation: Predictions | None, temperature: float, context) -> dict:
    """A source once more at its temperature, as a source of its own: ``judged:`` and ``account:``; its row."""
    scaled = [None if given is None else divided(given, np.full(len(given), temperature))[0]
              for given in (test, validation)]
    found = account(scaled[0], s.bins, s.draws, s.seed)
    said = [f"The logits of {info['title']} divided by T = {temperature:.4g}, fitted on validation examples.", *found.said]
    told = info | {"label": f"{info['label']} temperature", "title": f"{info['title']} + temperature",
                   "temperature": temperature, "scaled_from": info["label"], "said": said}
    save(told, kept(scaled[0], s.seed)[0], None if scaled[1] is None else kept(scaled[1], s.seed)[0], {}, None, context)
    save_account(told["label"], found, s, said, context)
    return {"title": told["title"], "source": info["source"], "failed": None, "scaled_from": info["label"],
            "n": len(test), **figures(s, scaled[0], found), "temperature": temperature, "after": None,
            "changed_predictions": None}


def kept(given: Predictions, seed: int) -> tuple[Predictions, np.ndarray | None]:
    """(all or a random part of the examples, their positions; None for all)."""
    most = max(1, MOST // given.classes)
    if len(given) <= most:
        return given, None
    rows = np.sort(np.random.default_rng(seed).choice(len(given), most, replace=False))
    return given.rows(rows), rows


def save(info: dict, test: Predictions, validation: Predictions | None, disagreement: dict[str, np.ndarray],
         rows: np.ndarray | None, context) -> None:
    """``judged:LABEL``, probabilities in single precision."""
    parts = []
    for name, given in (("test", test), ("validation", validation)):
        part = {}
        if given is not None:
            part = {"probabilities": given.probabilities().astype(np.float32), "labels": given.labels.astype(np.int64)}
            part |= {"disagreement": disagreement[name].astype(np.float32)} if name in disagreement else {}
        parts.append(part)
    if rows is not None:
        parts[0]["rows"] = rows
    context.save(f"judged:{info['label']}", Judged("classes", *parts, info))


def save_account(label: str, found: Account, s: Judging, said: list[str], context) -> None:
    """``account:LABEL``: every metric with its interval, the parts of the Brier score, what to be careful about."""
    values = {name: {"value": m.value, "low": m.low, "high": m.high} for name, m in found.metrics.items()}
    if found.brier_parts is not None:
        values |= {f"brier_{name}": {"value": value, "low": None, "high": None}
                   for name, value in asdict(found.brier_parts).items()}
    context.save(f"account:{label}", Summary({
        "label": label, "metrics": values, "bins": s.bins, "draws": s.draws, "said": said, "n": found.n,
        "floor": found.floor, "impossible": found.impossible, "failed": None}))


def _calibrated(s: Judging, label: str, test: Predictions, validation: Predictions | None, context, beside: Beside,
                progress) -> None:
    rows = []
    for row in calibrating.rows(s.calibrators, test, validation, s.seed, beside):
        rows.append(row)
        progress(2 + len(rows) / max(1, len(s.calibrators)), 4)
    fitted = ("validation examples of their own" if validation is not None else
              "one half of the examples and tried on the other, both ways")
    context.save(f"calibrated:{label}", Summary({
        "label": label, "rows": rows, "bins": BINS, "n": {"test": len(test), "fitted": len(validation or test)},
        "said": [f"Calibrators were fitted on {fitted}."]}))


def sets(s: Judging, test: Predictions, validation: Predictions | None) -> dict:
    """Coverage and size of conformal sets over random halves of the test examples; sizes when fitted on validation."""
    p, made = test.probabilities(), {}
    for score, words in conformal.SCORES.items():
        try:
            found = conformal.repeated_sets(p, test.labels, s.alpha, score, s.splits, s.seed)
        except BadInput as error:
            return {"kind": "sets", "alpha": s.alpha, "nominal": 1 - s.alpha, "scores": {}, "failed": str(error)}
        made[score] = {"words": words, "coverage": found.coverage.tolist(), "size": found.size.tolist(), "mean": found.mean,
                       "mean_size": float(found.size.mean())}
        low, high = np.percentile(found.coverage, SPLITS_WITHIN)
        made[score] |= {"low": float(low), "high": float(high), "sets": None, "sets_coverage": None}
        if validation is not None:
            generator = np.random.default_rng(s.seed)
            own = conformal.sets(validation.probabilities(), validation.labels, p, s.alpha, score, generator)
            made[score] |= {"sets": np.bincount(own.sum(1), minlength=test.classes + 1).tolist(),
                            "sets_coverage": float(own[np.arange(len(p)), test.labels].mean())}
    return {"kind": "sets", "alpha": s.alpha, "nominal": 1 - s.alpha, "n": len(p), "splits": s.splits, "scores": made,
            "failed": None, "said": [f"Each of {s.splits} random halves of the test examples was calibrated on the other "
                                     "half. The promise is for examples of the same kind; under shift it is void."]}
