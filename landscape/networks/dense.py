"""Stacks of linear layers, read off a module so that many of them run as batched matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.GELU: "gelu"}


def activate(name: str | None, x: Tensor) -> Tensor:
    """A new tensor: the activation of x, or x itself where ``name`` is None."""
    if name is None:
        return x
    return x.tanh() if name == "tanh" else torch.relu(x) if name == "relu" else functional.gelu(x)


def activate_(name: str | None, x: Tensor) -> Tensor:
    """In place where the activation allows it: x is scratch and must not be used afterwards."""
    if name == "relu":
        return x.relu_()
    return x.tanh_() if name == "tanh" else x if name is None else functional.gelu(x)


@dataclass(frozen=True)
class Layer:
    """``activation(x W' + b)``, W at ``start`` of the flat weights with shape (out, in), b right behind it if any."""

    start: int
    inputs: int
    outputs: int
    bias: bool
    activation: str | None

    def weight(self, w: Tensor) -> Tensor:
        """(..., out, in), a view of w (..., P)."""
        return w[..., self.start : self.start + self.outputs * self.inputs].unflatten(-1, (self.outputs, self.inputs))

    def offset(self, w: Tensor) -> Tensor | None:
        """(..., out), a view of w (..., P), or None without bias."""
        start = self.start + self.outputs * self.inputs
        return w[..., start : start + self.outputs] if self.bias else None


def layers_of(module: nn.Module) -> tuple[Layer, ...] | None:
    """The layers of a Sequential of Flatten, Linear and activations; None for anything else."""
    if not isinstance(module, nn.Sequential) or len({id(p) for m in module for p in m.parameters()}) != sum(
        len(list(m.parameters())) for m in module
    ):
        return None
    layers: list[Layer] = []
    start = 0
    for i, child in enumerate(module):
        if type(child) is nn.Linear and not child._forward_hooks and not child._forward_pre_hooks:
            layers.append(Layer(start, child.in_features, child.out_features, child.bias is not None, None))
            start += child.weight.numel() + (child.out_features if child.bias is not None else 0)
        elif type(child) in _ACTIVATIONS and layers and layers[-1].activation is None:
            if isinstance(child, nn.GELU) and child.approximate != "none":
                return None
            last = layers.pop()
            layers.append(Layer(last.start, last.inputs, last.outputs, last.bias, _ACTIVATIONS[type(child)]))
        elif not (type(child) is nn.Flatten and i == 0 and (child.start_dim, child.end_dim) == (1, -1)):
            return None
    return tuple(layers) or None


def forward(layers: tuple[Layer, ...], w: Tensor, x: Tensor) -> Tensor:
    """Outputs (N, B, C) of N networks w (N, P) on x: (B, F) for all of them, or (N, B, F) one batch each."""
    sizes = [size for layer in layers for size in (layer.outputs * layer.inputs, layer.outputs * layer.bias)]
    pieces = w.split(sizes, dim=-1)
    h = x
    for i, layer in enumerate(layers):
        weight = pieces[2 * i].unflatten(-1, (layer.outputs, layer.inputs)).transpose(-1, -2)
        if h.ndim == 2:
            product = torch.matmul(h, weight)
            product = product + pieces[2 * i + 1].unsqueeze(-2) if layer.bias else product
        else:
            product = torch.baddbmm(pieces[2 * i + 1].unsqueeze(-2), h, weight) if layer.bias else torch.bmm(h, weight)
        h = activate(layer.activation, product)
    return h
