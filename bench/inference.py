"""Posteriors: many chains against one, one after the other, and how long predictions of SWAG's draws take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.measure import Row, interleaved, seconds
from landscape.data import load
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.posteriors import method, predictive
from landscape.posteriors.method import Given
from landscape.posteriors.space import pca_space, weight_space
from landscape.posteriors.swag import moments
from landscape.posteriors.target import Posterior
from landscape.training import sgd
from landscape.training.averaging import Collector, trajectory_of
from landscape.training.task import Task, task_from

CHAINS, ROUNDS = 16, 5
DEARER, FASTER, INSTANT = 4.0, 3.0, 0.3  # the bars: times one chain's, times one after the other, seconds
OPTIONS = {"ess": {"draws": 200, "warmup": 20}, "hmc": {"draws": 30, "warmup": 30, "most_steps": 16}}


def walked(name: str, widths: tuple[int, ...], activation: str, epochs: int, lr: float,
           batch_size: int) -> tuple[Task, torch.Tensor]:
    """A task and snapshots (T, P) of SGD at a constant rate, one an epoch of the second half."""
    data = load(name, 0)
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, widths, activation)), 1e-3)
    start = initial_weights(task.net.module, sgd.generator(0, 0))[None]
    steps = -(-len(data.train) // batch_size)
    collector = Collector(trace=range(steps * (epochs // 2), steps * epochs + 1, steps))
    state = sgd.train(task, [0], start, epochs=epochs, batch_size=batch_size, lr=lr, schedule=lambda share: 1.0,
                      momentum=0.9, points=collector.points, collect=collector)
    return task, trajectory_of(state).weights[:, 0]


def sampled(name: str, target: Posterior, networks: torch.Tensor, chains: int, seed: int = 0, **options) -> None:
    method.infer(name, Given(target=target, networks=networks), generator=torch.Generator().manual_seed(seed), chains=chains,
                 **OPTIONS[name] | options)


def rows(rounds: int = ROUNDS) -> list[Row]:
    task, snapshots = walked("regression", (50, 50), "tanh", 80, 0.003, 50)
    plane = Posterior(task, pca_space(snapshots, 2), 1.0)
    whole = Posterior(task, weight_space(snapshots[-1]), 0.5)
    made = []
    for name, target in (("ess", plane), ("hmc", plane)):
        ratio, note = _ratio(lambda n, name=name, target=target: sampled(name, target, snapshots[-1:], n), rounds)
        made.append(Row(f"regression, 2-D subspace: {CHAINS} {name} chains", "all at once", "one chain", 1 / ratio, None,
                        None, 1 / DEARER, ratio <= DEARER, f"{ratio:.2f} times the time of one, bar {DEARER:g}; {note}"))
    fixed = {"step_size": 0.002, "warmup": 0}  # so that one chain and many take the same steps
    ratio, note = _ratio(lambda n: sampled("hmc", whole, snapshots[-1:], n, **fixed), rounds)
    made.append(Row(f"regression, {whole.ndim:,} weights: {CHAINS} hmc chains", "all at once", "one after the other",
                    CHAINS / ratio, None, None, FASTER, CHAINS / ratio >= FASTER, note))
    return [*made, _predictions(rounds)]


def _ratio(run: Callable[[int], None], rounds: int) -> tuple[float, str]:
    """The time of all chains over that of one."""
    run(CHAINS)
    taken = interleaved({"many": lambda: seconds(lambda: run(CHAINS)), "one": lambda: seconds(lambda: run(1))}, rounds)
    many, one = np.median(taken["many"]), np.median(taken["one"])
    return float(many / one), f"{many:.2f} s and {one:.2f} s"


def _predictions(rounds: int) -> Row:
    task, snapshots = walked("mnist1d", (100, 100), "relu", 6, 0.1, 128)
    gaussian = moments(snapshots)

    def predict() -> None:
        draws = gaussian.mean + gaussian.offsets(30, 0.5, torch.Generator().manual_seed(0))
        predictive.average(task, draws)

    predict()
    taken = float(np.median([seconds(predict) for _ in range(rounds)]))
    return Row("mnist1d: 30 SWAG draws on 1,000 test points", "drawn and averaged", f"{INSTANT:g} s", INSTANT / taken, None,
               None, 1, taken <= INSTANT, f"{taken:.3f} s")
