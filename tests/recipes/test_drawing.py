"""How far a picture is while it is drawn."""

import torch

from landscape.geometry.subspace import Subspace
from landscape.networks import Net, build
from landscape.recipes import planes
from landscape.recipes.planes import Plane, draw
from landscape.training.losses import Categorical
from landscape.training.task import Task


class Watched:
    """A context that keeps what it is told."""

    def __init__(self):
        self.shares, self.saved = [], []

    def load(self, name):
        return None

    def save(self, name, result):
        self.saved.append(int(result.evaluated.sum()))

    def progress(self, stage, done, total, **detail):
        self.shares.append(done / total)


def test_a_picture_is_not_done_before_its_last_cell_however_many_it_takes(monkeypatch):
    monkeypatch.setattr(planes, "EXPECTED_SHARE", 0.01)
    g = torch.Generator().manual_seed(0)
    net = Net(build("mlp", (2,), 3, (8,)))
    x, y = torch.randn(60, 2, generator=g), torch.randint(0, 3, (60,), generator=g)
    task = Task(net, {"train": (x, y), "test": (x, y)}, Categorical(), 1e-3)
    directions = torch.linalg.qr(torch.randn(net.size, 2, generator=g, dtype=torch.float64)).Q.T
    origin = torch.randn(net.size, generator=g, dtype=torch.float64)
    marks = [("a", "mark", origin), ("b", "mark", origin + directions[0]), ("c", "mark", origin + directions[1])]
    context = Watched()
    for _ in draw(Plane("p", "Plane", task, Subspace(origin, directions), marks), context, 33, 0.5, "adaptive", 0.2):
        pass
    *before, last = context.shares
    assert context.saved[-1] > 0.01 * 33 * 33
    assert max(before) < 1
    assert last == 1
