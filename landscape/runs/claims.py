"""Which job computes which run: what several need is computed once, and is left to the others when one is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from landscape.runs.context import ELSEWHERE
from landscape.runs.records import UNFINISHED
from landscape.runs.store import Store

LEFT = "The run that computed this part was cancelled. The next one that needs it goes on from what is saved."


class Claims:
    """``lines`` are the connections of the jobs at work, ``wanted()`` the jobs that wait or are at work and are not to stop.

    A connection stands for the job at its other end: of one that was cut off, the claims are free.
    """

    def __init__(self, store: Store, lines: Mapping[str, object], wanted: Callable[[], Collection[str]]):
        self._store, self._lines, self._wanted = store, lines, wanted
        self._taken: dict[str, object] = {}  # run -> connection of the job that computes it, be it for another run

    def take(self, key: str, line: object) -> str | None:
        """The status of a run that the job at the line is about to compute; ELSEWHERE while another job computes it."""
        status = self._store.status(key)
        if status in UNFINISHED and self.elsewhere(key, line):
            return ELSEWHERE
        self._taken = {run: each for run, each in self._taken.items() if self._at_work(each)} | {key: line}
        return status

    def elsewhere(self, key: str, line: object = None) -> bool:
        """Whether a job at work computes the run, other than the one at the line."""
        other = self._taken.get(key)
        return other is not line and self._at_work(other)

    def needed(self, key: str, but: str = "") -> list[str]:
        """The jobs that need the run, ``but`` one: it is what they are to compute, or they are made from it."""
        return [job for job in self._wanted() if job != but and self._made_from(job, key)]

    def left(self, key: str, job: str, line: object = None) -> bool:
        """Whether a run that a cancelled job gives up (``job`` is its key) stays unfinished, because another job computes it
        or needs it; in that case it waits for that one."""
        if self.elsewhere(key, line):
            return True
        if not self.needed(key, but=job):
            return False
        self._taken.pop(key, None)
        self._store.wait(key, LEFT, "cancelled")
        return True

    def leave(self, job: str) -> None:
        """Before a job is cut off: leave what it was computing to those that need it too."""
        line = self._lines.get(job)
        for key in [run for run, each in self._taken.items() if each is line and run != job]:
            if self._store.status(key) in UNFINISHED:
                self.left(key, job, line)

    def job_of(self, line: object) -> str:
        """The job at the other end, empty if none is there (a shell that computes beside the engine)."""
        return next((job for job, each in self._lines.items() if each is line), "")

    def _at_work(self, line: object) -> bool:
        return any(line is each for each in self._lines.values())

    def _made_from(self, job: str, key: str) -> bool:
        return job == key or any(self._made_from(parent, key) for parent in self._store.parents(job))
