"""What a recipe gets beside its settings: where to save, how to say how far it is, how to use another run."""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError

from landscape import ASSETS, __version__, catalog
from landscape.errors import BadInput, Cancelled, Damaged, LandscapeError, StoreError
from landscape.runs import location, parts, weights
from landscape.runs.archive import PREFIX
from landscape.runs.library import Library
from landscape.runs.records import UNFINISHED, decode, encode, identify, plain
from landscape.runs.shelf import Shelf
from landscape.runs.stages import Stage
from landscape.settings import Settings, restored, settings_of

INTERVAL = 0.2  # seconds between two reports
ELSEWHERE = "elsewhere"  # said of a run that another job computes now
log = logging.getLogger(__name__)
STOPPED = "Cancelled. What was computed is kept; start it again to go on."

NO_MEMORY = (
    "Memory has run out. Everything saved is kept. Close other programs or choose a smaller task, then start it again: it "
    "goes on from there."
)


class Writer(Protocol):
    """The part of ``Store`` a job uses; in a worker, the same methods asked of the engine."""

    def enter(self, key: str, recipe: str, title: str, settings: str, asked: bool) -> str: ...
    def describe(self, key: str) -> dict[str, Any]: ...
    def claim(self, key: str) -> str: ...
    def begin(self, key: str, host: str, pid: int) -> dict[str, Any]: ...
    def link(self, key: str, parent: str) -> None: ...
    def report(self, key: str, progress: dict[str, Any], cpu: float) -> bool: ...
    def finish(self, key: str, status: str, message: str, detail: str, cpu: float) -> None: ...
    def save(self, key: str, name: str, meta: str, arrays: bytes) -> int: ...
    def load(self, key: str, name: str) -> dict[str, Any] | None: ...
    def save_weights(self, key: str, name: str, data: bytes) -> None: ...
    def load_weights(self, key: str, name: str) -> bytes | dict[str, Any] | None: ...
    def place(self) -> str: ...
    def note_weights(self, key: str, name: str, note: dict[str, Any]) -> None: ...


