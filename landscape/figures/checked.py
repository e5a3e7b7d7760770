"""The value that was drawn beside the one that was found by opening the network: equal, or why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.results import METRICS, Mark, Opened, Profile, Surface

CLOSE = 1e-4  # relative difference up to which a drawn and an opened value are called equal
NEAR = 1e-3  # a place this near to a cell's middle (in cells) is that cell: pictures hold their axes in float32


@dataclass(frozen=True)
class Drawn:
    """What a picture shows at a place: ``values`` of each metric, and ``how`` they are known.

    ``how`` is ``evaluated``, ``interpolated`` (a cell that was filled in), ``between`` (a place between evaluated ones) or
    ``mark``. ``info`` is the picture's own.
    """

    values: dict[str, float]
    how: str
    info: dict


@dataclass(frozen=True)
class Verdict:
    """One metric: the value ``opened``, the one ``drawn`` (None: there is none), a word on both, whether all is well."""

    metric: str
    opened: float
    drawn: float | None
    word: str
    ok: bool


def snapped(surface: Surface, x: float, y: float) -> tuple[float, float]:
    """The place itself, or the middle of the cell it was meant to be: a click comes back in single precision."""
    return tuple(float(axis[i]) if abs(axis[i] - at) < NEAR * abs(axis[1] - axis[0]) else float(at)
                 for axis, at in zip(surface.axes, (x, y), strict=True) for i in (int(np.abs(axis - at).argmin()),))


def on_surface(surface: Surface, x: float, y: float) -> Drawn:
    """What the surface shows at a place of its plane: the cell's value, bilinear between cells, NaN outside."""
    (i, u), (j, v) = (_cell(axis, at) for axis, at in zip(surface.axes, snapped(surface, x, y), strict=True))
    corners = [((i + a, j + b), (u if a else 1 - u) * (v if b else 1 - v)) for a in (0, 1) for b in (0, 1)]
    corners = [(at, share) for at, share in corners if share]
    if not all(0 <= a < n for at, _ in corners for a, n in zip(at, surface.evaluated.shape, strict=True)):
        return Drawn({m: float("nan") for m in surface.values}, "between", surface.info)
    values = {m: float(sum(share * z[at] for at, share in corners)) for m, z in surface.values.items()}
    exact = len(corners) == 1
    how = "evaluated" if exact and surface.evaluated[corners[0][0]] else "interpolated" if exact else "between"
    return Drawn(values, how, surface.info)


def on_profile(profile: Profile, t: float, info: dict | None = None) -> Drawn:
    """What the profile shows at ``t``: evaluated at its own points, a straight line between them."""
    near = np.abs(np.asarray(profile.t, float) - t).min() < NEAR / max(len(profile.t) - 1, 1)
    values = {m: float(np.interp(t, profile.t, v)) for m, v in profile.values.items()}
    return Drawn(values, "evaluated" if near else "between", info or {})


def at_mark(mark: Mark, info: dict) -> Drawn:
    """What is written at a marked network: its own values, evaluated directly."""
    return Drawn(dict(mark.values), "mark", info)


def verdicts(seen: Opened, drawn: Drawn | None) -> list[Verdict]:
    """One for every metric of the network, in the order all pages use."""
    return [_verdict(seen, drawn, m) for m in METRICS if m in seen.values]


def reason(seen: Opened, drawn: Drawn | None, metric: str) -> str | None:
    """Why a drawn value may differ from the opened one; None when they must be equal."""
    if drawn is None:
        return "nothing is drawn here"
    split = metric.split("_")[0]
    counts = drawn.info.get("data") or {}
    one, other = counts.get(split), (seen.info.get("n") or {}).get(split)
    if one and other and one != other:
        return f"drawn on {one:,} {split} examples, opened on {other:,}"
    statistics, here = str(drawn.info.get("batchnorm", "")), str(seen.info.get("batchnorm", ""))
    if statistics and here and statistics.replace("every point", "this point") != here:
        return f"BatchNorm statistics {statistics} in the picture, {here} here"
    lower = (drawn.info.get("way") or {}).get("precision")
    if lower:
        return f"drawn in {lower}, opened in float32"
    return {"interpolated": "this cell is interpolated", "between": "between cells, interpolated"}.get(drawn.how)


def _verdict(seen: Opened, drawn: Drawn | None, metric: str) -> Verdict:
    found, shown = seen.values[metric], (drawn.values.get(metric) if drawn else None)
    if shown is None or not np.isfinite(shown):
        return Verdict(metric, found, None, "not drawn" if drawn else "", True)
    if abs(found - shown) <= max(CLOSE * max(abs(found), abs(shown)), 1e-9):
        return Verdict(metric, found, shown, "as drawn", True)
    if abs(found - shown) <= _one_example(metric, seen):
        return Verdict(metric, found, shown, "as drawn, but for one example", True)
    why = reason(seen, drawn, metric)
    return Verdict(metric, found, shown, why or "DIFFERS from the picture, and should not", why is not None)


def _one_example(metric: str, seen: Opened) -> float:
    """How far one example moves an error rate: the last bit of a network's output can tip it."""
    n = (seen.info.get("n") or {}).get(metric.split("_")[0])
    return 1.001 / n if n and metric.endswith("error") and seen.info.get("kind") == "classification" else 0.0


def _cell(axis: np.ndarray, at: float) -> tuple[int, float]:
    """``(index, share of the way to the next)``; the index is -1 or past the end where ``at`` lies outside."""
    if at == axis[-1]:
        return len(axis) - 1, 0.0
    i = int(np.searchsorted(axis, at, side="right")) - 1
    if i < 0 or i >= len(axis) - 1:
        return (-1 if i < 0 else len(axis)), 0.0
    return i, float((at - axis[i]) / (axis[i + 1] - axis[i]))
