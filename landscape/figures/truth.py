"""How true a picture is, in sentences: read off what was measured when it was computed, nothing assumed."""

from __future__ import annotations

import math

from landscape.results import METRICS, Surface

ANCHOR_LIMIT = 1e-5  # largest relative difference between the surface and its own networks, evaluated directly
EXACT = "float32"
ROUNDED = {"tf32": 0.01, "bfloat16": 0.05}  # the same for surfaces in lower precision, which only rounding may cause


def anchor_ok(surface: Surface) -> bool:
    """Whether the surface agrees with its marked networks in every metric; a difference that is no number does not."""
    found = surface.info.get("anchor_error") or {}
    return bool(found) and all(math.isfinite(v) and v <= _limit(surface) for v in found.values())


def sentences(surface: Surface, metric: str | None = None) -> list[tuple[str, bool]]:
    """(text, ok) pairs; with a metric, those numbers that depend on it are its own."""
    info = surface.info
    normalisation = info.get("batchnorm", "not stated")
    said = [_anchor(surface), *_data(info, metric),
            ("no BatchNorm" if normalisation == "none" else f"BatchNorm statistics {normalisation}", "batchnorm" in info)]
    if info.get("angle") is not None:
        said.append((f"raw directions at {info['angle']:.1f}°", info["angle"] > 1))
    said.append((_cells(surface, metric), True))
    if info.get("way"):
        said.append((f"computed as {info['way']['words']}", True))
        said += _precision(info["way"])
    bad = int(info.get("not_finite") or 0)
    if bad:
        said.append((f"{bad:,} evaluated {'cell is' if bad == 1 else 'cells are'} not finite and drawn empty", False))
    if not info.get("final", False):
        said.append(("not final: finer cells were still to come when it was saved", False))
    if metric is None or metric.startswith("test"):
        said.append(("test data is for looking only: nothing was chosen by it", True))
    return said


def line(surface: Surface, metric: str) -> str:
    """All of it in one line of plain text."""
    text = " · ".join(said for said, _ in sentences(surface, metric))
    return text[:1].upper() + text[1:] + "."


def said(info: dict, *more: str, metric: str | None = None) -> str:
    """The line of a picture that is no surface: its data and BatchNorm as ``info`` says, after what was measured of it."""
    normalisation = info.get("batchnorm")
    parts = [*more, _data(info, metric)[0][0]]
    if normalisation:
        parts.append("no BatchNorm" if normalisation == "none" else f"BatchNorm statistics {normalisation}")
    if metric is not None and metric.startswith("test"):
        parts.append("test data is for looking only: nothing was chosen by it")
    text = " · ".join(part for part in parts if part)
    return text[:1].upper() + text[1:] + "."


def _anchor(surface: Surface) -> tuple[str, bool]:
    found = surface.info.get("anchor_error") or {}
    if not found:
        return "anchor error not measured", False
    worst = max(found, key=lambda m: found[m] if math.isfinite(found[m]) else math.inf)
    if anchor_ok(surface):
        return f"anchor error {found[worst]:.1g} (surface against its marked networks evaluated directly)", True
    return (f"WARNING: the surface differs from its own marked networks by {found[worst]:.2g} in "
            f"{METRICS.get(worst, worst)} (anchor error; limit {_limit(surface):g})"), False


def _limit(surface: Surface) -> float:
    return ROUNDED.get((surface.info.get("way") or {}).get("precision"), ANCHOR_LIMIT)


def _precision(way: dict) -> list[tuple[str, bool]]:
    """A surface in lower precision: how far off it was where it was also computed in float32."""
    name = way.get("precision")
    if name not in ROUNDED:
        return []
    if not way.get("checked"):
        return [(f"computed in {name}, not compared with float32", False)]
    points = f"{way['checked']} point{'s' * (way['checked'] > 1)} checked"
    return [(f"computed in {name}, at most {_percent(way['off'])} off at {points}", way["off"] <= ROUNDED[name])]


def rounded(info: dict) -> list[tuple[str, bool]]:
    """Draws of a density, or a training, computed in a lower precision: how far off that was, as the run says it."""
    found = info.get("rounding")
    return [(str(found["said"]), bool(found["trusted"]))] if found else []


def trainings(library, run) -> dict[str, dict]:
    """The info of every training that a run in lower ``training_precision`` was made from and that says its rounding, by
    ``training`` (the first), ``curves`` or the name of a branch; empty for all other runs, whose results are not read."""
    if run.settings.get("training_precision", EXACT) == EXACT:
        return {}
    found = {}
    for key in library.lineage(run.key):
        for name in (name for name in library.names(key) if name.startswith("history:")):
            told, short = library.result(key, name).info, name.removeprefix("history:")
            if "rounding" in told:
                found[f"{short} of {key}" if short in found else short] = told
    return dict(sorted(found.items(), key=lambda each: each[0] != "training"))


def trained(library, run) -> list[tuple[str, bool]]:
    """How far off those trainings were in their lower precision."""
    return [each for info in trainings(library, run).values() for each in rounded(info)]


def _data(info: dict, metric: str | None) -> list[tuple[str, bool]]:
    counts = info.get("data") or {}
    splits = [s for s in counts if metric is None or metric.startswith(s)]
    if not splits:
        return [("data not stated", False)]
    return [(f"all {counts[s]:,} {s} examples" if len(splits) == 1 else
             ", ".join(f"all {counts[s]:,} {s} examples" for s in splits), True) for s in splits[:1]]


def _cells(surface: Surface, metric: str | None) -> str:
    info = surface.info
    done = int(info.get("evaluations", surface.evaluated.sum()))
    cells = int(info.get("cells", surface.evaluated.size))
    if done >= cells:
        return f"all {cells:,} cells evaluated"
    text, found = f"{done:,} of {cells:,} cells evaluated", info.get("interpolation") or {}
    errors = [v for m, v in found.items() if m != "held_out" and metric in (None, m)]
    if not errors or not found.get("held_out"):
        return f"{text}, the others interpolated, their error not measured yet"
    return (f"{text}, the others interpolated to {_percent(max(errors))} of the colour range (99th percentile on "
            f"{found['held_out']:,} held-out cells)")


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "not finite"
    return f"{100 * share:.2f}%" if share < 0.01 else f"{100 * share:.1f}%"
