"""Weight matching: the permutation of hidden units that brings one network closest to another.

Ainsworth, Hayase, Srinivasa 2023, Git Re-Basin, algorithm 1: the sum over all weights of the products of two networks is
maximised, one space of units at a time while the others are held, each an assignment problem that is solved exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from landscape.errors import BadInput, LandscapeError
from landscape.geometry.permutations import Structure
from landscape.geometry.tracing import permutation_structure
from landscape.networks.net import Buffers, Net

SWEEPS = 200  # far more than is ever needed: each sweep but the last raises the agreement


@dataclass(frozen=True, eq=False)
class Permuted:
    """A network whose hidden units were brought into the order of another's.

    ``w`` (P,) and ``buffers`` compute the same function as before. Unit i of a space is now what unit
    ``permutations[space][i]`` was. ``distance`` is the Euclidean distance from the other network, ``before`` what it was.
    ``iterations`` counts sweeps over all spaces; ``fixed`` says which units had to stay in place, and why.
    """

    w: Tensor
    buffers: Buffers
    permutations: dict[str, Tensor]
    iterations: int
    distance: float
    before: float
    fixed: tuple[str, ...]


@torch.no_grad()
def weight_matching(net: Net, a: Tensor, b: Tensor, generator: torch.Generator, x: Tensor, buffers: Buffers | None = None,
                    starts: int = 1, structure: Structure | None = None) -> Permuted:
    """The hidden units of b (P,) in the order that is closest to a (P,); ``buffers`` are those of b, permuted along.

    ``x`` (n, ...) are examples: the structure is read off a run on two of them, and the outputs of b on all of them must
    not change, or LandscapeError is raised. The first start goes through the spaces in the order of the network and
    looks at weights whose other side is settled, which finds a permuted copy exactly; further ``starts`` are random, and
    the best is kept. Raises BadInput where nothing can be permuted.
    """
    structure = structure or permutation_structure(net, x)
    if not structure.spaces:
        raise BadInput("Matching needs hidden units that can change places, and this network has none that are understood. "
                       + " ".join(structure.fixed))
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise BadInput("Matching needs two networks with finite weights; one has NaN or infinite entries.")
    search = _Search(structure, net, a, b)
    found = [search.run(search.settled() if i == 0 else structure.random(generator), generator) for i in range(starts)]
    permutations, iterations = max(found, key=lambda result: search.agreement(result[0]))
    w, moved = structure.apply(net, b, permutations, buffers)
    assert_unchanged(net, x, (b, buffers), (w, moved))
    return Permuted(w, moved, permutations, iterations, float((w.double() - a).norm()), float((b.double() - a).norm()),
                    structure.fixed)


def assert_unchanged(net: Net, x: Tensor, before: tuple[Tensor, Buffers | None],
                     after: tuple[Tensor, Buffers | None]) -> None:
    """Raises LandscapeError where two networks, each (w, buffers), differ in their outputs on x by more than rounding."""
    old, new = net(before[0], x, before[1]), net(after[0], x, after[1])
    allowed = torch.finfo(old.dtype).eps ** 0.6 * float(old.abs().max())
    difference = float((old - new).abs().max())
    if not difference <= allowed:
        raise LandscapeError(
            f"Permuting hidden units changed the outputs by up to {difference:.3g}, where up to {allowed:.3g} is rounding: "
            "the structure of this network was not understood, and nothing is compared. Where it computes something at "
            "random, or its layers carry hooks, remove these; otherwise this is an error in the program, please report it.")


class _Search:
    """Sweeps over the spaces for one pair of networks."""

    def __init__(self, structure: Structure, net: Net, a: Tensor, b: Tensor):
        self.structure = structure
        moving = {name for name in net.names if name in structure.axes}
        self.a = {name: t.double() for name, t in net.unflatten(a).items() if name in moving}
        self.b = {name: t.double() for name, t in net.unflatten(b).items() if name in moving}
        self.touching = {space: [n for n in structure.touching(space) if n in moving] for space in structure.spaces}

    def run(self, permutations: dict[str, Tensor], generator: torch.Generator) -> tuple[dict[str, Tensor], int]:
        """Improve permutations in sweeps of random order until none changes; how many sweeps that took."""
        spaces = list(self.structure.spaces)
        sweeps, changed = 0, True
        while changed and sweeps < SWEEPS:
            order = torch.randperm(len(spaces), generator=generator).tolist()
            changed = any([self._improve(spaces[i], permutations) for i in order])
            sweeps += 1
        return permutations, sweeps

    def settled(self) -> dict[str, Tensor]:
        """A start: each space in turn from the weights whose other axes are fixed or came before."""
        permutations = self.structure.identity()
        waiting = set(permutations)
        for space in self.structure.spaces:
            seen = [name for name in self.touching[space] if not self._spaces(name) & (waiting - {space})]
            permutations[space] = self._assign(space, permutations, seen)
            waiting.discard(space)
        return permutations

    def agreement(self, permutations: dict[str, Tensor], names: list[str] | None = None) -> float:
        """The sum of products of the weights of a and the permuted b: what is maximised."""
        names = list(self.a) if names is None else names
        return sum(float((self.a[n] * self.structure.moved(n, self.b[n], permutations)).sum()) for n in names)

    def _improve(self, space: str, permutations: dict[str, Tensor]) -> bool:
        """Whether a better permutation of one space, the others held, was found and put in place."""
        names = self.touching[space]
        new = permutations | {space: self._assign(space, permutations, names)}
        if torch.equal(new[space], permutations[space]):
            return False
        scale = sum(float(self.a[n].norm() * self.b[n].norm()) for n in names)
        if self.agreement(new, names) <= self.agreement(permutations, names) + 1e-12 * scale:
            return False
        permutations[space] = new[space]
        return True

    def _assign(self, space: str, permutations: dict[str, Tensor], names: list[str]) -> Tensor:
        """The best permutation of one space, looking at these tensors only."""
        size = self.structure.spaces[space]
        gain = torch.zeros(size, size, dtype=torch.float64)
        for name in names:
            for axis, segments in self.structure.axes[name].items():
                if not any(s.space == space for s in segments):
                    continue
                b = self.structure.moved(name, self.b[name], permutations, leave=(axis, space)).movedim(axis, 0)
                start = 0
                for s in segments:
                    if s.space == space:
                        rows = slice(start, start + s.length)
                        left = self.a[name].movedim(axis, 0)[rows].reshape(size, -1)
                        gain += (left @ b[rows].reshape(size, -1).T).cpu()
                    start += s.length
        return torch.from_numpy(_assignment(gain.numpy(), self.structure.groups.get(space, 1)))

    def _spaces(self, name: str) -> set[str]:
        return {s.space for segments in self.structure.axes[name].values() for s in segments if s.space is not None}


def _assignment(gain: np.ndarray, groups: int) -> np.ndarray:
    """The permutation p (n,) with the largest sum of gain[i, p[i]] (n, n); equal groups of neighbours stay together.

    With groups, an assignment within every pair of them and then one of groups, which is exact.
    """
    if groups == 1:
        return linear_sum_assignment(gain, maximize=True)[1]
    size = len(gain) // groups
    blocks = gain.reshape(groups, size, groups, size).swapaxes(1, 2)
    inner = np.array([[linear_sum_assignment(block, maximize=True)[1] for block in row] for row in blocks])
    best = np.take_along_axis(blocks, inner[..., None], axis=3).sum((2, 3))
    outer = linear_sum_assignment(best, maximize=True)[1]
    return np.concatenate([outer[g] * size + inner[g, outer[g]] for g in range(groups)])
