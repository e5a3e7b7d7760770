"""What a measurement is, and how times are taken on a machine that others use too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import psutil
import torch

SIDE = 2048  # of the matrices whose product sets the peak
BUSY = 0.1  # cores that other programs may take while something is measured


@dataclass(frozen=True)
class Row:
    """``ratio`` says how many times better ``method`` is than ``against``; ``bar`` is what it must be at least.

    ``max_rel_error`` and ``peak_fraction`` are None where they mean nothing; ``note`` is for people.
    """

    workload: str
    method: str
    against: str
    ratio: float | None = None
    max_rel_error: float | None = None
    peak_fraction: float | None = None
    bar: float | None = None
    met: bool | None = None
    note: str = ""

    def json(self) -> dict:
        return {name: value for name, value in asdict(self).items() if name not in ("bar", "met", "note")}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """Each work's seconds (rounds,), all of them once in every round: a busy moment then slows all alike."""
    taken = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return {name: np.array(values) for name, values in taken.items()}


def sgemm_seconds() -> float:
    """The best of three products of two square float32 matrices on all cores, after a first one that is not counted."""
    a, b, c = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE), torch.empty(SIDE, SIDE)
    torch.mm(a, b, out=c)
    return min(seconds(lambda: torch.mm(a, b, out=c)) for _ in range(3))


@dataclass
class Others:
    """How many cores other programs took since this was made; processes that this one has waited for are its own."""

    started: tuple[float, float, float] = field(default_factory=lambda: _used())

    def cores(self) -> float:
        wall, everyone, own = (now - before for now, before in zip(_used(), self.started, strict=True))
        return max(0.0, (everyone - own) / wall)


def _used() -> tuple[float, float, float]:
    """Seconds: of the clock, of all processors at work, of them by this process and its ended children."""
    machine, own = psutil.cpu_times(), os.times()
    idle = machine.idle + getattr(machine, "iowait", 0.0)
    return time.time(), sum(machine[:8]) - idle, own.user + own.system + own.children_user + own.children_system


def table(rows: list[Row]) -> str:
    """The rows as text, one line each, the bar and whether it was met at the end."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    head = ("workload", "method", "against", "ratio", "bar", "error", "peak", "", "")
    lines = [head] + [
        (r.workload, r.method, r.against, number(r.ratio, ".2f"), number(r.bar, ".3g"), number(r.max_rel_error, ".1e"),
         number(r.peak_fraction, ".0%"), {True: "met", False: "NOT MET", None: ""}[r.met], r.note) for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(f"{text:<{w}}" for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)
