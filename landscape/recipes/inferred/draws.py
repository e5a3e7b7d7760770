"""Draws of one method: shown while they appear, thinned and kept, so that every point that is drawn can be opened."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from landscape.geometry.subspace import Subspace
from landscape.posteriors.method import Draws
from landscape.posteriors.space import Space
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.inferred.labels import Label
from landscape.results import Samples

ROWS = 2000  # draws that are kept and shown, at most
STORED_BYTES = 2**23  # of the weights of those, for a method that draws weights
SHOWN_LIVE = 600  # while they appear
SAVE_DRAWS = 0.4  # seconds between two saved pictures of draws that appear


class Live:
    """Handed to a method as ``watch``: says how far it is and saves ``samples:NAME`` with the draws there are so far.

    Chains that go in blocks are told apart by the number of their ``first`` one; blocks may be at different draws.
    """

    def __init__(self, ground: Ground, label: Label, context, stage: str, space: Space | None, info: dict):
        self.ground, self.label, self.context, self.stage, self.space, self.info = ground, label, context, stage, space, info
        # of each block's first chain: (chains, n, K), (chains, n, 2) and (chains, n) of each report
        self.seen: dict[int, list[tuple[np.ndarray, ...]]] = {}
        self.share: tuple[float, float] = (0, 1)  # done, total
        self._saved = time.monotonic()

    def __call__(self, done: int, total: int, new: Tensor | None) -> None:
        self.told(done, total)
        self.show(new)

    def told(self, done: float, total: float) -> None:
        """So much of all is done. Raises Cancelled when the run is to stop."""
        self.share = done, total
        self.context.progress(self.stage, done, total)

    def show(self, new: Tensor | None, first: int = 0) -> None:
        """The next draws (chains, n, K) of the chains that begin with ``first``."""
        if self.space is None or new is None:
            return
        z = new.detach().cpu().double()
        plane, residual = on_stage(self.ground.stage, self.space, z.flatten(0, 1))
        shown = z.numpy().copy() if self.space.kind != "weights" else np.empty((*z.shape[:2], 0))
        self.seen.setdefault(first, []).append((shown, plane.reshape(*z.shape[:2], 2), residual.reshape(z.shape[:2])))
        if time.monotonic() - self._saved >= SAVE_DRAWS:
            self._show()
            self._saved = time.monotonic()

    def whole(self, z: Tensor, first: int) -> None:
        """All draws (chains, n, K) of the chains that begin with ``first``, whatever was shown of them before."""
        if sum(residual.shape[1] for _, _, residual in self.seen.get(first, ())) != z.shape[1]:
            self.seen.pop(first, None)
            self.show(z, first)

    def _show(self) -> None:
        blocks = {first: [np.concatenate(each, axis=1) for each in zip(*reports, strict=True)]
                  for first, reports in sorted(self.seen.items())}
        chains = sum(len(residual) for _, _, residual in blocks.values())
        rows: list[list[np.ndarray]] = []
        for first, (z, plane, residual) in blocks.items():
            kept = thinned(residual.shape[1], max(1, SHOWN_LIVE // chains))
            numbers = np.repeat(np.arange(first, first + len(residual)), len(kept))
            flat = [each[:, kept].reshape(len(numbers), *each.shape[2:]) for each in (z, plane, residual)]
            rows.append([*flat, numbers])
        z, plane, residual, numbers = (np.concatenate(each) for each in zip(*rows, strict=True))
        count = max(residual.shape[1] for _, _, residual in blocks.values())
        self.context.save(f"samples:{self.label.name}", Samples(
            z, plane, residual, numbers, np.full(len(z), np.nan),
            self.info | {"final": False, "done": self.share[0], "total": self.share[1], "chains": chains, "draws": count}))


def thinned(count: int, most: int) -> np.ndarray:
    """Positions of at most ``most`` of ``count`` things, evenly spaced, the last one among them."""
    return np.unique(np.linspace(count - 1, 0, min(count, most)).round().astype(int))


def on_stage(stage: Space, space: Space, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """``(plane (N, 2), residual (N,))``: points z (N, K) of a space as coordinates of the theatre, by least squares, and
    their distances from its plane. The directions of a stage are orthogonal."""
    if same(space, stage):
        return z[:, :2].numpy(), (z[:, 2:] @ stage.directions[2:].cpu()).norm(dim=1).numpy()
    flat, rows, away = plane_of(stage), [], []
    for part in z.split(max(1, 2**22 // len(stage.origin))):
        w = space.lift(part).cpu()
        found = flat.project(w)
        rows.append(found)
        away.append((w - flat.lift(found)).norm(dim=1))
    return torch.cat(rows).numpy(), torch.cat(away).numpy()


def same(a: Space, b: Space) -> bool:
    return a.kind == b.kind and a.directions.shape == b.directions.shape and bool(
        torch.equal(a.origin.cpu(), b.origin.cpu()) and torch.equal(a.directions.cpu(), b.directions.cpu()))


def plane_of(stage: Space) -> Subspace:
    """The plane of the theatre: the first two directions through the origin, as long as they are."""
    return Subspace(stage.origin.cpu(), stage.directions[:2].cpu())


def weights_name(name: str, what: str = "draws") -> str:
    """Under which the kept draws of a method, or the ``outputs`` of its replicates, are stored."""
    return f"{what}-{name.replace(' ', '-')}"


def kept_rows(draws: Draws) -> np.ndarray:
    """Positions in ``draws.flat`` of those that are kept, as many of each chain."""
    chains, count, size = draws.z.shape
    most = ROWS if draws.space.kind != "weights" else min(ROWS, max(1, STORED_BYTES // (4 * size)))
    if chains > most:
        return thinned(chains * count, most)
    each = thinned(count, most // chains)
    return (np.arange(chains)[:, None] * count + each).ravel()


def stored(draws: Draws, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays from which ``Kept`` has the weights of the rows: coordinates of a subspace, or weights in single precision."""
    z = draws.flat[torch.tensor(rows)]
    if draws.space.kind != "weights":
        return {"z": z.cpu().double().numpy()}
    return {"w": draws.space.lift(z).float().cpu().numpy()}


class Kept:
    """The kept draws of all methods as networks by name, ``ess draw 12``; weights are made when they are asked for."""

    def __init__(self, ground: Ground, arrays: dict[str, dict[str, np.ndarray]], subspaces: dict[str, str]):
        self._ground, self._arrays, self._subspaces = ground, arrays, subspaces
        self._spaces: dict[str, Space] = {}

    def __getitem__(self, name: str) -> Tensor:
        label, _, number = name.rpartition(" draw ")
        if name not in self:
            raise KeyError(name)
        return self.weights(label, int(number))

    def __contains__(self, name: object) -> bool:
        label, _, number = str(name).rpartition(" draw ")
        return label in self._arrays and number.isdecimal() and int(number) < self._count(label)

    def weights(self, label: str, rows=slice(None)) -> Tensor:
        """Weights (N, P), or (P,) of one row."""
        arrays = self._arrays[label]
        if "w" in arrays:
            return torch.tensor(arrays["w"][rows])
        return self._space(label).lift(torch.tensor(arrays["z"][rows]))

    def tensors(self) -> list[Tensor]:
        """All that is held, to be counted."""
        return [torch.from_numpy(a) for arrays in self._arrays.values() for a in arrays.values()]

    def _count(self, label: str) -> int:
        return len(next(iter(self._arrays[label].values())))

    def _space(self, label: str) -> Space:
        kind = self._subspaces[label]
        if kind not in self._spaces:
            self._spaces[kind] = self._ground.own(kind)
        return self._spaces[kind]
