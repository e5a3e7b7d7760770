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
        own = y.expand(len(logits), 1, -1)
        nll = -logits.log_softmax(1).gather(1, own)[:, 0]
        if bool(logits.sum().isfinite()):
            # The sign of the largest logit is 0, of others -1; of several largest the first counts, as with argmax.
            classes = logits.shape[1]
            rank = torch.arange(classes, 0, -1, dtype=logits.dtype, device=logits.device)[:, None]
            first = torch.add(rank, (logits - logits.amax(1, keepdim=True)).sign_(), alpha=classes).amax(1)
            error = (first != classes - y).to(logits.dtype)
        else:
            error = self.error(logits.transpose(1, 2), y)
        return _mean(nll), _mean(error)

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
