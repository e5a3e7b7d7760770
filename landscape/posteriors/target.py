"""What is inferred: the tempered log posterior of a task in the coordinates of a space, for many points at once.

log p(z | D) = sum over examples of log p(y | x, w(z)) / T + log prior(z), up to a constant, in nats. The temperature T
divides the SUMMED log-likelihood and leaves the prior alone (Izmailov et al. 2019, equation 3); T = 1 is Bayes' rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.geometry.surface import Evaluator
from landscape.networks.accelerator import LOWER
from landscape.networks.net import Buffers
from landscape.posteriors.likelihood import Likelihood, one_thread
from landscape.posteriors.space import Space, weight_space
from landscape.training.task import Task

CHUNK_BYTES = 2**27  # of weights that are made from coordinates at a time
PRIORS = ("coordinates", "weights")


@dataclass(frozen=True, eq=False)
class Normal:
    """A Gaussian over coordinates: ``mean`` (K,) and ``deviation``: a number, (K,) or a lower triangular factor (K, K)."""

    mean: Tensor
    deviation: float | Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, K)."""
        return self.mean + self.spread(count, generator)

    def spread(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws (count, K) around zero."""
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=self.mean.dtype, device=generator.device)
        return scaled(noise.to(self.mean.device), self.deviation)

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) of z (N, K), normalised."""
        away, deviation = z - self.mean, self.deviation
        if not isinstance(deviation, Tensor):
            log_scale, unit = len(self.mean) * math.log(deviation), away / deviation
        elif deviation.ndim == 1:
            log_scale, unit = deviation.log().sum(), away / deviation
        else:
            log_scale = deviation.diagonal().log().sum()
            unit = torch.linalg.solve_triangular(deviation, away.T, upper=False).T
        return -0.5 * unit.square().sum(-1) - log_scale - 0.5 * len(self.mean) * math.log(2 * math.pi)

    def gradient(self, z: Tensor) -> Tensor:
        """Of the log density, (N, K)."""
        away, deviation = z - self.mean, self.deviation
        if isinstance(deviation, Tensor) and deviation.ndim == 2:
            return -torch.cholesky_solve(away.T, deviation, upper=False).T
        return -away / deviation**2


def scaled(unit: Tensor, deviation: float | Tensor) -> Tensor:
    """Unit vectors (..., K) times a number, (K,) or a triangular factor (K, K)."""
    if isinstance(deviation, Tensor) and deviation.ndim == 2:
        return unit @ deviation.T
    return unit * deviation


class Target:
    """A log density over the coordinates of a space. All methods take z (N, K) float64 and treat the N points alike.

    Subclasses give ``_likelihood`` and ``_likelihood_gradient``; ``prior`` is Gaussian over the coordinates. ``evaluations``
    counts passes over the training data: one of one network is 1, a part of the data counts as its share.
    """

    space: Space
    task: Task | None = None
    normal_prior: Normal

    def __init__(self):
        self.evaluations = {"values": 0.0, "gradients": 0.0}

    @property
    def ndim(self) -> int:
        return self.space.ndim

    @property
    def device(self) -> torch.device:
        return self.space.origin.device

    @property
    def dtype(self) -> torch.dtype:
        """What draws are kept in: the task's precision for all weights, float64 for coordinates."""
        return self.task.dtype if self.space.kind == "weights" and self.task is not None else torch.float64

    def log_likelihood(self, z: Tensor) -> Tensor:
        """(N,) float64: the summed log-likelihood divided by the temperature."""
        z = self._points(z)
        self.evaluations["values"] += len(z)
        return self._likelihood(z)

    def log_prior(self, z: Tensor) -> Tensor:
        """(N,) float64; not tempered."""
        return self.normal_prior.log_density(self._points(z))

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) float64, up to a constant."""
        with one_thread(self.device):
            return self.log_likelihood(z) + self.log_prior(z)

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(log density (N,), its gradient (N, K))`` float64, from one forward and one backward pass for all N."""
        return self.stochastic_gradient(z, None)

    def stochastic_gradient(self, z: Tensor, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same estimated from some examples (B,) of the training data, their sum times n / B; all of them if None."""
        z = self._points(z)
        self.evaluations["gradients"] += len(z) * (1 if examples is None else len(examples) / self.examples)
        with one_thread(self.device):
            value, gradient = self._likelihood_gradient(z, examples)
            return value + self.normal_prior.log_density(z), gradient + self.normal_prior.gradient(z)

    @property
    def examples(self) -> int:
        """How many the data consists of that ``stochastic_gradient`` can choose from; 0 where it cannot."""
        return 0

    @property
    def said(self) -> str:
        """The target in words: temperature, prior and their spaces."""
        return f"A density over {self.ndim} coordinates."

    def _likelihood(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _likelihood_gradient(self, z: Tensor, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _points(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.ndim:
            raise BadInput(f"A density over {self.ndim} coordinates takes points (N, {self.ndim}); found {tuple(z.shape)}.")
        return z.to(self.space.origin)


class Posterior(Target):
    """A task's tempered posterior over a space.

    ``prior`` says what is N(0, prior_std^2): the ``coordinates`` z, or the ``weights`` lift(z) (the density of the weights'
    prior along the space; on a subspace that is a Gaussian over z, too, with its mean where the space comes nearest to
    zero). The task's weight decay is not used: the prior takes its place. ``buffers`` hold BatchNorm's statistics fixed;
    without them they are re-estimated at every point (see ``Likelihood`` for what gradients then are). Networks are
    evaluated in the task's ``precision``; coordinates, prior and sums stay what they are (``rounding`` measures what that
    does). Raises BadInput for a temperature or a prior's standard deviation that is not above zero.
    """

    def __init__(self, task: Task, space: Space, prior_std: float, temperature: float = 1.0,
                 prior: Literal["coordinates", "weights"] = "coordinates", buffers: Buffers | None = None):
        super().__init__()
        _positive("temperature", temperature, "1 is Bayes' rule, below 1 trusts the data more, above 1 less")
        _positive("prior_std", prior_std, "it is the standard deviation of the prior")
        if prior not in PRIORS:
            raise unknown("space of the prior", prior, PRIORS)
        if space.origin.shape != (task.net.size,):
            raise BadInput(f"The space has {len(space.origin):,} weights and the network {task.net.size:,}. Build the space "
                           "from networks of this architecture.")
        x = task.splits["train"][0]
        self.task, self.space, self.prior = task, space.to(x.device), prior
        self.prior_std, self.temperature = prior_std, temperature
        self.likelihood, self.buffers = Likelihood(task, buffers), buffers

    @property
    def examples(self) -> int:
        return len(self.likelihood)

    @property
    def said(self) -> str:
        over = ("the weights, along the space" if self.prior == "weights" else
                "the weights' distances from the origin" if self.space.kind == "weights" else "the coordinates")
        return (f"Temperature {self.temperature:g} divides the log-likelihood summed over {self.examples:,} training "
                f"examples (nats); the prior, not tempered, is normal: mean 0, deviation {self.prior_std:g} on {over}."
                + f" Networks are evaluated in {self.precision}." * (self.precision in LOWER))

    @property
    def precision(self) -> str:
        """The numbers networks are evaluated in, one of ``geometry.precision.PRECISIONS``."""
        return self.likelihood.precision

    @cached_property
    def normal_prior(self) -> Normal:
        origin, directions = self.space.origin, self.space.directions
        if self.prior == "coordinates":
            return Normal(origin.new_zeros(self.ndim), self.prior_std)
        if self.space.kind == "weights":
            return Normal(-origin, self.prior_std)
        precision = directions @ directions.T
        mean = -torch.linalg.solve(precision, directions @ origin)
        return Normal(mean, torch.linalg.cholesky(torch.linalg.inv(precision) * self.prior_std**2))

    @cached_property
    def evaluator(self) -> Evaluator:
        """The evaluator of surfaces on this space."""
        return Evaluator(self.task, self.space.subspace, ("train",), self.buffers)

    def _likelihood(self, z: Tensor) -> Tensor:
        if self.space.kind == "weights" or not self.task.net.layers:  # no affine first layer to gain from
            parts = z.split(max(1, CHUNK_BYTES // (8 * self.task.net.size)))
            return torch.cat([self.likelihood.values(self.space.lift(part)) for part in parts]) / self.temperature
        if self.evaluator.way.kind == "together":
            nll = self.evaluator.on_device(z)[0]
        else:
            nll = torch.as_tensor(self.evaluator(z.cpu().numpy())["train_nll"]).to(z)
        return -nll * (self.examples / self.temperature)

    def _likelihood_gradient(self, z: Tensor, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        value, gradient = self.likelihood.gradients(self._lifted(z), examples)
        gradient = gradient if self.space.kind == "weights" else gradient.double() @ self.space.directions.T
        return value / self.temperature, gradient.double() / self.temperature

    def _lifted(self, z: Tensor) -> Tensor:
        """Weights (N, P) with one product: to the last bit they may depend on how many points there are."""
        return self.space.origin + (z if self.space.kind == "weights" else z @ self.space.directions)


class Gaussian(Target):
    """A normal density N(mean, covariance), as prior N(0, prior_std^2) times what remains: what samplers are tested on.

    ``mean`` (K,), ``covariance`` (K, K), float64. ``prior_std`` is by default three times the largest standard deviation.
    """

    def __init__(self, mean: Tensor, covariance: Tensor, prior_std: float | None = None):
        super().__init__()
        mean, covariance = mean.double(), covariance.double()
        if covariance.shape != (len(mean), len(mean)):
            raise BadInput(f"A mean ({len(mean)},) needs a covariance ({len(mean)}, {len(mean)}); found "
                           f"{tuple(covariance.shape)}.")
        self.space = weight_space(torch.zeros_like(mean))
        self.mean, self.covariance = mean, covariance
        self.density = Normal(mean, torch.linalg.cholesky(covariance))
        self.prior_std = prior_std or 3 * float(torch.linalg.eigvalsh(covariance)[-1].sqrt())
        _positive("prior_std", self.prior_std, "it is a standard deviation")
        self.normal_prior = Normal(torch.zeros_like(mean), self.prior_std)

    def _likelihood(self, z: Tensor) -> Tensor:
        return self.density.log_density(z) - self.normal_prior.log_density(z)

    def _likelihood_gradient(self, z: Tensor, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._likelihood(z), self.density.gradient(z) - self.normal_prior.gradient(z)


def _positive(name: str, value: float, meaning: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{name} must be a finite number above zero, found {value:g}: {meaning}.")
    return value
