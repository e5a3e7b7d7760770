"""Small tasks on a device, for tests that run with and without a GPU."""

from __future__ import annotations

import copy

import torch
from torch import nn

from landscape.data import load
from landscape.geometry.subspace import Subspace, plane
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.training import schedules, sgd
from landscape.training.task import Task, task_from

NETWORKS = [("mlp", "none"), ("conv", "none"), ("conv", "batch"), ("conv", "group")]
OPTIONS = {"epochs": 2, "batch_size": 40, "lr": 0.05, "momentum": 0.9, "schedule": schedules.linear}


def task_of(network: str = "mlp", norm: str = "none", device: str = "cpu", together: bool | None = None) -> Task:
    data = load("digits", 0, 120)
    module = build(network, data.shape, data.outputs, (16, 16) if network == "mlp" else (4, 8), "tanh", norm=norm)
    return task_from(data, Net(module, together).to(device), 1e-3, device=device, batchnorm_examples=60)


def plane_of(task: Task) -> Subspace:
    g = torch.Generator().manual_seed(0)
    return plane(*(0.2 * torch.randn(3, task.net.size, generator=g, dtype=torch.float64)))


def trained(task: Task, seeds: tuple[int, ...] = (0, 1, 2), **more) -> sgd.State:
    like = task.splits["train"][0]
    module = copy.deepcopy(task.net.module).cpu()
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in seeds]).to(like)
    return sgd.train(task, list(seeds), starts, **OPTIONS | more)


class Words(nn.Module):
    """Tokens (B, T) to logits (B, T, 7), with attention."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(7, 6), nn.Linear(6, 7)

    def forward(self, x):
        h = self.table(x)
        return self.out(torch.tanh(nn.functional.scaled_dot_product_attention(h, h, h)))


class Undecided(nn.Module):
    """Looks at its own numbers, so it cannot run for several networks at once."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        h = self.out(x.flatten(1))
        return h if float(h.detach().sum()) > 1e9 else torch.tanh(h)