class Reader:
    """What a run has saved, for the recipe that asked for it and for whoever opens its networks."""

    def __init__(self, writer: Writer | Shelf, key: str):
        self._writer, self.key = writer, key

    @cached_property
    def _described(self) -> dict[str, Any]:
        return self._writer.describe(self.key)

    @property
    def recipe(self) -> str:
        return self._described["recipe"]

    @property
    def settings(self) -> Settings:
        return restored(self.recipe, self._described["settings"])

    def load(self, name: str):
        """The result of that name, None if it is not there."""
        found = self._writer.load(self.key, name)
        return None if found is None else decode(found["meta"], found["arrays"])

    def load_weights(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays by name, None if they are not there. A damaged state to go on from counts as not there: the work is done
        again from the start. Raises StoreError for other damaged weights."""
        found = self._writer.load_weights(self.key, name)
        try:
            if isinstance(found, dict):
                found = location.read(found, self.key, name)
            return None if found is None else weights.from_bytes(found)
        except (SafetensorError, Damaged) as error:
            if name.startswith(weights.STATE):
                log.warning("run %s starts afresh, %s is damaged: %s", self.key, name, error)
                return None
            if isinstance(error, Damaged):
                raise
            raise StoreError(
                f"The weights {name!r} of run {self.key} are damaged ({error}). Start this run again: what is damaged is "
                "then computed anew."
            ) from None

    def child(self, recipe: str, settings: Settings | dict[str, Any]) -> Reader:
        """The run of these settings that this one was made from. Raises BadInput if there is none (yet)."""
        wanted = identify(recipe, settings).settings
        for parent in self._writer.describe(self.key)["parents"]:
            found = Reader(self._writer, parent)
            if found.recipe == recipe and found.settings == wanted:
                return found
        raise BadInput(f"Run {self.key} has nothing to open yet: its part {recipe!r} was not computed. Wait until it is "
                       "there, or start the run again.")

    def other(self, key: str) -> Reader:
        """Any run of this store or of the gallery."""
        return Reader(Shelf(Library(ASSETS / "gallery")) if key.startswith(PREFIX) else self._writer, key)


class Context(Reader):
    """Handed to ``compute(settings, context)``. A job that starts again loads what it saved and goes on.

    ``clock`` gives seconds and is there for tests. A context made by ``child`` shares its job's clock and stages.
    """

    def __init__(
        self, writer: Writer, key: str, above: Context | None = None, slot: Stage | None = None, clock=time.monotonic,
        others: Callable | None = None,
    ):
        super().__init__(writer, key)
        self._above, self._clock = above, above._clock if above else clock
        self._stage = slot or Stage("")
        self._root: Context = above._root if above else self
        begun = writer.begin(key, socket.gethostname(), os.getpid())
        self._fresh, self._cpu_before = begun["attempt"] == 1, begun["cpu_seconds"]
        self._find_others, self._elsewhere = others, 0.0
        self._cpu_start = self._cpu_reported = self._cpu()
        if above is None:
            self._last_report, self._last_written = self._clock(), -np.inf
            self._now: tuple[Stage | None, dict[str, Any]] = (None, {})

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds this run has taken so far, over all attempts, with the runs made for it while it waited."""
        return self._cpu_before + self._cpu() - self._cpu_start

    def helpers(self, work):
        """Other workers for a ``recipes.spread.Work``; None where there are none or it cannot be sent."""
        others = self._root._others
        return None if others is None else others.helpers(work)

    def reading(self) -> parts.Reading:
        """What lets helpers read this run: they get a ``Reader`` of it."""
        return parts.Reading((self.key, *self._root._others.engine))

    def passage(self) -> parts.Passage | None:
        """Where parts of this run leave weights for each other; None where weights lie in the store."""
        return parts.Passage(self._root._place, self.key) if self._root._place else None

    @cached_property
    def _others(self):
        return None if self._find_others is None else self._find_others(self._spent)

    def close(self) -> None:
        """Nobody is to help any more."""
        if (others := self.__dict__.get("_others")) is not None:
            others.close()

    def plan(self, stages: list[tuple[str, float]]) -> None:
        """The stages and their relative costs, once, first. A stage named like a recipe is what ``child`` fills."""
        self._stage.plan(stages)
        self._root._last_report = self._clock()
        self._write()

    def progress(self, stage: str, done: float, total: float, **detail) -> None:
        """``done`` of ``total`` of a stage: cheap, to be called often. Raises Cancelled when the run is to stop."""
        root, now = self._root, self._clock()
        part = self._stage.part(stage)
        part.advance(min(1.0, done / total) if total else 1.0, now - root._last_report, self._fresh)
        root._last_report, root._now = now, (part, detail)
        if now - root._last_written >= INTERVAL:
            self._write()

    def save(self, name: str, result) -> None:
        """Save a ``results`` value, again and again as it gets finer; it is on disk when this returns."""
        meta, arrays = encode(result)
        self._writer.save(self.key, name, meta, arrays)

    def save_weights(self, name: str, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
        data, place = weights.to_bytes(arrays, metadata), self._root._place
        if place:
            self._writer.note_weights(self.key, name, location.write(place, self.key, name, data))
        else:
            self._writer.save_weights(self.key, name, data)

    @cached_property
    def _place(self) -> str:
        """Where this process writes weights itself, empty if the writer does."""
        return self._writer.place()

    def link(self, key: str) -> None:
        """Note that this run was made from another one, which is then kept as long as this one."""
        self._writer.link(self.key, key)

    def child(self, recipe: str, settings: Settings | dict[str, Any], stage: str | None = None) -> Reader:
        """Another run, computed inside this job unless it is done already; it becomes a parent of this run.

        Its stages divide the stage of the plan that is named ``stage`` (default: like the recipe).
        """
        made = identify(recipe, settings)
        status = self._writer.enter(**made.row(), asked=False)
        self._writer.link(self.key, made.key)
        if status == "done" and not self._stage.has(stage or recipe):
            return Reader(self._writer, made.key)
        slot = self._stage.slot(stage or recipe)
        if status != "done" and _claimed(self._writer, made.key, self._write) != "done":
            compute(Context(self._writer, made.key, above=self, slot=slot), recipe, made.settings)
        slot.complete()
        self._root._last_report = self._clock()
        self._write()
        return Reader(self._writer, made.key)

    def _write(self) -> None:
        """Report this run and the runs it is made for; the first that is to stop stops all of them."""
        self._root._last_written = self._clock()
        stop = False
        each: Context | None = self
        while each is not None:
            stop |= each._report()
            each = each._above
        if stop:
            raise Cancelled(STOPPED)

    def _report(self) -> bool:
        at_work, detail = self._root._now
        cpu = self._cpu()
        spent, self._cpu_reported = cpu - self._cpu_reported, cpu
        leaves = self._stage.leaves()
        stages = [{"name": leaf, "share": share, "done": stage.done} for leaf, share, stage in leaves]
        return self._writer.report(
            self.key,
            {
                "stage": next((leaf for leaf, _, stage in leaves if stage is at_work), "starting"),
                "stages": stages,
                "fraction": self._stage.fraction,
                "eta_seconds": self._stage.eta(),
                "detail": plain(detail),
                "updated": time.time(),
            },
            spent,
        )

    def _cpu(self) -> float:
        """CPU seconds of this process, of its children that have ended, and of others for this job."""
        ended = os.times()
        return time.process_time() + ended.children_user + ended.children_system + self._root._elsewhere

    def _spent(self, seconds: float) -> None:
        self._elsewhere += seconds

    def _finish(self, status: str, message: str = "", detail: str = "") -> None:
        if status == "done":
            self._stage.complete()
        self._report()
        self._writer.finish(self.key, status, message, detail, 0.0)


def compute(context: Context, recipe: str, settings: Settings) -> None:
    """Run a recipe and write down how it ended; the error, if there was one, goes on to the caller."""
    try:
        catalog.row("recipe", catalog.RECIPES, recipe).load()(settings, context)
        context._finish("done")
    except BaseException as error:
        with suppress(StoreError):  # a full disk takes no last words; the caller has the error and says them later
            context._finish(*outcome(error))
        raise


def _claimed(writer: Writer, key: str, meanwhile: Callable[[], None] = lambda: None) -> str:
    """The status of a run once no other job computes it; ``meanwhile`` is called now and then and may raise."""
    while (status := writer.claim(key)) == ELSEWHERE:
        meanwhile()
        time.sleep(INTERVAL)
    return status


def outcome(error: BaseException) -> tuple[str, str, str]:
    """``(status, message, detail)`` of a run that ended with this error."""
    if isinstance(error, (Cancelled, KeyboardInterrupt)):
        return "cancelled", STOPPED, ""
    if isinstance(error, LandscapeError):
        return "failed", str(error), ""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        return "failed", NO_MEMORY, "".join(traceback.format_exception(error))
    return "failed", f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))


def run_job(writer: Writer, key: str, others: Callable | None = None) -> tuple[str, str, str]:
    """Compute the run ``key`` unless it is at its end: ``(status, message, detail)``, which the store has too.

    ``others(spent)`` finds those who help with the job, if it may have help. Errors of the recipe are an outcome; a lost
    connection to the store and Ctrl-C are raised.
    """
    try:
        status, run = _claimed(writer, key), writer.describe(key)
        if status not in UNFINISHED:
            return status, "", ""
        settings = settings_of(run["recipe"])(**run["settings"])
        if identify(run["recipe"], settings).key != key:
            raise BadInput(
                f"This run was asked for by a version of Loss Valleys whose results differ from those of this one "
                f"({__version__} on {socket.gethostname()}). Ask for it again with the same settings."
            )
        context = Context(writer, key, others=others)
        try:
            compute(context, run["recipe"], settings)
        finally:
            context.close()
    except ConnectionError:
        raise
    except Exception as error:
        end = outcome(error)
        with suppress(StoreError):  # a run that could not begin; one that has ended stays as it is
            writer.finish(key, *end, 0.0)
        return end
    return "done", "", ""
