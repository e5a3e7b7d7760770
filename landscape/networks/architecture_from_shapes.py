"""Widths, depth and normalisation of this project's networks, read off the shapes of a state dict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor

from landscape import catalog
from landscape.errors import BadInput, unknown
from landscape.networks.matching import COUNTER, in_module_order

BLOCKS = {"preresnet8": 1, "preresnet20": 3}
_NORMS = {1: "none", 2: "group", 3: "group", 4: "batch", 5: "batch"}  # vectors behind a matrix, with or without bias


@dataclass(frozen=True)
class Architecture:
    """What ``architectures.build`` needs to make the network a file was trained with."""

    network: str
    widths: tuple[int, ...]
    norm: str


def architecture(network: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...], outputs: int) -> Architecture:
    """The network called ``network`` ("auto": the first of ours that fits) with the widths these tensors have.

    ``shape`` is that of one example, ``outputs`` the number of classes or targets. mlp and conv are recognised by their
    shapes alone, whatever the names are; preresnet by its names. Raises BadInput, saying what does not fit.
    """
    if network != "auto":
        if network not in catalog.NETWORKS:
            raise unknown("network", network, catalog.NETWORKS)
        return _read(network, tensors, tuple(shape), outputs)
    reasons = []
    for name in _READERS:
        try:
            return _read(name, tensors, tuple(shape), outputs)
        except BadInput as error:
            reasons.append(f"{name}: {error}")
    raise BadInput("The file fits none of this project's networks; name yours as package.module:factory, or give a "
                   "torch.export program. " + " ".join(reasons))


@dataclass(frozen=True)
class _Layer:
    """A weight (outputs, inputs, *kernel) and how many vectors of its outputs stand behind it."""

    outputs: int
    inputs: int
    kernel: tuple[int, ...]
    vectors: int


def _mlp(network: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...], outputs: int) -> Architecture:
    layers = _layers(tensors, {2})
    _check_chain(layers, math.prod(shape))
    _check_outputs(layers[-1].outputs, outputs)
    return Architecture(network, tuple(layer.outputs for layer in layers[:-1]), _norm(layers[:-1]))


def _conv(network: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...], outputs: int) -> Architecture:
    *hidden, last = _layers(tensors, {2, 4})
    if last.kernel or not hidden or any(layer.kernel != (3, 3) for layer in hidden):
        raise BadInput("expected 3x3 convolutions and one linear layer at the end, found kernels of "
                       f"{[layer.kernel or 'linear' for layer in (*hidden, last)]}.")
    _check_chain(hidden, _channels(shape))
    _check_outputs(last.outputs, outputs)
    return Architecture(network, tuple(layer.outputs for layer in hidden), _norm(hidden))


def _preresnet(network: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...], outputs: int) -> Architecture:
    try:
        stem = tensors["stem.1.weight"]
        head = next(tensor for name, tensor in tensors.items() if name.startswith("head.") and tensor.ndim == 2)
        depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("stages."))
        firsts = [tensors[f"stages.{i}.first.weight"] for i in range(depth)]
    except (KeyError, IndexError, ValueError, StopIteration):
        raise BadInput("expected the names stem.1.weight, stages.N.first.weight ... and a linear layer in head.") from None
    starts = [0, *(i for i in range(1, depth) if f"stages.{i}.shortcut.weight" in tensors)]
    if depth != BLOCKS[network] * len(starts):
        raise BadInput(f"expected {BLOCKS[network]} blocks in each stage, found {depth} blocks in {len(starts)} stages.")
    if stem.ndim != 4 or stem.shape[1] != _channels(shape):
        raise BadInput(f"the stem has the shape {tuple(stem.shape)}, the data have {_channels(shape)} channels.")
    _check_outputs(head.shape[0], outputs)
    norm = ("batch" if "stages.0.before.0.running_mean" in tensors else
            "group" if "stages.0.before.0.weight" in tensors else "none")
    return Architecture(network, tuple(firsts[i].shape[0] for i in starts), norm)


def _channels(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 3 else 1


_READERS = {"mlp": _mlp, "conv": _conv, "preresnet8": _preresnet, "preresnet20": _preresnet}


def _read(network: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...], outputs: int) -> Architecture:
    """Off the tensors in file order, or where that makes no sense (in an alphabetic file, say) in module order."""
    try:
        return _READERS[network](network, tensors, shape, outputs)
    except BadInput as error:
        ordered = {name: tensors[name] for name in in_module_order(tensors)}
        try:
            return _READERS[network](network, ordered, shape, outputs)
        except BadInput:
            if isinstance(error, _NoPlace):
                raise
            raise error from None


class _NoPlace(BadInput):
    """A tensor that belongs to none before it: perhaps for want of order."""


def _layers(tensors: Mapping[str, Tensor], axes: set[int]) -> list[_Layer]:
    layers: list[_Layer] = []
    for name, tensor in tensors.items():
        if name.endswith(COUNTER):
            continue
        if tensor.ndim in axes:
            layers.append(_Layer(tensor.shape[0], tensor.shape[1], tuple(tensor.shape[2:]), 0))
        elif tensor.ndim == 1 and layers and len(tensor) == layers[-1].outputs:
            layers[-1] = replace(layers[-1], vectors=layers[-1].vectors + 1)
        else:
            raise _NoPlace(f"{name} with shape {tuple(tensor.shape)} has no place in it.")
    if not layers:
        raise BadInput("there is no weight matrix in the file.")
    return layers


def _check_chain(layers: list[_Layer], inputs: int) -> None:
    if layers[0].inputs != inputs:
        raise BadInput(f"the first layer takes {layers[0].inputs} inputs, an example of the data has {inputs}.")
    for before, after in pairwise(layers):
        if before.outputs != after.inputs:
            raise BadInput(f"a layer with {before.outputs} outputs is followed by one with {after.inputs} inputs.")


def _check_outputs(found: int, wanted: int) -> None:
    if found != wanted:
        raise BadInput(f"the last layer has {found} outputs, the data need {wanted}.")


def _norm(layers: list[_Layer]) -> str:
    found = {_NORMS.get(layer.vectors, "unknown") for layer in layers} or {"none"}
    if len(found) > 1 or "unknown" in found:
        raise BadInput("expected a bias and one kind of normalisation in all hidden layers, found "
                       f"{[layer.vectors for layer in layers]} vectors behind their weights.")
    return found.pop()
