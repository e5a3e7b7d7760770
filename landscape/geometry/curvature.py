"""The objective over a whole split as a function of the weights: value, gradient, and products with its Hessian."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.errors import BadInput
from landscape.geometry.pearlmutter import Pass
from landscape.geometry.precision import cast_buffers, in_precision
from landscape.geometry.products import MOST, TRIED, Products, directional
from landscape.geometry.spectrum import BATCH as PROBES
from landscape.networks.accelerator import numbers
from landscape.networks.net import Buffers
from landscape.training.task import Task

CHUNK = 1000  # examples of one pass through a stack of linear layers, fewer through very wide ones
WIDE = 2**20  # numbers that one layer holds for a chunk
BATCH = 256  # examples of one pass through another module, unless its task says otherwise
KEPT_BYTES = 2**29  # of passes that are kept between products; where they take more, they are made anew each time
DENSE = 4000  # parameters up to which the whole Hessian is written out


class Objective:
    """The mean NLL on a split, with ``penalty`` plus half weight decay times the squared norm: what was trained.

    Everything is summed over the whole split in chunks, in ``dtype`` (default the task's) within a chunk and in float64
    between them. Dropout is off. BatchNorm normalises with the statistics in ``buffers``, constants that do not move with
    the weights; a network with BatchNorm needs them given (``task.buffers(w)`` re-estimates them for w). ``together``: the
    Hessian multiplies several vectors at once (``geometry.products``); default on a GPU, and not on a CPU.
    """

    def __init__(self, task: Task, split: str = "train", *, penalty: bool = True, buffers: Buffers | None = None,
                 dtype: torch.dtype | None = None, together: bool | None = None):
        if task.net.batchnorm and buffers is None:
            raise BadInput("The curvature of a network with BatchNorm depends on its statistics, and none were given. Give "
                           "those of its training, or re-estimated ones: buffers=task.buffers(w).")
        self.task = in_precision(task, dtype or task.dtype)
        self.split, self.dtype = split, self.task.dtype
        self.weight_decay = task.weight_decay if penalty else 0.0
        self.x, self.y = self.task.splits[split]
        self.device, self.size = self.x.device, task.net.size
        self.buffers = cast_buffers(buffers, self.dtype)
        self.together = self.device.type == "cuda" if together is None else together

    @property
    def said(self) -> dict:
        """What the numbers are numbers of: data, loss, mode and precision, for the line under a table."""
        return {
            "split": self.split, "examples": len(self.x), "objective": "loss" if self.weight_decay else "nll",
            "weight_decay": self.weight_decay, "dropout": "off", "precision": str(self.dtype).removeprefix("torch."),
            "batchnorm": "stored statistics, held constant" if self.task.net.batchnorm else "none",
        }

    def chunks(self) -> list[slice]:
        """The examples of one pass."""
        size = self.task.batch or BATCH
        if self.task.net.layers:
            size = max(1, min(CHUNK, WIDE // max(layer.outputs for layer in self.task.net.layers)))
        return [slice(i, i + size) for i in range(0, len(self.x), size)]

    def nll(self, w: Tensor, part: slice) -> Tensor:
        """A chunk's share of the mean NLL: a scalar that can be differentiated by w (P,)."""
        return self.of_outputs(self.task.net(w, self.x[part], self.buffers), part)

    def of_outputs(self, outputs: Tensor, part: slice) -> Tensor:
        """The same from the outputs on the chunk."""
        return self.task.likelihood.nll(outputs, self.y[part]).sum() / len(self.x)

    @torch.no_grad()
    def value(self, w: Tensor) -> float:
        """The objective at w (P,), nats per example; NaN or infinite where it is."""
        own, value = self.own(w), torch.zeros((), dtype=torch.float64, device=self.device)  # fetched once, at the end
        with numbers(self.device):
            for part in self.chunks():
                value += self.nll(own, part)
        return float(value) + self._penalty(w)

    def gradient(self, w: Tensor) -> tuple[float, Tensor]:
        """The objective and its gradient (P,), float64, at w (P,)."""
        leaf = self.own(w).requires_grad_(True)
        value, total = (torch.zeros(shape, dtype=torch.float64, device=self.device) for shape in ((), self.size))
        with torch.enable_grad(), numbers(self.device):
            for part in self.chunks():
                nll = self.nll(leaf, part)
                total += torch.autograd.grad(nll, leaf)[0]
                value += nll.detach()
        return float(value) + self._penalty(w), total.add_(w.to(total), alpha=self.weight_decay)

    def hessian(self, w: Tensor) -> Hessian:
        """The second derivatives at w (P,), as something to multiply vectors with."""
        return Hessian(self, w)

    def own(self, w: Tensor) -> Tensor:
        """w (P,) in memory of this objective's own, with its precision and device."""
        if w.shape != (self.size,):
            raise BadInput(f"Curvature is that of one network with {self.size:,} weights, shape ({self.size},); found "
                           f"{tuple(w.shape)}.")
        if not bool(w.isfinite().all()):
            raise BadInput("Curvature needs finite weights, and this network has NaN or infinite ones. Did its training "
                           "diverge?")
        return w.detach().to(device=self.device, dtype=self.dtype, copy=True)

    def _penalty(self, w: Tensor) -> float:
        return 0.5 * self.weight_decay * float(w.double().square().sum())


class Hessian:
    """The Hessian of an objective at w (P,), never written out: ``hessian(v)`` is H v, (K, P) float64 for v (K, P).

    Stacks of linear layers: tangents of one pass that is kept, all vectors side by side (``pearlmutter``). Other modules:
    the gradient's graph, differentiated once for each vector; kept between products while it takes less than
    ``KEPT_BYTES``. Where w sits on a kink of a ReLU, the second derivative there counts as zero, as everywhere in torch.
    ``products`` counts the vectors multiplied so far. With an objective that is ``together`` vectors go at once
    (``several``, see ``geometry.products``), best ``at_once`` of them; ``refused`` says why a module's cannot.
    """

    def __init__(self, objective: Objective, w: Tensor):
        self.objective, self.size, self.device, self.dtype = objective, objective.size, objective.device, objective.dtype
        self.w = objective.own(w)
        self.products = 0
        self._kept: list[Callable[[Tensor], Tensor]] | None = None
        with numbers(self.device):
            self.refused = self._tried() if objective.together else None
        self.several = Products(objective, self.w) if objective.together and self.refused is None else None
        self.at_once = PROBES if self.several is None else MOST

    def __call__(self, v: Tensor) -> Tensor:
        if v.ndim != 2 or v.shape[1] != self.size:
            raise BadInput(f"The Hessian multiplies vectors (K, {self.size}); found shape {tuple(v.shape)}.")
        total = self.objective.weight_decay * v.to(self.device, torch.float64)
        self.products += len(v)
        if self.several is not None:
            return total.add_(self.several(v))
        given = v.to(self.device, self.dtype)
        with numbers(self.device):
            for product in self._passes():
                total += product(given)
        return total

    def dense(self) -> Tensor:
        """All of it, (P, P) float64, for small networks; symmetric up to rounding."""
        if self.size > DENSE:
            raise BadInput(f"The whole Hessian of {self.size:,} weights has {self.size**2:,} entries; up to {DENSE:,} "
                           "weights are written out. Ask for its largest eigenvalues and its trace instead.")
        unit = torch.eye(self.size, dtype=torch.float64, device=self.device)
        return torch.cat([self(rows) for rows in unit.split(32)])

    def _tried(self) -> str | None:
        """Why vectors cannot go at once, None if they can: two are multiplied on a few examples, and one by one as well."""
        if self.objective.task.net.layers:
            return None
        part = slice(0, TRIED)
        v = torch.stack([torch.ones_like(self.w), self.w])
        expected = self._graph(part)[0](v)
        try:
            found = directional(self.objective, self.w, part, v)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a foreign forward raises: its vectors then go one by one
            return f"several vectors at once could not be multiplied: {type(error).__name__}"
        off = (found - expected).double().norm()
        same = bool(off <= torch.finfo(self.dtype).eps ** 0.5 * expected.double().norm())
        return None if same else "several vectors at once do not give the products of each"

    def _passes(self):
        """What multiplies a chunk's share of the Hessian, for one chunk after the other."""
        if self._kept is not None:
            yield from self._kept
            return
        kept, held, parts = [], 0, self.objective.chunks()
        for part in parts:
            made, size = self._stack(part) if self.objective.task.net.layers else self._graph(part)
            held += size
            if held <= KEPT_BYTES:
                kept.append(made)
            yield made
        self._kept = kept if len(kept) == len(parts) else None

    def _stack(self, part: slice) -> tuple[Callable[[Tensor], Tensor], int]:
        layers, x = self.objective.task.net.layers, self.objective.x[part]
        made = Pass(layers, self.w, x, lambda outputs: self.objective.of_outputs(outputs, part))
        return made.product, x.element_size() * len(x) * sum(4 * layer.outputs for layer in layers)

    def _graph(self, part: slice) -> tuple[Callable[[Tensor], Tensor], int]:
        leaf, sizes = self.w.clone().requires_grad_(True), {}

        def weigh(saved: Tensor) -> Tensor:
            sizes[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
            return saved

        # The fused kernels of attention have no second derivative; the plain one does.
        weighed = torch.autograd.graph.saved_tensors_hooks(weigh, lambda saved: saved)
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), weighed:
            (gradient,) = torch.autograd.grad(self.objective.nll(leaf, part), leaf, create_graph=True)

        def product(v: Tensor) -> Tensor:
            if not gradient.requires_grad:  # an objective that is linear in the weights
                return torch.zeros_like(v)
            return torch.stack([torch.autograd.grad(gradient, leaf, row, retain_graph=True)[0] for row in v])

        return product, sum(sizes.values())


def gradient_equivalents(hessian: Hessian, repeats: int = 5) -> float:
    """How many full gradients one product with the Hessian takes, by the clock: the median of ``repeats`` of each."""
    v = torch.ones(1, hessian.size, dtype=torch.float64, device=hessian.device)
    ratios = []
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        hessian.objective.gradient(hessian.w)
        between = time.perf_counter()
        hessian(v)
        if repeat:  # the first one warms up
            ratios.append((time.perf_counter() - between) / (between - started))
    return median(ratios) if ratios else math.nan

