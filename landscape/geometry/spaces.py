"""Unification of axes: which stretches of units are one and the same space."""

from __future__ import annotations

import math

Axis = tuple[tuple[int, int], ...]  # stretches (space, block): each unit of the space is ``block`` neighbouring entries


class Spaces:
    """Spaces of units by number. ``unify`` and ``pin`` only ever add constraints, so what is left free is a symmetry."""

    def __init__(self):
        self.sizes: list[int] = []
        self.groups: dict[int, int] = {}  # equal groups of neighbours that have to stay together
        self._bound: dict[int, Axis] = {}
        self._pinned: set[int] = set()

    def fresh(self, size: int) -> Axis:
        """An axis of ``size`` units that nothing is known of yet."""
        self.sizes.append(size)
        return ((len(self.sizes) - 1, 1),)

    def resolve(self, axis: Axis) -> Axis:
        """The same axis in spaces that are not bound to others."""
        found: list[tuple[int, int]] = []
        for space, block in axis:
            if space in self._bound:
                found += [(root, inner * block) for root, inner in self.resolve(self._bound[space])]
            else:
                found.append((space, block))
        return tuple(found)

    def free(self, axis: Axis) -> bool:
        """Whether any of its units can still change places."""
        return any(space not in self._pinned for space, _ in self.resolve(axis))

    def pin(self, axis: Axis) -> None:
        """Its units stay in place."""
        self._pinned |= {space for space, _ in self.resolve(axis)}

    def unify(self, a: Axis, b: Axis) -> None:
        """The two axes are permuted alike; where that cannot be said with these spaces, both stay in place."""
        a, b = self.resolve(a), self.resolve(b)
        if a == b:
            return
        if self._bind(a, b) or self._bind(b, a):
            return
        same = len(a) == len(b) and all(
            self.sizes[s] == self.sizes[t] and k == m for (s, k), (t, m) in zip(a, b, strict=True))
        if not same:
            self.pin(a)
            self.pin(b)
            return
        for (s, _), (t, _) in zip(a, b, strict=True):
            self.unify(((s, 1),), ((t, 1),))

    def gather(self, axis: Axis, groups: int) -> None:
        """Its units change places only within, or together with, ``groups`` equal groups of neighbours."""
        root = self.resolve(axis)
        if len(root) != 1 or root[0][1] != 1 or self.groups.setdefault(root[0][0], groups) != groups:
            self.pin(axis)

    def _bind(self, single: Axis, other: Axis) -> bool:
        """Let a whole space be what lies along the other axis."""
        if len(single) != 1 or single[0][1] != 1 or any(space == single[0][0] for space, _ in other):
            return False
        space = single[0][0]
        if self.sizes[space] != sum(self.sizes[s] * block for s, block in other):
            return False
        self._bound[space] = other
        if space in self._pinned:
            self.pin(other)
        if space in self.groups:
            self.gather(other, self.groups[space])
        return True


def expanded(axis: Axis, times: int) -> Axis:
    """An axis of which every entry became ``times`` neighbouring ones (a flattened axis behind it)."""
    return tuple((space, block * times) for space, block in axis)


def reshaped(layout: dict[int, Axis], old: tuple[int, ...], new: tuple[int, ...]) -> tuple[dict[int, Axis], list[Axis]]:
    """``(layout, lost)`` of a tensor that changes its shape: axes that stay or swallow those behind them are kept."""
    kept: dict[int, Axis] = {}
    lost: list[Axis] = []
    for d, axis in layout.items():
        before = math.prod(old[:d])
        target = next((i for i, n in enumerate(new) if math.prod(new[:i]) == before and n > 1), None)
        if target is None or new[target] % old[d]:
            lost.append(axis)
        else:
            kept[target] = expanded(axis, new[target] // old[d])
    return kept, lost
