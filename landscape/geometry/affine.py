"""Stacks of linear layers at many points of an affine subspace, without ever storing a point's first layer.

The first layer is affine in the coordinates, W(z) x + b(z) = (W_0 x + b_0) + sum_k z_k (D_k x + d_k), so these K + 1
products are made once for the whole surface. The other layers run on tiles of examples that stay in a core's cache,
features by examples below a row of ones, which the offsets are multiplied with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from landscape.geometry import passes
from landscape.geometry.subspace import Subspace
from landscape.networks import dense
from landscape.networks.compiled import compiled

CACHE = 9 * 2**18  # bytes: the products of one tile and its activations; measured, with caches of 2 MB a core
BLOCK = 48  # examples that matrix products take at a time: tiles of whole blocks lose nothing at their edge
LINE = 16  # numbers in a cache line


@dataclass(frozen=True)
class Tile:
    """What the first layer makes of some examples, the last one repeated to fill cache lines."""

    products: tuple[Tensor, ...]  # K + 1 times (H, T): at the origin, then of each direction
    examples: slice  # their places among all


class Layers:
    """A stack of layers on a subspace: the first as products with data, the others as matrices. Threads share it."""

    def __init__(self, layers: tuple[dense.Layer, ...], subspace: Subspace, dtype: torch.dtype):
        self.layers, self.subspace, self.dtype = layers, subspace, dtype
        vectors = torch.stack([self._behind_the_first(v.double()) for v in (subspace.origin, *subspace.basis)])
        self.origin, *self.basis = vectors.to(torch.promote_types(dtype, torch.float32))
        self.combine, self.through = compiled(passes.combine), compiled(passes.through)

    def _behind_the_first(self, vector: Tensor) -> Tensor:
        """The weights of the other layers, each row with its offset, filled up to whole cache lines."""
        blocks = [vector.new_empty(0)]
        for layer in self.layers[1:]:
            rows = [layer.weight(vector), *([layer.offset(vector)[:, None]] if layer.bias else [])]
            blocks.append(pad(torch.cat(rows, 1), (0, _whole_lines(_columns(layer)) - _columns(layer))).flatten())
        return torch.cat(blocks)

    def tiles(self, x: Tensor) -> list[Tile]:
        """What the first layer makes of x (n, F), summed in float64."""
        first, vectors = self.layers[0], [v.double() for v in (self.subspace.origin, *self.subspace.basis)]
        activations = 2 * max(layer.outputs for layer in self.layers)
        per_example = x.element_size() * ((len(vectors) + 1) * first.outputs + activations)
        count = math.ceil(len(x) * per_example / CACHE)
        width, start = math.ceil(len(x) / count / BLOCK) * BLOCK, 0
        made = []
        for part in x.flatten(1).double().split(width):
            rows = [first.weight(v) @ part.T for v in vectors]
            if first.bias:
                rows = [row.add_(first.offset(v)[:, None]) for row, v in zip(rows, vectors, strict=True)]
            products = [row.new_empty(len(row), _whole_lines(len(part)), dtype=self.dtype) for row in rows]
            for product, row in zip(products, rows, strict=True):
                product[:, : len(part)], product[:, len(part) :] = row, row[:, -1:]
            made.append(Tile(tuple(products), slice(start, start := start + len(part))))
        return made


class Forward:
    """One thread's passes through the layers, in memory of its own: to allocate anew each time would cost more.

    Every row of numbers starts on a cache line: the last bit of a product may depend on where its factors lie.
    """

    def __init__(self, stack: Layers):
        self.stack = stack
        self._memory = torch.empty_like(stack.origin)
        self._activations = [passes.ACTIVATIONS[layer.activation] for layer in stack.layers]
        self._sums: list[Tensor] = []  # of each point the weights behind the first layer
        self._weights: list[list[Tensor]] = []  # of each layer the matrices of every point
        self._rooms: dict[int, _Room] = {}

    def __call__(self, z: Tensor, tiles: Sequence[Tile]) -> Iterator[Tensor]:
        """For each tile the outputs (N, C, T) at the points z (N, K), overwritten by the next."""
        stack, rows, last = self.stack, z[:, :-1], z[:, -1].tolist()
        fresh = [True, *(rows[1:] != rows[:-1]).any(1).tolist()]
        if len(last) > len(self._sums):
            self._make_room(len(last))
        at = (rows.flatten().tolist(), last, fresh)
        stack.combine(stack.origin, stack.basis, *at, self._memory, self._sums)
        if self._rounded is not self._summed:
            self._rounded.copy_(self._summed)
        for tile in tiles:
            room = self._room(tile.products[0].shape[1], len(last))
            products = [product.detach() for product in tile.products]  # to count on one tensor costs two threads time
            stack.through(products, *at, self._weights, room.start, room.hidden, room.filled, room.outs, self._activations)
            yield room.out[: len(z)]

    def _make_room(self, points: int) -> None:
        """For the weights of so many points."""
        self._summed = self.stack.origin.new_empty(points, len(self.stack.origin))
        self._rounded = self._summed.to(self.stack.dtype)
        self._sums, start = list(self._summed), 0
        self._weights = []
        for layer in self.stack.layers[1:]:
            end = start + layer.outputs * _whole_lines(_columns(layer))
            matrices = self._rounded[:, start:end].unflatten(1, (layer.outputs, -1))[..., : _columns(layer)]
            self._weights.append(list(matrices))
            start = end

    def _room(self, width: int, points: int) -> _Room:
        found = self._rooms.get(width)
        if found is None or len(found.outs) < points:
            found = self._rooms[width] = _Room(self.stack, width, points)
        return found


class _Room:
    """For tiles of one width: room for what each layer makes of the examples, the last one of every point."""

    def __init__(self, stack: Layers, width: int, points: int):
        first, *others = stack.layers
        like = stack.origin.new_empty(0, dtype=stack.dtype)
        self.start = like.new_empty(first.outputs, width)
        self.filled = [like.new_ones(_columns(layer), width) for layer in others]
        self.hidden = [filled[: layer.inputs] for filled, layer in zip(self.filled, others, strict=True)]
        self.out = like.new_empty(points, stack.layers[-1].outputs, width)
        self.outs = list(self.out)


def _columns(layer: dense.Layer) -> int:
    """Of its matrix with the offsets beside it."""
    return layer.inputs + layer.bias


def _whole_lines(count: int) -> int:
    return -(-count // LINE) * LINE
