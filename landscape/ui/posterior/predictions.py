"""What the methods predict: confidence against accuracy, bands over one input, entropy over two."""

from __future__ import annotations

import numpy as np
import streamlit as st

from landscape.figures import bands, confidence, entropy, methods, truth
from landscape.results import Predictive
from landscape.ui.averaging.story import captions
from landscape.ui.posterior.story import Story, chosen, several

ROW = 3  # panels beside each other
SHOWN_FIRST = 4  # methods whose calibration is drawn before others are asked for
SINGLE = ("sgd", "swa", "file", "average")  # one network each: no band
PREFERRED = ("sgd", "file", "swa", "swag", "multiswag", "ensemble", "hmc", "ess")


def calibration(story: Story) -> None:
    """Confidence minus accuracy of several methods."""
    found = {name: seen for name, seen in story.predictives.items() if confidence.drawable(seen)}
    start = [name for name in PREFERRED if name in found][:SHOWN_FIRST] or list(found)[:SHOWN_FIRST]
    on = several("Methods", list(found), "calibration-methods", start) or start
    shown = {name: found[name] for name in on if name in found}
    banded = next(iter(shown))
    st.markdown(confidence.in_words(shown))
    story.figure("confidence", confidence.confidence, shown, height=430, identity=tuple(shown), given={"banded": banded})
    seen = found[banded]
    captions(
        "",
        truth.said(
            seen.info,
            f"{confidence.BINS} bins of equally many examples, every example in exactly one",
            f"the band holds 95% of what chance does to {methods.look(banded).title}",
            "axis: log(1 − confidence), ticks as on the slide",
            metric="test_nll",
        ),
    )


def bands_of_all(story: Story) -> None:
    """One panel a method on common axes, then all widths on one."""
    found = {name: seen for name, seen in story.predictives.items() if bands.drawable(seen) and name not in SINGLE}
    if not found:
        return
    kind = chosen("Band", list(bands.KINDS), "bands-kind", bands.KINDS.get, "epistemic")
    st.markdown(bands.in_words(found))
    window = bands.window(found, kind)
    for row in _rows(list(found)):
        for column, name in zip(st.columns(ROW, gap="medium"), row, strict=False):
            with column:
                seen = found[name]
                st.markdown(f"**{methods.look(name).title}**")
                story.figure(
                    f"bands-{name}",
                    bands.bands,
                    seen,
                    name,
                    height=260,
                    identity=(kind, window),
                    given={"kind": kind, "window": window},
                    group=f"{story.run.key}-bands",
                    link_ranges=True,
                )
                words = bands.width_in_words(seen)
                st.caption(f"{words[:1].upper()}{words[1:]}. {seen.info.get('draws', '')} networks." if words else "")
    story.figure("widths", bands.widths, found, height=330, identity=tuple(found))
    info = next(iter(found.values())).info
    captions(
        "",
        truth.said(
            info,
            "bands: 1, 2 and 3 standard deviations",
            "widths are means over x of one standard deviation between networks, noise left out",
            "grey: the gaps between the training inputs",
            metric="test_nll",
        ),
    )


def regions_of_all(story: Story) -> None:
    """One panel a method: entropy, or the part of it that is disagreement."""
    found = {name: seen for name, seen in story.predictives.items() if entropy.drawable(seen)}
    part = chosen("Colour", list(entropy.PARTS), "regions-part", entropy.PARTS.get)
    highest = _highest(found, part)
    for row in _rows(list(found)):
        for column, name in zip(st.columns(ROW, gap="medium"), row, strict=False):
            with column:
                st.markdown(f"**{methods.look(name).title}**")
                story.figure(
                    f"regions-{name}",
                    entropy.entropy,
                    found[name],
                    height=300,
                    identity=(part, highest),
                    given={"part": part, "highest": highest},
                    group=f"{story.run.key}-regions",
                    link_ranges=True,
                )
                words = entropy.in_words(found[name])
                st.caption(words[:1].upper() + words[1:] + ".")
    info = next(iter(found.values())).info
    captions(
        "",
        truth.said(
            info,
            f"one scale for all panels, from 0 to {highest:.2g} nats",
            "disagreement: entropy of the average less the average entropy",
            metric="test_nll",
        ),
    )


def _highest(found: dict[str, Predictive], part: str) -> float:
    """The end of the colours that panels share: ln C for entropy, what there is for disagreement."""
    classes = max(np.shape(seen.function["probabilities"])[2] for seen in found.values())
    if part == "entropy":
        return float(np.log(classes))
    return (
        max([float(np.nanmax(v)) for s in found.values() if np.isfinite(v := entropy.values(s, part)).any()], default=1.0)
        or 1.0
    )


def _rows(names: list[str]) -> list[list[str]]:
    return [names[i : i + ROW] for i in range(0, len(names), ROW)]
