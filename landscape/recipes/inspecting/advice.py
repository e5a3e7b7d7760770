"""What to do about a file that does not fit, and about a network that is no better than one that knows nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from landscape.data.prepared import NORMALISATIONS
from landscape.networks.matching import Match
from landscape.recipes.inspecting.files import Family
from landscape.recipes.inspecting.report import Report
from landscape.recipes.inspecting.subject import Subject, data_of
from landscape.settings_inspect import Inspect
from landscape.training.losses import Categorical

LIKE_CHANCE = 0.8  # share of the error of guessing from which a network looks like one that guesses
BETTER = 0.7  # share of its error to which another preparation must bring it to be worth naming
TRIED = 256  # examples on which other preparations are tried


def advice(report: Report, s: Inspect, family: Family) -> list[str]:
    """What does not fit, what is not finite, and what to try where a network is no better than one that knows nothing."""
    said = []
    for row in report.rows:
        if row["not_finite"]:
            said.append(f"{row['file']} has NaN or infinite numbers in {_some(row['not_finite'])}: its training diverged, "
                        "or the file is damaged. It is left out of everything below.")
        elif not row["usable"]:
            said.append(f"{row['file']} does not fill the network: {_some({**row['missing'], **row['mismatched']})} missing "
                        "or of another shape, so its loss is partly that of initial weights and it is left out of "
                        "everything below. Check --network and its arguments.")
    _, error = report.subject.task.likelihood.chance(report.subject.task.splits["test"][1])
    poor = [i for i in report.usable if report.rows[i]["error"] >= LIKE_CHANCE * error]
    if poor:
        names = _some({report.rows[i]["file"]: 1 for i in poor})
        said.append(f"{names} {'is' if len(poor) == 1 else 'are'} hardly better than a network that knows nothing "
                    f"(error {report.rows[poor[0]]['error']:.3g}, chance {error:.3g}). "
                    f"{_what_to_try(report, s, family, poor[0])}")
    return said


def _what_to_try(report: Report, s: Inspect, family: Family, i: int) -> str:
    """The other ways to prepare the data, tried on the first examples; the usual reasons where none is better."""
    was, fitted = report.rows[i]["error"], family.matched(i)
    better = sorted((error, how) for how, error in _tried(report.subject, s, fitted) if error < BETTER * was)
    labels = _relabelled(report, i)
    said = [f"With {how} the error is {error:.3g}: run it again with that." for error, how in better[:1]]
    if labels is not None and labels < BETTER * was:
        said.append(f"If the classes were numbered in another order the error could be {labels:.3g}: compare the order of "
                    "the labels with the one in training.")
    if not said:
        said.append("Check the normalisation (values from 0 to 1? mean and deviation of the training set?), the order of "
                    "labels, the order of colour channels, and that the statistics of BatchNorm were saved (eval mode is "
                    "used here).")
    return " ".join(said)


def _tried(subject: Subject, s: Inspect, fitted: Match, limit: int = TRIED) -> Iterator[tuple[str, float]]:
    """(setting, error) for each other preparation the data allow, on a few examples."""
    changes = [{"normalisation": n} for n in NORMALISATIONS if n != s.normalisation] if subject.loss != "causal" else []
    if subject.dataset.view == "image" and subject.dataset.shape[0] == 3:
        changes.append({"channels": "BGR" if s.channels == "RGB" else "RGB"})
    task, w = subject.task, subject.weights(fitted.w)
    for change in changes:
        other = data_of(s.model_copy(update={**change, "examples": min(limit, s.examples or limit)})).dataset.test
        x, y = (torch.tensor(v, device=w.device) for v in (other.x, other.y))
        yield "{}={}".format(*next(iter(change.items()))), _error(subject, w, x.to(task.dtype), y, subject.buffers(fitted))
    if subject.batchnorm:
        x, y = (v[:limit] for v in task.splits["test"])
        yield "BatchNorm statistics re-estimated", _error(subject, w, x, y, task.buffers(w, subject.buffers(fitted)))


@torch.no_grad()
def _error(subject: Subject, w: Tensor, x: Tensor, y: Tensor, buffers) -> float:
    task = subject.task
    errors = [task.likelihood.error(task.net(w, x[a:b], buffers), y[a:b]).double() for a, b in task.batches(len(x))]
    return float(task.likelihood.combine(torch.cat(errors).mean().cpu()))


def _relabelled(report: Report, i: int) -> float | None:
    """The smallest error that renumbering the classes could reach: an assignment of predicted to true classes."""
    from scipy.optimize import linear_sum_assignment

    if not isinstance(report.subject.task.likelihood, Categorical) or i not in report.predictions:
        return None
    said, y = report.predictions[i].numpy(), report.subject.task.splits["test"][1].cpu().numpy()
    classes = int(max(said.max(), y.max())) + 1
    if classes > 2000 or len(y) < 5 * classes:
        return None
    counts = np.zeros((classes, classes))
    np.add.at(counts, (said, y), 1)
    return 1 - float(counts[linear_sum_assignment(-counts)].sum()) / len(y)


def _some(names: dict) -> str:
    """The first names, and how many more."""
    shown = list(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
