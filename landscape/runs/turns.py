"""Whose turn it is: people with waiting runs take turns, so that nobody waits for all of somebody else's runs."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence

NOBODY = ""  # who asks from a shell; all of them together take turns as one


def turns(
    waiting: Sequence[tuple[str, Collection[str]]], at_work: Mapping[str, int], served: Mapping[str, int]
) -> list[tuple[str, str]]:
    """``[(run, whose turn it is)]`` for every waiting run, the next one first.

    ``waiting`` are runs with the people who asked for them, in the order they came; ``at_work`` counts the runs that compute
    now for each person; ``served`` is a number for each person that is higher the later their last run was started. Whoever
    has the fewest runs before them goes first; among equals whoever was served longest ago, then whoever came first. A run
    that several asked for goes when the first of them has a turn.
    """
    lines: dict[str, deque[tuple[int, str]]] = {}
    for number, (run, people) in enumerate(waiting):
        for person in people or (NOBODY,):
            lines.setdefault(person, deque()).append((number, run))
    before, placed, order = Counter(at_work), set(), []
    while lines:
        person = min(lines, key=lambda one: (before[one], served.get(one, 0), lines[one][0]))
        _, run = lines[person].popleft()
        if run not in placed:
            placed.add(run)
            order.append((run, person))
            before[person] += 1
        if not lines[person]:
            del lines[person]
    return order


class Line:
    """The waiting runs in the order of their turns. ``wishes`` says who asked for a run."""

    def __init__(self, wishes: Mapping[str, Collection[str]]):
        self._wishes = {run: set(people) for run, people in wishes.items()}
        self._served: dict[str, int] = {}
        self._at_work: dict[str, str] = {}  # run that computes -> on whose turn it was started
        self._turns: dict[str, str] = {}

    def wish(self, run: str, person: str) -> None:
        self._wishes.setdefault(run, set()).add(person)

    def order(self, waiting: Collection[str], at_work: Collection[str], first: Collection[str] = ()) -> list[str]:
        """The waiting runs, the next one first. Those in ``first`` were interrupted and lose no turn by it."""
        self._at_work = {run: person for run, person in self._at_work.items() if run in at_work}
        known = set(waiting) | set(at_work)
        self._wishes = {run: people for run, people in self._wishes.items() if run in known}
        found = turns([(run, sorted(self._wishes.get(run, ()))) for run in waiting if run not in first],
                      Counter(self._at_work.values()), self._served)
        self._turns = dict(found)
        return [*(run for run in waiting if run in first), *(run for run, _ in found)]

    def started(self, run: str) -> None:
        """The run computes from now on; its person's next turn comes after those of the others."""
        person = self._turns.get(run, min(self._wishes.get(run, ()), default=NOBODY))
        self._at_work[run] = person
        self._served[person] = 1 + max(self._served.values(), default=0)
