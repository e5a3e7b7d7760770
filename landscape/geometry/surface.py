"""The evaluator: metrics of many networks of one subspace, each computed from its coordinates, none ever stored.

``geometry.ways`` chooses: stacks of linear layers take the way of ``geometry.affine``, networks whose layers could be read
that of ``geometry.folded``, and other modules run one network at a time. Each way one thread a core with one torch thread.
On a GPU several points go together (``geometry.together``), as many as its memory takes.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry import precision, ways
from landscape.geometry.affine import Forward, Layers, Tile
from landscape.geometry.subspace import Subspace
from landscape.geometry.together import MOST, Together
from landscape.networks.accelerator import LOWER, Room, free_bytes, numbers
from landscape.networks.net import Buffers
from landscape.training.losses import Judge, summed
from landscape.training.task import Task

BATCH = 512  # examples of one forward pass of a module
CHUNK = 64  # points a thread takes at a time
LEAST = 8  # points of the last chunks
CHUNK_BYTES = 16 * 2**20  # of the weights and outputs of those points
STAYS = 0.3  # of a GPU's free memory that origin and directions may take
HELD = 2**31  # bytes that the weights of networks which are evaluated at the same time may take


class Evaluator:
    """``evaluator(z)`` -> ``{"train_nll": (N,), "train_error", "train_loss", "test_nll", ...}`` for coordinates z (N, K).

    Values are float64 numpy arrays, sums of per-example values in float64. Results do not depend on how the points are
    divided among threads. With BatchNorm, statistics are re-estimated for every point unless ``buffers`` are given.
    ``way`` forces one (see ``ways.chosen``); ``said`` is the one taken, as a result's info keeps it. The task's precision
    decides on the numbers that are used (``run`` is the task in them); in a lower one the first points are evaluated in
    float32 too, and ``said`` tells how far ``off`` they were, relative to the loss above its floor, at ``checked`` points.
    """

    def __init__(self, task: Task, subspace: Subspace, splits: Sequence[str] = ("train", "test"),
                 buffers: Buffers | None = None, threads: int | None = None, way: str | dict | None = None):
        told = way if isinstance(way, dict) else {}
        self.task, self.splits, self.buffers = task, tuple(splits), buffers
        self.precision = told.get("precision") or precision.name_of(task)
        self.run = precision.in_precision(task, precision.PRECISIONS.get(self.precision, task.dtype))
        self.dtype, self.device = self.run.dtype, task.splits[splits[0]][0].device
        self._buffers = precision.cast_buffers(buffers, self.dtype) if self.run is not task else buffers
        self.subspace = subspace if self._stays(subspace) else subspace.to(self.device)
        self.threads = 1 if self.device.type != "cpu" else self._side_by_side(threads)
        self._squares = subspace.squares
        self.way, self.chunk = ways.chosen(self.run, buffers is None, way), 1
        self.said = self.way.said(self.threads)
        if self.precision in LOWER:
            self._check = precision.Check(self._in_float32, task.likelihood.floor)
            self._check.points, self._check.off = told.get("checked", 0), told.get("off", 0.0)
            self.said |= {"precision": self.precision, **self._check.said}
        self._points = {"batched": self._dense, "folded": self._tiled, "module": self._modules,
                        "together": self._several}[self.way.kind]
        if self.way.kind == "batched":
            self._prepare_layers()
        elif self.way.kind == "folded":
            self._prepare_tiles()
        elif self.way.kind == "together":
            with numbers(self.device):
                self.together = Together(self.run, self.subspace, self.splits, self._buffers, self._in_one)
            self.room, self.chunk = Room(self.device, self.together.most), MOST if self.device.type == "cuda" else CHUNK

    def _side_by_side(self, threads: int | None) -> int:
        """One thread a core, fewer for networks so large that as many copies would not fit."""
        each = self.task.net.size * self.dtype.itemsize
        return threads or max(1, min(len(os.sched_getaffinity(0)), HELD // max(1, each)))

    def _stays(self, subspace: Subspace) -> bool:
        """Whether origin and directions stay where they are, the host or a file, as they would crowd the device."""
        if self.device.type != "cuda":
            return self.device == subspace.origin.device
        size = sum(each.numel() * each.element_size() for each in (subspace.origin, subspace.basis))
        return size > STAYS * free_bytes(self.device)

    def _in_float32(self, z: np.ndarray) -> dict[str, np.ndarray]:
        exact = Evaluator(precision.reference(self.task), self.subspace, self.splits,
                          precision.cast_buffers(self.buffers, torch.float32), self.threads)
        return exact(z)

    @property
    def _in_one(self) -> bool:
        """Whether the test set is judged with the statistics of itself, and nothing else is asked for."""
        free = self.run.net.batchnorm and self.buffers is None
        return free and self.run.own_statistics and self.splits == ("test",)

    def _prepare_layers(self) -> None:
        task = self.run
        self.layers = Layers(task.net.layers, self.subspace, self.dtype)
        self._idle: list[Forward] = []  # memory that no thread is using
        self._overflow = torch.finfo(self.dtype).max * 1e-8  # ReLU with a sum in one pass puts the largest number for inf
        self._tiles = {split: self.layers.tiles(task.splits[split][0]) for split in self.splits}
        self._judges = {split: [self._judge(split, tile) for tile in tiles] for split, tiles in self._tiles.items()}
        numbers = task.net.size + max(len(task.splits[s][0]) for s in self.splits) * task.net.layers[-1].outputs
        self.chunk = max(1, min(CHUNK, CHUNK_BYTES // (self.dtype.itemsize * numbers)))

    def _judge(self, split: str, tile: Tile) -> Judge:
        outputs = tile.products[0].new_empty(self.run.net.layers[-1].outputs, tile.products[0].shape[1])
        return self.run.likelihood.side_by_side(self.run.splits[split][1][tile.examples], outputs)

    @torch.no_grad()
    def _prepare_tiles(self) -> None:
        folded, width, task = self.way.folded, self.way.width, self.run
        self._tiles = {s: folded.batch(task.splits[s][0], width, moments=self._in_one) for s in self.splits}
        free = folded.norms and self.buffers is None and not self._in_one
        self._batches = [folded.batch(x, width, moments=True) for x in task.batchnorm_batches] if free else []

    @torch.no_grad()
    def __call__(self, z: np.ndarray,
                 progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, np.ndarray]:
        """Metrics of every point; ``progress(done, total)`` is called as chunks finish and may raise to stop."""
        z = self._aligned(z)
        results = torch.full((2 * len(self.splits), len(z)), float("nan"), dtype=torch.float64)
        outer = torch.get_num_threads()
        try:
            with numbers(self.device, tf32=self.precision == "tf32"):
                self._run_chunks(z, self._parts(len(z)), results, progress)
        finally:
            torch.set_num_threads(outer)
        found = self._named(z.cpu(), results)
        if self.precision in LOWER:
            self._check.see(z.cpu().numpy(), found)
            self.said |= self._check.said
        return found

    def _parts(self, count: int) -> list[slice]:
        """Chunks of points, towards the end smaller ones, so that no thread waits long for the last."""
        parts, end = [], 0
        while end < count:
            share = math.ceil((count - end) / (2 * self.threads))
            size = min(self.chunk, max(LEAST, share)) if self.threads > 1 else self.chunk
            parts.append(slice(end, end := min(end + size, count)))
        return parts

    def _run_chunks(self, z, parts, results, progress) -> None:
        """This thread works as well: one that only waited for the others would interrupt them each time a chunk is done."""
        waiting, done = deque(parts), []

        def taken() -> Iterator[slice]:
            with suppress(IndexError):
                while True:
                    yield waiting.popleft()

        def work(tell: Callable[[], None] = lambda: None) -> None:
            try:
                for part in taken():
                    with torch.no_grad():
                        results[:, part] = self._points(z[part]).cpu()  # the one time a chunk waits for the device
                    done.append(part.stop - part.start)
                    tell()
            finally:  # whoever stops, stops all
                waiting.clear()

        if self.device.type == "cpu":
            torch.set_num_threads(1)
        with ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            others = [pool.submit(work) for _ in range(min(self.threads, len(parts)) - 1)]
            work(lambda: progress(sum(done), len(z)))
            for other in others:
                other.result()
        if others:
            progress(len(z), len(z))

    def _named(self, z: Tensor, results: Tensor) -> dict[str, np.ndarray]:
        penalty = self.penalty(z)
        named = {}
        for i, split in enumerate(self.splits):
            nll, error = results[2 * i], self.run.likelihood.combine(results[2 * i + 1])
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
        return torch.tensor(np.asarray(z), dtype=torch.float64, device=self.device).view(-1, len(self.subspace.basis))

    def _several(self, z: Tensor) -> Tensor:
        """The same of several points at once; where memory runs out, of fewer."""
        try:
            return torch.cat(self.room.parts(len(z), lambda part: self.together(z[part])), 1)
        except torch.OutOfMemoryError as error:
            raise BadInput(f"One network with its examples does not fit into the memory of {self.device} ({error}). Choose "
                           "precision=bfloat16, fewer examples, or device=cpu.") from None

    @torch.no_grad()
    def on_device(self, z: Tensor) -> Tensor:
        """Mean NLL and error of each split (2 S, N) float64 for z (N, K) float64 there: nothing leaves the device."""
        with numbers(self.device, tf32=self.precision == "tf32"):
            return self._several(z)

    def _dense(self, z: Tensor) -> Tensor:
        """Mean NLL and error of each split (2 S, n) for a chunk of points (n, K)."""
        try:
            forward = self._idle.pop()
        except IndexError:
            forward = Forward(self.layers)
        out = []
        for split in self.splits:
            sums, judges = torch.zeros(2, len(z), dtype=torch.float64), self._judges[split]
            for outputs, judge in zip(forward(z, self._tiles[split]), judges, strict=True):
                for whole, part in zip(sums, judge(outputs), strict=True):
                    whole += part.sum(1, dtype=torch.float64)
            means = sums / len(self.run.splits[split][1])
            out += [means.masked_fill_(means > self._overflow, math.inf)]
        self._idle.append(forward)
        return torch.cat(out)

    def _modules(self, z: Tensor) -> Tensor:
        task, in_one = self.run, self._in_one
        out = torch.empty(2 * len(self.splits), len(z), dtype=torch.float64, device=self.device)
        for p, place in enumerate(z):
            w = self.subspace.lifted(place, self.dtype, self.device)
            buffers = task.buffers(w) if self.buffers is None and not in_one else self._buffers
            for s, split in enumerate(self.splits):
                x, y = task.splits[split]
                sums = torch.zeros(2, dtype=torch.float64, device=self.device)
                if in_one:
                    sums += summed(self.run.likelihood, task.net.on_own_statistics(w, x), y)
                else:
                    batch = task.batch or BATCH
                    for i in range(0, len(x), batch):
                        sums += summed(self.run.likelihood, task.net(w, x[i : i + batch], buffers), y[i : i + batch])
                out[2 * s : 2 * s + 2, p] = sums / len(x)
        return out

    def _tiled(self, z: Tensor) -> Tensor:
        """The same by the layers one by one, tile by tile."""
        out, folded = torch.empty(2 * len(self.splits), len(z), dtype=torch.float64), self.way.folded
        for p, place in enumerate(z):
            w = self.subspace.lifted(place, self.dtype)
            if self._batches:
                weights = folded.weights(w, folded.estimate(w, self._batches, self.run.own_statistics))
            elif not self._in_one:
                weights = folded.weights(w, folded.stored(self._buffers))
            for s, split in enumerate(self.splits):
                batch, y = self._tiles[split], self.run.splits[split][1]
                outputs = folded.on_own_statistics(w, batch) if self._in_one else folded.outputs(weights, batch)
                out[2 * s : 2 * s + 2, p] = summed(self.run.likelihood, outputs, y) / len(y)
        return out
