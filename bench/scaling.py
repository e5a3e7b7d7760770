"""The same surface and the same training on 1, 2 and 4 workers of this machine, what a part costs, and 100 on paper."""

from __future__ import annotations

import os
from contextlib import ExitStack

import numpy as np
from distributed import Client

from bench.cluster import NAME, cluster, overheads, surface, training
from bench.measure import Row
from bench.simulated import Costs, levels_of, simulated
from landscape.geometry import refine
from landscape.runs.crew import JOB

CELLS, WORKERS, ROUNDS = 97, (1, 2, 4), 3
LARGE = 257  # side of the surface on paper
SLOW = 0.1  # seconds of a cell of a larger network, on paper
NETWORK = 125e6  # bytes a second between machines, on paper: 1 Gbit/s
MANY = (10, 30, 100)
SEEDS, EPOCHS = 8, 120  # of the training


def measured(rounds: int) -> tuple[dict[int, list[dict]], dict[int, list[dict]], dict]:
    """Surfaces and trainings of every round with 1, 2 and 4 workers, which take turns, and what a part costs."""
    found: dict[int, list[dict]] = {workers: [] for workers in WORKERS}
    trained: dict[int, list[dict]] = {workers: [] for workers in WORKERS}
    with ExitStack() as opened:
        clients = {}
        for workers in WORKERS:
            address = opened.enter_context(cluster(workers))
            clients[workers] = opened.enter_context(Client(address, timeout=60, set_as_default=False))
        for workers, client in clients.items():
            client.wait_for_workers(workers, timeout=120)
        for i in range(rounds + 1):  # the first one warms them
            for workers, client in clients.items():
                for kept, work in ((found, (surface, CELLS)), (trained, (training, SEEDS, EPOCHS))):
                    key = f"{JOB}bench-{work[0].__name__}-{i}"
                    kept[workers].append(client.submit(*work, workers > 1, key=key, pure=False).result())
        costs = clients[2].submit(overheads, key=f"{JOB}costs", pure=False).result()
    for each in (found, trained):
        if len({run["digest"] for runs in each.values() for run in runs}) != 1:
            raise RuntimeError("The same was computed several times and is not the same.")
    return *({workers: runs[1:] for workers, runs in each.items()} for each in (found, trained)), costs


def rows(rounds: int = ROUNDS) -> list[Row]:
    runs, trainings, told = measured(rounds)
    cores, made = len(os.sched_getaffinity(0)), []
    taken = {workers: np.array([each["seconds"] for each in all_of]) for workers, all_of in runs.items()}
    found = {workers: min(all_of, key=lambda each: each["seconds"]) for workers, all_of in runs.items()}
    one = found[1]
    for workers in WORKERS[1:]:
        each, ratio = found[workers], float(np.median(taken[1] / taken[workers]))
        made.append(Row(
            f"scaling: {NAME}, {each['cells']} cells", f"{workers} workers of one core", "1 worker", ratio, 0.0,
            ratio / min(workers, cores),
            note=f"{np.median(taken[1]):.1f} s, {np.median(taken[workers]):.1f} s on {cores} cores, best "
                 f"{taken[1].min():.1f} s, {taken[workers].min():.1f} s; {each['parts']} parts, "
                 f"{each['elsewhere'] / each['cells']:.0%} of the cells elsewhere, {each['dealing']:.2f} s spent on that"))
    made += _training(trainings, cores)
    two = found[2]
    costs = Costs(one["seconds"] / one["cells"], told["latency"], two["dealing"] / max(1, two["parts"]), told["serial"],
                  told["bytes_shared"] / NETWORK, told["prepared"])
    made.append(Row("scaling: a part", f"{told['latency'] * 1e3:.1f} ms there and back", "its second of work",
                    1 / told["latency"], note=_costs(told, costs)))
    paper, _ = simulated(costs, 2, levels_of(two["shape"], refine.exact))
    made.append(Row("scaling: on paper", "2 workers as measured", "2 workers on paper", two["seconds"] / paper))
    for name, cell in ((NAME, costs.cell), (f"{SLOW:g} s a cell", SLOW)):
        made += _on_paper(name, Costs(cell, costs.latency, costs.dealing, costs.serial, costs.send, costs.prepare))
    return made


def _training(trainings: dict[int, list[dict]], cores: int) -> list[Row]:
    made, taken = [], {workers: np.array([each["seconds"] for each in all_of]) for workers, all_of in trainings.items()}
    for workers in WORKERS[1:]:
        ratio = float(np.median(taken[1] / taken[workers]))
        given = trainings[workers][0]["elsewhere"]
        made.append(Row(
            f"scaling: {SEEDS} networks, MNIST-1D, {EPOCHS} epochs", f"{workers} workers of one core", "1 worker",
            ratio, 0.0, ratio / min(workers, cores),
            note=f"{np.median(taken[1]):.1f} s, {np.median(taken[workers]):.1f} s on {cores} cores, best "
                 f"{taken[1].min():.1f} s, {taken[workers].min():.1f} s; {given} rounds of groups elsewhere"))
    return made


def _costs(told: dict, costs: Costs) -> str:
    return (f"{told['serial'] * 1e3:.1f} ms each when many come at once, {costs.dealing * 1e3:.1f} ms of the job's own; "
            f"{told['bytes_asked'] / 1e3:.0f} kB there, {told['bytes_answered'] / 1e3:.0f} kB back for {told['items']}; "
            f"shared: {told['bytes_shared'] / 1e6:.1f} MB once a worker, {told['first']:.2f} s with its preparation; "
            f"{costs.cell * 1e3:.2f} ms a cell")


def _on_paper(name: str, costs: Costs) -> list[Row]:
    made = []
    for title, levels in (("exact", levels_of((LARGE, LARGE), refine.exact)), ("adaptive", levels_of((LARGE, LARGE)))):
        alone, _ = simulated(costs, 1, levels)
        for workers in MANY:
            taken, given = simulated(costs, workers, levels)
            made.append(Row(f"scaling: {name}, {title} {LARGE}x{LARGE}", f"{workers} workers on paper", "1 worker",
                            alone / taken, peak_fraction=alone / taken / workers,
                            note=f"{alone:.1f} s, {taken:.1f} s; {given} parts"))
    return made
