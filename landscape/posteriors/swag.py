"""SWAG: a Gaussian in weight space with the first two moments of SGD's trajectory (Maddox et al. 2019, arXiv 1902.02476).

With snapshots w_1 ... w_T, their mean and the variances around it (divided by T), and the deviations D (K, P) of the last K
of them, a draw is ``mean + sqrt(scale) (sqrt(variance) e + D' f / sqrt(K - 1))``, e (P,) and f (K,) standard normal: one f
for the whole network. With scale 1/2 the covariance is half of (diagonal + low rank), the paper's; with scale 0 it is SWA.
The divisor is the number of columns there are, less one, also while there are fewer than the rank asked for.

Moments are summed in float64 around the mean. The authors' program adds snapshots up one at a time in float32 and takes the
variance as the mean square less the squared mean, which loses digits by cancellation (about 1e-7 of the squared weights);
to compare with its numbers there is the convention ``reference``, which does what it does, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.posteriors.method import Draws, Given, Watch, silent
from landscape.posteriors.space import Space, weight_space

DEVIATIONS = ("final", "running", "reference")
SMALLEST = 1e-30  # of a variance
BLOCK_BYTES = 2**25  # of draws that are made at once


@dataclass(frozen=True, eq=False)
class Moments:
    """What SWAG keeps of a trajectory, float64: ``mean`` (P,), ``variance`` (P,), ``deviations`` (K, P), K = 0 for diagonal.

    ``convention`` says what the deviations are from: the ``final`` mean, or the ``running`` one after each snapshot was
    added to it, which is smaller, (t - 1)/t (w_t - mean of the earlier ones); ``reference`` is ``running`` with the
    arithmetic and the divisor of the authors' program. ``divisor`` is what the sum over columns is divided by.
    """

    mean: Tensor
    variance: Tensor
    deviations: Tensor
    convention: str
    snapshots: int
    divisor: int

    @property
    def rank(self) -> int:
        return len(self.deviations)

    @property
    def factor(self) -> Tensor:
        """(K, P): its rows' outer products sum to the low-rank part of the covariance."""
        return self.deviations / math.sqrt(self.divisor) if self.rank else self.deviations

    def weights(self, diagonal: Tensor, low_rank: Tensor, scale: float = 0.5) -> Tensor:
        """Draws (n, P) made of standard normal noise (n, P) and (n, K)."""
        return self.mean + self._offsets(diagonal, low_rank, scale)

    def covariance(self, scale: float = 0.5) -> Tensor:
        """The closed form (P, P) of the draws' covariance; for small networks."""
        return scale * (torch.diag(self.variance) + self.factor.T @ self.factor)

    def ellipse(self, directions: Tensor, scale: float = 0.5) -> Tensor:
        """Covariance (k, k) of the draws' least-squares coordinates in the span of ``directions`` (k, P)."""
        d = directions.double()
        low_rank = d @ self.factor.T
        inner = scale * ((d * self.variance) @ d.T + low_rank @ low_rank.T)
        inverse = torch.linalg.inv(d @ d.T)
        return inverse @ inner @ inverse

    def _offsets(self, diagonal: Tensor, low_rank: Tensor, scale: float) -> Tensor:
        return math.sqrt(scale) * (self.variance.sqrt() * diagonal.double() + low_rank.double() @ self.factor)

    def offsets(self, count: int, scale: float, generator: torch.Generator) -> Tensor:
        """``count`` draws less the mean, (count, P)."""
        size = len(self.mean)
        noise = torch.randn(count, size + self.rank, generator=generator, dtype=torch.float64).to(self.mean.device)
        return self._offsets(noise[:, :size], noise[:, size:], scale)


def moments(trajectory: Tensor, rank: int = 20, deviations: str = "final") -> Moments:
    """Moments of snapshots (T, P), the deviations of at most the last ``rank`` of them; rank 0 keeps the variances alone.

    ``deviations`` is the convention, one of ``DEVIATIONS``. Raises BadInput for fewer than two snapshots, for a rank of 1 (a
    covariance needs two columns) and for weights that are not finite.
    """
    if deviations not in DEVIATIONS:
        raise unknown("convention of deviations", deviations, DEVIATIONS)
    if rank < 0 or rank == 1:
        raise BadInput(f"SWAG's rank is {rank}; expected 0 (variances alone) or at least 2 columns, as their number less "
                       "one is what the covariance is divided by.")
    if trajectory.ndim != 2 or len(trajectory) < 2:
        raise BadInput(f"SWAG needs at least 2 snapshots of one network, (T, P); found shape {tuple(trajectory.shape)}. "
                       "Train longer, collect more often or start to collect earlier.")
    if not bool(trajectory.isfinite().all()):
        first = int((~trajectory.isfinite().all(1)).nonzero()[0])
        raise BadInput(f"Snapshot number {first + 1} of {len(trajectory)} has NaN or infinite weights. Lower the learning "
                       "rate and train again.")
    if deviations == "reference":
        mean, variance, kept = _one_by_one(trajectory.float(), rank)
        return Moments(mean, variance, kept, deviations, len(trajectory), rank - 1)
    w = trajectory.double()
    mean = w.mean(0)
    apart = w - mean
    kept = apart[max(0, len(w) - rank):] if rank else apart[:0]
    if deviations == "running" and rank:
        means = w.cumsum(0) / torch.arange(1, len(w) + 1, dtype=w.dtype, device=w.device)[:, None]
        kept = (w - means)[-len(kept):]
    return Moments(mean, apart.square().mean(0).clamp(min=SMALLEST), kept, deviations, len(w), len(kept) - 1)


