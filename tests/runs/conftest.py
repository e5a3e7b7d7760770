"""A store of its own for each test, the recipes of ``toys``, and an end to every engine a test has started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shops import Shop, toys_known

from landscape.runs.local import compute_here


@pytest.fixture(autouse=True, scope="module")
def recipes():
    with toys_known():
        yield



@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store and an engine for the tests of a module that leave them in order."""
    made = Shop(tmp_path_factory.mktemp("shared") / "home")
    yield made
    made.close()


@pytest.fixture
def undisturbed(tmp_path):
    """A walk computed in one go in a store of its own: its steps."""

    def stroll(**settings) -> list[float]:
        other = Shop(tmp_path / "undisturbed")
        key, status, _ = compute_here("stroll", settings, other.home)
        assert status == "done"
        return other.walked(key)

    return stroll


@pytest.fixture
def command(tmp_path):
    """``python -m landscape`` in a process of its own: ``(exit status, stdout, stderr)``."""

    def run(*words: str, home: Path = tmp_path / "home") -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-m", "landscape", *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "LANDSCAPE_HOME": str(home)}, cwd=tmp_path, check=False)
        return done.returncode, done.stdout, done.stderr

    return run
