"""A piece of work in parts: some done here, others by whoever helps, all of them the same bits.

The process that has a job never waits for others. It works on parts itself, hands further ones out as long as somebody
takes them, and when nothing else is left does those over again that have not come back yet: a helper that is busy, slow,
cut off or killed costs no more than its part.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

HERE = 0.5  # seconds of a part that is done here
THERE = 1.0  # seconds of a part that is given away, at most
LEAST = 0.1  # seconds of a part that is worth giving away
WORTH = 0.5  # seconds of work from which on others are asked
LOOK = 0.05  # seconds between two looks at what has come back

Values = dict[str, np.ndarray]
Progress = Callable[[int, int], None]
Part = tuple[int, int]  # first item and the one after the last


@dataclass(eq=False)
class Sent:
    """What parts elsewhere need, sent to each process once. They get ``make(value)``; ``make`` is a function of a module."""

    value: Any
    make: Callable[[Any], Any]

    @property
    def token(self) -> str:
        """Of the content. Raises what pickle raises for a value that cannot be sent."""
        return self._read[0]

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[str, int]:
        found, buffers = hashlib.sha256(), []
        found.update(text := pickle.dumps(self.value, protocol=5, buffer_callback=buffers.append))
        for each in buffers:
            found.update(each.raw())
        return found.hexdigest()[:32], len(text) + sum(len(each.raw()) for each in buffers)


@dataclass(eq=False)
class Work:
    """``here(items, progress)`` gives the values of items (n, ...), arrays with a leading axis n. ``there(*made)``, of a
    module, gives a function that does the same elsewhere, from what ``needs()`` names; without it all is done here.

    ``batch`` is how many items a part has here: few at first, then ``HERE`` seconds' worth. ``clock`` gives seconds and is
    there for simulations.
    """

    here: Callable[[np.ndarray, Progress], Values]
    there: Callable | None = None
    needs: Callable[[], tuple[Sent, ...]] = tuple
    batch: int = 16
    seconds: float | None = None  # of an item here, once that is known
    dealing: float = 0.0  # seconds that giving a part away takes
    clock: Callable[[], float] = time.monotonic

    @cached_property
    def sent(self) -> tuple[Sent, ...]:
        return self.needs()

    def noted(self, count: int, seconds: float) -> None:
        """So long a part of so many items took here."""
        self.seconds = max(seconds, 1e-9) / count
        self.batch = int(np.clip(HERE / self.seconds, 1, 4 * self.batch))


class Helpers(Protocol):
    """Who takes parts of one piece of work. Nothing here waits for long; parts may be lost at any time."""

    def room(self) -> int:
        """How many more parts would be taken now."""

    def count(self) -> int:
        """How many helpers there are now."""

    def seconds(self) -> float | None:
        """Of an item there, None while that is not known."""

    def take(self, number: int, items: np.ndarray) -> None: ...

    def come(self) -> tuple[dict[int, Values], list[int]]:
        """Values of parts that have come back since the last call, and the numbers of those that never will."""

    def forget(self, numbers: list[int]) -> None:
        """Nobody waits for these parts any more."""


def spread(context, work: Work, items: np.ndarray, progress: Progress = lambda done, total: None
           ) -> Iterator[tuple[Part, Values]]:
    """The values of all items, part by part in the order they come. ``progress(done, total)`` may raise to stop.

    A context without ``helpers`` (or with none at the moment) has all of it done here.
    """
    asked = getattr(context, "helpers", None) if work.there else None
    division = _Division(work, items, progress, asked and (lambda: asked(work)))
    try:
        yield from division.parts()
    finally:
        division.close()


class _Here(Exception):
    """The part that is being done here a second time has come back."""


@dataclass(eq=False)
class _Division:
    work: Work
    items: np.ndarray
    progress: Progress
    ask: Callable[[], Helpers | None] | None
    helpers: Helpers | None = None
    away: dict[int, Part] = field(default_factory=dict)  # given to helpers
    ready: list[tuple[Part, Values]] = field(default_factory=list)
    given: int = 0  # parts so far
    again: int | None = None  # of those given away, the one that is being done here too
    done: int = 0  # items whose values are there
    looked: float = float("-inf")

    def __post_init__(self):
        self.todo = deque([(0, len(self.items))] if len(self.items) else [])

    def parts(self) -> Iterator[tuple[Part, Values]]:
        while self.done < len(self.items):
            self.look()
            part, number = self.mine()
            if part is not None:
                self.do(part, number)
            ready, self.ready = self.ready, []
            yield from ready

    def mine(self) -> tuple[Part | None, int | None]:
        """The next part to be done here; with its number if it is one that a helper has, the last one to be begun there."""
        if self.todo:
            each = self.work.seconds
            return self.cut(self.work.batch if self.helpers is None or each is None else
                            min(self.work.batch, self.size(each))), None
        if not self.away:
            return None, None
        number = max(self.away)
        return self.away[number], number

    def do(self, part: Part, number: int | None) -> None:
        started, self.again = self.work.clock(), number

        def progress(done: int, total: int) -> None:
            self.progress(self.done + done, len(self.items))
            if self.work.seconds is None and done:
                self.work.seconds = max(self.work.clock() - started, 1e-9) / done
            if (self.ask or self.helpers) and self.work.clock() - self.looked > LOOK:
                self.look()
                if number is not None and number not in self.away:
                    raise _Here

        try:
            values = self.work.here(self.items[slice(*part)], progress)
        except _Here:
            return
        finally:
            self.again = None
        self.work.noted(part[1] - part[0], self.work.clock() - started)
        if number is not None:
            if self.away.pop(number, None) is None:
                return
            self.helpers.forget([number])
        self.deliver(part, values)

    def deliver(self, part: Part, values: Values) -> None:
        self.done += part[1] - part[0]
        self.ready.append((part, values))

    def cut(self, count: int) -> Part:
        """The next ``count`` items, or as many as lie side by side."""
        first, last = self.todo.popleft()
        if last - first > count:
            self.todo.appendleft((first + count, last))
        return first, min(first + count, last)

    def look(self) -> None:
        """Take what has come back and give away as much as is taken."""
        self.looked = self.work.clock()
        if self.helpers is None and self.ask is not None and self.worth_asking():
            self.helpers, self.ask = self.ask(), None
        if self.helpers is None:
            return
        values, lost = self.helpers.come()
        for number, found in values.items():
            if number in self.away:
                self.deliver(self.away.pop(number), found)
        self.todo.extendleft(self.away.pop(number) for number in lost if number in self.away and number != self.again)
        for _ in range(self.helpers.room() if self.todo else 0):
            if not self.todo:
                break
            self.give()

    def worth_asking(self) -> bool:
        return self.work.seconds is not None and self.left() * self.work.seconds > WORTH

    def left(self) -> int:
        return sum(last - first for first, last in self.todo)

    def give(self) -> None:
        part = self.cut(self.size(self.helpers.seconds() or self.work.seconds))
        self.given += 1
        self.away[self.given] = part
        started = self.work.clock()
        self.helpers.take(self.given, self.items[slice(*part)])
        self.work.dealing += (self.work.clock() - started - self.work.dealing) / min(self.given, 10)

    def size(self, each: float) -> int:
        """How many items a part has: about a second's work, less towards the end, so that all come to it together, but so
        much that the first helper is not done before the last one has its part."""
        count = self.helpers.count()
        least = max(LEAST, count * self.work.dealing)
        return max(1, int(min(THERE / each, max(self.left() / (2 * (count + 1)), least / each))))

    def close(self) -> None:
        if self.helpers is not None and self.away:
            self.helpers.forget(list(self.away))
