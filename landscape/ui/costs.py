"""What a run will cost, beside the button that starts it; one that takes long is asked about first.

A process beside the engine times pieces of the work. A page never waits for that: the sentence appears when it is there.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import streamlit as st

from landscape.errors import LandscapeError, StoreError
from landscape.runs import Jobs, estimates
from landscape.runs.home import home_of
from landscape.runs.records import identify
from landscape.ui import looking, people

PATIENCE = 20.0  # seconds that a press of the button waits for an estimate that is still being made
KEPT = 64  # estimates
UNKNOWN = ("What this costs is not known yet: trying a piece of it takes longer than usual on this machine, or failed. It "
           "may take long.")


@st.cache_resource(show_spinner=False)
def _asked() -> tuple[ThreadPoolExecutor, OrderedDict[tuple, Future]]:
    """Who asks, one question after the other, and the answers of all pages of this server, oldest first."""
    return ThreadPoolExecutor(1, thread_name_prefix="costs"), OrderedDict()


def asked(recipe: str, settings) -> Future | None:
    """The estimate of a run, on its way or there; None where nobody looks, nothing can be computed, or the recipe does not
    count its costs."""
    if not estimates.known(recipe) or not people.visitor().id or looking.only():
        return None
    home, wanted = home_of(None), identify(recipe, settings)
    pool, answers = _asked()
    key = (str(home), wanted.key)
    found = answers.get(key)
    if found is None or (found.done() and found.exception() is not None):
        answers[key] = pool.submit(Jobs(home).estimate, recipe, wanted.settings)
    answers.move_to_end(key)
    while len(answers) > KEPT:
        answers.popitem(last=False)[1].cancel()
    return answers[key]


def said(recipe: str, settings) -> None:
    """One line: what the run will cost; while that is found out, that it is."""
    found = asked(recipe, settings)
    if found is None:
        return
    if not found.done():
        _waiting(found)
    elif found.exception() is None:
        told = found.result()
        st.caption("Computed already: it opens at once." if told is None else estimates.sentence(told))


@st.fragment(run_every=0.5)
def _waiting(found: Future) -> None:
    if found.done():
        st.rerun()
    st.caption("Trying what it will cost")


def agreed(recipe: str, settings, start) -> bool:
    """Whether a run may start now. If not, it is asked about: ``start()`` is called where somebody says yes."""
    try:
        found = asked(recipe, settings)
        if found is None:
            return True
        with st.spinner("Trying what it will cost"):
            told = found.result(PATIENCE)
        if told is None or not estimates.too_long(told):
            return True
    except (NotYet, StoreError):  # it takes long, or has ended the process that tried
        told = None
    except (LandscapeError, RuntimeError):  # of the settings, the files or the user's own code: the run will say it
        return True
    _question(estimates.question(told) if told else UNKNOWN, start)
    return False


@st.dialog("Start a long run?")
def _question(text: str, start) -> None:
    st.write(text)
    yes, no = st.columns(2)
    if yes.button("Start it", type="primary", icon=":material/play_arrow:", key="start-long", width="stretch"):
        start()
    if no.button("Not now", key="not-now", width="stretch"):
        st.rerun()
