"""What draws predict together: the average of their predictive distributions, one block of networks after another.

p(y | x) = mean over draws of p(y | x, w): the mean of class probabilities, or a mixture of Gaussians. BatchNorm statistics
are re-estimated for every draw from training data. Only sums are held, so any number of draws takes the memory of one block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.posteriors.likelihood import one_thread
from landscape.training.losses import Categorical, Gaussian
from landscape.training.task import Task
from landscape.uncertainty import metrics

CHUNK_BYTES = 2**24  # of the widest layer's outputs for the networks that go together


@dataclass(frozen=True, eq=False)
class Predicted:
    """The average of ``count`` networks on n examples; numpy, what does not apply is None.

    Classification: ``probabilities`` (n, C), ``entropy`` (n,) of them and ``information`` (n,), the part of it that the
    networks' disagreement makes (mutual information; the rest is their own mean entropy), nats. Regression: ``mean`` (n, D)
    and the variances ``epistemic`` (n, D), that of the networks' means, divided by their number, and ``aleatoric`` (n, D),
    the noise. ``nll`` and ``error`` where targets are known: the mean of minus the log of the mean likelihood, and the share
    of wrong classes or the root mean squared error; ``each`` (n,) are the examples' own NLL.
    """

    count: int
    probabilities: np.ndarray | None = None
    entropy: np.ndarray | None = None
    information: np.ndarray | None = None
    mean: np.ndarray | None = None
    epistemic: np.ndarray | None = None
    aleatoric: np.ndarray | None = None
    nll: float | None = None
    error: float | None = None
    each: np.ndarray | None = None

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation (n, D) of the mixture: the square root of both variances together."""
        return np.sqrt(self.epistemic + self.aleatoric)

    def agreement(self, reference: Predicted) -> float | None:
        """Share of examples that get the same class as from a reference; None for regression."""
        return None if self.probabilities is None else metrics.agreement(self.probabilities, reference.probabilities)

    def total_variation(self, reference: Predicted) -> float | None:
        """Mean total variation of the class probabilities to a reference, 0 ... 1; None for regression."""
        return None if self.probabilities is None else metrics.total_variation(self.probabilities, reference.probabilities)


class Average:
    """An average that grows: ``add`` networks, ask for ``predicted()`` as often as wanted.

    ``x`` (n, ...) in the task's precision and ``y`` its targets, if any. ``count`` networks have been added.
    """

    def __init__(self, task: Task, x: Tensor, y: Tensor | None = None):
        if not isinstance(task.likelihood, Categorical | Gaussian):
            raise BadInput("Predictive distributions can be averaged for classification (cross-entropy) and regression "
                           f"(gaussian); the loss {type(task.likelihood).__name__.lower()} is no likelihood of a target.")
        if not len(x):
            raise BadInput("There are no examples to predict; expected at least one.")
        self.task, self.x, self.y, self.count = task, x, y, 0
        self.classes = isinstance(task.likelihood, Categorical)
        self._sum = self._own = self._log = torch.zeros(())

    @torch.no_grad()
    def add(self, w: Tensor) -> None:
        """Networks (m, P). Raises Diverged for one whose outputs are not finite, by its number."""
        for part in w.split(self._together):
            with one_thread(self.x.device):
                outputs = self._outputs(part.to(self.x.device, self.task.dtype)).double()
            bad = (~outputs.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
            if bad:
                raise Diverged(f"Draw number {self.count + bad[0] + 1} gives outputs that are not finite. Take a smaller "
                               "scale or temperature, or leave the method out.")
            self._keep(outputs)
            if self.y is not None:
                log = torch.logsumexp(-self.task.likelihood.nll(outputs, self.y), 0)
                self._log = torch.logaddexp(self._log, log) if self.count else log
            self.count += len(part)

    def predicted(self) -> Predicted:
        """The average so far. Raises BadInput where there is none."""
        if not self.count:
            raise BadInput("There are no networks to average; expected at least one draw.")
        found = self._classes() if self.classes else self._numbers()
        if self.y is None:
            return Predicted(self.count, **{name: value.cpu().numpy() for name, value in found.items()})
        likelihood, each = self.task.likelihood, math.log(self.count) - self._log
        prediction = found["probabilities" if self.classes else "mean"]
        error = likelihood.combine(likelihood.error(prediction, self.y).double().mean())
        return Predicted(self.count, **{name: value.cpu().numpy() for name, value in found.items()},
                         nll=float(each.mean()), error=float(error), each=each.cpu().numpy())

    def _keep(self, outputs: Tensor) -> None:
        if self.classes:
            p = outputs.softmax(-1)
            self._sum, self._own = self._sum + p.sum(0), self._own + torch.special.entr(p).sum((0, -1))
            return
        mean = outputs.mean(0)  # the variances of two groups, put together (Chan et al. 1979)
        inner, apart = (outputs - mean).square().sum(0), mean - self._sum
        together = self.count + len(outputs)
        self._own = self._own + inner + apart.square() * (self.count * len(outputs) / together)
        self._sum = self._sum + apart * (len(outputs) / together)

    def _classes(self) -> dict[str, Tensor]:
        p = self._sum / self.count
        entropy = torch.special.entr(p).sum(-1)
        return {"probabilities": p, "entropy": entropy, "information": (entropy - self._own / self.count).clamp(min=0)}

    def _numbers(self) -> dict[str, Tensor]:
        return {"mean": self._sum, "epistemic": self._own / self.count,
                "aleatoric": torch.full_like(self._sum, self.task.likelihood.variance)}

    @property
    def _together(self) -> int:
        layers = self.task.net.layers
        return max(1, CHUNK_BYTES // (8 * len(self.x) * max(layer.outputs for layer in layers))) if layers else 1

    def _outputs(self, w: Tensor) -> Tensor:
        """(m, n, C) of as many networks as go together."""
        net, x = self.task.net, self.x
        if net.layers:
            return net(w, x)
        buffers = self.task.buffers(w[0])
        return torch.cat([net(w[0], x[a:b], buffers) for a, b in self.task.batches(len(x))])[None]


def average(task: Task, weights: Iterable[Tensor] | Tensor, split: str = "test", x: Tensor | None = None) -> Predicted:
    """The predictive average of networks: one array (M, P), or blocks (m, P) of which each is used and forgotten.

    On a ``split`` of the task, with its targets, or on inputs ``x`` (n, ...) of one's own, without. Raises BadInput where
    there is no network, Diverged for a network whose outputs are not finite.
    """
    own, y = task.splits[split] if x is None else (x.to(task.splits["train"][0].device, task.dtype), None)
    grown = Average(task, own, y)
    for block in (weights,) if isinstance(weights, Tensor) else weights:
        grown.add(block[None] if block.ndim == 1 else block)
    return grown.predicted()


def growing(task: Task, groups: Iterable[Tensor], split: str = "test") -> list[Predicted]:
    """Averages of the first 1, 2, ... groups of networks (m, P): how an average improves with its members."""
    grown, found = Average(task, *task.splits[split]), []
    for group in groups:
        grown.add(group)
        found.append(grown.predicted())
    return found
