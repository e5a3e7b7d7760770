"""Eigenvalues and trace of a symmetric operator that can only be multiplied with: Lanczos and Hutchinson.

Nothing here knows what the operator is; a Hessian of a network is one. Whatever is computed checks on the way, at no
cost, that the operator is symmetric and finite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from landscape.errors import BadInput, unknown

WHICH = ("largest", "magnitude", "smallest")
METHODS = ("hutchinson", "hutch++")
MOST = 200  # products that a search for eigenvalues may take
ROOM = 32  # vectors that there is memory for at first
BATCH = 8  # probes that are multiplied at once, unless an operator likes more of them

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


class Operator(Protocol):
    """A symmetric matrix (P, P): called with v (K, P), any precision, it gives H v (K, P). ``dtype`` is how exactly,
    ``at_once`` how large a K it likes."""

    size: int
    device: torch.device
    dtype: torch.dtype
    at_once: int

    def __call__(self, v: Tensor) -> Tensor: ...


class Written:
    """A matrix (P, P) that is written out, as an operator."""

    at_once = BATCH

    def __init__(self, matrix: Tensor):
        self.matrix, self.size, self.device, self.dtype = matrix, len(matrix), matrix.device, matrix.dtype

    def __call__(self, v: Tensor) -> Tensor:
        return v.to(self.matrix) @ self.matrix.T


class Scaled:
    """diag(s) H diag(s) for scales s (P,): the operator in coordinates that are divided by s."""

    def __init__(self, operator: Operator, scales: Tensor):
        self.operator, self.size, self.device, self.dtype = operator, operator.size, operator.device, operator.dtype
        self.scales, self.at_once = scales.to(operator.device, torch.float64), operator.at_once

    def __call__(self, v: Tensor) -> Tensor:
        return self.scales * self.operator(self.scales * v.to(self.scales)).double()


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues ``values`` (k,) float64, the asked-for end first, with eigenvectors ``vectors`` (k, P) of length 1.

    ``residuals`` (k,) are |H v - value v|: within that distance of each value there is an eigenvalue of H. ``converged``
    says whether all are below the tolerance; ``products`` is how many multiplications it took.
    """

    values: np.ndarray
    residuals: np.ndarray
    vectors: Tensor
    converged: bool
    products: int


@dataclass(frozen=True)
class Trace:
    """The trace with the ``standard_error`` of the estimate (0 where it is exact); ``products`` multiplications."""

    value: float
    standard_error: float
    products: int


def eigenvalues(operator: Operator, k: int = 5, which: str = "largest", *, generator: torch.Generator,
                tolerance: float = 1e-3, most: int = MOST, progress: Progress = silent) -> Spectrum:
    """k eigenvalues at one end of the spectrum by Lanczos with full reorthogonalisation (Golub and Van Loan, ch. 10).

    ``which``: ``largest`` and ``smallest`` by value, or largest by ``magnitude``. Done when every residual is below
    ``tolerance`` times the largest magnitude found (the error of a separated eigenvalue is of the order of its square), or
    after ``most`` products. All P of them are exact; where a start vector lies in a space that H maps into itself, the
    search goes on with another one, so that repeated eigenvalues are counted. Raises BadInput for an operator that is not
    symmetric or gives numbers that are not finite. ``progress(products, most)`` may raise to stop.
    """
    if which not in WHICH:
        raise unknown("end of the spectrum", which, WHICH)
    most = min(most, operator.size)
    if not 1 <= k <= most:
        raise BadInput(f"Of {operator.size} eigenvalues, {most} products can find 1 to {most}; asked for {k}. Raise most, "
                       "or ask for fewer.")
    walk = _Lanczos(operator, most, generator)
    while True:
        walk.step()
        progress(walk.length, most)
        values, weights = walk.ritz()
        chosen = _order(values, which)[:k]
        residuals = np.abs(walk.beyond * weights[-1, chosen])
        done = len(chosen) == k and (residuals <= tolerance * np.abs(values).max()).all() and not walk.restarted
        if done or walk.length == most:
            vectors = torch.tensor(weights[:, chosen].T.copy(), device=operator.device) @ walk.basis[: walk.length]
            converged = bool((residuals <= tolerance * np.abs(values).max()).all())
            return Spectrum(values[chosen], residuals, vectors, converged, walk.length)


