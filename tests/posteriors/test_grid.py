"""The exact posterior of two coordinates: moments, levels and distances against closed forms; borders; what it costs."""

import math
import time

import numpy as np
import pytest
import torch

from landscape.data import load
from landscape.errors import BadInput, Cancelled
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.posteriors import grid
from landscape.posteriors.space import random_space
from landscape.posteriors.target import Gaussian, Normal, Posterior
from landscape.training.task import task_from


def gaussian(mean=(1.0, -0.5), covariance=((1.0, 0.9), (0.9, 1.0)), prior_std=None):
    return Gaussian(torch.tensor(mean), torch.tensor(covariance), prior_std)


def regression(count=2, activation="tanh", widths=(50, 50)):
    data = load("regression", 0)
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, widths, activation)), 1e-3)
    w = 0.3 * torch.randn(task.net.size, generator=torch.Generator().manual_seed(0))
    return Posterior(task, random_space(w, count, torch.Generator().manual_seed(1)), 2.0, 50.0)


@pytest.mark.parametrize(("mean", "sd", "prior"), [((1.0, -0.5), (1.0, 1.0), None), ((0.1, 0.2), (0.01, 0.1), 5.0),
                                                   ((8.0, 8.0), (1.0, 1.0), 4.0), ((-60.0, 2.0), (0.5, 4.0), 5.0)])
def test_the_mass_is_found_wherever_it_is(mean, sd, prior):
    covariance = torch.diag(torch.tensor(sd).double().square())
    found = grid.exact(gaussian(mean, covariance.tolist(), prior))
    assert found.mean == pytest.approx(mean, abs=1e-4 * min(sd), rel=1e-5)
    np.testing.assert_allclose(found.covariance, covariance.numpy(), rtol=1e-4, atol=1e-6)
    assert found.log_evidence == pytest.approx(0.0, abs=1e-4)
    assert found.mass.sum() == pytest.approx(1.0)
    assert found.border < 1e-4


def test_moments_and_levels_of_a_correlated_density():
    target = gaussian()
    found = grid.exact(target, cells=161)
    np.testing.assert_allclose(found.covariance, target.covariance, rtol=1e-4)
    peak = -math.log(2 * math.pi) - 0.5 * math.log(1 - 0.81)
    for share, level in found.levels().items():
        assert level == pytest.approx(peak + math.log(1 - share), abs=0.03)
    drawn = target.density.draw(20_000, torch.Generator().manual_seed(0))
    above = target.log_density(drawn) > found.levels()[0.9]
    assert float(above.double().mean()) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("draws", [500, 8000])
@pytest.mark.parametrize("side", [3, 5])
def test_draws_from_the_density_itself_are_at_the_floor(draws, side):
    target, g = gaussian(), torch.Generator().manual_seed(3)
    found = grid.exact(target)
    distances = [found.total_variation(target.density.draw(draws, g), side) for _ in range(30)]
    assert distances[0].cells == side**2
    assert distances[0].draws == draws
    assert np.mean([d.value for d in distances]) == pytest.approx(distances[0].floor, rel=0.1)


def test_distances_of_wrong_draws():
    target, g = gaussian(), torch.Generator().manual_seed(3)
    found = grid.exact(target)
    independent = Normal(target.mean, 1.0).draw(20_000, g)  # right means and deviations, no correlation
    assert found.total_variation(independent).value > 0.2
    far = found.total_variation(torch.full((100, 2), 50.0), effective=10)
    assert far.value == pytest.approx(1 - 1 / 16)
    assert far.effective_floor > far.floor
    errors = found.moment_errors(independent + torch.tensor([0.5, 0.0]))
    assert errors["mean"] == pytest.approx([0.5, 0.0], abs=0.03)
    assert errors["sd"] == pytest.approx([0.0, 0.0], abs=0.03)
    assert errors["correlation"] == pytest.approx(-0.9, abs=0.03)
    with pytest.raises(BadInput, match="at least one draw"):
        found.total_variation(torch.empty(0, 2))
    with pytest.raises(BadInput, match="found shape"):
        found.total_variation(torch.empty(4, 3))


def test_a_box_that_misses_mass_is_widened_and_says_so():
    found = grid.exact(gaussian(), box=((0.0, 2.0), (-0.5, 4.0)), cells=65)
    assert found.mean == pytest.approx([1.0, -0.5], abs=1e-2)
    assert found.border < grid.MISSED
    assert found.info["widened"] > 0
    assert any("was widened" in said for said in found.info["said"])


def test_points_to_include_are_inside():
    found = grid.exact(gaussian(), include=torch.tensor([[-20.0, 3.0], [0.0, 15.0]]))
    assert found.x[0] <= -20
    assert found.y[-1] >= 15


