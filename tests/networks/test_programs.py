"""torch.export programs: same outputs as the module, its mode followed, and nothing in the file executed."""

import copy
import json
import os
import zipfile

import pytest
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.networks import Net
from landscape.networks.checkpoints import read
from landscape.networks.foreign import match, module_for
from landscape.networks.operators import ATEN, resolved


class Exported(nn.Module):
    """Convolution, BatchNorm, dropout, tied weights, both kinds of buffers, chunks, and a shape that is computed."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.one, self.two = nn.Linear(16, 16, bias=False), nn.Linear(16, 16)
        self.two.weight = self.one.weight
        self.layer = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)
        self.register_buffer("shift", torch.ones(16))
        self.register_buffer("grid", torch.arange(16.0), persistent=False)

    def forward(self, x):
        h = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        left, right = h.chunk(2, dim=1)
        h = self.drop(left * right + left).reshape(x.shape[0], -1)[:, : 16] + self.shift * self.grid
        h = self.layer(nn.functional.gelu(self.two(self.one(h)), approximate="tanh"))
        h = h.masked_fill(h > 2, float("-inf")).clamp(min=-3)
        return self.head(h).softmax(-1).max(-1, keepdim=True)[0].expand(-1, 3)


def export(path, module=None, training=False, dynamic=True):
    torch.manual_seed(0)
    module = (module or Exported()).train(training)
    with torch.no_grad():
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand(buffer.shape))
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(module, (torch.randn(3, 1, 8, 8),), dynamic_shapes=shapes), path)
    return copy.deepcopy(module)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    return {mode: (folder / f"{mode}.pt2", export(folder / f"{mode}.pt2", training=mode)) for mode in (False, True)}


def opened(path):
    return module_for(f"program:{path}", {}, None, (1, 8, 8), 3, roots=[path.parent])


@pytest.mark.parametrize("training", [False, True])
def test_a_program_gives_the_modules_outputs_in_either_mode(exported, training):
    path, module = exported[training]
    program, x = opened(path), torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert not program.training
    assert torch.equal(program(x), module.eval()(x))
    assert list(program.state_dict()) == list(module.state_dict())
    assert program.two.weight is program.one.weight
    net = Net(program)
    assert net.names == Net(module).names
    assert torch.equal(net(net.initial, x), module(x))
    assert torch.equal(program.norm.num_batches_tracked, module.norm.num_batches_tracked)
    outputs = []
    for each in (copy.deepcopy(program).train(), copy.deepcopy(module).train()):
        torch.manual_seed(3)
        outputs += [each(x), each.norm.running_mean, each.norm.running_var]
    assert all(torch.equal(a, b) for a, b in zip(outputs[:3], outputs[3:], strict=True))
    assert not torch.equal(outputs[1], module.norm.running_mean)


def test_gradients_go_through(exported):
    path, module = exported[False]
    program, x = opened(path), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    program(x).sum().backward()
    module.zero_grad()
    module(x).sum().backward()
    assert torch.equal(program.conv.weight.grad, module.conv.weight.grad)


def test_other_weights_of_the_same_network_fit(exported, tmp_path):
    path, module = exported[False]
    torch.save(module.state_dict(), tmp_path / "a.pt")
    assert match(opened(path), read(tmp_path / "a.pt").tensors).complete
    found = read(path)  # a program is a checkpoint too
    assert match(module, found.tensors).complete
    assert torch.equal(match(module, found.tensors).w, Net(module).initial)


@pytest.mark.parametrize("decomposed", [False, True])
def test_attention(tmp_path, decomposed):
    module = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.randn(3, 5, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program.run_decompositions() if decomposed else program, tmp_path / "a.pt2")
    x = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(opened(tmp_path / "a.pt2")(x), module(x), rtol=1e-5, atol=1e-5)


def test_a_program_for_other_shapes_says_so(tmp_path, exported):
    export(tmp_path / "a.pt2", dynamic=False)
    with pytest.raises(BadInput, match=r"shape \(3, 1, 8, 8\), found \(4, 1, 8, 8\).*dynamic_shapes"):
        opened(tmp_path / "a.pt2")(torch.zeros(4, 1, 8, 8))
    with pytest.raises(BadInput, match=r"shape \(any, 1, 8, 8\)"):
        opened(exported[False][0])(torch.zeros(4, 64))


def test_arguments_and_other_files_are_refused(tmp_path, exported):
    path, module = exported[False]
    with pytest.raises(BadInput, match="takes no arguments"):
        module_for(f"program:{path}", {"width": 3}, None, (1, 8, 8), 3, roots=[path.parent])
    with pytest.raises(BadInput, match="lies outside"):
        module_for(f"program:{path}", {}, None, (1, 8, 8), 3, roots=[tmp_path])
    torch.save(module.state_dict(), tmp_path / "a.pt")
    with pytest.raises(BadInput, match="no program"):
        opened(tmp_path / "a.pt")


# What a file could make torch.export.load do

class Bomb:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def changed(source, target, change):
    """A copy of a program in which ``change(name, data) -> data`` rewrote every part."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name.split("/", 1)[1], old.read(name)))
    return target


