"""Curves: exact answers 3 and 14 of the plan, and the ends of every curve."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from landscape.errors import BadInput
from landscape.geometry.curves import COEFFICIENTS, Curve, connect, initial_bends
from landscape.networks import Net
from landscape.training import schedules, sgd
from landscape.training.task import Task


def test_midpoint_weights():
    half = torch.tensor(0.5, dtype=torch.float64)
    assert COEFFICIENTS["bezier"](half, 3).tolist() == [0.25, 0.5, 0.25]
    assert COEFFICIENTS["chain"](half, 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", COEFFICIENTS)
@pytest.mark.parametrize("points", [2, 3, 4, 5, 7])
def test_coefficients_sum_to_one_and_ends_are_exact(kind, points):
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    c = COEFFICIENTS[kind](t, points)
    torch.testing.assert_close(c.sum(-1), torch.ones(41, dtype=torch.float64))
    assert (c >= 0).all()
    p = torch.randn(points, 9, dtype=torch.float64)
    ends = Curve(p, kind).at(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.equal(ends, p[[0, -1]])


def test_bezier_equals_repeated_interpolation():
    p = torch.randn(5, 3, dtype=torch.float64)
    for t in (0.1, 0.37, 0.9):
        q = p
        while len(q) > 1:
            q = (1 - t) * q[:-1] + t * q[1:]
        torch.testing.assert_close(Curve(p, "bezier").at(torch.tensor(t, dtype=torch.float64)), q[0])


def test_chain_is_the_formula_of_the_paper():
    w1, theta, w2 = torch.randn(3, 4, dtype=torch.float64)
    curve = Curve(torch.stack([w1, theta, w2]), "chain")
    for t in (0.2, 0.5):
        torch.testing.assert_close(curve.at(torch.tensor(t, dtype=torch.float64)), 2 * (t * theta + (0.5 - t) * w1))
    torch.testing.assert_close(curve.at(torch.tensor(0.8, dtype=torch.float64)), 2 * (0.3 * w2 + 0.2 * theta))


def test_initial_bends_divide_the_segment():
    bends = initial_bends(torch.zeros(2), torch.tensor([4.0, 8.0]), 3)
    assert bends.tolist() == [[1, 2], [2, 4], [3, 6]]
    with pytest.raises(BadInput, match="two different ends"):
        initial_bends(torch.ones(2), torch.ones(2), 1)


def loss(a, b):
    return (a * b - 1) ** 2 / 2


def along(points, kind, t):
    return Curve(torch.as_tensor(points, dtype=torch.float64), kind).at(torch.as_tensor(t, dtype=torch.float64)).numpy().T


def test_product_valley():
    """Exact answer 3: L(a, b) = (ab - 1)^2 / 2 between (2, .5) and (.5, 2)."""
    a, b = torch.tensor([2.0, 0.5], dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda w: loss(*w), torch.stack([a, b]))
    torch.testing.assert_close(hessian, torch.tensor([[0.25, 1], [1, 4]], dtype=torch.float64))
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx([0, 4.25], abs=1e-12)
    t = np.linspace(0, 1, 10001)
    assert loss(*along([[2, 0.5], [0.5, 2]], "chain", t)).max() == pytest.approx(0.158203125, abs=1e-12)

    def mean(c):
        return quad(lambda s: float(loss(*along([[2, 0.5], [c, c], [0.5, 2]], "bezier", s))), 0, 1, epsabs=1e-12)[0]

    best = minimize_scalar(mean, bounds=(0.5, 1.0), method="bounded", options={"xatol": 1e-9})
    assert best.x == pytest.approx(0.7589780, abs=1e-6)
    assert best.fun == pytest.approx(2.6403e-5, rel=1e-4)
    assert loss(*along([[2, 0.5], [best.x, best.x], [0.5, 2]], "bezier", t)).max() == pytest.approx(5.9467e-5, rel=1e-3)
    assert loss(*along([[2, 0.5], [-2, -0.5]], "chain", t)).max() >= 0.5 - 1e-12


class Product(torch.nn.Module):
    """f(x) = a b, so that a Gaussian likelihood with unit variance gives L(a, b) up to its constant."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Parameter(torch.tensor(2.0)), torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return (self.a * self.b).expand(len(x), 1)


def test_trained_bend_finds_the_best_one():
    from landscape.training.losses import Gaussian

    x = torch.zeros(1, 1, dtype=torch.float64)
    task = Task(Net(Product().double()), {"train": (x, torch.ones(1, 1, dtype=torch.float64))}, Gaussian(1.0), 0.0)
    ends = torch.tensor([[2.0, 0.5], [0.5, 2.0]], dtype=torch.float64)
    state = connect(task, ["bezier"], ends, 1, 0, batch_size=1, epochs=4000, lr=0.1, momentum=0.9, schedule=schedules.linear)
    assert state.parameters[0, 0].tolist() == pytest.approx([0.7589780, 0.7589780], abs=2e-3)


def test_gradient_of_the_sampled_objective_with_penalty():
    """d/dtheta of the loss at one sampled t is the coefficient times the gradient at that point, penalty included."""
    from landscape.data import load
    from landscape.networks import build
    from landscape.training.task import task_from

    data = load("moons")
    module = build("mlp", data.shape, data.outputs, (5,)).double()
    task = task_from(data, Net(module), 0.3, dtype=torch.float64)
    ends = torch.randn(2, task.net.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = connect(task, ["bezier", "chain"], ends, 2, 7, batch_size=1000, epochs=1, lr=1.0, momentum=0.0,
                    schedule=schedules.constant)
    start = initial_bends(ends[0], ends[1], 2)
    t = torch.rand(1, 2, generator=sgd.generator(7, -2)).double()[0]
    for k, kind in enumerate(("bezier", "chain")):
        c = COEFFICIENTS[kind](t[k], 4)
        w = (c @ torch.cat([ends[:1], start, ends[1:]])).requires_grad_(True)
        x, y = task.splits["train"]
        value = task.likelihood.nll(task.net(w, x), y).mean() + 0.15 * w.square().sum()
        (g,) = torch.autograd.grad(value, w)
        torch.testing.assert_close(start - state.parameters[k], c[1:-1, None] * g, rtol=1e-9, atol=1e-12)
