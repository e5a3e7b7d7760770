"""Learning rates as the optimiser uses them, step by step, with the moments at which a snapshot is taken."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.figures import style
from landscape.schedules import Plan

MOST = 6000  # steps that are drawn of one schedule


def schedules(plans: dict[str, tuple[Plan, str]], logged: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
              moments: dict[str, float] | None = None) -> go.Figure:
    """``plans`` maps a title to a schedule and its colour; ``logged`` a title to (epochs (E,), rates (E,)) of a real run.

    Every step is drawn (every k-th of very long runs), a collection as a filled circle at the height its plan gives.
    ``moments`` are dotted lines with a name, in epochs.
    """
    figure = go.Figure()
    for title, (plan, color) in plans.items():
        shown = drawn_steps(plan)
        figure.add_scatter(x=np.append(plan.time[shown], plan.epochs).astype(np.float32),
                           y=np.append(plan.rates[shown], plan.rates[-1]).astype(np.float32), mode="lines", name=title,
                           legendgroup=title, line={"color": color, "width": 2.4, "shape": "hv"},
                           hovertemplate="epoch %{x:.2f}: rate %{y:.4g}<extra>" + title + "</extra>")
        if len(plan.collect):
            figure.add_scatter(x=(plan.collect / plan.steps_per_epoch).astype(np.float32), y=plan.heights.astype(np.float32),
                               mode="markers", name=f"{title}: snapshots", legendgroup=title, showlegend=False,
                               cliponaxis=False,
                               marker={"size": 8, "color": color, "line": {"width": 1.5, "color": style.PAPER}},
                               hovertemplate=f"snapshot after %{{x:.2f}} epochs<extra>{title}</extra>")
    for title, (epochs, rates) in (logged or {}).items():
        plan, color = plans[title]
        at = np.asarray(epochs, float) - 1 / plan.steps_per_epoch  # the epoch's last step
        figure.add_scatter(x=at.astype(np.float32), y=np.asarray(rates, np.float32), mode="markers", showlegend=False,
                           name=f"{title}: logged", legendgroup=title, hovertemplate="logged %{y:.4g}<extra></extra>",
                           marker={"size": 7, "symbol": "circle-open", "color": color, "line": {"width": 1.5}})
    style.moments(figure, moments or {})
    last = max(plan.epochs for plan, _ in plans.values())
    top = max(float(plan.rates.max()) for plan, _ in plans.values())
    figure.update_xaxes(style.axis("epoch", range=[0, last]))
    figure.update_yaxes(style.axis("learning rate", range=[0, top * (1.22 if moments else 1.06)]))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="closest")


def drawn_steps(plan: Plan) -> np.ndarray:
    """Numbers of the steps that are drawn: all of them, or every k-th so that at most ``MOST`` are."""
    return np.arange(0, plan.steps, -(-plan.steps // MOST))


def difference(plan: Plan, epochs: np.ndarray, rates: np.ndarray) -> float:
    """The largest difference between the plan's last step before each of ``epochs`` (parts of one too) and the rate there.

    NaN rates were not logged; with none at all the answer is NaN.
    """
    last = np.round(np.asarray(epochs, float) * plan.steps_per_epoch).astype(int) - 1
    rates = np.asarray(rates, float)
    known = (last >= 0) & (last < plan.steps) & np.isfinite(rates)
    return float(np.abs(plan.rates[last[known]] - rates[known]).max()) if known.any() else np.nan


def in_words(plan: Plan) -> str:
    """Highest, lowest and last rate, and how many snapshots it takes."""
    low, high = float(plan.rates.min()), float(plan.rates.max())
    ends = f"goes from {plan.rates[0]:.3g} to {plan.rates[-1]:.3g}"
    inside = {plan.rates[0], plan.rates[-1]} == {low, high}
    how = f"stays {low:.3g}" if low == high else ends if inside else f"{ends}, between {low:.3g} and {high:.3g}"
    text = f"{plan.steps:,} steps in {plan.epochs} epochs; the rate {how}."
    count = len(plan.collect)
    if not count:
        return text + " No snapshot is taken."
    first = plan.collect[0] / plan.steps_per_epoch
    return text + f" {count} snapshot{'' if count == 1 else 's'}, the first after {first:.3g} epochs."
