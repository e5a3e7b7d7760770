"""Coordinates of weight space to infer in: random directions, principal components of SGD's path, the plane of a curve.

Izmailov et al. 2019, Subspace Inference for Bayesian Deep Learning: w = w_hat + P z, and p(D | z) = p(D | w_hat + P z).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.geometry.subspace import Subspace, orthonormal
from landscape.geometry.trajectories import average, principal_components

KINDS = ("random", "pca", "curve", "weights")
SCALINGS = ("unit", "singular values")
DEVIATIONS = ("final", "running")
PLANE = 2  # dimensions of the smallest subspace that settings ask for
DEPENDENT = 1e-7  # directions shorter than this share of the longest one, once orthogonal to the others, span nothing


@dataclass(frozen=True, eq=False)
class Space:
    """Weights w = origin + z @ directions: ``origin`` (P,), ``directions`` (K, P), float64, of any lengths.

    ``kind`` is one of ``KINDS``. ``weights`` are all of weight space, w = origin + z: K is P and no matrix is stored
    (``directions`` is (0, P)). ``scaling`` says how long the directions are: ``unit``, one each, so that coordinates are
    distances in weight space; or ``singular values``, the standard deviation of the snapshots along each, so that a standard
    normal prior on coordinates has the spread of the snapshots. ``info``: ``lengths`` (K,), ``said`` in words, and for
    principal components ``explained`` (K,) shares of variance and ``snapshots``.
    """

    origin: Tensor
    directions: Tensor
    kind: str
    scaling: str
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("kind of space", self.kind, KINDS)
        _known(self.scaling)

    @property
    def ndim(self) -> int:
        """K, the number of coordinates."""
        return len(self.origin) if self.kind == "weights" else len(self.directions)

    @property
    def subspace(self) -> Subspace:
        """The same as the evaluator of surfaces takes it. Raises BadInput for all of weight space."""
        if self.kind == "weights":
            raise BadInput("All of weight space has no basis that could be drawn or evaluated on a grid. Choose a subspace: "
                           "random, pca or curve.")
        return Subspace(self.origin, self.directions)

    def lift(self, z: Tensor) -> Tensor:
        """Weights (*n, P), float64, of coordinates (*n, K); a point's weights do not depend on its company."""
        self._fits(z, self.ndim, "coordinates")
        return self.origin + z.to(self.origin) if self.kind == "weights" else self.subspace.lift(z)

    def project(self, w: Tensor) -> Tensor:
        """Coordinates (*n, K), float64, of the points nearest to weights (*n, P)."""
        self._fits(w, len(self.origin), "weights")
        return w.to(self.origin) - self.origin if self.kind == "weights" else self.subspace.project(w)

    def residual(self, w: Tensor) -> Tensor:
        """Distance (*n,) of weights (*n, P) from the space."""
        return (w.to(self.origin) - self.lift(self.project(w))).norm(dim=-1)

    def to(self, device) -> Space:
        """The same on another device."""
        return replace(self, origin=self.origin.to(device), directions=self.directions.to(device))

    def _fits(self, given: Tensor, size: int, what: str) -> None:
        if given.shape[-1:] != (size,):
            raise BadInput(f"This space takes {what} (*n, {size:,}); found shape {tuple(given.shape)}.")


def weight_space(w: Tensor) -> Space:
    """All of weight space around w (P,)."""
    origin = _finite(w, "the origin").double()
    return Space(origin, origin.new_empty(0, len(origin)), "weights", "unit",
                 {"said": f"All {len(origin):,} weights, as distances from the network at the origin."})


def random_space(w: Tensor, count: int, generator: torch.Generator, scaling: str = "unit",
                 snapshots: Tensor | None = None) -> Space:
    """``count`` random directions through w (P,): Gaussian, made orthonormal in float64 (the talk's slide 29).

    With scaling ``singular values`` direction i gets the length of the i-th principal component of ``snapshots`` (T, P), so
    that the same prior means the same here and in ``pca_space``.
    """
    origin = _finite(w, "the origin").double()
    _countable(count, len(origin), f"The network has {len(origin):,} weights")
    raw = torch.randn(count, len(origin), generator=generator, dtype=torch.float64, device=generator.device)
    axes = torch.tensor(orthonormal(raw.cpu().numpy())[0], device=origin.device)
    if _known(scaling) == "unit":
        return _made(origin, axes, torch.ones(count, dtype=torch.float64), "random", scaling,
                     f"{count} random directions through one network")
    if snapshots is None:
        raise BadInput("Random directions have no singular values of their own. Give the snapshots whose principal "
                       "components lend theirs, or choose scaling=unit.")
    lengths, info = _components(snapshots, count)[1:]
    return _made(origin, axes, lengths, "random", scaling,
                 f"{count} random directions through one network, as long as components of {info['snapshots']} snapshots")


