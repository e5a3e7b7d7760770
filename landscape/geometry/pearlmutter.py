"""Hessian-vector products of stacks of linear layers, without a graph (Pearlmutter 1994, Fast Exact Multiplication).

The derivative of a forward and a backward pass in a direction v of weight space: with V the matrix and u the offset that v
holds for a layer z = h W' + b, the tangents are Rz = Rh W' + h V' + u forwards, and backwards, for d = dL/dz, R(d W) =
Rd W + d V and R(d' h) = Rd' h + d' Rh. What does not depend on v is computed once; several v go through side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from landscape.networks import dense


class Pass:
    """A forward and backward pass at w (P,) on x (n, F), kept so that products with the Hessian cost tangents alone.

    ``loss(outputs (n, C))`` gives the scalar whose Hessian is multiplied with; any twice differentiable one.
    """

    def __init__(self, layers: tuple[dense.Layer, ...], w: Tensor, x: Tensor, loss: Callable[[Tensor], Tensor]):
        self.layers, self.loss = layers, loss
        self.weights = [layer.weight(w) for layer in layers]
        self.inputs: list[Tensor] = []  # of each layer (n, in)
        self.slopes: list[Tensor | None] = []  # of its activation (n, out), None for the identity
        self.bends: list[Tensor | None] = []  # dL/d(activation) times the activation's second derivative, None for zero
        seconds: list[Tensor | None] = []
        with torch.no_grad():
            h = x.flatten(1)
            for layer, weight in zip(layers, self.weights, strict=True):
                self.inputs.append(h)
                z = h @ weight.T
                z = z.add_(layer.offset(w)) if layer.bias else z
                h, slope, second = _activated(layer.activation, z)
                self.slopes.append(slope)
                seconds.append(second)
        self.outputs = h.detach().requires_grad_(True)
        with torch.enable_grad():
            (self.output_gradient,) = torch.autograd.grad(loss(self.outputs), self.outputs, create_graph=True)
        self._backward(self.output_gradient.detach(), seconds)

    def _backward(self, e: Tensor, seconds: list[Tensor | None]) -> None:
        self.deltas: list[Tensor] = []  # dL/dz (n, out), first layer first
        for weight, slope, second in zip(self.weights[::-1], self.slopes[::-1], seconds[::-1], strict=True):
            self.bends.insert(0, None if second is None else e * second)
            self.deltas.insert(0, e if slope is None else e * slope)
            e = self.deltas[0] @ weight

    def product(self, v: Tensor) -> Tensor:
        """H v, (K, P) for v (K, P)."""
        return self._product(v, self._at_outputs)

    def products(self, v: Tensor) -> Tensor:
        """The same up to rounding, all vectors in one pass at the outputs, too: fewer and larger calls, as GPUs like them.

        The loss takes outputs (K, n, C) then, and gives the sum over K.
        """
        return self._product(v, self._all_at_outputs)

    @torch.no_grad()
    def _product(self, v: Tensor, at_outputs: Callable[[Tensor], Tensor]) -> Tensor:
        out = torch.zeros_like(v)
        tangents, moved = self._forward(v)
        e = at_outputs(tangents[-1])
        for i in reversed(range(len(self.layers))):
            layer, slope, bend = self.layers[i], self.slopes[i], self.bends[i]
            delta = e if slope is None else e * slope
            if bend is not None:
                delta = delta.addcmul_(bend, moved[i])
            gradient = delta.transpose(1, 2) @ self.inputs[i]
            if i:
                gradient += self.deltas[i].T @ tangents[i]
                e = (delta @ self.weights[i]).add_(self.deltas[i] @ layer.weight(v))
            layer.weight(out).copy_(gradient)
            if layer.bias:
                layer.offset(out).copy_(delta.sum(1))
        return out

    def _forward(self, v: Tensor) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Tangents (K, n, .) of the inputs of every layer (None for the first) and of the outputs; those before bending."""
        tangents: list[Tensor | None] = [None]
        moved: list[Tensor | None] = []
        known = zip(self.layers, self.weights, self.inputs, self.slopes, self.bends, strict=True)
        for layer, weight, h, slope, bend in known:
            z = h @ layer.weight(v).transpose(1, 2)
            if layer.bias:
                z += layer.offset(v)[:, None]
            if tangents[-1] is not None:
                z += tangents[-1] @ weight.T
            moved.append(z if bend is not None else None)
            tangents.append(z if slope is None else z * slope if bend is not None else z.mul_(slope))
        return tangents, moved

    def _at_outputs(self, tangent: Tensor) -> Tensor:
        """The loss's second derivative by the outputs, times tangents (K, n, C)."""
        if not self.output_gradient.requires_grad:  # a loss that is linear in the outputs
            return torch.zeros_like(tangent)
        rows = [torch.autograd.grad(self.output_gradient, self.outputs, row, retain_graph=True)[0] for row in tangent]
        return torch.stack(rows)

    def _all_at_outputs(self, tangent: Tensor) -> Tensor:
        """The same from a copy of the outputs for each vector, whose losses do not know of each other."""
        leaf = self.outputs.detach().expand_as(tangent).contiguous().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.loss(leaf), leaf, create_graph=True)
            if not gradient.requires_grad:
                return torch.zeros_like(tangent)
            return torch.autograd.grad(gradient, leaf, tangent)[0]


def _activated(name: str | None, z: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The activation of z, its first and its second derivative there (None: one, or zero everywhere)."""
    h = dense.activate(name, z)
    if name is None:
        return h, None, None
    if name == "relu":
        return h, (z > 0).to(z.dtype), None
    if name == "tanh":
        slope = 1 - h.square()
        return h, slope, -2 * h * slope
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)  # gelu: z times the Gaussian distribution function
    return h, torch.special.ndtr(z) + z * density, (2 - z.square()) * density
