"""The honest account of a set of predictions: every metric with an interval, none alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.uncertainty import binning, calibration_errors, kernel
from landscape.uncertainty.decomposition import Parts
from landscape.uncertainty.entry import Predictions
from landscape.uncertainty.metrics import BINS
from landscape.uncertainty.parts import Gathered, gathered
from landscape.uncertainty.resampling import Interval, Resampler, interval

DRAWS = 1000
METRICS = {
    "accuracy": ("Accuracy", "share of examples that are right"),
    "error": ("Error", "share of examples that are wrong"),
    "nll": ("NLL", "mean negative log-likelihood of the label in nats; proper: it rewards telling the truth"),
    "brier": ("Brier", "mean squared distance to the one-hot label, 0 ... 2; proper"),
    "ece": ("ECE", "mean gap of confidence and accuracy over bins of equal width; grows with chance at few examples"),
    "ece_mass": ("ECE, equal mass", "the same over bins of equal numbers of examples"),
    "ece_debiased": ("ECE, debiased", "without what chance adds: its mean is 0 for a calibrated predictor"),
    "ece_kde": ("ECE, KDE", "without bins: accuracy is a smooth function of confidence"),
    "ece_classwise": ("ECE, class-wise", "the gap of every class's own probability, mean over classes"),
    "ece_adaptive": ("ECE, adaptive", "class-wise, in ranges of equal mass"),
    "mce": ("MCE", "the largest gap of any bin; a bin of few examples can decide it"),
}
CENTRED = tuple(name for name in METRICS if name.startswith("ece") or name == "mce")
_CELLS = 4_000_000  # class-wise sums that are kept: groups times classes


@dataclass(frozen=True, eq=False)
class Account:
    """``metrics`` by the names of METRICS, ``brier_parts``, both diagrams, and sentences on what to be careful about.

    Class-wise metrics and ``brier_parts`` are missing where they were not asked for.
    """

    n: int
    metrics: dict[str, Interval]
    brier_parts: Parts | None
    width: binning.Bins
    mass: binning.Bins
    smooth: kernel.Smooth
    floor: float
    impossible: int
    said: tuple[str, ...]

    def values(self) -> dict[str, float]:
        return {name: found.value for name, found in self.metrics.items()}


def account(given: Predictions, bins: int = BINS, draws: int = DRAWS, seed: int = 0,
            level: float = binning.LEVEL, class_wise: bool = True) -> Account:
    """Every metric of checked predictions, with bootstrap intervals (deterministic in ``seed``).

    ``class_wise=False`` leaves out what looks at every class, most of the work where there are many.
    """
    seen = gathered(given, bins)
    generator = np.random.default_rng(seed)
    width = binning.binned(seen.confidence, seen.right, bins, "width", level)
    mass = binning.binned(seen.confidence, seen.right, bins, "mass", level)
    smooth = kernel.kde(seen.confidence, seen.right)
    values = {"accuracy": seen.right.mean(), "error": 1 - seen.right.mean(), "nll": seen.nll.mean(),
              "brier": seen.brier.mean(), "ece": width.error, "ece_mass": mass.error,
              "ece_debiased": calibration_errors.debiased_error(width, seen.confidence, seen.right), "ece_kde": smooth.error,
              "mce": float(np.nanmax(np.abs(width.gap)))}
    drawn = _draws(seen, width, mass, smooth, Resampler.of(len(given), draws, generator))
    for name, rule in (("ece_classwise", "width"), ("ece_adaptive", "mass")) if class_wise else ():
        values[name], drawn[name] = _class_draws(seen, rule, draws, generator)
    drawn["ece_debiased"] = drawn["ece"] - drawn["ece"].mean() + values["ece_debiased"]
    metrics = {name: _interval(name, float(values[name]), drawn[name], level) for name in METRICS if name in values}
    floor = calibration_errors.floor(seen.confidence, bins)
    parts = seen.brier_parts() if class_wise else None
    return Account(len(given), metrics, parts, width, mass, smooth, floor, seen.impossible,
                   (*given.said, *_said(seen, width, floor)))


def _interval(name: str, value: float, drawn: np.ndarray, level: float) -> Interval:
    least = 0.0 if name in CENTRED and name != "ece_debiased" else None
    return interval(value, drawn, level, centred=name in CENTRED, least=least, most=1.0 if name in CENTRED else None)


def _draws(seen: Gathered, width: binning.Bins, mass: binning.Bins, smooth: kernel.Smooth,
           sample: Resampler) -> dict[str, np.ndarray]:
    """Every metric of the top class, (D,) each; bins and width of the kernel stay those of all examples."""
    right = seen.right.astype(np.float64)
    gap = seen.confidence - right
    size = sample.sizes
    accuracy, nll, brier = sample.totals([right, seen.nll, seen.brier]) / size
    gaps = {found.rule: np.abs(sample.binned(found.place, gap, len(found.count))) for found in (width, mass)}
    counts = sample.binned(width.place, np.ones_like(gap), len(width.count))
    cell = kernel.cells(seen.confidence)
    sums = [sample.binned(cell, values, kernel.CELLS) for values in (np.ones_like(gap), right, seen.confidence)]
    return {"accuracy": accuracy, "error": 1 - accuracy, "nll": nll, "brier": brier,
            "ece": gaps["width"].sum(0) / size, "ece_mass": gaps["mass"].sum(0) / size,
            "ece_kde": kernel.errors(*sums, smooth.width),
            "mce": (gaps["width"] / np.maximum(counts, 1)).max(0)}


def _class_draws(seen: Gathered, rule: str, draws: int, generator: np.random.Generator) -> tuple[float, np.ndarray]:
    """A class-wise error and its draws (D,), over fewer groups where there are many classes."""
    most = int(np.clip(_CELLS // (2 * seen.classes * max(1, draws // 10)), 200, 2000))
    sample = Resampler.of(len(seen.right), draws, generator, most)
    value, total = 0.0, np.zeros(draws)
    for place, gap, bins in seen.by_class(rule):
        value += float(np.abs(np.bincount(place, gap, bins)).sum())
        total += np.abs(sample.binned(place, gap, bins)).sum(0)
    return value / (len(seen.right) * seen.classes), total / (sample.sizes * seen.classes)


def _said(seen: Gathered, width: binning.Bins, floor: float) -> list[str]:
    said = []
    n = len(seen.right)
    if seen.impossible:
        said.append(f"{seen.impossible} of {n} labels were given probability zero: the true NLL is infinite, and the "
                    "finite one shown counts each as the smallest number of the precision.")
    if n < 100:
        said.append(f"Only {n} example{'s' if n > 1 else ''}: no calibration error means much here.")
    if width.error <= 1.5 * floor:
        said.append(f"A perfectly calibrated predictor with these confidences would show an ECE of {floor:.3g} by chance; "
                    "this one cannot be told apart from it.")
    if seen.classes == 1:
        said.append("There is one class only: every prediction is right by definition.")
    if seen.tied:
        said.append(f"In {seen.tied} of {n} rows the largest output is shared by several classes; the first of them counts "
                    "as the prediction.")
    return said
