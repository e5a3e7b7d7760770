"""Modules for files: widths read off shapes, factories an operator listed, and libraries through an extra."""

import random
import sys
import types

import pytest
import safetensors.torch
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.networks import Net, build
from landscape.networks.checkpoints import read
from landscape.networks.foreign import match, module_for


def shapes(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


OURS = [("mlp", (5,), (7,)), ("mlp", (5,), ()), ("mlp", (3, 6, 6), (8, 4, 6)), ("conv", (6, 6), (4,)),
        ("conv", (3, 20, 20), (4, 8, 8)), ("preresnet8", (8, 8), (4, 4, 8)), ("preresnet20", (3, 8, 8), (4, 8))]


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize(("network", "shape", "widths"), OURS)
def test_widths_and_norm_are_read_off_the_shapes(tmp_path, network, shape, widths, norm, kind):
    module = build(network, shape, 3, widths, norm=norm) if widths else nn.Sequential(nn.Linear(5, 3))
    if kind == "torch":
        torch.save(module.state_dict(), tmp_path / "a")
    else:
        safetensors.torch.save_file(module.state_dict(), tmp_path / "a")
    tensors = read(tmp_path / "a").tensors
    for asked in (network, "auto"):
        made = module_for(asked, {}, tensors, shape, 3)
        assert shapes(made) == shapes(module)
        matched = match(made, tensors)
        assert matched.complete
        assert not matched.unexpected
        assert not matched.notes
        assert torch.equal(matched.w, torch.cat([p.detach().reshape(-1) for p in module.parameters()]))


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(("network", "shape", "widths"), [("mlp", (4,), (4, 4, 4)), ("conv", (4, 6, 6), (4, 4)), *OURS[:-2]])
def test_the_order_of_a_file_does_not_matter(network, shape, widths, norm):
    """Also where all layers have one width, so that few orders are impossible."""
    module = build(network, shape, 3, widths, norm=norm)
    names, shuffle = list(module.state_dict()), random.Random(0).shuffle
    for _ in range(20):
        shuffle(names)
        shuffled = {name: module.state_dict()[name] for name in names}
        assert shapes(module_for("auto", {}, shuffled, shape, 3)) == shapes(module)


def test_a_plain_mlp_of_other_names_is_ours_too():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.bn, self.out = nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)

        def forward(self, x):
            return self.out(torch.tanh(self.bn(self.fc1(x))))

    plain = Plain().eval()
    module = module_for("auto", {}, plain.state_dict(), (5,), 3, activation="tanh")
    matched = match(module, plain.state_dict())
    module.load_state_dict(dict(zip(module.state_dict(), plain.state_dict().values(), strict=True)))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module.eval()(x), plain(x))
    assert torch.equal(matched.w, torch.cat([p.detach().reshape(-1) for p in plain.parameters()]))
    assert "same order" in matched.notes[0]


@pytest.mark.parametrize(("network", "shape", "outputs", "said"), [
    ("mlp", (6,), 3, "takes 5 inputs, an example of the data has 6"), ("mlp", (5,), 4, "3 outputs, the data need 4"),
    ("conv", (1, 8, 8), 3, "3x3"), ("preresnet8", (1, 8, 8), 3, "expected the names"),
    ("auto", (6,), 3, "fits none.*mlp:.*conv"), ("mpl", (5,), 3, "Did you mean 'mlp'")])
def test_what_does_not_fit_is_said(network, shape, outputs, said):
    with pytest.raises(BadInput, match=said):
        module_for(network, {}, build("mlp", (5,), 3, (7,)).state_dict(), shape, outputs)


