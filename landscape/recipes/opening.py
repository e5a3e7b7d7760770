"""One network seen from all sides: the metrics of its weights, what it predicts and where it is most wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from landscape.data import Dataset, Split
from landscape.recipes.places import Place, Places
from landscape.results import METRICS, Opened
from landscape.training.losses import Categorical, Gaussian, each_judged
from landscape.training.task import Task

BATCH, DENSE_BATCH = 512, 8192  # examples of one forward pass: of any module, of a stack of linear layers
SHOWN_SET = "test"  # whose examples and predictions are shown
WORST = 24  # examples shown
GRID = 120  # points along each axis of the input plane
LINE = 400  # points along the one input
MARGIN = 0.15  # of the training data's range, on each side
DRAWN = 2000  # training examples drawn with the function
POWERS = 1e-4  # how exactly the features of a line are the powers of the first, relative to the largest


@torch.no_grad()
def opened(places: Places, where: dict) -> Opened:
    """The network at a place (see ``runs.where``), evaluated directly: one forward pass over each set.

    Outputs, targets, ``function`` and ``noise_std`` of a regression are in the raw unit of the targets; metrics are those of
    the task. A network whose outputs are neither classes nor numbers beside the targets has no ``outputs`` (n, 0). A task
    without a test set shows its training set.
    """
    started = time.perf_counter()
    place, task, dataset = places.at(where), places.task, places.dataset
    values, outputs, nll = judged(task, place)
    distances = {name: float((place.w.double() - w.to(place.w.device, torch.float64)).norm())
                 for name, w in places.networks.items()}
    shown = getattr(dataset, SHOWN_SET if SHOWN_SET in task.splits else "train")
    predictions, targets = _predictions(dataset, shown, outputs)
    info = {
        "title": place.title, "task": dataset.name, "kind": dataset.kind, "view": dataset.view,
        "classes": list(dataset.classes), "n": {split: len(x) for split, (x, _) in task.splits.items()},
        "batchnorm": place.batchnorm, "norm": float(place.w.double().norm()), "parameters": task.net.size, "residual": 0.0,
    }
    if isinstance(task.likelihood, Gaussian):
        info["noise_std"] = task.likelihood.variance**0.5 * _spread(dataset)
    function = _regions(places, place) or _line(places, place)
    return Opened(dict(where), values, distances, predictions, targets, _worst(dataset, shown, nll), function,
                  info | {"seconds": time.perf_counter() - started})


def judged(task: Task, place: Place) -> tuple[dict[str, float], Tensor, np.ndarray]:
    """``(values, outputs (n, ...), nll (n,))``: metrics of ``results.METRICS``; outputs and NLL of the set that is shown."""
    penalty = float(task.penalty(place.w.double()))
    values, outputs, nll = {}, torch.empty(0), np.empty(0)
    splits = [split for split in ("train", SHOWN_SET) if split in task.splits]
    for split in splits:
        outputs, losses, error = _passed(task, place, split, keep=split == splits[-1])
        nll = losses.cpu().numpy()
        mean = float(losses.mean())
        values |= {f"{split}_nll": mean, f"{split}_loss": mean + penalty, f"{split}_error": error}
    return {name: values[name] for name in METRICS if name in values}, outputs, nll


def predicted(task: Task, place: Place, x: Tensor) -> Iterator[Tensor]:
    """Outputs of the network on x (n, *shape), batch by batch."""
    size = DENSE_BATCH if task.net.layers else BATCH
    return (task.net(place.w, x[i : i + size], place.buffers) for i in range(0, len(x), size))


def _passed(task: Task, place: Place, split: str, keep: bool) -> tuple[Tensor, Tensor, float]:
    """``(outputs, NLL of every example (n,) float64, error)`` of one pass over a set; outputs are empty unless kept."""
    x, y = task.splits[split]
    outputs, losses, errors, start = [], [], torch.zeros(()), 0
    for out in predicted(task, place, x):
        target = y[start : start + len(out)]
        nll, error = each_judged(task.likelihood, out, target)
        losses.append(nll)
        errors = errors + error.sum().cpu()
        outputs += [out.cpu()] if keep else []
        start += len(out)
    return torch.cat(outputs) if keep else torch.empty(0), torch.cat(losses), float(task.likelihood.combine(errors / len(x)))


def _predictions(dataset: Dataset, shown: Split, outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities or means, and the targets beside them."""
    outputs, y = outputs.float(), shown.y
    if dataset.kind == "classification" and outputs.ndim == 2:
        return outputs.softmax(-1).numpy(), y
    if dataset.kind == "regression" and tuple(outputs.shape) == y.shape:
        return _raw_targets(dataset, outputs.numpy()), _raw_targets(dataset, y)
    return np.empty((len(outputs), 0), np.float32), y


