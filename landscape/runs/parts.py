"""Parts of another worker's job: what runs in a worker that helps.

What parts of one piece of work share is kept here by a token of its content, so that it comes once. Only helpers that
would compute the same bits take parts: the same versions and the same kind of processor.
"""

from __future__ import annotations

import hashlib
import importlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from landscape import __version__
from landscape.errors import StoreError
from landscape.runs import location, weights

KEPT = 2**30  # bytes of what parts share, the last used; what a part needs in any case
OFF, ALIKE, ANY = "off", "alike", "any"  # whose help is taken: LANDSCAPE_SPREAD
WORDS = {"program": "Loss Valleys", "torch": "torch", "numpy": "numpy", "processor": "a processor"}

_kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()  # by token, with its bytes
_making = threading.RLock()


@dataclass(frozen=True)
class Reading:
    """What a part elsewhere needs to read a run itself: key, and address and certificate of the engine."""

    value: tuple[str, str, str]
    size = 2**26  # bytes of what is made of it, about

    @property
    def token(self) -> str:
        return hashlib.sha256("\n".join(self.value).encode()).hexdigest()[:32]

    @property
    def make(self) -> Callable:
        return reader


def reader(told: tuple[str, str, str]):
    from landscape.runs.channel import Channel
    from landscape.runs.context import Reader

    key, address, pem = told
    return Reader(Channel(address, pem), key)


@dataclass(frozen=True)
class Passage:
    """Where parts of a run's work leave weights for each other: at the location that all workers reach, out of the store's
    sight. A note says where, so that only it goes through the scheduler."""

    place: str
    key: str

    def leave(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """The note of arrays that were written. Raises StoreError where the location cannot be written."""
        return location.write(self.place, self.key, f"{location.PASSED}{secrets.token_hex(8)}", weights.to_bytes(arrays))

    def take(self, note: dict[str, Any]) -> dict[str, np.ndarray]:
        """What was left. Raises StoreError if the location is not reached, Damaged if it is not there."""
        return weights.from_bytes(location.read(note, self.key, "of a part"))

    def clear(self) -> None:
        """Remove all that was left, as far as the location is reached."""
        with suppress(StoreError):
            location.clear(self.place, self.key)


class Unwanted(Exception):
    """Nobody waits for this part any more."""


@lru_cache(maxsize=1)
def kind() -> dict[str, str]:
    """What decides the last bit of a result computed here."""
    found = {"program": __version__, "processor": _processor()}
    for name in ("torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return "unknown"


def refusal(asking: dict[str, str], whose: str) -> str:
    """Why this process cannot help a job of that kind, empty if it can. ``whose`` is ALIKE or ANY."""
    own, deciding = kind(), ("program",) if whose == ANY else WORDS
    return " and ".join(f"{WORDS[name]} {own[name]}, not {asking[name]}" for name in deciding if asking[name] != own[name])


def path_of(function: Callable) -> str:
    """``module:name`` of a function, by which another process finds it."""
    return f"{function.__module__}:{function.__qualname__}"


def compute(asked: dict[str, Any], items: np.ndarray, *values: Any) -> dict[str, Any]:
    """A part of a job that another worker has.

    ``asked`` has the ``kind`` of that worker, ``whose`` help it takes, ``tokens`` and ``sizes`` of what is shared, functions
    ``makes`` that use the ``values`` of those tokens (if values are sent) and ``there``, the function of the work. Gives
    ``{"values", "seconds", "cpu"}``, or ``{"refused": why}``, or ``{"missing": True}`` if the values must be sent (again).
    """
    if why := refusal(asked["kind"], asked["whose"]):
        return {"refused": why}
    began, cpu = time.monotonic(), time.process_time()
    work = _work(asked, values)
    if work is None:
        return {"missing": True}
    started, check = time.monotonic(), _wish()
    found = work(items, lambda done, total: check())
    ended = time.monotonic()
    return {"values": found, "seconds": ended - started, "prepared": started - began, "cpu": time.process_time() - cpu}


def _work(asked: dict[str, Any], values: tuple) -> Callable | None:
    """The function of the work, made of what is kept or was sent; None if that is neither."""
    tokens, name = asked["tokens"], "+".join([asked["there"], *asked["tokens"]])
    with _making:
        for each in (*tokens, name):
            if each in _kept:
                _kept.move_to_end(each)
        if name in _kept:
            return _kept[name][0]
        if not values and not all(each in _kept for each in tokens):
            return None
        made = []
        for i, each in enumerate(tokens):
            if each not in _kept:
                _kept[each] = _named(asked["makes"][i])(values[i]), asked["sizes"][i]
            made.append(_kept[each][0])
        _kept[name] = _named(asked["there"])(*made), sum(asked["sizes"])
        while sum(size for _, size in _kept.values()) > KEPT and len(_kept) > len(tokens) + 1:
            _kept.popitem(last=False)
        return _kept[name][0]


def _named(path: str) -> Callable:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _wish() -> Callable[[], None]:
    """A check that raises Unwanted once this task was cancelled: Dask leaves it to the task to end."""
    from distributed import get_worker

    try:
        worker = get_worker()
        key = worker.get_current_task()
    except (ValueError, KeyError):  # called by hand
        return lambda: None

    def check() -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state not in ("executing", "long-running"):
            raise Unwanted

    return check
