"""The loops of ``geometry.affine`` that threads run side by side: sequences of short operations on tensors.

A thread that goes from one short operation to the next in Python waits for the interpreter each time that another thread
has it: a sixth of the time, with two threads. ``compiled`` hands a function to TorchScript, which runs the whole of it
without the interpreter; where torch no longer has that, the function runs as it is written here, with the same results.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


@cache
def compiled(function: Callable) -> Callable:
    """The function for TorchScript, or itself where there is no such thing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except (AttributeError, OSError, RuntimeError):  # gone, its source not at hand, or no longer understood
            return function


def combine(origin: Tensor, basis: Tensor, rows: list[list[float]], last: list[float], memory: Tensor, exact: Tensor,
            weights: list[Tensor], offsets: list[Tensor]) -> None:
    """Matrices (G, out, in) and offsets (G, out, 1) of layers at G points: summed in float64 (G, P), then rounded.

    ``rows`` are the points' coordinates but the last, ``memory`` (P,) takes what points of a row have in common; a layer
    without an offset has an empty one.
    """
    start = origin
    for p in range(len(last)):
        if p == 0 or rows[p] != rows[p - 1]:
            start = origin
            for k in range(len(rows[p])):
                start = torch.add(start, basis[k], alpha=rows[p][k], out=memory)
        torch.add(start, basis[-1], alpha=last[p], out=exact[p])
    place = 0
    for weight, offset in zip(weights, offsets):  # noqa: B905 (unknown to TorchScript)
        size = weight.size(1) * weight.size(2)
        weight.copy_(exact[:, place : place + size].view(weight.size()))
        place += size
        if offset.numel() > 0:
            offset.copy_(exact[:, place : place + offset.size(1)].unsqueeze(-1))
            place += offset.size(1)


def through(products: list[Tensor], rows: list[list[float]], last: list[float], weights: list[list[Tensor]],
            offsets: list[list[Tensor]], memory: Tensor, hidden: list[Tensor], out: Tensor, activations: list[str]) -> None:
    """What the layers make of a tile of examples at groups of G points, into ``out`` (groups, G, C, T).

    ``products`` are those of the first layer, K + 1 times (H, T), ``hidden`` takes what the layers but the last make of one
    group, ``memory`` (H, T) what points of a row have in common; weights and offsets of each group as ``combine`` made them.
    """
    start = products[0]
    fresh = True
    for g in range(out.size(0)):
        h = hidden[0] if len(hidden) > 0 else out[g]
        for p in range(out.size(1)):
            i = g * out.size(1) + p
            if fresh or rows[i] != rows[i - 1]:
                fresh = False
                start = products[0]
                for k in range(len(rows[i])):
                    start = torch.add(start, products[1 + k], alpha=rows[i][k], out=memory)
            _sum(start, products[-1], last[i], activations[0], h[p])
        _activate(h, activations[0], False)
        for j in range(len(weights[g])):
            to = hidden[j + 1] if j + 1 < len(hidden) else out[g]
            torch.bmm(weights[g][j], h, out=to)
            h = to
            if offsets[g][j].numel() > 0:
                _sum(h, offsets[g][j], 1.0, activations[j + 1], h)
                _activate(h, activations[j + 1], False)
            else:
                _activate(h, activations[j + 1], True)


def _sum(a: Tensor, b: Tensor, alpha: float, activation: str, out: Tensor) -> None:
    """``a + alpha b``, through ReLU if that is the activation: in one pass where torch has it."""
    if activation == "relu" and (out.dtype == torch.float32 or out.dtype == torch.float64):
        torch._add_relu(a, b, alpha=alpha, out=out)
    else:
        torch.add(a, b, alpha=alpha, out=out)
        if activation == "relu":
            out.relu_()


def _activate(h: Tensor, activation: str, relu: bool) -> None:
    """An activation in place; ReLU only if ``relu``, as ``_sum`` has done it otherwise."""
    if activation == "tanh":
        h.tanh_()
    elif activation == "gelu":
        h.copy_(torch.nn.functional.gelu(h))
    elif activation == "relu" and relu:
        h.relu_()
