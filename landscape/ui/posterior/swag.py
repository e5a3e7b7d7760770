"""SWAG: the walk, the mean, the Gaussian and its draws on the plane of the walk, over the loss."""

from __future__ import annotations

import numpy as np
import streamlit as st

from landscape.figures import methods, truth
from landscape.figures import theatre as drawn
from landscape.results import METRICS, Samples, Surface
from landscape.ui import panels
from landscape.ui.averaging.story import captions
from landscape.ui.places import network_of
from landscape.ui.posterior.story import Story, chosen, metrics_of, several
from landscape.ui.reading import shared_scale

GAUSSIANS = ("swag", "swag_diagonal", "multiswag")
STEPS = (
    "**Theory.** SGD at a constant rate samples, roughly, from a Gaussian around a solution (Mandt et al. 2017).",
    "**Moments.** Keep the mean of its snapshots, their variance, and the last deviations from the mean.",
    "**A Gaussian.** $w \\sim N\\left(\\bar w,\\ \\tfrac12(\\Sigma_{diag} + \\hat D\\hat D^T/(K-1))\\right)$.",
    "**Average.** Draw networks, predict with each, take the mean of the predictions.",
)


def asked(story: Story) -> bool:
    """Whether the run has SWAG among its methods."""
    return bool(set(GAUSSIANS) & set(story.run.settings.get("methods", GAUSSIANS)))


def swag(story: Story) -> None:
    """The plane of the walk with its loss; of a run with SWAG also the four steps in words, which can be seen on it."""
    surface: Surface = story.found["surface:loss"]
    shown = {name: story.samples[name] for name in GAUSSIANS if name in story.samples and len(story.samples[name].plane)}
    left, right = st.columns([5, 4], gap="large", vertical_alignment="center")
    with right:
        if asked(story):
            st.markdown("\n".join(f"{i}. {step}" for i, step in enumerate(STEPS, start=1)))
        on = several("Draws of", list(shown), "swag-methods", list(shown)[:1]) if len(shown) > 1 else list(shown)
        metric = chosen(
            "Surface of", [m for m in metrics_of(surface) if m != "train_error"], "swag-metric", METRICS.get, "train_nll"
        )
        for name in on:
            st.markdown(in_words(name, shown[name]))
    with left:
        scale = shared_scale({"loss": surface}, metric, None, None, None)
        panels.legend(scale, metric)
        story.figure(
            f"loss-{metric}-{'3d' if story.relief else '2d'}",
            drawn.loss,
            surface,
            metric,
            scale,
            {name: shown[name] for name in on},
            story.relief,
            height=500,
            identity=(scale, tuple(on)),
            bar=False,
            place={"run": story.run.key, "plane": "loss", "marks": [network_of("loss", m) for m in surface.marks]},
        )
        words = " ".join([walk_in_words(surface), *without_subspace(story, surface)])
        captions(words, truth.line(surface, metric), truth.anchor_ok(surface))


def without_subspace(story: Story, surface: Surface) -> list[str]:
    """That this is no slice of the run's subspace, where it has none."""
    if not story.missing:
        return []
    what = {"pca": "the first two principal components", "curve": "the plane of the curve"}.get(
        surface.info.get("subspace", ""), "two random directions"
    )
    return [f"The subspace that was asked for could not be built; this is a plane of two dimensions, {what}."]


def in_words(name: str, samples: Samples) -> str:
    """How many draws there are, and how far from the plane they lie: what is seen is their shadow."""
    away, far = np.asarray(samples.residual, float), np.asarray(samples.plane, float)
    title = methods.look(name).title
    if not len(away):
        return ""
    text = (
        f"**{title}**: {len(far):,} draws; the ellipse is the Gaussian's, two standard deviations wide."
        if name in methods.GAUSSIAN
        else f"**{title}**: {len(far):,} draws, from one Gaussian around each member."
    )
    if away.mean() > 1e-6:
        text += (
            f" They lie {away.mean():.3g} away from this plane on average and are drawn where their foot falls: the "
            "surface below them is not their own."
        )
    return text


def walk_in_words(surface: Surface) -> str:
    """What the line on the plane is."""
    if surface.path is None:
        return "Two random directions through SGD's solution: a walk has no place here."
    if surface.info.get("subspace") == "curve":
        return "The line is the trained curve between two solutions; it lies in this plane."
    away = np.asarray(surface.info.get("path_residuals", (np.nan,)), float)
    return (
        f"The line is SGD's walk at a constant rate, {len(surface.path)} snapshots up to {np.nanmax(away):.3g} away from "
        "this plane; the star is their mean."
    )