class _Lanczos:
    """An orthonormal basis in which the operator is tridiagonal, one vector longer at each step."""

    def __init__(self, operator: Operator, most: int, generator: torch.Generator):
        self.operator, self.generator = operator, generator
        self.most, self.basis = most, torch.empty(0, operator.size, dtype=torch.float64, device=operator.device)
        self.diagonal: list[float] = []
        self.beside: list[float] = []  # the entries next to the diagonal
        self.beyond = 0.0  # the next one: what is left of the last product outside the basis
        self.restarted = False  # whether the last product lay within the basis
        self.length = 0
        self._next = self._fresh()

    def step(self) -> None:
        n = self.length
        if n:
            self.beside.append(self.beyond)
        if n == len(self.basis):
            self.basis = torch.cat([self.basis, self.basis.new_empty(min(max(n, ROOM), self.most - n), self.basis.shape[1])])
        self.basis[n] = self._next
        product = _finite(self.operator(self.basis[n : n + 1]).double())[0]
        basis = self.basis[: n + 1]
        inside = basis @ product
        self.diagonal.append(float(inside[n]))
        self._judge(inside[:n])
        rest = product - inside @ basis
        rest -= (basis @ rest) @ basis
        self.length, self.beyond = n + 1, float(rest.norm())
        self.restarted = self.beyond <= 10 * torch.finfo(self.operator.dtype).eps * self.scale
        if self.restarted:
            self.beyond = 0.0
        if self.length < self.most:
            self._next = self._fresh() if self.restarted else rest / self.beyond

    @property
    def scale(self) -> float:
        """A size that the operator has at least."""
        return max(map(abs, [*self.diagonal, *self.beside]), default=0.0)

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (n,), ascending, and eigenvectors (n, n) in columns of the tridiagonal matrix."""
        return eigh_tridiagonal(np.array(self.diagonal), np.array(self.beside))

    def _judge(self, above: Tensor) -> None:
        """The column over the diagonal must mirror the row left of it: zeros, and the last entry known already."""
        expected = torch.zeros_like(above)
        if len(above):
            expected[-1] = self.beside[-1]
            _symmetric(float((above - expected).abs().max()), self.scale, self.operator.dtype)

    def _fresh(self) -> Tensor:
        """A random unit vector (P,) orthogonal to the basis."""
        vector = torch.randn(self.operator.size, generator=self.generator, dtype=torch.float64).to(self.basis.device)
        for _ in range(2):
            vector = vector - (self.basis[: self.length] @ vector) @ self.basis[: self.length]
        return vector / vector.norm()


def trace(operator: Operator, *, generator: torch.Generator, probes: int = 48, method: str = "hutchinson",
          progress: Progress = silent) -> Trace:
    """The trace from ``probes`` products: means of v'Hv over vectors of random signs (Hutchinson 1990).

    ``hutch++`` (Meyer et al. 2021) spends a third of them to find where H is large, a third for the exact trace there and
    a third for the mean in what is left: far less noise where a few eigenvalues make up most of the trace, somewhat more
    where they do not (trained networks whose many small eigenvalues add up). Exact, with standard error 0, when the first
    third already holds all P dimensions. Errors as in ``eigenvalues``.
    """
    if method not in METHODS:
        raise unknown("way to estimate a trace", method, METHODS)
    least = 2 if method == "hutchinson" else 6
    if probes < least:
        raise BadInput(f"A trace with a standard error needs at least {least} probes by {method}; found {probes}.")
    share = min(probes // 3, operator.size) if method == "hutch++" else 0
    counted = _Counted(operator, max(probes, 2 * share), progress)
    known, exact = None, 0.0
    if share:
        known = torch.linalg.qr(counted(_signs(operator, share, generator)).T).Q.T
        exact = float((known * counted(known)).sum())
        if share == operator.size:
            return Trace(exact, 0.0, counted.products)
    found = _quadratic_forms(counted, _signs(operator, probes - 2 * share, generator), known)
    error = float(found.std() / len(found) ** 0.5)
    return Trace(exact + float(found.mean()), error, counted.products)


def _quadratic_forms(counted: _Counted, probes: Tensor, known: Tensor | None) -> Tensor:
    """v'Hv (m,) for v the probes (m, P) without their part in the span of the rows of ``known``."""
    if known is not None:
        probes = probes - (probes @ known.T) @ known
    return (probes * counted(probes)).sum(1)


class _Counted:
    """Products in batches, each looked at: finite, and u'Hv equal to v'Hu between the probes of a batch."""

    def __init__(self, operator: Operator, total: int, progress: Progress):
        self.operator, self.total, self.progress, self.products = operator, total, progress, 0
        self.size = 0.0  # one that the operator's entries, seen in random directions, have at least

    def __call__(self, probes: Tensor) -> Tensor:
        made = []
        for part in probes.split(self.operator.at_once):
            product = _finite(self.operator(part).double())
            form = part @ product.T
            size = float((part.norm(dim=1) * product.norm(dim=1)).max()) / self.operator.size**0.5
            self.size = max(self.size, size, float(form.abs().max()))
            _symmetric(float((form - form.T).abs().max()), self.size, self.operator.dtype)
            made.append(product)
            self.products += len(part)
            self.progress(self.products, self.total)
        return torch.cat(made)


def assert_symmetric(operator: Operator, generator: torch.Generator, probes: int = 4) -> None:
    """Raises BadInput unless u'Hv = v'Hu between random probes, to half of the operator's digits, and all is finite."""
    _Counted(operator, probes, silent)(_signs(operator, min(probes, BATCH), generator))


def _signs(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Vectors (count, P) of random signs."""
    drawn = torch.randint(0, 2, (count, operator.size), generator=generator)
    return (2.0 * drawn - 1).to(operator.device, torch.float64)


def _order(values: np.ndarray, which: str) -> np.ndarray:
    return np.argsort(values if which == "smallest" else -np.abs(values) if which == "magnitude" else -values, kind="stable")


def _finite(product: Tensor) -> Tensor:
    wrong = int((~product.isfinite()).sum())
    if wrong:
        raise BadInput(f"Multiplying with the Hessian gave {wrong:,} numbers of {product.numel():,} that are NaN or "
                       "infinite. The loss overflows at these weights: use float64, or a network whose loss is finite.")
    return product


def _symmetric(difference: float, size: float, dtype: torch.dtype) -> None:
    if difference > torch.finfo(dtype).eps ** 0.5 * size:
        raise BadInput("Eigenvalues and trace need a symmetric operator, where u'Hv = v'Hu; these differ by "
                       f"{difference:.3g} at a size of {size:.3g}. Something in the network or the loss is no "
                       "differentiable function of the weights, or is drawn at random in each pass.")
