"""Networks of several seeds, trained by several workers: groups of them go on for a round of about a second, then meet.

A network's own random numbers, data and rates decide its way, not the networks beside it in a batch. Whether that holds to
the last bit for the very shapes of a task depends on torch's kernels; so it is tried on two steps before a training is
divided, and where the bits differ, or where dividing is no faster, there are fewer groups or none. (They differ where a
network with one output is alone in its group: torch then multiplies a matrix with a vector.) A training in lower precision
is not divided, as processors differ in what they round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch

from landscape.errors import LandscapeError
from landscape.networks.accelerator import LOWER
from landscape.recipes.elsewhere import MOST, task_told, threaded
from landscape.recipes.spread import WORTH, Sent, Work, spread
from landscape.recipes.state import joined, pack, rows, unpack, validated
from landscape.schedules import Plan, steps_per_epoch
from landscape.training import sgd
from landscape.training.averaging import Collector
from landscape.training.sgd import State
from landscape.training.task import Task
from landscape.training.walk import walk

ROUND = 1.0  # seconds of training between two meetings, or an epoch where that takes longer
DIRECT = 2**25  # bytes of a group's state that go through the scheduler; more only through a location for weights
TRIES = 3  # rounds after which dividing must have been worth it
GAIN = 0.9  # of the time of an undivided epoch: what a divided one may take
PAUSE = 30.0  # seconds until what was not worth it is tried for another round
log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
Alone = Callable[[State | None, int, Progress], State]


@dataclass(frozen=True, eq=False)
class Course:
    """What the networks of ``seeds`` go through: ``rates`` (S,) one a step, ``momentum`` a number or (S,).

    ``collect`` and ``trace`` are numbers of steps as in ``averaging.Collector``.
    """

    seeds: tuple[int, ...]
    batch_size: int
    epochs: int
    rates: np.ndarray
    momentum: float | np.ndarray
    collect: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    trace: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    validates: bool = True


def gone_on(task: Task, course: Course, state: State, until: int, progress: Progress = lambda done, total: None,
            after_epoch: Callable[[State], None] | None = None) -> State:
    """The state after epoch ``until`` of the course, advanced in place; ``after_epoch`` validates unless none is given."""
    collector = Collector(course.collect, course.trace)
    return sgd.train(task, list(course.seeds), state.parameters, state, batch_size=course.batch_size, epochs=until,
                     rates=course.rates, momentum=course.momentum, points=collector.points, collect=collector,
                     progress=progress, after_epoch=after_epoch or (lambda state: _validate(task, course, state)))


def follow(context, task: Task, course: Course, state: State | None, alone: Alone, *, progress: Progress,
           after_round: Callable[[State], None], stops: Collection[int] = ()) -> State:
    """Go through a course, with whoever helps: the same state, bit for bit, as undivided.

    ``alone(state, until, progress)`` goes on undivided, from the start if there is no state yet. ``after_round`` sees the
    state after divided epochs, among them those numbered in ``stops``. Without helpers all is one call of ``alone``.
    """
    division, total = _Division(context, task, course, frozenset(stops)), course.epochs * _steps(task, course)
    try:
        while state is None or (state.epoch < course.epochs and len(state.diverged) < len(course.seeds)):
            before, groups = state.epoch if state else 0, division.groups(state)
            until, started = division.until(before, groups), time.monotonic()
            if groups == 1:
                state = alone(state, until, lambda done, _: progress(done, total))
            else:
                state = division.round(state, groups, until, lambda done: progress(done, total))
                after_round(state)
            division.noted(groups, state.epoch - before, time.monotonic() - started)
        return state
    finally:
        division.close()


def walking(context, stops: Collection[int] = (), validates: bool = True) -> Callable[..., State]:
    """``training.walk.walk`` with whoever helps; ``after_epoch`` sees divided epochs as ``after_round`` of ``follow``."""

    def divided(task: Task, seeds: list[int], starts: torch.Tensor, plan: Plan, state: State | None = None, *,
                batch_size: int, momentum: float, trace: Collection[int], epochs: int, progress: Progress,
                after_epoch: Callable[[State], None]) -> State:
        course = Course(tuple(seeds), batch_size, epochs, plan.rates, momentum if plan.momenta is None else plan.momenta,
                        plan.collect, np.asarray(trace, np.int64), validates)

        def alone(state: State | None, until: int, progress: Progress) -> State:
            return walk(task, seeds, starts, plan, state, batch_size=batch_size, momentum=momentum, trace=trace,
                        epochs=until, progress=progress, after_epoch=after_epoch)

        return follow(context, task, course, state, alone, progress=progress, after_round=after_epoch, stops=stops)

    return divided


def elsewhere(task: Task, told: tuple) -> Callable:
    """Rounds of groups in another process; states come and go as notes where there is a passage."""
    course, passage, threads = told

    def rounds(items: np.ndarray, progress: Progress) -> dict[str, np.ndarray]:
        given = [passage.take(item["state"]) if passage else item["state"] for item in items]
        with threaded(threads):
            found = _rounds(task, course, items, given, progress)
        if passage:
            found["states"][:] = [passage.leave(each) for each in found["states"]]
        return found

    return rounds


def _rounds(task: Task, course: Course, items: np.ndarray, given: list[dict], progress: Progress) -> dict[str, np.ndarray]:
    """The packed states of groups ``items`` after their round, from those ``given``."""
    found = np.empty(len(items), object)
    for i, (item, arrays) in enumerate(zip(items, given, strict=True)):
        found[i] = pack(_round(task, course, item, unpack(arrays), lambda share, i=i: progress(i + share, len(items))))
    return {"states": found}


def _round(task: Task, course: Course, item: dict, state: State, progress: Callable[[float], None]) -> State:
    before, until, steps = state.epoch, item["until"], _steps(task, course)
    return gone_on(task, replace(course, seeds=item["seeds"]), state, until,
                   lambda done, _: progress((done / steps - before) / (until - before)))


class _Division:
    """Into how many groups a training is divided, for how long, and its rounds."""

    def __init__(self, context, task: Task, course: Course, stops: frozenset[int]):
        self.context, self.task, self.course, self.stops = context, task, course, stops
        several = len(course.seeds) > 1 and task.splits["train"][0].device.type == "cpu"
        self.ask = getattr(context, "helpers", None) if several and task.training_precision not in LOWER else None
        self.helping = self.passage = None
        self.spent = 0.0  # seconds undivided
        self.pace: dict[int, float] = {}  # of so many groups: seconds of an epoch, undivided at best, divided of late
        self.rounds: dict[int, list[float]] = {}  # when those in so many groups ended
        self.alike: dict[int, bool] = {}  # whether so many groups give the same bits

    def groups(self, state: State | None) -> int:
        """Into how many to divide the next round; 1 is undivided."""
        if self.ask is None or state is None or self.spent < WORTH:
            return 1
        if (self.course.epochs - state.epoch) * self.pace[1] <= WORTH or not self._prepared(state):
            self.ask = None
            return 1
        most = min(len(self.course.seeds), self.helping.count() + 1)
        while most > 1 and (self._slow(most) or not self._known_alike(state, most)):
            most -= 1
        return most

    def until(self, epoch: int, groups: int) -> int:
        """The epoch after which all meet again."""
        if self.ask is None:
            return self.course.epochs
        each = self.pace.get(groups) or self.pace.get(1, ROUND)
        end = min(self.course.epochs, epoch + max(1, int((WORTH if self.spent < WORTH else ROUND) / each)))
        return end if groups == 1 else min([end, *(stop for stop in self.stops if stop > epoch)])

    def noted(self, groups: int, epochs: int, seconds: float) -> None:
        if groups == 1:
            self.spent += seconds
        if epochs:
            each, before = max(seconds, 1e-6) / epochs, self.pace.get(groups)
            self.pace[groups] = each if before is None else min(each, before) if groups == 1 else (each + before) / 2
            self.rounds.setdefault(groups, []).append(time.monotonic())

    def round(self, state: State, groups: int, until: int, done: Callable[[int], None]) -> State:
        parts, steps = _parts(state, groups), _steps(self.task, self.course)
        given = [pack(rows(state, part)) for part in parts]
        items = np.empty(groups, object)
        for i, part in enumerate(parts):
            items[i] = {"seeds": self.course.seeds[part], "until": until, "number": i,
                        "state": self.passage.leave(given[i]) if self.passage else given[i]}

        def here(some: np.ndarray, progress: Progress) -> dict[str, np.ndarray]:
            return _rounds(self.task, self.course, some, [given[item["number"]] for item in some], progress)

        expected = max(self.pace[1] * (until - state.epoch), 1.1 * WORTH) / groups
        work = Work(here, elsewhere, lambda: self.sent, batch=1, seconds=expected)
        found = np.empty(groups, object)
        for (first, last), values in spread(self.context, work, items, lambda part, all_parts: done(
                round(steps * (state.epoch + part / all_parts * (until - state.epoch))))):
            found[first:last] = values["states"]
        states = [unpack(self._received(each, items[i : i + 1], here)) for i, each in enumerate(found)]
        if self.passage:
            self.passage.clear()
        return joined(state, parts, states)

    def _received(self, found: dict, items: np.ndarray, here) -> dict[str, np.ndarray]:
        """What a note stands for, done here if it is gone."""
        if "url" not in found:
            return found
        try:
            return self.passage.take(found)
        except LandscapeError as error:
            log.warning("a group is trained again: %s", error)
            return here(items, lambda done, total: None)["states"][0]

    def _prepared(self, state: State) -> bool:
        """Whether there may be help for this, which is asked for once."""
        if self.helping is None:
            self.passage = getattr(self.context, "passage", lambda: None)()
            size = sum(a.nbytes for a in pack(rows(state, _parts(state, 2)[0])).values())
            splits = ("train", *(["validation"] if self.course.validates else []))
            data = sum(x.numel() * x.element_size() for name in splits for x in self.task.splits[name])
            if data > MOST or (size > DIRECT and self.passage is None):
                log.info("not divided, as %d bytes a group and %d of data are too many to send", size, data)
                return False
            self.sent = (task_told(self.task, splits), Sent((self.course, self.passage, torch.get_num_threads()), tuple))
            self.helping = self.ask(Work(lambda items, progress: {}, elsewhere, lambda: self.sent))
        return self.helping is not None

    def _known_alike(self, state: State, groups: int) -> bool:
        if groups not in self.alike:
            self.alike[groups] = _alike(self.task, self.course, state, groups)
            if not self.alike[groups]:
                log.info("not divided into %d, as groups and all %d networks differ in the last bit", groups,
                         len(self.course.seeds))
        return self.alike[groups]

    def _slow(self, groups: int) -> bool:
        ended = self.rounds.get(groups, [])
        return (len(ended) >= TRIES and self.pace[groups] > GAIN * self.pace[1]
                and time.monotonic() - ended[-1] < PAUSE)

    def close(self) -> None:
        if self.passage:
            self.passage.clear()


def _alike(task: Task, course: Course, state: State, groups: int) -> bool:
    """Whether a whole and a short step and a validation give the same bits for all networks at once and for the groups."""
    (x, y), at = task.splits["train"], state.epoch * _steps(task, course)
    few = min(len(x), course.batch_size + len(x) % course.batch_size)
    tried = replace(task, splits={**task.splits, "train": (x[:few], y[:few])})
    momentum = course.momentum if isinstance(course.momentum, int | float) else course.momentum[at : at + 1].repeat(2)
    short = replace(course, rates=course.rates[at : at + 1].repeat(2), momentum=momentum, collect=course.collect[:0],
                    trace=course.trace[:0])
    parts, begun = _parts(state, groups), replace(rows(state, slice(None)), epoch=0, diverged={}, kept={})
    whole = gone_on(tried, short, begun.copy(), 1)
    divided = [gone_on(tried, replace(short, seeds=course.seeds[part]), rows(begun, part).copy(), 1) for part in parts]
    one, other = pack(whole), pack(joined(begun, parts, divided))
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def _parts(state: State, groups: int) -> list[slice]:
    """Networks side by side in groups that are as large as each other, or one larger."""
    ends = [len(state.parameters) * i // groups for i in range(groups + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def _steps(task: Task, course: Course) -> int:
    return steps_per_epoch(len(task.splits["train"][0]), course.batch_size)


def _validate(task: Task, course: Course, state: State) -> None:
    for metric, values in (validated(task, state) if course.validates else {}).items():
        state.log.setdefault(metric, []).append(values)
