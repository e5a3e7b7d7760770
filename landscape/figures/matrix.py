"""Every pair of N networks in one square: how far apart, how high the barrier between them, how often they agree."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from landscape.errors import unknown
from landscape.figures import style
from landscape.results import Matrix

ANNOTATED = 14  # networks up to which every cell carries its number
LONGEST = 22  # characters of a name on an axis
LEVEL = 9  # characters of a name up to which names below stand level, where there are few networks
FEW = 7
DARK = 0.55  # share of the colours, from alike, behind which numbers are written light
SEPARATORS = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True)
class Quantity:
    """How one quantity is told: ``alike`` is where two equal networks stand, at the light end of the colours."""

    title: str
    about: str
    alike: float
    form: str


QUANTITIES = {
    "distance": Quantity("distance", "Euclidean distance of the two weight vectors.", 0.0, ".3g"),
    "barrier": Quantity("barrier", "How far the loss on the straight line between the two rises above the line through the "
                                   "losses at its ends.", 0.0, ".2f"),
    "agreement": Quantity("agreement", "Share of the test examples on which both predict the same.", 1.0, ".0%"),
}


def shown(result: Matrix) -> list[str]:
    """The quantities that have at least one pair, in the order in which they are offered."""
    return [name for name in QUANTITIES if name in result.values and np.isfinite(_pairs(result.values[name])).any()]


def heatmap(result: Matrix, quantity: str, order: list[int] | None = None) -> go.Figure:
    """The square of one quantity; light is alike, in every quantity. ``order`` lists the networks from top to bottom.

    The diagonal (a network and itself) and pairs that were not evaluated stay empty.
    """
    if quantity not in QUANTITIES or quantity not in result.values:
        raise unknown("quantity of these pairs", quantity, [q for q in QUANTITIES if q in result.values])
    order = list(range(len(result.names))) if order is None else order
    look, n = QUANTITIES[quantity], len(order)
    z = np.array(result.values[quantity], float)[np.ix_(order, order)]
    np.fill_diagonal(z, np.nan)
    z[~np.isfinite(z)] = np.nan
    low, high = _range(z, look)
    names = np.array([result.names[i] for i in order], dtype=object)
    both = np.stack(np.broadcast_arrays(names[None, :], names[:, None]), axis=-1)
    colors = [(i / (len(style.RAMP) - 1), c) for i, c in enumerate(style.RAMP if look.alike == 0 else style.RAMP[::-1])]
    few = n <= ANNOTATED
    figure = go.Figure(go.Heatmap(
        z=z.astype(np.float32), customdata=both, zmin=low, zmax=high, colorscale=colors, xgap=1.5, ygap=1.5,
        hoverongaps=False, name=look.title, texttemplate="%{text}" if few else None,
        text=_written(z, low, high, look) if few else None, textfont={"size": 13 if n <= FEW else 11} if few else None,
        hovertemplate=f"{look.title} <b>%{{z:.4~g}}</b><br>%{{customdata[1]}}<br>%{{customdata[0]}}<extra></extra>",
        showscale=not few, colorbar={"outlinewidth": 0, "thickness": 13, "len": 0.9, "y": 1, "yanchor": "top",
                                           "ticks": "outside", "ticklen": 3, "tickcolor": style.AXIS, "xpad": 4}))
    _name_axes(figure, [short_names(result.names)[i] for i in order])
    figure.update_layout(meta={"walkers": []})
    style.layout(figure, hovermode="closest")
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def by_likeness(result: Matrix) -> list[int] | None:
    """An order in which near networks stand side by side (average linkage of the distances); None if a pair is missing."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    found = _pairs(result.values.get("distance", np.full((len(result.names),) * 2, np.nan)))
    if len(result.names) < 3 or not np.isfinite(found).all():
        return None
    return [int(i) for i in leaves_list(optimal_leaf_ordering(linkage(found, "average"), found))]


