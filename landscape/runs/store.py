"""The write side of the store. One process at a time has it open; everything else asks that process.

Arguments and answers are JSON values and bytes, so the same methods serve a job in this process and, through
``runs.channel``, one in another.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from landscape.errors import BadInput, StoreError
from landscape.runs import location, reserve, schema, weights
from landscape.runs.home import DiskFull, Lock, abandoned, check_writable, holder, home_of, made, store_errors
from landscape.runs.records import UNFINISHED, checked_title

VACUUM = 200  # pages that are given back to the disk at a time
RESUMED = "The process that computed it was ended from outside. It goes on from what was saved."


class Store:
    """Opens (makes, migrates) the store and holds its writer lock until ``close``.

    ``says`` is what other processes read about the holder. Raises StoreError if another process writes the store, or
    if the file is none of ours or of a later version.
    """

    def __init__(self, home: Path | str | None = None, says: dict[str, Any] | None = None):
        self.home = made(home_of(home))
        check_writable(self.home)
        with store_errors(self.home):
            self.lock = Lock.take(self.home / "writer.lock", says or {"kind": "process"})
            if self.lock is None:
                other = holder(self.home / "writer.lock") or {}
                raise StoreError(
                    f"The store {self.home} is being written by process {other.get('pid', 'unknown')} "
                    f"({other.get('kind', 'starting')}). Wait until it has finished, stop it, or choose "
                    "another folder with LANDSCAPE_HOME or --home."
                )
            self._mutex = threading.RLock()
            try:
                self._db = schema.open_for_writing(self.home / schema.FILE)
                self._tidy()
            except BaseException:
                self.lock.release()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _tidy(self) -> None:
        """Finish what a writer that was ended in the middle had begun: removals, files half written, states of done runs."""
        for key in weights.left_aside(self.home):
            (weights.put_back if self.status(key) else weights.remove_aside)(self.home, key)
        for part in [*self.home.glob(".*.part"), *self.home.glob("weights/*/.*.part")]:
            if abandoned(part):
                part.unlink(missing_ok=True)
        for (key,) in self._rows("SELECT key FROM runs WHERE status = 'done'"):
            weights.remove_states(self.home, key)

    def close(self) -> None:
        with self._mutex:
            self._db.close()
            self.lock.release()

    @contextmanager
    def _transaction(self, durable: bool = True):
        """All of the block or none of it; durable ones have reached the disk when it ends."""
        with self._mutex, store_errors(self.home):
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values) -> list[tuple]:
        with self._mutex:
            return self._db.execute(query, values).fetchall()

    # Runs

    def enter(self, key: str, recipe: str, title: str, settings: str, asked: bool = True) -> str:
        """The status of the run, which is made if it is new and queued again if it was cancelled or failed.

        One that is done and whose weights, or those it was made from, are damaged is computed again too.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT INTO runs (key, recipe, title, settings, status, created, asked) "
                "VALUES (?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT (key) DO UPDATE SET asked = max(asked, excluded.asked)",
                (key, recipe, title, settings, time.time(), int(asked)),
            )
        if self.status(key) == "done":
            self._renew_damaged(key)
        return self.requeue(key)

    def _renew_damaged(self, key: str) -> bool:
        """Queue the run again if it or one it was made from has damaged weights; those of them that have begin from
        nothing, with the same results by the same seeds."""
        above = [parent for parent in self.parents(key) if self._renew_damaged(parent)]
        names = weights.damaged(self.home, key)
        if names or above:
            with self._transaction() as db:
                if names:
                    db.execute("DELETE FROM results WHERE key = ?", (key,))
                db.execute(
                    "UPDATE runs SET status = 'queued', finished = NULL, message = ? WHERE key = ? AND status = 'done'",
                    (f"Weights were damaged on the disk: {', '.join(names or above)}. They are computed again.", key),
                )
            if names:
                weights.remove(self.home, key)
        return bool(names or above)

    def requeue(self, key: str) -> str:
        """Queue a run again that was cancelled or has failed: its status."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET status = 'queued', message = '', detail = '', cancel = 0, finished = NULL "
                "WHERE key = ? AND status IN ('cancelled', 'failed')",
                (key,),
            )
        return self.status(key)

    def claim(self, key: str) -> str | None:
        """The status of a run that is to be computed by who holds this store: nobody else can be at it."""
        return self.status(key)

    def status(self, key: str) -> str | None:
        rows = self._rows("SELECT status FROM runs WHERE key = ?", key)
        return rows[0][0] if rows else None

    def asked(self, key: str) -> bool:
        """Whether somebody asked for the run itself, and not only for one that is made from it."""
        return bool(self._rows("SELECT 1 FROM runs WHERE key = ? AND asked", key))

    def unfinished(self) -> list[str]:
        """Keys of the runs somebody asked for that are not at their end, in the order they came in
        (a clock may have gone backwards since)."""
        return [
            key
            for (key,) in self._rows("SELECT key FROM runs WHERE asked AND status IN ('queued', 'running') ORDER BY rowid")
        ]

    def describe(self, key: str) -> dict[str, Any]:
        """What a worker needs to compute the run, and the keys of the runs it was made from so far."""
        rows = self._rows("SELECT recipe, settings, status FROM runs WHERE key = ?", key)
        if not rows:
            raise BadInput(f"There is no run {key!r} in {self.home}.")
        recipe, settings, status = rows[0]
        return {"recipe": recipe, "settings": json.loads(settings), "status": status, "parents": self.parents(key)}

    def begin(self, key: str, host: str, pid: int) -> dict[str, Any]:
        """A new attempt: ``{"attempt": its number from 1, "cpu_seconds": spent by the earlier ones}``."""
        now = time.time()
        with store_errors(self.home):
            reserve.hold(self.home)
        with self._transaction() as db:
            cut = db.execute("UPDATE attempts SET ended = max(started, ?), outcome = 'interrupted' "
                             "WHERE key = ? AND ended IS NULL", (now, key)).rowcount
            number = 1 + db.execute("SELECT coalesce(max(number), 0) FROM attempts WHERE key = ?", (key,)).fetchone()[0]
            db.execute("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, NULL, NULL)", (key, number, host, pid, now))
            db.execute(
                "UPDATE runs SET status = 'running', message = ?, detail = '', cancel = 0, finished = NULL, "
                "started = coalesce(started, max(created, ?)) WHERE key = ?",
                (RESUMED if cut else "", now, key),
            )
            cpu = db.execute("SELECT cpu_seconds FROM runs WHERE key = ?", (key,)).fetchone()[0]
        return {"attempt": number, "cpu_seconds": cpu}

    def link(self, key: str, parent: str) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO parents VALUES (?, ?)", (key, parent))

    def report(self, key: str, progress: dict[str, Any], cpu: float) -> bool:
        """Note the progress and the CPU seconds spent since the last report.

        True if the run is to stop: somebody asked for it, or it was ended or deleted behind the job's back.
        """
        with self._transaction(durable=False) as db:
            db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (key, json.dumps(progress)))
            db.execute("UPDATE runs SET cpu_seconds = cpu_seconds + ? WHERE key = ?", (cpu, key))
            wanted = "SELECT 1 FROM runs WHERE key = ? AND status = 'running' AND NOT cancel"
            return db.execute(wanted, (key,)).fetchone() is None

    def finish(self, key: str, status: str, message: str = "", detail: str = "", cpu: float = 0.0) -> None:
        """The end of a run that is queued or running; one that has ended stays as it is.

        The unfinished runs that were made only for it end with it, but for those that another unfinished one is made from.
        """
        def end() -> None:
            with self._transaction() as db:
                self._end(db, key, (status, message, detail, time.time(), cpu))

        reserve.spend(self.home, end)
        if status == "done":
            weights.remove_states(self.home, key)

    def _end(self, db, key: str, end: tuple) -> None:
        status, *_, now, _ = end
        db.execute("UPDATE attempts SET ended = max(started, ?), outcome = ? WHERE key = ? AND ended IS NULL",
                   (now, status, key))
        db.execute(
            "UPDATE runs SET status = ?, message = ?, detail = ?, finished = max(?, coalesce(started, 0)), "
            "cpu_seconds = cpu_seconds + ?, cancel = 0 WHERE key = ? AND status IN ('queued', 'running')",
            (*end, key),
        )
        for child in self.parents(key):
            alone = not self._rows("SELECT 1 FROM parents JOIN runs USING (key) WHERE parent = ? "
                                   "AND status IN ('queued', 'running')", child)
            if alone and not self.asked(child) and self.status(child) in UNFINISHED:
                self._end(db, child, (*end[:-1], 0.0))

    def request_cancel(self, key: str) -> None:
        """Ask the job to stop at its next report."""
        with self._transaction() as db:
            db.execute("UPDATE runs SET cancel = 1 WHERE key = ? AND status IN ('queued', 'running')", (key,))

    def wait(self, key: str, message: str, outcome: str | None = None) -> None:
        """Put an unfinished run back to those that wait; the message says what for, ``outcome`` how the attempt ended."""
        with self._transaction() as db:
            db.execute("UPDATE runs SET status = 'queued', message = ? WHERE key = ? AND status IN ('queued', 'running')",
                       (message, key))
            if outcome:
                db.execute("UPDATE attempts SET ended = max(started, ?), outcome = ? WHERE key = ? AND ended IS NULL",
                           (time.time(), outcome, key))

    def parents(self, key: str) -> list[str]:
        return [parent for (parent,) in self._rows("SELECT parent FROM parents WHERE key = ?", key)]

    def rename(self, key: str, title: str) -> None:
        title = checked_title(title)
        self.describe(key)
        with self._transaction() as db:
            db.execute("UPDATE runs SET title = ? WHERE key = ?", (title, key))

    def delete(self, key: str) -> None:
        """Remove a run and the runs that were made only for it. One that is computing or that others need is kept."""
        if self.describe(key)["status"] in UNFINISHED:
            raise BadInput(f"Run {key} is {self.status(key)}. Cancel it first, then delete it.")
        users = self._rows("SELECT runs.key, title FROM parents JOIN runs USING (key) WHERE parent = ?", key)
        if users:
            raise BadInput(f"Run {key} is used by {', '.join(f'{k} ({title})' for k, title in users)}: delete that first.")
        reserve.spend(self.home, lambda: self._delete(key))
        with suppress(DiskFull), self._mutex, store_errors(self.home):  # what cannot be given back now, the next time
            left = None
            while left != (left := self._rows("PRAGMA freelist_count")[0][0]) and left:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._db.execute(f"PRAGMA incremental_vacuum({VACUUM})").fetchall()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _delete(self, key: str) -> None:
        """The weights get out of the way first, which takes no room and can be undone."""
        gone = []
        try:
            with self._transaction() as db:
                self._remove(db, key, gone)
                for each in gone:
                    weights.set_aside(self.home, each)
        except BaseException:
            for each in gone:
                weights.put_back(self.home, each)
            raise
        for each in gone:
            weights.remove_aside(self.home, each)

    def _remove(self, db, key: str, gone: list[str]) -> None:
        children = self.parents(key)
        for table in ("runs", "parents", "results", "progress", "attempts", "wishes"):
            db.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
        gone.append(key)
        for child in children:
            alone = not self._rows("SELECT 1 FROM parents WHERE parent = ?", child)
            if alone and self._rows("SELECT 1 FROM runs WHERE key = ? AND NOT asked", child):
                self._remove(db, child, gone)

    # Results and weights

    def save(self, key: str, name: str, meta: str, arrays: bytes) -> int:
        """Put a result in place of the one of that name; on disk when this returns. Returns the run's new version."""
        with self._transaction() as db:
            version = 1 + db.execute("SELECT coalesce(max(version), 0) FROM results WHERE key = ?", (key,)).fetchone()[0]
            db.execute(
                "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?)", (key, name, version, time.time(), meta, arrays)
            )
        return version

    def load(self, key: str, name: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT meta, arrays FROM results WHERE key = ? AND name = ?", key, name)
        return {"meta": rows[0][0], "arrays": rows[0][1]} if rows else None

    def save_weights(self, key: str, name: str, data: bytes) -> None:
        with store_errors(self.home):
            weights.save(self.home, key, name, data)

    def load_weights(self, key: str, name: str) -> bytes | dict[str, Any] | None:
        """The file, or the note of one that lies at another location; None if there is neither."""
        return weights.load(self.home, key, name)

    def place(self) -> str:
        """Where workers write weights themselves, empty if they send them here."""
        return location.place(self.home)

    def note_weights(self, key: str, name: str, note: dict[str, Any]) -> None:
        """Weights were written there by a worker. Raises StoreError if they are not seen from here."""
        if why := location.damage(note, reached=True):
            raise StoreError(f"A worker has written weights to {note['url']}, and here {why}. Do all machines see the same "
                             "location?")
        with store_errors(self.home):
            weights.save(self.home, key, name, {part: note[part] for part in ("url", "sha256", "size")})
