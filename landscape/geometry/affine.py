"""Stacks of linear layers at many points of an affine subspace, without ever storing a point's first layer.

The first layer is affine in the coordinates, W(z) x + b(z) = (W_0 x + b_0) + sum_k z_k (D_k x + d_k), so these K + 1
products are made once for the whole surface. The other layers run on tiles of examples that stay in a core's cache,
features by examples, several points in one batched product; sums and bias go together with ReLU in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.geometry import passes
from landscape.geometry.subspace import Subspace
from landscape.networks import dense

GROUP = 2  # points that go through the layers together
CACHE = 9 * 2**18  # bytes: the products of one tile and a group's activations; measured, with caches of 2 MB a core
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
        end = layers[0].outputs * (layers[0].inputs + layers[0].bias)  # of the first layer's weights, which come first
        self.origin, self.basis = subspace.origin[end:].double(), subspace.basis[:, end:].double()
        self.combine, self.through = passes.compiled(passes.combine), passes.compiled(passes.through)

    def tiles(self, x: Tensor) -> list[Tile]:
        """What the first layer makes of x (n, F), summed in float64."""
        first, vectors = self.layers[0], [v.double() for v in (self.subspace.origin, *self.subspace.basis)]
        activations = 2 * GROUP * max(layer.outputs for layer in self.layers)
        per_example = x.element_size() * ((len(vectors) + 1) * first.outputs + activations)
        count = math.ceil(len(x) * per_example / CACHE)
        width, start = math.ceil(len(x) / count / BLOCK) * BLOCK, 0
        made = []
        for part in x.flatten(1).double().split(width):
            rows = [first.weight(v) @ part.T + (first.offset(v)[:, None] if first.bias else 0) for v in vectors]
            products = [row.new_empty(len(row), _whole_lines(len(part)), dtype=self.dtype) for row in rows]
            for product, row in zip(products, rows, strict=True):
                product[:, : len(part)], product[:, len(part) :] = row, row[:, -1:]
            made.append(Tile(tuple(products), slice(start, start := start + len(part))))
        return made


class Forward:
    """One thread's passes through the layers, in memory of its own: to allocate anew each time would cost more.

    Points go through in groups of ``GROUP``, the last one filled up, and every row of numbers starts on a cache line: the
    last bit of a product may depend on how many there are and on where they lie.
    """

    def __init__(self, stack: Layers):
        self.stack = stack
        self._start, self._exact = torch.empty_like(stack.origin), stack.origin.new_empty(GROUP, len(stack.origin))
        self._activations = [layer.activation or "" for layer in stack.layers]
        self._basis, self._groups = list(stack.basis), 0  # groups of points that there is room for
        self._weights: list[list[Tensor]] = []  # of each layer the matrices of every group
        self._offsets: list[list[Tensor]] = []
        self._rooms: dict[int, _Room] = {}

    def __call__(self, z: Tensor, tiles: Sequence[Tile]) -> Iterator[Tensor]:
        """For each tile the outputs (N, C, T) at the points z (N, K), overwritten by the next."""
        stack, filled = self.stack, torch.cat([z, z[-1:].expand(-len(z) % GROUP, -1)])
        groups, rows, last = len(filled) // GROUP, filled[:, :-1], filled[:, -1].tolist()
        fresh = [True, *(rows[1:] != rows[:-1]).any(1).tolist()]
        if groups > self._groups:
            self._make_room(groups)
        at, matrices = (rows.flatten().tolist(), last, fresh), (self._weights, self._offsets)
        stack.combine(stack.origin, self._basis, *at, self._start, self._exact, *matrices)
        for tile in tiles:
            room = self._room(tile.products[0].shape[1], groups)
            products = [product.detach() for product in tile.products]  # to count on one tensor costs two threads time
            stack.through(products, *at, *matrices, room.start, room.hidden, room.groups, self._activations)
            yield room.out[: len(z)]

    def _make_room(self, groups: int) -> None:
        """For the matrices of so many groups of points."""
        like, layers = self.stack.origin.new_empty(0, dtype=self.stack.dtype), self.stack.layers[1:]
        self._weights = [list(_aligned(like, groups, GROUP, layer.outputs, layer.inputs)) for layer in layers]
        self._offsets = [list(like.new_empty(groups, GROUP, layer.outputs * layer.bias, 1)) for layer in layers]
        self._groups = groups

    def _room(self, width: int, groups: int) -> _Room:
        found = self._rooms.get(width)
        if found is None or len(found.groups) < groups:
            found = self._rooms[width] = _Room(self.stack, width, groups)
        return found


class _Room:
    """For tiles of one width: room for what each layer makes of a group of points, the last one of every group."""

    def __init__(self, stack: Layers, width: int, groups: int):
        like, outputs = stack.origin.new_empty(0, dtype=stack.dtype), [layer.outputs for layer in stack.layers]
        self.start = like.new_empty(outputs[0], width)
        self.hidden = [like.new_empty(GROUP, each, width) for each in outputs[:-1]]
        self.out = like.new_empty(groups * GROUP, outputs[-1], width)
        self.groups = list(self.out.split(GROUP))


def _whole_lines(count: int) -> int:
    return -(-count // LINE) * LINE


def _aligned(like: Tensor, *shape: int) -> Tensor:
    """Memory of a shape whose rows all start on a cache line."""
    *lead, width = shape
    return like.new_empty(*lead, _whole_lines(width))[..., :width]
