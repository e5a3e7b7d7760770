"""The last linear layer of a network: where its weights are, what it is fed, and its exact Gauss-Newton matrix."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from landscape.errors import BadInput
from landscape.networks.net import Net
from landscape.training.losses import Categorical, Gaussian
from landscape.training.task import Task

LARGEST = 6000  # weights of a layer whose dense covariance is made
BATCH = 2000  # examples at a time
SAME = 1e-3  # of the outputs' size: how well the layer must give the network's outputs


@dataclass(frozen=True, eq=False)
class LastLayer:
    """``places`` (C, F) of its weights in the flat vector, with the bias as the last feature if there is one; ``features``
    (n, F) float64 of the training examples, a 1 appended for the bias."""

    places: Tensor
    features: Tensor
    outputs: Tensor

    @property
    def size(self) -> int:
        return self.places.numel()


@torch.no_grad()
def last_layer(task: Task, w: Tensor) -> LastLayer:
    """The last linear layer at weights w (P,). BatchNorm statistics are those the task estimates for w.

    Raises BadInput where the network's outputs are not those of a linear layer on what is before it, or it is too large.
    """
    net, (x, _) = task.net, task.splits["train"]
    name, layer = ([(n, m) for n, m in net.module.named_modules() if isinstance(m, nn.Linear)] or [(None, None)])[-1]
    weight = f"{name}.weight" if name else "weight"
    if layer is None or weight not in net.names:
        raise BadInput("The last-layer Laplace approximation needs a network that ends in a linear layer with weights of "
                       "its own; this one does not. Choose the subspace one.")
    places = _places(net, weight, layer)
    if places.numel() > LARGEST:
        raise BadInput(f"The last layer has {places.numel():,} weights, too many for a dense covariance (at most "
                       f"{LARGEST:,}). Choose the Kronecker-factored or the subspace approximation.")
    keep = torch.ones(net.size, dtype=torch.bool)
    keep[places.flatten()] = False
    before = Net(_without(net.module, name))
    w = w.to(x.device, task.dtype)
    buffers = task.buffers(w)
    features, outputs = [], []
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        features.append(before(w[keep.to(w.device)], part, buffers).double() if before.names else part.flatten(1).double())
        outputs.append(net(w, part, buffers).double())
    phi, out = torch.cat(features), torch.cat(outputs)
    phi = torch.cat([phi, phi.new_ones(len(phi), 1)], 1) if layer.bias is not None else phi
    theta = w.double()[places.to(w.device)]
    near = SAME * float(out.abs().max())
    if phi.shape[1] != places.shape[1] or not torch.allclose(phi @ theta.T, out, rtol=SAME, atol=near):
        raise BadInput("The network's outputs are not those of its last linear layer, so there is no last-layer Laplace "
                       "approximation. Choose the subspace one.")
    return LastLayer(places, phi, out)


def gauss_newton(task: Task, layer: LastLayer) -> Tensor:
    """The Gauss-Newton matrix (C F, C F) of the SUMMED negative log-likelihood by the layer's weights: its Hessian, as the
    outputs are linear in them. Float64, nats."""
    (c, f), phi = layer.places.shape, layer.features
    if isinstance(task.likelihood, Gaussian):
        return torch.block_diag(*[phi.T @ phi / task.likelihood.variance] * c)
    if not isinstance(task.likelihood, Categorical):
        raise BadInput("Laplace approximations need a likelihood: classification (cross-entropy) or regression (gaussian).")
    p = layer.outputs.softmax(-1)
    found = phi.new_empty(c, f, c, f)
    for i in range(c):
        for j in range(i + 1):
            weight = p[:, i] * (float(i == j) - p[:, j])
            found[i, :, j] = found[j, :, i] = phi.T @ (weight[:, None] * phi)
    return found.reshape(c * f, c * f)


def _places(net: Net, weight: str, layer: nn.Linear) -> Tensor:
    starts = dict(zip(net.names, [sum(net.sizes[:i]) for i in range(len(net.sizes))], strict=True))
    c, f = layer.weight.shape
    places = starts[weight] + torch.arange(c * f).view(c, f)
    if layer.bias is None:
        return places
    return torch.cat([places, starts[weight.removesuffix("weight") + "bias"] + torch.arange(c)[:, None]], 1)


def _without(module: nn.Module, name: str) -> nn.Module:
    """A copy whose layer ``name`` passes on what it is given."""
    if not name:
        return nn.Identity()
    made = copy.deepcopy(module)
    parent, _, own = name.rpartition(".")
    setattr(made.get_submodule(parent), own, nn.Identity())
    return made
