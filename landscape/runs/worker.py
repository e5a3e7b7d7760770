"""What runs in a worker process: the jobs. The only part of runs/ in whose process torch is loaded."""

from __future__ import annotations

import importlib
import logging
import os

from landscape.runs.channel import Channel
from landscape.runs.context import STOPPED, run_job

PRELOAD = "torch,torch._dynamo,landscape.recipes"
NICENESS = 5  # of the workers on this machine: pages and clicks go first, by three to one
log = logging.getLogger(__name__)


def dask_setup(worker) -> None:
    """Import what jobs need before the first one comes (Dask calls this when the worker starts).

    ``LANDSCAPE_PRELOAD`` names other modules, comma-separated; empty for none. Jobs give way to everything else on the
    machine: all threads that do their work are started after this.
    """
    os.nice(NICENESS)
    for name in filter(None, os.environ.get("LANDSCAPE_PRELOAD", PRELOAD).split(",")):
        try:
            importlib.import_module(name)
        except Exception:  # a job that needs it says so to its user; a worker that cannot start says it to nobody
            log.exception("could not import %s", name)


def job(key: str, address: str, pem: str) -> tuple[str, str, str]:
    """Compute a run on behalf of the engine at ``address``; see ``run_job``."""
    from distributed import get_worker

    with Channel(address, pem) as engine:
        if not engine.working(key, get_worker().address, os.getpid()):
            return "cancelled", STOPPED, ""
        return run_job(engine, key)
