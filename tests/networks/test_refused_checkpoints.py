"""Files that would run code, unpack to more than they are, or are no checkpoints: refused, and nothing is executed."""

import argparse
import ast
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from landscape import ROOT
from landscape.errors import BadInput
from landscape.networks import inert, zipped
from landscape.networks.checkpoints import read
from landscape.networks.roots import opened


class Bomb:
    """Makes a folder when unpickled by anything that runs what a pickle says."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def ran(tmp_path):
    return tmp_path / "ran"


def refused(path, said):
    with pytest.raises(BadInput, match=said) as caught:
        read(path)
    return str(caught.value)


def test_the_bomb_works_where_pickles_are_run(ran):
    pickle.loads(pickle.dumps(Bomb(ran)))
    assert ran.exists()


WRAPS = {
    "alone": lambda bomb: bomb,
    "model": lambda bomb: {"model": bomb},
    "beside": lambda bomb: {"a": torch.ones(2), "b": [bomb]},
    "lightning": lambda bomb: {"state_dict": {"a": torch.ones(2)}, "hyper_parameters": bomb},
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_code_in_a_torch_file_never_runs(tmp_path, ran, wrap, kind):
    path, contents = tmp_path / "a.pt", WRAPS[wrap](Bomb(ran))
    if kind == "pickle":
        path.write_bytes(pickle.dumps(contents))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=kind == "zip")
    if kind == "zip" and wrap in ("beside", "lightning"):  # the weights are read; the bomb beside them is named
        found = read(path)
        assert found.tensors["a"].tolist() == [1, 1]
        assert ".mkdir" in found.notes[-1]
    else:
        refused(path, r"model\.state_dict\(\)")
    assert not ran.exists()


def test_code_in_an_object_array_never_runs(tmp_path, ran):
    np.savez(tmp_path / "a.npz", w=np.array([Bomb(ran)], dtype=object))
    assert "pickle" in refused(tmp_path / "a.npz", "dtype object")
    assert not ran.exists()


def test_torch_is_not_talked_out_of_it_by_the_environment(tmp_path, ran, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"model": Bomb(ran)}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "whole Python objects")
    assert not ran.exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path):
    for kind in (True, False):
        torch.save(nn.Linear(2, 2), tmp_path / "a.pt", _use_new_zipfile_serialization=kind)
        assert "torch.save(model.state_dict()" in refused(tmp_path / "a.pt", r"torch\.nn\.modules\.linear\.Linear")


def test_torchscript_is_refused_with_the_way_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/constants.pkl", b"")
        archive.writestr("a/data.pkl", b"")
    refused(tmp_path / "a.pt", r"TorchScript.*torch\.jit\.load")


# The inert reader: no opcode reaches anything outside its file

def pickled(path, program):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/byteorder", b"little")
        archive.writestr("a/version", b"3")
    return path


MKDIR = b"cos\nmkdir\n"
PROGRAMS = {
    "reduce": lambda f: MKDIR + b"(V" + f + b"\ntR.",
    "instance": lambda f: b"(V" + f + b"\nios\nmkdir\n.",
    "object": lambda f: b"(" + MKDIR + b"V" + f + b"\no.",
    "newobj": lambda f: MKDIR + b"(V" + f + b"\nt\x81.",
    "stack_global": lambda f: b"\x80\x04Vos\nVmkdir\n\x93(V" + f + b"\ntR.",
    "build": lambda f: b"ccollections\nOrderedDict\n)R}V__setstate__\n" + MKDIR + b"sb(V" + f + b"\ntR.",
    "build_class": lambda f: b"ccollections\nOrderedDict\nN}V__call__\n" + MKDIR + b"s\x86b(V" + f + b"\ntR.",
    "extension": lambda f: b"\x82\x01(V" + f + b"\ntR.",
    "call_of_text": lambda f: b"Vos.mkdir\n(V" + f + b"\ntR.",
    "persistent": lambda f: b"V" + f + b"\nQ.",
    "storage_of_code": lambda f: b"(Vstorage\n" + MKDIR + b"V0\nVcpu\nK\x01tQ(V" + f + b"\ntR.",
    "append": lambda f: MKDIR + b"V" + f + b"\na.",
    "huge_memo": lambda f: b"Nr\xff\xff\xff\xff.",
    "huge_bytes": lambda f: b"\x96" + struct.pack("<Q", 2**50) + b"x.",
    "huge_text": lambda f: b"\x8d" + struct.pack("<Q", 2**50) + b"x.",
    "nonsense": lambda f: b"\xff\xfe\xfd",
    "cut": lambda f: b"(((((",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_opcode_of_a_pickle_runs_anything(tmp_path, ran, name):
    path = pickled(tmp_path / "a.pt", PROGRAMS[name](str(ran).encode()))
    tracemalloc.start()
    try:
        refused(path, "a.pt")
        with opened(path) as file, zipped.directory("a", file, path.stat().st_size) as archive:
            try:  # also where torch's own reader would not have come so far
                contents, _ = inert.load("a", archive)
                assert not callable(contents)
            except BadInput:
                pass
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert not ran.exists()


def test_only_opcodes_that_make_constants_and_containers_are_known():
    known = set(inert._Walker.dispatch)
    for name in ("INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER"):
        assert getattr(pickle, name)[0] not in known
    for name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
        assert inert._Walker.dispatch[getattr(pickle, name)[0]].__module__ == inert.__name__


def test_nested_containers_do_not_take_forever(tmp_path):
    layer = {"w": torch.ones(1)}
    for _ in range(40):
        layer = {"a": layer, "b": layer}
    torch.save(layer, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "expected a state dict")


# Bombs

def test_a_zip_bomb_is_refused_before_anything_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a/data/0", "w", force_zip64=True) as stream:
            for _ in range(128):
                stream.write(bytes(2**20))
        archive.writestr("a/data.pkl", b"N.")
    tracemalloc.start()
    try:
        refused(tmp_path / "a.pt", "zip bomb")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_a_zip_unpacks_to_counts_for_the_limit(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(100_000))
    monkeypatch.setenv("LANDSCAPE_MAX_FILE", "50000")
    assert (tmp_path / "a.npz").stat().st_size < 50000
    refused(tmp_path / "a.npz", "unpacked.*LANDSCAPE_MAX_FILE")


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    torch.save({"w": torch.ones(1000)}, tmp_path / "a.pt")
    monkeypatch.setenv("LANDSCAPE_MAX_FILE", "1000")
    refused(tmp_path / "a.pt", "the limit is 1,000")
    monkeypatch.setenv("LANDSCAPE_MAX_FILE", "much")
    refused(tmp_path / "a.pt", "positive whole number")


def test_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("w.npy", b"2")
    refused(tmp_path / "a.npz", "two members of one name")


def header(entry, data=b"", **more):
    text = json.dumps({"w": entry, **more}).encode()
    return struct.pack("<Q", len(text)) + text + data


SAFETENSORS = {
    "shape": header({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}, bytes(64)),
    "offsets": header({"dtype": "F32", "shape": [16], "data_offsets": [0, 2**20]}, bytes(64)),
    "more_shape_than_bytes": header({"dtype": "F32", "shape": [10**6], "data_offsets": [0, 64]}, bytes(64)),
    "overflow": header({"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 64]}, bytes(64)),
    "negative": header({"dtype": "F32", "shape": [-16], "data_offsets": [0, 64]}, bytes(64)),
    "type": header({"dtype": "PYTHON", "shape": [16], "data_offsets": [0, 64]}, bytes(64)),
    "header": struct.pack("<Q", 2**39) + b"{}",
    "cut": header({"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}, bytes(60)),
    "no_json": struct.pack("<Q", 8) + b"{oops!!}",
    "deep": struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_safetensors_header_that_promises_more_than_there_is(tmp_path, name):
    (tmp_path / "a.safetensors").write_bytes(SAFETENSORS[name])
    refused(tmp_path / "a.safetensors", "header|claims")


@pytest.mark.parametrize("shape", [(2**40,), (10**9, 10**9), (3,)])
def test_an_npz_header_that_promises_other_than_is_stored(tmp_path, shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", buffer.getvalue() + bytes(64))
    refused(tmp_path / "a.npz", "its header claims")


@pytest.mark.parametrize("with_object", [False, True])
def test_a_tensor_stretched_over_a_small_storage_is_refused(tmp_path, with_object):
    state = {"w": torch.ones(1).expand(2**40)}
    torch.save({"state_dict": state, **({"args": argparse.Namespace()} if with_object else {})}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "shape bomb")


@pytest.mark.parametrize("with_object", [False, True])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, with_object):
    """The numbers of a tensor's shape are changed inside the pickle."""
    objects = {"args": argparse.Namespace()} if with_object else {}
    torch.save({"state_dict": {"w": torch.ones(77)}, **objects}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "a.pt", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if name.endswith("data.pkl"):
                assert data.count(b"K\x00KM\x85") == 1
                data = data.replace(b"K\x00KM\x85", b"K\x00J\xff\xff\xff\x7f\x85")  # shape (77,) becomes (2**31 - 1,)
            bad.writestr(name, data)
    tracemalloc.start()
    try:
        refused(tmp_path / "a.pt", "damaged|bomb")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_sparse_quantised_and_meta_tensors_are_refused(tmp_path):
    for tensor in (torch.eye(3).to_sparse(), torch.empty(3, device="meta"),
                   torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)):
        torch.save({"w": tensor}, tmp_path / "a.pt")
        refused(tmp_path / "a.pt", "not a plain dense tensor")