def _worst(dataset: Dataset, shown: Split, nll: np.ndarray) -> dict[str, np.ndarray]:
    """The examples of the largest NLL, worst first; one that is not a number comes before all."""
    index = np.argsort(-np.nan_to_num(nll, nan=np.inf, posinf=np.inf), kind="stable")[:WORST]
    return {"index": index, "x": dataset.raw(shown.x[index]), "nll": nll[index]}


def _regions(places: Places, place: Place) -> dict[str, np.ndarray]:
    """Class probabilities on a grid over the plane of the inputs; empty for any other kind of input."""
    dataset = places.dataset
    if dataset.shape != (2,) or not isinstance(places.task.likelihood, Categorical):
        return {}
    axes = [_range(dataset.train.x[:, i], GRID) for i in range(2)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    logits = torch.cat(list(predicted(places.task, place, _input(places, grid))))
    raw = dataset.raw(np.stack(axes, -1))
    drawn = dataset.train.rows(slice(DRAWN))
    probabilities = logits.float().softmax(-1).cpu().numpy().reshape(GRID, GRID, -1)
    return {"x": raw[:, 0], "y": raw[:, 1], "probabilities": probabilities,
            "train_x": dataset.raw(drawn.x), "train_y": drawn.y}


def _line(places: Places, place: Place) -> dict[str, np.ndarray]:
    """The fitted function of one input, whose features are its powers; empty for anything else."""
    dataset = places.dataset
    if dataset.kind != "regression" or dataset.view != "line" or dataset.outputs != 1:
        return {}
    drawn = dataset.train.rows(slice(DRAWN))
    raw = dataset.raw(drawn.x).astype(np.float64)
    powers = np.arange(1, raw.shape[1] + 1)
    if not np.allclose(raw, raw[:, :1] ** powers, atol=POWERS * np.abs(raw).max()):
        return {}  # the first feature does not say what the others are
    x = _range(dataset.raw(dataset.train.x)[:, 0], LINE)
    mean, std = (np.asarray(dataset.normalisation[name], np.float64) for name in ("mean", "std"))
    features = (x[:, None] ** powers - mean) / std
    means = torch.cat(list(predicted(places.task, place, _input(places, features)))).cpu().numpy()
    return {"x": x.astype(np.float32), "mean": _raw_targets(dataset, means)[:, 0], "train_x": raw[:, 0].astype(np.float32),
            "train_y": _raw_targets(dataset, drawn.y)[:, 0]}


def _range(values: np.ndarray, count: int) -> np.ndarray:
    """``count`` points over the range of the values and a margin, float64."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, count)


def _input(places: Places, x: np.ndarray) -> Tensor:
    return torch.tensor(x).to(places.task.splits["train"][0])


def _raw_targets(dataset: Dataset, y: np.ndarray) -> np.ndarray:
    mean, std = (np.asarray(dataset.normalisation.get(f"target_{name}", default), np.float64)
                 for name, default in (("mean", 0.0), ("std", 1.0)))
    return (y * std + mean).astype(np.float32)


def _spread(dataset: Dataset) -> float:
    """How many raw units of the targets a unit of the task is (of the first one, if they differ)."""
    return float(np.asarray(dataset.normalisation.get("target_std", 1.0)).reshape(-1)[0])
