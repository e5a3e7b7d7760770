"""MultiSWAG: a mixture of SWAG Gaussians, one around each of several SWA solutions (Wilson and Izmailov 2020, section 4)."""

from __future__ import annotations

import torch

from landscape.posteriors.method import Draws, Given, Watch, silent
from landscape.posteriors.swag import first_of, gaussians, moments


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, rank: int = 20,
          scale: float = 0.5, deviations: str = "final") -> Draws:
    """``chains`` x ``draws`` independent draws of EACH member's Gaussian, member by member: z (members x chains, draws, P).

    With one trajectory this is SWAG, draw for draw.
    """
    first_of(given)
    fitted = [moments(trajectory, rank, deviations) for trajectory in given.trajectories]
    found = gaussians(fitted, draws, chains, generator, watch, scale)
    found.info["members"] = len(fitted)
    found.info["said"].insert(0, f"A mixture of {len(fitted)} Gaussians in equal parts, {chains * draws} draws of each.")
    return found