# Files that are something else

@pytest.mark.parametrize(("content", "said"), [
    (b"", "is empty"),
    (b"<!DOCTYPE html><html>log in</html>", "web page"),
    (b"  <html>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"),
    (b'{"weight_map": {}}', "JSON"),
    (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    (b"\x1f\x8b\x08" + bytes(20), "gzip"),
    (b"\x93NUMPY\x01\x00", "np.savez"),
    (bytes(257) + b"ustar" + bytes(300), "tar"),
    (b"\x80\x04K\x01.", "pickle"),
    (b"PK\x03\x04garbage", "zip file"),
    (b"\x00\x01\x02garbage", "no checkpoint that is read here"),
    (bytes(range(256)) * 4, "no checkpoint"),
])
def test_other_files_are_named(tmp_path, content, said):
    (tmp_path / "a.pt").write_bytes(content)
    refused(tmp_path / "a.pt", said)


@pytest.mark.parametrize("kind", ["zip", "legacy", "npz"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_answered(tmp_path, kind, part):
    path = tmp_path / "a.pt"
    if kind == "npz":
        with open(path, "wb") as file:
            np.savez(file, w=np.ones(5000))
    else:
        torch.save({"w": torch.ones(5000)}, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    refused(path, "damaged|cut off")


def test_a_flipped_byte_in_an_npz_is_noticed(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(5000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[20000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    refused(tmp_path / "a.npz", "damaged")


@pytest.mark.parametrize("contents", [{}, {"epoch": 3}, torch.ones(3), [1, 2], 5, {"state_dict": {}}])
def test_files_without_a_state_dict_say_what_they_hold(tmp_path, contents):
    torch.save(contents, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "expected a state dict")


def test_nothing_in_the_project_unpickles_or_evaluates_what_a_file_says():
    found = []
    for path in (ROOT / "landscape").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called == "torch.load":
                found.append(path.name)
                assert options["weights_only"] == "True", f"{path}:{node.lineno}"
            assert called not in ("pickle.load", "pickle.loads", "torch.jit.load", "torch.export.load", "eval", "exec",
                                  "torch.hub.load", "joblib.load", "dill.load"), f"{path}:{node.lineno}"
            if called in ("np.load", "numpy.load", "np.lib.format.read_array"):
                assert options["allow_pickle"] == "False", f"{path}:{node.lineno}"
    assert found == ["checkpoints.py"]
