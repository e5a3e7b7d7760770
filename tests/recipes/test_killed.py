"""kill -9 of the worker while it trains and while it draws: the finished surfaces equal undisturbed ones, bit for bit."""

import os
import signal
import time

import numpy as np
import pytest

from landscape.runs import Jobs, Library
from landscape.runs.local import compute_here
from landscape.settings import parse

SETTINGS = {"task": "digits", "epochs": 100, "curve_epochs": 100, "grid": 49, "picture": "exact", "widths": (64, 64)}


@pytest.mark.timeout(180)
def test_a_killed_worker_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ENGINE_IDLE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # the same products in both processes
    settings = parse("valleys", SETTINGS)
    library = Library(tmp_path / "killed", gallery=None)
    key = Jobs(library.home).submit("valleys", settings)
    killed = set()
    deadline = time.monotonic() + 150
    while library.run(key).status in ("queued", "running"):
        assert time.monotonic() < deadline
        now, attempts = library.progress(key), library.attempts(key)
        phase = now and ("surface" if now.stage.startswith("surface") else "training")
        if phase and phase not in killed and now.fraction > 0.05 and (phase == "training" or library.names(key)):
            killed.add(phase)
            os.kill(attempts[-1]["pid"], signal.SIGKILL)
            while len(library.attempts(key)) == len(attempts) and time.monotonic() < deadline:
                time.sleep(0.05)
        time.sleep(0.02)
    assert library.run(key).status == "done", library.run(key).message
    assert killed == {"training", "surface"}
    assert len(library.attempts(key)) == 3
    same, status, _ = compute_here("valleys", settings, tmp_path / "undisturbed")
    assert (same, status) == (key, "done")
    reference = Library(tmp_path / "undisturbed", gallery=None)
    for name in ("optima", "bezier", "chain"):
        a, b = library.result(key, f"surface:{name}"), reference.result(key, f"surface:{name}")
        for metric, values in a.values.items():
            np.testing.assert_array_equal(values, b.values[metric], f"{name} {metric}")
