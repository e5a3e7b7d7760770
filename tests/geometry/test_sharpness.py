"""Sharpness in a ball, and what a rescaling of ReLU layers changes and does not change."""

import pytest
import torch
from torch import nn

from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.geometry.curvature import Objective
from landscape.geometry.sharpness import scales, sharpness
from landscape.geometry.spectrum import Scaled, eigenvalues, trace
from landscape.geometry.symmetry import rescaled
from landscape.networks import Net, build
from landscape.training.losses import SquaredError
from landscape.training.task import Task, task_from


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Bowl(nn.Module):
    """Outputs w: with the squared error, a quadratic loss whose Hessian is 2 diag(x) / P, the minimum at zero."""

    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return x.sqrt() * self.w


def bowl(curvatures):
    x = torch.tensor([curvatures], dtype=torch.float64) * len(curvatures) / 2
    return Objective(Task(Net(Bowl(len(curvatures)).double()), {"train": (x, torch.zeros_like(x))}, SquaredError(), 0.0))


def test_at_the_minimum_of_a_quadratic_many_steps_find_the_largest_eigenvalue():
    objective, zero = bowl([1.0, 7.0, 3.0]), torch.zeros(3, dtype=torch.float64)
    found = sharpness(objective, zero, 0.2, 60, generator=seeded())
    assert found.rise == pytest.approx(0.5 * 7 * 0.2**2, rel=1e-9)
    assert found.w.abs().tolist() == pytest.approx([0, 0.2, 0], abs=1e-6)
    assert found.base == 0
    assert list(found.rises) == sorted(found.rises)
    with pytest.raises(BadInput, match="exactly zero"):
        sharpness(objective, zero, 0.2)


def test_one_step_goes_along_the_gradient():
    objective, w = bowl([1.0, 7.0, 3.0]), torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    gradient = torch.tensor([1.0, 14.0, -3.0], dtype=torch.float64)
    found = sharpness(objective, w, 0.3)
    torch.testing.assert_close(found.w, w + 0.3 * gradient / gradient.norm())
    assert found.rise == pytest.approx(objective.value(found.w) - objective.value(w))
    unit = w.abs()
    adaptive = sharpness(objective, w, 0.3, scales=unit)
    torch.testing.assert_close(adaptive.w, w + 0.3 * unit**2 * gradient / (unit * gradient).norm())


def test_more_steps_find_no_less_and_the_ball_is_kept():
    task = task_of()
    objective, w = Objective(task), weights_of(task)
    rises = [sharpness(objective, w, 0.1, steps).rise for steps in (1, 3, 8)]
    assert 0 < rises[0] <= rises[1] <= rises[2]
    found = sharpness(objective, w, 0.1, 8)
    assert float((found.w - w).norm()) == pytest.approx(0.1, rel=1e-9)
    random = w + 0.1 * nn.functional.normalize(torch.randn(50, len(w), generator=seeded(), dtype=torch.float64))
    assert found.rise > max(objective.value(v) for v in random) - objective.value(w)


def task_of(widths=(12, 10)):
    data = load("moons", 0, 100)
    module = build("mlp", data.shape, data.outputs, widths, "relu", "none").double()
    return task_from(data, Net(module), 1e-2, dtype=torch.float64)


def weights_of(task):
    return 0.6 * torch.randn(task.net.size, generator=seeded(1), dtype=torch.float64)


@pytest.mark.parametrize("unit", ["weight", "filter"])
def test_rescaling_changes_the_naive_numbers_and_not_the_invariant_ones(unit):
    task = task_of()
    w = weights_of(task)
    other = rescaled(task.net, w, "0", 3.0)
    torch.testing.assert_close(task.net(w, task.splits["test"][0]), task.net(other, task.splits["test"][0]))
    objective = Objective(task, penalty=False)

    def numbers(v, s):
        hessian = objective.hessian(v) if s is None else Scaled(objective.hessian(v), s)
        top = eigenvalues(hessian, 3, generator=seeded(), tolerance=1e-8).values.tolist()
        whole = trace(hessian, generator=seeded(), probes=3 * task.net.size, method="hutch++").value
        return [*top, whole, sharpness(objective, v, 0.05, 3, scales=s).rise]

    naive, changed = numbers(w, None), numbers(other, None)
    assert all(abs(a - b) > 0.05 * abs(a) for a, b in zip(naive, changed, strict=True))
    invariant = numbers(w, scales(task.net, w, unit))
    assert numbers(other, scales(task.net, other, unit)) == pytest.approx(invariant, rel=1e-4)
    with_penalty = [Objective(task).value(v) for v in (w, other)]
    assert abs(with_penalty[0] - with_penalty[1]) > 0.01


def test_units_of_weights():
    task = task_of((3,))
    w = weights_of(task)
    torch.testing.assert_close(scales(task.net, w), w.abs())
    by_filter = scales(task.net, w, "filter")
    first = w[:6].view(3, 2)
    torch.testing.assert_close(by_filter[:6].view(3, 2), first.norm(dim=1, keepdim=True).expand(3, 2))
    torch.testing.assert_close(by_filter[6:9], w[6:9].abs())
    assert scales(task.net, w.float()).dtype == torch.float64
    w[0] = 0
    moved = sharpness(Objective(task), w, 0.1, scales=scales(task.net, w)).w
    assert moved[0] == 0
    assert (moved[1:] != w[1:]).any()
    with pytest.raises(BadInput, match="unit of weights"):
        scales(task.net, w, "layer")


def test_sharpness_says_what_cannot_be():
    objective, w = bowl([1.0, 2.0]), torch.ones(2, dtype=torch.float64)
    for rho, steps in ((0.0, 1), (float("inf"), 1), (0.1, 0)):
        with pytest.raises(BadInput, match="radius above 0"):
            sharpness(objective, w, rho, steps)
    with pytest.raises(BadInput, match="not finite"):
        sharpness(objective, w, 1e200, 3)

    def stop(done, total):
        raise Cancelled(f"{done} of {total}")

    with pytest.raises(Cancelled, match="1 of 4"):
        sharpness(objective, w, 0.1, 4, progress=stop)
