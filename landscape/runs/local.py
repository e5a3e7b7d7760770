"""Computing in this process: with the store opened for writing, or beside the engine that has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landscape.runs.channel import Channel
from landscape.runs.context import Writer, run_job
from landscape.runs.home import home_of
from landscape.runs.jobs import Jobs
from landscape.runs.records import UNFINISHED, Identity, identify
from landscape.runs.store import Store
from landscape.settings import Settings


def compute_here(recipe: str, settings: Settings | dict[str, Any], home: Path | str | None = None) -> tuple[str, str, str]:
    """Compute a run in this process: ``(key, status, message)``. Raises BadInput and StoreError before it begins."""
    wanted = identify(recipe, settings)
    with Store(home) as store:
        return _computed(store, wanted)


def compute_beside(recipe: str, settings: Settings | dict[str, Any], home: Path | str | None = None) -> tuple[str, str, str]:
    """The same where an engine may have the store: this process computes, with its own folders and modules, and asks the
    engine to write."""
    engine = Jobs(home).engine()
    if engine is None:
        return compute_here(recipe, settings, home)
    with Channel(engine["address"], (home_of(home) / "certificate.pem").read_text()) as writer:
        return _computed(writer, identify(recipe, settings))


def _computed(writer: Writer, wanted: Identity) -> tuple[str, str, str]:
    status = writer.enter(**wanted.row())
    if status not in UNFINISHED:
        return wanted.key, status, ""
    status, message, _ = run_job(writer, wanted.key)
    return wanted.key, status, message
