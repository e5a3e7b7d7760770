"""Compute the runs shipped in this folder by the project's own recipes: ``make gallery``, or ``build.py digits moons``."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from landscape import ASSETS
from landscape.runs import Library
from landscape.runs.archive import export
from landscape.runs.local import compute_here
from landscape.runs.store import Store
from landscape.settings import parse

RUNS = {
    "mnist1d": ("MNIST-1D: three optima and the valleys between them", {"task": "mnist1d"}),
    "digits": ("Handwritten digits: a flat path around the barrier", {"task": "digits"}),
    "moons": ("Two moons: small networks, small barriers", {"task": "moons"}),
    "spirals": ("Three spirals: narrow valleys", {"task": "spirals"}),
    "mnist5k": ("MNIST 5k: a conv net, BatchNorm re-estimated at every point", {"task": "mnist5k", "grid": 33}),
}


def build(name: str, into: Path) -> None:
    """Compute one run in a store of its own and export it to ``into/name``, replacing what was there."""
    title, given = RUNS[name]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        key, status, message = compute_here("valleys", parse("valleys", given), home)
        if status != "done":
            raise SystemExit(f"{name}: {status}. {message}")
        with Store(home) as store:
            store.rename(key, title)
        shutil.rmtree(into / name, ignore_errors=True)
        export(Library(home, gallery=None), key, into / name)
    size = sum(file.stat().st_size for file in (into / name).rglob("*") if file.is_file())
    print(f"{name}: {time.monotonic() - started:.0f} s, {size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or RUNS:
        if chosen not in RUNS:
            raise SystemExit(f"There is no run {chosen!r} in the gallery. Choose from: {', '.join(RUNS)}.")
        build(chosen, ASSETS / "gallery")
