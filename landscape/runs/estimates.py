"""What a run will cost, said before it starts; above a limit somebody is asked first.

The numbers come from ``recipes.costs``, which counts the work and times pieces of it on this machine.
"""

from __future__ import annotations

import os
from typing import Any

from landscape import catalog
from landscape.errors import BadInput

VARIABLE = "LANDSCAPE_ASK_ABOVE"
DEFAULT = 30.0  # minutes


def known(recipe: str) -> bool:
    """Whether the cost of runs of a recipe is counted before they start."""
    return "costs" in catalog.row("recipe", catalog.RECIPES, recipe).defaults


def limit() -> float:
    """Seconds above which somebody is asked (``LANDSCAPE_ASK_ABOVE``, minutes). Raises BadInput for what is no number."""
    given = os.environ.get(VARIABLE, "").strip()
    try:
        minutes = float(given) if given else DEFAULT
    except ValueError:
        minutes = float("nan")
    if not minutes >= 0:
        raise BadInput(f"{VARIABLE} is a number of minutes from 0, found {given!r}.")
    return 60 * minutes


def too_long(found: dict[str, Any]) -> bool:
    """Whether a run of this estimate is one to ask about."""
    return found["seconds"] > limit()


def sentence(found: dict[str, Any]) -> str:
    """An estimate in one line: what is evaluated and trained, operations, memory, disk and time."""
    counted = [f"{found[name]:,.0f} {words}" for name, words in
               (("evaluations", "networks evaluated"), ("steps", "training steps"), ("gradients", "gradients"))
               if found[name] >= 1]
    work = f"{', '.join(counted)}: " if counted else "To come: "
    there = f" ({' and '.join(found['there'])} there already)" if found["there"] else ""
    return (f"{work}about {found['flops']:.1e} floating point operations, {_size(found['memory'])} of memory, "
            f"{_size(found['disk'])} of disk and {in_words(found['seconds'])} on this machine{there}.")


def question(found: dict[str, Any]) -> str:
    """What somebody is asked, with the stages that take most of it."""
    longest = sorted(found["parts"].items(), key=lambda part: -part[1])[:2]
    most = ", ".join(f"{stage} {in_words(seconds)}" for stage, seconds in longest)
    return (f"This takes about {in_words(found['seconds'])}, and above {limit() / 60:g} minutes you are asked first "
            f"({VARIABLE}). Most of it: {most}.")


def in_words(seconds: float) -> str:
    """A time that nobody should read as exact."""
    if seconds < 1:
        return "less than a second"
    for unit, length in (("second", 90.0), ("minute", 90.0 * 60), ("hour", 36.0 * 3600)):
        size = {"second": 1.0, "minute": 60.0, "hour": 3600.0}[unit]
        if seconds < length:
            count = seconds / size
            said = f"{count:.0f}" if count >= 9.5 else f"{count:.1f}".removesuffix(".0")
            return f"{said} {unit}{'' if said == '1' else 's'}"
    return f"{seconds / 86400:,.1f} days"


def _size(count: float) -> str:
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000 or unit == "GB":
            return f"{count:,.1f} {unit}" if count < 10 else f"{count:,.0f} {unit}"
    return ""
