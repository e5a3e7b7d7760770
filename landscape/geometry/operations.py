"""How each operation carries the units along: rules ``(walk, node, layer) -> layout``, None where it is not understood.

``layer`` is the module of a ``call_module`` node and None for functions, which find their weights among the arguments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from landscape.geometry.spaces import reshaped

if TYPE_CHECKING:
    from landscape.geometry.tracing import Layout, Walk

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign,
    nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.Softmax,
    nn.LogSoftmax, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
ELEMENTWISE = {
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "sigmoid",
    "logsigmoid", "hardsigmoid", "hardswish", "hardtanh", "tanh", "tanhshrink", "threshold", "softmax", "log_softmax",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "add", "iadd", "sub", "isub", "mul", "imul", "div",
    "truediv", "itruediv", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "pow", "square", "clamp", "clip", "sin", "cos",
    "erf", "where", "maximum", "minimum", "contiguous", "clone", "detach", "to", "float", "double"}
RESHAPES = {"flatten", "unflatten", "reshape", "view", "squeeze", "unsqueeze"}
REDUCTIONS = {"mean", "sum", "amax", "amin"}
SIZES = {"size", "dim", "numel", "getattr"}


def called(n: fx.Node) -> str:
    """The plain name of what a node calls: ``relu`` for torch.relu, F.relu, Tensor.relu_ and the like."""
    name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", str(n.target))
    return name.split(".")[0].strip("_")


def for_layer(layer: nn.Module):
    """The rule of a layer from torch.nn, or None."""
    if isinstance(layer, ACTIVATIONS):
        return elementwise
    if re.fullmatch(r"(Adaptive)?(Max|Avg|LP)Pool\dd|Upsample|\w+Pad\dd", type(layer).__name__):
        return spatial
    return next((rule for kinds, rule in LAYERS.items() if isinstance(layer, kinds)), None)


def for_call(n: fx.Node):
    """The rule of a function or method, or None."""
    name = called(n)
    if name in ELEMENTWISE:
        return elementwise
    if name in RESHAPES:
        return reshape
    if name in REDUCTIONS:
        return reduction
    if name in SIZES:
        return size
    return spatial if re.fullmatch(r"(adaptive_)?(max|avg|lp)_pool\dd|interpolate", name) else CALLS.get(name)


def argument(n: fx.Node, index: int, name: str, default=None):
    """What a call was given at a position or by name."""
    return n.args[index] if len(n.args) > index else n.kwargs.get(name, default)


def weights(walk: Walk, n: fx.Node, layer, *places: tuple[int, str]) -> list[Layout | None]:
    """Layouts of the weights of a layer, or of the arguments of a function at (index, name); None where there is none."""
    if layer is not None:
        found = [getattr(layer, name, None) for _, name in places]
        return [None if tensor is None else walk.layout_of(tensor) for tensor in found]
    nodes = [argument(n, *place) for place in places]
    return [walk.layouts[node] if isinstance(node, fx.Node) else None for node in nodes]


class NotUnderstood(Exception):
    """An operation is used in a way that its rule does not cover; it counts as one without a rule."""


def source(walk: Walk, n: fx.Node) -> tuple[Layout, tuple[int, ...]]:
    """Layout and shape of what an operation is applied to. Raises NotUnderstood where that is not a tensor."""
    node = argument(n, 0, "input")
    if node not in walk.shapes or n not in walk.shapes:
        raise NotUnderstood
    return dict(walk.layouts[node]), walk.shapes[node]


def elementwise(walk, n, layer):
    """Broadcast against each other: what meets must agree. Softmax among them, which permutes as its input does."""
    out = walk.shapes.get(n)
    if out is None:
        return None
    layout = {}
    for d in range(len(out)):
        axes = []
        for node in n.all_input_nodes:
            shape = walk.shapes.get(node, ())
            own = d - (len(out) - len(shape))
            if own >= 0 and shape[own] > 1:
                axes.append(walk.layouts[node].get(own))
        if axes:
            layout[d] = walk.join(*axes)
    return layout


def linear(walk, n, layer):
    x, shape = source(walk, n)
    weight, bias = weights(walk, n, layer, (1, "weight"), (2, "bias"))
    if weight is None:
        return None
    last = len(shape) - 1
    walk.join(x.get(last), weight.get(1))
    return x | {last: along(walk, weight.get(0), bias)}


def along(walk, axis, *vectors):
    """An axis that these vectors, where there are any, lie along too."""
    return walk.join(axis, *(v.get(0) for v in vectors if v is not None))


def convolution(walk, n, layer):
    """Units are channels. Depthwise ones pass through; other grouped convolutions keep their channels in place."""
    x, shape = source(walk, n)
    weight, bias = weights(walk, n, layer, (1, "weight"), (2, "bias"))
    node = n.args[1] if layer is None and len(n.args) > 1 else None
    kernel = layer.weight.shape if layer is not None else walk.shapes.get(node)
    name = type(layer).__name__ if layer is not None else called(n)
    if weight is None or kernel is None or (layer is None and "transpose" in name):
        return None
    transposed = "Transpose" in name
    c = len(shape) - len(kernel) + 1
    groups = layer.groups if layer is not None else argument(n, 6, "groups", 1)
    inputs = x.pop(c, None)
    walk.join(None, *x.values(), *(axis for d, axis in weight.items() if d > 1))  # pixels stay where they are
    if groups == 1:
        walk.join(inputs, weight.get(0 if transposed else 1))
        out = weight.get(1 if transposed else 0)
    elif groups == kernel[0] == shape[c] and kernel[1] == 1:
        out = walk.join(inputs, weight.get(0))
    else:
        return None
    return {c: along(walk, out, bias)}


def channel_norm(walk, n, layer):
    """Batch and instance normalisation: one set of numbers a channel, axis 1."""
    x, _ = source(walk, n)
    places = ((3, "weight"), (4, "bias"), (1, "running_mean"), (2, "running_var"))
    return x | {1: along(walk, x.get(1), *weights(walk, n, layer, *places))}


def group_norm(walk, n, layer):
    """Groups of channels are normalised together, so they stay together."""
    x, shape = source(walk, n)
    groups = layer.num_groups if layer is not None else argument(n, 1, "num_groups")
    axis = along(walk, x.get(1), *weights(walk, n, layer, (2, "weight"), (3, "bias")))
    if axis is not None and 1 < groups < shape[1]:
        walk.spaces.gather(axis, groups)
    return x | {1: axis}


def layer_norm(walk, n, layer):
    """The last axes are normalised together, each entry with its own scale."""
    x, shape = source(walk, n)
    normalised = layer.normalized_shape if layer is not None else argument(n, 1, "normalized_shape")
    vectors = [v for v in weights(walk, n, layer, (2, "weight"), (3, "bias")) if v is not None]
    first = len(shape) - len(normalised)
    for j, entries in enumerate(normalised):
        if entries > 1:
            x[first + j] = walk.join(x.get(first + j), *(v.get(j) for v in vectors))
    return x


def prelu(walk, n, layer):
    x, shape = source(walk, n)
    (slope,) = weights(walk, n, layer, (1, "weight"))
    return x | ({1: along(walk, x.get(1), slope)} if slope and len(shape) > 1 else {})


def embedding(walk, n, layer):
    if layer is None:
        return None
    weight = walk.layout_of(layer.weight)
    walk.join(None, weight.get(0))
    return {len(walk.shapes[n]) - 1: weight.get(1)}


def spatial(walk, n, layer):
    """Pooling, padding and resizing of the last axes: those stay in place, channels pass through."""
    name = type(layer).__name__ if layer is not None else called(n)
    x, shape = source(walk, n)
    count = re.search(r"(\d)d", name)
    first = len(shape) - int(count[1]) if count else 2
    walk.join(None, *(axis for d, axis in x.items() if d >= first))
    return {d: axis for d, axis in x.items() if d < first}


def pad(walk, n, layer):
    x, shape = source(walk, n)
    widths = argument(n, 1, "pad")
    if not isinstance(widths, tuple | list):
        return None
    padded = [len(shape) - 1 - i // 2 for i, width in enumerate(widths) if width != 0]
    walk.join(None, *(axis for d, axis in x.items() if d in padded))
    return {d: axis for d, axis in x.items() if d not in padded}


def reshape(walk, n, layer):
    x, shape = source(walk, n)
    kept, lost = reshaped(x, shape, walk.shapes[n])
    if any(walk.spaces.free(axis) for axis in lost):
        walk.fixed.append(f"{n.name} ({called(n)}) divides or mixes an axis of units, which keeps them in their places.")
    walk.join(None, *lost)
    return kept


def permute(walk, n, layer):
    x, shape = source(walk, n)
    order = n.args[1] if len(n.args) == 2 else n.args[1:] or n.kwargs.get("dims")
    return {i: x.get(d % len(shape)) for i, d in enumerate(order)}


def transpose(walk, n, layer):
    x, shape = source(walk, n)
    a, b = (argument(n, i, f"dim{i - 1}") % len(shape) for i in (1, 2))
    return {b if d == a else a if d == b else d: axis for d, axis in x.items()}


def reduction(walk, n, layer):
    """A sum over all units does not see their order."""
    x, shape = source(walk, n)
    dims = argument(n, 1, "dim")
    dims = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = {d % len(shape) for d in dims}
    if len(walk.shapes[n]) == len(shape):
        return {d: axis for d, axis in x.items() if d not in gone}
    return {d - sum(g < d for g in gone): axis for d, axis in x.items() if d not in gone}


def concatenation(walk, n, layer):
    """Behind each other along one axis; the other axes must agree."""
    nodes = argument(n, 0, "tensors")
    out = walk.shapes[n]
    at = argument(n, 1, "dim", 0) % len(out)
    layout = {d: walk.join(*(walk.layouts[node].get(d) for node in nodes)) for d in range(len(out)) if d != at}
    axis = ()
    for node in nodes:
        part = walk.layouts[node].get(at)
        if part is None:
            part = walk.spaces.fresh(walk.shapes[node][at])
            walk.spaces.pin(part)
        axis += part
    return layout | {at: axis}


def item(walk, n, layer):
    """Slices of axes without units; an axis that is taken whole keeps its units."""
    x, _ = source(walk, n)
    index = n.args[1] if isinstance(n.args[1], tuple) else (n.args[1],)
    if not all(isinstance(i, slice) for i in index):
        return None
    cut = [d for d, i in enumerate(index) if i != slice(None)]
    walk.join(None, *(axis for d, axis in x.items() if d in cut))
    return {d: axis for d, axis in x.items() if d not in cut}


def size(walk, n, layer):
    """Lengths do not depend on the order of units."""
    return None if n in walk.shapes else {}


LAYERS = {nn.Linear: linear, _ConvNd: convolution, (_BatchNorm, _InstanceNorm): channel_norm, nn.GroupNorm: group_norm,
          (nn.LayerNorm, nn.RMSNorm): layer_norm, nn.PReLU: prelu, nn.Embedding: embedding,
          (nn.Flatten, nn.Unflatten): reshape}
CALLS = {"linear": linear, "conv1d": convolution, "conv2d": convolution, "conv3d": convolution, "batch_norm": channel_norm,
         "group_norm": group_norm, "layer_norm": layer_norm, "prelu": prelu, "pad": pad, "permute": permute,
         "transpose": transpose, "cat": concatenation, "concat": concatenation, "getitem": item}