def test_cells_are_the_target_itself():
    target = regression()
    found = grid.exact(target, cells=20, box=((-0.5, 0.5), (-0.4, 0.3)))
    i, j = 13, 4
    z = torch.tensor([[found.x[i], found.y[j]]])
    assert found.log_likelihood[i, j] == pytest.approx(float(target.log_likelihood(z)), rel=1e-12)
    assert found.log_prior[i, j] == pytest.approx(float(target.log_prior(z)), rel=1e-12)
    assert found.log_density[i, j] - found.log_density[0, 0] == pytest.approx(
        float(target.log_density(z) - target.log_density(torch.tensor([[found.x[0], found.y[0]]]))), rel=1e-9)


def test_more_coordinates_give_a_slice_and_fewer_none():
    mean, covariance = torch.tensor([0.0, 1.0, 2.0]), torch.eye(3)
    found = grid.exact(Gaussian(mean, covariance), dims=(0, 2), at=torch.tensor([0.0, 1.0, 0.0]))
    assert found.mean == pytest.approx([0.0, 2.0], abs=1e-4)
    assert found.info["slice"]
    assert any("slice through 3 coordinates" in said for said in found.info["said"])
    with pytest.raises(BadInput, match="two coordinates"):
        grid.exact(Gaussian(torch.zeros(1), torch.eye(1)))


class Holed(Gaussian):
    """Not a number where the first coordinate is below zero, or everywhere."""

    where = 0.0

    def _likelihood(self, z):
        return torch.where(z[:, 0] < self.where, torch.nan, super()._likelihood(z))


def test_cells_without_a_density_are_masked_and_counted():
    target = Holed(torch.zeros(2), torch.eye(2))
    found = grid.exact(target, box=((-6.0, 6.0), (-6.0, 6.0)), cells=60)
    assert found.info["masked"] == 30 * 60
    assert found.mean[0] == pytest.approx(math.sqrt(2 / math.pi), abs=0.02)
    assert any("no finite density" in said for said in found.info["said"])
    target.where = math.inf
    with pytest.raises(BadInput, match="not finite in any cell"):
        grid.exact(target)


def test_progress_is_told_and_can_stop_it():
    seen = []
    grid.exact(gaussian(), cells=50, box=((-6.0, 8.0), (-7.0, 6.0)), progress=lambda *a: seen.append(a))
    assert seen == [(1000, 2500), (2000, 2500), (2500, 2500)]

    def stop(done, total):
        raise Cancelled("asked to stop")

    with pytest.raises(Cancelled):
        grid.exact(gaussian(), progress=stop)


def test_a_grid_costs_what_a_surface_costs():
    target = regression()
    box, cells = ((-0.5, 0.5), (-0.5, 0.5)), 40
    x = np.linspace(-0.5, 0.5, cells)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    evaluator = Evaluator(target.task, target.space.subspace, ("train",))

    def seconds(run):
        started = time.process_time()
        run()
        return time.process_time() - started

    slices = grid._Slice(target, (0, 1), torch.zeros(2, dtype=torch.float64), lambda done, total: None)
    pairs = [(seconds(lambda: slices.grid(box, cells)), seconds(lambda: evaluator(z))) for _ in range(4)]
    assert min(a for a, _ in pairs) < 1.3 * min(b for _, b in pairs)
    whole = grid.exact(target)
    assert whole.info["evaluations"] < 1.5 * 97**2  # finding the mass costs little beside the grid itself


class Peaks(Gaussian):
    """A mixture of equal narrow Gaussians around ``centres`` (n, 2), under a prior hundreds of times as wide."""

    def __init__(self, centres, sd=0.02, prior_std=5.0):
        super().__init__(torch.zeros(2), torch.eye(2), prior_std)
        self.centres, self.sd = torch.tensor(centres, dtype=torch.float64), sd

    def _likelihood(self, z):
        return (-0.5 * ((z[:, None] - self.centres) / self.sd).square().sum(-1)).logsumexp(1)


def test_known_networks_show_peaks_that_are_narrower_than_a_coarse_cell():
    centres = [[-1.7, 0.3], [1.23, 0.3]]
    target = Peaks(centres)
    alone = grid.exact(target)
    assert alone.mean == pytest.approx(centres[1], abs=1e-3)  # the search has found one of the two
    found = grid.exact(target, cells=385, known=torch.tensor(centres))
    near, far = (math.exp(-0.5 * (x / 5.0) ** 2) for x in (1.23, 1.7))  # what the prior leaves of either
    share = far / (near + far)
    assert found.mean == pytest.approx([1.23 - share * 2.93, 0.3], abs=5e-3)
    np.testing.assert_allclose(np.diag(found.covariance), [share * (1 - share) * 2.93**2 + 0.02**2, 0.02**2], rtol=0.02)
    assert found.log_evidence == pytest.approx(alone.log_evidence - math.log(1 - share), abs=0.02)


def test_known_networks_without_mass_do_not_widen_the_grid():
    target = gaussian()
    alone, found = grid.exact(target), grid.exact(target, known=torch.tensor([[40.0, -30.0], [1.0, -0.5], [torch.nan, 0.0]]))
    np.testing.assert_allclose(found.x, alone.x)
    np.testing.assert_allclose(found.y, alone.y)
