"""Checkpoints of networks of the tests' own, trained for a few steps."""

from __future__ import annotations

import numpy as np
import own_models
import pytest
import torch
from computed import Shop
from sklearn.datasets import load_digits
from torch.nn import functional

from landscape.runs import Library
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.settings import parse


class Workshop:
    """A folder of data and checkpoints that may be read, and a store; ``inspect`` computes a run and gives its results."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        x, y = load_digits(return_X_y=True)
        self.x, self.y = x.reshape(-1, 1, 8, 8).astype(np.uint8), y
        np.savez(folder / "digits.npz", x_train=self.x[:400], y_train=y[:400], x_test=self.x[400:600], y_test=y[400:600])

    def trained(self, factory, seed, steps=60, test=False):
        """A network after a few steps on unit pictures: its state dict."""
        with torch.random.fork_rng():
            torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            module = factory()
            if isinstance(module, own_models.Small):
                module.scale.fill_(2.0)
            x, y = torch.tensor(self.x[:400] / 16, dtype=torch.float32), torch.tensor(self.y[:400])
            optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
            for step in range(steps):
                batch = slice(40 * (step % 10), 40 * (step % 10) + 40)
                optimizer.zero_grad()
                functional.cross_entropy(module(x[batch]), y[batch]).backward()
                optimizer.step()
        return module.eval().state_dict()

    def save(self, name, state) -> str:
        torch.save(state, self.folder / name)
        return str(self.folder / name)

    def loaded(self, factory, path):
        """A module with the weights of a file, as its owner would load it."""
        module = factory()
        module.load_state_dict(torch.load(path, weights_only=True))
        return module.eval()

    def inspect(self, files, **given):
        """``(results by name, settings, key)`` of a finished run."""
        common = {"data": str(self.folder / "digits.npz"), "normalisation": "0;0.062745098", "grid": 7, "line_points": 9,
                  "pair_points": 5}
        settings = parse("inspect", common | {"files": tuple(files)} | given)
        key, status, message = compute_here("inspect", settings, self.home)
        assert status == "done", message
        library = Library(self.home, gallery=None)
        assert identify("inspect", settings).key == key
        return {name: library.result(key, name) for name in library.names(key)}, settings, key

    def test_set(self):
        """The test pictures as the networks were trained to see them, and their labels."""
        mean, std = 0.0, 0.062745098 * 255
        return torch.tensor((self.x[400:600] - mean) / std, dtype=torch.float32), torch.tensor(self.y[400:600])


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A store of valleys, computed when they are asked for."""
    return Shop(tmp_path_factory.mktemp("shop") / "home")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def allowed(workshop):
    """The workshop's folder and models may be read and called, for the tests of one module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDSCAPE_ROOTS", str(workshop.folder))
        patch.setenv("LANDSCAPE_FACTORIES", "own_models")
        yield


@pytest.fixture(scope="session")
def five(workshop):
    """Five checkpoints of the small network: paths."""
    return [workshop.save(f"small{seed}.pt", workshop.trained(own_models.small, seed)) for seed in range(5)]
