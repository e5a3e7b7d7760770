"""Files that are not what they say, and files that lie where they must not: refused before anything is read."""

import io
import os
import zipfile

import numpy as np
import pytest

from landscape.data import load
from landscape.data.dataset import SPLITS
from landscape.data.folder import data_folder
from landscape.errors import BadInput

N = 60


def some(n=N, shape=(5,), classes=3, seed=0):
    """n inputs and labels, every class in its turn."""
    rng = np.random.default_rng(seed)
    return rng.normal(3.0, 2.0, (n, *shape)).astype(np.float32), np.arange(n) % classes


def npz(folder, name="own.npz", **arrays):
    np.savez_compressed(folder / name, **arrays)
    return load(f"file:{name}")


def sizes(data):
    return [len(data.splits[s]) for s in SPLITS]


# Files that are not what they say

def test_objects_in_an_npz_are_refused_without_unpickling(folder):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(folder / "ran"),)
    _, y = some()
    with pytest.raises(BadInput, match="pickle"):
        npz(folder, x=np.array([Bomb()] * N, dtype=object), y=y)
    assert not (folder / "ran").exists()


def npy_header(shape, dtype="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def zipped(folder, members, name="own.npz"):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(folder, monkeypatch):
    import tracemalloc
    side = 3000
    np.savez_compressed(folder / "own.npz", x=np.zeros((side, side), np.float32), y=np.arange(side) % 2)
    assert (folder / "own.npz").stat().st_size < 100_000
    monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", "1000000")
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=r"the limit is 1,000,000.*LANDSCAPE_MAX_DATA_BYTES"):
            load("file:own.npz")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**40,), (10**9, 10**9), (3,)])
def test_a_header_that_promises_other_than_is_stored_is_refused(folder, shape):
    zipped(folder, [("x.npy", npy_header(shape) + bytes(64)), ("y.npy", npy_header((16,)) + bytes(64))])
    with pytest.raises(BadInput, match="header promises"):
        load("file:own.npz")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not numpy at all",
                                     b"\x93NUMPY\x01\x00\x10\x00{'descr': oops}"])
def test_a_spoilt_npy_header_is_refused(folder, content):
    zipped(folder, [("x.npy", content), ("y.npy", npy_header((16,)) + bytes(64))])
    with pytest.raises(BadInput, match="npy header"):
        load("file:own.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_stored_twice_is_refused(folder):
    zipped(folder, [("x.npy", npy_header((16,)) + bytes(64))] * 2)
    with pytest.raises(BadInput, match="twice"):
        load("file:own.npz")


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_file_that_was_cut_off_is_refused(folder, keep):
    x, y = some()
    npz(folder, x=x, y=y)
    content = (folder / "own.npz").read_bytes()
    (folder / "own.npz").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BadInput, match="damaged or cut off"):
        load("file:own.npz")


def test_a_damaged_byte_is_noticed(folder):
    x, y = some()
    npz(folder, x=x, y=y)
    content = bytearray((folder / "own.npz").read_bytes())
    content[700] ^= 0xFF
    (folder / "own.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"own\.npz"):
        load("file:own.npz")


# Where files may lie

@pytest.mark.parametrize("name", ["../outside/secret.npz", "/etc/passwd", "a/../../outside/secret.npz", "~/x.npz", "",
                                  " ", "..", "..\\outside\\secret.npz", "C:\\x.npz", "x\0.npz", "x\n.npz"])
def test_names_that_lead_out_of_the_folder_are_refused(folder, name):
    x, y = some()
    np.savez(folder.parent / "outside" / "secret.npz", x=x, y=y)
    with pytest.raises(BadInput, match="inside the data folder"):
        load(f"file:{name}")


@pytest.mark.parametrize("through", ["file", "folder"])
def test_links_out_of_the_folder_are_refused(folder, through):
    x, y = some()
    outside = folder.parent / "outside"
    np.savez(outside / "secret.npz", x=x, y=y)
    (folder / "link").symlink_to(outside)
    (folder / "secret.npz").symlink_to(outside / "secret.npz")
    with pytest.raises(BadInput, match="link out of the data folder"):
        load("file:secret.npz" if through == "file" else "file:link/secret.npz")


def test_links_inside_the_folder_are_followed_and_circles_are_not(folder):
    x, y = some()
    (folder / "sub").mkdir()
    npz(folder, "sub/own.npz", x=x, y=y)
    (folder / "link.npz").symlink_to(folder / "sub" / "own.npz")
    assert sizes(load("file:link.npz")) == sizes(load("file:sub/own.npz"))
    (folder / "a.npz").symlink_to(folder / "b.npz")
    (folder / "b.npz").symlink_to(folder / "a.npz")
    with pytest.raises(BadInput, match=r"a\.npz"):
        load("file:a.npz")


def test_a_pipe_is_refused_without_waiting_for_it(folder):
    os.mkfifo(folder / "own.npz")
    with pytest.raises(BadInput, match="not a regular file"):
        load("file:own.npz")


def test_a_missing_file_is_answered_with_the_nearest(folder):
    x, y = some()
    npz(folder, "flowers.npz", x=x, y=y)
    with pytest.raises(BadInput, match=r"Did you mean file:flowers\.npz"):
        load("file:flower.npz")


def test_a_missing_folder_says_how_to_name_one(folder, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_DATA", str(folder / "nowhere"))
    with pytest.raises(BadInput, match="LANDSCAPE_DATA"):
        load("file:own.npz")


def test_without_a_setting_the_folder_is_the_platform_s(monkeypatch):
    monkeypatch.delenv("LANDSCAPE_DATA", raising=False)
    assert data_folder().parts[-2:] == ("landscape", "data")


def test_an_unreadable_file_is_refused(folder, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")
    (folder / "own.npz").write_bytes(b"PK")
    monkeypatch.setattr(os, "open", denied)  # for root, no file is unreadable
    with pytest.raises(BadInput, match="permissions"):
        load("file:own.npz")


@pytest.mark.parametrize("name", ["own.npz", "own.csv", "train-images-idx3-ubyte"])
def test_empty_files_are_refused(folder, name):
    (folder / name).touch()
    (folder / name.replace("images-idx3", "labels-idx1")).touch()
    with pytest.raises(BadInput, match="is empty"):
        load(f"file:{name}")


def test_a_large_file_is_refused_before_it_is_read(folder, monkeypatch):
    with open(folder / "own.csv", "wb") as file:
        file.truncate(2**40)  # takes no space on the disk
    with pytest.raises(BadInput, match=r"holds 1,099,511,627,776 bytes; the limit is 2,147,483,648"):
        load("file:own.csv")
    for wrong in ("lots", "0", "-1"):
        monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", wrong)
        with pytest.raises(BadInput, match="positive whole number"):
            load("file:own.csv")


@pytest.mark.parametrize("name", ["notes.txt", "model.pt", "sub"])
def test_other_formats_are_answered_with_those_that_are_read(folder, name):
    (folder / name).mkdir() if name == "sub" else (folder / name).write_text("hello")
    with pytest.raises(BadInput, match="Expected: npz"):
        load(f"file:{name}")
