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
        return functional.cross_entropy(outputs.flatten(0, -2), y.expand(outputs.shape[:-1]).flatten(), reduction="none").view(
            outputs.shape[:-1])

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """1 where the largest logit is not the label's (..., B); a row with a non-finite logit counts as wrong."""
        return ((outputs.argmax(-1) != y) | ~outputs.isfinite().all(-1)).to(outputs.dtype)

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

    def combine(self, mean_error: Tensor) -> Tensor:
        return torch.sqrt(mean_error)


Likelihood = Categorical | Gaussian