def pca_space(weights: Tensor, count: int, scaling: str = "singular values", deviations: str = "final",
              columns: int | None = None) -> Space:
    """The first principal components of snapshots (T, P) of SGD, through their mean, which is SWA (slide 30).

    Scaled, row i of ``directions`` is s_i V_i / sqrt(C - 1), with s and V of the singular value decomposition of the
    deviations of the last C = ``columns`` snapshots (default all) from the ``final`` mean, or from the mean so far after
    each, the ``running`` one (the convention of the program of Izmailov et al. 2019, with at most 20 columns).
    Raises BadInput, saying how many dimensions they span, where ``count`` is more.
    """
    if deviations not in DEVIATIONS:
        raise unknown("convention of deviations", deviations, DEVIATIONS)
    if deviations == "final" and columns is None:
        axes, lengths, info = _components(weights, count)
    else:
        axes, lengths, info = _decomposed(_deviations(weights, deviations, columns), count)
    lengths = lengths if _known(scaling) == "singular values" else torch.ones_like(lengths)
    said = (f"{count} principal component{'s' * (count > 1)} of {info['snapshots']} snapshots of SGD around their "
            f"{'' if deviations == 'final' else 'running '}mean ({100 * sum(info['explained']):.0f} % of the variance)")
    return _made(average(weights), axes, lengths, "pca", scaling, said, info | {"deviations": deviations})


def curve_space(points: Tensor, count: int = 2, scaling: str = "unit", middle: Tensor | None = None) -> Space:
    """The plane of a trained curve: through both ends of ``points`` (B, P) and ``middle`` (P,), the origin their mean
    (slide 31).

    ``middle`` is where the curve is half way, by default that of a Bezier curve with these points; with one bend the whole
    curve lies in the plane. Further dimensions are those that the other bends add. Axis 1 points from end to end.
    ``singular values``: the axes are the principal axes of the points and as long as the points' standard deviation along
    them (their span is the same). Raises BadInput, saying how many dimensions the points span, where ``count`` is more.
    """
    points = _finite(points, "the points of the curve").double()
    if points.ndim != 2 or len(points) < 3:
        raise BadInput(f"The plane of a curve needs two ends and a bend or more, (3, P); found shape {tuple(points.shape)}.")
    middle = _bezier_middle(points) if middle is None else _finite(middle, "the middle of the curve").to(points)
    vectors = torch.stack([points[-1], middle, *points[1:-1]]) - points[0]
    axes = _independent(vectors)
    what = f"The curve's {len(points)} points span {len(axes)} dimension{'s' * (len(axes) != 1)}"
    if len(axes) < 2:
        raise BadInput(f"{what}: it is a straight line (or a point), so no plane is defined. Train it for longer, or choose "
                       "another subspace.")
    _countable(count, len(axes), what, least=2)
    origin = torch.stack([points[0], middle, points[-1]]).mean(0)
    axes, lengths = axes[:count], torch.ones(count, dtype=torch.float64)
    if _known(scaling) == "singular values":
        corners = torch.cat([points[:1], middle[None], points[-1:], points[1:-1]]) - origin
        _, s, rotation = torch.linalg.svd(corners @ axes.T, full_matrices=False)
        axes, lengths = rotation @ axes, s / (len(corners) - 1) ** 0.5
    return _made(origin, axes, lengths, "curve", scaling, f"{count} dimensions that hold both ends of a trained curve")


