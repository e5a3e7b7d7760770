"""Nine networks at once against one torch module after the other: SGD, and SGD with SWA beside it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

from bench.measure import Row, interleaved, seconds
from landscape.networks.architectures import initial_weights
from landscape.recipes.training import Problem, options, problem
from landscape.recipes.walks import planned, starts
from landscape.schedules import Plan, shared_epochs
from landscape.settings import Training
from landscape.settings_averaging import Walk
from landscape.training import sgd
from landscape.training.averaging import average_of
from landscape.training.walk import branched

SEEDS, EPOCHS, ROUNDS = tuple(range(9)), 6, 5
SPEEDUP, AVERAGED_SPEEDUP = 3.0, 2.0
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
    schedule, steps = options(s)["schedule"], -(-len(p.task.splits["train"][0]) // s.batch_size)
    total = s.epochs * steps
    _start(p, s, seed)
    return _follow(p, s, seed, [s.lr * schedule(step / total) for step in range(total)])


def _start(p: Problem, s: Training, seed: int) -> None:
    vector_to_parameters(initial_weights(p.module, sgd.generator(seed, 0)), p.module.parameters())


def _follow(p: Problem, s: Training, seed: int, rates: list[float], begin: int = 0, momentum: dict | None = None,
            after_step=lambda step: None) -> list[float]:
    """Trains the module from step ``begin`` on; the mean training NLL of each epoch. ``momentum`` is passed on, if given."""
    x, y = p.task.splits["train"]
    optimiser = torch.optim.SGD(p.module.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
    if momentum:
        optimiser.load_state_dict(momentum)
    steps, found = -(-len(x) // s.batch_size), []
    for epoch in range(begin // steps, len(rates) // steps):
        order, total = sgd.shuffles([seed], epoch + 1, len(x))[0], torch.zeros(())
        for step, indices in enumerate(order.split(s.batch_size), epoch * steps):
            optimiser.param_groups[0]["lr"] = rates[step]
            loss = cross_entropy(p.module(x[indices]), y[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(indices)
            after_step(step + 1)
        found.append(float(total) / len(x))
    if momentum is not None:
        momentum |= copy.deepcopy(optimiser.state_dict())
    return found


def averages_together(p: Problem, s: Walk, plans: dict[str, Plan]) -> np.ndarray:
    """w_SGD and w_SWA of every seed (2, K, P)."""
    states = branched(p.task, list(s.seeds), starts(s, p), plans, batch_size=s.batch_size, momentum=s.momentum,
                      trace=lambda plan: ()).states
    return torch.stack([states["sgd"].parameters, average_of(states["constant"])[0]]).numpy()


def averages_one_by_one(p: Problem, s: Walk, plans: dict[str, Plan], shared: int) -> np.ndarray:
    """The same with a torch module, torch.optim.SGD and swa_utils; the shared start is trained once here, too."""
    found = []
    for seed in s.seeds:
        _start(p, s, seed)
        momentum: dict = {}
        before = shared * plans["sgd"].steps_per_epoch
        _follow(p, s, seed, plans["sgd"].rates[:before].tolist(), momentum=momentum)
        fork = parameters_to_vector(p.module.parameters()).detach().clone()
        _follow(p, s, seed, plans["sgd"].rates.tolist(), before, copy.deepcopy(momentum))
        w_sgd = parameters_to_vector(p.module.parameters()).detach().clone()
        vector_to_parameters(fork.clone(), p.module.parameters())
        average, collect = AveragedModel(p.module), set(plans["constant"].collect.tolist())
        _follow(p, s, seed, plans["constant"].rates.tolist(), before, momentum,
                lambda step, average=average, collect=collect: step in collect and average.update_parameters(p.module))
        found.append(torch.stack([w_sgd, parameters_to_vector(average.module.parameters()).detach()]))
    return torch.stack(found, dim=1).numpy()


def rows(rounds: int = ROUNDS) -> list[Row]:
    s = Training(task="digits", seeds=SEEDS, epochs=EPOCHS)
    p = problem(s)
    p.module.requires_grad_(True)
    plain = _row("training nine networks, digits", SPEEDUP, rounds, "losses",
                 lambda: together(p, s), lambda: one_by_one(p, s))
    walk = Walk(task="mnist1d", seeds=SEEDS, budgets=(1.0,), epochs=4, every=0.25)  # long walks part by rounding
    own = problem(walk)
    own.module.requires_grad_(True)
    plans = {name: plan for name, plan in planned(walk, own).items() if name in ("sgd", "constant")}
    shared = shared_epochs(plans.values())
    return [plain, _row("nine walks with SGD and SWA, mnist1d", AVERAGED_SPEEDUP, rounds, "weights",
                        lambda: averages_together(own, walk, plans),
                        lambda: averages_one_by_one(own, walk, plans, shared))]


def _row(name: str, bar: float, rounds: int, of: str, ours, loop) -> Row:
    found, expected = ours(), loop()
    differences = np.max(np.abs(found - expected), -1) / np.max(np.abs(expected), -1)
    error = float(np.median(differences))  # rounding that turns one ReLU sends that network elsewhere
    taken = interleaved({"ours": lambda: seconds(ours), "loop": lambda: seconds(loop)}, rounds)
    ratio = float(np.median(taken["loop"] / taken["ours"]))
    note = f"{np.median(taken['ours']):.2f} s and {np.median(taken['loop']):.2f} s; error: the {of} of the median network"
    met = ratio >= bar and error <= SAME
    return Row(name, "all at once", "torch modules, one by one", ratio, error, None, bar, met, note)
