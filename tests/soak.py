"""Accidents for as long as you like: ``make soak``, ``make soak ARGS='--minutes 2 --seed 7'``.

Runs are started, asked for again, cancelled and deleted at random, and processes killed, while memory, open files and
files on disk are watched. Then everything is left to come to its end, and the store must be consistent: what is done is
complete and equal to what an undisturbed process computes, every file belongs to a run and can be read, nothing is left
over. The exit status says so.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent / "runs"))

from shops import Shop, toys_known

from landscape.errors import LandscapeError
from landscape.runs import schema, weights
from landscape.runs.library import INTERRUPTED

MOST_RUNS = 60  # in the store at a time: above, one is deleted
BOUNDS = {"megabytes of the engine": 400, "megabytes of a worker": 600, "open files of the engine": 250,
          "threads of the engine": 120, "processes": 12}
TABLES = ("results", "progress", "attempts", "parents")


class Soak:
    """One store, one random sequence, the highest figures seen."""

    def __init__(self, home: Path, seed: int):
        self.shop, self.random = Shop(home), random.Random(seed)
        self.did, self.highest = Counter(), dict.fromkeys(BOUNDS, 0)

    def step(self) -> None:
        weighted = {self.start: 12, self.again: 3, self.cancel: 4, self.delete: 3, self.kill_worker: 3, self.kill_engine: 1,
                    self.kill_all: 1, self.warm: 1}
        act = self.random.choices(list(weighted), list(weighted.values()))[0]
        with suppress(LandscapeError, psutil.NoSuchProcess):  # such as: it has ended meanwhile, others need it
            act()
            self.did[act.__name__] += 1
        self.measure()
        time.sleep(self.random.uniform(0, 0.6))

    def _some(self, *status: str):
        found = [run for run in self.shop.library.runs() if run.status in status]
        return self.random.choice(found) if found else None

    def start(self) -> None:
        pause = self.random.choice((0.0, 0.02, 0.1))
        if self.random.random() < 0.3:
            seeds = tuple(self.random.sample(range(20), 2))
            self.shop.jobs.submit("pair", {"steps": 8, "seeds": seeds, "pause": pause})
        else:
            fault = self.random.choice(("", "", "", "error", "kill", "deaf"))
            self.shop.jobs.submit("stroll", {"steps": self.random.randint(1, 12), "pause": pause, "fault": fault,
                                             "seed": self.random.randrange(20)})
        if len(self.shop.library.runs()) > MOST_RUNS:
            self.delete()

    def again(self) -> None:
        if run := self._some("cancelled", "failed", "done"):
            self.shop.jobs.submit(run.recipe, run.settings)

    def cancel(self) -> None:
        if run := self._some("running", "queued"):
            self.shop.jobs.cancel(run.key)

    def delete(self) -> None:
        if run := self._some("done", "cancelled", "failed"):
            self.shop.jobs.delete(run.key)

    def warm(self) -> None:
        self.shop.jobs.warm()

    def kill_worker(self) -> None:
        run = self._some("running")
        attempts = self.shop.library.attempts(run.key) if run else []
        for process in self.processes():  # one of ours, whoever has the number now
            if attempts and attempts[-1]["ended"] is None and process.pid == attempts[-1]["pid"]:
                process.kill()

    def kill_engine(self) -> None:
        if engine := self.shop.jobs.engine():
            psutil.Process(engine["pid"]).kill()

    def kill_all(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def processes(self) -> list[psutil.Process]:
        engine = self.shop.jobs.engine()
        if engine:
            with suppress(psutil.Error):
                root = psutil.Process(engine["pid"])
                return [root, *root.children(recursive=True)]
        return []

    def measure(self) -> None:
        found = self.processes()
        with suppress(psutil.Error, IndexError):  # it has just been killed
            engine, others = found[0], found[1:]
            memory = max((each.memory_info().rss for each in others), default=0)
            seen = (engine.memory_info().rss // 2**20, memory // 2**20, engine.num_fds(), engine.num_threads(),
                    1 + len(others))
            for name, value in zip(BOUNDS, seen, strict=True):
                self.highest[name] = max(self.highest[name], value)

    def settle(self) -> None:
        """Let everything that was asked for come to its end; what sleeps for ever is cancelled."""
        self.shop.jobs.resume()
        for run in self.shop.library.runs():
            if run.status in ("queued", "running") and run.settings.get("fault") == "deaf":
                self.shop.jobs.cancel(run.key)
        deadline = time.monotonic() + 300
        while any(run.status in ("queued", "running") for run in self.shop.library.runs()):
            if time.monotonic() > deadline:
                break  # the check says what is left
            time.sleep(0.2)
        left = self.processes()
        self.shop.close()
        self.left = psutil.wait_procs(left, timeout=20)[1]


def faults_of(shop: Shop) -> list[str]:
    """What is wrong with a store that nobody writes; nothing, it is to be hoped."""
    library, home = shop.library, shop.home
    runs = {run.key: run for run in library.runs(children=True) if not run.read_only}
    db = sqlite3.connect(home / schema.FILE)
    found = [f"the database: {line}" for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    for table in TABLES:
        keys = {key for (key,) in db.execute(f"SELECT DISTINCT key FROM {table}")}
        found += [f"{table} of {key}, which is no run" for key in keys - runs.keys()]
    db.close()
    for run in runs.values():
        if run.recipe == "stroll" and run.status == "done":
            found += _wrong_walk(library, run)
        if run.status == "done" and "summary" not in library.names(run.key):
            found.append(f"{run.key} is done and has no summary")
    found += [f"{run}: weights {name} are damaged" for run in runs for name in weights.damaged(home, run)]
    found += [f"{run.key} was asked for and is not at its end" for run in library.runs() if run.message == INTERRUPTED]
    stray = [path for path in _files(home) if not _belongs(path, home, runs)]
    return found + [f"{path.relative_to(home)} belongs to nothing" for path in stray]


def _wrong_walk(library, run) -> list[str]:
    steps, seed = run.settings["steps"], run.settings["seed"]
    wanted = np.cumsum([np.random.default_rng([seed, step]).normal() for step in range(steps)])
    history = library.result(run.key, "history:walk")
    if history is None or history.values["train_loss"][0].tolist() != wanted.tolist():
        return [f"{run.key} is done and not what an undisturbed process computes"]
    if library.weight_names(run.key) != ["end"]:
        return [f"{run.key} is done and has the weights {library.weight_names(run.key)}"]
    end = library.weights(run.key, "end")["w"]
    return [] if end[0] == np.float32(wanted[-1]) else [f"the weights of {run.key} are not its last step"]


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def _belongs(path: Path, home: Path, runs) -> bool:
    parts = path.relative_to(home).parts
    if parts[0] == "weights":
        return len(parts) == 3 and parts[1] in runs and path.suffix == ".safetensors" and not path.name.startswith(".")
    if parts[0] == "workers":  # Dask's; emptied by its next start
        return True
    return parts[0] in {schema.FILE, f"{schema.FILE}-wal", f"{schema.FILE}-shm", "writer.lock", "engine.log",
                        "certificate.pem", "reserve"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Random starts, cancels and kills; then the store must be consistent.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="landscape-soak-") as folder, toys_known():
        soak = Soak(Path(folder) / "home", seed)
        print(f"seed {seed}, {options.minutes:g} minutes", flush=True)
        ends, told = time.monotonic() + 60 * options.minutes, time.monotonic()
        while time.monotonic() < ends:
            soak.step()
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(f"{(ends - told) / 60:5.1f} minutes left: {dict(soak.did)}", flush=True)
        began = time.monotonic()
        soak.settle()
        print(f"all came to their end after {time.monotonic() - began:.0f} s more", flush=True)
        found = faults_of(soak.shop)
        seen = soak.highest
        found += [f"{name}: {seen[name]}, above {most}" for name, most in BOUNDS.items() if seen[name] > most]
        found += [f"process {process.pid} is left over" for process in soak.left]
        runs = Counter(run.status for run in soak.shop.library.runs(children=True) if not run.read_only)
        files = len(_files(soak.shop.home))
        print(f"did {dict(soak.did)}; runs {dict(runs)}; {files} files; highest {soak.highest}")
        for line in found:
            print(f"WRONG: {line}")
        if found and (log := soak.shop.home / "engine.log").exists():
            print(log.read_text()[-4000:])
        print("consistent" if not found else f"{len(found)} things are wrong")
        return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
