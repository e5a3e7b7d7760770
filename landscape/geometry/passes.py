"""The loops of ``geometry.affine`` that threads run side by side (see ``networks.compiled``)."""

import torch
from torch import Tensor

ACTIVATIONS = {None: 0, "relu": 1, "tanh": 2, "gelu": 3}  # numbers, since threads that share a text count on it in turn


def combine(origin: Tensor, basis: list[Tensor], rows: list[float], last: list[float], fresh: list[bool], memory: Tensor,
            out: list[Tensor]) -> None:
    """``origin + sum_k z_k basis_k``, each (P,), at every point into one tensor of ``out``.

    ``last`` has each point's last coordinate and ``rows`` the others, one point after the other; ``fresh`` says where these
    differ from the point's before. What neighbours in a row have in common is made once, in ``memory`` (P,).
    """
    start, direction = origin, basis[-1]
    for i in range(len(last)):
        if fresh[i]:
            start = _start(origin, basis, rows, i, memory)
        torch.add(start, direction, alpha=last[i], out=out[i])


def through(products: list[Tensor], rows: list[float], last: list[float], fresh: list[bool], weights: list[list[Tensor]],
            offsets: list[list[Tensor]], memory: Tensor, hidden: list[Tensor], out: list[Tensor],
            activations: list[int]) -> None:
    """What the layers make of a tile of examples at groups of G points, into ``out``, each (G, C, T).

    ``products`` are those of the first layer, K + 1 times (H, T), ``weights`` and ``offsets`` each other layer's matrices
    (G, out, in) and (G, out, 1) for every group, the latter empty where it has none; ``hidden`` takes what the layers but
    the last make of one group, ``memory`` (H, T) what neighbours have in common; the others as for ``combine``.
    """
    start, direction = products[0], products[-1]
    inner = hidden[0].unbind(0) if len(hidden) > 0 else out[0].unbind(0)
    size, depth, biased = len(inner), len(weights), [layer[0].size(2) > 0 for layer in offsets]
    for g in range(len(last) // size):
        if len(hidden) == 0:
            inner = out[g].unbind(0)
        for p in range(size):
            i = g * size + p
            if fresh[i]:
                start = _start(products[0], products[1:], rows, i, memory)
            _sum(start, direction, last[i], activations[0], inner[p])
        h = hidden[0] if len(hidden) > 0 else out[g]
        _activate(h, activations[0], False)
        for j in range(depth):
            to = hidden[j + 1] if j + 1 < depth else out[g]
            torch.bmm(weights[j][g], h, out=to)
            h = to
            if biased[j]:
                _sum(h, offsets[j][g], 1.0, activations[j + 1], h)
            _activate(h, activations[j + 1], not biased[j])


def _start(origin: Tensor, directions: list[Tensor], rows: list[float], i: int, memory: Tensor) -> Tensor:
    """``origin + sum_k z_k direction_k`` over all directions but the last, at point i."""
    size = len(directions) - 1
    start = origin
    for k in range(size):
        start = torch.add(start, directions[k], alpha=rows[i * size + k], out=memory)
    return start


def _sum(a: Tensor, b: Tensor, alpha: float, activation: int, out: Tensor) -> None:
    """``a + alpha b``, through ReLU if that is the activation: in one pass where torch has it."""
    if activation == 1 and (out.dtype == torch.float32 or out.dtype == torch.float64):
        torch._add_relu(a, b, alpha=alpha, out=out)
    else:
        torch.add(a, b, alpha=alpha, out=out)
        if activation == 1:
            out.relu_()


def _activate(h: Tensor, activation: int, relu: bool) -> None:
    """An activation in place; ReLU only if ``relu``, as ``_sum`` has done it otherwise."""
    if activation == 2:
        h.tanh_()
    elif activation == 3:
        h.copy_(torch.nn.functional.gelu(h))
    elif activation == 1 and relu:
        h.relu_()
