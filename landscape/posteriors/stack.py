"""Many networks that are stacks of linear layers: one forward and one backward pass for all of them, without a graph.

Activations lie features by examples, a row of ones under them, so that [W b] [h; 1] adds the bias in the product forwards,
and backwards one product d [h; 1]' holds the derivatives by weights and biases. Memory is kept between passes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from landscape.networks.dense import Layer, activate, activate_

KEPT = 8  # shapes of passes whose memory a thread keeps

Loss = Callable[[Tensor], Tensor]  # outputs (N, B, C) -> (N, B)


class Stack:
    """Passes through ``layers``; several threads may use one at the same time."""

    def __init__(self, layers: tuple[Layer, ...]):
        self.layers = layers
        self._memory = threading.local()

    @torch.no_grad()
    def values(self, w: Tensor, x: Tensor, loss: Loss) -> Tensor:
        """Sums over examples of the loss (N,) float64 at w (N, P); x (F + 1, B) are inputs with a row of ones."""
        inputs, outputs, _ = self._room(w, x)
        self._forward(w, [x, *inputs], outputs, keep=False)
        return loss(outputs.transpose(1, 2)).sum(-1, dtype=torch.float64)

    @torch.no_grad()
    def gradients(self, w: Tensor, x: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """The same, and their gradient (N, P)."""
        inputs, outputs, errors = self._room(w, x)
        inputs = [x, *inputs]
        matrices, before = self._forward(w, inputs, outputs, keep=True)
        leaf = outputs.detach().requires_grad_(True)
        with torch.enable_grad():
            values = loss(leaf.transpose(1, 2))
            (e,) = torch.autograd.grad(values.sum(), leaf)
        gradient = torch.empty_like(w)
        for i in reversed(range(len(self.layers))):
            layer, h = self.layers[i], inputs[i]
            e = _back(layer.activation, e, before[i])
            found = torch.bmm(e, h.expand(len(w), *h.shape[-2:]).transpose(1, 2))
            layer.weight(gradient).copy_(found[..., : layer.inputs])
            if layer.bias:
                layer.offset(gradient).copy_(found[..., -1])
            if i:
                e = torch.bmm(matrices[i][..., : layer.inputs].transpose(1, 2), e, out=errors[i - 1])
        return values.detach().sum(-1, dtype=torch.float64), gradient

    def _forward(self, w: Tensor, inputs: list[Tensor], outputs: Tensor, keep: bool) -> tuple[list[Tensor], list[Tensor]]:
        """The matrices [W b] (N, out, in + 1), and what activations' derivatives are made of; fills inputs and outputs."""
        matrices, before = [], []
        targets = [*(h[:, :-1] for h in inputs[1:]), outputs]
        for layer, h, out in zip(self.layers, inputs, targets, strict=True):
            offset = layer.offset(w) if layer.bias else w.new_zeros(len(w), layer.outputs)
            matrix = torch.cat([layer.weight(w), offset[..., None]], -1)
            matrices.append(matrix)
            torch.bmm(matrix, h.expand(len(w), *h.shape[-2:]), out=out)
            if layer.activation == "gelu":
                before.append(out.clone() if keep else out)
                out.copy_(activate("gelu", out))
            else:
                before.append(activate_(layer.activation, out))
        return matrices, before

    def _room(self, w: Tensor, x: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """Inputs of the layers but the first (N, H + 1, B), their last row one; outputs (N, C, B); errors (N, H, B)."""
        kept = self._memory.__dict__.setdefault("rooms", {})
        key = (len(w), x.shape[1], w.dtype, w.device)
        if key not in kept:
            if len(kept) >= KEPT:
                kept.pop(next(iter(kept)))
            hidden, last = self.layers[:-1], self.layers[-1]
            kept[key] = ([w.new_ones(len(w), layer.outputs + 1, x.shape[1]) for layer in hidden],
                         w.new_empty(len(w), last.outputs, x.shape[1]),
                         [w.new_empty(len(w), layer.outputs, x.shape[1]) for layer in hidden])
        return kept[key]


def _back(name: str | None, e: Tensor, before: Tensor) -> Tensor:
    """Derivatives by what an activation was given, from those by what it made; e is overwritten."""
    if name is None:
        return e
    if name == "gelu":
        return torch.ops.aten.gelu_backward(e, before)
    if name == "relu":
        return torch.ops.aten.threshold_backward.grad_input(e, before, 0, grad_input=e)
    return torch.ops.aten.tanh_backward.grad_input(e, before, grad_input=e)
