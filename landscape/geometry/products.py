"""A Hessian times several vectors at once, the way of GPUs: as many as memory takes, and nothing that waits in between.

Stacks of linear layers: tangents of one pass, side by side (``pearlmutter``). Other modules: the derivative of the gradient
in a direction, ``jvp`` of ``grad`` (forward over reverse, Pearlmutter 1994), by ``vmap`` for several directions, so that
what does not depend on the direction is computed once. On a CPU the same steps are taken when they are asked for, so that
they can be tested there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.errors import BadInput
from landscape.geometry.pearlmutter import Pass
from landscape.networks.accelerator import Room, free_bytes, numbers

if TYPE_CHECKING:
    from landscape.geometry.curvature import Objective

MOST = 64  # vectors at once
TILE = 16384  # examples of one pass through linear layers
BATCH = 2048  # of one pass through another module, unless its task says otherwise
SHARE = 0.3  # of the free memory that passes which are kept between products may take
KEPT_BYTES = 2**29  # the same on a CPU
TRIED = 4  # examples and vectors on which this way is held against one vector after the other

Product = Callable[[Tensor], Tensor]  # v (K, P) -> (K, P)


class Products:
    """``products(v)``: H v (K, P) float64 of the mean NLL, without penalty, for v (K, P); ``room`` says how many at once.

    The examples go in tiles. Where not even one vector fits with a tile, passes are no longer kept and the tile is halved,
    down to one example. Raises BadInput where that does not fit either.
    """

    def __init__(self, objective: Objective, w: Tensor):
        self.objective, self.w = objective, w
        self.room = Room(objective.device, MOST)
        self.tile = TILE if objective.task.net.layers else objective.task.batch or BATCH
        self.tile = max(1, min(self.tile, len(objective.x)))
        self._keeps, self._kept = bool(objective.task.net.layers), []

    def __call__(self, v: Tensor) -> Tensor:
        given = v.to(self.objective.device, self.objective.dtype)
        while True:
            try:
                with numbers(self.objective.device):
                    self._keep()
                    return torch.cat(self.room.parts(len(given), lambda part: self._summed(given[part])))
            except torch.OutOfMemoryError as error:
                self._shrink(error)

    def _shrink(self, error: torch.OutOfMemoryError) -> None:
        if self.tile == 1:
            raise BadInput(f"One vector times the Hessian on one example does not fit into the memory of "
                           f"{self.objective.device} ({error}). Choose device=cpu.") from None
        self._keeps, self._kept, self.tile = False, [], self.tile // 2
        if self.objective.device.type == "cuda":
            torch.cuda.empty_cache()

    def _summed(self, v: Tensor) -> Tensor:
        total = torch.zeros(v.shape, dtype=torch.float64, device=v.device)
        for product in self._passes():
            total += product(v)
        return total

    def _keep(self) -> None:
        """Make the passes through linear layers before anything is measured, unless they would crowd the device."""
        if not self._keeps or self._kept:
            return
        own = self.objective
        size = own.dtype.itemsize * len(own.x) * sum(4 * layer.outputs for layer in own.task.net.layers)
        self._keeps = size <= (SHARE * free_bytes(own.device) if own.device.type == "cuda" else KEPT_BYTES)
        if self._keeps:
            self._kept = list(self._passes())

    def _passes(self) -> Iterator[Product]:
        """What multiplies a tile's share of the Hessian, one tile after the other."""
        if self._kept:
            yield from self._kept
            return
        for i in range(0, len(self.objective.x), self.tile):
            part = slice(i, i + self.tile)
            yield self._stack(part) if self.objective.task.net.layers else self._module(part)

    def _stack(self, part: slice) -> Product:
        own = self.objective
        return Pass(own.task.net.layers, self.w, own.x[part], lambda outputs: own.of_outputs(outputs, part)).products

    def _module(self, part: slice) -> Product:
        return lambda v: directional(self.objective, self.w, part, v)


def directional(objective: Objective, w: Tensor, part: slice, v: Tensor) -> Tensor:
    """A tile's share of H v (K, P): derivatives of the gradient at w (P,) in the directions v (K, P), all at once."""
    def along(direction: Tensor) -> Tensor:
        return jvp(grad(lambda at: objective.nll(at, part)), (w,), (direction,))[1]

    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        return vmap(along)(v)
