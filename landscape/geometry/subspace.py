"""Affine subspaces of weight space with orthonormal axes in weight-space distance."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput

PIECE = 2**17  # entries of a vector that are worked on at a time: they stay in a core's cache
WHOLE = 2**22  # entries up to which a vector is summed in one go


@dataclass(frozen=True, eq=False)
class Subspace:
    """Weights w = origin + z @ basis, in float64. Rows of basis (K, P) are directions; ``plane`` makes them orthonormal.

    ``angle`` is the angle in degrees between the raw directions the basis was made from. Origin and basis may be stored in
    less than float64, or lie in a file (``mapped``): they are added up in float64, a piece at a time.
    """

    origin: Tensor
    basis: Tensor
    angle: float = 90.0

    def lift(self, z: Tensor) -> Tensor:
        """Weights (*n, P) of coordinates (*n, K)."""
        return self.piece(z.to(self.basis.device, torch.float64), 0, self.origin.shape[-1])

    def piece(self, z: Tensor, start: int, stop: int) -> Tensor:
        """Entries start ... stop of the weights of coordinates z (*n, K) float64, on the device of z: (*n, stop - start)."""
        w = self.origin[start:stop].to(z.device, torch.float64)
        for k in range(len(self.basis)):  # one direction after the other: a point's weights do not depend on its company
            w = w + z[..., k, None] * self.basis[k, start:stop].to(z.device, torch.float64)
        return w

    def lifted(self, z: Tensor, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """The weights (*n, P) of coordinates (*n, K) rounded to ``dtype``, on a device: the only vectors of that size that
        this makes. Equal to ``lift(z).to(dtype)`` bit for bit."""
        size = self.origin.shape[-1]
        z = z.to(device or self.origin.device, torch.float64)
        w = torch.empty(*z.shape[:-1], size, dtype=dtype, device=z.device)
        for start in range(0, size, PIECE):
            stop = min(start + PIECE, size)
            w[..., start:stop] = self.piece(z, start, stop)
        return w

    def to(self, device: torch.device) -> Subspace:
        """The same on another device."""
        return Subspace(self.origin.to(device), self.basis.to(device), self.angle)

    @cached_property
    def squares(self) -> np.ndarray:
        """Inner products (K + 1, K + 1) of origin and directions, float64."""
        vectors, size = (self.origin, *self.basis), self.origin.shape[-1]
        step = size if size <= WHOLE else PIECE
        found = np.zeros((len(vectors), len(vectors)))
        for start in range(0, size, step):
            part = [v[start : start + step].double().cpu().numpy() for v in vectors]
            found += [[(a * b).sum() for a in part] for b in part]
        return found

    def project(self, w: Tensor) -> Tensor:
        """Least-squares coordinates (*n, K) of weights (*n, P), float64."""
        q, r = orthonormal(self.basis.double().cpu().numpy())
        origin, rows = self.origin.double().cpu().numpy(), w.reshape(-1, len(self.origin))
        parts = np.array([((row.double().cpu().numpy() - origin) * q).sum(-1) for row in rows])  # P may be large
        parts = parts.reshape(-1, len(q))
        z = np.linalg.solve(r, parts.T).T
        return torch.tensor(z, device=self.origin.device).reshape(*w.shape[:-1], len(self.basis))

    def residual(self, w: Tensor) -> Tensor:
        """Distance (*n,) of weights (*n, P) from the subspace."""
        if w.ndim > 1 and w.shape[-1] > WHOLE:
            return torch.stack([self.residual(row) for row in w])
        return (w.to(self.origin.device, torch.float64) - self.lift(self.project(w))).norm(dim=-1)


def mapped(origin: np.ndarray, basis: np.ndarray, angle: float = 90.0) -> Subspace:
    """A subspace whose origin (P,) and directions (K, P) stay in files: arrays as ``numpy.load(path, mmap_mode="r")`` gives
    them, or numpy's view of a mapped safetensors file. Nothing is copied; what is written to them changes the subspace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no word for memory that must not be written, and here nobody does
        return Subspace(torch.from_numpy(origin), torch.from_numpy(basis), angle)


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
