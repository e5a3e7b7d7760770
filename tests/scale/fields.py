"""A recipe whose work is divided, without torch: numbers at points, each of which takes its time.

``LANDSCAPE_RECIPES=fields:RECIPES`` adds it to a process, in which parts are then smaller than usual.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import toys
from pydantic import Field

from landscape.catalog import Row
from landscape.recipes import spread as division
from landscape.recipes.spread import Sent, Work, spread
from landscape.results import History
from landscape.settings import Settings

division.HERE, division.THERE, division.LEAST, division.WORTH = 0.1, 0.2, 0.02, 0.05


class Points(Settings):
    """``marker`` is a folder in which every process notes what it does: ``made PID``, ``part PID ITEMS SECONDS``."""

    points: int = Field(400, gt=0)
    seed: int = 0
    pause: float = 0.005  # seconds that a point takes
    marker: str = ""
    fault: str = ""


def note(settings: dict, *words) -> None:
    if settings["marker"]:
        with (Path(settings["marker"]) / "notes").open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")


def field(settings: Points, context) -> None:
    """Saves ``history:field``, whenever a part has come, with what is known so far."""
    told, items = settings.model_dump(), np.arange(settings.points, dtype=float)
    context.plan([("field", 1.0)])
    saved = context.load("history:field")
    values = np.full(settings.points, np.nan) if saved is None else saved.values["train_loss"][0].copy()
    left = items[np.isnan(values)]
    note(told, "begun", os.getpid(), len(left))
    shift = np.random.default_rng(settings.seed).normal(size=1000)
    work = Work(lambda part, progress: slowly(told, shift, part, progress, True), there,
                lambda: (Sent(shift, shift_of), Sent(told, dict)))
    for (first, last), found in spread(context, work, left, lambda done, total: context.progress("field", done, total)):
        values[left[first:last].astype(int)] = found["value"]
        context.save("history:field", History(("field",), items, items, {"train_loss": values[None]}))


def expected(points: int, seed: int = 0) -> bytes:
    """What a run of so many points must give, bit for bit."""
    shift = np.random.default_rng(seed).normal(size=1000)
    return np.array([np.sin(x * shift).sum() for x in np.arange(points, dtype=float)]).tobytes()


def shift_of(shift: np.ndarray) -> np.ndarray:
    if marker := os.environ.get("FIELDS_MARKER"):
        note({"marker": marker}, "made", os.getpid())
    return shift.copy()


def there(shift: np.ndarray, told: dict):
    return lambda part, progress: slowly(told, shift, part, progress, False)


def slowly(told: dict, shift: np.ndarray, part: np.ndarray, progress, own: bool) -> dict[str, np.ndarray]:
    started, pause = time.monotonic(), told["pause"]
    if not own:
        _misbehave(told)
    if told["fault"] == "endless" and not own:
        pause = 60.0 / len(part)
    found = np.empty(len(part))
    for i, x in enumerate(part):
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(0.05, left))
            progress(i, len(part))
        found[i] = np.sin(x * shift).sum()
        progress(i + 1, len(part))
    note(told, "own" if own else "part", os.getpid(), len(part), time.monotonic() - started)
    return {"value": found}


def _misbehave(told: dict) -> None:
    """The first part that another process takes ends it."""
    once = Path(told["marker"] or ".") / "killed"
    if told["fault"] == "kill" and not once.exists():
        once.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    if told["fault"] == "error":
        raise RuntimeError("this machine has no such library")


class Count(Settings):
    steps: int = 40
    pause: float = 0.05


def count(settings: Count, context) -> None:
    """Counts on from the state that it saves at every step."""
    context.plan([("count", 1.0)])
    state = context.load_weights("state-count")
    at = 0 if state is None else int(state["at"][0])
    for step in range(at, settings.steps):
        time.sleep(settings.pause)
        context.save_weights("state-count", {"at": np.array([step + 1]), "much": np.full(1000, float(step))})
        context.progress("count", step + 1, settings.steps, from_=at)
    context.save_weights("end", {"at": np.array([settings.steps])})
    context.save("history:count", History(("count",), np.array([0]), np.array([at]), {"train_loss": np.zeros((1, 1))}))


RECIPES = toys.RECIPES | {"field": Row("Field", "Numbers at points.", "fields:field", {"settings": "fields:Points"}),
                          "count": Row("Count", "A count with a state.", "fields:count", {"settings": "fields:Count"})}
