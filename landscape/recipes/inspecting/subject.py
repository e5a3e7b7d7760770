"""What is inspected: the network the files belong to, the data it is judged by, and the task the two make."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from landscape import catalog
from landscape.data import Dataset
from landscape.data.prepared import Prepared, Wanted, prepared
from landscape.data.splits import stratified_order, stream
from landscape.errors import BadInput
from landscape.geometry.precision import PRECISIONS
from landscape.networks.accelerator import LOWER
from landscape.networks.factories import factory
from landscape.networks.foreign import module_for
from landscape.networks.matching import Match, match
from landscape.networks.net import Net
from landscape.networks.probe import Probe, probed
from landscape.recipes.inspecting.files import own_folders
from landscape.recipes.training import device
from landscape.settings_inspect import Inspect
from landscape.training.choice import NAMES, chosen
from landscape.training.losses import Likelihood
from landscape.training.task import Task

BATCHNORM = 5  # the random stream that chooses examples for BatchNorm
STATISTICS_BYTES = 2**29  # of the widest layer, for the examples that statistics are estimated from at a time


@dataclass(frozen=True, eq=False)
class Subject:
    """``module`` has the structure and precision of the files; ``task.net`` is it on the device and in the precision asked
    for, with the buffers of the first file. ``splits`` are the sets that are judged, ``loss`` the name of the loss used."""

    module: nn.Module
    prepared: Prepared
    task: Task
    probe: Probe
    splits: tuple[str, ...]
    loss: str

    @property
    def dataset(self) -> Dataset:
        return self.prepared.dataset

    @property
    def batchnorm(self) -> bool:
        return self.task.net.batchnorm

    @property
    def examples(self) -> int:
        """Examples of one evaluation, all sets together."""
        return sum(len(self.task.splits[split][0]) for split in self.splits)

    def buffers(self, found: Match) -> dict[str, Tensor] | None:
        """The buffers of a file where the task is; None for a network without any."""
        like, known = self.task.splits["train"][0], self.task.net.buffers
        return {name: found.buffers[name].to(like.device, b.dtype) for name, b in known.items()} or None

    def weights(self, w: Tensor) -> Tensor:
        """Weights as the task computes with them."""
        return w.to(self.task.splits["train"][0].device, self.task.dtype)


def data_of(s: Inspect) -> Prepared:
    """The data as the settings want them prepared."""
    return prepared(Wanted(s.data, s.normalisation, s.channels, s.loss, s.data_seed, s.train_size, s.label_noise, s.split,
                           s.examples))


def subject(s: Inspect, tensors: dict[str, Tensor], found: Prepared | None = None) -> Subject:
    """The subject of the settings, its network read off or fitted to the tensors of the first file."""
    found = data_of(s) if found is None else found
    dataset = found.dataset
    outputs = dataset.outputs if dataset.kind in ("classification", "regression") else 0
    module = module_for(s.network, json.loads(s.arguments), tensors, dataset.shape, outputs, s.activation, own_folders())
    first = match(module, tensors)
    where, precision = device(s.device), PRECISIONS[s.precision]
    net = Net(_with_buffers(module, first)).to(where, precision)
    x, y = (torch.tensor(values, device=where) for values in (dataset.test.x, dataset.test.y))
    x = x.to(precision) if x.is_floating_point() else x
    probe = probed(net, first.w.to(where, precision), x)
    name = loss_name(s, dataset)
    likelihood = chosen(name, probe.outputs, y, s.noise_variance, None if name in NAMES else factory(name))
    task = _task(s, net, likelihood, found, (x, y), probe)
    splits = ("train", "test") if s.split == "both" and found.own_train else ("test",)
    return Subject(module, found, task, probe, splits, name)


def loss_name(s: Inspect, dataset: Dataset) -> str:
    """The loss of the settings; ``auto`` is cross-entropy for classes, for numbers the one they were trained with here."""
    if s.loss != "auto":
        return s.loss
    if dataset.kind == "classification":
        return "cross-entropy"
    return "gaussian" if s.data in catalog.TASKS else "mse"


def _with_buffers(module: nn.Module, found: Match) -> nn.Module:
    """A copy of the module with the buffers of a file."""
    made = copy.deepcopy(module)
    with torch.no_grad():
        for name, buffer in made.named_buffers():
            buffer.copy_(found.buffers[name])
    return made


def _task(s: Inspect, net: Net, likelihood: Likelihood, found: Prepared, test: tuple[Tensor, Tensor], probe: Probe) -> Task:
    splits = {"train": test, "test": test}
    if found.own_train:
        x, y = (torch.tensor(values, device=test[0].device) for values in (found.dataset.train.x, found.dataset.train.y))
        splits["train"] = (x.to(test[0].dtype), y)
    made = {id(x): x.contiguous(memory_format=probe.layout) if x.ndim == 4 else x for x, _ in splits.values()}
    splits = {name: (made[id(x)], y.to(net.dtype) if y.is_floating_point() else y) for name, (x, y) in splits.items()}
    batches = _statistics(s, splits["train"], probe) if net.batchnorm else ()
    own = not found.own_train and len(batches) == 1 and batches[0] is splits["test"][0]
    lower = s.precision if s.precision in LOWER else ""
    return Task(net, splits, likelihood, s.weight_decay, batches, probe.batch, own, lower)


def _statistics(s: Inspect, train: tuple[Tensor, Tensor], probe: Probe) -> tuple[Tensor, ...]:
    """Fixed examples for BatchNorm: the first of sets that are shuffled, a stratified choice of those from files.

    One batch, whose statistics are exact, unless the widest layer would take too much memory.
    """
    x, y = train
    count = min(s.batchnorm_examples, len(x))
    if count < 2:
        raise BadInput("BatchNorm statistics need at least 2 examples to be re-estimated; found 1. Give more, or choose "
                       "batchnorm=stored.")
    if count < len(x) and s.data not in catalog.TASKS:
        order = stratified_order(y.cpu().numpy() if not y.is_floating_point() else y.float().cpu().numpy(),
                                 stream(0, BATCHNORM))[:count]
        x = x[torch.tensor(order, device=x.device)]
    at_once = int(max(2, STATISTICS_BYTES // max(1.0, probe.widest)))
    parts = -(-count // at_once)
    if count == len(x) and parts == 1:
        return (x,)
    return tuple(x[:count].tensor_split(parts))


