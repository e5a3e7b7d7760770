"""CIFAR batches: arrays of every pickle protocol come back; a pickle that names anything else is refused."""

import io
import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest

from landscape.data import load
from landscape.data.readers import cifar
from landscape.errors import BadInput


def pixels(data, split):
    return data.raw(data.splits[split].x).round().astype(np.uint8)


def batch(n=30, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    return {b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), b"labels": [i % classes for i in range(n)],
            b"batch_label": b"batch", b"filenames": [f"{i}.png".encode() for i in range(n)]}


def write_cifar10(folder, batches=2, protocol=2):
    (folder / "cifar").mkdir()
    for i in range(batches):
        (folder / "cifar" / f"data_batch_{i + 1}").write_bytes(pickle.dumps(batch(seed=i), protocol))
    (folder / "cifar" / "test_batch").write_bytes(pickle.dumps(batch(20, seed=9), protocol))
    (folder / "cifar" / "batches.meta").write_bytes(
        pickle.dumps({b"label_names": [b"plane", b"car", b"bird"]}, protocol))
    return folder / "cifar"


@pytest.mark.parametrize("protocol", range(6))
def test_cifar10_batches_come_back_as_channel_first_images(folder, protocol):
    write_cifar10(folder, protocol=protocol)
    data = load("file:cifar")
    assert (data.shape, data.view, data.classes) == ((3, 32, 32), "image", ("plane", "car", "bird"))
    assert [len(split) for split in data.splits.values()] == [51, 9, 20]
    assert np.array_equal(pixels(data, "test").reshape(20, -1), batch(20, seed=9)[b"data"])
    assert data.test.y.tolist() == batch(20)[b"labels"]


def test_cifar100_takes_the_fine_labels(folder):
    (folder / "cifar-100").mkdir()
    for name, n in (("train", 40), ("test", 20)):
        content = {b"data": batch(n)[b"data"], b"fine_labels": [i % 4 for i in range(n)], b"coarse_labels": [0] * n}
        (folder / "cifar-100" / name).write_bytes(pickle.dumps(content, 2))
    data = load("file:cifar-100")
    assert data.classes == ("0", "1", "2", "3")
    assert data.test.y.tolist() == [i % 4 for i in range(20)]


def py2_pickle(array):
    """What Python 2 wrote: protocol 2, array content and names as byte strings."""
    def short(text):
        return b"U" + bytes([len(text)]) + text
    return (b"\x80\x02}(" + short(b"data") + b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85"
            + short(b"b") + b"\x87R(K\x01" + b"M" + struct.pack("<H", len(array)) + b"M"
            + struct.pack("<H", array.shape[1]) + b"\x86cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R(K\x03"
            + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", array.size)
            + array.tobytes() + b"tb" + short(b"labels") + b"](" + b"".join(b"K" + bytes([i % 3]) for i in range(len(array)))
            + b"eu.")


def test_the_pickles_that_python_2_wrote_are_read(folder):
    content = py2_pickle(batch(30)[b"data"])
    pickletools.dis(content, out=io.StringIO())  # a well-formed pickle
    assert np.array_equal(pickle.loads(content, encoding="bytes")[b"data"], batch(30)[b"data"])
    (folder / "cifar").mkdir()
    (folder / "cifar" / "data_batch_1").write_bytes(content)
    assert len(load("file:cifar").train) == 20
    assert np.array_equal(cifar.unpickled("x", content)["data"], batch(30)[b"data"])


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)),
                                   np.arange(4, dtype=">i4"), np.zeros((0, 3), np.uint8), np.array([True, False])])
@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_arrays_of_every_protocol_are_rebuilt(array, protocol):
    back = cifar.unpickled("x", pickle.dumps({"a": array}, protocol))["a"]
    assert back.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(back, array)


def calls(module, name, *args):
    """A pickle that calls module.name(*args)."""
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n" + pickle.dumps(args, 2)[2:-1] + b"R."