def test_layers_that_do_not_follow_one_another_or_have_no_place():
    with pytest.raises(BadInput, match="7 outputs is followed by one with 6"):
        module_for("mlp", {}, {"a": torch.ones(7, 5), "b": torch.ones(7), "c": torch.ones(3, 6)}, (5,), 3)
    with pytest.raises(BadInput, match="pos with shape"):
        module_for("mlp", {}, {"a": torch.ones(7, 5), "pos": torch.ones(1, 4, 7)}, (5,), 3)
    with pytest.raises(BadInput, match="vectors behind"):
        module_for("mlp", {}, {"a": torch.ones(7, 5), "c": torch.ones(3, 7)}, (5,), 3)


def test_arguments_of_ours():
    made = module_for("mlp", {"widths": [4, 5], "norm": "batch", "activation": "gelu"}, None, (3,), 2)
    assert shapes(made) == shapes(build("mlp", (3,), 2, (4, 5), norm="batch"))
    assert any(isinstance(child, nn.GELU) for child in made)
    for arguments, said in [({"width": [3]}, "Did you mean 'widths'"), ({"widths": [0]}, "positive whole"),
                            ({"widths": "9"}, "positive"), ({"norm": "bach"}, "Did you mean 'batch'"),
                            ({"activation": "rleu"}, "Did you mean 'relu'")]:
        with pytest.raises(BadInput, match=said):
            module_for("mlp", arguments, None, (3,), 2)
    with pytest.raises(BadInput, match="there is no file"):
        module_for("auto", {}, None, (3,), 2)


