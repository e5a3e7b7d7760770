"""Calibrators fitted on validation predictions and tried on test predictions: what each changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_softmax, logsumexp

from landscape.errors import BadInput
from landscape.uncertainty import calibration_errors, metrics
from landscape.uncertainty.binning import binned
from landscape.uncertainty.calibrators import CALIBRATORS, changed, fit, fit_density, fit_pooled
from landscape.uncertainty.calibrators.affine import Affine
from landscape.uncertainty.calibrators.calibrator import nll_of
from landscape.uncertainty.calibrators.one_class import Curves
from landscape.uncertainty.calibrators.temperature import Temperature
from landscape.uncertainty.entry import Predictions

FOUND = ("error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce")
TITLES = {"pooled": ("Members' temperature", "one temperature divides each network's logits before they are averaged"),
          "density": ("Density-aware", "a temperature that grows with the distance to training examples")}
NEAREST = 10  # training examples that a distance is the mean of


@dataclass(frozen=True, eq=False)
class Fold:
    """``logits`` (m, C) and ``labels`` (m,) to fit on, and the ``rows`` of the test set the fit is used for."""

    logits: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Beside:
    """What single calibrators need besides: the networks' logits (M, n, C) on both sets (``members``), and for ``density``
    (validation logits, labels, distances, test distances), far examples among those it is fitted on."""

    members: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None
    density: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] | None = None
    kept: dict = field(default_factory=dict)


def folds_of(test: Predictions, validation: Predictions | None, seed: int) -> list[Fold]:
    """One, or two halves of the test set of which each is used for the other."""
    if validation is not None:
        return [Fold(validation.logits(), validation.labels, np.arange(len(test)))]
    if len(test) < 2:
        raise BadInput(f"Expected at least two examples to fit and to test on, found {len(test)}. Give more.")
    order = np.random.default_rng(seed).permutation(len(test))
    halves = order[: len(test) // 2], order[len(test) // 2 :]
    return [Fold(test.logits(own), test.labels[own], other) for own, other in (halves, halves[::-1])]


def rows(names: tuple[str, ...], test: Predictions, validation: Predictions | None, seed: int,
         beside: Beside) -> Iterator[dict]:
    """One row for each calibrator: what was fitted, metrics on test before and after, validation NLL of both.

    One that cannot be fitted says why in ``failed``.
    """
    logits = test.logits()
    before = figures(test.probabilities(), test.labels)
    for name in names:
        title, words = TITLES.get(name) or (CALIBRATORS[name].label, CALIBRATORS[name].words)
        row = {"calibrator": name, "title": title, "words": words, "keeps": name == "density" or (
            name in CALIBRATORS and CALIBRATORS[name].keeps), "before": before, "after": None, "changed": None,
            "parameters": None, "validation_nll": [None, None], "said": [], "failed": None}
        try:
            made = _applied(name, logits, test, validation, seed, beside)
        except BadInput as error:
            yield row | {"failed": str(error)}
            continue
        after, told = made
        yield row | told | {"after": figures(after, test.labels), "changed": changed(test.probabilities(), after)}


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of the machine-readable result, over 15 bins, without intervals."""
    p, labels = metrics.checked(probabilities, labels)
    sure, right = calibration_errors.top(p, labels)
    width, mass = (binned(sure, right, metrics.BINS, rule) for rule in ("width", "mass"))
    found = (1 - right.mean(), metrics.nll(p, labels), metrics.brier(p, labels), width.error, mass.error,
             calibration_errors.debiased_error(width, sure, right), np.nanmax(np.abs(width.gap)))
    return dict(zip(FOUND, map(float, found), strict=True))


def _applied(name: str, logits: np.ndarray, test: Predictions, validation: Predictions | None, seed: int,
             beside: Beside) -> tuple[np.ndarray, dict]:
    """(calibrated probabilities (n, C), what is said of the fit)."""
    if name == "pooled":
        return _pooled(validation, beside)
    if name == "density":
        return _density(logits, beside)
    after, nll, said, words = np.empty(logits.shape), [], [], []
    for fold in folds_of(test, validation, seed):
        found = fit(name, fold.logits, fold.labels)
        after[fold.rows] = found(logits[fold.rows])
        nll.append((nll_of(fold.logits, fold.labels), nll_of(found.logits(fold.logits), fold.labels)))
        said += found.said
        words.append(parameters(found))
    return after, {"parameters": "; ".join(words), "validation_nll": np.mean(nll, axis=0).tolist(),
                   "said": list(dict.fromkeys(said))}


def _pooled(validation: Predictions | None, beside: Beside) -> tuple[np.ndarray, dict]:
    if beside.members is None or validation is None:
        raise BadInput("This needs the predictions of several networks, and here there is one.")
    own, test = beside.members()
    found = fit_pooled(own, validation.labels, "before")
    unscaled = logsumexp(log_softmax(own, axis=2), axis=0) - np.log(len(own))
    after = np.log(np.maximum(found.members(own), np.finfo(float).tiny))
    return found.members(test), {"parameters": f"T = {found.temperature:.4g} for each of {len(own)} networks",
                                 "validation_nll": [nll_of(unscaled, validation.labels), nll_of(after, validation.labels)]}


def _density(logits: np.ndarray, beside: Beside) -> tuple[np.ndarray, dict]:
    if beside.density is None:
        raise BadInput("This needs the inputs and the training examples, and here there are none.")
    own, labels, distances, test_distances = beside.density()
    found = fit_density(own, labels, distances)
    beside.kept["density"] = found
    nearest, farthest = found.temperatures(distances).min(), found.temperatures(distances).max()
    after = np.log(np.maximum(found.at(own, distances), np.finfo(float).tiny))
    said = f"T from {nearest:.4g} near training examples to {farthest:.4g} for the farthest one of the fit"
    return found.at(logits, test_distances), {"parameters": said,
                                              "validation_nll": [nll_of(own, labels), nll_of(after, labels)]}


def parameters(found) -> str:
    """What was fitted, in a few words."""
    if isinstance(found, Temperature):
        return f"T = {found.temperature:.4g}"
    if isinstance(found, Affine):
        diagonal = np.diag(found.matrix)
        off = np.abs(found.matrix - np.diag(diagonal)).max() if len(diagonal) > 1 else 0.0
        mixed = f", largest weight between classes {off:.3g}" if off else ""
        return (f"factors {diagonal.min():.3g} to {diagonal.max():.3g}, shifts {found.bias.min():.3g} to "
                f"{found.bias.max():.3g}{mixed}")
    if isinstance(found, Curves):
        slopes = found.weights[:, :-1]
        return f"slopes {slopes.min():.3g} to {slopes.max():.3g} over {len(found.weights)} classes"
    return f"{sum(map(len, found.values))} values over {found.classes} classes"