@pytest.mark.parametrize("content", [
    calls("os", "system", "touch ran"),
    calls("builtins", "eval", "open('ran', 'w')"),
    calls("builtins", "getattr", "a", "b"),
    calls("builtins", "bytes", 2**60),
    calls("numpy", "load", "x"),
    calls("numpy.core.multiarray", "fromfile", "x"),
    calls("_codecs", "decode", "x"),
    calls("_codecs", "encode", "x", "zip"),
    calls("numpy._core.multiarray", "scalar", "x"),
    b"\x80\x02cposix\nsystem\nq\x00X\x09\x00\x00\x00touch ran\x85R.",
    b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
    b"(S'touch ran'\nios\nsystem\n.",
    b"P0\n.",
    b"\x80\x02\x82\x01.",
])
def test_pickles_that_call_anything_else_are_refused_and_nothing_runs(folder, monkeypatch, content):
    monkeypatch.chdir(folder)
    write_cifar10(folder, batches=1)
    (folder / "cifar" / "data_batch_1").write_bytes(content)
    with pytest.raises(BadInput, match="data_batch_1"):
        load("file:cifar")
    assert not (folder / "ran").exists()
    assert not (folder / "cifar" / "ran").exists()


def test_a_refused_pickle_is_told_what_it_names():
    with pytest.raises(BadInput, match=r"names 'os\.system', which could run code"):
        cifar.unpickled("x", calls("os", "system", "true"))


def test_a_pickle_cannot_change_what_the_next_one_may_do():
    state = pickle.dumps((None, {"_make": 1, "__setstate__": 1}), 2)[2:-1]
    for name in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"):
        with pytest.raises(BadInput):
            cifar.unpickled("x", b"\x80\x02" + name + state + b"b.")
    assert cifar.unpickled("x", pickle.dumps({"a": np.arange(3)}))["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [
    calls("numpy._core.numeric", "_frombuffer", 2**60, "x", (1,)),  # bytes(2**60) would ask for that much memory
    b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    pickle.dumps({"a": np.arange(9)})[:-20],
    pickle.dumps({"a": np.array([object])}),
    pickle.dumps({"a": np.zeros(2, "V8")}),
    pickle.dumps({"a": np.zeros(2, "i4,i4")}),
    b"", b".", b"\x80\x7f.", b"hello",
])
def test_damaged_and_greedy_pickles_are_refused(content):
    with pytest.raises(BadInput, match=r"^x"):
        cifar.unpickled("x", content)


def test_a_pickle_cannot_ask_for_memory_by_a_memo_index():
    tracemalloc.start()
    try:
        assert cifar.unpickled("x", b"\x80\x02Nr\xff\xff\xff\x0f.") is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_pickled_array_with_fewer_bytes_than_its_shape_is_refused():
    content = pickle.dumps({"a": np.zeros((7, 3), np.uint8)}, 2)
    assert content.count(b"K\x07K\x03\x86") == 1
    with pytest.raises(BadInput, match=r"shape \(8, 3\) .*21 bytes"):
        cifar.unpickled("x", content.replace(b"K\x07K\x03\x86", b"K\x08K\x03\x86"))


@pytest.mark.parametrize(("change", "message"), [
    ({b"data": np.zeros((30, 100), np.uint8)}, "uint8 of shape"),
    ({b"data": np.zeros((30, 3072))}, "found float64"),
    ({b"data": [1, 2]}, "found list"),
    ({b"labels": [0, 1]}, "30 images but 2 labels"),
    ({b"labels": ["a"] * 30}, "whole numbers"),
    ({b"labels": [0.5] * 30}, "whole numbers"),
    ({b"labels": [-1] * 30}, "found -1 in row 0"),
    ({b"labels": [1] * 30}, "at least 2 classes"),
    ({b"labels": list(range(1, 31))}, "from 0 to 2"),
])
def test_batches_of_other_content_are_refused(folder, change, message):
    write_cifar10(folder, batches=1)
    (folder / "cifar" / "data_batch_1").write_bytes(pickle.dumps({**batch(), **change}, 2))
    with pytest.raises(BadInput, match=message):
        load("file:cifar")


def test_a_batch_that_is_a_link_out_of_the_folder_is_refused(folder):
    path = write_cifar10(folder) / "data_batch_2"
    path.rename(folder.parent / "outside" / "batch")
    path.symlink_to(folder.parent / "outside" / "batch")
    with pytest.raises(BadInput, match="link out of the data folder"):
        load("file:cifar")
