"""Affine subspaces of weight space with orthonormal axes in weight-space distance."""

from __future__ import annotations

from dataclasses import dataclass

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
        """Least-squares coordinates (*n, K) of weights (*n, P)."""
        offset = (w.to(self.origin) - self.origin).reshape(-1, len(self.origin)).T
        return torch.linalg.lstsq(self.basis.T, offset).solution.T.reshape(*w.shape[:-1], -1)

    def residual(self, w: Tensor) -> Tensor:
        """Distance (*n,) of weights (*n, P) from the subspace."""
        return (w.to(self.origin) - self.lift(self.project(w))).norm(dim=-1)


def plane(w1: Tensor, w2: Tensor, w3: Tensor) -> Subspace:
    """The plane through three points: origin w1, first axis towards w2, w3 on the positive side of the second axis.

    Orthonormalised in float64 by QR (Garipov et al. 2018, the footnote on visualisation).
    """
    origin, u, v = w1.double(), (w2.double() - w1.double()), (w3.double() - w1.double())
    if not all(bool(torch.isfinite(w).all()) for w in (w1, w2, w3)):
        raise BadInput("A plane needs three points with finite weights; at least one has NaN or infinite entries.")
    lengths = (u.norm(), v.norm(), (v - u).norm())
    scale = max(lengths)
    if min(lengths) <= 1e-12 * (1 + origin.norm()):
        raise BadInput("A plane needs three different points; two of those given are the same network.")
    cosine = torch.clamp((u @ v) / (lengths[0] * lengths[1]), -1, 1)
    q, r = torch.linalg.qr(torch.stack([u, v], dim=1))
    sines = abs(r[1, 1]) / torch.stack([lengths[1], lengths[2]]).max()
    if sines < 1e-7 or abs(r[1, 1]) < 1e-10 * scale:
        raise BadInput("A plane needs three points that are not on one line; these three are, so no plane is defined. "
                       "Choose another third point.")
    basis = q.T * torch.sign(torch.diagonal(r))[:, None]
    return Subspace(origin, basis, float(torch.rad2deg(torch.arccos(cosine))))
