"""Curves through weight space with fixed ends and free bends (Garipov et al. 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.accelerator import mixed
from landscape.networks.net import stack
from landscape.training import sgd
from landscape.training.task import Task

KINDS = ("bezier", "chain")


def bezier(t: Tensor, points: int) -> Tensor:
    """Bernstein coefficients (*n, B) at t (*n): binom(B-1, i) t^i (1-t)^(B-1-i)."""
    i = torch.arange(points, dtype=t.dtype, device=t.device)
    return _binomials(points, t.dtype, t.device) * t[..., None] ** i * (1 - t[..., None]) ** (points - 1 - i)


@lru_cache(maxsize=32)
def _binomials(points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Made once: every copy to a GPU waits for it, and a curve that is trained needs them in each step."""
    return torch.tensor([math.comb(points - 1, k) for k in range(points)], dtype=dtype, device=device)


def chain(t: Tensor, points: int) -> Tensor:
    """Coefficients (*n, B) of the polygonal chain at t (*n): hat functions with equal shares of t for each segment."""
    i = torch.arange(points, dtype=t.dtype, device=t.device)
    return (1 - (t[..., None] * (points - 1) - i).abs()).clamp(min=0)


COEFFICIENTS = {"bezier": bezier, "chain": chain}


@dataclass(frozen=True, eq=False)
class Curve:
    """``points`` (B, P): first end, bends, second end. ``kind`` is ``bezier`` or ``chain``; a chain of two is a segment."""

    points: Tensor
    kind: str

    def at(self, t: Tensor) -> Tensor:
        """Weights (*n, P) at t (*n) in [0, 1]; exactly the ends at 0 and 1."""
        return COEFFICIENTS[self.kind](t.to(self.points), len(self.points)) @ self.points


def initial_bends(first: Tensor, last: Tensor, bends: int) -> Tensor:
    """Bends (bends, P) at equal steps on the segment between two ends (P,)."""
    if torch.equal(first, last):
        raise BadInput("A curve needs two different ends; both ends given are the same network.")
    share = torch.linspace(0, 1, bends + 2, dtype=first.dtype, device=first.device)[1:-1, None]
    return (1 - share) * first + share * last


def connect(
    task: Task, kinds: list[str], ends: Tensor, bends: int, seed: int, state: sgd.State | None = None, **options
) -> sgd.State:
    """Train one curve for each kind between the same two ends (2, P): minimise E_t[loss(w(t))], t uniform in [0, 1].

    One t is drawn for each step and curve, the penalty is that of the sampled point, BatchNorm runs on the batch's own
    statistics. The state's ``parameters`` are the bends (K, bends, P); options as in ``sgd.run``.
    """
    x, y = task.splits["train"]
    if state is None:
        state = sgd.start(
            initial_bends(ends[0], ends[1], bends).expand(len(kinds), -1, -1), stack([task.net.buffers] * len(kinds))
        )
    draws: dict[int, Tensor] = {}

    def sampled(epoch: int, step: int) -> Tensor:
        if epoch not in draws:
            draws.clear()
            steps = -(-len(x) // options["batch_size"])
            draws[epoch] = torch.rand(steps, len(kinds), generator=sgd.generator(seed, -2 - epoch)).to(ends)
        return draws[epoch][step]

    def objective(free, buffers, indices, epoch, step):
        t = sampled(epoch, step)
        coefficients = torch.stack([COEFFICIENTS[kind](t[k], bends + 2) for k, kind in enumerate(kinds)])
        with mixed(ends.device, "float32"):  # weights are not rounded, whatever networks are computed in
            w = coefficients[:, :: bends + 1].contiguous() @ ends + torch.einsum("kb,kbp->kp", coefficients[:, 1:-1], free)
        nll = sgd.mean_nll(task, w, buffers, x[indices], y[indices])
        return nll + task.penalty(w), nll

    return sgd.minimise(task, state, objective, seeds=[seed] * len(kinds), **options)
