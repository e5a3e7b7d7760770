"""Opening a ResNet-56 from a file: its report against a plain pass over the data, a random plane against as many passes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.measure import Row, interleaved, seconds
from landscape.networks.checkpoints import read
from landscape.recipes.inspecting.report import read_all
from landscape.recipes.inspecting.views import pictures, random_plane
from landscape.settings import parse

EXAMPLES, FEW, GRID = 761, 64, 9
REPORT = 1.3  # plain passes (and the load) that the report may cost
ROUNDS = 3
BATCH = 64  # examples of a plain pass at a time; larger batches are slower here


class Block(nn.Module):
    """Two convolutions beside a shortcut that subsamples and pads (He et al. 2016, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.more = (outputs - inputs) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return functional.relu(out + x)


def resnet56() -> nn.Module:
    """The network of He et al. 2016 for small pictures: 0.85 M parameters, 56 layers."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    size = 16
    for outputs in (16, 32, 64):
        for i in range(9):
            layers.append(Block(size, outputs, 2 if i == 0 and outputs > 16 else 1))
            size = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Shelf(SimpleNamespace):
    """A context that keeps what it is given in memory."""

    def __init__(self):
        super().__init__(results={}, weights={}, key="bench")
        self.save, self.load = self.results.__setitem__, self.results.get
        self.save_weights, self.load_weights = self.weights.__setitem__, self.weights.get

    def progress(self, *args, **detail) -> None:
        pass


def rows(home: Path) -> list[Row]:
    """The report on 761 pictures, and 9x9 planes on 64, with stored and with re-estimated BatchNorm statistics."""
    with _environment(LANDSCAPE_ROOTS=str(home), LANDSCAPE_FACTORIES="bench.inspection"):
        module, x = _written(home)
        made = [_report(home, module, x)]
        return made + [_plane(home, module, x[:FEW], how) for how in ("stored", "re-estimated")]


def _written(home: Path) -> tuple[nn.Module, torch.Tensor]:
    """A network with statistics of the data, in a file beside them; the data as it sees them."""
    pixels = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 3, 32, 32), np.uint8)
    x = torch.tensor(pixels / 255, dtype=torch.float32)
    module = resnet56()
    with torch.no_grad():
        module(x[:256])
    torch.save(module.eval().state_dict(), home / "resnet56.pt")
    np.savez(home / "pictures.npz", x=pixels, y=np.arange(EXAMPLES) % 10)
    return module, x


def _settings(home: Path, **given):
    return parse("inspect", {"files": (str(home / "resnet56.pt"),), "network": "bench.inspection:resnet56",
                             "data": str(home / "pictures.npz"), "normalisation": "unit", "grid": GRID,
                             "picture": "exact"} | given)


@torch.no_grad()
def _passed(module: nn.Module, x: torch.Tensor) -> None:
    for start in range(0, len(x), BATCH):
        module(x[start : start + BATCH])


def _report(home: Path, module: nn.Module, x: torch.Tensor) -> Row:
    settings = _settings(home)
    works = {"plain": lambda: seconds(lambda: _passed(module, x)),
             "load": lambda: seconds(lambda: resnet56().load_state_dict(read(home / "resnet56.pt").tensors)),
             "ours": lambda: seconds(lambda: read_all(settings, Shelf()))}
    taken = interleaved(works, ROUNDS)
    allowed = REPORT * taken["plain"] + taken["load"]
    ratio = float(np.median(allowed / taken["ours"]))
    passes = float(np.median((taken["ours"] - taken["load"]) / taken["plain"]))
    return Row(f"open ResNet-56, report on {EXAMPLES} pictures", "inspect", f"{REPORT} plain passes and the load", ratio,
               bar=1.0, met=ratio >= 1, note=f"{passes:.2f} passes and the load")


def _plane(home: Path, module: nn.Module, x: torch.Tensor, how: str) -> Row:
    settings = _settings(home, examples=FEW, batchnorm=how)

    def ours() -> float:
        shelf = Shelf()
        report, family = read_all(settings, shelf)
        return seconds(lambda: pictures(settings, [random_plane(settings, report, family, shelf)], shelf))

    works = {"plain": lambda: GRID * seconds(lambda: [_passed(module, x) for _ in range(GRID)]), "ours": ours}
    taken = interleaved(works, 3)
    ratio = float(np.median(taken["plain"] / taken["ours"]))
    return Row(f"ResNet-56, {GRID}x{GRID} random plane on {FEW} pictures, BatchNorm {how}", "inspect",
               f"{GRID**2} plain passes", ratio, bar=1.0 if how == "stored" else None,
               met=ratio >= 1 if how == "stored" else None, note=f"{GRID**2 / ratio:.0f} passes")


@contextlib.contextmanager
def _environment(**values: str):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
