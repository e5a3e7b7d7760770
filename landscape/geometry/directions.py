"""Random directions of weight space, filter-normalised (Li et al. 2018, Visualizing the Loss Landscape of Neural Nets).

A filter is what makes one output: a row of a Linear layer, an output channel of a convolution, a row of an embedding
table. Every filter of a direction is Gaussian and as long as the filter of w in the same place, so one step along the
direction changes each filter by its own length. Multiplying a ReLU layer by c and dividing the next one by c changes
neither the function nor, in steps of the direction, the surface; the Euclidean length of a step does change, so that
pictures of different networks are compared in ``units="direction"``.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd

from landscape.errors import BadInput, unknown
from landscape.geometry.subspace import Subspace, orthonormal
from landscape.networks.net import Net

OTHERS = ("zero", "keep")
UNITS = ("distance", "direction")
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Part:
    """One parameter tensor: ``axis`` counts its filters, None where it has none (biases, normalisation, scalars).

    With ``groups`` > 1 (grouped transposed convolutions) a filter is one entry of ``axis`` in one of the equal groups
    into which the first axis is divided.
    """

    name: str
    shape: tuple[int, ...]
    axis: int | None
    groups: int = 1

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def filters(self, tensor: Tensor) -> Tensor:
        """The tensor, any shape with ``size`` entries, as (filters, entries of one); a tensor without filters is one."""
        if self.axis is None:
            return tensor.reshape(1, -1)
        grouped = tensor.reshape(self.groups, -1, *self.shape[1:])
        return grouped.movedim(self.axis + 1, 1).flatten(0, 1).flatten(1)

    def flat(self, filters: Tensor) -> Tensor:
        """The inverse of ``filters``: entries (size,) in the order of the parameter."""
        if self.axis is None:
            return filters.reshape(-1)
        shape = [self.groups, self.shape[0] // self.groups, *self.shape[1:]]
        moved = [self.groups, shape.pop(self.axis + 1), *shape[1:]]
        return filters.reshape(moved).movedim(1, self.axis + 1).reshape(-1)


def parts(net: Net) -> tuple[Part, ...]:
    """The parameters of a network, in the order of w; what is a filter is read off the layers they belong to."""
    owners = {id(p): child for child in net.module.modules() for p in child.parameters(recurse=False)}
    return tuple(_part(name, tuple(p.shape), owners[id(p)]) for name, p in net.module.named_parameters())


def parts_of(shapes: dict[str, tuple[int, ...]]) -> tuple[Part, ...]:
    """The same from names and shapes alone: tensors of two and more axes have one filter for each entry of the first."""
    return tuple(_part(name, tuple(shape), None) for name, shape in shapes.items())


def _part(name: str, shape: tuple[int, ...], owner: nn.Module | None) -> Part:
    if len(shape) < 2 or isinstance(owner, NORMS):
        return Part(name, shape, None)
    if isinstance(owner, _ConvTransposeNd):
        return Part(name, shape, 1, owner.groups)
    if type(owner).__name__ == "Conv1D" and hasattr(owner, "nf"):  # the linear layer of GPT-2 holds its transpose
        return Part(name, shape, 1)
    return Part(name, shape, 0)


def chosen(of: Sequence[Part], patterns: Sequence[str] | None) -> tuple[Part, ...]:
    """The parameters whose name matches one of the shell-style patterns; all of them for None."""
    if patterns is None:
        return tuple(of)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(part.name, pattern) for part in of):
            raise _no_match(pattern, [part.name for part in of])
    return tuple(part for part in of if any(fnmatch.fnmatchcase(part.name, p) for p in patterns))


def restricted(net: Net | Sequence[Part], patterns: Sequence[str]) -> Tensor:
    """True (P,) where an entry of w belongs to a parameter whose name matches one of the patterns."""
    of = _parts(net)
    names = {part.name for part in chosen(of, patterns)}
    return torch.cat([torch.full((part.size,), part.name in names) for part in of])


def filter_normalised(net: Net | Sequence[Part], w: Tensor, generator: torch.Generator, count: int = 2, others: str = "zero",
                      only: Sequence[str] | None = None, rank: int | None = None) -> Tensor:
    """Gaussian directions (count, P) in the precision of w (P,), every filter as long as that filter of w.

    ``others``: what has no filters (biases, normalisation parameters) stays put with ``zero``; with ``keep`` each such
    tensor moves as one filter. ``only``: name patterns; every other parameter is exactly zero. ``rank``: matrices are
    products of two Gaussian factors of that rank before they are normalised, as in low-rank adapters (Hu et al. 2022;
    scaling rows keeps the rank), convolutions as (out, in k k). Needs a generator on the CPU; same seed, same direction
    of every filter, whatever w is. Raises BadInput where nothing would move.
    """
    of = _parts(net)
    if len(w) != sum(part.size for part in of):
        raise BadInput(f"The directions are for {sum(part.size for part in of)} parameters, and w has {len(w)}.")
    directions = w.new_zeros(count, len(w))
    moving = {part.name for part in chosen(of, only)}
    for part, start in zip(of, _starts(of), strict=False):
        if part.name in moving:
            inside = slice(start, start + part.size)
            for k, direction in enumerate(directions_of(part, w[inside], generator, count, others, rank)):
                directions[k, inside] = direction
    if not directions.any(dim=1).all():
        raise BadInput("The directions would not move anything: every filter among the chosen parameters is zero, or only "
                       'biases and normalisation parameters are chosen. Choose others, or others="keep".')
    return directions


def directions_of(part: Part, tensor: Tensor, generator: torch.Generator, count: int = 2, others: str = "zero",
                  rank: int | None = None) -> Iterator[Tensor]:
    """The pieces (size,) of ``count`` directions for one parameter: for weights that arrive one tensor at a time.

    Calling it for the parameters in turn with one generator gives what ``filter_normalised`` gives.
    """
    if others not in OTHERS:
        raise unknown("way to treat biases and normalisation parameters", others, OTHERS)
    if rank is not None and rank < 1:
        raise BadInput(f"A low-rank direction needs a rank of at least 1, found {rank}.")
    if part.axis is None and others == "zero":
        yield from (tensor.new_zeros(part.size) for _ in range(count))
        return
    wanted = torch.linalg.vector_norm(part.filters(tensor), dim=1, keepdim=True, dtype=torch.float64)
    if not bool(wanted.isfinite().all()):
        raise BadInput(f"Directions are as long as the weights, and {part.name} has NaN or infinite entries.")
    for _ in range(count):
        drawn = _gaussian(part, generator, rank).to(tensor.device, torch.promote_types(tensor.dtype, torch.float32))
        drawn *= (wanted / torch.linalg.vector_norm(drawn, dim=1, keepdim=True, dtype=torch.float64)).to(drawn.dtype)
        yield part.flat(drawn).to(tensor.dtype)


def _gaussian(part: Part, generator: torch.Generator, rank: int | None) -> Tensor:
    rows = 1 if part.axis is None else part.shape[part.axis] * part.groups
    columns = part.size // rows
    if rank is None or part.axis is None:
        return torch.randn(rows, columns, generator=generator)
    return torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)


def spanned(w: Tensor, directions: Tensor, units: str = "distance") -> Subspace:
    """The subspace through w (P,) along directions (K, P), float64, w at the origin.

    ``units="distance"``: orthonormal axes in weight-space distance, the first along the first direction.
    ``units="direction"``: coordinates count steps of the directions as they are (Li et al. draw -1 to 1); filter-normalised
    surfaces of rescaled networks agree in these. ``angle`` is the one between the first two directions: random ones are
    nearly but not exactly orthogonal (90 degrees give or take 57 / sqrt(P)), and what is drawn at right angles in
    ``direction`` units is not.
    """
    if units not in UNITS:
        raise unknown("unit of coordinates", units, UNITS)
    basis = directions.double()
    q, r = orthonormal(basis.cpu().numpy())
    if not (np.diag(r) > 1e-7 * np.linalg.norm(r, axis=0)).all():
        raise BadInput("The directions of a subspace must be different and not zero; among those given one is zero or lies "
                       "in the span of the others. Draw them from another seed.")
    angle = math.degrees(math.atan2(r[1, 1], r[0, 1])) if len(r) > 1 else 90.0
    return Subspace(w.double(), basis if units == "direction" else torch.tensor(q, device=w.device), angle)


def random_plane(net: Net | Sequence[Part], w: Tensor, generator: torch.Generator, *, units: str = "distance",
                 others: str = "zero", only: Sequence[str] | None = None, rank: int | None = None) -> Subspace:
    """The plane through w (P,) along two filter-normalised directions; arguments as there and in ``spanned``.

    Both directions are as long as what they move: with biases at zero, the norm of all filters of w.
    """
    return spanned(w, filter_normalised(net, w, generator, 2, others, only, rank), units)


def _no_match(pattern: str, names: list[str]) -> BadInput:
    near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return BadInput(f"No parameter matches {pattern!r}.{hint} Patterns may use * and ?; this network has {len(names)} "
                    f"parameters: {shown}.")


def _parts(net: Net | Sequence[Part]) -> tuple[Part, ...]:
    return parts(net) if isinstance(net, Net) else tuple(net)


def _starts(of: Sequence[Part]) -> list[int]:
    starts = [0]
    for part in of:
        starts.append(starts[-1] + part.size)
    return starts
