"""IDX files: pairs written here come back as they were; spoilt and greedy ones are refused."""

import gzip
import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.data import load
from landscape.data.readers import idx
from landscape.errors import BadInput

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
N = 40


def idx_bytes(array):
    code = CODES[array.dtype.str[1:]]
    return (struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
            + array.astype(array.dtype.newbyteorder(">")).tobytes())


def digits(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 6, 5), dtype=np.uint8), (np.arange(n) % 4).astype(np.uint8)


def write_pair(folder, kind, x, y, zipped=False, pattern="{kind}-{what}-idx{axes}-ubyte"):
    for what, array, axes in (("images", x, 3), ("labels", y, 1)):
        content = idx_bytes(array)
        name = pattern.format(kind=kind, what=what, axes=axes) + (".gz" if zipped else "")
        (folder / name).write_bytes(gzip.compress(content) if zipped else content)


def pixels(data, split):
    return data.raw(data.splits[split].x).round().astype(np.uint8)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("pattern", ["{kind}-{what}-idx{axes}-ubyte", "{kind}-{what}.idx{axes}-ubyte"])
def test_idx_pairs_come_back_as_they_were_written(folder, zipped, pattern):
    x, y = digits()
    tx, ty = digits(20, seed=1)
    write_pair(folder, "train", x, y, zipped, pattern)
    write_pair(folder, "t10k", tx, ty, zipped, pattern)
    end = ".gz" if zipped else ""
    data = load(f"file:{pattern.format(kind='train', what='images', axes=3)}{end}")
    assert (data.shape, data.view, data.classes) == ((1, 6, 5), "image", ("0", "1", "2", "3"))
    assert np.array_equal(pixels(data, "test")[:, 0], tx)
    assert np.array_equal(data.test.y, ty)
    held = np.concatenate([pixels(data, "train"), pixels(data, "validation")])[:, 0].reshape(N, -1)
    assert np.array_equal(held[np.lexsort(held.T)], x.reshape(N, -1)[np.lexsort(x.reshape(N, -1).T)])


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "mnist"])
def test_idx_is_found_from_its_labels_or_its_folder(folder, name):
    (folder / "mnist").mkdir()
    for where in (folder, folder / "mnist"):
        write_pair(where, "t10k", *digits(20, seed=1))
        write_pair(where, "train", *digits())
    data = load(f"file:{name}")
    assert [len(split) for split in data.splits.values()] == [34, 6, 20]


def test_one_idx_pair_is_divided_in_three(folder):
    write_pair(folder, "t10k", *digits())
    data = load("file:t10k-images-idx3-ubyte")
    assert [len(split) for split in data.splits.values()] == [26, 6, 8]


def test_idx_labels_of_another_length_are_refused(folder):
    x, y = digits()
    write_pair(folder, "train", x, y[:-3])
    with pytest.raises(BadInput, match="40 examples but 37 targets"):
        load("file:train-images-idx3-ubyte")


@pytest.mark.parametrize("present", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "idx3-ubyte"])
def test_idx_without_its_partner_is_refused(folder, present):
    (folder / present).write_bytes(idx_bytes(digits()[0]))
    with pytest.raises(BadInput, match="beside it"):
        load(f"file:{present}")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("change", "message"), [
    (lambda b: b[:-1], "1,200 bytes .*found only 1,199"),
    (lambda b: b + b"\0", "found more"),
    (lambda b: b[:10], "ends within its header"),
    (lambda b: b[:3], "not an IDX file"),
    (lambda b: b"\x01" + b[1:], "not an IDX file"),
    (lambda b: b[:2] + b"\x0a" + b[3:], "not an IDX file"),
    (lambda b: b[:3] + b"\x09" + b[4:], "1 to 4 axes"),
    (lambda b: b[:4] + b"\xff" * 8 + b[12:], "the limit is"),
    (lambda b: b[:4] + bytes(4) + b[8:], "found more"),
])
def test_spoilt_idx_files_are_refused(folder, change, message, zipped):
    x, y = digits()
    write_pair(folder, "train", x, y)
    path = folder / "train-images-idx3-ubyte"
    content = change(path.read_bytes())
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(BadInput, match=message):
        load(f"file:{path.name}")


def test_a_gzip_file_that_was_cut_off_is_refused(folder):
    write_pair(folder, "train", *digits(), zipped=True)
    path = folder / "train-images-idx3-ubyte.gz"
    for content in (path.read_bytes()[:-30], path.read_bytes()[:40] + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="not a whole gzip file"):
            load(f"file:{path.name}")


def test_a_gzip_bomb_is_never_unpacked_beyond_its_header(folder, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", "1000000")
    write_pair(folder, "train", *digits())
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(idx_bytes(digits()[0]) + bytes(50_000_000)))
    with pytest.raises(BadInput, match="found more"):
        load(f"file:{path.name}")
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((30, 1000, 1000), np.uint8))))
    with pytest.raises(BadInput, match="the limit is 1,000,000"):
        load(f"file:{path.name}")


@given(st.sampled_from(sorted(CODES)), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_any_idx_array_survives_the_round_trip(code, shape, seed):
    array = np.random.default_rng(seed).integers(-100, 100, shape).astype(code)
    back = idx.parse("x", io.BytesIO(idx_bytes(array)))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@settings(max_examples=300)
@given(st.binary(max_size=64) | st.builds(
    lambda code, axes, rest: bytes([0, 0, code, axes]) + rest,
    st.sampled_from(sorted(CODES.values())), st.integers(0, 6), st.binary(max_size=40)))
def test_any_bytes_are_an_idx_array_or_are_refused(content):
    try:
        array = idx.parse("x", io.BytesIO(content))
    except BadInput:
        return
    assert idx_bytes(array) == content
