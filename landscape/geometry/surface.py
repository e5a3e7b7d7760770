"""The evaluator: metrics of many networks of one subspace, each computed from its coordinates, none ever stored.

``geometry.ways`` chooses: stacks of linear layers take the way of ``geometry.affine``, networks whose layers could be read
that of ``geometry.folded``, and other modules run one network at a time. Each way one thread a core with one torch thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor

from landscape.geometry import ways
from landscape.geometry.affine import Forward, Layers
from landscape.geometry.subspace import Subspace
from landscape.networks.net import Buffers
from landscape.training.task import Task

BATCH = 512  # examples of one forward pass of a module
CHUNK = 32  # points a thread takes at a time
CHUNK_BYTES = 16 * 2**20  # of the weights and outputs of those points


class Evaluator:
    """``evaluator(z)`` -> ``{"train_nll": (N,), "train_error", "train_loss", "test_nll", ...}`` for coordinates z (N, K).

    Values are float64 numpy arrays, sums of per-example values in float64. Results do not depend on how the points are
    divided among threads. With BatchNorm, statistics are re-estimated for every point unless ``buffers`` are given.
    ``way`` forces one (see ``ways.chosen``); ``said`` is the one taken, as a result's info keeps it.
    """

    def __init__(self, task: Task, subspace: Subspace, splits: Sequence[str] = ("train", "test"),
                 buffers: Buffers | None = None, threads: int | None = None, way: str | dict | None = None):
        x = task.splits[splits[0]][0]
        self.task, self.splits, self.buffers, self.dtype, self.device = task, tuple(splits), buffers, task.dtype, x.device
        self.subspace = Subspace(subspace.origin.to(self.device), subspace.basis.to(self.device), subspace.angle)
        self.threads = 1 if self.device.type != "cpu" else threads or len(os.sched_getaffinity(0))
        vectors = torch.cat([subspace.origin[None], subspace.basis]).cpu().numpy()
        self._squares = np.array([[(a * b).sum() for a in vectors] for b in vectors])
        self.way, self.chunk = ways.chosen(task, buffers is None, way), 1
        self.said = self.way.said(self.threads)
        self._points = {"batched": self._dense, "folded": self._tiled, "module": self._modules}[self.way.kind]
        if self.way.kind == "batched":
            self._prepare_layers()
        elif self.way.kind == "folded":
            self._prepare_tiles()

    @property
    def _in_one(self) -> bool:
        """Whether the test set is judged with the statistics of itself, and nothing else is asked for."""
        free = self.task.net.batchnorm and self.buffers is None
        return free and self.task.own_statistics and self.splits == ("test",)

    def _prepare_layers(self) -> None:
        task = self.task
        self.layers = Layers(task.net.layers, self.subspace, self.dtype)
        self._idle: list[Forward] = []  # memory that no thread is using
        self._tiles = {split: self.layers.tiles(task.splits[split][0]) for split in self.splits}
        numbers = task.net.size + max(len(task.splits[s][0]) for s in self.splits) * task.net.layers[-1].outputs
        self.chunk = max(1, min(CHUNK, CHUNK_BYTES // (self.dtype.itemsize * numbers)))

    @torch.no_grad()
    def _prepare_tiles(self) -> None:
        folded, width, task = self.way.folded, self.way.width, self.task
        self._tiles = {s: folded.batch(task.splits[s][0], width, moments=self._in_one) for s in self.splits}
        free = folded.norms and self.buffers is None and not self._in_one
        self._batches = [folded.batch(x, width, moments=True) for x in task.batchnorm_batches] if free else []

    @torch.no_grad()
    def __call__(self, z: np.ndarray,
                 progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, np.ndarray]:
        """Metrics of every point; ``progress(done, total)`` is called as chunks finish and may raise to stop."""
        z = self._aligned(z)
        results = torch.full((2 * len(self.splits), len(z)), float("nan"), dtype=torch.float64)
        starts = list(range(0, len(z), self.chunk))
        outer = torch.get_num_threads()
        try:
            self._run_chunks(z, starts, results, progress)
        finally:
            torch.set_num_threads(outer)
        return self._named(z, results)

    def _run_chunks(self, z, starts, results, progress) -> None:
        def work(i: int) -> int:
            with torch.no_grad():
                part = z[i : i + self.chunk]
                results[:, i : i + self.chunk] = self._points(part)
            return len(part)

        done = 0
        if self.threads == 1 or len(starts) == 1:
            if self.device.type == "cpu":
                torch.set_num_threads(1)
            for i in starts:
                done += work(i)
                progress(done, len(z))
            return
        pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            waiting, queue = set(), iter(starts)
            while True:
                while len(waiting) < 2 * self.threads and (i := next(queue, None)) is not None:
                    waiting.add(pool.submit(work, i))
                if not waiting:
                    return
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                done += sum(f.result() for f in finished)
                progress(done, len(z))
        finally:
            pool.shutdown(cancel_futures=True)

    def _named(self, z: Tensor, results: Tensor) -> dict[str, np.ndarray]:
        penalty = self.penalty(z)
        named = {}
        for i, split in enumerate(self.splits):
            nll, error = results[2 * i], self.task.likelihood.combine(results[2 * i + 1])
            named |= {f"{split}_nll": nll.numpy(), f"{split}_error": error.numpy(), f"{split}_loss": nll.numpy() + penalty}
        return named

    def penalty(self, z) -> np.ndarray:
        """Half weight decay times the squared norm (N,), from the quadratic form in the coordinates, float64."""
        z = np.asarray(z, dtype=np.float64).reshape(-1, len(self.subspace.basis))
        squared = np.full(len(z), self._squares[0, 0])  # elementwise: a point's value must not depend on its company
        for i in range(z.shape[1]):
            squared = squared + 2 * z[:, i] * self._squares[0, i + 1]
            for j in range(z.shape[1]):
                squared = squared + z[:, i] * z[:, j] * self._squares[i + 1, j + 1]
        return 0.5 * self.task.weight_decay * squared

    def _aligned(self, z) -> Tensor:
        """Coordinates (N, K) in torch's own memory: the last bit of a product may depend on where its factors start."""
        origin, basis = self.subspace.origin, self.subspace.basis
        return torch.tensor(np.asarray(z), dtype=torch.float64, device=origin.device).view(-1, len(basis))

    def _dense(self, z: Tensor) -> Tensor:
        """Mean NLL and error of each split (2 S, n) for a chunk of points (n, K)."""
        try:
            forward = self._idle.pop()
        except IndexError:
            forward = Forward(self.layers)
        out = []
        for split in self.splits:
            out += self.task.likelihood.means(forward(z, self._tiles[split]), self.task.splits[split][1])
        self._idle.append(forward)
        return torch.stack(out).cpu()

    def _modules(self, z: Tensor) -> Tensor:
        out = torch.empty(2 * len(self.splits), len(z), dtype=torch.float64)
        for p, w in enumerate(self.subspace.lift(z)):
            w = w.to(self.dtype)
            in_one = self._in_one
            buffers = self.task.buffers(w) if self.buffers is None and not in_one else self.buffers
            for s, split in enumerate(self.splits):
                x, y = self.task.splits[split]
                sums = torch.zeros(2, dtype=torch.float64)
                if in_one:
                    sums += self._sums(self.task.net.on_own_statistics(w, x), y)
                else:
                    batch = self.task.batch or BATCH
                    for i in range(0, len(x), batch):
                        sums += self._sums(self.task.net(w, x[i : i + batch], buffers), y[i : i + batch])
                out[2 * s : 2 * s + 2, p] = sums / len(x)
        return out

    def _tiled(self, z: Tensor) -> Tensor:
        """The same by the layers one by one, tile by tile."""
        out, folded = torch.empty(2 * len(self.splits), len(z), dtype=torch.float64), self.way.folded
        for p, w in enumerate(self.subspace.lift(z)):
            w = w.to(self.dtype)
            if self._batches:
                weights = folded.weights(w, folded.estimate(w, self._batches, self.task.own_statistics))
            elif not self._in_one:
                weights = folded.weights(w, folded.stored(self.buffers))
            for s, split in enumerate(self.splits):
                batch, y = self._tiles[split], self.task.splits[split][1]
                outputs = folded.on_own_statistics(w, batch) if self._in_one else folded.outputs(weights, batch)
                out[2 * s : 2 * s + 2, p] = self._sums(outputs, y) / len(y)
        return out

    def _sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Sums (2,) over examples of loss and error."""
        likelihood = self.task.likelihood
        return torch.stack([likelihood.nll(outputs, y).double().sum(), likelihood.error(outputs, y).double().sum()]).cpu()
