"""Training nine networks at once against one torch module after the other with torch.optim.SGD."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

from bench.measure import Row, interleaved, seconds
from landscape.networks.architectures import initial_weights
from landscape.recipes.training import Problem, options, problem
from landscape.settings import Training
from landscape.training import sgd

SEEDS, EPOCHS, ROUNDS = tuple(range(9)), 6, 5
SPEEDUP = 3.0
SAME = 1e-4  # relative difference of losses that rounding may cause


def together(p: Problem, s: Training) -> np.ndarray:
    """Mean training NLL (K, epochs)."""
    starts = torch.stack([initial_weights(p.module, sgd.generator(seed, 0)) for seed in s.seeds])
    state = sgd.train(p.task, list(s.seeds), starts, epochs=s.epochs, lr=s.lr, **options(s))
    return torch.stack(state.log["train_nll"], dim=1).numpy()


def one_by_one(p: Problem, s: Training) -> np.ndarray:
    """The same networks from the same starts and shuffles: (K, epochs)."""
    return np.array([_one(p, s, seed) for seed in s.seeds])


def _one(p: Problem, s: Training, seed: int) -> list[float]:
    x, y = p.task.splits["train"]
    vector_to_parameters(initial_weights(p.module, sgd.generator(seed, 0)), p.module.parameters())
    optimiser = torch.optim.SGD(p.module.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
    schedule, steps, found = options(s)["schedule"], -(-len(x) // s.batch_size), []
    for epoch in range(s.epochs):
        order, total = sgd.shuffles([seed], epoch + 1, len(x))[0], torch.zeros(())
        for step, indices in enumerate(order.split(s.batch_size)):
            optimiser.param_groups[0]["lr"] = s.lr * schedule((epoch * steps + step) / (s.epochs * steps))
            loss = cross_entropy(p.module(x[indices]), y[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(indices)
        found.append(float(total) / len(x))
    return found


def rows(rounds: int = ROUNDS) -> list[Row]:
    s = Training(task="digits", seeds=SEEDS, epochs=EPOCHS)
    p = problem(s)
    p.module.requires_grad_(True)
    ours, theirs = together(p, s), one_by_one(p, s)
    error = float(np.max(np.abs(ours - theirs) / theirs))
    taken = interleaved({"ours": lambda: seconds(lambda: together(p, s)), "loop": lambda: seconds(lambda: one_by_one(p, s))},
                        rounds)
    ratio = float(np.median(taken["loop"] / taken["ours"]))
    note = f"{np.median(taken['ours']):.2f} s and {np.median(taken['loop']):.2f} s; error is that of the losses"
    return [Row("training nine networks, digits", "all at once", "torch modules, one by one", ratio, error, None, SPEEDUP,
                ratio >= SPEEDUP and error <= SAME, note)]
