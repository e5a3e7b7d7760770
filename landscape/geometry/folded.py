"""Convolutional and residual networks at many points: BatchNorm folded into the layer before, tiles that stay in a cache.

With fixed statistics BatchNorm is affine, so its scale and shift go into the weights of the layer that feeds it, once for
each point: gamma (W x + b - mean) / sqrt(var + eps) + beta. Where statistics are re-estimated, the batch goes through
layer by layer, every tile to the next BatchNorm, whose moments are summed over the tiles in float64. Those of a BatchNorm
behind the first convolution follow from the first two moments of the image patches, made once for all points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from landscape.geometry.fused import in_order
from landscape.networks.net import Buffers, Net
from landscape.networks.steps import Step, applied

CACHE = 6 * 2**20  # bytes of the largest layer's inputs and outputs for one tile: measured, in a cache of 2 MB a core
WIDTHS = (16, 64)  # examples of a tile: fewer, and calls cost more than work; more, and nothing is gained
PATCH = 128  # numbers of a patch up to which its moments are worth their products

Statistics = dict[str, tuple[Tensor, Tensor]]  # mean and variance (C,) float64 of each BatchNorm
Weights = dict[int, tuple]  # of each step; a BatchNorm without any is folded into the layer before


@dataclass(frozen=True)
class Batch:
    """A set of examples in tiles; ``patches`` are the moments of what the first convolution is fed with, if known."""

    tiles: tuple[Tensor, ...]
    examples: int
    patches: tuple[Tensor, Tensor, int] | None = None  # mean (K,) and covariance (K, K), float64, of how many


class Folded:
    """The steps of a net. Threads share it: nothing is written but what a call makes for itself."""

    def __init__(self, net: Net, steps: tuple[Step, ...], dtype: torch.dtype, passes: tuple[Step, ...] | None = None):
        self.net, self.steps, self.dtype = net, steps, dtype
        self.passes = passes or steps  # with statistics that are known: the same in fewer passes, see ``geometry.fused``
        self.norms = [step for step in steps if step.kind == "norm"]
        self._at = {step.out: step for step in steps}
        self._size = 1 + max(self._at)

    @property
    def done(self) -> list[str]:
        """What is not done as the module does it, for people."""
        fewer = len(self.passes) < len(self.steps)
        return ["BatchNorm folded in"] * bool(self.norms) + ["what follows a convolution done with it"] * fewer

    def shapes(self, x: Tensor) -> dict[int, tuple[int, ...]]:
        """Of the output of each step that puts out a tensor, for two examples of x (n, ...)."""
        values, shapes = [None] * self._size, {}
        weights = self._weights(self.net.initial, self.stored(None))
        for step in self.steps:
            self._run([step], x[:2].to(self.dtype), values, weights)
            shapes[step.out] = tuple(values[step.out].shape) if isinstance(values[step.out], Tensor) else (0,)
        return shapes

    def width(self, x: Tensor, shapes: Mapping[int, tuple[int, ...]]) -> int:
        """Examples of a tile: read off the sizes of the layers, never off the clock, so that a surface stays the same."""
        sizes = {out: math.prod(shape) for out, shape in shapes.items()}
        largest = max(sizes[step.out] + sum(sizes.get(place, 0) for place in step.sources) for step in self.steps)
        fits = CACHE * min(2, len(x)) // (max(1, largest) * self.dtype.itemsize)
        return int(min(max(fits, WIDTHS[0]), WIDTHS[1]))

    def batch(self, x: Tensor, width: int, moments: bool = False) -> Batch:
        """x (n, ...) in tiles of the same width or one example more; images channels-last."""
        parts = x.tensor_split(math.ceil(len(x) / width))
        form = torch.channels_last if x.ndim == 4 else torch.contiguous_format
        tiles = tuple(part.to(self.dtype).contiguous(memory_format=form) for part in parts)
        return Batch(tiles, len(x), self._patches(tiles) if moments else None)

    def stored(self, buffers: Buffers | None) -> Statistics:
        """Statistics of the buffers, the module's own where they say nothing."""
        buffers = self.net.buffers | (buffers or {})
        return {norm.name: (buffers[f"{norm.name}.running_mean"].double(), buffers[f"{norm.name}.running_var"].double())
                for norm in self.norms}

    def weights(self, w: Tensor, statistics: Statistics) -> Weights:
        """What ``outputs`` computes with at w (P,)."""
        made = self._weights(w, statistics)
        for step in self.passes:
            if step.order is not None:
                weight, bias = made[step.out]
                made[step.out] = in_order(weight, step.order), bias
        return made

    def _weights(self, w: Tensor, statistics: Statistics) -> Weights:
        """What each of ``steps`` computes with at w (P,); a BatchNorm without statistics is left to ``estimate``."""
        named = self.net.unflatten(w.to(self.dtype))
        made: Weights = {}
        for step in self.steps:
            if step.kind == "weight":
                made[step.out] = (named[step.name],)
            elif step.kind in ("conv", "linear", "group"):
                made[step.out] = _own(named, step)
            elif step.kind == "norm" and step.name in statistics:
                mean, var = statistics[step.name]
                if step.into is None:
                    made[step.out] = (mean.to(self.dtype), var.to(self.dtype), *_own(named, step))
                else:
                    made[step.into] = tuple(p.to(self.dtype) for p in _folded(made[step.into], _own(named, step), mean,
                                                                               var, step.layer.eps))
        return {out: tuple(_laid(p) for p in parts) for out, parts in made.items()}

    def outputs(self, weights: Weights, batch: Batch) -> Tensor:
        """(n, ...), tile by tile."""
        found = []
        for tile in batch.tiles:
            values = [None] * self._size
            self._run(self.passes, tile, values, weights)
            found.append(values[self.passes[-1].out])
        return torch.cat(found)

    def estimate(self, w: Tensor, batches: list[Batch], biased: bool = False) -> Statistics:
        """Mean and variance of each BatchNorm at w (P,), as ``Net.estimate_batchnorm`` defines them."""
        total: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name, (mean, var, n) in self._through(w, batch)[0].items():
                var = var if biased else var * (n / (n - 1))
                before = total.get(name, [torch.zeros_like(mean), torch.zeros_like(var)])
                total[name] = [before[0] + mean / len(batches), before[1] + var / len(batches)]
        return {name: (mean, var) for name, (mean, var) in total.items()}

    def on_own_statistics(self, w: Tensor, batch: Batch) -> Tensor:
        """Outputs (n, ...), BatchNorm with the statistics of these very examples: one pass estimates and evaluates."""
        return self._through(w, batch, to_the_end=True)[1]

    def _through(self, w: Tensor, batch: Batch, to_the_end: bool = False):
        """Moments and count of each BatchNorm of one batch, fed by what those before normalised; then the outputs."""
        found = {}
        if batch.patches is not None:
            first = self._patched()
            found[first.name] = self._first(w, batch, first)
        weights = self._weights(w, {name: moments[:2] for name, moments in found.items()})
        named = self.net.unflatten(w.to(self.dtype))
        values, waiting = [[None] * self._size for _ in batch.tiles], []
        for step in self.steps:
            if step.kind == "norm" and step.name not in found:
                parts = []
                for tile, own in zip(batch.tiles, values, strict=True):
                    self._run(waiting, tile, own, weights)
                    parts.append(_moments(own[step.sources[0]]))
                found[step.name] = mean, var, _ = _pooled(parts)
                weights[step.out] = (mean.to(self.dtype), var.to(self.dtype), *_own(named, step))
                waiting = []
                if len(found) == len(self.norms) and not to_the_end:
                    return found, None
            waiting.append(step)
        if not to_the_end:
            return found, None
        for tile, own in zip(batch.tiles, values, strict=True):
            self._run(waiting, tile, own, weights)
        return found, torch.cat([own[self.steps[-1].out] for own in values])

    def _run(self, steps: Sequence[Step], tile: Tensor, values: list, weights: Weights) -> None:
        for step in steps:
            if step.kind == "input":
                values[step.out] = tile
            elif step.kind == "output" or (step.kind == "norm" and step.out not in weights):
                values[step.out] = values[step.sources[0]]
            else:
                place = step.out if step.weights is None else step.weights
                values[step.out] = applied(step, values, weights.get(place, ()))
            for place in step.ends:
                values[place] = None

    def _patched(self) -> Step | None:
        """The BatchNorm behind the first convolution, if that one is fed by the input alone."""
        for norm in self.norms:
            conv = None if norm.into is None else self._at[norm.into]
            if conv is None or conv.kind != "conv" or type(conv.layer) is not torch.nn.Conv2d or conv.layer.groups > 1:
                continue
            small = math.prod(conv.layer.weight.shape[1:]) <= PATCH and not isinstance(conv.layer.padding, str)
            source = self._at[conv.sources[0]]
            while source.kind == "call" and len(source.sources) == 1:
                source = self._at[source.sources[0]]
            if small and source.kind == "input":
                return norm
        return None

    def _patches(self, tiles: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, int] | None:
        """Mean and covariance of the patches that the first convolution sees, in float64, and how many there are."""
        norm = self._patched()
        if norm is None:
            return None
        conv = self._at[norm.into]
        before = [step for step in self.steps[: self.steps.index(conv)] if step.kind in ("input", "call")]
        total, products, count = 0.0, 0.0, 0
        for tile in tiles:
            values = [None] * self._size
            self._run(before, tile, values, {})
            layer = conv.layer
            p = functional.unfold(values[conv.sources[0]].double(), layer.kernel_size, layer.dilation, layer.padding,
                                  layer.stride).transpose(0, 1).flatten(1)
            total, products, count = total + p.sum(1), products + p @ p.T, count + p.shape[1]
        mean = total / count
        return mean, products / count - mean[:, None] * mean, count

    def _first(self, w: Tensor, batch: Batch, norm: Step) -> tuple[Tensor, Tensor, int]:
        """Moments behind the first convolution: W m + b and the diagonal of W S W'."""
        weight, bias = _own(self.net.unflatten(w.to(self.dtype)), self._at[norm.into])
        flat, (mean, covariance, count) = weight.double().flatten(1), batch.patches
        var = ((flat @ covariance) * flat).sum(1).clamp_min(0)
        return (flat * mean).sum(1) + (0 if bias is None else bias.double()), var, count