def test_a_pickle_in_the_sample_inputs_is_not_run(tmp_path, exported):
    path, module = exported[False]
    bomb = _torch_file(tmp_path)
    bad = changed(path, tmp_path / "a.pt2", lambda name, data: bomb if name.endswith("model.pt") else data)
    x = torch.ones(2, 1, 8, 8)
    assert torch.equal(opened(bad)(x), module.eval()(x))
    assert read(bad).tensors
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "bomb.pt", weights_only=False)  # what torch.export.load falls back to
    assert (tmp_path / "ran").exists()


def _torch_file(folder):
    torch.save(Bomb(folder / "ran"), folder / "bomb.pt")
    return (folder / "bomb.pt").read_bytes()


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickled_weights_and_constants_are_refused(tmp_path, exported, kind):
    def change(name, data):
        if name.endswith(f"model_{kind}_config.json"):
            config = json.loads(data)
            next(iter(config["config"].values()))["use_pickle"] = True
            return json.dumps(config)
        return _torch_file(tmp_path) if name.endswith(("weight_0", "tensor_0")) else data

    bad = changed(exported[False][0], tmp_path / "a.pt2", change)
    with pytest.raises(BadInput, match="stored as a pickle"):
        opened(bad)
    assert not (tmp_path / "ran").exists()


def with_model(path, target, change):
    def rewritten(name, data):
        if name != "models/model.json":
            return data
        model = json.loads(data)
        change(model)
        return json.dumps(model)

    return changed(path, target, rewritten)


@pytest.mark.parametrize("target", [
    "torch.hub.load", "torch.load", "torch.ops.aten.from_file.default", "torch.ops.aten.save.default", "os.system",
    "_operator.methodcaller", "_operator.attrgetter", "math.factorial", "#evil:op", "torch.ops.aten.relu.out",
    "torch.ops.aten.relu.__class__",
    "torch.ops.aten.set_.source_Storage", "torch.ops.prim.device.default", "torch.ops.aten.as_strided.default", "",
    "torch.ops.aten.add.Tensor.op.__globals__", "torch.ops.torch.ops.aten.relu.default", "xtorch.ops.aten.relu.default"])
def test_operators_outside_the_list_are_refused(tmp_path, exported, target):
    bad = with_model(exported[False][0], tmp_path / "a.pt2",
                     lambda model: model["graph_module"]["graph"]["nodes"][0].update(target=target))
    with pytest.raises(BadInput, match="not among the operators"):
        opened(bad)


def test_expressions_guards_and_names_are_never_evaluated(tmp_path, exported):
    path, module = exported[False]
    code = f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"

    def change(model):
        graph = model["graph_module"]["graph"]
        for value in graph["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code
        model["guards_code"] = [code]
        model["range_constraints"] = {code: {"min_val": 0, "max_val": 1}}
        for node in graph["nodes"]:
            node["name"] = node["metadata"]["stack_trace"] = code

    bad = with_model(path, tmp_path / "a.pt2", change)
    x = torch.ones(2, 1, 8, 8)
    assert torch.equal(opened(bad)(x), module.eval()(x))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["as_graph", "as_operator", "as_custom_obj", "as_string"])
def test_arguments_of_other_kinds_are_refused(tmp_path, exported, kind):
    bad = with_model(exported[False][0], tmp_path / "a.pt2", lambda model: model["graph_module"]["graph"]["nodes"][0][
        "inputs"].append({"name": "x", "arg": {kind: "/etc/passwd"}, "kind": 2}))
    with pytest.raises(BadInput, match="of the kind"):
        opened(bad)


def test_a_program_that_changes_its_input_is_refused(tmp_path):
    class Changes(nn.Module):
        def forward(self, x):
            return x.add_(1)

    torch.export.save(torch.export.export(Changes(), (torch.ones(2, 3),)), tmp_path / "a.pt2")
    with pytest.raises(BadInput, match="in place"):
        opened(tmp_path / "a.pt2")


def test_a_shape_that_is_not_stored_and_a_missing_part_are_refused(tmp_path, exported):
    def stretch(name, data):
        if name.endswith("model_weights_config.json"):
            config = json.loads(data)
            config["config"]["conv.weight"]["tensor_meta"]["sizes"][0]["as_int"] = 2**40
            return json.dumps(config)
        return data

    with pytest.raises(BadInput, match="claims the shape"):
        opened(changed(exported[False][0], tmp_path / "a.pt2", stretch))
    with pytest.raises(BadInput, match="not a program this version reads"):
        opened(with_model(exported[False][0], tmp_path / "b.pt2", lambda model: model["graph_module"].pop("graph")))
    cut = changed(exported[False][0], tmp_path / "c.pt2", lambda name, data: b"{" if name.endswith("model.json") else data)
    with pytest.raises(BadInput, match="should be JSON"):
        opened(cut)


def test_a_program_with_two_inputs_is_refused(tmp_path):
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    torch.export.save(torch.export.export(Two(), (torch.ones(2), torch.ones(2))), tmp_path / "a.pt2")
    with pytest.raises(BadInput, match="takes 2 inputs"):
        opened(tmp_path / "a.pt2")


def test_every_listed_operator_exists_and_takes_no_file():
    for name in ATEN:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            schema = getattr(packet, overload)._schema
            assert not any("file" in argument.name for argument in schema.arguments), schema
    assert resolved("torch.ops.aten._assert_tensor_metadata.default") is None
