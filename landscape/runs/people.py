"""Who asked for which run, what they may do with it, and how much of the machine is theirs.

A person is ``user:...`` after a login, ``browser:...`` where nobody logs in, and empty for a shell. Rights and quotas hold
for users: who can run a command or reaches an app that is open to this machine only may do everything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from landscape.errors import BadInput
from landscape.runs.library import Library
from landscape.runs.store import Store
from landscape.sharing import Quotas, quotas

USER, BROWSER = "user:", "browser:"


@dataclass(frozen=True)
class Person:
    """``id`` tells people apart; ``name`` is what others read."""

    id: str = ""
    name: str = ""

    @property
    def is_user(self) -> bool:
        return self.id.startswith(USER)


class People:
    """The wishes in a store that this process writes."""

    def __init__(self, store: Store):
        self._store = store

    def wish(self, key: str, person: Person) -> None:
        """Write down that the person asked for the run."""
        with self._store._transaction() as db:
            db.execute("INSERT OR IGNORE INTO wishes VALUES (?, ?, ?, ?)", (key, person.id, person.name, time.time()))

    def withdraw(self, key: str, message: str) -> None:
        """Nobody asks for the run itself any more: it is made for others only."""
        with self._store._transaction() as db:
            db.execute("DELETE FROM wishes WHERE key = ?", (key,))
            db.execute("UPDATE runs SET asked = 0, message = ? WHERE key = ?", (message, key))

    def wishes(self) -> dict[str, set[str]]:
        """Who asked for the runs that have not ended."""
        rows = self._store._rows("SELECT key, person FROM wishes JOIN runs USING (key) "
                                 "WHERE status IN ('queued', 'running')")
        found: dict[str, set[str]] = {}
        for key, person in rows:
            found.setdefault(key, set()).add(person)
        return found

    def admit(self, key: str, person: Person) -> None:
        """Raises BadInput if the run would be beyond what one user may have at a time."""
        limits = quotas()
        if not person.is_user or limits is None:
            return
        rows = self._store._rows("SELECT key, status FROM wishes JOIN runs USING (key) WHERE person = ?", person.id)
        unfinished = [one for one, status in rows if status in ("queued", "running") and one != key]
        if len(unfinished) >= limits.runs:
            raise BadInput(f"{person.name} has {len(unfinished)} runs that are waiting or running, and {limits.runs} is "
                           "what one person may have at a time here. Wait until one has ended, or cancel one.")
        self._room(person, [one for one, _ in rows], limits)

    def _room(self, person: Person, keys: Sequence[str], limits: Quotas) -> None:
        library = Library(self._store.home, gallery=None)
        used = sum(library.size(one) for one in keys)
        if used >= limits.bytes:
            raise BadInput(f"The runs of {person.name} take {used:,} bytes, and {limits.bytes:,} is what one person may "
                           "have here. Delete some on the Runs page.")

    def may(self, key: str, person: Person, act: str) -> None:
        """Raises BadInput if a user wants to ``act`` (cancel, delete ...) on a run that they alone did not ask for."""
        if not person.is_user:
            return
        others = [(one, name) for one, name in self._store._rows("SELECT person, name FROM wishes WHERE key = ?", key)
                  if one != person.id]
        mine = self._store._rows("SELECT 1 FROM wishes WHERE key = ? AND person = ?", key, person.id)
        if not mine or others:
            whose = ", ".join(name or "the operator" for _, name in others) or "the operator"
            also = " too" if mine else ""
            raise BadInput(f"Run {key} was asked for by {whose}{also}: it is not yours alone to {act}.")

    def line_up(self, order: Sequence[str]) -> None:
        """Write the places of the runs that wait, the next one first."""
        with self._store._transaction(durable=False) as db:
            db.execute("DELETE FROM places")
            db.executemany("INSERT INTO places VALUES (?, ?)", [(key, 1 + i) for i, key in enumerate(order)])
