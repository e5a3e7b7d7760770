"""The networks of the presets: plain modules, initialised from the generator handed in."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from landscape import catalog
from landscape.errors import BadInput

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def build(name: str, shape: tuple[int, ...], outputs: int, widths=None, activation="relu", norm=None) -> nn.Module:
    """The catalog's network ``name`` for inputs of ``shape`` (without the batch axis)."""
    row = catalog.row("network", catalog.NETWORKS, name)
    chosen = {**row.defaults, **{k: v for k, v in {"widths": widths, "norm": norm}.items() if v is not None}}
    return row.load()(tuple(shape), outputs, tuple(chosen["widths"]), activation, chosen["norm"])


def mlp(shape: tuple[int, ...], outputs: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """Linear layers with an activation between; normalisation, if any, before the activation."""
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    size = math.prod(shape)
    for width in widths:
        layers += [nn.Linear(size, width), *_norm(norm, width, one_dimensional=True), ACTIVATIONS[activation]()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def conv(shape: tuple[int, ...], outputs: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """3x3 convolutions (the first with stride 1, or 2 on images above 16 pixels; the others with stride 2), then linear."""
    channels, height, width = _image_shape("conv", shape)
    layers: list[nn.Module] = [_AsImage(channels, height, width)]
    for i, out in enumerate(widths):
        stride = 2 if i or max(height, width) > 16 else 1
        layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=norm == "none"), *_norm(norm, out),
                   ACTIVATIONS[activation]()]
        channels, height, width = out, (height + stride - 1) // stride, (width + stride - 1) // stride
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, outputs))


def preresnet8(shape, outputs, widths, activation, norm) -> nn.Module:
    """Pre-activation ResNet with one block a stage."""
    return PreResNet(shape, outputs, widths, activation, norm, blocks=1)


def preresnet20(shape, outputs, widths, activation, norm) -> nn.Module:
    """Pre-activation ResNet with three blocks a stage (He et al. 2016, Identity Mappings)."""
    return PreResNet(shape, outputs, widths, activation, norm, blocks=3)


class PreResNet(nn.Module):
    """Pre-activation residual network for small images; each stage after the first halves the resolution.

    Without normalisation the last convolution of each block starts at zero (Zhang et al. 2019, Fixup), so that the
    network is the identity at the start and can be trained.
    """

    def __init__(self, shape, outputs, widths, activation, norm, blocks):
        super().__init__()
        channels, height, width = _image_shape("preresnet", shape)
        self.stem = nn.Sequential(_AsImage(channels, height, width), nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False))
        size, stages = widths[0], []
        for i, out in enumerate(widths):
            for j in range(blocks):
                stages.append(_Block(size, out, 2 if i and not j else 1, activation, norm))
                size = out
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(*_norm(norm, size), ACTIVATIONS[activation](), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                  nn.Linear(size, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class _Block(nn.Module):
    def __init__(self, size, out, stride, activation, norm):
        super().__init__()
        bias = norm == "none"
        self.before = nn.Sequential(*_norm(norm, size), ACTIVATIONS[activation]())
        self.first = nn.Conv2d(size, out, 3, stride, 1, bias=bias)
        self.between = nn.Sequential(*_norm(norm, out), ACTIVATIONS[activation]())
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=bias)
        self.shortcut = nn.Conv2d(size, out, 1, stride, bias=False) if (stride, size) != (1, out) else None
        self.starts_at_zero = bias

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        skip = x if self.shortcut is None else self.shortcut(h)
        return skip + self.second(self.between(self.first(h)))


class _AsImage(nn.Module):
    """Images may arrive without a channel axis: (B, H, W) becomes (B, 1, H, W)."""

    def __init__(self, channels: int, height: int, width: int):
        super().__init__()
        self.shape = (channels, height, width)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape)


def initial_weights(module: nn.Module, generator: torch.Generator) -> Tensor:
    """A flat start (P,) on the CPU, in ``module.parameters()`` order: He normal weights, zero biases, norms at one and zero.

    He et al. 2015 with the gain of a ReLU for hidden layers; the last linear layer has gain one.
    """
    last = [m for m in module.modules() if isinstance(m, nn.Linear)][-1:]
    values: dict[int, Tensor] = {}
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv2d):
            gain = 1.0 if child in last else 2.0
            std = math.sqrt(gain / child.weight[0].numel())
            values[id(child.weight)] = std * torch.randn(child.weight.shape, generator=generator)
            if child.bias is not None:
                values[id(child.bias)] = torch.zeros(child.bias.shape)
    for block in module.modules():
        if isinstance(block, _Block) and block.starts_at_zero:
            values[id(block.second.weight)] = torch.zeros(block.second.weight.shape)
    return torch.cat([values.get(id(p), p.detach().cpu()).reshape(-1) for p in module.parameters()])


def _norm(name: str, size: int, one_dimensional: bool = False) -> list[nn.Module]:
    if name == "none":
        return []
    if name == "batch":
        return [nn.BatchNorm1d(size) if one_dimensional else nn.BatchNorm2d(size)]
    return [nn.GroupNorm(math.gcd(8, size), size)]


def _image_shape(network: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) == 3 and shape[0] <= 4:
        return tuple(shape)
    raise BadInput(f"The network {network} needs images (channels, height, width) or (height, width); this data has "
                   f"examples of shape {tuple(shape)}. Choose network=mlp.")
