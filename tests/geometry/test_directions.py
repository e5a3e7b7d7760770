"""Filter-normalised directions: the definition layer by layer, what stays put, and the surface of a rescaled network."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape.data import load
from landscape.errors import BadInput
from landscape.geometry.directions import (
    directions_of,
    filter_normalised,
    parts,
    parts_of,
    random_plane,
    restricted,
    spanned,
)
from landscape.geometry.surface import Evaluator
from landscape.geometry.symmetry import rescaled
from landscape.networks import Net, build
from landscape.networks.architectures import initial_weights
from landscape.training.task import task_from


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Mixed(nn.Module):
    """One layer of every kind that has filters, and what has none."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)
        self.linear = nn.Linear(5, 4)
        self.conv = nn.Conv2d(3, 6, 3)
        self.grouped = nn.Conv1d(4, 6, 3, groups=2)
        self.up = nn.ConvTranspose2d(6, 2, 3)
        self.up_grouped = nn.ConvTranspose1d(4, 6, 3, groups=2)
        self.batch = nn.BatchNorm2d(6)
        self.layer = nn.LayerNorm((3, 4))
        self.scale = nn.Parameter(torch.tensor(2.0))


def weights_of(net, seed=1):
    return torch.randn(net.size, generator=generator(seed), dtype=torch.float64)


def named(net, vector):
    return dict(net.unflatten(vector))


def test_every_filter_is_as_long_as_that_of_the_weights():
    net = Net(Mixed())
    w = weights_of(net)
    for d in filter_normalised(net, w, generator()):
        d, v = named(net, d), named(net, w)
        for name, axes in {"table.weight": 1, "linear.weight": 1, "conv.weight": (1, 2, 3), "grouped.weight": (1, 2),
                           "up.weight": (0, 2, 3)}.items():
            lengths = (torch.linalg.vector_norm(vector[name], dim=axes) for vector in (d, v))
            torch.testing.assert_close(*lengths)
        for group in (slice(0, 2), slice(2, 4)):  # an output of a grouped transposed convolution reads one group of inputs
            for out in range(3):
                assert float(d["up_grouped.weight"][group, out].norm()) == pytest.approx(
                    float(v["up_grouped.weight"][group, out].norm()))


def test_biases_and_normalisation_stay_or_move_as_one_filter():
    net = Net(Mixed())
    w = weights_of(net)
    others = [name for name in net.names if name.endswith("bias") or name.split(".")[0] in ("batch", "layer", "scale")]
    still, moving = (filter_normalised(net, w, generator(), others=choice)[0] for choice in ("zero", "keep"))
    for name in others:
        assert not named(net, still)[name].any()
        assert float(named(net, moving)[name].norm()) == pytest.approx(float(named(net, w)[name].norm()))
    assert {n for n, d in named(net, still).items() if d.any()} == set(net.names) - set(others)


def test_directions_are_gaussian_and_nearly_orthogonal():
    net = Net(nn.Linear(400, 300))
    w = weights_of(net)
    d = filter_normalised(net, w, generator())
    entries = (named(net, d[0])["weight"] / named(net, w)["weight"].norm(dim=1, keepdim=True) * 400**0.5).flatten()
    assert float(entries.mean()) == pytest.approx(0, abs=0.01)
    assert float((entries**4).mean()) == pytest.approx(3, abs=0.1)  # uniform entries would give 1.8
    plane = random_plane(net, w, generator())
    cosine = float(torch.dot(d[0], d[1]) / d.norm(dim=1).prod())
    assert 0 < abs(plane.angle - 90) < 5 * 57.3 / 120000**0.5
    assert plane.angle == pytest.approx(np.degrees(np.arccos(cosine)))
    torch.testing.assert_close(plane.basis @ plane.basis.T, torch.eye(2, dtype=torch.float64))
    assert torch.equal(plane.origin, w)


def test_a_filter_of_zeros_stays():
    net = Net(nn.Linear(3, 2))
    w = weights_of(net)
    w[:3] = 0
    d = filter_normalised(net, w, generator())
    assert not d[:, :3].any()
    assert d[:, 3:6].all()


def test_only_the_chosen_parameters_move():
    net = Net(Mixed())
    w = weights_of(net)
    d = filter_normalised(net, w, generator(), only=["conv.*", "lin*"], others="keep")
    mask = restricted(net, ["conv.*", "lin*"])
    assert not d[:, ~mask].any()
    assert d[:, mask].all()
    assert mask.sum() == 5 * 4 + 4 + 3 * 6 * 9 + 6
    with pytest.raises(BadInput, match=r"No parameter matches 'conv.wieght'.*'conv.weight'"):
        restricted(net, ["conv.wieght"])
    with pytest.raises(BadInput, match="would not move anything"):
        filter_normalised(net, w, generator(), only=["*.bias"])


