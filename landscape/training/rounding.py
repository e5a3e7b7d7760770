"""What a lower precision did to a training, in numbers and in words: what ``gradients.Compared`` logged on its way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from landscape.networks.accelerator import in_words
from landscape.training.gradients import FIGURES
from landscape.training.sgd import State
from landscape.training.task import Task

TRUSTED = 0.1  # of the noise: beside it, errors a tenth as large make steps deviate by half a percent more


@dataclass(frozen=True)
class Rounding:
    """What ``Compared`` has found in a training of ``networks`` at ``steps`` steps: shares, all measured gradients alike.

    ``gradient`` is the median of ``train_gradient_error`` and ``worst`` the largest, ``noise`` and ``loss`` are the medians
    of the others, ``noise`` None where batches are too small to tell. ``of_noise`` is the error as a share of the noise
    beside it (of the gradient where that is not known), the median over the steps of the network where that is largest.
    """

    what: str
    precision: str
    device: str
    networks: int
    steps: int
    gradient: float
    worst: float
    noise: float | None
    loss: float
    of_noise: float

    @property
    def trusted(self) -> bool:
        """Whether rounding drowns in the noise that stochastic gradients have anyway."""
        return math.isfinite(self.worst) and self.of_noise <= TRUSTED

    @property
    def values(self) -> dict[str, Any]:
        return told(self, TRUSTED)

    @property
    def said(self) -> str:
        """In words, with a warning where rounding is not small beside the noise."""
        where, at = in_words(self.precision, self.device), f"at {self.steps} step{'s' * (self.steps > 1)}"
        off = (f"gradients off by {_percent(self.gradient)} (median; worst {_percent(self.worst)}) {at}"
               if math.isfinite(self.worst) else f"gradients not finite everywhere {at}, while they are in float32")
        noise = "" if self.noise is None else f", where the batches' own noise is {_percent(self.noise)}"
        said = (f"{self.what} trained in {where}, weights and sums in float32: {off}{noise}; losses off by "
                f"{_percent(self.loss)}.")
        scale = "gradient" if self.noise is None else "noise"
        doubt = (f" WARNING: in one network rounding is {_percent(self.of_noise)} of that {scale} (median over its steps; "
                 f"limit {_percent(TRUSTED)}), so it has a say in where training goes. Choose training_precision=float32.")
        return said + doubt * (not self.trusted)


def rounding(task: Task, values: dict[str, np.ndarray], what: str = "Networks") -> dict[str, dict[str, Any]]:
    """``{"rounding": Rounding.values}`` of a training of ``task`` from its log (K, E); nothing where nothing was compared.

    ``what`` was trained, as a sentence begins with it.
    """
    error, noise, loss = (values.get(name, np.zeros((0, 0))) for name in FIGURES)
    known = ~np.isnan(error)
    if not known.any():
        return {}
    scale = np.where(np.isnan(noise), 1.0, noise)
    share = np.divide(error, scale, out=np.where(error == 0, 0.0, np.inf), where=(scale > 0) & (error > 0))
    heard = not np.isnan(noise[known]).all()
    found = Rounding(
        what, task.training_precision, task.splits["train"][0].device.type, int(known.any(1).sum()), int(known.any(0).sum()),
        float(np.median(error[known])), float(error[known].max()), float(np.nanmedian(noise[known])) if heard else None,
        float(np.median(loss[known])), max(float(np.median(own[here])) for own, here in zip(share, known, strict=True)
                                           if here.any()))
    return {"rounding": found.values}


def logged(state: State) -> dict[str, np.ndarray]:
    """The log of a training, (K, E) each."""
    return {metric: torch.stack(log, dim=1).numpy() for metric, log in state.log.items()}


def told(found: Any, limit: float) -> dict[str, Any]:
    """What was measured as results keep it, JSON: numbers that are not finite are None; whether it is trusted; in words."""
    plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in asdict(found).items()}
    return plain | {"trusted": found.trusted, "limit": limit, "said": found.said}


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 1 else f"{100 * share:.0f}%"
