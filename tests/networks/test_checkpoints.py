"""Checkpoints that can be read: formats, wrappings, prefixes, number formats, and what is said about them."""

import argparse
import functools
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.networks import Net, build, checkpoints
from landscape.networks.checkpoints import not_finite, read
from landscape.networks.foreign import match


def some_state(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return OrderedDict(
        (name, torch.randn(shape, generator=generator))
        for name, shape in {"first.weight": (5, 4), "first.bias": (5,), "last.weight": (3, 5), "last.bias": (3,)}.items()
    )


def same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def save(path, state, kind):
    if kind == "zip":
        torch.save(state, path)
    elif kind == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif kind == "safetensors":
        safetensors.torch.save_file(dict(state), path)
    else:
        with open(path, "wb") as file:  # np.savez would add .npz to other names
            (np.savez_compressed if kind == "packed" else np.savez)(file, **{k: v.numpy() for k, v in state.items()})


@pytest.mark.parametrize(("kind", "name"), [("zip", "a.pt"), ("zip", "a.ckpt"), ("zip", "a.bin"), ("legacy", "a.t7"),
                                            ("legacy", "a.pth"), ("npz", "a.npz"), ("packed", "a.npz")])
def test_every_format_is_read_to_the_bit(tmp_path, kind, name):
    state = some_state()
    save(tmp_path / name, state, kind)
    found = read(tmp_path / name)
    same(found.tensors, state)
    assert found.size == (tmp_path / name).stat().st_size
    assert found.notes == ()


def test_safetensors_come_in_file_order_with_their_metadata(tmp_path):
    safetensors.torch.save_file(dict(some_state()), tmp_path / "a.safetensors", {"run": "7", "made": "here"})
    found = read(tmp_path / "a.safetensors")
    assert found.metadata == {"run": "7", "made": "here"}
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert list(found.tensors) == file.offset_keys()
    same(dict(sorted(found.tensors.items())), dict(sorted(some_state().items())))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_large_files_are_mapped_and_give_the_same(tmp_path, kind, monkeypatch):
    save(tmp_path / "a", some_state(), kind)
    whole = read(tmp_path / "a")
    monkeypatch.setattr(checkpoints, "MAPPED_FROM", 0)
    mapped = read(tmp_path / "a")
    same(mapped.tensors, whole.tensors)
    assert (mapped.metadata, mapped.notes) == (whole.metadata, whole.notes)


def test_the_contents_decide_and_not_the_name(tmp_path):
    save(tmp_path / "a.pt", some_state(), "safetensors")
    save(tmp_path / "b.safetensors", some_state(), "zip")
    same(dict(sorted(read(tmp_path / "a.pt").tensors.items())), dict(sorted(some_state().items())))
    same(read(tmp_path / "b.safetensors").tensors, some_state())


WRAPPINGS = ["state_dict", "model_state_dict", "model", "net", "network", "weights", "ema_state_dict"]


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("key", WRAPPINGS)
def test_wrappings_are_taken_off_and_said(tmp_path, key, kind):
    save(tmp_path / "a.pt", {"epoch": 3, "best": torch.tensor(0.5), key: some_state(),
                             "optimizer": {"state": {0: {"momentum_buffer": torch.ones(5, 4)}}}}, kind)
    found = read(tmp_path / "a.pt")
    same(found.tensors, some_state())
    assert key in found.notes[0]


def test_the_plain_model_comes_before_its_average_which_is_mentioned_and_can_be_chosen(tmp_path):
    torch.save({"ema_state_dict": some_state(1), "model": {"state_dict": some_state(0)}}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    same(found.tensors, some_state(0))
    assert "'ema_state_dict'" in found.notes[0]
    same(read(tmp_path / "a.pt", entry="ema_state_dict").tensors, some_state(1))
    with pytest.raises(BadInput, match="Did you mean 'ema_state_dict'"):
        read(tmp_path / "a.pt", entry="ema_statedict")


def test_an_entry_of_any_name_is_found_if_it_is_the_only_network(tmp_path):
    torch.save({"generator_7": some_state(), "optim_state": {"m": torch.ones(3)}, "step": 3}, tmp_path / "a.pt")
    same(read(tmp_path / "a.pt").tensors, some_state())


def test_several_networks_are_read_as_one_and_said(tmp_path):
    torch.save({"encoder": {"w": torch.ones(2)}, "decoder": {"w": torch.zeros(2)}}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    same(found.tensors, {"encoder.w": torch.ones(2), "decoder.w": torch.zeros(2)})
    assert "'encoder', 'decoder'" in found.notes[0]


PREFIXES = ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "net.model."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_are_taken_off(tmp_path, prefix):
    torch.save({prefix + name: tensor for name, tensor in some_state().items()}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    same(found.tensors, some_state())
    assert found.notes


def test_a_name_inside_is_freed_from_compile_and_a_shared_prefix_is_needed(tmp_path):
    torch.save({"body._orig_mod.w": torch.ones(2), "model.w": torch.zeros(2)}, tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt").tensors) == ["body.w", "model.w"]


def test_an_averaged_model_of_torch(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(nn.Linear(3, 2))
    torch.save(averaged.state_dict(), tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt").tensors) == ["weight", "bias"]


def test_what_is_no_tensor_is_ignored_with_a_note(tmp_path):
    torch.save({**some_state(), "version": 3, "_extra_state": {"a": [1]}}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    same(found.tensors, some_state())
    assert "version, _extra_state" in found.notes[0]


def test_a_list_of_tensors_is_numbered(tmp_path):
    torch.save(list(some_state().values()), tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt").tensors) == ["0", "1", "2", "3"]


class AttributeDict(dict):
    """As Lightning keeps hyper-parameters."""


def lightning(path, **more):
    torch.save({
        "epoch": 3, "pytorch-lightning_version": "2.4.0", "state_dict": {f"model.{k}": v for k, v in some_state().items()},
        "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(5, 4)}}}], "lr_schedulers": [],
        "hparams_name": "kwargs", "hyper_parameters": AttributeDict(lr=0.1, ns=argparse.Namespace(depth=3)), **more}, path)


def test_a_lightning_checkpoint_with_objects_inside_is_read_without_them(tmp_path):
    lightning(tmp_path / "a.ckpt", activation=functools.partial(torch.relu))
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(tmp_path / "a.ckpt", weights_only=True)
    found = read(tmp_path / "a.ckpt")
    same(found.tensors, some_state())
    assert "argparse.Namespace" in found.notes[-1]
    assert "nothing of them was loaded" in found.notes[-1]


def test_the_inert_reader_gives_the_same_tensors_as_torch(tmp_path):
    storage = torch.arange(60.0)
    state = {"view": storage[5:35].view(5, 6).t(), "tied": storage[5:35].view(5, 6), "half": torch.ones(3).half(),
             "brain": torch.randn(7, generator=torch.Generator().manual_seed(0)).bfloat16(), "long": torch.arange(4),
             "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "parameter": nn.Parameter(torch.ones(2)),
             "flag": torch.tensor([True, False])}
    torch.save({"state_dict": state}, tmp_path / "plain.pt")
    torch.save({"state_dict": state, "args": argparse.Namespace(a=1)}, tmp_path / "object.pt")
    plain, inert = read(tmp_path / "plain.pt").tensors, read(tmp_path / "object.pt").tensors
    same(inert, plain)
    assert inert["view"].data_ptr() == inert["tied"].data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64, torch.bool])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_number_formats_are_kept_in_the_file_and_converted_for_the_module(tmp_path, dtype, kind):
    state = {"weight": torch.tensor([[1.0, 0.0, 1.0]]).to(dtype), "bias": torch.tensor([1.0]).to(dtype)}
    save(tmp_path / "a", state, kind)
    found = read(tmp_path / "a")
    assert {tensor.dtype for tensor in found.tensors.values()} == {dtype}
    matched = match(nn.Linear(3, 1), {name: found.tensors[name] for name in state})
    assert matched.w.dtype == torch.float32
    assert matched.w.tolist() == [1, 0, 1, 1]


def test_big_endian_and_fortran_arrays(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    np.savez(tmp_path / "a.npz", big=values.astype(">f4"), fortran=np.asfortranarray(values))
    found = read(tmp_path / "a.npz").tensors
    assert found["big"].dtype == torch.float32
    assert found["big"].tolist() == found["fortran"].tolist() == values.tolist()


def test_not_finite_weights_are_named_and_counted():
    tensors = {"fine": torch.tensor([3e38, 3e38]), "nan": torch.tensor([1.0, float("nan"), float("inf")]),
               "whole": torch.tensor([1, 2]), "half": torch.tensor([60000.0, 60000.0, -float("inf")]).half()}
    assert not_finite(tensors) == {"nan": 2, "half": 1}


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize(("network", "shape"), [("mlp", (8, 8)), ("conv", (8, 8)), ("preresnet8", (3, 8, 8))])
def test_our_own_networks_saved_by_plain_torch_come_back_to_the_bit(tmp_path, network, shape, norm):
    module = build(network, shape, 3, (8, 16), norm=norm)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    net, other = Net(module), build(network, shape, 3, (8, 16), norm=norm)
    matched = match(other, read(tmp_path / "a.pt").tensors)
    assert matched.complete
    assert matched.notes == ()
    assert torch.equal(matched.w, net.initial)
    assert list(matched.buffers) == list(net.buffers)
    assert all(torch.equal(matched.buffers[name], value) for name, value in net.buffers.items())
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Net(other)(matched.w, x, matched.buffers), net(net.initial, x))
