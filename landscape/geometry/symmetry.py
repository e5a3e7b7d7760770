"""Changes of the weights that do not change the function: hidden units in another order, ReLU layers in another scale."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from landscape.errors import BadInput, unknown
from landscape.geometry.matching import Permuted, assert_unchanged, weight_matching
from landscape.geometry.operations import RESHAPES, called
from landscape.geometry.permutations import Segment, Structure
from landscape.geometry.tracing import permutation_structure, traced
from landscape.networks.net import Net

__all__ = ["Permuted", "Segment", "Structure", "assert_unchanged", "permutation_structure", "rescaled", "weight_matching"]

LINEAR = (nn.Linear, _ConvNd)
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d, nn.MaxPool1d,
               nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
HOMOGENEOUS_CALLS = RESHAPES | {"relu", "leaky_relu", "dropout", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d",
                                "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean", "contiguous"}


def rescaled(net: Net, w: Tensor, layer: str, factor: float) -> Tensor:
    """Weights (P,) of the same function: the outputs of a layer times ``factor`` > 0, what reads them divided by it.

    ``layer`` is the name of a Linear, convolution or normalisation layer of the module whose outputs reach linear layers
    through ReLU, pooling, dropout and reshapes alone, for all of which f(c h) = c f(h) (Dinh et al. 2017, Sharp Minima Can
    Generalize). Raises BadInput where anything else stands between.
    """
    if not 0 < factor < float("inf"):
        raise BadInput(f"A layer is rescaled by a positive number, found {factor}.")
    modules = dict(net.module.named_modules())
    names = [name for name, child in modules.items() if isinstance(child, (*LINEAR, _BatchNorm, nn.GroupNorm, nn.LayerNorm))]
    if layer not in names:
        raise unknown("layer to rescale", layer, names)
    readers = _readers(traced(net), modules, layer)
    scales = {id(modules[reader].weight): 1 / factor for reader in readers}
    own = {id(p): factor for p in modules[layer].parameters()}
    owners = [id(p) for child in modules.values() for p in child.parameters(recurse=False)]
    if not own or any(owners.count(key) > 1 for key in own | scales):
        raise BadInput(f"The layer {layer!r} cannot be rescaled: it has no weights, or some are shared between layers.")
    scales |= own
    named = dict(net.module.named_parameters())
    return torch.cat([t.reshape(-1) * scales.get(id(named[name]), 1.0) for name, t in net.unflatten(w).items()])


def _readers(graph: fx.Graph, modules: dict[str, nn.Module], layer: str) -> set[str]:
    """Names of the linear layers that the outputs of a layer reach through positively homogeneous operations."""
    uses = [n for n in graph.nodes if n.op == "call_module" and modules[n.target] is modules[layer]]
    if len(uses) != 1:
        raise BadInput(f"Only a layer that is used once can be rescaled; {layer!r} is used {len(uses)} times.")
    found: set[str] = set()
    waiting = list(uses[0].users)
    while waiting:
        n = waiting.pop()
        child = modules[n.target] if n.op == "call_module" else None
        if isinstance(child, LINEAR) and sum(u.target == n.target for u in graph.nodes if u.op == "call_module") == 1:
            found.add(n.target)
        elif isinstance(child, HOMOGENEOUS) or (n.op in ("call_function", "call_method") and called(n) in HOMOGENEOUS_CALLS):
            waiting += n.users
        else:
            what = f"{n.target} ({type(child).__name__})" if child is not None else n.name
            raise BadInput(f"The layer {layer!r} cannot be rescaled without changing the function: its outputs reach "
                           f"{what}. Choose a layer whose outputs go through ReLU, pooling or dropout to linear layers.")
    return found
