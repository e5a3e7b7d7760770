"""Networks this project did not make: modules from the shapes in a file, from listed factories, programs and libraries."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape import catalog
from landscape.errors import BadInput, unknown
from landscape.networks import programs
from landscape.networks.architecture_from_shapes import Architecture, architecture
from landscape.networks.architectures import ACTIVATIONS, build
from landscape.networks.factories import called, factory
from landscape.networks.libraries import from_timm, from_transformers
from landscape.networks.matching import Match, match
from landscape.networks.roots import allowed

__all__ = ["KINDS", "Match", "match", "module_for"]

KINDS = ("auto, " + ", ".join(catalog.NETWORKS) + ", package.module:factory, program:FILE.pt2, timm:NAME, "
         "transformers:NAME_OR_FOLDER")


def module_for(
    network: str,
    arguments: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | None,
    shape: tuple[int, ...],
    outputs: int,
    activation: str = "relu",
    roots: Iterable[Path | str] = (),
) -> nn.Module:
    """The module that ``network`` names, with weights of its own (``match`` finds those of a file).

    ``network`` is one of ours (widths and norm from ``arguments``, else read off ``tensors``; "auto" takes the first that
    fits), "package.module:factory" of a module listed in LANDSCAPE_FACTORIES, "program:FILE.pt2", "timm:NAME" or
    "transformers:NAME_OR_FOLDER". ``shape`` is that of one example, ``outputs`` the number of classes or targets, ``roots``
    folders that files may lie in besides LANDSCAPE_ROOTS. The same call gives the same weights, and no global random state
    changes. Raises BadInput for whatever cannot be made.
    """
    kind, colon, rest = network.partition(":")
    with _own_randomness():
        if network == "auto" or network in catalog.NETWORKS:
            return _ours(network, arguments, tensors, tuple(shape), outputs, activation)
        if not colon:
            raise unknown("network", network, ["auto", *catalog.NETWORKS, "package.module:factory", "program:FILE.pt2"])
        if kind == "program":
            if arguments:
                raise BadInput(f"A program takes no arguments, found {', '.join(arguments)}. Leave them out.")
            return programs.load(allowed(rest, roots))
        if kind == "timm":
            return from_timm(rest, arguments, shape, outputs)
        if kind == "transformers":
            return from_transformers(rest, arguments, roots)
        return called(network, factory(network), arguments)


def _ours(network: str, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor] | None, shape: tuple[int, ...],
          outputs: int, activation: str) -> nn.Module:
    extra = set(arguments) - {"widths", "norm", "activation"}
    if extra:
        raise unknown(f"argument of {network}", min(extra), ["widths", "norm", "activation"])
    activation = str(arguments.get("activation", activation))
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if arguments.get("norm") not in (None, *catalog.NORMS):
        raise unknown("norm", str(arguments["norm"]), catalog.NORMS)
    chosen = (Architecture(network, (), "") if tensors is None or ("widths" in arguments and network != "auto") else
              architecture(network, tensors, shape, outputs))
    widths = arguments.get("widths", chosen.widths or None)
    if widths is not None and not (isinstance(widths, list | tuple) and
                                   all(type(n) is int and 0 < n <= 2**20 for n in widths)):
        raise BadInput(f"widths must be a list of positive whole numbers, found {widths!r}.")
    if network == "auto" and tensors is None:
        raise BadInput(f"'auto' reads the network off a file's shapes, and there is no file. Choose one of: {KINDS}.")
    return build(chosen.network, shape, outputs, widths if tensors is None or widths else (), activation,
                 arguments.get("norm", chosen.norm or None))


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Global generators start from a fixed state inside and are as before outside."""
    python = random.getstate()
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        random.setstate(random.Random(0).getstate())
        try:
            yield
        finally:
            random.setstate(python)
