"""What networks are drawn from: trained networks, a curve between two, the subspaces through them, and the posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.geometry.curves import Curve
from landscape.networks.accelerator import LOWER
from landscape.posteriors.method import Given
from landscape.posteriors.space import Space, curve_space, pca_space, random_space, weight_space
from landscape.posteriors.target import Posterior as Target
from landscape.recipes import curves
from landscape.recipes.inferred.labels import Label
from landscape.recipes.inferred.networks import Networks, Trained, opened
from landscape.recipes.training import Problem, anywhere, problem
from landscape.recipes.walks import walked
from landscape.settings import Curves
from landscape.settings_posterior import Around, Inference
from landscape.training.sgd import generator

DIRECTIONS = 1  # the stream of random numbers that directions are drawn from
ENDS = 2  # networks that a curve joins


@dataclass(frozen=True, eq=False)
class Ground:
    """K trained networks, and the ``curve`` between the first two, if one was asked for; ``lost`` says why its training has
    left none."""

    settings: Inference
    problem: Problem
    walk: Networks
    curve: Curve | None
    lost: str = ""

    @property
    def task(self):
        return self.problem.task

    def space(self, kind: str, i: int = 0, dimension: int | None = None) -> Space:
        """The subspace of a kind for network i. Raises BadInput where it has fewer dimensions than were asked for."""
        s = self.settings
        count = dimension or s.dimension
        if kind == "curve":
            if self.lost:
                raise BadInput(self.lost)
            if self.curve is None or i:
                raise BadInput("There is one curve, between the first two networks. Choose repeats=1, or another subspace.")
            count = min(count, len(self.curve.points) - 1) if s.subspace != "curve" else count
            return curve_space(self.curve.points, count, s.scaling)
        snapshots = self.walk.cloud(i)
        if kind == "pca":
            return pca_space(snapshots, count, s.scaling)
        return random_space(self.walk.w_sgd[i], count, generator(s.seed, DIRECTIONS), s.scaling, snapshots)

    @cached_property
    def subspace(self) -> Space:
        """That of the settings, of the first seed. Raises BadInput where it cannot be built."""
        return self.space(self.settings.subspace)

    @cached_property
    def missing(self) -> str:
        """Why there is no subspace of the settings; empty where there is one."""
        return self.lacks(self.settings.subspace)

    def lacks(self, kind: str) -> str:
        """Why there is no subspace of a kind for the first network; empty where there is one, and for no kind at all."""
        try:
            if kind:
                self.own(kind)
        except BadInput as error:
            return str(error)
        return ""

    @cached_property
    def stage(self) -> Space:
        """What pictures are drawn on: the subspace of the settings, whose first two coordinates are those of the theatre.

        Where that is ``missing``, a plane of its kind, or else of two random directions.
        """
        if not self.missing:
            return self.subspace
        try:
            return self.space(self.settings.subspace, dimension=2)
        except BadInput:
            return random_space(self.walk.w_sgd[0], 2, generator(self.settings.seed, DIRECTIONS))

    @property
    def weights_prior_std(self) -> float:
        """Of each weight: as the settings say, or what the weight decay of the mean loss stands for."""
        given, decay = self.settings.weights_prior_std, self.walk.weight_decay
        if given is not None:
            return given
        if decay == 0:
            raise BadInput("Methods over all weights need a prior, and there is no weight decay to read it off. Give "
                           "weights_prior_std.")
        return (len(self.task.splits["train"][0]) * decay) ** -0.5

    def precision(self, label: Label) -> str:
        """What a method's densities are computed in: chains in that of the settings, what is fitted by differences of
        gradients in that of the task."""
        return self.settings.precision if label.chains and self.settings.precision in LOWER else ""

    def target(self, space: Space, temperature: float | None = None, prior_std: float | None = None,
               precision: str = "") -> Target:
        """The posterior over a space, at the settings' temperature and prior unless others are given; in the task's own
        numbers unless a lower ``precision`` is given."""
        s, task = self.settings, replace(self.task, precision=precision) if precision else self.task
        whole = space.kind == "weights"
        std = prior_std or (self.weights_prior_std if whole else s.prior_std)
        return Target(task, space, std, temperature or s.temperature, "weights" if whole else s.prior)

    def given(self, label: Label, networks: tuple[int, ...], temperature: float | None = None,
              prior_std: float | None = None) -> Given:
        """All that a method may use, of some of the networks; chains walk around the first of them."""
        first, target = networks[0], None
        if label.over != "networks":
            target = self.target(weight_space(self.walk.w_sgd[first]) if label.over == "weights" else
                                 self.own(label.subspace, first), temperature, prior_std, self.precision(label))
        return Given(target, self.task, self.walk.trajectories(networks), self.walk.w_sgd[list(networks)])

    def own(self, kind: str, i: int = 0) -> Space:
        """``space``, of the theatre where it is that."""
        return self.subspace if kind == self.settings.subspace and not i else self.space(kind, i)

    def groups(self, label: Label) -> list[tuple[int, ...]]:
        """Which networks each replicate of a method is of: one, or as many as an ensemble has, in turn."""
        s, count = self.settings, len(self.walk.seeds)
        if label.many:
            size = min(s.members, count)
            return [tuple((k + i) % count for i in range(size)) for k in range(count if size < count else 1)]
        if label.over == "networks":
            return [(k,) for k in range(min(s.repeats, count) if label.trains else count)]
        if label.over == "weights":  # chains begin at all of them, the first one is the origin
            return [tuple((k + i) % count for i in range(count)) for k in range(min(s.repeats, count))]
        return [(k,) for k in range(1 if label.subspace == "curve" else min(s.repeats, count))]

    def marks(self) -> list[tuple[str, str, Tensor]]:
        """Networks drawn on the theatre: (name, kind, w (P,)) float64."""
        if self.stage.kind == "curve":
            points = self.curve.points.double()
            return [(f"end ({self.walk.titled(k)})", "end", points[-k]) for k in range(ENDS)]
        return [(name, kind, w.double()) for name, kind, w in self.walk.marks()]

    def networks(self) -> dict[str, Tensor]:
        """All trained networks by name, those that are drawn and those of the other seeds."""
        found = {name: w.to(self.walk.w_sgd) for name, _, w in self.marks()}
        return found | {name: w for name, w in self.walk.others().items() if name not in found}


def ground_of(s: Inference, reader, here: bool = False) -> Ground:
    """The networks and data of the settings, from parents that are computed in this job unless they are there; ``here``
    takes whatever device there is. A curve whose training diverges leaves the others without it. Raises BadInput while there
    are no networks."""
    if isinstance(s, Around):
        return Ground(s, *opened(s, reader))
    p = problem(anywhere(s) if here else s, s.batchnorm_examples)
    walk = Trained(walked(s, reader, p))
    curve, lost = _curve(s, reader) if "curve" in (s.subspace, *s.compared) else (None, "")
    return Ground(s, p, walk, curve, lost)


def _curve(s: Inference, reader) -> tuple[Curve | None, str]:
    """The curve between the first two networks, or why there is none: its training diverged, in this job or, for who looks
    at the run, in the one that wrote its summary."""
    own = Curves(**{name: getattr(s, name) for name in Curves.model_fields} | {"seeds": s.seeds[:ENDS]})
    try:
        return Curve(curves.computed(reader.child("curves", own))["bezier"], "bezier"), ""
    except Diverged as error:
        return None, str(error)
    except BadInput:
        told = reader.load("summary")
        if told is None or "curve" not in told.values:
            raise
        return None, told.values["curve"]["failed"]
