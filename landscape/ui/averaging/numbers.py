"""The results table, the shells of a Gaussian in many dimensions, and the summary."""

from __future__ import annotations

import json

import streamlit as st

from landscape.figures import shells as spheres
from landscape.figures import table as budgets
from landscape.figures import truth
from landscape.results import Summary
from landscape.ui import plot
from landscape.ui.averaging.story import Story, captions
from landscape.ui.plot import figure_json

HEADLINES = 3  # sentences of the verdict that the summary repeats


def table(story: Story) -> None:
    """Every number with its seeds and its run; the verdict is said as it is."""
    values = story.found["table"].values
    st.markdown("\n".join(f"- {sentence}" for sentence in values.get("verdict", ())))
    st.html(budgets.table(values, "runs?filter={key}&parts=true"))
    n = budgets.seeds(values)
    spread = f"mean ± standard deviation over {n} seeds" if n > 1 else "one seed: no spread can be told"
    captions("", truth.said(values, spread, "every number leads to its run", metric="test_error").replace(
        " · data not stated", ""))


def shells(story: Story) -> None:
    """A Gaussian in any dimension, exactly; then SGD's own iterates around their mean."""
    left, right = st.columns(2, gap="large")
    with left:
        dimensions, k = _sliders(story)
        st.markdown("**A Gaussian.** " + spheres.gaussian_in_words(dimensions, k))
        plot.plot(_gaussian(dimensions, k), "figure-gaussian", height=380, revision=f"{dimensions}-{k}")
        st.caption("Exact densities of the chi distribution, nothing is drawn at random; each curve is scaled to the same "
                   "height.")
    if "shells" not in story.found:
        return
    series = story.found["shells"]
    with right:
        st.markdown("**SGD's iterates.** " + spheres.in_words(series))
        story.figure("radii", spheres.radii, series, height=380)
        d, sigma = series.info.get("d"), series.info.get("sigma")
        said = f"{d:,} weights (d), σ = {sigma:.3g} for each of them" if d and sigma else ""
        counts = truth.said(series.info, said, f"{len(series.x)} values of k, measured").replace(" · data not stated", "")
        captions("", counts)
    if spheres.histogram(series) is not None:
        story.figure("radii-histogram", spheres.histogram, series, height=300)
        st.caption("Distances of single iterates and of averages of neighbours from the mean of all; beside them "
                   "samples of a Gaussian in as many dimensions with the same σ, and averages of those.")


def _sliders(story: Story) -> tuple[int, int]:
    first, second = st.columns(2)
    options = [d * 10**p for p in range(5) for d in (1, 2, 5)] + [100_000]
    dimensions = first.select_slider("Dimensions d", options, value=10_000, key="story-dimensions",
                                     format_func=lambda d: f"{d:,}")
    k = second.select_slider("Averaged k", (1, 2, 3, 5, 10, 20, 50, 100), value=10, key="story-averaged")
    return int(dimensions), int(k)


@st.cache_data(max_entries=64, show_spinner=False)
def _gaussian(dimensions: int, k: int) -> str:
    return figure_json(spheres.gaussian(dimensions, k))


def summary(story: Story) -> None:
    """What this run says, in the words of its own table, and the numbers to take away."""
    verdict = story.found["table"].values.get("verdict", ())
    st.markdown("\n".join(f"- {sentence}" for sentence in verdict[:HEADLINES]))
    found: Summary | None = story.found.get("summary")
    if found is None:
        return
    seconds = found.values.get("cpu_seconds", story.run.cpu_seconds)
    st.caption(f"{seconds:.0f} CPU seconds for everything on this page. Averaging changes neither the loss nor the "
               "network, and costs one more copy of the weights.")
    st.download_button("These numbers (JSON)", json.dumps(found.values, indent=1, default=str),
                       f"averaging-{story.run.key[-8:]}.json", "application/json", key="story-json", on_click="ignore",
                       icon=":material/download:")