def _components(weights: Tensor, count: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Orthonormal axes (K, P), the snapshots' standard deviations along them (K,), and what is known of them."""
    if weights.ndim != 2:
        raise BadInput(f"Snapshots come as (T, P), one network a row; found shape {tuple(weights.shape)}.")
    most = len(weights) - 1
    _countable(count, most, f"{len(weights)} snapshots span at most {most} dimension{'s' * (most != 1)} around their mean")
    try:
        found = principal_components(weights, "mean", span=count)
    except BadInput:  # of fewer dimensions than there could be; anything else is wrong with one component too
        rank = int((principal_components(weights, "mean", span=1).explained > 0).sum())
        _countable(count, rank, f"{len(weights)} snapshots span {rank} dimension{'s' * (rank != 1)} around their mean")
        raise
    explained = found.explained[:count]
    lengths = torch.tensor(found.spread * np.sqrt(explained / (len(weights) - 1)))
    return found.subspace.basis, lengths, {"explained": explained.tolist(), "snapshots": len(weights)}


def _deviations(weights: Tensor, convention: str, columns: int | None) -> Tensor:
    """(C, P) float64, of the last ``columns`` snapshots."""
    if columns is not None and not 2 <= columns <= len(weights):
        raise BadInput(f"Deviations are those of 2 to {len(weights)} snapshots; found columns={columns}.")
    w = _finite(weights, "a snapshot").double()
    count = torch.arange(1, len(w) + 1, dtype=torch.float64, device=w.device)
    mean = w.mean(0) if convention == "final" else w.cumsum(0) / count[:, None]
    return (w - mean)[len(w) - (columns or len(w)):]


def _decomposed(deviations: Tensor, count: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """What ``_components`` gives, of deviations (C, P) as they are; each axis has its largest entry above zero."""
    s, axes = torch.linalg.svd(deviations, full_matrices=False)[1:]
    rank = int((s > DEPENDENT * s[0]).sum())
    _countable(count, rank, f"The deviations of {len(deviations)} snapshots span {rank} dimension{'s' * (rank != 1)}")
    axes = axes[:count]
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    explained = (s.square() / s.square().sum())[:count].tolist()
    return signs * axes, s[:count] / (len(deviations) - 1) ** 0.5, {"explained": explained, "snapshots": len(deviations)}


def _made(origin: Tensor, axes: Tensor, lengths: Tensor, kind: str, scaling: str, said: str,
          info: dict[str, Any] | None = None) -> Space:
    lengths = lengths.to(axes)
    scale = ("of length 1: coordinates are distances in weight space" if bool((lengths == 1).all()) else
             "as long as one standard deviation: " + ", ".join(f"{length:.3g}" for length in lengths.tolist()[:6])
             + ", ..." * (len(lengths) > 6))
    return Space(origin.double(), lengths[:, None] * axes, kind, scaling,
                 {**(info or {}), "lengths": lengths.tolist(), "said": f"{said}; directions {scale}."})


def _bezier_middle(points: Tensor) -> Tensor:
    row = np.ones(1)
    for _ in range(len(points) - 1):
        row = (np.append(row, 0) + np.append(0, row)) / 2
    return torch.tensor(row).to(points) @ points


def _independent(vectors: Tensor) -> Tensor:
    """Orthonormal rows, one for each vector that does not lie in the span of those before it."""
    longest, kept = float(vectors.norm(dim=1).max()), vectors[:0]
    for vector in vectors:
        q, r = orthonormal(torch.cat([kept, vector[None]]).cpu().numpy())
        if r[-1, -1] > DEPENDENT * longest:
            kept = torch.tensor(q).to(vectors)
    return kept


def _countable(count: int, most: int, what: str, least: int = 1) -> None:
    if not least <= count <= most:
        first = min(count, PLANE) if least <= count else least  # no setting asks for a line: of one there is no theatre
        way = ("Give more networks, or choose other directions" if most < first else f"Choose dimension={first}"
               if most == first else f"Choose a dimension from {first} to {most:,}")
        raise BadInput(f"{what}; {count} were asked for. {way}.")


def _known(scaling: str) -> str:
    if scaling not in SCALINGS:
        raise unknown("scaling of directions", scaling, SCALINGS)
    return scaling


def _finite(w: Tensor, what: str) -> Tensor:
    if not bool(w.isfinite().all()):
        raise BadInput(f"A space needs finite weights; {what} has NaN or infinite ones. Did a training diverge?")
    return w
