"""The summed log-likelihood of many networks at once, and its gradient by their weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor

from landscape.geometry import precision
from landscape.networks.accelerator import Room, numbers
from landscape.networks.net import Buffers
from landscape.posteriors.stack import Stack
from landscape.training.task import Task

ROOM_BYTES = 2**24  # of the activations of the networks that go through a stack of linear layers together
MOST = 4096  # networks at once on a GPU
EXAMPLES = 2000  # of one pass through a stack of linear layers
BATCH = 512  # of one pass through another module, unless its task says otherwise
SHARED = 8  # networks from which on it pays to use a second core


class Likelihood:
    """Sums over training examples of log p(y | x, w) in nats, for weights w (N, P): ``values`` and ``gradients``.

    Dropout is off. With BatchNorm the statistics are re-estimated for every w as the task does, unless ``buffers`` holds
    them fixed. Derivatives take statistics as constants: exact with fixed ones; with re-estimated ones the value is exact
    and the gradient leaves out how the statistics move (a Metropolis step keeps a chain exact nevertheless, since leapfrog
    is reversible and keeps volume with any force). On a CPU many networks are shared among one thread a core; on a GPU as
    many go at once as fit into its memory, and nothing waits for it. The task's precision decides on the numbers of
    weights, inputs and activations (``task`` is it in them); in all of them losses of examples are summed in float64, and
    gradients of parts of the data in float32 or better.
    """

    def __init__(self, task: Task, buffers: Buffers | None = None, threads: int | None = None):
        self.precision = precision.name_of(task)
        self.task = precision.in_precision(task, precision.PRECISIONS.get(self.precision, task.dtype))
        self.buffers = buffers if self.task is task else precision.cast_buffers(buffers, self.task.dtype)
        self.x, self.y = self.task.splits["train"][0], task.splits["train"][1]  # losses are wide: targets are not rounded
        self.device = self.x.device
        self.threads = 1 if self.device.type != "cpu" else threads or len(os.sched_getaffinity(0))
        self.room = Room(self.device, MOST) if self.device.type == "cuda" else None
        self._pool: ThreadPoolExecutor | None = None
        self._stack = Stack(task.net.layers) if task.net.layers else None
        if self._stack:
            flat = self.x.flatten(1).T
            self._columns = torch.cat([flat, torch.ones_like(flat[:1])]).contiguous()

    def __len__(self) -> int:
        return len(self.x)

    def values(self, w: Tensor) -> Tensor:
        """(N,) float64."""
        return self._shared(lambda part: (self._sums(part, None, False)[0],), self._own(w))[0]

    def gradients(self, w: Tensor, examples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``((N,), (N, P))``, float64 and the task's numbers, float32 where those are half of it; with ``examples`` (B,)
        estimated from these, times n / B."""
        value, gradient = self._shared(lambda part: self._sums(part, examples, True), self._own(w))
        scale = 1.0 if examples is None else len(self) / len(examples)
        return (value, gradient) if scale == 1 else (value * scale, gradient * scale)

    def _own(self, w: Tensor) -> Tensor:
        return w.detach().to(self.device, self.task.dtype)

    def _shared(self, work, w: Tensor) -> tuple[Tensor, ...]:
        """The work on all networks, divided among threads where there are enough of them."""
        if self.room is not None:
            with numbers(self.device, tf32=self.precision == "tf32"):
                found = self.room.parts(len(w), lambda part: work(w[part]))
            return tuple(torch.cat(pieces) for pieces in zip(*found, strict=True))
        with one_thread(self.device):
            if self.threads == 1 or len(w) < SHARED:
                return work(w)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads - 1, initializer=torch.set_num_threads, initargs=(1,))
            first, *others = w.chunk(self.threads)
            waiting = [self._pool.submit(work, part) for part in others]
            found = [work(first), *(each.result() for each in waiting)]
            return tuple(torch.cat(pieces) for pieces in zip(*found, strict=True))

    def _sums(self, w: Tensor, examples: Tensor | None, slopes: bool) -> tuple[Tensor, ...]:
        """Summed log-likelihoods (n,) and, with ``slopes``, their gradients (n, P)."""
        value = torch.zeros(len(w), dtype=torch.float64, device=self.device)
        wide = torch.promote_types(w.dtype, torch.float32)  # parts are added without being rounded to a few bits
        gradient = torch.zeros_like(w, dtype=wide) if slopes else None
        for part, chosen, buffers in self._pieces(w, examples):
            found = self._dense(w[part], chosen, slopes) if self._stack else self._module(w[part], chosen, buffers, slopes)
            value[part] -= found[0]
            if slopes:
                gradient[part] -= found[1]
        return (value, gradient) if slopes else (value,)

    def _pieces(self, w: Tensor, examples: Tensor | None) -> Iterator[tuple[slice, slice | Tensor, Buffers | None]]:
        """Networks and examples that go together, and the buffers of those networks."""
        n = len(self) if examples is None else len(examples)
        size, together = self.task.batch or BATCH, 1
        if self._stack:
            size = min(n, EXAMPLES)
            held = 2 * w.element_size() * size * sum(layer.outputs for layer in self._stack.layers)
            together = max(1, ROOM_BYTES // held) if self.room is None else len(w)
        elif self.many:
            together = len(w)
        for i in range(0, len(w), together):
            free = self.task.net.batchnorm and self.buffers is None
            buffers = self.buffers if not free else self._statistics(w[i : i + together])
            for start in range(0, n, size):
                chosen = slice(start, min(start + size, n))
                yield slice(i, i + together), chosen if examples is None else examples[chosen], buffers

    def _dense(self, w: Tensor, examples: slice | Tensor, slopes: bool) -> tuple[Tensor, ...]:
        def loss(outputs: Tensor) -> Tensor:
            return self.task.likelihood.nll(outputs, self.y[examples])

        x = self._columns[:, examples]
        return self._stack.gradients(w, x, loss) if slopes else (self._stack.values(w, x, loss),)

    def _module(self, w: Tensor, examples: slice | Tensor, buffers: Buffers | None, slopes: bool) -> tuple[Tensor, ...]:
        """One network (1, P) that is any module, or all of w (n, P) at once where the module allows it."""
        if self.many:
            return self._modules(w, examples, buffers, slopes)
        leaf = w[0].clone().requires_grad_(slopes)
        with torch.set_grad_enabled(slopes):
            nll = self.task.likelihood.nll(self.task.net(leaf, self.x[examples], buffers), self.y[examples])
            found = (nll.detach().sum(dtype=torch.float64)[None],)
            return (*found, torch.autograd.grad(nll.sum(), leaf)[0][None]) if slopes else found


    def _modules(self, w: Tensor, examples: slice | Tensor, buffers: Buffers | None, slopes: bool) -> tuple[Tensor, ...]:
        leaf = w.detach().clone().requires_grad_(slopes)
        with torch.set_grad_enabled(slopes):
            nll = self.task.likelihood.nll(self.task.net.many(leaf, self.x[examples], buffers), self.y[examples])
            found = (nll.detach().sum(-1, dtype=torch.float64),)
            return (*found, torch.autograd.grad(nll.sum(), leaf)[0]) if slopes else found

    @cached_property
    def many(self) -> bool:
        """Whether several networks that are no stacks of linear layers run at once."""
        net = self.task.net
        return not net.layers and net.at_once(self.x) and net.refused(self.x) is None

    def _statistics(self, w: Tensor) -> Buffers:
        """Of BatchNorm, for one network or for several."""
        if not self.many:
            return self.task.buffers(w[0])
        return self.task.net.estimate_many(w, self.task.batchnorm_batches, None, self.task.own_statistics)


@contextmanager
def one_thread(device: torch.device):
    """One torch thread within, on a CPU: products of small matrices lose by more, and threads of one's own use the cores."""
    outer = torch.get_num_threads()
    if device.type != "cpu" or outer == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(outer)
