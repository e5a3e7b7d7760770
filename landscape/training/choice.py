"""The loss a name stands for, checked against what a network puts out and what the targets are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.training.losses import IGNORED, Categorical, Causal, Gaussian, Given, Likelihood, SquaredError

NAMES = ("cross-entropy", "mse", "gaussian", "causal")


def chosen(name: str, outputs: Tensor, y: Tensor, noise_variance: float = 0.05,
           function: Callable[[Tensor, Tensor], Tensor] | None = None) -> Likelihood:
    """The loss ``name`` for a network with ``outputs`` (B, ...) on the first B examples; y (n, ...) are all targets.

    ``function`` is what a name like ``package.module:function`` stands for. Raises BadInput if outputs and targets do not
    fit the loss, saying what it needs.
    """
    if function is not None:
        return _given(name, function, outputs, y[: len(outputs)])
    if name == "cross-entropy":
        return _categorical(outputs, y)
    if name in ("mse", "gaussian"):
        return _numbers(name, outputs, y, noise_variance)
    if name == "causal":
        return _causal(outputs, y)
    raise unknown("loss", name, (*NAMES, "package.module:function"))


def _categorical(outputs: Tensor, y: Tensor) -> Categorical:
    if y.ndim != 1 or y.is_floating_point():
        raise BadInput(f"cross-entropy needs class numbers (n,) as targets, found {_said(y)}. Choose loss=mse or gaussian "
                       "for numbers, causal for tokens.")
    if outputs.ndim != 2:
        raise BadInput(f"cross-entropy needs a network with outputs (examples, classes), found {_said(outputs)}. Choose "
                       "another loss, or a factory whose forward returns logits of that shape.")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= outputs.shape[1]:
        raise BadInput(f"The network puts out {outputs.shape[1]} classes, numbered from 0; the labels go from {low} to "
                       f"{high}. Number the classes from 0 in the network's order, or give the data it was trained on.")
    return Categorical()


def _numbers(name: str, outputs: Tensor, y: Tensor, variance: float) -> SquaredError | Gaussian:
    if not y.is_floating_point() or outputs.ndim != 2 or outputs.shape[1:] != y.shape[1:]:
        raise BadInput(f"{name} needs outputs and targets of one shape (examples, numbers), found outputs {_said(outputs)} "
                       f"and targets {_said(y)}. Store targets as (n, numbers) with decimals; a network with outputs (n,) "
                       "needs a factory that returns (n, 1).")
    return SquaredError() if name == "mse" else Gaussian(variance)


def _causal(outputs: Tensor, y: Tensor) -> Causal:
    if y.is_floating_point() or y.ndim != 2 or y.shape[1] < 2:
        raise BadInput(f"causal needs tokens (n, length) of at least 2 tokens as whole numbers, found {_said(y)}.")
    if outputs.ndim != 3 or outputs.shape[1] != y.shape[1]:
        raise BadInput(f"causal needs a network with logits (examples, {y.shape[1]} tokens, vocabulary), found "
                       f"{_said(outputs)}.")
    counted = y[:, 1:] != IGNORED
    kept = y[y != IGNORED]
    if not bool(counted.any()) or int(kept.min()) < 0 or int(kept.max()) >= outputs.shape[2]:
        raise BadInput(f"Tokens must be whole numbers from 0 to {outputs.shape[2] - 1}, the network's vocabulary ({IGNORED} "
                       f"does not count); found {int(y.min())} to {int(y.max())}. Use the network's own tokenizer.")
    return Causal(float(counted.sum()) / len(y), outputs.shape[2])


def _given(name: str, function: Callable, outputs: Tensor, y: Tensor) -> Given:
    if not y.is_floating_point() and outputs.ndim == y.ndim + 1:
        kind = "classes"
    else:
        kind = "numbers" if y.is_floating_point() and outputs.shape == y.shape else "loss"
    made = Given(function, name, kind, 0.0, outputs.ndim, y.ndim)
    try:
        ignorance = float(made.nll(torch.zeros_like(outputs), y).double().mean())
    except BadInput:
        raise
    except Exception as error:  # the user's own code
        raise BadInput(f"The loss {name} failed on outputs {_said(outputs)} and targets {_said(y)}: {type(error).__name__}: "
                       f"{error}.") from None
    return Given(function, name, kind, ignorance, outputs.ndim, y.ndim)


def _said(values: Tensor) -> str:
    return f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
