"""The places of a run: its planes, paths and networks, from which any point becomes a weight vector.

A recipe whose catalog row has ``defaults["places"]`` names a function ``places(settings, reader) -> Places`` that derives
them from the stored weights as its ``compute`` did. ``reader`` is a ``runs.context.Reader``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from landscape import catalog
from landscape.data import Dataset
from landscape.errors import BadInput, unknown
from landscape.geometry.curves import Curve
from landscape.geometry.subspace import Subspace
from landscape.networks.net import Buffers
from landscape.training.task import Task


@dataclass(frozen=True, eq=False)
class Place:
    """One network: weights ``w`` (P,) in the task's precision, its buffers, a title, and how BatchNorm was treated."""

    w: Tensor
    buffers: Buffers | None
    title: str
    batchnorm: str


class Drawn(Protocol):
    """Networks by name whose weights are made when they are asked for; ``tensors`` are what it holds in memory."""

    def __contains__(self, name: object) -> bool: ...
    def __getitem__(self, name: str) -> Tensor: ...
    def tensors(self) -> Iterable[Tensor]: ...


@dataclass(frozen=True, eq=False)
class Places:
    """Everything of a run that can be opened.

    ``planes`` and ``paths`` are called as its surfaces and profiles, ``networks`` (P,) as its marks. ``buffers`` are those
    of every place, called ``batchnorm`` (``stored, of seed 0``); where they are None, BatchNorm statistics are re-estimated
    for each. ``own`` are the buffers of single networks by name. ``draws`` are further networks by name, too many to be told
    the distances from.
    """

    dataset: Dataset
    task: Task
    planes: dict[str, Subspace] = field(default_factory=dict)
    paths: dict[str, Curve] = field(default_factory=dict)
    networks: dict[str, Tensor] = field(default_factory=dict)
    buffers: Buffers | None = None
    own: dict[str, Buffers] = field(default_factory=dict)
    batchnorm: str = "stored"
    draws: Drawn | None = None

    def at(self, where: dict) -> Place:
        """The network at a place (see ``runs.where``): combined in float64, rounded once, as the surfaces do it.

        Raises BadInput for a plane, path or network that is not there and for weights too large for their precision.
        """
        if "plane" in where:
            subspace = self._known("plane", self.planes, where["plane"])
            w = subspace.lift(torch.tensor([where["x"], where["y"]], dtype=torch.float64))
            title = f"{where['plane']} at ({where['x']:.4g}, {where['y']:.4g})"
        elif "path" in where:
            curve = self._known("path", self.paths, where["path"])
            w = Curve(curve.points.double(), curve.kind).at(torch.tensor(where["t"], dtype=torch.float64))
            title = f"{where['path']} at t = {where['t']:.4g}"
        else:
            table = self.draws if self.draws is not None and where["network"] in self.draws else self.networks
            w, title = self._known("network", table, where["network"]), where["network"]
        x = self.task.splits["train"][0]
        w = w.to(x.device, x.dtype if x.is_floating_point() else self.task.net.initial.dtype)
        if not bool(w.isfinite().all()):
            raise BadInput(f"The network {title} has weights that are not finite numbers of {w.dtype}: it lies too far "
                           "away, or has diverged. Choose a point nearer to the others.")
        return self._with_buffers(w, title, self.own.get(where.get("network", "")))

    def _with_buffers(self, w: Tensor, title: str, own: Buffers | None) -> Place:
        if not self.task.net.batchnorm:
            return Place(w, own if own is not None else self.buffers, title, "none")
        if own is not None:
            return Place(w, own, title, "stored with this network")
        if self.buffers is not None:
            return Place(w, self.buffers, title, self.batchnorm)
        count = sum(map(len, self.task.batchnorm_batches))
        return Place(w, self.task.buffers(w), title, f"re-estimated at this point on {count} training examples")

    @staticmethod
    def _known(kind: str, table: dict, name: str):
        if name not in table:
            raise unknown(kind, name, table) if table else BadInput(f"This run has no {kind} to open, found {name!r}.")
        return table[name]

    @property
    def size(self) -> int:
        """Bytes of memory its tensors take."""
        return sum(each.numel() * each.element_size() for each in self._tensors())

    def _tensors(self) -> Iterator[Tensor]:
        yield from _flat(self.task.splits.values())
        for plane in self.planes.values():
            yield from (plane.origin, plane.basis)
        yield from (curve.points for curve in self.paths.values())
        yield from self.networks.values()
        yield from () if self.draws is None else self.draws.tensors()
        yield from _flat(each.values() for each in self.own.values())


def _flat(groups: Iterable[Iterable[Tensor]]) -> Iterator[Tensor]:
    for group in groups:
        yield from group


def places_of(reader) -> Places:
    """The places of the run that ``reader`` reads. Raises BadInput if its recipe has none or they are not there yet."""
    row = catalog.row("recipe", catalog.RECIPES, reader.recipe)
    if "places" not in row.defaults:
        raise BadInput(f"Run {reader.key} is of the recipe {reader.recipe!r}, whose networks cannot be opened.")
    return catalog.Row("", "", row.defaults["places"]).load()(reader.settings, reader)
