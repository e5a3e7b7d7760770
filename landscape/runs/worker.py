"""What runs in a worker process: the jobs. The only part of runs/ in whose process torch is loaded."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from contextlib import suppress
from functools import partial

from landscape import __version__
from landscape.runs.channel import Channel
from landscape.runs.context import STOPPED, run_job
from landscape.runs.others import beside
from landscape.runs.parts import OFF

PRELOAD = "torch,torch._dynamo,landscape.recipes"
NICENESS = 5  # of the workers on this machine: pages and clicks go first, by three to one
FIRST = "500"  # when memory runs out Linux ends a worker, not the engine or a page server
log = logging.getLogger(__name__)


def dask_setup(worker) -> None:
    """Import what jobs need before the first one comes (Dask calls this when the worker starts).

    ``LANDSCAPE_PRELOAD`` names other modules, comma-separated; empty for none. Jobs give way to everything else on the
    machine: all threads that do their work are started after this.
    """
    give_way()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(FIRST)
    for name in filter(None, os.environ.get("LANDSCAPE_PRELOAD", PRELOAD).split(",")):
        try:
            importlib.import_module(name)
        except Exception:  # a job that needs it says so to its user; a worker that cannot start says it to nobody
            log.exception("could not import %s", name)


def give_way() -> None:
    """Be nicer than pages and clicks. Where Linux shares out time to sessions first and to processes only within them
    (autogroup), niceness is worth nothing beside another session: this process gets one of its own, which is nicer too."""
    os.nice(NICENESS)
    with suppress(OSError):  # it leads a group of processes already, or there is no such sharing
        os.setsid()
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(NICENESS))


def job(key: str, address: str, pem: str, version: str, whose: str = OFF) -> tuple[str, str, str]:
    """Compute a run on behalf of the engine at ``address``, whose program has this ``version``; see ``run_job``.

    ``whose`` help it may take: OFF for nobody's, else that of other workers of the scheduler (``runs.others``).
    """
    from distributed import get_worker

    if version != __version__:
        return "failed", (
            f"The worker on {socket.gethostname()} has Loss Valleys {__version__}, the engine {version}. Install one "
            "version on every machine of the scheduler, start its workers again, then start the run again."
        ), ""
    with Channel(address, pem) as engine:
        if not engine.working(key, get_worker().address, os.getpid()):
            return "cancelled", STOPPED, ""
        return run_job(engine, key, None if whose == OFF else partial(beside, whose, (address, pem)))