def test_low_rank_directions_have_that_rank_and_are_normalised():
    net = Net(Mixed())
    w = weights_of(net)
    d, v = (named(net, vector) for vector in (filter_normalised(net, w, generator(), 1, rank=2)[0], w))
    for name, flat in {"conv.weight": d["conv.weight"].flatten(1), "linear.weight": d["linear.weight"],
                       "up.weight": d["up.weight"].transpose(0, 1).flatten(1)}.items():
        assert torch.linalg.matrix_rank(flat, rtol=1e-5) == 2, name
    torch.testing.assert_close(d["conv.weight"].flatten(1).norm(dim=1), v["conv.weight"].flatten(1).norm(dim=1))
    with pytest.raises(BadInput, match="at least 1"):
        filter_normalised(net, w, generator(), rank=0)


def test_one_tensor_at_a_time_from_names_and_shapes_gives_the_same():
    net = Net(build("mlp", (6,), 3, (8, 5)))
    w = net.initial
    whole = filter_normalised(net, w, generator(3), 2)
    of = parts_of({name: tuple(shape) for name, shape in zip(net.names, net.shapes, strict=True)})
    assert of == parts(net)
    assert torch.equal(filter_normalised(of, w, generator(3), 2), whole)
    g = generator(3)
    pieces = [torch.stack(list(directions_of(part, tensor, g))) for part, tensor in
              zip(of, net.unflatten(w).values(), strict=True)]
    assert torch.equal(torch.cat(pieces, 1), whole)
    assert whole.dtype == w.dtype
    assert filter_normalised(net, w.bfloat16(), generator(3)).dtype == torch.bfloat16


def test_wrong_arguments_are_named():
    net = Net(nn.Linear(3, 2))
    w = weights_of(net)
    with pytest.raises(BadInput, match="8 parameters, and w has 5"):
        filter_normalised(net, w[:5], generator())
    with pytest.raises(BadInput, match=r"'zeros'.*'zero'"):
        filter_normalised(net, w, generator(), others="zeros")
    with pytest.raises(BadInput, match="weight has NaN"):
        filter_normalised(net, w * float("nan"), generator())
    with pytest.raises(BadInput, match="different and not zero"):
        spanned(w, torch.stack([w, 2 * w]))
    with pytest.raises(BadInput, match="unit of coordinates"):
        random_plane(net, w, generator(), units="meters")


def test_a_direction_alone_spans_a_line():
    net = Net(nn.Linear(3, 2))
    w = weights_of(net)
    d = filter_normalised(net, w, generator(), 1)
    line = spanned(w, d)
    torch.testing.assert_close(line.basis, d / d.norm())
    torch.testing.assert_close(line.lift(torch.tensor([2.0])), w + 2 * d[0] / d.norm())


@pytest.mark.parametrize("others", ["zero", "keep"])
@pytest.mark.parametrize(("network", "layer"), [("mlp", "1"), ("conv", "1"), ("preresnet8", "stages.1.first")])
def test_rescaling_a_relu_layer_leaves_the_filter_normalised_surface_unchanged(network, layer, others):
    """Exact in units of the direction: each of its filters scales as that of w does. Not in Euclidean distance."""
    data = load("digits", 0, 100)
    module = build(network, data.shape, data.outputs, (8, 8), "relu", "none")
    task = task_from(data, Net(module), 0.0)
    w = initial_weights(module, generator())
    w = w + 0.05 * torch.randn(len(w), generator=generator(1))  # biases, and the zeros that residual blocks start with
    same = rescaled(task.net, w, layer, 10.0)
    assert float((same - w).norm()) > 1
    x = task.splits["test"][0]
    torch.testing.assert_close(task.net(same, x), task.net(w, x), rtol=1e-5, atol=1e-5)
    z = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), -1).reshape(-1, 2)
    drawn = []
    for vector in (w, same):
        sub = random_plane(task.net, vector, generator(7), units="direction", others=others)
        values = Evaluator(task, sub)(z)
        direct = task.evaluate(sub.lift(torch.from_numpy(z)).to(w), "test")["nll"].numpy()
        np.testing.assert_allclose(values["test_nll"], direct, rtol=1e-5)
        drawn.append(values)
    for metric in ("train_nll", "test_nll"):
        np.testing.assert_allclose(drawn[1][metric], drawn[0][metric], rtol=1e-5)
        assert np.ptp(drawn[0][metric]) > 0.1
    by_distance = [Evaluator(task, random_plane(task.net, v, generator(7), others=others))(z)["test_nll"] for v in (w, same)]
    assert np.abs(by_distance[0] - by_distance[1]).max() > 1e-3
