"""Planes and their evaluator: exact answers 2, anchors on every task, batched equal to one by one, refinement."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch

from landscape import catalog
from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.geometry import refine
from landscape.geometry.curves import Curve
from landscape.geometry.precision import in_precision
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.training import schedules, sgd
from landscape.training.losses import Gaussian
from landscape.training.task import Task, task_from


def task_of(name, network="mlp", widths=(16, 16), norm="none", dtype=torch.float32, activation="relu"):
    data = load(name, 0, 200)
    module = build(network, data.shape, data.outputs, widths, activation, norm=norm).to(dtype)
    return task_from(data, Net(module), 1e-3, dtype=dtype)


def points_of(task, n=3, scale=0.2):
    g = torch.Generator().manual_seed(0)
    w = scale * torch.randn(n, task.net.size, generator=g, dtype=torch.float64)
    return w.to(task.splits["train"][0].dtype)


def test_plane_axes_are_distances_from_the_first_point():
    w = torch.randn(3, 50, dtype=torch.float64)
    sub = plane(*w)
    z = sub.project(w)
    assert z[0].abs().max() < 1e-12
    assert z[1, 0] == pytest.approx(float((w[1] - w[0]).norm()))
    assert abs(z[1, 1]) < 1e-12
    assert z[2, 1] > 0
    torch.testing.assert_close(torch.cdist(z, z), torch.cdist(w, w))
    torch.testing.assert_close(sub.basis @ sub.basis.T, torch.eye(2, dtype=torch.float64))
    assert sub.residual(w).max() < 1e-12
    z = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(sub.project(sub.lift(z)), z)
    away = sub.lift(z) + 3 * torch.linalg.svd(sub.basis)[2][-1]
    torch.testing.assert_close(sub.residual(away), torch.full((5,), 3.0, dtype=torch.float64))


def test_angle_between_the_raw_directions():
    w = torch.zeros(3, 4)
    w[1, 0], w[2, 0], w[2, 1] = 2, 1, 1
    assert plane(*w).angle == pytest.approx(45)


@pytest.mark.parametrize("third", [[2.0, 2.0, 2.0], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [float("nan"), 0, 0]])
def test_three_points_on_a_line_are_no_plane(third):
    with pytest.raises(BadInput, match="plane needs three"):
        plane(torch.zeros(3), torch.ones(3), torch.tensor(third))


CASES = [(t, "mlp", "none", "relu") for t in catalog.TASKS] + [
    ("moons", "mlp", "batch", "relu"), ("digits", "mlp", "none", "gelu"), ("digits", "mlp", "none", "tanh"),
    ("digits", "conv", "none", "relu"), ("digits", "conv", "batch", "relu"), ("digits", "preresnet8", "batch", "relu"),
    ("digits", "preresnet8", "group", "relu")]


@pytest.mark.parametrize(("name", "network", "norm", "activation"), CASES)
def test_surface_at_its_marks_equals_direct_evaluation(name, network, norm, activation):
    task = task_of(name, network, (8, 8) if network == "mlp" else (4, 8), norm, activation=activation)
    w = points_of(task)
    sub = plane(*w)
    drawn = Evaluator(task, sub)(sub.project(w).numpy())
    for split in ("train", "test"):
        direct = task.evaluate(w, split)
        for quantity in ("nll", "loss"):
            np.testing.assert_allclose(drawn[f"{split}_{quantity}"], direct[quantity].numpy(), rtol=1e-5)
        np.testing.assert_allclose(drawn[f"{split}_error"], direct["error"].numpy(), atol=1e-5)


@pytest.mark.parametrize(("network", "norm"), [("mlp", "none"), ("mlp", "batch"), ("conv", "batch"), ("conv", "group")])
def test_many_points_equal_one_by_one_in_float64(network, norm):
    task = task_of("digits", network, (8, 8), norm, torch.float64)
    sub = plane(*points_of(task))
    z = np.random.default_rng(0).normal(size=(37, 2))
    drawn = Evaluator(task, sub, threads=2)(z)
    for i in (0, 17, 36):
        w = sub.lift(torch.from_numpy(z[i]))
        x, y = task.splits["test"]
        expected = task.likelihood.nll(task.net(w, x, task.buffers(w)), y).mean()
        assert drawn["test_nll"][i] == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize(("network", "way"), [("mlp", None), ("mlp", "together"), ("conv", "folded"), ("conv", "module"),
                                               ("conv", "together")])
def test_small_losses_keep_their_digits_whoever_computes_them(network, way):
    """Networks that are sure of what they say: at such losses a softmax in float32 is off by more than the anchor allows."""
    task = task_of("digits", network, (32, 32) if network == "mlp" else (8, 8))
    starts = torch.stack([initial_weights(task.net.module, sgd.generator(seed, 0)) for seed in range(3)])
    state = sgd.train(task, [0, 1, 2], starts, epochs=60, batch_size=20, lr=0.02, momentum=0.9, schedule=schedules.linear)
    sure = 1.2 * state.parameters
    sub = plane(*sure)
    found = Evaluator(task, sub, ("train",), way=way)(sub.project(sure).numpy())["train_nll"]
    true = in_precision(task, torch.float64).evaluate(sure.double(), "train")["nll"].numpy()
    assert true.max() < 0.001
    np.testing.assert_allclose(found, true, rtol=1e-5)
    np.testing.assert_allclose(task.evaluate(sure, "train")["nll"].numpy(), true, rtol=1e-5)


def test_values_do_not_depend_on_company_or_threads():
    task = task_of("digits", widths=(32, 32))
    sub = plane(*points_of(task))
    z = np.random.default_rng(0).normal(size=(41, 2))
    whole = Evaluator(task, sub, threads=2)(z)
    parts = [Evaluator(task, sub, threads=1)(z[i : i + 7]) for i in range(0, 41, 7)]
    for metric, values in whole.items():
        assert np.array_equal(values, np.concatenate([p[metric] for p in parts]))


def test_quadratic_loss_is_an_exact_quadratic_form_on_every_plane_and_a_quartic_along_a_bezier():
    """Exact answer 2, with a linear model and a Gaussian likelihood."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=g, dtype=torch.float64)
    y = torch.randn(40, 1, generator=g, dtype=torch.float64)
    task = Task(Net(torch.nn.Sequential(torch.nn.Linear(5, 1)).double()), {"train": (x, y)}, Gaussian(0.5), 0.2)
    w = torch.randn(3, 6, generator=g, dtype=torch.float64)
    sub = plane(*w)
    design = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], 1)
    hessian = design.T @ design / (40 * 0.5) + 0.2 * torch.eye(6, dtype=torch.float64)

    def objective(v):
        return task.likelihood.nll((design @ v)[:, None], y).mean() + 0.1 * v.square().sum()

    z = torch.randn(20, 2, generator=g, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(objective, sub.origin)
    form = objective(sub.origin) + z @ (sub.basis @ gradient) + 0.5 * ((z @ (sub.basis @ hessian @ sub.basis.T)) * z).sum(1)
    np.testing.assert_allclose(Evaluator(task, sub, ("train",))(z.numpy())["train_loss"], form.numpy(), rtol=1e-12)
    t = torch.linspace(0, 1, 31, dtype=torch.float64)
    values = task.evaluate(Curve(w, "bezier").at(t), "train")["loss"].numpy()
    quartic = np.polynomial.Polynomial.fit(t.numpy(), values, 4)
    np.testing.assert_allclose(quartic(t.numpy()), values, rtol=1e-10)
    a, directions = 0.3, torch.randn(200_000, 6, generator=g, dtype=torch.float64)
    rises = a * directions @ gradient + 0.5 * a**2 * ((directions @ hessian) * directions).sum(1)
    standard_error = float(rises.std() / len(rises) ** 0.5)
    assert float(rises.mean()) == pytest.approx(float(a**2 * hessian.trace() / 2), abs=3 * standard_error)


def test_affine_subspace_of_any_dimension():
    task = task_of("moons", dtype=torch.float64)
    w = points_of(task, 4)
    sub = Subspace(w[0], w[1:])
    z = np.random.default_rng(0).normal(size=(5, 3))
    direct = task.evaluate(sub.lift(torch.from_numpy(z)), "train")["nll"].numpy()
    np.testing.assert_allclose(Evaluator(task, sub, ("train",))(z)["train_nll"], direct, rtol=1e-10)


def test_cancel_stops_the_evaluator():
    task = task_of("digits", widths=(32, 32))
    calls = []

    def stop(done, total):
        calls.append(done)
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        Evaluator(task, plane(*points_of(task)))(np.zeros((500, 2)), stop)
    assert len(calls) == 1
    assert calls[0] < 500


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_progress_grows_until_every_point_is_done(threads):
    task, told = task_of("moons", widths=(8,)), []
    evaluator = Evaluator(task, plane(*points_of(task)), threads=threads)
    evaluator(np.zeros((700, 2)), lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (700, 700)
    assert len(told) > 1


@pytest.mark.parametrize("here", [True, False])
def test_what_fails_in_one_thread_stops_all_and_is_raised(here):
    """Whether it is the thread that asked or another one; an IndexError, with which a queue would tell that it is empty."""
    task, asked = task_of("moons", widths=(8,)), []
    evaluator = Evaluator(task, plane(*points_of(task)), threads=2)
    points, both = evaluator._points, threading.Barrier(2)

    def failing(z):
        asked.append(len(z))
        if len(asked) <= 2:
            both.wait(10)
            if (threading.current_thread() is threading.main_thread()) == here:
                raise IndexError("no such tile")
            time.sleep(0.2)
        return points(z)

    evaluator._points = failing
    with pytest.raises(IndexError, match="no such tile"):
        evaluator(np.zeros((2000, 2)))
    assert len(asked) == 2


def valley(shape=(97, 73)):
    x, y = np.meshgrid(np.linspace(-2, 2, shape[0]), np.linspace(-1.5, 1.5, shape[1]), indexing="ij")
    return 0.5 + 1.5 * (x**2 + y**2 - 1) ** 2 / (1 + 0.3 * x)


def drawn(truth, channel, walk):
    picture = refine.Picture(truth.shape, {"nll": channel})
    asked = np.zeros(truth.shape, int)
    for cells in walk(picture):
        asked[tuple(cells.T)] += 1
        picture.put(cells, {"nll": truth[tuple(cells.T)]})
    assert asked.max() == 1
    return picture


def test_exact_walk_asks_for_every_cell_once_coarse_first():
    picture = drawn(valley(), refine.Channel(2.5, 0.005, 0.0), refine.exact)
    coarse = refine.Picture((97, 73), {"nll": refine.Channel(2.5, 0.005, 0.0)})
    walk = refine.exact(coarse)
    for _ in range(2):
        cells = next(walk)
        assert np.isfinite(coarse.values["nll"]).all() == coarse.evaluated.any()
        coarse.put(cells, {"nll": valley()[tuple(cells.T)]})
    assert picture.evaluated.all()
    assert np.array_equal(picture.values["nll"], valley())
    first = next(refine.exact(refine.Picture((97, 73), {"nll": refine.Channel(1, 0.1)})))
    assert len(first) == 7 * 6


def test_adaptive_picture_is_within_its_tolerance_for_a_fraction_of_the_cells():
    truth = valley()
    channel = refine.Channel(2.5, 0.005, 0.0)
    picture = drawn(truth, channel, refine.adaptive)
    error = channel.distance(picture.values["nll"], truth, channel.span(truth))
    assert np.percentile(error, 99) <= 0.005
    assert picture.evaluated.mean() < 0.15
    assert 0 < picture.measured["nll"] <= 0.005
    assert picture.held_out == refine.HELD_OUT
    assert np.array_equal(picture.values["nll"][picture.evaluated], truth[picture.evaluated])


def test_adaptive_walk_evaluates_what_cannot_be_interpolated():
    truth = np.random.default_rng(0).uniform(size=(33, 33))
    picture = drawn(truth, refine.Channel(1.0, 0.01), refine.adaptive)
    assert picture.evaluated.all()
    assert picture.measured == {"nll": 0.0}


def canyon(shape=(97, 97)):
    """A narrow curved valley between walls of ten thousand, most of it above the colour range."""
    x, y = np.meshgrid(np.linspace(-2, 2, shape[0]), np.linspace(-2, 2, shape[1]), indexing="ij")
    return 0.1 + 10 * (y - 0.6 * np.sin(2 * x)) ** 2 + np.exp(2.5 * (x**2 + y**2 - 4))


def test_a_narrow_valley_gets_the_cells_and_not_what_is_above_the_colour_range():
    truth, channel = canyon(), refine.Channel(2.5, 0.005, 0.0)
    picture = drawn(truth, channel, refine.adaptive)
    error = channel.distance(picture.values["nll"], truth, channel.span(truth))
    assert np.percentile(error, 99) <= 0.005
    assert picture.evaluated.mean() < 0.15
    assert picture.evaluated[truth < 2.5].mean() > 2 * picture.evaluated[truth > 10].mean()


def test_steps_are_found_beside_a_smooth_loss():
    x, y = np.meshgrid(np.linspace(-2, 2, 65), np.linspace(-2, 2, 65), indexing="ij")
    truth = {"nll": np.exp(-(x**2) - y**2), "error": np.round(4 / (1 + np.exp(-6 * (x + 0.3 * y)))) / 4}
    channels = {"nll": refine.Channel(1.0, 0.005, 0.0), "error": refine.Channel(1.0, 0.02, stepped=True)}
    picture = refine.Picture((65, 65), channels)
    for cells in refine.adaptive(picture):
        picture.put(cells, {m: v[tuple(cells.T)] for m, v in truth.items()})
    for m, channel in channels.items():
        off = channel.distance(picture.values[m], truth[m], channel.span(truth[m]))
        assert np.percentile(off, 98) <= channel.tolerance
    cliffs = np.abs(np.diff(truth["error"], axis=0, append=truth["error"][-1:])) > 0
    assert picture.evaluated[cliffs].mean() > 2 * picture.evaluated[~cliffs].mean()
    assert picture.knots.sum() < picture.evaluated.sum()


def test_the_same_values_give_the_same_cells_and_bits():
    one, other = (drawn(canyon(), refine.Channel(2.5, 0.005, 0.0), refine.adaptive) for _ in range(2))
    assert np.array_equal(one.evaluated, other.evaluated)
    assert one.values["nll"].tobytes() == other.values["nll"].tobytes()


def test_non_finite_cells_stay_non_finite_and_do_not_spread():
    truth = valley((33, 33))
    truth[4, 4], truth[5, 5] = np.inf, np.nan
    picture = drawn(truth, refine.Channel(2.5, 0.01, 0.0), refine.adaptive)
    known = picture.evaluated
    assert np.array_equal(picture.values["nll"][known], truth[known], equal_nan=True)
    assert np.isfinite(picture.values["nll"][~known]).all()


@pytest.mark.parametrize("shape", [(5, 5), (6, 9), (51, 40), (97, 97), (100, 73)])
def test_levels_are_nested_and_end_with_every_cell(shape):
    steps = refine.strides(shape)
    assert steps[-1] == 1
    for n in shape:
        for coarse, fine in itertools.pairwise(steps):
            assert set(refine.lines(n, coarse)) <= set(refine.lines(n, fine))
        assert list(refine.lines(n, 1)) == list(range(n))
