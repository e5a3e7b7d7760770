"""Computing in this process, with the store opened for writing: for a shell without an engine, and for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landscape.runs.context import run_job
from landscape.runs.records import UNFINISHED, identify
from landscape.runs.store import Store
from landscape.settings import Settings


def compute_here(recipe: str, settings: Settings | dict[str, Any], home: Path | str | None = None) -> tuple[str, str, str]:
    """Compute a run in this process: ``(key, status, message)``. Raises BadInput and StoreError before it begins."""
    wanted = identify(recipe, settings)
    with Store(home) as store:
        status = store.enter(**wanted.row())
        if status not in UNFINISHED:
            return wanted.key, status, ""
        status, message, _ = run_job(store, wanted.key)
    return wanted.key, status, message
