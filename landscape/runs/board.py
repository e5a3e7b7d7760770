"""What the engine writes down for those who wait: places in the queue, and what a run waits for. Only what has changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from landscape.errors import StoreError
from landscape.runs.people import People
from landscape.runs.store import Store


class Board:
    """A full disk takes no words and no places: they are written when there is room again, or are not needed any more.

    ``elsewhere(key)``: whether a run in the queue is being computed all the same, as a part of another one.
    """

    def __init__(self, store: Store, people: People, elsewhere: Callable[[str], bool]):
        self._store, self._people, self._elsewhere = store, people, elsewhere
        self._order: list[str] | None = None  # of the queue, as last written down
        self._told: dict[str, str] = {}  # key -> what it waits for

    def line_up(self, order: list[str]) -> None:
        """The waiting runs, the next one first."""
        if order != self._order:
            with suppress(StoreError):
                self._people.line_up(order)
                self._order = order

    def tell(self, key: str, message: str) -> None:
        """What the run waits for; empty: for its turn."""
        if self._told.get(key, "") != message and not self._elsewhere(key):
            self._told[key] = message
            with suppress(StoreError):
                self._store.wait(key, message)

    def forget(self, key: str) -> None:
        """The run waits no longer."""
        self._told.pop(key, None)
