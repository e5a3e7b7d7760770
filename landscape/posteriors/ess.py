"""Elliptical slice sampling (Murray, Adams and MacKay 2010): a Gaussian prior, any likelihood, nothing to tune.

A proposal lies on the ellipse through the present point and a draw of the prior; the bracket of angles shrinks towards the
present point until a proposal's likelihood is above the slice. All chains are evaluated together, each proceeding by
itself: a chain that has accepted begins its next ellipse while others still shrink theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.errors import Diverged
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, check_positive, check_start, silent, starts

SHRUNK = 200  # proposals on one ellipse after which nothing but the present point is left of it in double precision


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent,
          warmup: int = 100, thin: int = 1) -> Draws:
    """``draws`` of each of ``chains`` after ``warmup``, every ``thin``-th kept. Needs a target with a Gaussian prior.

    ``info``: ``acceptance`` (chains,), accepted proposals per proposal; ``first`` the share of draws whose first proposal
    was accepted. Raises BadInput for a start with non-finite density, Diverged where a chain never accepts.
    """
    target = given.target
    check_positive("Elliptical slice sampling", thin=thin)
    state = _Chains(target, starts(given, chains, generator), generator)
    record = Recorder(target, chains, draws, warmup, watch)
    seen = torch.zeros(chains, dtype=torch.long)
    with one_thread(target.device):
        while not record.full:
            done = state.propose()
            before, seen = seen.clone(), seen + done.cpu()
            record.warmed(int(seen.min().clamp(max=warmup) - before.min().clamp(max=warmup)))
            kept = torch.nonzero(done.cpu() & (seen > warmup) & ((seen - warmup) % thin == 0)).flatten()
            if len(kept):
                at = kept.to(target.device)
                record.add(state.z[at], state.likelihood[at] + target.log_prior(state.z[at]), kept)
    accepted = state.accepted / state.proposed
    share = 100 * float(accepted.mean())
    said = [target.said, f"Of all proposals {share:.0f} % were accepted; every ellipse ends with one that is."]
    return record.draws(acceptance=accepted.cpu(), first=float((state.first / state.accepted).mean()), said=said)


class _Chains:
    """Where each chain is, its present ellipse and bracket."""

    def __init__(self, target, z: Tensor, generator: torch.Generator):
        self.target, self.generator, self.prior = target, generator, target.normal_prior
        self.z, self.likelihood = z, target.log_likelihood(z)
        check_start(target, z, self.likelihood)
        like = self.likelihood
        self.partner, self.level = torch.zeros_like(z), torch.zeros_like(like)
        self.low, self.high, self.angle = torch.zeros_like(like), torch.zeros_like(like), torch.zeros_like(like)
        self.shrunk = torch.zeros_like(like)
        self.proposed, self.accepted, self.first = torch.zeros_like(like), torch.zeros_like(like), torch.zeros_like(like)
        self._begin(torch.ones_like(like, dtype=torch.bool))

    def propose(self) -> Tensor:
        """One proposal of every chain; which chains accepted theirs (chains,)."""
        around = self.z - self.prior.mean
        cos, sin = self.angle.cos()[:, None], self.angle.sin()[:, None]
        proposal = self.prior.mean + around * cos + self.partner * sin
        likelihood = self.target.log_likelihood(proposal)
        done = likelihood > self.level  # not so for NaN
        self.proposed += 1
        self.accepted += done
        self.first += done & (self.shrunk == 0)
        self.z = torch.where(done[:, None], proposal, self.z)
        self.likelihood = torch.where(done, likelihood, self.likelihood)
        self.low = torch.where(self.angle < 0, self.angle, self.low)
        self.high = torch.where(self.angle < 0, self.high, self.angle)
        self.shrunk += 1
        self._stuck(~done & (self.shrunk >= SHRUNK))
        self.angle = self.low + (self.high - self.low) * self._uniform()
        self._begin(done)
        return done

    def _begin(self, chosen: Tensor) -> None:
        """A new ellipse, slice and bracket for these chains; numbers are drawn for all of them."""
        partner = self.prior.spread(len(self.z), self.generator)
        angle, level = 2 * math.pi * self._uniform(), self.likelihood + self._uniform().log()
        self.partner = torch.where(chosen[:, None], partner, self.partner)
        self.level = torch.where(chosen, level, self.level)
        self.angle = torch.where(chosen, angle, self.angle)
        self.low = torch.where(chosen, angle - 2 * math.pi, self.low)
        self.high = torch.where(chosen, angle, self.high)
        self.shrunk = torch.where(chosen, 0, self.shrunk)

    def _uniform(self) -> Tensor:
        drawn = torch.rand(len(self.z), generator=self.generator, dtype=torch.float64, device=self.generator.device)
        return drawn.to(self.z.device)

    def _stuck(self, chains: Tensor) -> None:
        if chains.any():
            names = [str(k + 1) for k in torch.nonzero(chains).flatten().tolist()]
            raise Diverged(f"Elliptical slice sampling: chain{'s' * (len(names) > 1)} {', '.join(names)} of {len(chains)} "
                           f"accepted none of {SHRUNK} proposals on one ellipse. The likelihood is too narrow for its "
                           "precision: raise the temperature, lower prior_std, or start the chains at a trained network.")
