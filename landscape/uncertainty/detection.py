"""Unknown inputs: does uncertainty tell them from known ones, and what does a predictor say far from all data?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from landscape.errors import BadInput
from landscape.uncertainty.metrics import table
from landscape.uncertainty.ranks import ranked
from landscape.uncertainty.resampling import Interval, interval

SCORES = {"entropy": "entropy of the prediction, in nats", "doubt": "1 minus the largest probability"}


@dataclass(frozen=True, eq=False)
class Detected:
    """``auroc``: the chance that an unknown input has the larger score, 1/2 is guessing. ``missed``: the share of unknown
    inputs that pass where 95% of the known ones do. Histograms (B,) over shared ``edges`` are shares."""

    auroc: float
    missed: float
    edges: np.ndarray
    known: np.ndarray
    unknown: np.ndarray


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """(n,) nats, 0 ... log C."""
    p = table(probabilities).astype(np.float64)
    return np.maximum(-xlogy(p, p).sum(1), 0)


def doubt(probabilities: np.ndarray) -> np.ndarray:
    """1 minus the confidence (n,)."""
    return 1 - table(probabilities).astype(np.float64).max(1)


def disagreement(members: np.ndarray) -> np.ndarray:
    """Mutual information (n,) in nats of prediction and member, from (M, n, C): what draws of the posterior do not share."""
    members = np.asarray(members, np.float64)
    if members.ndim != 3 or not members.size:
        raise BadInput(f"Expected the members' probabilities (members, examples, classes), found shape {members.shape}.")
    return np.maximum(entropy(members.mean(0)) - np.mean([entropy(member) for member in members], axis=0), 0)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The chance that an unknown example has the larger score than a known one; a tie counts half."""
    known, unknown = _scores(known), _scores(unknown)
    ranks = ranked(np.concatenate([known, unknown]))[len(known) :]
    return float((ranks.sum() - len(unknown) * (len(unknown) + 1) / 2) / (len(known) * len(unknown)))


def auroc_interval(known: np.ndarray, unknown: np.ndarray, draws: int, seed: int = 0, level: float = 0.95) -> Interval:
    """``auroc`` with its bootstrap interval; known and unknown examples are drawn again apart from each other."""
    known, unknown = np.sort(_scores(known)), _scores(unknown)
    below, upto = (np.searchsorted(known, unknown, side=side) for side in ("left", "right"))
    generator, found = np.random.default_rng(seed), np.empty(draws)
    for d in range(draws):
        count = np.bincount(generator.integers(0, len(known), len(known)), minlength=len(known))
        before = np.r_[0, np.cumsum(count)]
        chosen = generator.integers(0, len(unknown), len(unknown))
        found[d] = (before[below[chosen]] + before[upto[chosen]]).mean() / (2 * len(known))
    return interval(auroc(known, unknown), found, level)


def detected(known: np.ndarray, unknown: np.ndarray, bins: int = 30, level: float = 0.95) -> Detected:
    """How well scores (n,), (m,) that are large for unknown inputs tell them apart."""
    known, unknown = _scores(known), _scores(unknown)
    both = np.concatenate([known, unknown])
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (known, unknown)]
    missed = float((unknown <= np.quantile(known, level)).mean())
    return Detected(auroc(known, unknown), missed, edges, *shares)


def _scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64).ravel()
    if not len(scores) or not np.isfinite(scores).all():
        raise BadInput(f"Expected finite scores of known and of unknown examples, found {len(scores)} with "
                       f"{int((~np.isfinite(scores)).sum())} not finite.")
    return scores


def held_out(labels: np.ndarray, classes: int, unknown: Iterable[int]) -> np.ndarray:
    """Which examples (n,) are of classes that training is not to see. Raises BadInput if fewer than two are left."""
    chosen = set(map(int, unknown))
    if not chosen or not chosen <= set(range(classes)) or classes - len(chosen) < 2:
        raise BadInput(f"Expected some of the classes 0 ... {classes - 1} to hold out, with at least two left, found "
                       f"{sorted(chosen)}.")
    return np.isin(labels, sorted(chosen))


def box(x: np.ndarray, times: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Corners (2,), (2,) of a square around two-dimensional inputs (n, 2), ``times`` as wide as they spread."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x) or not times > 0:
        raise BadInput(f"Expected inputs (n, 2) and a width above 0, found shape {x.shape} and {times}.")
    centre, half = (x.max(0) + x.min(0)) / 2, times * max(float(np.ptp(x, axis=0).max()), 1e-9) / 2
    return centre - half, centre + half


def rays(x: np.ndarray, radii: np.ndarray, directions: int = 16) -> np.ndarray:
    """Points (D, R, 2) on rays from the centre of inputs (n, 2), at ``radii`` (R,) times their largest distance from it."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise BadInput(f"Expected inputs (n, 2), found shape {x.shape}.")
    centre = x.mean(0)
    reach = max(float(np.linalg.norm(x - centre, axis=1).max()), 1e-9)
    angle = np.arange(directions) * 2 * np.pi / directions
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return centre + reach * np.asarray(radii, np.float64)[None, :, None] * unit[:, None]
