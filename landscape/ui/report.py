"""The first thing seen of opened checkpoints: do they fit, how good are they on the data, what to try if not."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import streamlit as st

from landscape.figures.examples import picture

KEYS = {"missing": "missing in the file", "unexpected": "not in the network", "mismatched": "of another shape",
        "not_finite": "with NaN or infinite numbers"}
PICTURES = 10  # samples that are shown


def report(values: dict, samples: dict | None, coming: bool = False, after_advice: Callable[[], None] | None = None) -> None:
    """Files and keys in one table, advice above it, the keys that do not fit below, and what the network was shown.

    While the rest is ``coming``, what it will cost; ``after_advice`` draws what follows the advice.
    """
    st.subheader("Report")
    st.html(f'<p class="landscape-facts">{" · ".join(map(escape, facts(values)))}</p>')
    for sentence in values.get("advice") or ():
        st.warning(sentence, icon=":material/lightbulb:")
    if values.get("advice") and after_advice:
        after_advice()
    files = values.get("files") or []
    st.html(table(files, values.get("kind", "")))
    if files and notes(files[0]) and not differing(files):
        st.caption(" ".join(notes(files[0])))
    odd = [file for file in files if any(file.get(kind) for kind in KEYS)]
    if odd:
        with st.expander(f"Keys that do not fit, in {len(odd)} of {len(files)} files", icon=":material/key_off:"):
            for file in odd:
                _keys(file)
    if coming and (values.get("cost") or {}).get("sentence"):
        st.caption(values["cost"]["sentence"])
    for sentence in values.get("views") or ():
        st.caption(sentence)
    if samples:
        with st.expander("What the network was shown", icon=":material/image:", expanded=bool(values.get("advice"))):
            shown(samples)


def facts(values: dict) -> list[str]:
    """Network, parameters, data and loss, each in a few words."""
    name = str(values.get("network") or "")
    said = [{"auto": "a network of ours"}.get(name, name)]
    if values.get("parameters") is not None:
        said.append(f"{int(values['parameters']):,} parameters")
    said += [str(values["loss"])] if values.get("loss") else []
    said += [f"judged by {values['judged']}"] if values.get("judged") else [str(values.get("data") or "")]
    chance = (values.get("chance") or {}).get("error")
    said += [f"error of knowing nothing: {error(chance, values.get('kind', ''))}"] if chance is not None else []
    if values.get("batchnorm", "none") != "none":
        said.append(f"BatchNorm with {values['batchnorm']}")
    return [text for text in said if text]


def table(files: list[dict], kind: str = "") -> str:
    """One row a file, as HTML: loss, error, whether its keys fit, and what was done to read it.

    A column of equal numbers of parameters is left out: the line above the table says it.
    """
    several = len({file.get("parameters") for file in files}) > 1
    said = bool(differing(files))
    heads = ["File", "Loss", "Error", *(["Parameters"] if several else []), "Keys"]
    rows = "".join(
        f'<tr><th scope="row">{escape(str(file.get("file", "")))}</th><td>{number(file.get("nll"))}</td>'
        f'<td>{error(file.get("error"), kind)}</td>' + (f'<td>{count(file.get("parameters"))}</td>' if several else "")
        + f"<td>{fit(file)}</td>" + (f'<td class="words">{escape(" ".join(notes(file)))}</td>' if said else "") + "</tr>"
        for file in files)
    head = "".join(f"<th>{title}</th>" for title in heads) + ('<th class="words">How it was read</th>' if said else "")
    return (f'<div class="landscape-scroll"><table class="landscape-table"><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>")


def differing(files: list[dict]) -> bool:
    """Whether files were read in different ways; notes that all share stand once below the table."""
    return len({tuple(notes(file)) for file in files}) > 1


def fit(file: dict) -> str:
    """``all match``, or how many do not, as HTML."""
    bad = [f"{len(file[kind]):,} {words}" for kind, words in KEYS.items() if file.get(kind)]
    return f'<b class="bad">{escape(", ".join(bad))}</b>' if bad else "all match"


def notes(file: dict) -> list[str]:
    """What was unwrapped, one sentence each."""
    found = file.get("notes") or ()
    return [found] if isinstance(found, str) else list(map(str, found))


def number(value) -> str:
    """A loss or an error; a dash where it could not be computed."""
    return "–" if value is None else f"{value:.4g}" if np.isfinite(value) else "not finite"


def error(value, kind: str) -> str:
    """An error rate in per cent; for numbers that are predicted, the root mean squared error as it is."""
    return number(value) if kind == "regression" or value is None or not np.isfinite(value) else f"{100 * value:.2f}%"


def count(value) -> str:
    return "–" if value is None else f"{int(value):,}"


def _keys(file: dict) -> None:
    st.markdown(f"**{file.get('file', '')}**")
    for kind, words in KEYS.items():
        if file.get(kind):
            st.caption(f"{len(file[kind])} {words}")
            told = key_lines(file[kind], file.get("nearest") if kind == "missing" else None)
            st.code("\n".join(told), language=None, height=min(220, 46 + 22 * len(told)))


def key_lines(found: dict, nearest: dict | None = None) -> list[str]:
    """One line a key: its name and shape, both shapes where they differ, how many numbers are bad, or the nearest name."""
    lines = []
    for name, what in found.items():
        if isinstance(what, int):
            text = f"{what:,} numbers"
        elif what and isinstance(what[0], list | tuple):
            text = f"{shape(what[0])} in the file, {shape(what[1])} in the network"
        else:
            text = shape(what)
        near = (nearest or {}).get(name)
        lines.append(f"{name}  {text}" + (f"  (the file has {near})" if near else ""))
    return lines


def shape(sizes) -> str:
    """``10 x 100``, and ``one number`` for no axes."""
    return " x ".join(map(str, sizes)) or "one number"


def shown(samples: dict) -> None:
    """The first examples as the file holds them, and the numbers the network received for them."""
    x, targets = np.asarray(samples["x"]), [str(name) for name in samples.get("targets", ())]
    view = str(samples.get("view", "table"))
    cards = [f"<figure>{picture(one, view, target)}<figcaption>{escape(target)}</figcaption></figure>"
             for one, target in zip(x[:PICTURES], targets or [""] * len(x), strict=False)]
    look = view if view in ("image", "signal") else "table"
    st.html(f'<div class="landscape-examples {look}">{"".join(cards)}</div>')
    if samples.get("said"):
        st.caption(str(samples["said"]))
