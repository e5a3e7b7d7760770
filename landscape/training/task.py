"""A task: what a weight vector is judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.data import Dataset
from landscape.networks.net import Buffers, Net, row
from landscape.training.losses import Categorical, Gaussian, Likelihood, summed

CHUNK_BYTES = 64 * 2**20
LARGE = 2**22  # weights from which on no copies of a network are made


@dataclass(frozen=True, eq=False)
class Task:
    """Net + data + likelihood + weight decay.

    ``splits`` maps ``train``, ``validation`` and ``test`` to tensors (x, y). ``penalty`` is half weight decay times the
    squared norm; ``loss`` is nll + penalty, the objective that is trained. ``batch`` is how many examples a module that is
    no stack of linear layers is given at a time (None: as many as there are, or as the evaluator likes). With
    ``own_statistics`` the one batch for BatchNorm is the test set itself (nothing else was given): a network is then
    judged with the statistics of the very examples it is judged on. ``precision`` is what surfaces and densities of
    posteriors are computed in, empty for that of the data: ``tf32`` or ``bfloat16`` (see ``geometry.precision``); single
    networks are judged as ever. ``training_precision`` is what networks and curves are trained in (``accelerator.mixed``).
    """

    net: Net
    splits: dict[str, tuple[Tensor, Tensor]]
    likelihood: Likelihood
    weight_decay: float
    batchnorm_batches: tuple[Tensor, ...] = ()
    batch: int | None = None
    own_statistics: bool = False
    precision: str = ""
    training_precision: str = ""

    @property
    def dtype(self) -> torch.dtype:
        """The numbers networks compute with: those of the inputs, or of the weights where inputs are tokens."""
        x = self.splits["train"][0]
        return x.dtype if x.is_floating_point() else self.net.dtype

    def penalty(self, w: Tensor) -> Tensor:
        """Half weight decay times the squared norm, (N,) for w (N, P)."""
        return 0.5 * self.weight_decay * w.square().sum(-1)

    def buffers(self, w: Tensor, given: Buffers | None = None, re_estimate: bool = True) -> Buffers | None:
        """Buffers for one w (P,): statistics re-estimated on the fixed training batches, or those given."""
        if not self.net.batchnorm or not re_estimate:
            return given
        return self.net.estimate_batchnorm(w, list(self.batchnorm_batches), given, biased=self.own_statistics)

    @torch.no_grad()
    def evaluate(self, w: Tensor, split: str, buffers: Buffers | None = None) -> dict[str, Tensor]:
        """``{"nll", "error", "penalty", "loss"}`` on a split, each (N,) float64 for w (N, P).

        With BatchNorm and no buffers given, statistics are re-estimated for every weight vector.
        """
        x, y = self.splits[split]
        sums = torch.zeros(2, len(w), dtype=torch.float64, device=x.device)  # fetched once, at the end
        per_network = max(1, CHUNK_BYTES // (4 * len(x) * _widest(self.net, x)))
        step = 1 if self.net.batchnorm or (x.is_cuda and not self.net.layers) else per_network
        for i in range(0, len(w), step):
            part = w[i : i + step]
            own = buffers
            if self.net.batchnorm:
                own = self.buffers(part[0]) if buffers is None else row(buffers, i, self.net)
            for start, stop in self.batches(len(x)):
                if self.net.batchnorm:
                    outputs = self.net(part[0], x[start:stop], own)[None]
                else:
                    outputs = self.net(part, x[start:stop], own)
                sums[:, i : i + step] += summed(self.likelihood, outputs, y[start:stop])
        nll, error = sums.cpu() / len(x)
        penalty = self._penalty(w)
        return {"nll": nll, "error": self.likelihood.combine(error), "penalty": penalty, "loss": nll + penalty}

    def _penalty(self, w: Tensor) -> Tensor:
        """``penalty`` in float64 on the CPU; of large networks without a copy of them."""
        if w.shape[-1] <= LARGE:
            return self.penalty(w.double()).cpu()
        rows = [sum(part.double().square().sum().cpu() for part in row.split(LARGE)) for row in w]
        return 0.5 * self.weight_decay * torch.stack(rows)

    def batches(self, examples: int) -> list[tuple[int, int]]:
        """(start, stop) of what the net is given at a time."""
        size = examples if self.net.layers or not self.batch else self.batch
        return [(i, min(i + size, examples)) for i in range(0, examples, size)]

    def log_likelihood(self, w: Tensor) -> Tensor:
        """The SUM of log-likelihoods over the training data, (N,), nats."""
        return -self.evaluate(w, "train")["nll"] * len(self.splits["train"][0])


def task_from(dataset: Dataset, net: Net, weight_decay: float, noise_variance: float = 0.05, device="cpu",
              dtype=torch.float32, batchnorm_examples: int = 1000) -> Task:
    """The task of a dataset: tensors on the device, the likelihood of its kind, one fixed batch for BatchNorm."""
    splits = {}
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        # Copies: numpy's memory may start anywhere, and matrix products differ in the last bit with its alignment.
        x, y = torch.tensor(split.x, device=device, dtype=dtype), torch.tensor(split.y, device=device)
        splits[name] = (x, y.to(dtype) if y.is_floating_point() else y.long())
    likelihood = Categorical() if dataset.kind == "classification" else Gaussian(noise_variance)
    return Task(net, splits, likelihood, weight_decay, (splits["train"][0][:batchnorm_examples],))


def _widest(net: Net, x: Tensor) -> int:
    """Numbers the widest layer holds for one example: what one network costs in memory."""
    widths = [layer.outputs for layer in net.layers] if net.layers else [math.prod(x.shape[1:])]
    return max(1, *widths)
