"""Hessian-vector products: exact answers 3, 5 and 12, the dense Hessian, every kind of network, objective and precision."""

import pytest
import torch
from torch import nn

from landscape.data import load
from landscape.errors import BadInput
from landscape.geometry import curvature, spectrum
from landscape.geometry.curvature import Objective, gradient_equivalents, in_precision
from landscape.networks import Net, build
from landscape.training.losses import Categorical, Gaussian, SquaredError
from landscape.training.task import Task, task_from


def task_of(name="moons", network="mlp", widths=(5, 4), norm="none", activation="tanh", size=60, dtype=torch.float64):
    data = load(name, 0, size)
    net = Net(build(network, data.shape, data.outputs, widths, activation, norm).to(dtype))
    return task_from(data, net, 0.3, dtype=dtype)


def weights_of(task, seed=0, scale=0.5):
    return scale * torch.randn(task.net.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(task, w, penalty=True, buffers=None, split="train"):
    """The whole Hessian, differentiated entry by entry by torch."""
    x, y = task.splits[split]

    def loss(v):
        nll = task.likelihood.nll(task.net(v, x, buffers), y).mean()
        return nll + (task.penalty(v) if penalty else 0)

    return torch.autograd.functional.hessian(loss, w)


CASES = [("moons", "mlp", (5, 4), "none", "tanh"), ("moons", "mlp", (5, 4), "none", "relu"),
         ("moons", "mlp", (6,), "none", "gelu"), ("regression", "mlp", (5, 4), "none", "tanh"),
         ("moons", "mlp", (4,), "batch", "tanh"), ("digits", "conv", (2, 2), "none", "relu"),
         ("digits", "conv", (2, 2), "batch", "gelu"), ("digits", "preresnet8", (2, 2), "group", "relu")]


@pytest.mark.parametrize(("name", "network", "widths", "norm", "activation", "penalty"), [
    *((*case, True) for case in CASES), (*CASES[0], False), (*CASES[5], False)])
def test_products_equal_the_dense_hessian(monkeypatch, name, network, widths, norm, activation, penalty):
    monkeypatch.setattr(curvature, "CHUNK", 23)  # several chunks, the last one shorter
    monkeypatch.setattr(curvature, "BATCH", 23)
    task = task_of(name, network, widths, norm, activation, size=60)
    w = weights_of(task)
    buffers = task.buffers(w) if task.net.batchnorm else None
    hessian = Objective(task, penalty=penalty, buffers=buffers).hessian(w)
    v = torch.randn(3, task.net.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = v @ dense(task, w, penalty, buffers)
    torch.testing.assert_close(hessian(v), expected, rtol=1e-9, atol=1e-11)
    assert len(hessian._kept) == -(-len(task.splits["train"][0]) // 23)
    torch.testing.assert_close(hessian(v[:1]), expected[:1], rtol=1e-9, atol=1e-11)
    assert hessian.products == 4


def test_value_and_gradient_are_those_of_the_objective():
    task = task_of()
    w = weights_of(task)
    for split, penalty, quantity in (("train", True, "loss"), ("test", False, "nll")):
        objective = Objective(task, split, penalty=penalty)
        expected = float(task.evaluate(w[None], split)[quantity])
        assert objective.value(w) == pytest.approx(expected, rel=1e-12)
        value, gradient = objective.gradient(w)
        assert value == pytest.approx(expected, rel=1e-12)
        step = 1e-6 * torch.randn(task.net.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        difference = objective.value(w + step) - objective.value(w - step)
        assert float(2 * gradient @ step) == pytest.approx(difference, rel=1e-4)


def test_a_pass_that_is_not_kept_gives_the_same(monkeypatch):
    task = task_of("digits", "conv", (2, 2), size=60)
    w, v = weights_of(task), torch.ones(1, task.net.size, dtype=torch.float64)
    kept = Objective(task).hessian(w)(v)
    monkeypatch.setattr(curvature, "KEPT_BYTES", 1)
    again = Objective(task).hessian(w)
    torch.testing.assert_close(again(v), kept, rtol=1e-12, atol=1e-14)
    assert again._kept is None


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_float32_is_close_to_float64(network):
    task = task_of("digits", network, (8, 8), activation="relu", size=200, dtype=torch.float32)
    w = weights_of(task, scale=0.2)
    v = torch.randn(2, task.net.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    single, double = Objective(task).hessian(w)(v), Objective(task, dtype=torch.float64).hessian(w.float())(v)
    assert single.dtype == double.dtype == torch.float64
    assert 1e-9 < float((single - double).norm() / double.norm()) < 1e-5
    assert task.net.dtype == task.splits["train"][0].dtype == torch.float32


class Product(nn.Module):
    """f(x) = a b: with a Gaussian likelihood of variance 1, L(a, b) = (ab - 1)^2 / 2 up to a constant."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return (self.a * self.b).expand(len(x), 1)


def test_hessian_of_the_product_valley():
    """Exact answer 3."""
    one = torch.ones(1, 1, dtype=torch.float64)
    hessian = Objective(Task(Net(Product().double()), {"train": (one, one)}, Gaussian(1.0), 0.0)).hessian(
        torch.tensor([2.0, 0.5], dtype=torch.float64))
    torch.testing.assert_close(hessian.dense(), torch.tensor([[0.25, 1], [1, 4]], dtype=torch.float64))
    found = spectrum.eigenvalues(hessian, 2, generator=torch.Generator().manual_seed(0))
    assert found.values.tolist() == pytest.approx([4.25, 0], abs=1e-12)


def test_logistic_regression():
    """Exact answer 12: X'DX / n, with D the variances of the predictions; full-length Lanczos is exact."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=g, dtype=torch.float64)

    class Logistic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(6, dtype=torch.float64))

        def forward(self, x):
            return torch.stack([torch.zeros_like(x[:, 0]), x @ self.w], 1)

    w = torch.randn(6, generator=g, dtype=torch.float64)
    task = Task(Net(Logistic()), {"train": (x, torch.randint(0, 2, (50,), generator=g))}, Categorical(), 0.0)
    p = torch.sigmoid(x @ w)
    exact = x.T @ ((p * (1 - p))[:, None] * x) / 50
    hessian = Objective(task).hessian(w)
    torch.testing.assert_close(hessian.dense(), exact)
    found = spectrum.eigenvalues(hessian, 6, generator=g, tolerance=0)
    assert found.products == 6
    assert found.values.tolist() == pytest.approx(torch.linalg.eigvalsh(exact).flip(0).tolist(), rel=1e-10)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_eigenvalues_and_trace_of_a_network_equal_the_dense_ones(activation):
    task = task_of(activation=activation)
    w, g = weights_of(task), torch.Generator().manual_seed(0)
    for penalty in (True, False):
        objective = Objective(task, penalty=penalty)
        exact = torch.linalg.eigvalsh(dense(task, w, penalty)).flip(0)
        found = spectrum.eigenvalues(objective.hessian(w), 5, generator=g, tolerance=1e-6)
        assert found.converged
        assert found.values.tolist() == pytest.approx(exact[:5].tolist(), rel=1e-5)
        whole = spectrum.trace(objective.hessian(w), generator=g, probes=3 * task.net.size, method="hutch++")
        assert whole.standard_error == 0
        assert whole.value == pytest.approx(float(exact.sum()), rel=1e-9)
    with_penalty = torch.linalg.eigvalsh(dense(task, w, True)) - torch.linalg.eigvalsh(dense(task, w, False))
    torch.testing.assert_close(with_penalty, torch.full_like(with_penalty, 0.3), rtol=1e-8, atol=1e-10)


def test_weights_before_batchnorm_times_c_divide_their_block_by_c_squared():
    """Exact answer 5, with statistics re-estimated for each and held constant."""
    data = load("moons", 0, 60)
    module = nn.Sequential(nn.Linear(2, 4, bias=False), nn.BatchNorm1d(4, eps=1e-12), nn.Tanh(), nn.Linear(4, 2)).double()
    task, c = task_from(data, Net(module), 0.0, dtype=torch.float64), 3.0
    w = weights_of(task) + 1.0
    scaled = torch.cat([c * w[:8], w[8:]])
    blocks = [Objective(task, buffers=task.buffers(v)).hessian(v).dense()[:8, :8] for v in (w, scaled)]
    torch.testing.assert_close(blocks[1], blocks[0] / c**2, rtol=1e-8, atol=1e-12)
    assert float(blocks[0].abs().max()) > 1e-2


def test_a_loss_without_curvature_has_the_hessian_of_the_penalty():
    class Linear(SquaredError):
        def nll(self, outputs, y):
            return outputs.sum(-1)

    for module in (nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0))):
        x = torch.ones(4, 3, dtype=torch.float64)
        task = Task(Net(module.double()), {"train": (x, x)}, Linear(), 0.5)
        hessian = Objective(task).hessian(torch.ones(8, dtype=torch.float64))
        torch.testing.assert_close(hessian.dense(), 0.5 * torch.eye(8, dtype=torch.float64))


def test_attention_has_a_second_derivative():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Linear(2, 12), nn.Linear(4, 2)

        def forward(self, x):
            q, k, v = self.into(x[:, None, None].expand(-1, 1, 3, -1) * torch.arange(1, 4)[:, None]).chunk(3, -1)
            return self.out(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0, -1])

    data = load("moons", 0, 40)
    task = task_from(data, Net(Attends()), 0.0)
    w = weights_of(task)
    found = Objective(task).hessian(w).dense()
    exact = Objective(task, dtype=torch.float64).hessian(w).dense()
    assert float((found - exact).norm() / exact.norm()) < 1e-5


def test_what_is_measured_is_said():
    task = task_of("moons", norm="batch")
    w = weights_of(task)
    assert Objective(task, "test", penalty=False, buffers=task.buffers(w)).said == {
        "split": "test", "examples": len(task.splits["test"][0]), "objective": "nll", "weight_decay": 0.0, "dropout": "off",
        "precision": "float64", "batchnorm": "stored statistics, held constant"}
    assert Objective(task_of()).said["objective"] == "loss"
    assert in_precision(task, torch.float64) is task


def test_bad_input():
    task = task_of("moons", norm="batch")
    with pytest.raises(BadInput, match="BatchNorm"):
        Objective(task)
    objective = Objective(plain := task_of())
    with pytest.raises(BadInput, match=r"found \(3,\)"):
        objective.hessian(torch.zeros(3))
    with pytest.raises(BadInput, match="finite weights"):
        objective.gradient(torch.full((plain.net.size,), float("nan")))
    with pytest.raises(BadInput, match="found shape"):
        objective.hessian(weights_of(plain))(torch.zeros(plain.net.size))
    wide = task_of(widths=(100, 100))
    with pytest.raises(BadInput, match="written out"):
        Objective(wide).hessian(weights_of(wide)).dense()


def test_top_five_of_the_mnist1d_network_within_sixty_gradients():
    """A network of the settings that the app uses, a few epochs old; the cost of a product is measured, by the clock."""
    from landscape.networks.architectures import initial_weights
    from landscape.training import schedules, sgd

    data = load("mnist1d")
    module = build("mlp", data.shape, data.outputs, (100, 100))
    task = task_from(data, Net(module), 1e-3)
    start = initial_weights(module, torch.Generator().manual_seed(0))[None]
    state = sgd.train(task, [0], start, epochs=4, lr=0.2, batch_size=128, momentum=0.9, schedule=schedules.linear)
    assert len(task.splits["train"][0]) == 4000
    hessian = Objective(task).hessian(state.parameters[0])
    found = spectrum.eigenvalues(hessian, 5, generator=torch.Generator().manual_seed(0))
    assert found.converged
    cost = gradient_equivalents(hessian)
    assert 1 + found.products * cost <= 60, (found.products, cost)
    again = spectrum.eigenvalues(Objective(task, dtype=torch.float64).hessian(state.parameters[0]), 5, tolerance=1e-6,
                                 generator=torch.Generator().manual_seed(1))
    assert found.values.tolist() == pytest.approx(again.values.tolist(), rel=1e-3)
