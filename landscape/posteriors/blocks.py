"""Chains in blocks: so many go side by side, and each block has random numbers and a warm-up of its own.

The division follows from the number of chains alone, and no block knows of another: they give the same draws one after the
other in one process or each in another. What the method adapts (steps, scales) it adapts to the chains of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from landscape.training.sgd import generator as stream

if TYPE_CHECKING:
    from landscape.posteriors.method import Draws, Given

SUMMED = ("gradient_evaluations", "value_evaluations", "divergences", "seconds", "cpu_seconds")


@dataclass(frozen=True)
class Block:
    """Chains ``first`` to the one before ``last`` (counted from 0) of a run's ``chains``, the block ``number``."""

    number: int
    first: int
    last: int
    chains: int

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def named(self) -> str:
        one = len(self) == 1
        return f"Chain {self.last}" if one else f"Chains {self.first + 1} to {self.last}"

    def generator(self, own: torch.Generator) -> torch.Generator:
        """Random numbers of this block: those of the run's ``own`` generator for the first one, for the others a stream that
        follows from its state, which stays as it is. Ask before the first block draws from it."""
        if self.number == 0:
            return own
        copy = torch.Generator(own.device).set_state(own.get_state())
        seed = int(torch.randint(2**62, (), generator=copy, device=copy.device))
        return stream(seed, self.number)

    def given(self, given: Given) -> Given:
        """What the method may use, with the starts of these chains."""
        if given.start is not None:
            return replace(given, start=given.start[self.first : self.last])
        if given.networks is None or not self.first:
            return given
        return replace(given, networks=given.networks.roll(-self.first, 0))  # chains begin at them in turn


def blocks(chains: int, size: int) -> list[Block]:
    """As few blocks of at most ``size`` chains as there must be, as equal as they can be, the larger ones first."""
    count = -(-chains // size)
    ends = [-(-chains * k // count) for k in range(count + 1)]
    return [Block(k, ends[k], ends[k + 1], chains) for k in range(count)]


def joined(parts: Sequence[Block], found: Sequence[Draws]) -> Draws:
    """The draws of all blocks as those of one run; one block's are as they were.

    Of the info: evaluations, divergences and seconds are added; what chains have each is put together; other numbers (steps)
    are means over the chains; a sentence that all blocks say is said once, others name their chains.
    """
    if len(found) == 1:
        return found[0]
    info: dict[str, Any] = {}
    for name in found[0].info:
        if name != "said":
            info[name] = _together(name, [len(part) for part in parts], [each.info[name] for each in found])
    said = [text for text in found[0].info["said"] if all(text in each.info["said"] for each in found)]
    said.append(f"{parts[0].chains} chains in {len(parts)} blocks, each with random numbers and a warm-up of its own.")
    said += [f"{part.named}: {text}" for part, each in zip(parts, found, strict=True) for text in each.info["said"]
             if text not in said]
    return replace(found[0], z=torch.cat([each.z for each in found]), info=info | {"said": said},
                   log_density=torch.cat([each.log_density for each in found]))


def _together(name: str, chains: list[int], values: list) -> Any:
    first = values[0]
    if isinstance(first, Tensor) and first.ndim:
        return torch.cat(values)
    if name in SUMMED:
        return sum(values)
    if isinstance(first, str) or all(value == first for value in values):
        return first
    return sum(n * float(value) for n, value in zip(chains, values, strict=True)) / sum(chains)
