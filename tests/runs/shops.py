"""A store of its own for a test, its engine, and the recipes of ``toys``: what tests of runs and of faults share."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import toys

from landscape import ROOT, catalog
from landscape.runs import Jobs, Library
from landscape.runs.home import holder

HERE = Path(__file__).parent


@contextmanager
def toys_known(preload: str = ""):
    """``toys`` in this process, and through the environment in those it starts; workers import ``preload`` before their
    first job."""
    with pytest.MonkeyPatch.context() as patch:
        for name, row in toys.RECIPES.items():
            patch.setitem(catalog.RECIPES, name, row)
        path = os.pathsep.join(filter(None, (str(HERE), str(ROOT), os.environ.get("PYTHONPATH"))))
        for name, value in {"LANDSCAPE_RECIPES": "toys:RECIPES", "LANDSCAPE_PRELOAD": preload, "PYTHONPATH": path,
                            "LANDSCAPE_ENGINE_IDLE": "30"}.items():
            patch.setenv(name, value)
        patch.delenv("LANDSCAPE_HOME", raising=False)
        patch.delenv("LANDSCAPE_SCHEDULER", raising=False)
        yield


class Shop:
    """A store with its library, its jobs and what tests do with them."""

    def __init__(self, home: Path):
        self.home = home
        self.library, self.jobs = Library(home, gallery=None), Jobs(home)

    def until(self, holds, seconds: float = 20.0):
        """Wait until ``holds()`` is true and return it; fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = holds()
            if found:
                return found
            time.sleep(0.02)
        log = self.home / "engine.log"
        pytest.fail(f"did not happen within {seconds} s; {log.read_text()[-3000:] if log.exists() else 'no engine'}")

    def ended(self, key: str, seconds: float = 20.0):
        self.until(lambda: self.library.run(key).status not in ("queued", "running"), seconds)
        return self.library.run(key)

    def saved(self, key: str, steps: int) -> bool:
        """Whether the walk has saved so many steps."""
        history = self.library.result(key, "history:walk")
        return history is not None and len(history.epochs) >= steps

    def walked(self, key: str) -> list[float]:
        return self.library.result(key, "history:walk").values["train_loss"][0].tolist()

    def close(self) -> None:
        engine = self.jobs.engine()
        if engine:
            os.kill(engine["pid"], signal.SIGTERM)
            self.until(lambda: holder(self.home / "writer.lock") is None)

