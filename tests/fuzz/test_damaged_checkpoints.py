"""Checkpoints with accidents in them are read or refused with a sentence, never anything else."""

import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from mutations import damaged, held

from landscape.errors import BadInput
from landscape.networks import checkpoints, programs


class Nobody:
    """What a training framework puts into its files beside the weights."""


def state() -> dict:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    return net.state_dict()


def saved(kind: str, path) -> bytes:
    if kind == "safetensors":
        safetensors.torch.save_file(state(), path, {"epoch": "3"})
    elif kind == "npz":
        np.savez(path, **{name: value.numpy() for name, value in state().items()})
    elif kind == "program":
        torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(5, 3),)), path)
    else:
        wrapped = {"epoch": 3, "state_dict": state(), "hyper": Nobody() if kind == "foreign" else {"lr": 0.1}}
        torch.save(wrapped, path, _use_new_zipfile_serialization=kind != "legacy", pickle_module=pickle)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["safetensors", "npz", "zip", "legacy", "foreign", "program"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_checkpoints(tmp_path, kind):
    path = tmp_path / ("net.npz" if kind == "npz" else "net.pt2" if kind == "program" else "net.pt")
    whole = saved(kind, path)
    load = programs.load if kind == "program" else checkpoints.read
    load(path)
    taken = 0
    for number, data in enumerate(damaged(whole, seed=7)):
        path.write_bytes(data)
        try:
            taken += held(lambda: load(path), BadInput)
        except BaseException:
            print(f"file {number} of seed 7")
            raise
    assert taken < number, "nothing was damaged"
