"""Negative log-likelihoods, in nats per example, and the error shown beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Categorical:
    """Classification by softmax over logits (..., B, C) with class numbers y (..., B)."""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B)."""
        shape = outputs.shape[:-1]
        return functional.cross_entropy(outputs.flatten(0, -2), y.expand(shape).flatten(), reduction="none").view(shape)

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """1 where the largest logit is not the label's (..., B); a row with a non-finite logit counts as wrong."""
        return ((outputs.argmax(-1) != y) | ~outputs.isfinite().all(-1)).to(outputs.dtype)

    def means(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean NLL and error (N,) float64 of N networks from logits (N, C, B): fast, as examples lie side by side."""
        below = logits - logits.amax(1, keepdim=True)
        own = below.gather(1, y.expand(len(logits), 1, -1))[:, 0]
        largest = int(torch.count_nonzero(below))  # all but one of each example's, unless some are equal or not finite
        nll = below.exp_().sum(1).log_() - own
        if logits.numel() - largest == nll.numel() and bool(nll.sum().isfinite()):
            return _mean(nll), own.count_nonzero(1).double() / own.shape[1]
        return _mean(nll), _mean(self.error(logits.transpose(1, 2), y))

    def combine(self, mean_error: Tensor) -> Tensor:
        return mean_error


@dataclass(frozen=True)
class Gaussian:
    """Regression with a fixed noise variance: outputs (..., B, 1) are means of y (..., B, 1)."""

    variance: float

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B), summed over target dimensions."""
        return (0.5 * math.log(2 * math.pi * self.variance) + (outputs - y).square() / (2 * self.variance)).sum(-1)

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Squared error (..., B); ``combine`` turns its mean into a root mean squared error."""
        return (outputs - y).square().mean(-1)

    def means(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean NLL and error (N,) float64 of N networks from outputs (N, D, B)."""
        outputs = outputs.transpose(1, 2)
        return _mean(self.nll(outputs, y)), _mean(self.error(outputs, y))

    def combine(self, mean_error: Tensor) -> Tensor:
        return torch.sqrt(mean_error)


def _mean(values: Tensor) -> Tensor:
    """(N,) float64 of values (N, B). Row by row, so that a mean does not depend on the other rows."""
    return torch.stack([row.mean() for row in values.double()])


Likelihood = Categorical | Gaussian
