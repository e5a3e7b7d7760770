"""Small recipes for tests of runs: numpy only. ``LANDSCAPE_RECIPES=toys:RECIPES`` adds them to a process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from pydantic import Field

from landscape.catalog import Row
from landscape.errors import BadInput
from landscape.results import History, Summary
from landscape.settings import Settings


class Stroll(Settings):
    """A random walk whose every step is saved; it can be told to misbehave."""

    steps: int = Field(5, gt=0)
    seed: int = 0
    pause: float = 0.0
    fault: str = ""
    marker: str = ""  # a file: each attempt appends a line to it


class Pair(Settings):
    """Two walks and their difference."""

    steps: int = Field(5, gt=0)
    seeds: tuple[int, ...] = (0, 1)
    pause: float = 0.0


def _history(points) -> History:
    return History(("stroll",), np.arange(len(points)), np.zeros(len(points)), {"train_loss": np.array([points])})


def stroll(settings: Stroll, context) -> None:
    if settings.marker:
        with Path(settings.marker).open("a") as file:
            file.write(f"{os.getpid()}\n")
    context.plan([("stroll", 3.0), ("sum", 1.0)])
    saved = context.load("history:walk")
    points = list(saved.values["train_loss"][0]) if saved else []
    while len(points) < settings.steps:
        if settings.fault == "deaf" and points:
            time.sleep(60)
        if settings.fault == "always kill":
            os.kill(os.getpid(), signal.SIGKILL)
        step = np.random.default_rng([settings.seed, len(points)]).normal()
        points.append((points[-1] if points else 0.0) + step)
        time.sleep(settings.pause)
        context.save("history:walk", _history(points))
        context.progress("stroll", len(points), settings.steps, value=points[-1])
        if len(points) == 3:
            _misbehave(settings.fault)
    context.save_weights("end", {"w": np.array([points[-1]], np.float32)}, {"kind": "stroll"})
    context.progress("sum", 1, 1)
    context.save("summary", Summary({"key": context.key, "sum": float(np.sum(points)), "nan": float("nan")}))


def _misbehave(fault: str) -> None:
    if fault == "error":
        raise RuntimeError("the third step broke")
    if fault == "input":
        raise BadInput("Expected two legs, found three.")
    if fault == "hungry":
        np.ones(2**29 // 8).sum()  # half a gigabyte, touched
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def pair(settings: Pair, context) -> None:
    context.plan([*((f"walk {seed}", 4.0) for seed in settings.seeds), ("difference", 1.0)])
    walks = [
        context.child("stroll", {"steps": settings.steps, "seed": seed, "pause": settings.pause}, f"walk {seed}")
        for seed in settings.seeds
    ]
    ends = [float(each.load_weights("end")["w"][0]) for each in walks]
    context.progress("difference", 1, 1)
    context.save(
        "summary", Summary({"key": context.key, "difference": ends[1] - ends[0], "cpu_seconds": context.cpu_seconds})
    )


def trap(settings: Stroll, reader) -> None:
    """Places that nobody comes back from."""
    os.kill(os.getpid(), signal.SIGKILL)


RECIPES = {
    "stroll": Row("Walk", "A random walk.", "toys:stroll", {"settings": "toys:Stroll"}),
    "trap": Row("Trap", "A walk whose networks end the process that opens them.", "toys:stroll",
                {"settings": "toys:Stroll", "places": "toys:trap"}),
    "pair": Row("Pair", "Two random walks.", "toys:pair", {"settings": "toys:Pair"}),
}
