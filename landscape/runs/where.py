"""How a network is named inside a run: a place on a plane, on a path, or one of its networks by name.

As a dict, ``{"run": KEY, "plane": "optima", "x": 1.25, "y": -3.5}``, ``{"run": KEY, "path": "bezier", "t": 0.42}`` or
``{"run": KEY, "network": "w1 (seed 0)"}``; as text for a URL, without the run, ``optima:1.25,-3.5``, ``bezier@0.42`` or
``=w1 (seed 0)``.
"""

from __future__ import annotations

import math
import re
from typing import Any

from landscape.errors import BadInput

FORMS = ({"plane", "x", "y"}, {"path", "t"}, {"network"})
EXAMPLES = "optima:1.25,-3.5 (a point of a plane), bezier@0.42 (a point of a path) or =w1 (seed 0) (a network by its name)"
LONGEST = 200  # characters of a name
_PLANE = re.compile(r"(?P<plane>.+):(?P<x>[^,:]*),(?P<y>[^,:]*)", re.DOTALL)
_PATH = re.compile(r"(?P<path>.+)@(?P<t>[^@]*)", re.DOTALL)
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def checked(where: dict[str, Any]) -> dict[str, Any]:
    """The same place with finite floats for coordinates. Raises BadInput saying what a place is made of."""
    given = set(where) - {"run"} if isinstance(where, dict) else set()
    if given not in FORMS or "run" not in where:
        raise BadInput(f"A place is a run with a plane and x, y, a path and t, or a network; found {where!r}.")
    names = {part: _name(part, where[part]) for part in ("run", "plane", "path", "network") if part in where}
    place = names | {part: _number(part, where[part]) for part in ("x", "y", "t") if part in where}
    if "t" in place and not 0 <= place["t"] <= 1:
        raise BadInput(f"A path goes from t=0 to t=1, found t={place['t']!r}. Choose a number from 0 to 1.")
    return place


def text(where: dict[str, Any]) -> str:
    """The text form, without the run; ``parse_where`` gives the same place to the last bit."""
    place = checked(where)
    if "plane" in place:
        return f"{place['plane']}:{place['x']!r},{place['y']!r}"
    return f"{place['path']}@{place['t']!r}" if "path" in place else f"={place['network']}"


def parse_where(run: str, text: str) -> dict[str, Any]:
    """The place that the text form names in a run. Raises BadInput for anything that is no place."""
    if not isinstance(text, str):
        raise BadInput(f"Expected a place as text, for example {EXAMPLES}; found {text!r}.")
    if text.startswith("="):
        return checked({"run": run, "network": text[1:]})
    found = _PLANE.fullmatch(text) or _PATH.fullmatch(text)
    if found is None:
        raise BadInput(f"{text!r} names no place. Expected {EXAMPLES}.")
    return checked({"run": run, **found.groupdict()})


def _name(part: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or not value.isprintable():
        raise BadInput(f"The {part} of a place is a name of 1 to {LONGEST} characters, found {value!r}.")
    return value


def _number(part: str, value: Any) -> float:
    try:
        is_number = _DECIMAL.fullmatch(value) if isinstance(value, str) else not isinstance(value, bool)
        number = float(value) if is_number else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(f"{part} of a place must be a finite number, found {value!r}.")
    return number