def _own(named: Mapping[str, Tensor], step: Step) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of a layer, None where it has none."""
    return named.get(f"{step.name}.weight"), named.get(f"{step.name}.bias")


def _folded(layer, norm, mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer and the BatchNorm behind it in one, float64."""
    (weight, bias), (gamma, beta) = layer, norm
    scale = (1 if gamma is None else gamma.double()) / torch.sqrt(var + eps)
    shift = ((0 if bias is None else bias.double()) - mean) * scale + (0 if beta is None else beta.double())
    return weight.double() * scale.view(-1, *[1] * (weight.ndim - 1)), shift


def _laid(parameter: Tensor | None) -> Tensor | None:
    """Kernels of images channels-last, the others as they lie, in memory of their own."""
    if parameter is None or parameter.ndim != 4:
        return parameter if parameter is None else parameter.clone()
    return parameter.contiguous(memory_format=torch.channels_last)


def _moments(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (C,) of the channels of values (n, C, ...), float64, and of how many numbers each."""
    mean, var = torch.batch_norm_update_stats(values, None, None, 0.0)
    return mean.double(), var.double(), values.numel() // values.shape[1]


def _pooled(parts: list[tuple[Tensor, Tensor, int]]) -> tuple[Tensor, Tensor, int]:
    """The moments of all tiles together (Chan, Golub and LeVeque 1983)."""
    count = sum(n for *_, n in parts)
    mean = sum(m * (n / count) for m, _, n in parts)
    return mean, sum((v + (m - mean).square()) * (n / count) for m, v, n in parts), count
