"""Stacks of linear layers at many points of an affine subspace, without ever storing a point's first layer.

The first layer is affine in the coordinates, W(z) x + b(z) = (W_0 x + b_0) + sum_k z_k (D_k x + d_k), so these K + 1
products are made once for the whole surface. The other layers run on tiles of examples that stay in a core's cache,
features by examples; a row of ones under the activations lets the matrix product add the bias: [W b] [h; 1].
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.networks import dense

CACHE = 2**21  # bytes of a core's second-level cache: the products of one tile and the activations share it
LINE = 16  # numbers in a cache line


class Layers:
    """A stack of layers on a subspace: the first as products with data, the others as matrices [W b]. Threads share it."""

    def __init__(self, layers: tuple[dense.Layer, ...], subspace: Subspace, dtype: torch.dtype):
        self.layers, self.subspace, self.dtype = layers, subspace, dtype
        places = [_places(layer) for layer in layers[1:]]
        self.shapes = [p.shape for p in places]
        order = torch.cat([torch.zeros(0, dtype=torch.long), *(p.reshape(-1) for p in places)]).to(subspace.origin.device)
        self.origin, self.basis = subspace.origin[order], subspace.basis[:, order]

    def tiles(self, x: Tensor) -> list[Tensor]:
        """What the first layer makes of x (n, F): for each tile of examples (K + 1, H, T), summed in float64."""
        first, vectors = self.layers[0], (self.subspace.origin, *self.subspace.basis)
        widest = max(layer.outputs for layer in self.layers)
        per_example = x.element_size() * ((len(vectors) + 1) * first.outputs + 2 * widest)
        count = math.ceil(len(x) * per_example / CACHE) if x.device.type == "cpu" else 1
        made = []
        for part in x.flatten(1).double().tensor_split(count):
            rows = [first.weight(v) @ part.T + (first.offset(v)[:, None] if first.bias else 0) for v in vectors]
            made.append(torch.stack(rows).to(self.dtype))
        return made


class Forward:
    """One thread's passes through the layers, in memory of its own: to allocate anew each time would cost more."""

    def __init__(self, stack: Layers):
        self.stack = stack
        self._exact, self._rounded = torch.empty_like(stack.origin), None
        self._scratch: dict[int, tuple[Tensor, list[Tensor], list[Tensor]]] = {}
        self._out: dict[int, Tensor] = {}

    def __call__(self, z: Tensor, tiles: list[Tensor]) -> Tensor:
        """Outputs (N, C, n) on all tiles at the points z (N, K); overwritten by the next call."""
        points, n = z.tolist(), sum(tile.shape[-1] for tile in tiles)
        matrices, out, start = self._matrices(points), self._outputs(len(points), n, tiles[0]), 0
        for tile in tiles:
            end = start + tile.shape[-1]
            self._tile(tile, points, matrices, out[..., start:end].unbind())
            start = end
        return out

    def _tile(self, products: Tensor, points, matrices, targets) -> None:
        """Write the outputs (C, T) of every point to its target."""
        (first, *later), row = self.stack.layers, None
        base, hidden, with_ones = self._memory(products)
        for (*others, last), stack, target in zip(points, matrices, targets, strict=True):
            if others != row:  # neighbours on a grid differ in their last coordinate only
                row = others
                base.copy_(products[0])
                for z, product in zip(row, products[1:], strict=False):
                    base.add_(product, alpha=z)
            into = [*hidden, target]
            torch.add(base, products[-1], alpha=last, out=into[0])
            _activate(first.activation, into[0])
            for layer, w, h, out in zip(later, stack, with_ones, into[1:], strict=True):
                torch.mm(w, h, out=out)
                _activate(layer.activation, out)

    def _matrices(self, points: list[list[float]]) -> list[list[Tensor]]:
        """For each point (K) its matrices, combined in the subspace's float64, then rounded."""
        stack = self.stack
        if self._rounded is None or len(self._rounded) < len(points):
            self._rounded = stack.origin.new_empty(len(points), -(-len(stack.origin) // LINE) * LINE, dtype=stack.dtype)
        made = []
        for point, rounded in zip(points, self._rounded[:, : len(stack.origin)], strict=False):
            w = torch.add(stack.origin, stack.basis[0], alpha=point[0], out=self._exact)
            for direction, z in zip(stack.basis[1:], point[1:], strict=True):
                w.add_(direction, alpha=z)
            pieces = rounded.copy_(w).split([math.prod(shape) for shape in stack.shapes])
            made.append([piece.view(shape) for piece, shape in zip(pieces, stack.shapes, strict=True)])
        return made

    def _memory(self, products: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """For a tile of this size: the first layer without its last coordinate, hidden activations, the same with ones."""
        size, layers = products.shape[-1], self.stack.layers
        if size not in self._scratch:
            with_ones = [products.new_ones(layer.outputs + after.bias, size)
                         for layer, after in pairwise(layers)]
            hidden = [h[: layer.outputs] for h, layer in zip(with_ones, layers[:-1], strict=True)]
            self._scratch[size] = torch.empty_like(products[0]), hidden, with_ones
        return self._scratch[size]

    def _outputs(self, points: int, n: int, like: Tensor) -> Tensor:
        """Memory (N, C, n). Each point's starts on a cache line: the last bit of a product may depend on where it lies."""
        if n not in self._out or len(self._out[n]) < points:
            self._out[n] = like.new_empty(points, self.stack.layers[-1].outputs, -(-n // LINE) * LINE)
        return self._out[n][:points, :, :n]


def _activate(name: str | None, h: Tensor) -> None:
    done = dense.activate_(name, h)
    if done is not h:
        h.copy_(done)


def _places(layer: dense.Layer) -> Tensor:
    """Where in the flat weights the entries of [W b] are."""
    start = layer.start + layer.outputs * layer.inputs
    w = torch.arange(layer.start, start).view(layer.outputs, layer.inputs)
    return torch.cat([w, torch.arange(start, start + layer.outputs)[:, None]], 1) if layer.bias else w
