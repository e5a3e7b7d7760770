"""Large networks: a surface holds a few vectors of their size, however many points it has, wherever directions lie."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from landscape import ROOT
from landscape.data import load
from landscape.geometry.subspace import PIECE, Subspace, mapped
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.training.losses import Categorical
from landscape.training.task import Task, task_from

# A network of 9 million weights on a plane. Memory of its own (not the pages of files that are mapped) is watched by a
# thread; what the libraries keep for themselves was 70 MB.
SCRIPT = """
import json, sys, threading, time
import numpy as np, torch
from torch import nn
from landscape.geometry.subspace import Subspace, mapped
from landscape.geometry.surface import Evaluator
from landscape.networks import Net
from landscape.training.losses import Categorical
from landscape.training.task import Task

where, folder, side = sys.argv[1], sys.argv[2], int(sys.argv[3])

def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

with torch.device("meta"):
    module = nn.Sequential(nn.Linear(1500, 3000), nn.ReLU(), nn.Linear(3000, 1500))
g = torch.Generator().manual_seed(0)
x, y = torch.randn(4, 1500, generator=g), torch.arange(4)
small = Evaluator(Task(Net(nn.Sequential(nn.Linear(3, 2))), {"train": (x[:, :3], y % 2)}, Categorical(), 0.0),
                  Subspace(torch.zeros(8), torch.eye(8)[:2]), ("train",), way="module")
small(np.zeros((2, 2)))  # what the program itself takes
base, peak, watching = held(), 0, True

def watch():
    global peak
    while watching:
        peak = max(peak, held())
        time.sleep(0.002)

threading.Thread(target=watch, daemon=True).start()
net = Net(module.to_empty(device="cpu").requires_grad_(False))
del module
size = net.size
if where == "disk":
    plane = mapped(np.load(folder + "/origin.npy", mmap_mode="r"), np.load(folder + "/basis.npy", mmap_mode="r"))
else:
    origin, basis = torch.empty(size), torch.empty(2, size, dtype=torch.bfloat16)
    drawn = torch.randn(3, 2**17, generator=g)
    for i in range(0, size, 2**17):
        origin[i : i + 2**17] = 0.02 * drawn[0, : size - i]
        basis[:, i : i + 2**17] = 0.002 * drawn[1:, : size - i]
    plane = Subspace(origin, basis)
task = Task(net, {"train": (x, y)}, Categorical(), 1e-4)
z = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 2), -1).reshape(-1, 2)
found = Evaluator(task, plane, ("train",), threads=2)(z)["train_loss"]
watching = False
print(json.dumps({"bytes": peak - base, "size": size, "points": len(found),
                  "finite": bool(np.isfinite(found).all()), "different": len(set(found.tolist()))}))
"""

# Vectors in float32: the net's own (which a call never reads), one a thread; where they are held, origin in float32 and two
# directions in bfloat16.
MOST = {"memory": 5, "disk": 3}


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_plane_of_a_large_network_holds_a_few_vectors(where, tmp_path):
    if where == "disk":
        size = 1500 * 3000 + 3000 + 3000 * 1500 + 1500
        for name, shape in (("origin", (size,)), ("basis", (2, size))):
            made = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, shape)
            made.reshape(-1)[:] = np.resize(np.random.default_rng(0).normal(0, 0.01, 100_003), made.size)
            made.flush()
    side = 5 if where == "disk" else 3
    done = subprocess.run([sys.executable, "-c", SCRIPT, where, str(tmp_path), str(side)], capture_output=True, text=True,
                          cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["points"] == side**2
    assert told["finite"]
    assert told["different"] == side**2
    assert told["bytes"] <= 4 * told["size"] * MOST[where] + 100e6, told


def task_of(network, widths):
    data = load("digits", 0, 60)
    return task_from(data, Net(build(network, data.shape, data.outputs, widths)), 1e-3)


def test_pieces_give_the_weights_of_the_whole():
    g = torch.Generator().manual_seed(0)
    size = 2 * PIECE + 77
    sub = Subspace(*(torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((size,), (3, size))))
    z = torch.randn(2, 3, generator=g, dtype=torch.float64)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert torch.equal(sub.lifted(z, dtype), sub.lift(z).to(dtype))
        assert torch.equal(sub.lifted(z[1], dtype), sub.lift(z[1]).to(dtype))
    vectors = torch.cat([sub.origin[None], sub.basis]).numpy()
    np.testing.assert_allclose(sub.squares, vectors @ vectors.T, rtol=1e-9)


@pytest.mark.parametrize(("network", "widths"), [("mlp", (16, 16)), ("conv", (4, 8))])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_plane_in_files_gives_the_values_of_the_plane(network, widths, kind, tmp_path):
    task, g = task_of(network, widths), np.random.default_rng(0)
    origin, basis = (0.2 * g.normal(size=task.net.size)).astype(kind), g.normal(size=(2, task.net.size)).astype(kind)
    for name, array in (("origin", origin), ("basis", basis)):
        np.save(tmp_path / f"{name}.npy", array)
    z = g.normal(size=(9, 2)) * 0.1
    held = Subspace(torch.tensor(origin.astype(np.float64)), torch.tensor(basis.astype(np.float64)))
    there = mapped(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("origin", "basis")))
    for way in (None, "module", "together"):
        expected, found = (Evaluator(task, sub, ("train",), way=way)(z) for sub in (held, there))
        for metric, values in expected.items():
            np.testing.assert_array_equal(found[metric], values)
    w = there.lift(torch.tensor(z))
    np.testing.assert_allclose(there.project(w).numpy(), z, atol=1e-9)
    assert there.residual(w).max() < 1e-9


def test_a_large_stack_of_layers_is_evaluated_one_by_one(monkeypatch):
    monkeypatch.setattr("landscape.geometry.ways.LARGE", 1000)
    task = task_of("mlp", (16, 16))
    sub = Subspace(torch.zeros(task.net.size), torch.eye(task.net.size)[:2])
    evaluator = Evaluator(task, sub, ("train",))
    assert evaluator.said["kind"] == "module"
    assert "one vector" in evaluator.said["words"]
    z = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(evaluator(z)["train_nll"], Evaluator(task, sub, ("train",), way="batched")(z)["train_nll"],
                               rtol=1e-6)


def test_threads_do_not_hold_a_copy_of_the_net_each():
    net = Net(nn.Linear(3, 2))
    task = Task(net, {"train": (torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))}, Categorical(), 0.0)
    Evaluator(task, Subspace(torch.zeros(8), torch.eye(8)[:2]), ("train",), way="module")(np.zeros((1, 2)))
    copies = [net._module(mode) for mode in ("evaluation", "training", "statistics")]
    assert all(copy is not net.module for copy in copies)
    assert {p.data_ptr() for copy in copies for p in copy.parameters()} == {p.data_ptr() for p in net.module.parameters()}
