"""The read side: what was computed, for pages and commands. Never writes, never waits for the writer."""

from __future__ import annotations

import difflib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np

from landscape import ASSETS
from landscape.errors import BadInput, unknown
from landscape.runs import weights
from landscape.runs.archive import Gallery
from landscape.runs.database import read
from landscape.runs.home import holder, home_of, store_errors, unwritable
from landscape.runs.records import UNFINISHED, Progress, Run, decode

INTERRUPTED = "Interrupted: the process that computed it has ended. Start it again; it goes on from what is saved."
UNSEEN = ("Not finished when this was last written, and nobody is seen from here who computes it. It can go on where the "
          "store can be written.")
COLUMNS = "key, recipe, title, settings, status, message, created, started, finished, cpu_seconds, asked"


class Library:
    """The runs of the store in ``home`` (default as ``LANDSCAPE_HOME``) and those of the gallery. Safe in any thread.

    A store that is not there yet has no runs; one that cannot be written is read all the same. Raises StoreError for a file
    that is no store or of a later version.
    """

    def __init__(self, home: Path | str | None = None, gallery: Path | None = ASSETS / "gallery"):
        self.home = home_of(home)
        self._gallery = Gallery(gallery)

    def _rows(self, query: str, *values) -> list[tuple]:
        return read(self.home, lambda db: db.execute(query, values).fetchall() if db else [])

    def runs(
        self, recipe: str | None = None, status: str | None = None, search: str = "", children: bool = False
    ) -> list[Run]:
        """Newest first. ``search``: words in title, key, recipe and settings (``steps=7``).

        ``children`` adds the runs that were made only for others.
        """
        rows, parents = read(self.home, _everything)
        orphaned = any(row[4] in UNFINISHED for row in rows) and holder(self.home / "writer.lock") is None
        why = "" if not orphaned else UNSEEN if unwritable(self.home) else INTERRUPTED
        found = [_run(row, tuple(p for k, p in parents if k == row[0]), why) for row in rows if children or row[10]]
        found += self._gallery.runs(children)
        words = search.lower().split()

        def wanted(run: Run) -> bool:
            settings = " ".join(f"{name}={value}" for name, value in run.settings.items())
            text = f"{run.title} {run.key} {run.recipe} {settings}".lower()
            return (
                (recipe is None or run.recipe == recipe)
                and (status is None or run.status == status)
                and all(word in text for word in words)
            )

        return sorted(filter(wanted, found), key=lambda run: -run.created)

    def run(self, key: str) -> Run:
        """The run of that key, or of the only key that begins so (4 characters or more). Raises BadInput."""
        known = {run.key: run for run in self.runs(children=True)}
        if key in known:
            return known[key]
        near = [k for k in known if len(key) >= 4 and k.startswith(key)]
        if len(near) == 1:
            return known[near[0]]
        if near:
            raise BadInput(f"Several runs begin with {key!r}: {', '.join(near)}. Give more of the key.")
        if not known:
            raise BadInput(f"There is no run {key!r}: the store {self.home} is empty.")
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise BadInput(f"There is no run {key!r} in {self.home}.{hint} landscape runs --all lists them.")

    def writable(self, key: str) -> Run:
        """As ``run``; raises BadInput for a run of the gallery."""
        run = self.run(key)
        if run.read_only:
            raise BadInput(f"Run {run.key} belongs to the gallery, which is only for looking.")
        return run

    def names(self, key: str) -> list[str]:
        """Names of the results saved so far."""
        if key in self._gallery:
            return self._gallery.names(key)
        return [name for (name,) in self._rows("SELECT name FROM results WHERE key = ? ORDER BY name", key)]

    def result(self, key: str, name: str):
        """A ``results`` value, None if it is not there (yet)."""
        if key in self._gallery:
            return self._gallery.result(key, name)
        rows = self._rows("SELECT meta, arrays FROM results WHERE key = ? AND name = ?", key, name)
        return decode(*rows[0]) if rows else None

    def lineage(self, key: str) -> list[str]:
        """The run and all runs it was made from, nearest first."""
        made_from: dict[str, list[str]] = {}
        if key not in self._gallery:
            for child, parent in self._rows("SELECT key, parent FROM parents"):
                made_from.setdefault(child, []).append(parent)
        found, queue = [], [key]
        while queue:
            one = queue.pop(0)
            if one not in found:
                found.append(one)
                queue += self.run(one).parents if one in self._gallery else made_from.get(one, [])
        return found

    def inherited(self, key: str, name: str):
        """A result of the run or of the nearest run it was made from; None if there is none (yet)."""
        return next((r for one in self.lineage(key) if (r := self.result(one, name)) is not None), None)

    def version(self, key: str) -> int:
        """Grows with every save of the run; 0 before the first."""
        if key in self._gallery:
            return 1
        rows = self._rows("SELECT coalesce(max(version), 0) FROM results WHERE key = ?", key)
        return rows[0][0] if rows else 0

    def place(self, key: str) -> tuple[int, int] | None:
        """``(place, length)`` of a waiting run in the queue, places from 1; None if it does not wait."""
        rows = self._rows("SELECT place, (SELECT count(*) FROM places) FROM places WHERE key = ?", key)
        return rows[0] if rows else None

    def asked_by(self, key: str) -> list[tuple[str, str]]:
        """``(person, name)`` of those who asked for the run, the first one first."""
        return self._rows("SELECT person, name FROM wishes WHERE key = ? ORDER BY since, rowid", key)

    def progress(self, key: str) -> Progress | None:
        """How far the run is (was, when it ended), None before its first report."""
        rows = self._rows("SELECT body FROM progress WHERE key = ?", key)
        return Progress(**json.loads(rows[0][0])) if rows else None

    def detail(self, key: str) -> str:
        """The traceback of a run that failed by a fault of the program, else empty."""
        rows = self._rows("SELECT detail FROM runs WHERE key = ?", key)
        return rows[0][0] if rows else ""

    def attempts(self, key: str) -> list[dict]:
        """Who tried to compute the run and how it went: ``{"number", "host", "pid", "started", "ended", "outcome"}``."""
        names = ("number", "host", "pid", "started", "ended", "outcome")
        rows = self._rows(f"SELECT {', '.join(names)} FROM attempts WHERE key = ? ORDER BY number", key)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def weight_names(self, key: str) -> list[str]:
        return self._gallery.weight_names(key) if key in self._gallery else weights.names(self.home, key)

    def weights_file(self, key: str, name: str) -> bytes:
        """The safetensors file as saved. Raises BadInput if there is none of that name, StoreError if it lies at a location
        that is not reached or is damaged there."""
        found = None
        if key in self._gallery and name in self.weight_names(key):
            found = (self._gallery.folder(key) / "weights" / f"{name}.safetensors").read_bytes()
        elif key not in self._gallery:
            with store_errors(self.home):
                found = weights.read(self.home, key, name)
        if found is None:
            raise unknown(f"weights in run {key}:", name, self.weight_names(key))
        return found

    def weights(self, key: str, name: str) -> dict[str, np.ndarray]:
        """Saved weight vectors by name. Raises BadInput if there are none of that name."""
        return weights.from_bytes(self.weights_file(key, name))

    def damaged(self, key: str) -> list[str]:
        """Weights of the run and of those it was made from that are not whole any more, as ``KEY/NAME``."""
        own = [one for one in self.lineage(key) if one not in self._gallery]
        with store_errors(self.home):
            return [f"{one}/{name}" for one in own for name in weights.damaged(self.home, one)]

    def size(self, key: str) -> int:
        """Bytes on disk: results and weights of the run and of the runs made only to make it."""
        if key in self._gallery:
            return self._gallery.size(key)
        rows = self._rows(
            "WITH RECURSIVE own (key) AS (VALUES (?) UNION SELECT runs.key FROM own JOIN parents USING (key) "
            "JOIN runs ON runs.key = parents.parent WHERE NOT asked) SELECT own.key, (SELECT coalesce(sum("
            "length(CAST(meta AS BLOB)) + length(arrays)), 0) FROM results WHERE results.key = own.key) FROM own",
            key,
        )
        return sum(stored + weights.size(self.home, each) for each, stored in rows)

    def total_size(self) -> int:
        """Bytes on disk of the whole store, the gallery not counted."""
        here = sum(f.stat().st_size for f in self.home.rglob("*") if f.is_file()) if self.home.is_dir() else 0
        return here + weights.size_elsewhere(self.home)


def _everything(db: sqlite3.Connection | None) -> tuple[list[tuple], list[tuple]]:
    """The rows of all runs, and ``(key, parent)`` of those that were made from others, as of one moment."""
    if db is None:
        return [], []
    db.execute("BEGIN")
    return db.execute(f"SELECT {COLUMNS} FROM runs").fetchall(), db.execute("SELECT key, parent FROM parents").fetchall()


def _run(row: tuple, parents: tuple[str, ...], orphaned: str) -> Run:
    """``orphaned``: why an unfinished run is not going on, if it is not."""
    key, recipe, title, settings, status, message, created, started, finished, cpu, _ = row
    run = Run(key, recipe, title, json.loads(settings), parents, status, message, created, started, finished, cpu)
    return replace(run, status="cancelled", message=orphaned) if orphaned and status in UNFINISHED else run
