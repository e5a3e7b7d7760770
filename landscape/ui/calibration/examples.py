"""The test examples of one bin: as pictures, signals or points of their task, or as rows of the file they came from."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import streamlit as st

from landscape import data
from landscape.errors import LandscapeError
from landscape.figures import points
from landscape.figures.examples import most_wrong
from landscape.results import Judged, Opened
from landscape.ui.calibration.story import Story, chosen
from landscape.uncertainty.binning import Bins

ORDERS = {"wrong": "most wrong first", "right": "most right first", "number": "by number"}
SHOWN = {"image": 24, "signal": 16, "line": 12, "table": 12, "plane": 2000}
ROWS = 40
LIKELY = 3  # classes of a row that are written


@st.cache_resource(max_entries=4, show_spinner=False)
def _test_set(task: str, data_seed: int, train_size: int | None, label_noise: float) -> dict:
    """``{"x": raw inputs, "y", "view", "classes"}`` of the test set. Raises BadInput where the data cannot be read."""
    found = data.load(task, data_seed, train_size, label_noise)
    return {"x": found.raw(found.test.x), "y": found.test.y, "view": found.view, "classes": found.classes}


def of_bin(story: Story, label: str, found: Bins, index: int, close: Callable[[], None]) -> None:
    """A box with the examples of a bin, below the figures."""
    inside = found.examples(index)
    if not len(inside):
        return
    seen = story.judged[label]
    with st.container(border=True, key="calibration-examples"):
        words, how, way = st.columns([6, 4, 1], vertical_alignment="center")
        words.markdown(f"**{story.looks[label].title}**: {len(inside):,} examples it is {found.confidence[index]:.1%} sure "
                       f"of, right on {found.accuracy[index]:.1%}")
        with how:
            order = chosen("Order", list(ORDERS), "calibration-order", ORDERS.get)
        way.button("Close", key="calibration-close", icon=":material/close:", on_click=close, type="tertiary")
        rows = _ordered(seen, inside, order)
        known = inputs(story, seen)
        if known is None:
            st.html(table(seen, rows))
        elif known["view"] == "plane":
            at = known["x"][_positions(seen, np.arange(len(seen.test["labels"])))]
            story.figure("bin", points.points, at, inside, seen, height=420,
                         identity=(label, index, found.rule, len(found.count)))
        else:
            few = rows[: SHOWN.get(known["view"], ROWS)]
            st.html(most_wrong(_as_opened(seen, few, known), len(few)))
        if len(rows) > ROWS and known is None:
            st.caption(f"{ROWS} of {len(rows):,} rows.")
        elif known is not None and len(rows) > SHOWN.get(known["view"], ROWS):
            st.caption(f"{SHOWN.get(known['view'], ROWS)} of {len(rows):,} examples.")


def inputs(story: Story, seen: Judged) -> dict | None:
    """The raw test inputs the source was asked about; None for a file of predictions, or data that cannot be read."""
    if seen.info.get("source") == "file":
        return None
    settings = story.run.settings
    try:
        if seen.info.get("run") and seen.info.get("source") == "stored":
            settings = story.library.run(seen.info["run"]).settings
        found = _test_set(settings["task"], int(settings.get("data_seed") or 0), settings.get("train_size"),
                          float(settings.get("label_noise") or 0.0))
    except (LandscapeError, KeyError):
        return None
    rows = _positions(seen, np.arange(len(seen.test["labels"])))
    same = rows.max(initial=-1) < len(found["y"]) and np.array_equal(found["y"][rows], seen.test["labels"])
    return found if same else None


def _positions(seen: Judged, rows: np.ndarray) -> np.ndarray:
    """Where these rows stand in the test set: only a part of a large one is kept."""
    return np.asarray(seen.test["rows"])[rows] if "rows" in seen.test else rows


def _ordered(seen: Judged, inside: np.ndarray, order: str) -> np.ndarray:
    if order == "number":
        return inside
    own = np.asarray(seen.test["probabilities"])[inside, np.asarray(seen.test["labels"])[inside]]
    return inside[np.argsort(own if order == "wrong" else -own, kind="stable")]


def _as_opened(seen: Judged, rows: np.ndarray, known: dict) -> Opened:
    """These examples as one network's test set, as the pictures of examples want them."""
    p, labels = np.asarray(seen.test["probabilities"])[rows], np.asarray(seen.test["labels"])[rows]
    nll = -np.log(np.maximum(p[np.arange(len(rows)), labels], 1e-38))
    shown = {"index": np.arange(len(rows)), "x": known["x"][_positions(seen, rows)], "nll": nll}
    return Opened({}, {}, {}, p, labels, shown, info={"kind": "classification", "view": known["view"],
                                                      "classes": list(known["classes"])})


def table(seen: Judged, rows: np.ndarray) -> str:
    """HTML: number, label, the likeliest classes with their probabilities."""
    names = list(map(str, seen.info.get("classes") or ()))
    p, labels = np.asarray(seen.test["probabilities"]), np.asarray(seen.test["labels"])
    names = names if len(names) == p.shape[1] else [str(k) for k in range(p.shape[1])]
    body = ""
    for row in rows[:ROWS]:
        likely = np.argsort(-p[row], kind="stable")[:LIKELY]
        words = ", ".join(f"{'<b>' if k == labels[row] else ''}{escape(names[k])}{'</b>' if k == labels[row] else ''} "
                          f"{p[row, k]:.1%}" for k in likely)
        number = int(_positions(seen, np.array([row]))[0])
        said = f"<b>{p[row, labels[row]]:.2%}</b>"
        body += (f'<tr><th scope="row">{number:,}</th><td>{escape(names[labels[row]])}</td><td>{words}</td>'
                 f"<td>{said}</td></tr>")
    return ('<div class="landscape-scroll"><table class="landscape-table"><thead><tr><th>example</th><th>label</th>'
            f"<th>likeliest</th><th>probability of the label</th></tr></thead><tbody>{body}</tbody></table></div>")
