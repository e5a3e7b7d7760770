"""Affine subspaces of weight space with orthonormal axes in weight-space distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput


@dataclass(frozen=True, eq=False)
class Subspace:
    """Weights w = origin + z @ basis, in float64. Rows of basis (K, P) are directions; ``plane`` makes them orthonormal.

    ``angle`` is the angle in degrees between the raw directions the basis was made from.
    """

    origin: Tensor
    basis: Tensor
    angle: float = 90.0

    def lift(self, z: Tensor) -> Tensor:
        """Weights (*n, P) of coordinates (*n, K)."""
        z, w = z.to(self.basis), self.origin
        for k in range(len(self.basis)):  # one direction after the other: a point's weights do not depend on its company
            w = w + z[..., k, None] * self.basis[k]
        return w

    def project(self, w: Tensor) -> Tensor:
        """Least-squares coordinates (*n, K) of weights (*n, P), float64."""
        q, r = orthonormal(self.basis.cpu().numpy())
        offsets = (w.to(self.origin) - self.origin).cpu().numpy().reshape(-1, len(self.origin))
        parts = np.array([(offset * q).sum(-1) for offset in offsets]).reshape(-1, len(q))  # one at a time: P may be large
        z = np.linalg.solve(r, parts.T).T
        return torch.tensor(z, device=self.origin.device).reshape(*w.shape[:-1], len(self.basis))

    def residual(self, w: Tensor) -> Tensor:
        """Distance (*n,) of weights (*n, P) from the subspace."""
        return (w.to(self.origin) - self.lift(self.project(w))).norm(dim=-1)


def orthonormal(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(q, r)`` of vectors (K, P): rows of q (K, P) orthonormal, ``vectors = r.T @ q`` with r (K, K) upper triangular.

    Gram-Schmidt, each vector orthogonalised twice, in sums that do not depend on threads or on where memory starts: a
    job that goes on in another process finds the same plane to the last bit.
    """
    q, r = np.zeros_like(vectors), np.zeros((len(vectors), len(vectors)))
    for k, vector in enumerate(vectors):
        for _ in range(2):
            parts = (q[:k] * vector).sum(-1)
            r[:k, k] += parts
            for part, direction in zip(parts, q[:k], strict=True):
                vector = vector - part * direction
        r[k, k] = np.sqrt((vector * vector).sum())
        q[k] = vector / r[k, k] if r[k, k] > 0 else vector
    return q, r


def plane(w1: Tensor, w2: Tensor, w3: Tensor) -> Subspace:
    """The plane through three points: origin w1, first axis towards w2, w3 on the positive side of the second axis.

    Orthonormalised in float64 (Garipov et al. 2018, the footnote on visualisation).
    """
    origin, u, v = w1.double(), (w2.double() - w1.double()), (w3.double() - w1.double())
    if not all(bool(torch.isfinite(w).all()) for w in (w1, w2, w3)):
        raise BadInput("A plane needs three points with finite weights; at least one has NaN or infinite entries.")
    lengths = (u.norm(), v.norm(), (v - u).norm())
    scale = max(lengths)
    if min(lengths) <= 1e-12 * (1 + origin.norm()):
        raise BadInput("A plane needs three different points; two of those given are the same network.")
    q, r = orthonormal(torch.stack([u, v]).cpu().numpy())
    if r[1, 1] < 1e-7 * float(scale):
        raise BadInput("A plane needs three points that are not on one line; these three are, so no plane is defined. "
                       "Choose another third point.")
    return Subspace(origin, torch.tensor(q, device=origin.device), math.degrees(math.atan2(r[1, 1], r[0, 1])))