def in_words(result: Matrix, quantity: str) -> str:
    """The extremes of one quantity with the pair they belong to, and how many pairs are missing."""
    look, n = QUANTITIES[quantity], len(result.names)
    z = np.array(result.values[quantity], float)
    rows, columns = np.triu_indices(n, 1)
    found = z[rows, columns]
    known = np.flatnonzero(np.isfinite(found))
    missing = len(found) - len(known)
    if not len(known):
        return f"No pair has a finite {look.title} yet."
    names, said = short_names(result.names), []
    if quantity == "barrier" and missing == 0 and found.max() <= 0:
        return "No pair has a barrier."
    ends = [("lowest", known[found[known].argmin()]), ("highest", known[found[known].argmax()])]
    for word, i in ends if len(known) > 1 else ends[:1]:
        value = f"{100 * found[i]:.1f}%" if look.alike else f"{found[i]:.3g}"
        said.append(f"{word + ' ' if len(known) > 1 else ''}{look.title} {value} ({names[rows[i]]} and {names[columns[i]]})")
    text = ", ".join(said)
    more = f" {missing:,} of {len(found):,} pairs are not finite or not evaluated." if missing else ""
    return f"{text[:1].upper()}{text[1:]}.{more}"


def short_names(names: tuple[str, ...]) -> list[str]:
    """Names without the beginning and ending that all share, at most ``LONGEST`` characters, all different.

    Words are never cut, and a number keeps the word before it: ``runs/net_seed-3.pt`` becomes ``seed-3``.
    """
    cut = list(names)
    if len(set(names)) > 1:
        end = max([0, *_boundaries([name[::-1] for name in cut])])
        cut = [name[: len(name) - end] for name in cut]
        starts = [0, *_boundaries(cut)]
        numbers = any(name[starts[-1] : starts[-1] + 1].isdigit() for name in cut)
        cut = [name[starts[-2 if numbers and len(starts) > 1 else -1] :] for name in cut]
    half = LONGEST // 2
    cut = [name if len(name) <= LONGEST else f"{name[:half]}…{name[1 - half:]}" for name in cut]
    if all(cut) and len(set(cut)) == len(cut):
        return cut
    return [f"{i} {name[-LONGEST + 4:]}" for i, name in enumerate(names, start=1)]


def _boundaries(names: list[str]) -> list[int]:
    """Places behind the separators in the beginning that all names share, from the first to the last."""
    first, last = min(names), max(names)  # what these two share, all share
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return [match.end() for match in SEPARATORS.finditer(first[:same])]


def _pairs(values) -> np.ndarray:
    """The upper triangle (N (N - 1) / 2,), row by row."""
    values = np.asarray(values, float)
    return values[np.triu_indices(len(values), 1)]


def _written(z: np.ndarray, low: float, high: float, look: Quantity) -> np.ndarray:
    """The numbers of the cells (N, N): dark on light cells, light on dark ones."""
    far = np.abs(z - look.alike) / max(high - low, 1e-12)
    words = np.full(z.shape, "", dtype=object)
    for i, j in zip(*np.nonzero(np.isfinite(z)), strict=True):
        color = style.PAPER if far[i, j] > DARK else style.INK
        words[i, j] = f'<span style="color:{color}">{format(float(z[i, j]), look.form)}</span>'
    return words


def _range(z: np.ndarray, look: Quantity) -> tuple[float, float]:
    """From what equal networks have to the far end: small differences between far networks are not blown up."""
    known = z[np.isfinite(z)]
    if look.alike:
        low = float(np.floor(10 * known.min()) / 10) if known.size else 0.0
        return min(low, 0.9), 1.0
    return 0.0, max(float(known.max()), 1e-12) if known.size else 1.0


def _name_axes(figure: go.Figure, names: list[str]) -> None:
    n, longest = len(names), max(map(len, names))
    ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": names, "ticks": "", "showline": False,
             "showgrid": False, "tickfont": {"size": 12 if n <= 20 else 10 if n <= 35 else 8}, "constrain": "domain"}
    level = n <= FEW and longest <= LEVEL
    figure.update_xaxes(style.axis(range=[-0.5, n - 0.5], tickangle=0 if level else -45 if n <= 20 else -90, **ticks))
    figure.update_yaxes(style.axis(range=[n - 0.5, -0.5], scaleanchor="x", scaleratio=1, constraintoward="top", **ticks))
