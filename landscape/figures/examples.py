"""Test examples as small pictures with what was true and what was said: HTML that follows the page's theme."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np

from landscape.figures import style
from landscape.figures.predictions import classified, names_of
from landscape.figures.thumbnail import png
from landscape.results import Opened

SHOWN = 12
COLUMNS = 12  # columns of a table's example that are written
INK = "#2b8a9c"  # a signal's line: it reads on light and dark pages
WIDE, TALL, EDGE = 120, 76, 6  # a signal's picture, in its own units


def most_wrong(seen: Opened, limit: int = SHOWN) -> str:
    """The test examples that cost the network most, worst first; an empty text when there are none to show."""
    probabilities, targets, predicted = classified(seen)
    names, cards = names_of(seen), []
    for place, i in enumerate(np.asarray(seen.examples.get("index", ()), int)[:limit]):
        said = f"{_said(names[predicted[i]], probabilities[i].max(), predicted[i] == targets[i])}"
        told = f"test example {i}, NLL {float(seen.examples['nll'][place]):.3g} nats"
        cards.append(_card(seen, place, names[targets[i]], [said], told))
    return _grid(cards, seen)


def disagreements(a: Opened, b: Opened, order: Sequence[int], limit: int = SHOWN) -> str:
    """Examples of which two networks say different classes, in that ``order``: those whose picture one of them carries."""
    (p, targets, said), (q, _, other) = classified(a), classified(b)
    names, cards = names_of(a), []
    carried = {int(i): (seen, place) for seen in (b, a) for place, i in enumerate(seen.examples.get("index", ()))}
    for i in (int(i) for i in order if int(i) in carried):
        lines = [_said(names[said[i]], p[i].max(), said[i] == targets[i], "A"),
                 _said(names[other[i]], q[i].max(), other[i] == targets[i], "B")]
        seen, place = carried[i]
        cards.append(_card(seen, place, names[targets[i]], lines, f"test example {i}"))
    return _grid(cards[:limit], a)


def picture(x: np.ndarray, view: str, title: str = "", ends: tuple[float, float] | None = None) -> str:
    """One raw example as HTML: an image (channels, height, width) as it is, a signal (samples,) as a line, else numbers.

    ``ends`` are the values of black and white, or of the signal's foot and top; without them those of the example itself.
    """
    if view == "image" and x.ndim == 3:
        return _image(x, title, ends)
    if view == "signal":
        return _signal(np.ravel(x), title, ends)
    cells = "".join(f"<td>{v:.3g}</td>" for v in np.ravel(x)[:COLUMNS])
    rest = f"<td>and {x.size - COLUMNS} more</td>" if x.size > COLUMNS else ""
    return f'<table title="{escape(title)}"><tr>{cells}{rest}</tr></table>'


def _image(x: np.ndarray, title: str, ends: tuple[float, float] | None) -> str:
    values = np.moveaxis(np.asarray(x, float), 0, -1)
    if values.shape[2] not in (1, 3):
        values = values.mean(axis=2, keepdims=True)
    low, high = ends or (float(values.min()), float(values.max()))
    grey = np.round(255 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)).astype(np.uint8)
    pixels = np.concatenate([np.broadcast_to(grey, (*grey.shape[:2], 3)), np.full((*grey.shape[:2], 1), 255, np.uint8)], 2)
    data = base64.b64encode(png(np.ascontiguousarray(pixels))).decode()
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _signal(x: np.ndarray, title: str, ends: tuple[float, float] | None) -> str:
    low, high = ends or (float(np.nanmin(x)), float(np.nanmax(x)))
    across = np.linspace(EDGE, WIDE - EDGE, len(x))
    up = TALL - EDGE - (x - low) / max(high - low, 1e-12) * (TALL - 2 * EDGE)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    zero = TALL - EDGE - (0 - low) / max(high - low, 1e-12) * (TALL - 2 * EDGE)
    line = f'<path d="M0 {zero:.1f}H{WIDE}" stroke="{style.AXIS}" stroke-width=".6"/>' if low < 0 < high else ""
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {TALL}">{line}<polyline points="{points}" '
           f'fill="none" stroke="{INK}" stroke-width="2" stroke-linejoin="round"/></svg>')
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _said(name: str, sure: float, right: bool, letter: str = "") -> str:
    mark = f'<i class="{letter.lower()}">{letter}</i> ' if letter else ""
    return (f'<span class="{"right" if right else "wrong"}">{mark}<b>{escape(name)}</b> {sure:.0%}'
            f'<s style="width:{100 * float(sure):.0f}%"></s></span>')


def _card(seen: Opened, place: int, true: str, lines: list[str], told: str) -> str:
    shown = picture(np.asarray(seen.examples["x"])[place], seen.info.get("view", "table"), f"{told}: {true}")
    return (f'<figure title="{escape(told)}">{shown}<figcaption><em>true <b>{escape(true)}</b></em>{"".join(lines)}'
            "</figcaption></figure>")


def _grid(cards: list[str], seen: Opened) -> str:
    view = escape(str(seen.info.get("view", "table")))
    return f'<div class="landscape-examples {view}">{"".join(cards)}</div>' if cards else ""
