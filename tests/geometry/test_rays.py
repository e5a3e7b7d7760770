"""Rays, widths and the line through two networks."""

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.geometry.directions import filter_normalised
from landscape.geometry.rays import along_rays, line, median_width, share_within, sides, unit_directions, wider_share, widths
from landscape.networks import Net, build
from landscape.training.task import task_from


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def task_of(network="mlp", norm="none", dtype=torch.float64):
    data = load("digits", 0, 100)
    module = build(network, data.shape, data.outputs, (8, 8), "relu", norm).to(dtype)
    return task_from(data, Net(module), 1e-2, dtype=dtype)


def weights_of(task, seed=1):
    return 0.2 * torch.randn(task.net.size, generator=seeded(seed), dtype=torch.float64).to(task.dtype)


def test_directions_are_of_unit_length_and_the_same_for_the_same_seed():
    d = unit_directions(500, 6, seeded())
    torch.testing.assert_close(d.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert torch.equal(d, unit_directions(500, 6, seeded()))
    assert (d @ d.T - torch.eye(6)).abs().max() < 0.3
    assert abs(float(d.mean())) < 4 / (500 * 3000) ** 0.5


@pytest.mark.parametrize(("network", "norm"), [("mlp", "none"), ("conv", "none"), ("conv", "batch")])
def test_rays_start_at_the_checkpoint_and_equal_direct_evaluation(network, norm):
    task = task_of(network, norm)
    w = weights_of(task)
    directions, s = unit_directions(task.net.size, 3, seeded()), np.array([0.0, 0.5, 2.0, 7.0])
    found = along_rays(task, w, directions, s)
    assert set(found) == {f"{split}_{q}" for split in ("train", "test") for q in ("nll", "loss", "error")}
    for split in ("train", "test"):
        own = task.evaluate(w[None], split)
        every = task.evaluate(w + torch.from_numpy(s)[None, :, None].mul(directions[:, None]).flatten(0, 1), split)
        for quantity in ("nll", "loss", "error"):
            values = found[f"{split}_{quantity}"]
            assert np.ptp(values[:, 0]) == 0
            np.testing.assert_allclose(values[:, 0], own[quantity].numpy()[0], rtol=1e-12)
            np.testing.assert_allclose(values.ravel(), every[quantity].numpy(), rtol=1e-9)


def test_float32_checkpoint_is_met_to_rounding():
    task = task_of(dtype=torch.float32)
    w = weights_of(task)
    found = along_rays(task, w, unit_directions(task.net.size, 2, seeded()), np.array([0.0, 1.0]))
    own = task.evaluate(w[None], "test")
    np.testing.assert_allclose(found["test_nll"][:, 0], own["nll"].numpy()[0], rtol=1e-6)
    np.testing.assert_allclose(found["test_error"][:, 0], own["error"].numpy()[0], atol=1e-12)


def test_values_do_not_depend_on_the_other_rays():
    task = task_of(dtype=torch.float32)
    w, d = weights_of(task), unit_directions(task.net.size, 3, seeded())
    s = np.linspace(0, 3, 11)
    whole = along_rays(task, w, d, s)["test_nll"]
    for k in range(3):
        assert np.array_equal(whole[k : k + 1], along_rays(task, w, d[k : k + 1], s)["test_nll"])


def test_stored_batchnorm_statistics_and_filter_normalised_rays():
    task = task_of("conv", "batch")
    w = weights_of(task)
    directions = filter_normalised(task.net, w, seeded(), 2)
    buffers, s = task.buffers(w), np.array([0.0, 1.0])
    stored = along_rays(task, w, directions, s, ("test",), buffers)
    direct = task.evaluate((w + directions[1])[None], "test", {n: b[None] for n, b in buffers.items()})
    assert stored["test_nll"][1, 1] == pytest.approx(float(direct["nll"]), rel=1e-10)
    again = along_rays(task, w, directions, s, ("test",))
    assert again["test_nll"][0, 0] == pytest.approx(stored["test_nll"][0, 0], rel=1e-10)
    assert again["test_nll"][1, 1] != pytest.approx(stored["test_nll"][1, 1], rel=1e-3)


def test_widths_of_parabolas():
    s = np.linspace(0, 10, 2001)
    a = np.array([0.5, 2.0, 50.0])
    found = widths(s, 3 + (s / a[:, None]) ** 2, 0.25)
    assert found[:2] == pytest.approx(0.5 * a[:2], rel=1e-3)
    assert found[2] == np.inf
    assert widths(s, 1 + s[None], 0.4)[0] == pytest.approx(0.4, abs=1e-12)


def test_widths_stop_at_the_first_rise_and_at_values_that_are_not_finite():
    s = np.arange(5.0)
    values = np.array([[1, 1, 3, 0, 9], [1, 0.5, 0.7, np.nan, 1], [1, 1, 1, 1, np.inf], [1, 0, 1, 1, 1]])
    assert widths(s, values, 1.0).tolist() == [1.5, 3.0, 4.0, np.inf]
    assert share_within(values, 1.0).tolist() == [1, 1, 0.75, 0.75, 0.5]
    for distances, given, rise in ((s + 1, values, 1), (s[::-1], values, 1), (s, values[:, :3], 1), (s, values, 0)):
        with pytest.raises(BadInput, match="start at 0 and ascend"):
            widths(distances, given, rise)
    with pytest.raises(BadInput, match="not finite here"):
        widths(s, values[:, ::-1][2:3], 1)


def test_bootstrap_interval_covers_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [(i := median_width(rng.exponential(size=25), seeded(n), draws=400)).low <= np.log(2) <= i.high
               for n in range(300)]
    assert 0.90 <= np.mean(covered) <= 0.985


def test_intervals_with_rays_that_never_end():
    found = median_width(np.array([1.0, 2, 3, np.inf, np.inf]), seeded())
    assert (found.value, found.high) == (3.0, np.inf)
    assert np.isfinite(found.low)
    assert median_width(np.full(4, np.inf), seeded()).low == np.inf
    share = wider_share(np.array([2, np.inf, 5, 1]), np.array([1, np.inf, np.inf, 0.5]), seeded())
    assert share.value == 0.625
    assert share.low < 0.625 < share.high
    with pytest.raises(BadInput, match="same directions"):
        wider_share(np.ones(3), np.ones(4), seeded())
    with pytest.raises(BadInput, match="at least 2 rays"):
        median_width(np.array([1.0]), seeded())


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_line_has_both_checkpoints_at_their_distance(network):
    task = task_of(network, dtype=torch.float32)
    first, last = weights_of(task, 1), weights_of(task, 2)
    found = line(task, first, last, 0.5, 0.25, 21)
    assert found.length == pytest.approx(float((last.double() - first.double()).norm()), rel=1e-12)
    assert (np.diff(found.distances) > 0).all()
    assert found.distances[[0, -1]] == pytest.approx([-0.5 * found.length, 1.25 * found.length])
    for distance, w in ((0.0, first), (found.length, last)):
        (i,) = np.flatnonzero(found.distances == distance)
        for split in ("train", "test"):
            own = task.evaluate(w[None], split)
            for quantity in ("nll", "loss"):
                assert found.values[f"{split}_{quantity}"][i] == pytest.approx(float(own[quantity]), rel=1e-6)
            assert found.values[f"{split}_error"][i] == pytest.approx(float(own["error"]), abs=1e-9)
    ends = found.subspace.lift(torch.tensor([[0.0], [found.length]], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.stack([first, last]).double(), rtol=0, atol=1e-12)
    with pytest.raises(BadInput, match="two different networks"):
        line(task, first, first)
    with pytest.raises(BadInput, match="2 or more cells"):
        line(task, first, last, -1)


def test_asymmetry_is_read_off():
    """A valley that rises as |x| on the left and as |x| / 4 on the right."""
    s = np.linspace(-3, 9, 121)
    values = np.where(s < 0, -s, s / 4)
    found = sides(s, values, s[30], 0.5)
    assert s[30] == 0
    assert (found.left, found.right) == (pytest.approx(0.5), pytest.approx(2.0))
    assert found.asymmetry == pytest.approx(0.6)
    moved = sides(s, values, s[50], 0.5)
    assert (moved.left, moved.right) == (pytest.approx(3.0), pytest.approx(2.0))
    assert sides(s, values, s[30], 2.5).right == np.inf
    assert sides(s, values, s[30], 2.5).asymmetry == 1
    assert np.isnan(sides(s, 0 * values, 0.0, 1).asymmetry)
    with pytest.raises(BadInput, match="point of the line"):
        sides(s, values, 0.05, 0.5)


def test_progress_counts_all_points_and_can_stop():
    task, seen = task_of(), []
    w, d = weights_of(task), unit_directions(task.net.size, 3, seeded())
    along_rays(task, w, d, np.linspace(0, 1, 5), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (15, 15)
    assert sorted(seen) == seen

    def stop(done, total):
        if done >= 5:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        along_rays(task, w, d, np.linspace(0, 1, 5), progress=stop)
    with pytest.raises(BadInput, match="Rays need directions"):
        along_rays(task, w, d[:, :4], np.zeros(1))
