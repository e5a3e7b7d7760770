"""Stacks of linear layers at many points of an affine subspace, without ever storing a point's first layer.

The first layer is affine in the coordinates, W(z) x + b(z) = (W_0 x + b_0) + sum_k z_k (D_k x + d_k), so these K + 1
products are made once for the whole surface. The other layers run on tiles of examples that stay in a core's cache,
features by examples; a row of ones under the activations lets the matrix product add the bias: [W b] [h; 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.networks import dense

GROUP = 4  # points that go through the layers together
CACHE = 9 * 2**18  # bytes: the products of one tile and a group's activations, well within a core's second-level cache
BLOCK = 48  # examples that matrix products take at a time: tiles of whole blocks lose nothing at their edge
LINE = 16  # numbers in a cache line


class Layers:
    """A stack of layers on a subspace: the first as products with data, the others as matrices [W b]. Threads share it."""

    def __init__(self, layers: tuple[dense.Layer, ...], subspace: Subspace, dtype: torch.dtype):
        self.layers, self.subspace, self.dtype = layers, subspace, dtype
        places = [_places(layer) for layer in layers[1:]]
        self.shapes = [p.shape for p in places]
        order = torch.cat([torch.zeros(0, dtype=torch.long), *(p.reshape(-1) for p in places)]).to(subspace.origin.device)
        self.origin, self.basis = subspace.origin[order].double(), subspace.basis[:, order].double()

    def tiles(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """What the first layer makes of x (n, F): for each tile of examples K + 1 products (H, T), summed in float64."""
        first, vectors = self.layers[0], [v.double() for v in (self.subspace.origin, *self.subspace.basis)]
        activations = 2 * GROUP * max(layer.outputs for layer in self.layers)
        per_example = x.element_size() * ((len(vectors) + 1) * first.outputs + activations)
        count = math.ceil(len(x) * per_example / CACHE) if x.device.type == "cpu" else 1
        width = math.ceil(len(x) / count / BLOCK) * BLOCK
        made = []
        for part in x.flatten(1).double().split(width):
            rows = [first.weight(v) @ part.T + (first.offset(v)[:, None] if first.bias else 0) for v in vectors]
            made.append(tuple(row.to(self.dtype) for row in rows))
        return made


@dataclass
class _Group:
    """Points that go together: the coordinates that they share, if neighbours on a grid that differ in the last one only."""

    z: Tensor  # (GROUP, K) float64

    @cached_property
    def row(self) -> list[float] | None:
        first, *others = self.z[:, :-1].tolist()
        return first if all(other == first for other in others) else None

    def coordinates(self, dtype: torch.dtype, ndim: int) -> list[Tensor]:
        """K tensors of ``ndim`` dimensions, the first of length 1 for what all points share, otherwise GROUP."""
        *others, last = self.z.to(dtype).view(*self.z.shape, *[1] * (ndim - 1)).unbind(1)
        return [*(z if self.row is None else z[:1] for z in others), last]


class _Sum:
    """``start + sum_k z_k direction_k`` for groups of points, all but the last term made once for a row of neighbours."""

    def __init__(self, start: Tensor, directions: Sequence[Tensor], memory: Tensor):
        self.start, self.directions, self.all, self.one, self.row = start, directions, memory, memory[:1], None

    def into(self, out: Tensor, row: list[float] | None, z: list[Tensor]) -> None:
        base = self.all if row is None else self.one
        if row is None or row != self.row:
            base.copy_(self.start)
            for coordinate, direction in zip(z[:-1], self.directions, strict=False):
                base.addcmul_(direction, coordinate)
            self.row = row
        torch.addcmul(base, self.directions[-1], z[-1], out=out)


class Forward:
    """One thread's passes through the layers, in memory of its own: to allocate anew each time would cost more.

    Points go through in groups of ``GROUP``, the last one filled up, and every row of numbers starts on a cache line: the
    last bit of a product may depend on how many there are and on where they lie.
    """

    def __init__(self, stack: Layers):
        self.stack, like = stack, stack.origin.new_empty(0)
        self._sizes = [math.prod(shape) for shape in stack.shapes]
        self._exact = like.new_empty(GROUP, len(stack.origin))
        self._weights = _Sum(stack.origin, stack.basis, torch.empty_like(self._exact))
        self._rounded: list[list[Tensor]] = []
        self._scratch: dict[int, tuple[Tensor, list[Tensor], list[Tensor]]] = {}
        self._out: dict[int, Tensor] = {}

    def __call__(self, z: Tensor, tiles: list[tuple[Tensor, ...]]) -> Tensor:
        """Outputs (N, C, n) on all tiles at the points z (N, K); overwritten by the next call."""
        groups = [_Group(part) for part in torch.cat([z, z[-1:].expand(-len(z) % GROUP, -1)]).split(GROUP)]
        matrices, places = self._matrices(groups), [(g.row, g.coordinates(self.stack.dtype, 3)) for g in groups]
        out, start = self._outputs(len(groups), sum(tile[0].shape[-1] for tile in tiles), tiles[0][0]), 0
        for tile in tiles:
            end = start + tile[0].shape[-1]
            memory, hidden, with_ones = self._memory(tile[0])
            first = _Sum(tile[0], tile[1:], memory)
            for place, stack, target in zip(places, matrices, out[..., start:end].unbind(), strict=True):
                into = [*hidden, target]
                first.into(into[0], *place)
                _activate(self.stack.layers[0].activation, into[0])
                for layer, w, h, to in zip(self.stack.layers[1:], stack, with_ones, into[1:], strict=True):
                    torch.bmm(w, h, out=to)
                    _activate(layer.activation, to)
            start = end
        return out.flatten(0, 1)[: len(z)]

    def _matrices(self, groups: list[_Group]) -> list[list[Tensor]]:
        """For each group of points its matrices [W b], combined in the subspace's float64, then rounded."""
        like = self.stack.origin.new_empty(0, dtype=self.stack.dtype)
        while len(self._rounded) < len(groups):
            self._rounded.append([_aligned(like, GROUP, size).unflatten(-1, shape)
                                  for size, shape in zip(self._sizes, self.stack.shapes, strict=True)])
        for group, rounded in zip(groups, self._rounded, strict=False):
            self._weights.into(self._exact, group.row, group.coordinates(self._exact.dtype, 2))
            for matrix, piece in zip(rounded, self._exact.split(self._sizes, dim=1), strict=True):
                matrix.copy_(piece.view(matrix.shape))
        return self._rounded[: len(groups)]

    def _memory(self, like: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """For a tile (H, T): room for the first layer's sums, hidden activations, the same with rows of ones."""
        size, layers = like.shape[-1], self.stack.layers
        if size not in self._scratch:
            with_ones = [_aligned(like, GROUP, layer.outputs + after.bias, size).fill_(1)
                         for layer, after in pairwise(layers)]
            hidden = [h[:, : layer.outputs] for h, layer in zip(with_ones, layers[:-1], strict=True)]
            self._scratch[size] = _aligned(like, GROUP, *like.shape), hidden, with_ones
        return self._scratch[size]

    def _outputs(self, groups: int, n: int, like: Tensor) -> Tensor:
        """Memory (groups, GROUP, C, n)."""
        if n not in self._out or len(self._out[n]) < groups:
            self._out[n] = _aligned(like, groups, GROUP, self.stack.layers[-1].outputs, n)
        return self._out[n][:groups]


def _aligned(like: Tensor, *shape: int) -> Tensor:
    """Memory of a shape whose rows all start on a cache line."""
    *lead, width = shape
    return like.new_empty(*lead, -(-width // LINE) * LINE)[..., :width]


def _activate(name: str | None, h: Tensor) -> None:
    done = dense.activate_(name, h)
    if done is not h:
        h.copy_(done)


def _places(layer: dense.Layer) -> Tensor:
    """Where in the flat weights the entries of [W b] are."""
    start = layer.start + layer.outputs * layer.inputs
    w = torch.arange(layer.start, start).view(layer.outputs, layer.inputs)
    return torch.cat([w, torch.arange(start, start + layer.outputs)[:, None]], 1) if layer.bias else w
