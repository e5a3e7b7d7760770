"""Averages of predictions: the members of an ensemble go through one at a time and are forgotten."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.networks.net import Buffers, row, stack
from landscape.training.losses import Categorical, Gaussian, SquaredError
from landscape.training.task import CHUNK_BYTES, Task


class Ensemble:
    """K ensembles that grow together, judged on one split.

    The predictive distribution is the mean of the members' (class probabilities, or a mixture of Gaussians); its NLL is
    minus the log of the mean likelihood of a target, its error that of the mean probabilities or means. For squared
    errors, which are no likelihood, both are those of the mean output. Only sums are held: (K, n) and (K, n, C) float64.
    """

    def __init__(self, task: Task, split: str):
        if not isinstance(task.likelihood, Categorical | Gaussian | SquaredError):
            raise BadInput("Predictions can be averaged for classification (cross-entropy) and regression (gaussian, mse); "
                           f"found the loss {type(task.likelihood).__name__.lower()}.")
        self.task, self.split = task, split
        self.members = 0
        self._log_likelihood = self._sum = torch.empty(0)

    @torch.no_grad()
    def add(self, w: Tensor, buffers: Buffers | None = None) -> dict[str, Tensor]:
        """One more member for each of the K ensembles, w (K, P); its own ``{"nll", "error"}``, each (K,) float64.

        With BatchNorm and no ``buffers`` (K, ...), statistics are re-estimated. Weights that are not finite make their
        ensemble's values NaN.
        """
        likelihood, (x, y) = self.task.likelihood, self.task.splits[self.split]
        if self.members and len(w) != len(self._sum):
            raise ValueError(f"expected one member for each of {len(self._sum)} ensembles, found {len(w)}")
        outputs = self._outputs(w.to(self.task.dtype).to(x.device), x, buffers).double()
        nll = likelihood.nll(outputs, y)
        prediction = outputs.softmax(-1) if isinstance(likelihood, Categorical) else outputs
        if self.members:
            self._log_likelihood = torch.logaddexp(self._log_likelihood, -nll)
            self._sum = self._sum + prediction
        else:
            self._log_likelihood, self._sum = -nll, prediction
        self.members += 1
        return self._judged(nll, prediction)

    def scores(self) -> dict[str, Tensor]:
        """``{"nll", "error"}`` of the members so far together, each (K,) float64."""
        mean = self.predictions()
        y = self.task.splits[self.split][1]
        if isinstance(self.task.likelihood, SquaredError):
            return self._judged(self.task.likelihood.nll(mean, y), mean)
        return self._judged(-(self._log_likelihood - torch.tensor(float(self.members)).double().log()), mean)

    def predictions(self) -> Tensor:
        """The mean class probabilities (K, n, C), or means (K, n, D), float64."""
        if not self.members:
            raise BadInput("An ensemble needs at least one member, and none has been collected. Choose a schedule that "
                           "collects snapshots, or train longer.")
        return self._sum / self.members

    def _judged(self, nll: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        likelihood, y = self.task.likelihood, self.task.splits[self.split][1]
        error = likelihood.combine(likelihood.error(prediction, y).mean(1))
        finite = prediction.isfinite().flatten(1).all(1)
        return {"nll": nll.mean(1).cpu(), "error": torch.where(finite, error, torch.nan).cpu()}

    def _outputs(self, w: Tensor, x: Tensor, buffers: Buffers | None) -> Tensor:
        net = self.task.net
        if net.batchnorm and buffers is None:
            buffers = stack([self.task.buffers(v) for v in w])
        if not net.layers:
            return torch.stack([
                torch.cat([net(v, x[a:b], row(buffers, i, net) if buffers else None) for a, b in self.task.batches(len(x))])
                for i, v in enumerate(w)])
        size = max(1, CHUNK_BYTES // (4 * len(w) * max(layer.outputs for layer in net.layers)))
        return torch.cat([net(w, part, buffers) for part in x.split(size)], dim=1)


def by_size(task: Task, members: Iterable[Tensor], split: str) -> dict[str, Tensor]:
    """Ensembles of the first 1, 2, ... T members, each (K, P): ``member_*`` and ``ensemble_*`` (T, K) of nll and error.

    What fast geometric ensembling is judged by (Garipov et al. 2018, section 5.2), and the prediction average of the
    snapshots whose weights SWA averages. BatchNorm statistics are re-estimated for every member.
    """
    ensemble, found = Ensemble(task, split), {}
    for w in members:
        for kind, values in (("member", ensemble.add(w)), ("ensemble", ensemble.scores())):
            for metric, value in values.items():
                found.setdefault(f"{kind}_{metric}", []).append(value)
    if not found:
        ensemble.predictions()
    return {name: torch.stack(values) for name, values in found.items()}
