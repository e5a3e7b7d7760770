"""What a network is judged by: a loss for each example (a negative log-likelihood in nats where it is one) and an error.

Every class has ``nll`` and ``error`` (one value an example), ``side_by_side`` (both, for many networks' outputs whose
examples lie beside each other), ``combine`` (what the mean of ``error`` becomes), ``chance`` (what a network that knows
nothing gets) and ``floor`` (the smallest possible loss, None where it is not known).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from landscape.errors import BadInput
from landscape.networks.compiled import compiled
from landscape.training import beside

ABOVE_CHANCE = 1.1  # pictures saturate a little above a network that knows nothing
IGNORED = -100  # a target token that does not count
LARGE = 80.0  # a sum of exponentials of numbers below it is finite in float32

Judge = Callable[[Tensor], tuple[Tensor, Tensor]]  # loss and error of outputs


class _SideBySide:
    """For losses that take their outputs as they come."""

    def side_by_side(self, y: Tensor, like: Tensor) -> Judge:
        """A function of outputs (N, D, W) of N networks, each of the shape of ``like`` (D, W), which it may overwrite.

        It gives loss and error (N, B) of the first B examples, whose targets are y; those behind them do not count.
        """

        def judged(outputs: Tensor) -> tuple[Tensor, Tensor]:
            outputs = outputs[..., : len(y)].transpose(1, 2)
            return self.nll(outputs, y), self.error(outputs, y)

        return judged


@dataclass(frozen=True)
class Categorical:
    """Classification by softmax over logits (..., B, C) with class numbers y (..., B)."""

    floor: ClassVar[float] = 0.0

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B)."""
        shape, outputs = outputs.shape[:-1], _wide(outputs)
        return functional.cross_entropy(outputs.flatten(0, -2), y.expand(shape).flatten(), reduction="none").view(shape)

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """1 where the largest logit is not the label's (..., B); a row with a non-finite logit counts as wrong."""
        return beside.wrong(outputs, y)

    def side_by_side(self, y: Tensor, like: Tensor) -> Judge:
        """The same in a few passes over the logits, which are overwritten."""
        like, count, width = _wide(like), len(y), like.shape[-1]
        places = torch.cat([y, y[-1:].expand(width - count)])
        labels = places * width + torch.arange(width, device=y.device)
        without = torch.zeros_like(like).scatter_(0, places[None], -math.inf)
        least, most = _least_exponent(like.dtype), torch.finfo(like.dtype).max
        judge = compiled(beside.judged)

        def judged(outputs: Tensor) -> tuple[Tensor, Tensor]:
            nll, error = judge(_wide(outputs), places, labels, without, least, LARGE, most)
            return nll[:, :count], error[:, :count]

        return judged

    def combine(self, mean_error: Tensor) -> Tensor:
        return mean_error

    def chance(self, y: Tensor) -> tuple[float, float]:
        """ln C and the error of guessing."""
        classes = int(y.max()) + 1
        return math.log(classes), 1 - 1 / classes


@dataclass(frozen=True)
class Gaussian(_SideBySide):
    """Regression with a fixed noise variance: outputs (..., B, D) are means of y (..., B, D)."""

    variance: float

    @property
    def floor(self) -> float:
        return 0.5 * math.log(2 * math.pi * self.variance)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B), summed over target dimensions."""
        outputs = _wide(outputs)
        return (0.5 * math.log(2 * math.pi * self.variance) + (outputs - y).square() / (2 * self.variance)).sum(-1)

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Squared error (..., B); ``combine`` turns its mean into a root mean squared error."""
        return (_wide(outputs) - y).square().mean(-1)

    def combine(self, mean_error: Tensor) -> Tensor:
        return torch.sqrt(mean_error)

    def chance(self, y: Tensor) -> tuple[float, float]:
        """NLL and root mean squared error of predicting the mean of all targets."""
        spread = float(y.double().var(unbiased=False))
        return self.floor + spread / (2 * self.variance), math.sqrt(spread)


