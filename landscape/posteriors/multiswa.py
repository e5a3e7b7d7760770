"""MultiSWA: an ensemble of SWA solutions, each the mean of one trajectory's snapshots (Wilson and Izmailov 2020)."""

from __future__ import annotations

import torch

from landscape.errors import BadInput
from landscape.geometry.trajectories import average
from landscape.posteriors.ensemble import members
from landscape.posteriors.method import Draws, Given, Watch, silent


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent) -> Draws:
    """The mean of every trajectory once: z (members, 1, P), whatever number of draws is asked for."""
    if not given.trajectories:
        raise BadInput("MultiSWA needs snapshots of trajectories, and none were handed over. Choose a training that "
                       "collects snapshots.")
    return members(torch.stack([average(trajectory) for trajectory in given.trajectories]), "SWA solutions", watch)