def _one_by_one(trajectory: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and at most ``rank`` deviations as the authors' program finds them in float32, given in float64.

    The order of operations counts: ``m n / (n + 1) + w / (n + 1)`` from left to right, of weights and of their squares.
    """
    mean, square = torch.zeros_like(trajectory[0]), torch.zeros_like(trajectory[0])
    kept = trajectory[:0]
    for n, w in enumerate(trajectory):
        mean = mean * n / (n + 1.0) + w / (n + 1.0)
        square = square * n / (n + 1.0) + w.square() / (n + 1.0)
        kept = torch.cat([kept, (w - mean)[None]])[-rank:] if rank else kept
    return mean.double(), (square - mean.square()).clamp(min=SMALLEST).double(), kept.double()


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, rank: int = 20,
          scale: float = 0.5, deviations: str = "final") -> Draws:
    """``chains`` x ``draws`` independent draws of the Gaussian of the first trajectory; rank 0 is SWAG-diagonal."""
    return gaussians([moments(first_of(given), rank, deviations)], draws, chains, generator, watch, scale)


def first_of(given: Given) -> Tensor:
    """The snapshots (T, P) of the first network."""
    if not given.trajectories:
        raise BadInput("SWAG needs the snapshots of a trajectory, and none were handed over. Choose a training that "
                       "collects snapshots.")
    return given.trajectories[0]


def gaussians(fitted: list[Moments], draws: int, chains: int, generator: torch.Generator, watch: Watch,
              scale: float) -> Draws:
    """Independent draws of several SWAG Gaussians, all of the same size; one after the other, ``chains`` of each."""
    check(draws, chains, scale)
    space = middle([each.mean for each in fitted])
    size, total, parts = len(space.origin), len(fitted) * chains * draws, []
    block = max(1, min(1000, BLOCK_BYTES // (8 * size)))
    for each in fitted:
        centre = space.project(each.mean)
        for _ in range(chains):
            for start in range(0, draws, block):
                parts.append(centre + each.offsets(min(block, draws - start), scale, generator))
                watch(sum(map(len, parts)), total, parts[-1][None])
    z = torch.cat(parts).reshape(len(fitted) * chains, draws, size)
    return Draws(z, torch.full(z.shape[:2], torch.nan, dtype=torch.float64), space, told(fitted, scale))


def middle(means: list[Tensor]) -> Space:
    """Weight space around the mean of some networks."""
    sizes = sorted({len(mean) for mean in means})
    if len(sizes) > 1:
        raise BadInput(f"The trajectories have {' and '.join(map(str, sizes))} parameters; expected one size for all.")
    return weight_space(means[0] if len(means) == 1 else torch.stack(means).mean(0))


def check(draws: int, chains: int, scale: float = 0.0) -> None:
    """Complain of numbers that ask for nothing, and of a negative or non-finite scale."""
    if draws < 1 or chains < 1:
        raise BadInput(f"Asked for {draws} draws in each of {chains} chains; expected at least 1 of both.")
    if not 0 <= scale < math.inf:
        raise BadInput(f"SWAG's scale is {scale}; expected a finite number from 0 (SWA itself) on, 0.5 in the paper.")


def told(fitted: list[Moments], scale: float) -> dict:
    """What there is to say of some Gaussians."""
    one = fitted[0]
    share = torch.stack([each.factor.square().sum() / (each.factor.square().sum() + each.variance.sum())
                         for each in fitted]).mean()
    said = [f"Covariance: {scale:g} times (diagonal + low rank) of {one.snapshots} snapshots; the low rank part from "
            f"{one.rank} deviations from the {'final' if one.convention == 'final' else 'running'} mean, divided by "
            f"{one.divisor}." if one.rank else f"Covariance: {scale:g} times the diagonal of {one.snapshots} snapshots."]
    if one.convention == "reference":
        said.append("Moments and divisor are those of the program of Maddox et al. 2019: float32, one snapshot after the "
                    "other, and divided by the rank asked for less one" + (
                        f", which makes the low-rank part {math.sqrt((one.rank - 1) / one.divisor):.2g} times as wide as "
                        f"its {one.rank} columns are." if 1 < one.rank <= one.divisor else "."))
    if scale == 0:
        said.append("With scale 0 every draw is the SWA solution itself.")
    return {"said": said, "rank": one.rank, "scale": scale, "snapshots": one.snapshots, "deviations": one.convention,
            "low_rank_share": float(share), "gradient_evaluations": 0, "value_evaluations": 0}
