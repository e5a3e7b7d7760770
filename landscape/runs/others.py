"""The other workers of a scheduler, as helpers of the job that this worker has.

Each is given two parts at a time by name, so that nothing depends on how the scheduler deals; a worker that has a job of its
own is left alone. What parts share goes to a worker once. A worker that goes away or answers otherwise than expected loses
its parts, and the job does them itself.
"""

from __future__ import annotations

import logging
import pickle
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from landscape.runs import parts

JOB, PART = "job-", "part-"  # begin the names of Dask's tasks
BACKLOG = 2  # parts that a worker has at a time: one at work, one waiting
LOOK, AGAIN = 1.0, 10.0  # seconds between two looks at who is there; until the next one if nobody answered
PATIENCE = 1.0  # seconds for the scheduler or a worker to answer
SHARE = 0.3  # of the newest part in the seconds of an item
log = logging.getLogger("landscape.others")


def beside(whose: str, engine: tuple[str, str], spent: Callable[[float], None]) -> Others | None:
    """The workers beside this one; None if the scheduler does not answer now. ``engine`` is its address and certificate."""
    try:
        return Others(whose, spent, engine)
    except (OSError, ValueError) as error:
        log.warning("not divided, as the scheduler does not answer: %s", error)
        return None


class Others:
    """Made in a worker, inside the task of a job. ``spent(seconds)`` is told the CPU time that others took for it."""

    def __init__(self, whose: str = parts.ALIKE, spent: Callable[[float], None] = lambda seconds: None,
                 engine: tuple[str, str] = ("", "")):
        from distributed import get_client, get_worker

        self.own, self.client = get_worker().address, get_client()
        self.whose, self.spent, self.engine = whose, spent, engine
        self.excluded: dict[str, str] = {}  # workers that do not help, and why
        self.pace: dict[str, float] = {}  # of a work's tokens: seconds of an item
        self._knows: dict[str, set[str]] = {}  # of a work's tokens: workers that have what it needs
        self._sent: dict[str, object] = {}  # token -> future of what was sent
        self._there: set[str] = set()  # workers that have no job of their own
        self._looked = float("-inf")

    def helpers(self, work) -> Helping | None:
        """Helpers for a ``Work``; None if what it needs cannot be told to others."""
        try:
            tokens = [each.token for each in work.sent]
        except (pickle.PicklingError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            log.info("not divided, as it cannot be sent: %s: %s", type(error).__name__, error)
            return None
        return Helping(self, work, tokens)

    def close(self) -> None:
        """The job has ended: what was sent for it is needed no more."""
        self._sent.clear()

    # What helpers ask

    def free(self) -> set[str]:
        """Addresses of the workers that could help now: those without a job of their own."""
        now = time.monotonic()
        if now - self._looked > LOOK and self.client.status == "running":
            self._looked = now
            try:
                tasks = self.client.sync(self.client.scheduler.processing, workers=None, callback_timeout=PATIENCE)
                self._there = {address for address, keys in tasks.items() if address != self.own
                               and not any(str(key).startswith(JOB) for key in keys)}
            except Exception as error:  # Dask raises what it likes; all of it means that nobody answers
                log.debug("the scheduler does not answer", exc_info=error)
                self._looked = now + AGAIN - LOOK
        if self.client.status != "running":
            return set()
        return {address for address in self._there if address not in self.excluded}

    def exclude(self, address: str, why: str) -> None:
        if address not in self.excluded:
            log.warning("worker %s does not help: %s", address, why)
            self.excluded[address] = why

    def submit(self, work, tokens: list[str], address: str, items: np.ndarray):
        asked = {"kind": parts.kind(), "whose": self.whose, "tokens": tokens, "there": parts.path_of(work.there),
                 "makes": [parts.path_of(each.make) for each in work.sent], "sizes": [each.size for each in work.sent]}
        known = address in self._knows.get(_name(tokens), ())
        values = () if known else [self._future(each, token) for each, token in zip(work.sent, tokens, strict=True)]
        return self.client.submit(parts.compute, asked, items, *values, key=f"{PART}{uuid.uuid4().hex}", pure=False,
                                  workers=[address], priority=-1)

    def _future(self, each, token: str):
        """What was sent stays in this worker's memory; others fetch it from here or from each other."""
        if token not in self._sent:
            name = f"shared-{token}"
            self._sent[token] = self.client.scatter({name: each.value})[name]
        return self._sent[token]

    def knows(self, tokens: list[str], address: str, known: bool) -> None:
        workers = self._knows.setdefault(_name(tokens), set())
        workers.add(address) if known else workers.discard(address)


def _name(tokens: list[str]) -> str:
    return "+".join(tokens)


class Helping:
    """The other workers for one piece of work: the ``Helpers`` of ``recipes.spread``."""

    def __init__(self, others: Others, work, tokens: list[str]):
        self.others, self.work, self.tokens = others, work, tokens
        self._out: dict[int, tuple[str, object, int]] = {}  # number -> worker, future, items

    def room(self) -> int:
        return max(0, BACKLOG * len(self.others.free()) - len(self._out))

    def count(self) -> int:
        return len(self.others.free())

    def seconds(self) -> float | None:
        return self.others.pace.get(_name(self.tokens))

    def take(self, number: int, items: np.ndarray) -> None:
        has = Counter(address for address, _, _ in self._out.values())
        free = sorted(self.others.free(), key=lambda address: (has[address], address))
        if free:
            with suppress(Exception):  # a scheduler that has just gone: the part is lost, which the next look tells
                self._out[number] = free[0], self.others.submit(self.work, self.tokens, free[0], items), len(items)
                return
        self._out[number] = "", None, len(items)

    def come(self) -> tuple[dict, list[int]]:
        there = self.others.free()
        ended = {number: each for number, each in self._out.items() if each[1] is None or each[1].status != "pending"}
        lost = [number for number, (address, future, _) in self._out.items()
                if number not in ended and address not in there]
        found = self._fetched([number for number, (_, future, _) in ended.items()
                               if future is not None and future.status == "finished"])
        values = {}
        for number in ended:
            address, future, items = ended[number]
            if number in found and "values" in found[number]:
                values[number] = self._noted(address, found[number], items)
            else:
                lost.append(number)
                self._failed(address, future, found.get(number))
        for number in values:
            del self._out[number]
        self.forget(lost)
        return values, lost

    def _fetched(self, numbers: list[int]) -> dict[int, dict]:
        """Results that are there; those of a worker that has just gone are not waited for."""
        if not numbers:
            return {}
        client, futures = self.others.client, [self._out[number][1] for number in numbers]
        try:
            found = client.sync(client._gather, futures, errors="raise", direct=True, callback_timeout=PATIENCE)
        except Exception as error:
            log.debug("parts were computed and could not be fetched", exc_info=error)
            return {}
        return dict(zip(numbers, found, strict=True))

    def _noted(self, address: str, found: dict, items: int) -> dict:
        others, name, each = self.others, _name(self.tokens), found["seconds"] / max(1, items)
        others.knows(self.tokens, address, True)
        before = others.pace.get(name)
        others.pace[name] = each if before is None else (1 - SHARE) * before + SHARE * each
        others.spent(found["cpu"])
        return found["values"]

    def _failed(self, address: str, future, found: dict | None) -> None:
        """What to make of a part that has ended without values."""
        if found is not None and "refused" in found:
            self.others.exclude(address, f"it has {found['refused']}")
        elif found is not None:  # it has forgotten, or was started again
            self.others.knows(self.tokens, address, False)
        elif future is not None and future.status == "error" and not isinstance(future.exception(), parts.Unwanted):
            self.others.exclude(address, repr(future.exception()))

    def forget(self, numbers: list[int]) -> None:
        futures = [self._out.pop(number)[1] for number in numbers if number in self._out]
        futures = [future for future in futures if future is not None]
        if futures:
            with suppress(Exception):  # a scheduler that is gone remembers nothing of them
                self.others.client.cancel(futures)
