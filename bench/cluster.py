"""A Dask scheduler and workers on this machine, one core each, and what they compute: a surface, a training."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import torch

from landscape import ROOT
from landscape.geometry.subspace import plane
from landscape.networks.architectures import initial_weights
from landscape.networks.net import stack
from landscape.recipes.planes import Plane, draw
from landscape.recipes.seeds import follow, gone_on
from landscape.recipes.training import course_of, problem
from landscape.runs import parts
from landscape.runs.others import Helping, Others
from landscape.settings import Training, Valleys
from landscape.training import sgd

NAME = "digits 128-128"
PROBES = 40  # parts of one cell each, one after the other
MANY = 200  # parts of one cell each, all at once


@contextmanager
def cluster(workers: int):
    """The address of a scheduler with so many workers, worker i on core i of those there are, in turn."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    cores, host = sorted(os.sched_getaffinity(0)), ("--host", "127.0.0.1", "--no-dashboard")
    started = [_started(None, "scheduler", *host, "--port", address.rpartition(":")[2])]
    try:
        for i in range(workers):
            started.append(_started(cores[i % len(cores)], "worker", address, *host, "--nthreads", "1", "--no-nanny"))
        yield address
    finally:
        for each in reversed(started):
            each.terminate()
            with suppress(subprocess.TimeoutExpired):
                each.wait(10)


def _started(core: int | None, what: str, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *words]
    if core is not None:  # the worker and all its threads
        command = [sys.executable, "-c", "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); "
                   "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])", str(core), *command[1:]]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


@dataclass
class Noted:
    """Helpers, and how long dealing with them took."""

    inner: Helping
    dealing: float = 0.0  # seconds of this job's own time
    given: int = 0
    items: int = 0  # that came back from others

    def __getattr__(self, name: str):
        method = getattr(self.inner, name)

        def timed(*args):
            started = time.perf_counter()
            found = method(*args)
            self.dealing += time.perf_counter() - started
            self.given += name == "take"
            if name == "come":
                self.items += sum(len(next(iter(values.values()))) for values in found[0].values())
            return found

        return timed


@dataclass
class Context:
    """What a recipe's surface asks of a job, kept in memory."""

    others: Others | None
    saved: dict = field(default_factory=dict)
    noted: list[Noted] = field(default_factory=list)

    def helpers(self, work) -> Noted | None:
        found = None if self.others is None else self.others.helpers(work)
        self.noted += [] if found is None else [Noted(found)]
        return None if found is None else self.noted[-1]

    def progress(self, *_, **__) -> None: ...

    def save(self, name: str, result) -> None:
        self.saved[name] = result

    def load(self, name: str) -> None: ...


def flat() -> Plane:
    """The plane of three networks that were not trained, which costs as much as any other."""
    p = problem(Valleys(task="digits", widths=(128, 128)))
    w = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in range(3)])
    return Plane("optima", NAME, p.task, plane(*w), [(f"w{i}", "optimum", each) for i, each in enumerate(w)])


def surface(cells: int, divided: bool) -> dict:
    """In a worker: an exact surface, how long it took, and what dividing it cost."""
    drawn, context = flat(), Context(Others() if divided else None)
    drawn.evaluator(np.zeros((64, 2)))
    started = time.perf_counter()
    for _ in draw(drawn, context, cells, 0.2, "exact", 0.002):
        pass
    taken = time.perf_counter() - started
    result = context.saved["surface:optima"]
    values = b"".join(np.ascontiguousarray(result.values[m]).tobytes() for m in sorted(result.values))
    noted = [each for each in context.noted if each.given]
    return {"seconds": taken, "digest": hashlib.sha256(values).hexdigest(), "cells": int(result.evaluated.size),
            "shape": result.evaluated.shape,
            "parts": sum(each.given for each in noted), "dealing": sum(each.dealing for each in noted),
            "elsewhere": sum(each.items for each in noted)}


def training(seeds: int, epochs: int, divided: bool) -> dict:
    """In a worker: networks of several seeds, how long they took, and how many rounds of groups came back from others."""
    s = Training(task="mnist1d", seeds=tuple(range(seeds)), epochs=epochs)
    p, context = problem(s), Context(Others() if divided else None)
    starts = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in s.seeds])
    course, buffers = course_of(s, p.task), stack([p.task.net.buffers] * seeds)

    def alone(state: sgd.State | None, until: int, progress) -> sgd.State:
        return gone_on(p.task, course, state or sgd.start(starts, buffers), until, progress)

    started = time.perf_counter()
    state = follow(context, p.task, course, None, alone, progress=lambda done, total: None, after_round=lambda state: None)
    taken = time.perf_counter() - started
    return {"seconds": taken, "digest": hashlib.sha256(state.parameters.numpy().tobytes()).hexdigest(),
            "elsewhere": sum(each.items for each in context.noted)}


def overheads() -> dict:
    """In a worker that has another beside it: what a part costs beside its cells, in seconds and bytes."""
    from landscape.recipes.elsewhere import evaluating, needs
    from landscape.recipes.spread import Work

    drawn, others = flat(), Others()
    work = Work(drawn.evaluator, evaluating, lambda: needs(drawn.evaluator))
    tokens, address = [each.token for each in work.sent], sorted(others.free())[0]
    z = np.zeros((1000, 2))
    first = time.perf_counter()
    prepared = others.submit(work, tokens, address, z[:1]).result()["prepared"]
    first = time.perf_counter() - first
    others.knows(tokens, address, True)
    full = others.submit(work, tokens, address, z).result()
    alone = []
    for _ in range(PROBES):
        started = time.perf_counter()
        found = others.submit(work, tokens, address, z[:1]).result()
        alone.append(time.perf_counter() - started - found["seconds"])
    started = time.perf_counter()
    futures = [others.submit(work, tokens, address, z[:1]) for _ in range(MANY)]
    spent = sum(each["seconds"] for each in others.client.gather(futures))
    together = (time.perf_counter() - started - spent) / MANY
    asked = {"kind": parts.kind(), "whose": "alike", "tokens": tokens, "there": parts.path_of(work.there),
             "makes": [parts.path_of(each.make) for each in work.sent], "sizes": [each.size for each in work.sent]}
    return {"cell": full["seconds"] / len(z), "latency": float(np.median(alone)), "serial": together, "first": first,
            "prepared": prepared, "bytes_shared": sum(each.size for each in work.sent),
            "bytes_asked": len(pickle.dumps((asked, z))), "bytes_answered": len(pickle.dumps(full, 5)), "items": len(z)}
