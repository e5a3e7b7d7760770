"""A run followed from a shell: bars on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import sys
import threading
import time

from tqdm import tqdm

from landscape.runs.library import Library
from landscape.runs.records import UNFINISHED, Progress

POLL = 0.2  # seconds between two looks at the store
QUIET = 10.0  # seconds between two plain lines of one stage


class Watcher(threading.Thread):
    """Looks at a run again and again, and once more at its end: ``with Watcher(library, key): ...``."""

    def __init__(self, library: Library, key: str):
        super().__init__(name=type(self).__name__, daemon=True)
        self._library, self._key, self._ended = library, key, threading.Event()

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self.join(timeout=5)
        self.look()

    def run(self) -> None:
        while not self._ended.wait(POLL):
            self.look()

    def look(self) -> None:
        raise NotImplementedError


class Follower(Watcher):
    """Shows how far a run is."""

    def __init__(self, library: Library, key: str):
        super().__init__(library, key)
        self._display = Bars() if sys.stderr.isatty() else Lines()

    def __exit__(self, *_) -> None:
        super().__exit__()
        self._display.close()

    def look(self) -> None:
        progress = self._library.progress(self._key)
        if progress is not None:
            self._display.show(progress)


class Bars:
    """One bar a stage; the one at work shows the time left of the whole run."""

    def __init__(self):
        self._bars: dict[str, tqdm] = {}

    def show(self, progress: Progress) -> None:
        for stage in progress.stages:
            name = stage["name"]
            if name not in self._bars and (stage["done"] > 0 or name == progress.stage):
                layout = "{desc:<24.24}{percentage:3.0f}% |{bar}| {postfix}"
                self._bars[name] = tqdm(
                    total=100, desc=name, bar_format=layout, position=len(self._bars), leave=True, file=sys.stderr
                )
            if name in self._bars:
                bar = self._bars[name]
                bar.n = round(100 * stage["done"])
                at_work = stage["done"] < 1 and name == progress.stage
                bar.set_postfix_str(_left(progress) if at_work else "", refresh=False)
                bar.refresh()

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()


class Lines:
    """A line when a stage begins, and now and then while it goes on."""

    def __init__(self):
        self._last, self._stage = -QUIET, ""

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last > QUIET:
            self._last, self._stage = now, progress.stage
            print(f"{progress.fraction:4.0%} {progress.stage} {_left(progress)}".rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


def wait(library: Library, key: str) -> None:
    """Return when the run has ended."""
    while library.run(key).status in UNFINISHED:
        time.sleep(POLL)


def _left(progress: Progress) -> str:
    return "" if progress.eta_seconds is None else f"{tqdm.format_interval(round(progress.eta_seconds))} left"
