"""Two workers that help each other, in processes of their own, and what they noted."""

from __future__ import annotations

import os
from pathlib import Path

import fields
import pytest
from clusters import WORKERS, Cluster
from elsewhere import Elsewhere
from shops import toys_known

from landscape import ROOT, catalog


@pytest.fixture(autouse=True, scope="module")
def recipes():
    with toys_known(), pytest.MonkeyPatch.context() as patch:
        for name in ("field", "count"):
            patch.setitem(catalog.RECIPES, name, fields.RECIPES[name])
        patch.setenv("LANDSCAPE_RECIPES", "fields:RECIPES")
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ['PYTHONPATH']}")
        yield



@pytest.fixture(scope="module")
def standing(tmp_path_factory, recipes, request):
    """A scheduler with its workers for the tests of a module that leave them in order; ``IMPORTS`` of the module are what
    they import before they take anything."""
    folder = tmp_path_factory.mktemp("standing")
    with pytest.MonkeyPatch.context() as patch, Elsewhere(folder) as elsewhere:
        patch.setenv("FIELDS_MARKER", str(folder))
        patch.setenv("LANDSCAPE_PRELOAD", getattr(request.module, "IMPORTS", ""))
        elsewhere.scheduler()
        for _ in range(WORKERS):
            elsewhere.worker(ROOT, "--preload", "landscape.runs.worker")
        yield Cluster(elsewhere, folder)


@pytest.fixture
def cluster(standing, shop):
    """It, with nothing noted."""
    for name in ("notes", "killed"):
        (standing.marker / name).unlink(missing_ok=True)
    standing.complete()
    return standing
