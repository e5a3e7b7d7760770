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

RUNS = {  # name -> title, recipe, settings; few seeds where every snapshot of a walk is shipped along
    "mnist1d": ("MNIST-1D: three optima and the valleys between them", "valleys", {"task": "mnist1d"}),
    "digits": ("Handwritten digits: a flat path around the barrier", "valleys", {"task": "digits"}),
    "moons": ("Two moons: small networks, small barriers", "valleys", {"task": "moons"}),
    "spirals": ("Three spirals: narrow valleys", "valleys", {"task": "spirals"}),
    "mnist5k": ("MNIST 5k: a conv net, BatchNorm re-estimated at every point", "valleys", {"task": "mnist5k", "grid": 33}),
    "averaging": ("Digits with 20% wrong labels: what averaging the weights finds", "averaging",
                  {"task": "digits", "seeds": (0, 1, 2), "budgets": (1.0,), "label_noise": 0.2, "weight_decay": 5e-3}),
    "posterior": ("Two moons: a posterior along a valley, and seven ways to draw from it", "posterior",
                  {"task": "moons", "seeds": (0, 1, 2), "chains": 8, "draws": 500, "reference": None,
                   "methods": ("swag", "multiswag", "ensemble", "ess", "vi_full", "flow", "laplace_subspace")}),
    "calibration": ("Digits with 20% wrong labels: who knows what it does not know?", "calibration",
                    {"task": "digits", "repeats": 1, "label_noise": 0.2, "ood": "shuffled"}),
}


def build(name: str, into: Path) -> None:
    """Compute one run in a store of its own and export it to ``into/name``, replacing what was there."""
    title, recipe, given = RUNS[name]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        key, status, message = compute_here(recipe, parse(recipe, given), home)
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
