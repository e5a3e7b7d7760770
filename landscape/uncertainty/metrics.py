"""What predictions are worth: one number each, from probabilities (n, C) and labels (n,). Every one is a mean per example.

A label of probability zero has an infinite negative log-likelihood; here it counts as the smallest number of the
precision that the probabilities are kept in (87.3 nats in float32, 708.4 in float64), and ``impossible`` says how many
there are, so that no table shows a finite number without being able to say what was done.
"""

from __future__ import annotations

import numpy as np

from landscape.errors import BadInput
from landscape.uncertainty import binning

BINS = 15


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats."""
    return float(nll_each(*checked(probabilities, labels)).mean())


def nll_each(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood (n,) float64 of each label, in nats."""
    own = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(own, np.finfo(own.dtype).tiny).astype(np.float64))


def impossible(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """How many labels were given probability zero (or less than the smallest normal number of the precision)."""
    probabilities, labels = checked(probabilities, labels)
    return int((probabilities[np.arange(len(labels)), labels] < np.finfo(probabilities.dtype).tiny).sum())


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over examples of the squared distance to the one-hot label, summed over classes: 0 ... 2 (Brier 1950)."""
    return float(brier_each(*checked(probabilities, labels)).mean())


def brier_each(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance (n,) float64 to the one-hot label."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64) - 2 * own + 1


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of examples whose most probable class is the label; of equal ones the first class counts."""
    probabilities, labels = checked(probabilities, labels)
    return float((probabilities.argmax(1) == labels).mean())


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over bins of equal width (Guo et al. 2017, eq. 3).

    Every example is in exactly one bin: [0, 1/bins], (1/bins, 2/bins], ... A perfectly calibrated predictor has more
    than 0 here, the more the fewer examples there are; ``calibration_errors.debiased`` takes that off.
    """
    probabilities, labels = checked(probabilities, labels)
    confidence = probabilities.max(1).astype(np.float64)
    gap = confidence - (probabilities.argmax(1) == labels)
    place = binning.placed(confidence, binning.edges_of(confidence, bins, "width"))
    return float(np.abs(np.bincount(place, gap, minlength=bins)).sum() / len(labels))


def agreement(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Share of examples for which two predictors (n, C) name the same class."""
    p, q = paired(probabilities, others)
    return float((p.argmax(1) == q.argmax(1)).mean())


def total_variation(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Mean over examples of half the absolute differences of two predictors (n, C): 0 ... 1."""
    p, q = paired(probabilities, others)
    return float(0.5 * np.abs(p.astype(np.float64) - q).sum(1).mean())


def checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, C) floating point and labels (n,) as integers. Raises BadInput for anything else.

    That rows sum to one is asked where predictions enter (``entry.predictions``), not at every number.
    """
    probabilities = table(probabilities)
    labels = np.asarray(labels)
    n, classes = probabilities.shape
    if labels.shape != (n,):
        raise BadInput(f"Expected one label for each of the {n} rows of probabilities, found labels of shape "
                       f"{labels.shape}. Give class numbers, not one-hot rows.")
    if labels.dtype.kind not in "iu":
        raise BadInput(f"Expected class numbers 0 ... {classes - 1} as integers, found labels of type {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)]
        raise BadInput(f"Expected labels 0 ... {classes - 1} for {classes} columns, found {len(wrong)} others, the first of "
                       f"them {wrong[0]}. Count classes from 0, or add the missing columns.")
    return probabilities, labels.astype(np.intp, copy=False)


def paired(probabilities: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two tables of one shape. Raises BadInput if they differ."""
    p, q = table(probabilities), table(others)
    if p.shape != q.shape:
        raise BadInput(f"Expected two predictions of one shape, found {p.shape} and {q.shape}. "
                       "Predict for the same examples.")
    return p, q


def table(probabilities: np.ndarray) -> np.ndarray:
    """(n, C) floating point with finite values in [0, 1] (up to 1e-3). Raises BadInput otherwise."""
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or not probabilities.size:
        raise BadInput(f"Expected probabilities of shape (examples, classes), found shape {probabilities.shape}. "
                       "For two classes give both columns.")
    if probabilities.dtype.kind != "f" or probabilities.dtype.itemsize < 4:
        probabilities = probabilities.astype(np.float64)
    low, high = probabilities.min(), probabilities.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also False for NaN
        broken = int((~np.isfinite(probabilities)).any(1).sum())
        raise BadInput("Expected probabilities between 0 and 1, found " +
                       (f"{broken} rows with values that are not finite. Find out where predicting failed, and leave such "
                        "rows out by choice, not by accident." if broken else
                        f"values from {low:.4g} to {high:.4g}. Apply the softmax if these are logits."))
    return probabilities
