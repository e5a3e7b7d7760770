"""How the networks were trained: the schedule, the algorithm of averaging, and test error against epoch."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from landscape.figures import averages, schedules, style, truth
from landscape.results import METRICS
from landscape.ui.averaging.story import CURVES, Story, captions

BRANCHES = {"sgd": ("SGD", "sgd"), "constant": ("constant rate, averaged", "swa"), "fge": ("FGE", "fge")}


def schedule(story: Story) -> None:
    """The rates of every branch with the moments of collection, and what training logged, on one axis."""
    plans = story.plans()
    drawn = {title: (plans[name], style.METHODS[look]["color"]) for name, (title, look) in BRANCHES.items() if name in plans}
    if not drawn:
        st.info("The schedule cannot be drawn: the data of this run are not on this machine.")
        return
    logged, far = {}, []
    for name, result in (("sgd", "history:sgd"), ("constant", "history:last")):
        if result in story.found and name in plans:
            log = story.found[result]
            logged[BRANCHES[name][0]] = (log.epochs, log.lr)
            far.append(schedules.difference(plans[name], log.epochs, log.lr))
    far = [each for each in far if np.isfinite(each)]
    st.markdown(f"**Learning rate.** SGD: {schedules.in_words(plans['sgd'])} The other branch: "
                f"{schedules.in_words(plans['constant'])}")
    story.figure("schedule", schedules.schedules, drawn, logged, story.moments(), height=340)
    thin = max(len(plan.rates) / len(schedules.drawn_steps(plan)) for plan, _ in drawn.values())
    steps = "every step is drawn" if thin == 1 else f"every {thin:.0f}th step is drawn"
    same = "the rates of training are not logged yet" if not far else \
        f"largest difference between the plotted rate and the logged one {max(far):.1g}"
    captions("", truth.said({}, "the very numbers the optimiser takes", steps, same).replace(" · data not stated", ""),
             not far or max(far) < 1e-9)


def algorithm(story: Story) -> None:
    """What SWA does, with this run's numbers, and what happens to BatchNorm networks without new statistics."""
    settings, plans = story.settings, story.plans()
    taken = plans["constant"].head(settings.epochs).collect if plans else ()
    how_often = "every epoch" if settings.every == 1 else f"every {settings.every:g} epochs"
    low = settings.lr if settings.swa_lr is None else settings.swa_lr
    st.markdown(
        f"1. Train with SGD, then keep the rate up: here at {low:g} from epoch {settings.branch * settings.epochs:g} on.\n"
        f"2. After epoch {settings.start:g}, take the weights {how_often} and keep their running mean, "
        f"$w_{{SWA}} \\leftarrow (n\\,w_{{SWA}} + w)/(n+1)${f': {len(taken)} snapshots here' if plans else ''}.\n"
        "3. Pass over the training data once more for the BatchNorm statistics, if there are any.")
    if "batchnorm" in story.found:
        _batchnorm(story)
    else:
        st.caption("This network has no BatchNorm, so nothing has to be re-estimated." if settings.norm != "batch" else
                   "What happens without re-estimation is not measured yet.")


def _batchnorm(story: Story) -> None:
    """The same averaged weights with new and with old statistics."""
    rows = story.found["batchnorm"].values
    found = rows.get("swa", rows)
    shown = [m for m in METRICS if any(m in (values or {}) for values in found.values() if isinstance(values, dict))]
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{_number(m, values.get(m))}</td>" for m in shown)}</tr>'
        for name, values in found.items() if isinstance(values, dict))
    st.markdown("**Averaged weights with BatchNorm statistics re-estimated, and with those stored by the last snapshot.**")
    st.html('<div class="landscape-wide"><table class="landscape-table"><thead><tr><th>statistics</th>'
            + "".join(f"<th>{METRICS[m]}</th>" for m in shown) + f"</tr></thead><tbody>{body}</tbody></table></div>")
    st.caption("The same weights in every row; only the means and variances of the normalisation layers differ. "
               "Re-estimated from training data alone.")


def _number(metric: str, value) -> str:
    return "–" if value is None else f"{100 * value:.1f}%" if metric.endswith("error") else f"{value:.3g}"


def constant(story: Story) -> None:
    """Four curves of one run: averaging predictions of bad models, and averaging their weights."""
    histories = {name: story.found[f"history:{name}"] for name in CURVES if f"history:{name}" in story.found}
    shared = [m for m in ("test_error", "test_nll", "train_nll") if all(m in h.values for h in histories.values())]
    if not shared:
        return
    metric = st.segmented_control("Curves of", shared, default=shared[0], key="story-curves", required=True,
                                  format_func=lambda m: averages.TITLES.get(m, m), label_visibility="collapsed")
    st.markdown(averages.in_words(histories))
    story.figure("curves", averages.averages, histories, metric, story.moments(), identity=(metric,), height=460)
    seeds = max(len(h.names) for h in histories.values())
    info = next((h.info for h in histories.values() if "data" in h.info), _data(story))
    captions("", truth.said(info, f"all curves from one run; mean of {seeds} seed{'' if seeds == 1 else 's'}, the band from "
                            "the lowest to the highest", metric=metric))


def _data(story: Story) -> dict:
    """What the run's surfaces say of the data, for results that do not say it themselves."""
    return next((s.info for name, s in story.found.items() if name.startswith("surface:") and "data" in s.info), {})
