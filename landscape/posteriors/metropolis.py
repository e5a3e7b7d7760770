"""Random-walk Metropolis (Metropolis et al. 1953; steps after Roberts, Gelman and Gilks 1997): the plainest sampler.

It needs no gradient and no Gaussian prior, and says by how it mixes what the others are worth.
"""

from __future__ import annotations

import math

import torch

from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, check_moved, check_positive, silent, starts

OPTIMAL = 2.38  # step over sqrt(K), in standard deviations of the target, that mixes best in many dimensions
WANTED = 0.3  # share of accepted proposals that the warm-up steers to: .44 is best in one dimension, .234 in many


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, warmup: int = 500,
          thin: int = 5, step_size: float | None = None) -> Draws:
    """``draws`` of each of ``chains`` after ``warmup``, every ``thin``-th kept.

    A proposal is the present point plus ``step_size`` times a draw of the prior's shape; without a ``step_size`` each chain
    finds its own in the warm-up. ``info``: ``acceptance`` and ``step_size`` (chains,). Raises BadInput for a start with
    non-finite density, Diverged where a chain never accepts.
    """
    target = given.target
    check_positive("Random-walk Metropolis", thin=thin, step_size=step_size)
    z = starts(given, chains, generator)
    value = target.log_density(z)
    log_step = torch.full_like(value, math.log(step_size or OPTIMAL / math.sqrt(target.ndim)))
    record, accepted = Recorder(target, chains, draws, warmup, watch), torch.zeros_like(value)
    with one_thread(target.device):
        for step in range(1, warmup + draws * thin + 1):
            proposal = z + log_step.exp()[:, None] * target.normal_prior.spread(chains, generator).to(z)
            proposed = target.log_density(proposal)
            chance = torch.rand(chains, generator=generator, dtype=torch.float64, device=generator.device).to(value.device)
            taken = chance.log() < proposed - value  # not so for NaN
            z, value = torch.where(taken[:, None], proposal, z), torch.where(taken, proposed, value)
            if step <= warmup:
                if step_size is None:
                    log_step += (taken.to(value) - WANTED) / math.sqrt(step)
                record.warmed()
                continue
            accepted += taken
            if (step - warmup) % thin == 0:
                record.add(z, value)
    share = accepted / (draws * thin)
    check_moved("Random-walk Metropolis", share, draws * thin, "Give a smaller step_size or a longer warmup.")
    said = [target.said, f"{100 * float(share.mean()):.0f} % of the proposals were accepted."]
    return record.draws(acceptance=share.cpu(), step_size=log_step.exp().cpu(), said=said)