@dataclass(frozen=True)
class SquaredError(_SideBySide):
    """Mean squared error over target dimensions; outputs and y (..., B, D). Not a likelihood: its unit is the target's."""

    floor: ClassVar[float] = 0.0

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B)."""
        return (_wide(outputs) - y).square().mean(-1)

    error = nll

    def combine(self, mean_error: Tensor) -> Tensor:
        return torch.sqrt(mean_error)

    def chance(self, y: Tensor) -> tuple[float, float]:
        spread = float(y.double().var(dim=0, unbiased=False).mean())
        return spread, math.sqrt(spread)


@dataclass(frozen=True)
class Causal:
    """Language modelling: the logits (..., B, T, V) at a token predict the next one of y (..., B, T).

    ``tokens`` is the mean number of predicted tokens in an example, so that the mean over examples is nats per token;
    targets of -100 do not count.
    """

    tokens: float
    vocabulary: int
    floor: ClassVar[float] = 0.0

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B): the sum over an example's tokens, divided by ``tokens``."""
        logits, following = _wide(outputs[..., :-1, :]), y[..., 1:].expand(*outputs.shape[:-2], -1)
        flat = functional.cross_entropy(logits.flatten(0, -2), following.flatten(), reduction="none", ignore_index=IGNORED)
        return flat.view(following.shape).sum(-1) / self.tokens

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(..., B): tokens that are not the most likely ones; their mean is the share of wrong tokens."""
        logits, following = outputs[..., :-1, :], y[..., 1:]
        wrong = ((logits.argmax(-1) != following) | ~logits.isfinite().all(-1)) & (following != IGNORED)
        return wrong.double().sum(-1) / self.tokens

    def side_by_side(self, y: Tensor, like: Tensor) -> Judge:
        raise BadInput("causal needs outputs (examples, tokens, vocabulary), and a stack of linear layers has none such.")

    def combine(self, mean_error: Tensor) -> Tensor:
        return mean_error

    def chance(self, y: Tensor) -> tuple[float, float]:
        return math.log(self.vocabulary), 1 - 1 / self.vocabulary


@dataclass(frozen=True)
class Given(_SideBySide):
    """A loss of the user's own: ``function(outputs, targets) -> (B,)``, one value an example.

    ``error`` is the share of wrong classes where the targets are class numbers, the root mean squared error where they are
    numbers of the outputs' shape, and otherwise the loss itself (``kind``: ``classes``, ``numbers``, ``loss``).
    ``ignorance`` is the loss of outputs that are all zero; ``rank`` the number of axes of one network's outputs.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    name: str
    kind: str
    ignorance: float
    rank: int
    target_rank: int
    floor: ClassVar[None] = None

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        if outputs.ndim > self.rank:
            own = y if y.ndim > self.target_rank else [y] * len(outputs)
            return torch.stack([self.nll(each, target) for each, target in zip(outputs, own, strict=True)])
        found = self.function(_wide(outputs), y)
        if not isinstance(found, Tensor) or found.shape != outputs.shape[:1]:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise BadInput(f"The loss {self.name} must return one value an example, shape ({outputs.shape[0]},); found "
                           f"{shape}. Leave out the mean: reduction='none'.")
        return found

    def error(self, outputs: Tensor, y: Tensor) -> Tensor:
        if self.kind == "classes":
            return Categorical().error(outputs, y)
        if self.kind == "numbers":
            difference = (_wide(outputs) - y).square()
            return difference.flatten(difference.ndim - self.rank + 1).mean(-1)
        return self.nll(outputs, y)

    def combine(self, mean_error: Tensor) -> Tensor:
        return torch.sqrt(mean_error) if self.kind == "numbers" else mean_error

    def chance(self, y: Tensor) -> tuple[float, float]:
        if self.kind == "classes":
            return self.ignorance, Categorical().chance(y)[1]
        return self.ignorance, SquaredError().chance(y)[1] if self.kind == "numbers" else self.ignorance


def each_judged(likelihood: Likelihood, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and error (..., B) float64 of every example, for outputs (..., B, C) that nobody takes gradients of.

    The softmax is taken in float64: in float32 a loss of .001 would be right to five digits alone.
    """
    exact = outputs.double() if isinstance(likelihood, Categorical) else outputs
    return likelihood.nll(exact, y).double(), likelihood.error(outputs, y).double()


def summed(likelihood: Likelihood, outputs: Tensor, y: Tensor) -> Tensor:
    """The same, summed over examples: (2, ...) float64."""
    return torch.stack([each.sum(-1) for each in each_judged(likelihood, outputs, y)])


@cache
def _least_exponent(dtype: torch.dtype) -> float:
    """Exponentials below it are not normal numbers: too small to count, and many times slower."""
    return math.ceil(math.log(torch.finfo(dtype).tiny))


def _wide(outputs: Tensor) -> Tensor:
    """Half-precision outputs in float32: a log of a sum of exponentials needs it."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


Likelihood = Categorical | Gaussian | SquaredError | Causal | Given
