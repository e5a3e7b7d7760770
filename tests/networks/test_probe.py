"""What a pass costs, against counts by hand and torch's own counter; networks that do not take the data."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from landscape.errors import BadInput
from landscape.networks import Net, build
from landscape.networks.probe import FEWEST, MOST, probed


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.q, self.out = nn.Embedding(11, 8), nn.Linear(8, 24), nn.Linear(8, 11)

    def forward(self, tokens):
        q, k, v = self.q(self.embed(tokens)).chunk(3, -1)
        h = nn.functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return self.out(h + (q @ k.transpose(1, 2)) @ v)


@pytest.mark.parametrize(
    ("module", "x"),
    [(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), torch.zeros(4, 6)),
     (build("preresnet8", (3, 8, 8), 10), torch.zeros(4, 3, 8, 8)),
     (nn.Sequential(nn.ConvTranspose2d(2, 3, 3), nn.Conv2d(3, 6, 3, groups=3), nn.Flatten()), torch.zeros(4, 2, 5, 5))],
    ids=["dense", "residual", "convolutions"],
)
def test_operations_are_those_of_torchs_own_counter(module, x):
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module.eval()(x)
    net = Net(module)
    assert probed(net, net.initial, x).flops == counter.get_total_flops() / 4


def test_attention_is_counted_both_ways_of_writing_it():
    net = Net(Attention())
    products = 7 * 8 * 24 + 2 * (2 * 7 * 7 * 8) + 7 * 8 * 11
    assert probed(net, net.initial, torch.zeros(4, 7, dtype=torch.long)).flops == 2 * products


def test_the_widest_layer_decides_how_many_examples_go_at_a_time():
    net = Net(build("conv", (1, 28, 28), 10, widths=(8, 16)))
    found = probed(net, net.initial, torch.zeros(5, 1, 28, 28))
    assert found.widest == 4 * 8 * 14 * 14
    assert FEWEST <= found.batch <= MOST
    assert found.outputs.shape == (4, 10)
    large = Net(nn.Conv2d(1, 64, 3, padding=1))
    assert probed(large, large.initial, torch.zeros(1, 1, 400, 400)).batch == FEWEST


class Broken(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.result, self.w = result, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.result


@pytest.mark.parametrize(("result", "said"), [(torch.zeros(7, 2), "first axis"), ("text", "puts out str")])
def test_outputs_that_are_no_predictions_are_refused(result, said):
    with pytest.raises(BadInput, match=said):
        probed(Net(Broken(result)), torch.zeros(1), torch.zeros(3, 2))


def test_inputs_of_another_shape_are_told():
    net = Net(nn.Linear(3, 2))
    with pytest.raises(BadInput, match=r"examples of shape \(5,\)"):
        probed(net, net.initial, torch.zeros(2, 5))


class Viewing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(144, 2)

    def forward(self, x):
        x = self.conv(x)
        return self.fc(x.view(len(x), -1))


def test_channels_come_last_only_where_the_network_takes_them_so():
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    convolutions = Net(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    assert probed(convolutions, convolutions.initial, x).layout == torch.channels_last
    viewing = Net(Viewing())
    assert probed(viewing, viewing.initial, x).layout == torch.contiguous_format
