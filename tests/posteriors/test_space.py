"""Subspaces of weight space: principal components as a full decomposition gives them, both ends of a curve, any lengths."""

import numpy as np
import pytest
import torch

from landscape.errors import BadInput
from landscape.geometry.curves import Curve
from landscape.posteriors.space import curve_space, pca_space, random_space, weight_space


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spaces():
    points, walk = seeded(3, 40), seeded(12, 40).cumsum(0)
    return [random_space(points[0], 3, generator()), random_space(points[0], 3, generator(), "singular values", walk),
            pca_space(walk, 3), pca_space(walk, 3, "unit"), curve_space(points), curve_space(points, 2, "singular values"),
            weight_space(points[0])]


@pytest.mark.parametrize("space", spaces(), ids=lambda s: f"{s.kind} {s.scaling}")
def test_coordinates_and_weights_lead_to_each_other(space):
    z = seeded(4, 2, space.ndim, seed=1)
    w = space.lift(z)
    assert w.shape == (4, 2, 40)
    assert w.dtype == torch.float64
    torch.testing.assert_close(space.project(w), z)
    torch.testing.assert_close(space.lift(torch.zeros(space.ndim)), space.origin)
    assert space.residual(w).max() < 1e-12
    one_by_one = torch.stack([space.lift(each) for each in z.flatten(0, 1)])
    assert torch.equal(one_by_one, w.flatten(0, 1))
    assert space.info["said"].endswith(".")
    with pytest.raises(BadInput, match="found shape"):
        space.lift(torch.zeros(space.ndim + 1))


def test_weights_keep_no_matrix():
    space = weight_space(torch.zeros(100_000))
    assert space.ndim == 100_000
    assert space.directions.numel() == 0
    with pytest.raises(BadInput, match="Choose a subspace"):
        space.subspace  # noqa: B018


def test_principal_components_are_those_of_a_full_decomposition():
    walk = seeded(12, 40).cumsum(0)
    mean = walk.mean(0)
    s, v = np.linalg.svd((walk - mean).numpy())[1:]
    space = pca_space(walk, 5)
    torch.testing.assert_close(space.origin, mean)
    expected = torch.tensor(s[:5, None] * v[:5] / np.sqrt(11))
    signs = (expected * space.directions).sum(1, keepdim=True).sign()
    assert (signs * space.directions - expected).abs().max() < 1e-9
    assert space.info["explained"] == pytest.approx(s[:5] ** 2 / (s**2).sum())
    # one unit of a coordinate is one standard deviation of the snapshots along it
    torch.testing.assert_close(space.project(walk).std(0), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(pca_space(walk, 5, "unit").directions.norm(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(("deviations", "columns"), [("running", None), ("running", 6), ("final", 6)])
def test_other_conventions_of_deviations(deviations, columns):
    walk = seeded(12, 40).cumsum(0)
    means = torch.stack([walk[: t + 1].mean(0) for t in range(12)]) if deviations == "running" else walk.mean(0)
    d = (walk - means)[-columns if columns else 0 :]
    space = pca_space(walk, 3, deviations=deviations, columns=columns)
    s, v = torch.linalg.svd(d, full_matrices=False)[1:]
    expected = s[:3, None] * v[:3] / (len(d) - 1) ** 0.5
    torch.testing.assert_close(space.directions.abs(), expected.abs())
    torch.testing.assert_close(space.directions.T @ space.directions, expected.T @ expected)
    torch.testing.assert_close(space.origin, walk.mean(0))


def test_random_directions_are_orthonormal_and_can_be_as_long_as_components():
    walk, w = seeded(12, 40).cumsum(0), seeded(40, seed=3)
    space = random_space(w, 4, generator())
    torch.testing.assert_close(space.directions @ space.directions.T, torch.eye(4, dtype=torch.float64))
    assert torch.equal(space.directions, random_space(w, 4, generator()).directions)
    assert not torch.equal(space.directions, random_space(w, 4, generator(1)).directions)
    lent = random_space(w, 4, generator(), "singular values", walk)
    torch.testing.assert_close(lent.directions.norm(dim=1), pca_space(walk, 4).directions.norm(dim=1))


@pytest.mark.parametrize("scaling", ["unit", "singular values"])
def test_the_plane_of_a_curve_holds_its_ends_and_with_one_bend_all_of_it(scaling):
    curve = Curve(seeded(3, 40), "bezier")
    space = curve_space(curve.points, 2, scaling)
    assert space.residual(curve.at(torch.linspace(0, 1, 9))).max() < 1e-12
    three = torch.stack([curve.points[0], curve.at(torch.tensor(0.5)), curve.points[-1]])
    torch.testing.assert_close(space.origin, three.mean(0))


def test_more_bends_span_more_dimensions():
    curve = Curve(seeded(5, 40), "bezier")
    plane, full = curve_space(curve.points), curve_space(curve.points, 4)
    ends_and_middle = curve.at(torch.tensor([0.0, 0.5, 1.0]))
    assert plane.residual(ends_and_middle).max() < 1e-12
    assert plane.residual(curve.at(torch.tensor([0.25]))) > 0.1
    assert full.residual(curve.at(torch.linspace(0, 1, 9))).max() < 1e-12
    with pytest.raises(BadInput, match="5 points span 4 dimensions; 5 were asked for"):
        curve_space(curve.points, 5)


def test_more_dimensions_than_there_are_say_how_many_there_are():
    walk = seeded(6, 40)
    with pytest.raises(BadInput, match="6 snapshots span at most 5 dimensions"):
        pca_space(walk, 6)
    with pytest.raises(BadInput, match=r"6 snapshots span 2 dimensions .*; 3 were asked for\. Choose dimension=2"):
        pca_space(seeded(6, 2) @ seeded(2, 40), 3)
    with pytest.raises(BadInput, match="Choose a dimension from 2 to 5"):
        pca_space(walk, 9)
    with pytest.raises(BadInput, match=r"at most 1 dimension .* 2 were asked for\. Give more networks"):
        pca_space(walk[:2], 2)
    with pytest.raises(BadInput, match="deviations of 4 snapshots span 4 dimensions; 5"):
        pca_space(walk, 5, columns=4)
    with pytest.raises(BadInput, match="has 40 weights; 41"):
        random_space(walk[0], 41, generator())
    with pytest.raises(BadInput, match="straight line"):
        curve_space(torch.stack([walk[0], (walk[0] + walk[1]) / 2, walk[1]]))


@pytest.mark.parametrize("made", [
    lambda w: weight_space(w), lambda w: random_space(w, 2, generator()), lambda w: pca_space(w.expand(4, -1), 1),
    lambda w: curve_space(w.expand(3, -1)), lambda w: pca_space(seeded(4, 40), 1, "metres"),
    lambda w: random_space(seeded(40), 2, generator(), "singular values"), lambda w: pca_space(seeded(40), 1)])
def test_what_no_space_can_be_made_of_is_said(made):
    with pytest.raises(BadInput):
        made(torch.full((40,), float("nan")))
