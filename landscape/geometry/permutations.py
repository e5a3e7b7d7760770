"""Permutations of hidden units: which axes of which weights move together, and the weights that result."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.networks.net import Buffers, Net


@dataclass(frozen=True)
class Segment:
    """A stretch of an axis: ``size`` units of a space, each with ``block`` neighbouring entries (flattened pixels).

    ``space`` is None for a stretch that stays where it is.
    """

    space: str | None
    size: int
    block: int = 1

    @property
    def length(self) -> int:
        return self.size * self.block


@dataclass(frozen=True)
class Structure:
    """The permutation symmetries of a network.

    ``spaces`` maps a name (the layer whose outputs they are) to the number of units that can change places; ``groups`` to
    the number of equal groups of neighbours that must stay together (GroupNorm), where there are any. ``axes`` says for a
    parameter or buffer and one of its axes what lies along it. ``fixed`` are sentences: what had to stay in place, and why.
    """

    spaces: dict[str, int]
    groups: dict[str, int] = field(default_factory=dict)
    axes: dict[str, dict[int, tuple[Segment, ...]]] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()

    def touching(self, space: str) -> list[str]:
        """Names of the tensors that a permutation of this space changes."""
        return [name for name, axes in self.axes.items() if any(s.space == space for along in axes.values() for s in along)]

    def random(self, generator: torch.Generator) -> dict[str, Tensor]:
        """A uniformly drawn permutation (n,) of every space, groups kept together."""
        drawn = {}
        for space, size in self.spaces.items():
            groups = self.groups.get(space, 1)
            inner = torch.stack([torch.randperm(size // groups, generator=generator) for _ in range(groups)])
            outer = torch.randperm(groups, generator=generator)
            drawn[space] = (outer[:, None] * (size // groups) + inner).reshape(-1)
        return drawn

    def identity(self) -> dict[str, Tensor]:
        return {space: torch.arange(size) for space, size in self.spaces.items()}

    def moved(self, name: str, tensor: Tensor, permutations: dict[str, Tensor],
              leave: tuple[int, str] | None = None) -> Tensor:
        """A parameter or buffer with its units permuted, except along one axis those of one space, ``leave``."""
        for axis, segments in self.axes.get(name, {}).items():
            left = {None, leave[1]} if leave and leave[0] == axis else {None}
            if any(s.space not in left for s in segments):
                tensor = tensor.index_select(axis, _places(segments, permutations, left).to(tensor.device))
        return tensor

    def apply(self, net: Net, w: Tensor, permutations: dict[str, Tensor], buffers: Buffers | None = None
              ) -> tuple[Tensor, Buffers]:
        """``(w (P,), buffers)`` of the same function: unit i of a space is unit ``permutations[space][i]`` of those given.

        ``buffers`` default to the module's own; BatchNorm statistics move along.
        """
        moved = [self.moved(name, t, permutations).reshape(-1) for name, t in net.unflatten(w).items()]
        buffers = net.buffers if buffers is None else buffers
        return torch.cat(moved), {name: self.moved(name, b, permutations) for name, b in buffers.items()}


def _places(segments: tuple[Segment, ...], permutations: dict[str, Tensor], left: set[str | None]) -> Tensor:
    """For each entry of an axis the entry that takes its place; the spaces in ``left`` keep theirs."""
    parts, start = [], 0
    for s in segments:
        units = torch.arange(s.size) if s.space in left else permutations[s.space]
        parts.append(start + (units[:, None] * s.block + torch.arange(s.block)).reshape(-1))
        start += s.length
    return torch.cat(parts)
