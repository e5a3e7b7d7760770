"""Data files and predictions with accidents in them are read or refused with a sentence."""

import gzip
import pickle
import struct

import numpy as np
import pytest
from mutations import damaged, held
from PIL import Image

from landscape.data.files import from_file
from landscape.errors import BadInput
from landscape.uncertainty import reading

KINDS = ["table.csv", "arrays.npz", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "data_batch_1", "one.png"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    return tmp_path


def written(kind: str, folder):
    """(the name of the data, the file that is damaged)."""
    random = np.random.default_rng(0)
    x, y = random.random((60, 4)), random.integers(0, 3, 60)
    if kind == "table.csv":
        rows = ["a,b,c,d,label", *(",".join(map(str, (*row, label))) for row, label in zip(x, y, strict=True))]
        (folder / kind).write_text("\n".join(rows))
    elif kind == "arrays.npz":
        np.savez_compressed(folder / kind, x_train=x, y_train=y)
    elif kind.startswith("train-images"):
        pixels = random.integers(0, 255, (60, 5, 5), np.uint8)
        labels = struct.pack(">II", 2049, 60) + y.astype(np.uint8).tobytes()
        pack = gzip.compress if kind.endswith(".gz") else bytes
        (folder / kind).write_bytes(pack(struct.pack(">IIII", 2051, 60, 5, 5) + pixels.tobytes()))
        (folder / kind.replace("images-idx3", "labels-idx1")).write_bytes(pack(labels))
    elif kind == "data_batch_1":
        (folder / "cifar").mkdir()
        batch = {b"data": random.integers(0, 255, (30, 3072), np.uint8), b"labels": (np.arange(30) % 3).tolist()}
        for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
            (folder / "cifar" / name).write_bytes(pickle.dumps(batch, protocol=2))
        return "cifar", folder / "cifar" / kind
    else:
        for name in ("cats", "dogs"):
            (folder / "pets" / name).mkdir(parents=True)
            for i in range(8):
                Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8)).save(folder / "pets" / name / f"{i}.png")
        return "pets", folder / "pets/cats/0.png"
    return kind, folder / kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_data(folder, kind):
    name, path = written(kind, folder)
    from_file(name)
    whole = path.read_bytes()
    for data in damaged(whole, seed=11):
        path.write_bytes(data)
        held(lambda: from_file(name), BadInput)


@pytest.mark.parametrize("kind", ["csv", "npz"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_predictions(tmp_path, kind):
    random, path = np.random.default_rng(0), tmp_path / f"predictions.{kind}"
    outputs, labels = random.dirichlet(np.ones(3), 40), random.integers(0, 3, 40)
    if kind == "npz":
        np.savez(path, probabilities=outputs, labels=labels)
    else:
        lines = ["a,b,c,label", *(",".join(map(str, (*row, label))) for row, label in zip(outputs, labels, strict=True))]
        path.write_text("\n".join(lines))
    reading.read(path)
    whole = path.read_bytes()
    for data in damaged(whole, seed=13):
        path.write_bytes(data)
        held(lambda: reading.read(path), BadInput)
