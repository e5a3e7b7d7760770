"""Several points of a subspace at once on one device: stacks of linear layers by batched products, other modules by vmap.

Nothing in here waits for the device: what is found stays there, and the caller fetches a whole chunk of it. Weights are
combined in float64 and rounded once, as everywhere. On a CPU points go in groups of a fixed size, the last one filled up, so
that no value depends on how many are asked for; on a GPU as many as memory allows, and the last bits may depend on that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.networks import dense
from landscape.networks.net import Buffers
from landscape.training.losses import summed
from landscape.training.task import Task

GROUP = 4  # points that go together on a CPU
MOST = 256  # on a GPU
BATCH = 512  # examples of one pass of a module, unless its task says otherwise
TILE = 16384  # examples of one pass through linear layers


def refused(task: Task, re_estimate: bool) -> str | None:
    """Why a task's networks cannot be run together, None if they can."""
    if task.net.layers:
        return None
    if re_estimate and task.net.batchnorm and not task.batchnorm_batches:
        return "there are no examples to estimate its statistics on"
    return task.net.refused(next(iter(task.splits.values()))[0])


class Together:
    """``together(z)``: mean NLL and error of each split (2 S, n) float64 on the device, for coordinates z (n, K) there."""

    def __init__(self, task: Task, subspace: Subspace, splits: Sequence[str], buffers: Buffers | None, in_one: bool):
        self.task, self.subspace, self.splits, self.buffers, self.in_one = task, subspace, tuple(splits), buffers, in_one
        self.dtype, self.device = task.dtype, task.splits[splits[0]][0].device
        self.group = GROUP if self.device.type == "cpu" else 1
        self.most = GROUP if self.device.type == "cpu" else MOST
        self._products = {split: self._first(task.splits[split][0]) for split in self.splits} if task.net.layers else {}

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        filled = torch.cat([z, z[-1:].expand(-len(z) % self.group, -1)])
        found = self._dense(filled) if self.task.net.layers else self._modules(filled)
        return found[:, : len(z)]

    def _first(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """What the first layer makes of x (n, F): tiles of K + 1 products (H, T), summed in float64."""
        layer, made = self.task.net.layers[0], []
        for part in x.flatten(1).split(TILE):
            columns, rows = part.T.double(), []
            for v in (self.subspace.origin, *self.subspace.basis):
                product = layer.weight(v).to(columns) @ columns
                rows.append((product + layer.offset(v).to(columns)[:, None] if layer.bias else product).to(self.dtype))
            made.append(tuple(rows))
        return made

    def _dense(self, z: Tensor) -> Tensor:
        first, *others = self.task.net.layers
        matrices = [self._matrix(layer, z) for layer in others]
        place = z.to(self.dtype).T[..., None, None]
        means = []
        for split in self.splits:
            sums, start, y = 0.0, 0, self.task.splits[split][1]
            for tile in self._products[split]:
                h = tile[0].expand(len(z), *tile[0].shape).contiguous()
                for coordinate, direction in zip(place, tile[1:], strict=True):
                    h.addcmul_(direction, coordinate)
                h = dense.activate_(first.activation, h)
                for layer, (weight, offset) in zip(others, matrices, strict=True):
                    h = torch.bmm(weight, h) if offset is None else torch.baddbmm(offset, weight, h)
                    h = dense.activate_(layer.activation, h)
                stop = start + h.shape[-1]
                sums = sums + summed(self.task.likelihood, h.transpose(1, 2), y[start:stop])
                start = stop
            means.append(sums / len(y))
        return torch.cat(means)

    def _matrix(self, layer: dense.Layer, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weights (n, out, in) and offsets (n, out, 1) of a layer at points z, combined in float64, then rounded."""
        end = layer.start + layer.outputs * (layer.inputs + layer.bias)
        rows = self.subspace.piece(z, layer.start, end).to(self.dtype)
        weight = rows[:, : layer.outputs * layer.inputs].unflatten(-1, (layer.outputs, layer.inputs))
        return weight, rows[:, layer.outputs * layer.inputs :, None] if layer.bias else None

    def _modules(self, z: Tensor) -> Tensor:
        task, net = self.task, self.task.net
        w = self.subspace.lifted(z, self.dtype, self.device)
        free = net.batchnorm and self.buffers is None and not self.in_one
        buffers = net.estimate_many(w, task.batchnorm_batches, None, task.own_statistics) if free else self.buffers
        means = []
        for split in self.splits:
            x, y = task.splits[split]
            if self.in_one:
                means.append(summed(self.task.likelihood, net.many_on_own_statistics(w, x), y) / len(x))
                continue
            sums, size = 0.0, task.batch or BATCH
            for i in range(0, len(x), size):
                sums = sums + summed(self.task.likelihood, net.many(w, x[i : i + size], buffers), y[i : i + size])
            means.append(sums / len(x))
        return torch.cat(means)
