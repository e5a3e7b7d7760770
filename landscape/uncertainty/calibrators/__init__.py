"""Post-hoc calibrators: fitted on validation predictions alone, applied to any others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from landscape.errors import unknown
from landscape.uncertainty.calibrators.affine import fit_matrix, fit_vector
from landscape.uncertainty.calibrators.calibrator import Calibrator, changed, softened
from landscape.uncertainty.calibrators.counted import fit_histogram, fit_isotonic
from landscape.uncertainty.calibrators.density import fit_density, nearest_distances
from landscape.uncertainty.calibrators.one_class import fit_beta, fit_platt
from landscape.uncertainty.calibrators.temperature import fit_pooled, fit_temperature

__all__ = ["CALIBRATORS", "Calibrator", "Row", "changed", "fit", "fit_density", "fit_pooled", "fit_temperature",
           "nearest_distances", "softened"]


@dataclass(frozen=True)
class Row:
    """``fit(logits (n, C), labels (n,)) -> Calibrator``; ``keeps`` says whether no prediction can change."""

    label: str
    words: str
    fit: Callable[..., Calibrator]
    keeps: bool


CALIBRATORS = {
    "temperature": Row("Temperature", "one number divides all logits", fit_temperature, True),
    "vector": Row("Vector", "a factor and a shift for each class's logit", fit_vector, False),
    "matrix": Row("Matrix", "a linear map of the logits, what mixes classes held small", fit_matrix, False),
    "platt": Row("Platt", "a logistic curve for each class against the rest", fit_platt, False),
    "beta": Row("Beta", "a beta curve for each class against the rest", fit_beta, False),
    "isotonic": Row("Isotonic", "any growing step curve for each class against the rest", fit_isotonic, False),
    "histogram": Row("Histogram", "the frequency of each class in bins of its probability", fit_histogram, False),
}
"""Calibrators that need nothing but logits. ``fit_density`` also needs distances, ``fit_pooled`` the members' logits."""


def fit(name: str, logits, labels, **options) -> Calibrator:
    """A calibrator of CALIBRATORS fitted to ``logits`` (n, C) and ``labels`` (n,) of validation examples."""
    if name not in CALIBRATORS:
        raise unknown("calibrator", name, CALIBRATORS)
    return CALIBRATORS[name].fit(logits, labels, **options)
