"""Sources of predictions: how each is named and coloured on the Calibration page, and its examples in bins of confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from landscape import catalog
from landscape.figures import methods, style
from landscape.figures.methods import Look
from landscape.results import Judged
from landscape.uncertainty import binning
from landscape.uncertainty.binning import Bins

SCALED = " temperature"  # a source whose logits were divided by the temperature fitted on validation
COLORS = {"last": "#c79a00", f"sgd{SCALED}": "#2f9e6b"}
RULES = {"usual": "as usual", "width": "equal width", "mass": "equal mass"}
RESULTS = ("judged:", "account:", "calibrated:", "conformal:", "regressed:", "confidence:")  # each of one source
FIRST = ("sgd", f"sgd{SCALED}", "swa", "swag", "ensemble", "multiswag")  # drawn before others are asked for


def title(label: str) -> str:
    """What a source is called where it does not say it itself."""
    if label.endswith(SCALED):
        return f"{title(label.removesuffix(SCALED))} + temperature"
    return catalog.SOURCES[label].title if label in catalog.SOURCES else methods.look(label).title


def looks(labels: Iterable[str], titles: Mapping[str, str] | None = None) -> dict[str, Look]:
    """Title and colour of each source; one that is not known here has the next colour that is still free."""
    titles, fixed = titles or {}, {label: COLORS.get(label) or methods.COLORS.get(label) for label in labels}
    free = iter([c for c in (*style.NETWORKS, *methods.SPARE) if c not in fixed.values()] or style.NETWORKS)
    made: dict[str, Look] = {}
    for label in fixed:
        colour = fixed[label] or next(free, None) or style.NETWORKS[len(made) % len(style.NETWORKS)]
        made[label] = Look(titles.get(label) or title(label), colour)
    return made


def of(found: Mapping[str, object], prefix: str) -> dict:
    """The results whose names begin so, by what follows, in the order of the sources."""
    parts = {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}
    return {label: parts[label] for label in ordered(sorted(parts))}


def labels(found: Mapping[str, object]) -> list[str]:
    """Every source that was judged, in the order in which they stand everywhere."""
    return ordered(sorted({name.partition(":")[2] for name in found if name.startswith(RESULTS)}))


def named(found: Mapping[str, object]) -> dict[str, Look]:
    """Title and colour of every source that any of these results names."""
    titles = {one.info["label"]: one.info["title"] for one in of(found, "judged:").values() if one.info.get("title")}
    for name, one in found.items():
        if name == "far" or name.startswith("shift:"):
            known = {label: title(label) for label in one.info.get("labels") or ()}
            titles = known | (one.info.get("titles") or {}) | titles
    unknown = found["ood"].values.get("methods", {}) if "ood" in found else {}
    titles = {label: row.get("title") or label for label, row in unknown.items()} | titles
    judged = labels(found)
    return looks([*judged, *sorted(set(titles) - set(judged))], titles)


def ordered(labels: Iterable[str]) -> list[str]:
    """Known sources in the order of the methods, a scaled one right after its own; the others as they come."""
    labels = list(labels)
    known = {name: i for i, name in enumerate(("sgd", "last", *(m for m in methods.COLORS if m != "sgd")))}

    def place(label: str) -> tuple:
        plain = label.removesuffix(SCALED)
        return known.get(plain, len(known)), labels.index(plain) if plain in labels else labels.index(label), label != plain

    return sorted(labels, key=place)


def drawable(seen: Judged) -> bool:
    """Whether it holds class probabilities and at least one example."""
    return seen.kind == "classes" and len(seen.test.get("labels", ())) > 0


def top(seen: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(confidence, right, predicted)`` (n,) of the test examples, by the most probable class."""
    p = np.asarray(seen.test["probabilities"], np.float64)
    predicted = p.argmax(axis=1)
    return np.clip(p.max(axis=1), 0, 1), predicted == np.asarray(seen.test["labels"]), predicted


def bins_of(seen: Judged, bins: int, rule: str) -> Bins:
    """The test examples in bins of confidence, every one in exactly one."""
    confidence, right, _ = top(seen)
    return binning.binned(confidence, right, bins, rule)


def lean(seen: Judged) -> float:
    """Mean confidence minus accuracy: above zero the source is too sure on the whole."""
    confidence, right, _ = top(seen)
    return float(confidence.mean() - right.mean())


def in_words(found: Mapping[str, Judged], named: Mapping[str, Look]) -> str:
    """Which sources are too sure on the whole, and which too careful."""
    said = [f"{named[label].title} **{signed(lean(seen))}**" for label, seen in found.items()]
    return f"Mean confidence minus accuracy: {', '.join(said)}." if said else ""


def signed(share: float) -> str:
    return f"{100 * share:+.1f}%".replace("-", "−")
