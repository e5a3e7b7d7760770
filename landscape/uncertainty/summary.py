"""The machine-readable account of one source of predictions, before and after temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.errors import BadInput
from landscape.uncertainty.account import DRAWS, Account, account
from landscape.uncertainty.calibrators.temperature import fit_temperature
from landscape.uncertainty.entry import PIECE, Predictions

MOST_FITTED = 4_000_000  # numbers (examples times classes) that a temperature is fitted on
KEYS = {"error": "error", "nll": "nll", "brier": "brier", "ece15": "ece", "ece15_mass": "ece_mass",
        "ece_debiased": "ece_debiased", "mce": "mce"}


def summary(test: Predictions, validation: Predictions | None = None, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """``{"n", "error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce", "temperature", "after": {the same},
    "changed_predictions"}`` with ``"intervals"`` of both and what was ``"said"``.

    The temperature is fitted on ``validation``. Without it every example is scaled by the temperature of the half (drawn by
    ``seed``) it is not in, and ``temperature`` is that of all. ``after`` is None where none can be fitted, with the reason.
    """
    before = account(test, draws=draws, seed=seed, class_wise=False)
    made = {"n": len(test), **plain(before), "temperature": None, "after": None, "changed_predictions": None}
    said = list(before.said)
    intervals = {"before": _ends(before)}
    try:
        temperature, each, words = temperatures(test, validation, seed)
    except BadInput as error:
        return made | {"intervals": intervals, "said": [*said, f"No temperature: {error}"]}
    scaled, differ = divided(test, each)
    after = account(scaled, draws=draws, seed=seed, class_wise=False)
    made |= {"temperature": temperature, "after": {"n": len(test), **plain(after)}, "changed_predictions": differ}
    return made | {"intervals": intervals | {"after": _ends(after)}, "said": [*said, *words]}


def plain(found: Account) -> dict[str, float]:
    """The metrics under the names of the result."""
    return {key: found.metrics[name].value for key, name in KEYS.items()}


def temperatures(test: Predictions, validation: Predictions | None, seed: int) -> tuple[float, np.ndarray, list[str]]:
    """(the temperature, that of every test example (n,), sentences). Raises BadInput where none can be fitted."""
    generator = np.random.default_rng(seed)
    if validation is not None:
        if validation.classes != test.classes:
            raise BadInput(f"Expected validation predictions of {test.classes} classes, found {validation.classes}.")
        found = _fitted(validation, np.arange(len(validation)), generator)
        words = f"The temperature was fitted on {len(validation)} validation examples of their own."
        return found.temperature, np.full(len(test), found.temperature), [words, *found.said]
    order = generator.permutation(len(test))
    halves = order[: len(test) // 2], order[len(test) // 2 :]
    each = np.empty(len(test))
    said: list[str] = []
    for fitted, used in (halves, halves[::-1]):
        if not len(fitted):
            raise BadInput(f"Expected at least two examples to fit and to test on, found {len(test)}. Give more.")
        found = _fitted(test, fitted, generator)
        each[used] = found.temperature
        said += found.said
    words = ("There are no validation examples: each half of the examples was scaled by the temperature fitted on the other "
             "half, and the temperature shown is that of all.")
    return _fitted(test, order, generator).temperature, each, list(dict.fromkeys([words, *said]))


def divided(test: Predictions, each: np.ndarray) -> tuple[Predictions, int]:
    """The predictions at these temperatures (n,), and how many name another class."""
    outputs, differ = np.empty_like(test.outputs), 0
    size = max(1, PIECE // test.classes)
    for start in range(0, len(test), size):
        which = slice(start, start + size)
        logits = test.logits(which)
        outputs[which] = logits / each[which, None]
        differ += int((outputs[which].argmax(1) != logits.argmax(1)).sum())
    return Predictions(outputs, test.labels, "logits", test.names), differ


def _fitted(given: Predictions, rows: np.ndarray, generator: np.random.Generator):
    most = max(1000, MOST_FITTED // given.classes)
    if len(rows) > most:
        rows = generator.choice(rows, most, replace=False)
    return fit_temperature(given.logits(rows), given.labels[rows])


def _ends(found: Account) -> dict[str, list[float]]:
    return {key: [found.metrics[name].low, found.metrics[name].high] for key, name in KEYS.items()}
