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
            memory: Tensor, hidden: list[Tensor], filled: list[Tensor], out: list[Tensor], activations: list[int]) -> None:
    """What the layers make of a tile of examples at every point, into one tensor (C, T) of ``out``.

    ``products`` are those of the first layer, K + 1 times (H, T), ``weights`` each other layer's matrices (out, in) for
    every point, with the offsets as their last column if it has any; ``hidden`` takes what the layers but the last make of
    the examples and ``filled`` is the same memory with a row of ones below, where the next layer has offsets; ``memory``
    (H, T) takes what neighbours have in common; the others as for ``combine``.
    """
    start, direction, depth = products[0], products[-1], len(weights)
    for i in range(len(last)):
        if fresh[i]:
            start = _start(products[0], products[1:], rows, i, memory)
        h = hidden[0] if depth > 0 else out[i]
        _sum(start, direction, last[i], activations[0], h)
        for j in range(depth):
            h = hidden[j + 1] if j + 1 < depth else out[i]
            torch.mm(weights[j][i], filled[j], out=h)
            _activate(h, activations[j + 1])


def _start(origin: Tensor, directions: list[Tensor], rows: list[float], i: int, memory: Tensor) -> Tensor:
    """``origin + sum_k z_k direction_k`` over all directions but the last, at point i."""
    size = len(directions) - 1
    start = origin
    for k in range(size):
        start = torch.add(start, directions[k], alpha=rows[i * size + k], out=memory)
    return start


def _sum(a: Tensor, b: Tensor, alpha: float, activation: int, out: Tensor) -> None:
    """The activation of ``a + alpha b``: ReLU in one pass with the sum where torch has it."""
    if activation == 1 and (out.dtype == torch.float32 or out.dtype == torch.float64):
        torch._add_relu(a, b, alpha=alpha, out=out)
    else:
        torch.add(a, b, alpha=alpha, out=out)
        _activate(out, activation)


def _activate(h: Tensor, activation: int) -> None:
    """In place."""
    if activation == 1:
        h.relu_()
    elif activation == 2:
        h.tanh_()
    elif activation == 3:
        h.copy_(torch.nn.functional.gelu(h))
