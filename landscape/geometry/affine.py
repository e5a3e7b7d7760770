"""Stacks of linear layers at many points of an affine subspace, without ever storing a point's first layer.

The first layer is affine in the coordinates, W(z) x + b(z) = (W_0 x + b_0) + sum_k z_k (D_k x + d_k), so these K + 1
products are made once for the whole surface. The other layers run on tiles of examples that stay in a core's cache,
features by examples; a row of ones under the activations lets the matrix product add the bias: [W b] [h; 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.networks import dense

CACHE = 2**21  # bytes one tile may use: the products of the first layer and the activations, in second-level cache

LINE = 16  # numbers


class Layers:
    """The layers after the first as matrices [W b] (outputs, inputs + 1), functions of the coordinates."""

    def __init__(self, layers: tuple[dense.Layer, ...], subspace: Subspace, dtype: torch.dtype):
        self.layers, self.subspace, self.dtype = layers, subspace, dtype
        places = [_places(layer).to(subspace.origin.device) for layer in layers[1:]]
        self._shapes = [p.shape for p in places]
        order = torch.cat([p.reshape(-1) for p in places]) if places else torch.zeros(0, dtype=torch.long)
        self._origin, self._basis = subspace.origin[order], subspace.basis[:, order]

    def matrices(self, z: Tensor) -> list[list[Tensor]]:
        """For each point of z (N, K) its matrices: combined in the subspace's float64, then rounded."""
        w = self._origin
        for k, direction in enumerate(self._basis):
            w = torch.addcmul(w, z[:, k, None], direction)
        pieces = w.to(self.dtype).split([math.prod(s) for s in self._shapes], dim=1)
        each = [piece.unflatten(1, shape).unbind() for piece, shape in zip(pieces, self._shapes, strict=True)]
        return [list(stack) for stack in zip(*each, strict=True)] if each else [[] for _ in z]

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

    def outputs(self, z: Tensor, tiles: list[Tensor]) -> Tensor:
        """Outputs (N, C, n) on all tiles at the points z (N, K)."""
        points, matrices = z.tolist(), self.matrices(z)
        n = sum(tile.shape[-1] for tile in tiles)
        # Every point's outputs start on a cache line: the last bit of a product may depend on where it is written.
        out = tiles[0].new_empty(len(z), self.layers[-1].outputs, -(-n // LINE) * LINE)
        i = 0
        for tile in tiles:
            run, size = _Tile(self.layers, tile), tile.shape[-1]
            for point, stack, target in zip(points, matrices, out[..., i : i + size].unbind(), strict=True):
                run(point, stack, target)
            i += size
        return out[..., :n]


class _Tile:
    """The scratch memory of one tile, and the forward pass in it."""

    def __init__(self, layers: tuple[dense.Layer, ...], products: Tensor):
        self.layers, self.products = layers, products
        self.row, self.base = None, torch.empty_like(products[0])
        self.with_ones, self.hidden = [], []
        for layer, after in zip(layers[:-1], layers[1:], strict=True):
            h = products.new_ones(layer.outputs + after.bias, products.shape[-1])
            self.with_ones.append(h)
            self.hidden.append(h[: layer.outputs])

    def __call__(self, point: list[float], matrices: list[Tensor], target: Tensor) -> None:
        """Write the outputs (C, T) at a point (K) to ``target``."""
        *row, last = point
        if row != self.row:  # neighbours on a grid differ in their last coordinate only
            self.row = row
            self.base.copy_(self.products[0])
            for z, product in zip(row, self.products[1:], strict=False):
                self.base.add_(product, alpha=z)
        into = [*self.hidden, target]
        torch.add(self.base, self.products[-1], alpha=last, out=into[0])
        _activate(self.layers[0].activation, into[0])
        for layer, w, h, out in zip(self.layers[1:], matrices, self.with_ones, into[1:], strict=True):
            torch.mm(w, h, out=out)
            _activate(layer.activation, out)


def _activate(name: str | None, h: Tensor) -> None:
    done = dense.activate_(name, h)
    if done is not h:
        h.copy_(done)


def _places(layer: dense.Layer) -> Tensor:
    """Where in the flat weights the entries of [W b] are."""
    start = layer.start + layer.outputs * layer.inputs
    w = torch.arange(layer.start, start).view(layer.outputs, layer.inputs)
    return torch.cat([w, torch.arange(start, start + layer.outputs)[:, None]], 1) if layer.bias else w
