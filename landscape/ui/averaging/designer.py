"""The schedule designer: any schedule with any parameters, drawn from the numbers the optimiser would take."""

from __future__ import annotations

import streamlit as st

from landscape.errors import BadInput, LandscapeError
from landscape.figures import schedules as drawn
from landscape.figures import style
from landscape.schedules import SHAPES, Plan, plan, steps_per_epoch
from landscape.settings import Settings
from landscape.ui import plot
from landscape.ui.averaging.story import examples_of
from landscape.ui.plot import figure_json

LABELS = {"swa_lr": "Constant rate"}
STARTS = {"cycle": 4.0, "start": 30.0}  # parameters that have no default of their own


def designer(settings: Settings) -> None:
    """Widgets on the left, the schedule on the right; what cannot be is said instead."""
    left, right = st.columns([2, 5], gap="large")
    with left:
        name = st.selectbox("Schedule", list(SHAPES), list(SHAPES).index("fge"), format_func=lambda n: SHAPES[n].title,
                            key="designer-shape", help="Drawn as the optimiser takes it, step by step.")
        st.caption(SHAPES[name].about)
        rate, length = st.columns(2)
        lr = rate.number_input("Base rate", 1e-6, 100.0, settings.lr, format="%g", key="designer-lr")
        epochs = int(length.number_input("Epochs", 1, 2000, settings.epochs, key="designer-epochs"))
        given = _parameters(name, epochs)
    with right:
        try:
            shown = _plan(settings, name, lr, epochs, given)
        except LandscapeError as error:
            st.error(str(error))
            return
        plot.plot(_figure(SHAPES[name].title, shown, (name, lr, epochs, tuple(sorted(given.items())), settings.batch_size)),
                  "designer", height=340, revision=f"{name}-{epochs}-{lr}")
        st.caption(f"{drawn.in_words(shown)} Circles are snapshots. These are the numbers the optimiser takes, at "
                   f"{shown.steps_per_epoch} steps an epoch.")


def _parameters(name: str, epochs: int) -> dict:
    """A field for each parameter; an empty one takes the schedule's own default."""
    shape, given = SHAPES[name], {}
    for parameter, about in shape.parameters.items():
        if parameter == "form":
            given[parameter] = st.selectbox("Form", ["exponential", "linear"], key=f"designer-{name}-form", help=about)
            continue
        start = shape.defaults.get(parameter)
        if parameter not in shape.defaults:
            start = min(STARTS.get(parameter, 1.0), epochs / 2)
        label = LABELS.get(parameter, parameter.replace("_", " ").capitalize())
        value = st.number_input(label, value=None if start is None else float(start), format="%g", help=about,
                                key=f"designer-{name}-{parameter}", placeholder="its default")
        if value is not None:
            given[parameter] = value
    return given


def _plan(settings: Settings, name: str, lr: float, epochs: int, given: dict) -> Plan:
    try:
        examples = examples_of(settings.task, settings.data_seed, settings.train_size)
    except BadInput:
        examples = settings.train_size or 1000
    return plan(name, lr=lr, epochs=epochs, steps_per_epoch=steps_per_epoch(examples, settings.batch_size), **given)


@st.cache_data(max_entries=64, show_spinner=False)
def _figure(title: str, _plan: Plan, identity: tuple) -> str:
    return figure_json(drawn.schedules({title: (_plan, style.METHODS["swa"]["color"])}))