CODE = '''
from os import getcwd
from torch import nn
import random, torch
LOADED = []
class Net(nn.Module):
    def __init__(self, width: int, depth: int = 1):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.noise = nn.Parameter(torch.randn(3) + random.random())
    def forward(self, x):
        for layer in self.layers: x = layer(x)
        return x
def small(): return Net(2)
def wrong(): return [1]
def broken(): raise KeyError("no such thing")
number = 3
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A package ``mine_nets`` with a module ``deep.models``, listed; its sibling ``mine_netsx`` is not."""
    for name in ("mine_nets", "mine_netsx"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "deep" / "__init__.py").write_text("")
        (tmp_path / name / "deep" / "models.py").write_text(CODE)
    (tmp_path / "mine_nets" / "bad.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "other, mine_nets")
    yield "mine_nets.deep.models"
    for name in [name for name in sys.modules if name.startswith("mine_net")]:
        del sys.modules[name]


def made_by(target, **arguments):
    return module_for(target, arguments, None, (2,), 2)


def test_a_listed_factory_makes_the_network(mine):
    assert shapes(made_by(f"{mine}:Net", width=2, depth=2))["layers.1.weight"] == (2, 2)
    assert shapes(made_by(f"{mine}:small"))["layers.0.bias"] == (2,)


def test_unlisted_modules_are_refused_and_not_even_imported(mine, monkeypatch):
    with pytest.raises(BadInput, match="not in LANDSCAPE_FACTORIES"):
        made_by("mine_netsx.deep.models:Net", width=2)
    monkeypatch.delenv("LANDSCAPE_FACTORIES")
    with pytest.raises(BadInput, match="the list is empty"):
        made_by(f"{mine}:Net", width=2)
    assert not [name for name in sys.modules if name.startswith("mine_net")]


@pytest.mark.parametrize("target", ["os:system", "builtins:eval", "torch:load", "subprocess:run"])
def test_modules_that_nobody_listed(target, mine):
    with pytest.raises(BadInput, match="refused"):
        made_by(target)


@pytest.mark.parametrize(("name", "said"), [
    ("getcwd", "comes from (posix|nt), which is not"), ("nn.Linear", "one name after the colon"), ("", "one name"),
    ("__import__('os')", "one name"), ("smal", "Did you mean 'small'"), ("number", "no function or class"),
    ("wrong", "returned a list, expected a torch Module"), ("broken", "raised KeyError: 'no such thing'")])
def test_what_a_listed_module_cannot_give(mine, name, said):
    with pytest.raises(BadInput, match=said):
        made_by(f"{mine}:{name}")


def test_modules_that_cannot_be_imported(mine):
    with pytest.raises(BadInput, match=r"cannot be imported.*PYTHONPATH"):
        made_by("mine_nets.nothing:Net")
    with pytest.raises(BadInput, match="ZeroDivisionError"):
        made_by("mine_nets.bad:Net")


def test_arguments_are_held_against_the_signature(mine):
    with pytest.raises(BadInput, match=r"takes \(width: int, depth: int = 1\).*Did you mean 'width' for 'widht'"):
        made_by(f"{mine}:Net", widht=2)
    with pytest.raises(BadInput, match="missing a required argument: 'width'"):
        made_by(f"{mine}:Net")


def test_global_randomness_is_left_alone_and_the_network_is_the_same_each_time(mine):
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    first = made_by(f"{mine}:Net", width=2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    torch.rand(1)
    random.random()
    assert torch.equal(made_by(f"{mine}:Net", width=2).noise, first.noise)


# Libraries: toys in their place, so that what is asked of them can be seen

def library(monkeypatch, name, **contents):
    module = types.ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("network", ["timm:resnet18", "transformers:bert"])
def test_libraries_that_are_not_installed(network, monkeypatch):
    monkeypatch.setitem(sys.modules, network.partition(":")[0], None)
    with pytest.raises(BadInput, match=r"not installed.*pip install 'landscape\[models\]'"):
        made_by(network)


def test_timm_never_fetches_weights(monkeypatch):
    asked = {}

    def create_model(name, **options):
        asked.update(options, name=name)
        return nn.Linear(2, 2)

    library(monkeypatch, "timm", create_model=create_model, list_models=lambda: ["resnet18"])
    module_for("timm:resnet18", {"drop_rate": 0.1}, None, (1, 8, 8), 10)
    assert asked == {"name": "resnet18", "pretrained": False, "num_classes": 10, "in_chans": 1, "drop_rate": 0.1}
    for arguments in ({"pretrained": True}, {"checkpoint_path": "/x"}):
        with pytest.raises(BadInput, match="fetch or unpickle"):
            module_for("timm:resnet18", arguments, None, (1, 8, 8), 10)
    with pytest.raises(BadInput, match="Did you mean 'resnet18'"):
        module_for("timm:resnet8", {}, None, (1, 8, 8), 10)


def test_transformers_only_read_a_local_config(monkeypatch, tmp_path):
    asked = {}

    class PreTrainedModel(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.layer = nn.Linear(2, config.num_labels)

        def forward(self, x):
            return types.SimpleNamespace(logits=self.layer(x))

    class Toy(PreTrainedModel):
        pass

    class AutoConfig:
        @staticmethod
        def from_pretrained(name, **options):
            asked.update(options, name=name)
            return types.SimpleNamespace(architectures=["Toy" if name.endswith("toy") else "system"],
                                         num_labels=options["num_labels"])

    library(monkeypatch, "transformers", PreTrainedModel=PreTrainedModel, Toy=Toy, AutoConfig=AutoConfig, system=print,
            __version__="1")
    (tmp_path / "toy").mkdir()
    with pytest.raises(BadInput, match="LANDSCAPE_ROOTS"):
        module_for(f"transformers:{tmp_path / 'toy'}", {"num_labels": 3}, None, (2,), 3)
    module = module_for(f"transformers:{tmp_path / 'toy'}", {"num_labels": 3}, None, (2,), 3, roots=[tmp_path])
    assert asked == {"name": str(tmp_path / "toy"), "local_files_only": True, "trust_remote_code": False, "num_labels": 3}
    net, state = Net(module), Toy(types.SimpleNamespace(num_labels=3)).state_dict()
    assert net(net.initial, torch.ones(4, 2)).shape == (4, 3)
    assert match(module, state).complete
    with pytest.raises(BadInput, match="'system', which is no model"):
        module_for("transformers:evil", {"num_labels": 3}, None, (2,), 3)
    with pytest.raises(BadInput, match="fetch files or run code"):
        module_for("transformers:toy", {"trust_remote_code": True}, None, (2,), 3)
