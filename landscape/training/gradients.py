"""Losses and gradients of K networks on batches of their own: in a precision, as many at once as there is room for.

In a lower precision those of some batches are computed in float32 as well. Two trainings that differ by a rounding go apart
sooner or later, whichever of them is the more exact; so what is compared is the gradient of the very batch, at the weights
that training has come to. Its scale is that gradient's own noise: by how much it would be another one for another batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from landscape.networks.accelerator import Room, mixed, numbers
from landscape.networks.net import Buffers

Objective = Callable[[Tensor, Buffers, Tensor, int, int], tuple[Tensor, Tensor]]
Found = tuple[Tensor, Tensor, Tensor]
FIRST = 3  # epochs whose first step is compared
STEPS = 50  # afterwards, about as many from one that is compared to the next: it costs two more in float32
FIGURES = ("train_gradient_error", "train_gradient_noise", "train_loss_error")


@dataclass(frozen=True, eq=False)
class Gradients:
    """Called with weights (K, ...), buffers (K, ...), indices (K, B), epoch and step: loss and NLL (K,) and the gradient
    (K, ...) of an ``objective``, which is given the same.

    Networks are computed in ``precision`` (empty: in the numbers of the moment); what comes back is in those of the weights.
    With a ``room`` as many networks go at once as fit into its memory.
    """

    objective: Objective
    precision: str = ""
    room: Room | None = None
    figures: ClassVar[dict[str, Tensor]] = {}  # there is nothing to be told of these

    def __call__(self, parameters: Tensor, buffers: Buffers, indices: Tensor, epoch: int, step: int) -> Found:
        def of(part: slice) -> Found:
            leaf = parameters[part].detach().requires_grad_(True)
            with mixed(leaf.device, self.precision) if self.precision else nullcontext():
                loss, nll = self.objective(leaf, {n: b[part] for n, b in buffers.items()}, indices[part], epoch, step)
            with numbers(leaf.device, tf32=self.precision == "tf32") if self.precision else nullcontext():
                return loss.detach(), nll.detach(), torch.autograd.grad(loss.sum(), leaf)[0]

        def again(part: slice) -> Found:
            before = {n: b[part].clone() for n, b in buffers.items()}  # a pass that fails has moved some of them
            try:
                return of(part)
            except torch.OutOfMemoryError:
                for name, b in before.items():
                    buffers[name][part].copy_(b)
                raise

        if self.room is None:
            return of(slice(0, len(parameters)))
        found = self.room.parts(len(parameters), again)
        return found[0] if len(found) == 1 else tuple(torch.cat(rows) for rows in zip(*found, strict=True))


class Compared:
    """``Gradients`` in a lower precision; those of the first step of some epochs in float32 as well, which leaves no trace.

    ``figures`` are those of the last epoch begun, each (K,) float64 on the weights' device, NaN where nothing was compared:
    ``train_gradient_error`` is the length of the difference of both gradients over that of the exact one,
    ``train_gradient_noise`` the standard deviation of the exact one over batches of this size, in the same unit, and
    ``train_loss_error`` the difference of both losses over the exact one's height above ``floor``.
    """

    def __init__(self, objective: Objective, precision: str, room: Room | None, steps: int, floor: float):
        self.rounded = Gradients(objective, precision, room)
        self.exact = Gradients(objective, "float32", room and Room(room.device, room.most))
        self.steps, self.floor = steps, floor
        self.figures: dict[str, Tensor] = {}

    def __call__(self, parameters: Tensor, buffers: Buffers, indices: Tensor, epoch: int, step: int) -> Found:
        if step == 0:
            self.figures = dict.fromkeys(FIGURES, _unknown(parameters))
        if step or not due(epoch, self.steps):
            return self.rounded(parameters, buffers, indices, epoch, step)
        with _as_before(parameters.device):
            loss, _, gradient = self._aside(parameters, buffers, indices, epoch)
            noise = self._noise(parameters, buffers, indices, epoch)
        found = self.rounded(parameters, buffers, indices, epoch, step)
        length = torch.where(loss.isfinite(), _length(gradient), torch.nan)  # one that diverges all the same is not compared
        high = (loss - self.floor).double()
        errors = _share(_length(found[2] - gradient), length), noise / length, _share((found[0] - loss).double().abs(), high)
        self.figures = dict(zip(FIGURES, errors, strict=True))
        return found

    def _aside(self, parameters: Tensor, buffers: Buffers, indices: Tensor, epoch: int) -> Found:
        """In float32, with buffers that are thrown away."""
        return self.exact(parameters, {name: b.clone() for name, b in buffers.items()}, indices, epoch, 0)

    def _noise(self, parameters: Tensor, buffers: Buffers, indices: Tensor, epoch: int) -> Tensor:
        """The standard deviation (K,) of a batch's gradient, from the distance of the gradients of its halves.

        With h of the B examples in either half, the mean square of that distance is 2 / h of an example's variance, the
        gradient's is 1 / B of it. NaN for fewer than four examples, whose halves would be too small for BatchNorm.
        """
        count = indices.shape[1]
        half = count // 2
        if half < 2:
            return _unknown(parameters)
        one, other = (self._aside(parameters, buffers, indices[:, start : start + half], epoch)[2] for start in (0, half))
        return _length(one - other) * math.sqrt(half / (2 * count))


def due(epoch: int, steps: int) -> bool:
    """Whether the first step of an epoch (from 0) of so many steps is compared; how long the training is says nothing."""
    return epoch < FIRST or epoch * steps // STEPS > (epoch - 1) * steps // STEPS


def _as_before(device: torch.device) -> AbstractContextManager:
    """Random numbers that are drawn within (a module's dropout) are drawn again afterwards."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _unknown(parameters: Tensor) -> Tensor:
    return torch.full((len(parameters),), torch.nan, dtype=torch.float64, device=parameters.device)


def _length(gradient: Tensor) -> Tensor:
    """(K,) float64 of (K, ...)."""
    return torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)


def _share(difference: Tensor, exact: Tensor) -> Tensor:
    """Of what is exact (K,); infinite where only the other is not finite, NaN where the exact one is not."""
    share = torch.where(difference == 0, 0.0, difference / exact).nan_to_num(torch.inf, torch.inf)
    return torch.where(exact.isfinite(), share, torch.nan)
