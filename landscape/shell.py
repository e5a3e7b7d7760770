"""What commands share: words to the user, one JSON value, a run computed and waited for."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from landscape.errors import BadInput, LandscapeError, StoreError
from landscape.runs import Jobs, Library, Run, estimates
from landscape.runs.clicks import Opener
from landscape.runs.home import home_of, unwritable
from landscape.runs.local import compute_here
from landscape.runs.records import Identity
from landscape.runs.terminal import Follower, wait

Compute = Callable[[Identity, Path | None, Library], str]
log = logging.getLogger(__name__)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_json(value) -> None:
    """One line of strict JSON: what is not a number (a diverged loss) is null."""

    def strict(value):
        if isinstance(value, dict):
            return {str(k): strict(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [strict(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(strict(value), allow_nan=False), flush=True)


def setting(text: str) -> tuple[str, str]:
    """``name=value`` as typed behind ``--set``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"expected name=value, found {text!r}", param_hint="--set")
    return name.strip(), value


def agreed(wanted: Identity, home: Path | None, yes: bool, here: bool = False) -> None:
    """Say what a run will cost, and ask where that is above the limit. ``here``: files and modules are this user's own.

    Raises BadInput where nobody can be asked. What a network or a file that is tried raises is left for the run to say.
    """
    estimates.limit()  # a limit that is no number is said first
    if not estimates.known(wanted.recipe) or unwritable(home_of(home)):
        return
    jobs = Jobs(home)
    elsewhere = not here and (jobs.engine() is not None or bool(os.environ.get("LANDSCAPE_SCHEDULER")))
    try:
        settings = json.loads(wanted.settings.canonical())
        found = (jobs if elsewhere else Opener(home)).estimate(wanted.recipe, settings)
    except Exception as error:  # of the user's own code, too
        log.info("no estimate: %s", error)
        return
    if found is None:
        return
    say(estimates.sentence(found))
    if yes or not estimates.too_long(found):
        return
    if not sys.stdin.isatty():
        raise BadInput(f"{estimates.question(found)} Nobody can be asked here: give --yes to start it, set "
                       f"{estimates.VARIABLE} to more minutes, or ask for less (a smaller grid, fewer epochs or seeds).")
    typer.confirm(f"{estimates.question(found)} Start it?", abort=True, err=True)


def finished(wanted: Identity, home: Path | None, compute: Compute) -> tuple[Library, Run]:
    """The run once it is done, its progress shown meanwhile. Raises LandscapeError if it failed, exits 130 on Ctrl-C.

    Where the store cannot be written a run that is done already is taken; any other raises StoreError.
    """
    library = Library(home)
    if why := unwritable(library.home):
        before = [run for run in library.runs(status="done", children=True) if run.key == wanted.key]
        if not before:
            raise StoreError(f"This run is not in the store, and {why[0].lower()}{why[1:]}")
        return library, before[0]
    try:
        with Follower(library, wanted.key):
            message = compute(wanted, home, library)
    except KeyboardInterrupt:
        say(f"Stopped. What was computed is kept as run {wanted.key}; the same command goes on from there.")
        raise SystemExit(130) from None
    ended = library.run(wanted.key)
    if ended.status != "done":
        raise LandscapeError(f"Run {ended.key} {ended.status}: {message or ended.message}")
    return library, ended


def with_engine(wanted: Identity, home: Path | None, library: Library) -> str:
    """Compute with the engine if there is one (or a scheduler to go to), else in this process: why it failed, if so."""
    jobs = Jobs(home)
    if jobs.engine() is None and not os.environ.get("LANDSCAPE_SCHEDULER"):
        return compute_here(wanted.recipe, wanted.settings, home)[2]
    jobs.submit(wanted.recipe, wanted.settings)
    try:
        wait(library, wanted.key)
    except KeyboardInterrupt:
        jobs.cancel(wanted.key)
        raise
    return ""
