"""Full-batch Hamiltonian Monte Carlo, all chains side by side (Neal 2011; Izmailov et al. 2021, arXiv 2104.14421)."""

from __future__ import annotations

import math

import torch

from landscape.posteriors.hamiltonian import Walk, leapfrog, steps_of, warm_up
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, check_moved, check_positive, silent, starts

__all__ = ["infer", "leapfrog"]
DIVERGED = 1000.0  # nats of energy error that count as a divergence, as in Stan
ADVICE = "Give a longer warm-up or a smaller step_size, start at trained networks, or raise the temperature."


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent,
          warmup: int = 200, trajectory: float = math.pi / 2, most_steps: int = 64, accept: float = 0.8,
          step_size: float | None = None, metric: str | None = None, thin: int = 1) -> Draws:
    """``draws`` of each of ``chains`` after ``warmup`` trajectories, every ``thin``-th kept.

    Lengths are in standard deviations: of the posterior, learned in the warm-up from all chains together, where ``metric``
    is ``dense`` (default up to 20 coordinates) or ``diagonal`` (up to 200); of the prior where it is ``unit`` (more). A
    ``trajectory`` of pi/2 turns a Gaussian into an independent draw; its length varies by a half, and it takes at most
    ``most_steps`` leapfrog steps. The step is adapted until trajectories are accepted with probability ``accept``, unless
    ``step_size`` fixes it.

    ``info``: ``acceptance`` (chains,), ``step_size``, ``leapfrog_steps`` mean per trajectory, ``energy_error`` (chains,
    draws) in nats, ``divergences``, ``metric``. Raises BadInput for a start with non-finite density, Diverged where a chain
    never accepts.
    """
    target = given.target
    check_positive("HMC", trajectory=trajectory, most_steps=most_steps, step_size=step_size, thin=thin, accept=accept)
    with one_thread(target.device):
        walk = Walk(target, starts(given, chains, generator), generator, metric)
        record = Recorder(target, chains, draws, warmup, watch)
        warm_up(walk, warmup, accept, step_size, record, lambda: steps_of(walk, trajectory, most_steps))
        walk.moves.zero_()
        errors, probability, steps = [], torch.zeros_like(walk.value), 0
        for i in range(1, draws * thin + 1):
            count = steps_of(walk, trajectory, most_steps)
            found, error = walk.advance(count)
            probability, steps = probability + found, steps + count
            if i % thin == 0:
                record.add(walk.z, walk.value)
                errors.append(error)
    check_moved("HMC", walk.moves, draws * thin, ADVICE)
    errors = torch.stack(errors, 1).cpu()
    divergences, acceptance = int((errors > DIVERGED).sum()), (probability / (draws * thin)).cpu()
    said = [target.said, f"Trajectories of {steps / (draws * thin):.0f} steps of {walk.step:.3g} standard deviations of the "
                         f"{'prior' if walk.metric == 'unit' else 'posterior'} are accepted with probability "
                         f"{float(acceptance.mean()):.2f}" + f"; {divergences} diverged" * bool(divergences) + "."]
    if steps >= most_steps * draws * thin and trajectory > 1.5 * most_steps * walk.step:
        said.append(f"Trajectories stop after {most_steps} steps, short of the length asked for ({trajectory:.3g}): chains "
                    "move slowly. Allow more with most_steps.")
    return record.draws(acceptance=acceptance, step_size=walk.step, leapfrog_steps=steps / (draws * thin),
                        energy_error=errors, divergences=divergences, metric=walk.metric, said=said)
