"""Confidence against accuracy of several methods on one axis: the slide on SWAG's calibration, for any predictions."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import confidence_gap, methods
from landscape.results import Predictive
from landscape.uncertainty.binning import Bins, binned

BINS = 20  # of equal numbers of examples


def drawable(seen: Predictive) -> bool:
    """Whether it holds class probabilities beside targets."""
    return seen.outputs.ndim == 2 and seen.outputs.shape[1] > 1 and np.ndim(seen.targets) == 1 and len(seen.outputs) > 0


def bins_of(seen: Predictive, bins: int = BINS) -> Bins:
    """The test examples in bins of equal mass by the probability of the predicted class."""
    p = np.asarray(seen.outputs, float)
    return binned(np.clip(p.max(axis=1), 0, 1), p.argmax(axis=1) == np.asarray(seen.targets), bins, "mass")


def confidence(found: dict[str, Predictive], bins: int = BINS, banded: str | None = None) -> go.Figure:
    """Confidence minus accuracy over confidence, on an axis of log(1 - confidence); above zero a method is too sure.

    ``banded``: the method whose 95% band is drawn.
    """
    names = methods.ordered(found)
    seen = {name: bins_of(found[name], bins) for name in names}
    return confidence_gap.gap(seen, {name: methods.look(name) for name in names}, (banded,) if banded in found else ())


def in_words(found: dict[str, Predictive]) -> str:
    """Which methods are on average too sure, and which too careful."""
    lean = {}
    for name in methods.ordered(found):
        p = np.asarray(found[name].outputs, float)
        lean[methods.look(name).title] = float(p.max(axis=1).mean() - (p.argmax(axis=1) == found[name].targets).mean())
    return (
        (
            "Confidence minus accuracy over all test examples: "
            + ", ".join(f"{name} {gap:+.1%}".replace("-", "−") for name, gap in lean.items())
            + "."
        )
        if lean
        else ""
    )
