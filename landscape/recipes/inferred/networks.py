"""The trained networks that a posterior is built around: those of SGD's walk, one a seed, or those of opened files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry.curves import Curve
from landscape.recipes.averaged.curves import of_one
from landscape.recipes.inspecting.files import Family, contents
from landscape.recipes.inspecting.subject import subject
from landscape.recipes.training import Problem
from landscape.recipes.walks import Walked
from landscape.settings_inspect import Inspect
from landscape.settings_posterior import Around

SHARE = 0.1  # of the norm of a network, how far the picture of a loss goes that has nothing else to show
FEWEST = 3  # snapshots that make a trajectory
MARKED = 12  # files drawn at most


class Networks(Protocol):
    """K networks of ``seeds`` (or names), as ``Ground`` uses them; ``recipe`` and ``key`` name the run they are from."""

    recipe: str
    key: str
    lost: str

    @property
    def seeds(self) -> tuple: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def w_sgd(self) -> Tensor: ...  # (K, P), where chains begin
    @property
    def w_swa(self) -> Tensor: ...  # (K, P), of the methods that average
    def cloud(self, i: int) -> Tensor: ...  # (T, P), whose principal components are taken
    def trajectories(self, of: tuple[int, ...]) -> tuple[Tensor, ...]: ...  # (T, P) each, SGD's snapshots
    def titled(self, i: int) -> str: ...
    def marks(self) -> list[tuple[str, str, Tensor]]: ...  # (name, kind, w (P,)) of those that are drawn
    def others(self) -> dict[str, Tensor]: ...  # further ones that can be opened
    def single(self) -> list[tuple[str, Tensor]]: ...  # (label, (K, P)): what averages are compared with
    def path(self) -> tuple[Tensor | None, dict]: ...  # (T, P) drawn on the loss, and its info
    def reach(self) -> float: ...  # distance that a picture goes which has nothing else to show


@dataclass(frozen=True, eq=False)
class Trained:
    """Those of a walk."""

    walk: Walked
    recipe = "walk"

    @property
    def key(self) -> str:
        return self.walk.key

    @property
    def lost(self) -> str:
        return self.walk.lost

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.walk.seeds

    @property
    def weight_decay(self) -> float:
        return self.walk.settings.weight_decay

    @property
    def w_sgd(self) -> Tensor:
        return self.walk.w_sgd

    @property
    def w_swa(self) -> Tensor:
        return self.walk.w_swa

    def cloud(self, i: int) -> Tensor:
        return of_one(self.walk.snapshots.weights, i)

    def trajectories(self, of: tuple[int, ...]) -> tuple[Tensor, ...]:
        return tuple(self.cloud(i) for i in of)

    def titled(self, i: int) -> str:
        return f"seed {self.seeds[i]}"

    def marks(self) -> list[tuple[str, str, Tensor]]:
        return [("W_SGD", "optimum", self.w_sgd[0]), ("W_SWA", "average", self.w_swa[0])]

    def others(self) -> dict[str, Tensor]:
        return {f"{name} ({self.titled(i)})": w[i] for i in range(len(self.seeds))
                for name, w in (("W_SGD", self.w_sgd), ("W_SWA", self.w_swa))}

    def single(self) -> list[tuple[str, Tensor]]:
        return [("sgd", self.w_sgd), ("swa", self.w_swa)]

    def path(self) -> tuple[Tensor, dict]:
        return self.cloud(0).double(), {"steps": self.walk.epochs(self.walk.snapshots.steps).tolist()}

    def reach(self) -> float:
        """As far as SGD's solution is from the average."""
        return float((self.w_sgd[0].double() - self.w_swa[0].double()).norm())


@dataclass(frozen=True, eq=False)
class Opened:
    """Those of opened files, ``weights`` (M, P) in their order: as many networks, or the ``snapshots`` of one."""

    key: str
    settings: Inspect
    names: tuple[str, ...]
    weights: Tensor
    snapshots: bool
    recipe = "inspect"
    lost = ""

    @property
    def seeds(self) -> tuple[str, ...]:
        return self.names[-1:] if self.snapshots else self.names

    @property
    def weight_decay(self) -> float:
        return self.settings.weight_decay

    @property
    def w_sgd(self) -> Tensor:
        return self.weights[-1:] if self.snapshots else self.weights

    @cached_property
    def w_swa(self) -> Tensor:
        mean = self.weights.double().mean(0).to(self.weights)
        return mean[None] if self.snapshots else self.weights

    def cloud(self, i: int) -> Tensor:
        return self.weights

    def trajectories(self, of: tuple[int, ...]) -> tuple[Tensor, ...]:
        if not self.snapshots:
            return ()
        if len(self.weights) < FEWEST:
            raise BadInput(f"The moments of a walk need {FEWEST} snapshots or more, found {len(self.weights)} files.")
        return (self.weights,)

    def titled(self, i: int) -> str:
        return self.seeds[i]

    def marks(self) -> list[tuple[str, str, Tensor]]:
        found = [(name, "optimum", w) for name, w in zip(self.names[-MARKED:], self.weights[-MARKED:], strict=True)]
        return found + ([("average", "average", self.w_swa[0])] if self.snapshots else [])

    def others(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.weights, strict=True))

    def single(self) -> list[tuple[str, Tensor]]:
        return [("file", self.w_sgd)] + ([("average", self.w_swa)] if self.snapshots else [])

    def path(self) -> tuple[Tensor | None, dict]:
        return (self.weights.double(), {"steps": list(range(len(self.weights)))}) if self.snapshots else (None, {})

    def reach(self) -> float:
        return SHARE * float(self.w_sgd[0].double().norm())


def opened(s: Around, reader) -> tuple[Problem, Opened, Curve | None]:
    """The files of a run ``inspect`` with their data and loss, and the curve that was trained between two of them.

    ``reader`` becomes a child of that run where it computes. Raises BadInput where that run, training data or a curve that
    was asked for are missing.
    """
    source = reader.other(s.source)
    if source.recipe != "inspect":
        raise BadInput(f"source must be a run that opened files, found {s.source} of the recipe {source.recipe!r}. Open the "
                       "files first: landscape inspect FILE ...")
    report = source.load("report")
    if report is None or not report.values["usable"]:
        raise BadInput(f"Run {s.source} has no networks: its report is not there yet, or no file fits.")
    if hasattr(reader, "link"):
        reader.link(source.key)
    own = source.settings.model_copy(update={"device": "auto", "precision": "float32",
                                             "batchnorm_examples": s.batchnorm_examples})
    first = contents(own.files[0], own.digests[0], source, check=False)
    found = subject(own, first.tensors)
    if not found.prepared.own_train:
        raise BadInput("A posterior is of training data, and the data of these files have a test set alone. Open the files "
                       "with data that have both.")
    family = Family(own, found.module, source, report.values["usable"])
    weights = torch.stack([found.weights(w) for w in family])
    curve = None
    if "curve" in (s.subspace, *s.compared):
        path = source.load_weights("path-bezier")
        if path is None:
            raise BadInput(f"Run {s.source} has no trained curve, which this subspace goes through. Open two files with "
                           "curve_epochs above 0, or choose subspace=random or pca.")
        curve = Curve(torch.tensor(path["points"]).to(weights), "bezier")
    problem = Problem(found.dataset, found.task, found.module)
    return problem, Opened(source.key, own, family.names, weights, s.files == "snapshots"), curve
