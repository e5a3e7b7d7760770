"""Stores, references computed without a fault, and namespaces in which a test may mount, fill and cut what it likes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from shops import toys_known

INSIDE = "LANDSCAPE_TEST_INSIDE"


def pytest_configure(config):
    config.addinivalue_line("markers", "namespace(*flags): runs in namespaces of its own, as `unshare` makes them")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a test with the mark ``namespace`` once more, by itself, where it is root and the rest of the machine is safe."""
    mark = pyfuncitem.get_closest_marker("namespace")
    if mark is None or os.environ.get(INSIDE):
        return None
    words = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", *mark.args]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces are not to be had on this machine")
    again = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "--tb=short", pyfuncitem.nodeid]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LANDSCAPE_", "PYTEST_"))}
    done = subprocess.run([*words, *again], cwd=pyfuncitem.config.rootpath, env={**plain, INSIDE: "1"}, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return True


@pytest.fixture(autouse=True, scope="module")
def recipes():
    with toys_known():
        yield
