"""Folders of pictures: what is read, and what is refused by name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from landscape.data import load, own_files
from landscape.data.prepared import Wanted, prepared
from landscape.errors import BadInput


def save(folder, name, pixels):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def animals(folder):
    rng = np.random.default_rng(0)
    return {(label, i): save(folder, f"animals/{label}/{i}.png", rng.integers(0, 256, (5, 4, 3), np.uint8))
            for label in ("cat", "ant", "dog") for i in range(6)}


def test_classes_are_folders_in_alphabetical_order(animals):
    data = prepared(Wanted("file:animals", "none")).dataset
    assert data.classes == ("ant", "cat", "dog")
    assert data.shape == (3, 5, 4)
    assert np.bincount(data.test.y).tolist() == [6, 6, 6]
    expected = np.stack([np.moveaxis(animals[label, i], 2, 0) for label in data.classes for i in range(6)])
    assert np.array_equal(data.test.x, expected.astype(np.float32))
    assert "animals" in "".join(own_files())


def test_it_is_a_task_to_train_on_too(animals):
    data = load("file:animals", seed=1)
    assert len(data.train) + len(data.validation) + len(data.test) == 18
    assert data.view == "image"


def test_sets_in_folders_of_their_own_are_kept(folder):
    grey = np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8)
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        for label in "ab":
            for i in range(count):
                save(folder, f"sets/{part}/{label}/{i}.png", grey + i)
    found = prepared(Wanted("file:sets", "unit"))
    assert [len(found.dataset.splits[name]) for name in ("train", "validation", "test")] == [10, 4, 6]
    assert found.dataset.shape == (1, 4, 4)
    assert found.own_train
    np.testing.assert_allclose(found.dataset.test.x[0, 0] * 255, grey, atol=1e-4)


def test_grey_pictures_among_coloured_ones_get_three_channels(folder, animals):
    save(folder, "animals/ant/grey.png", np.full((5, 4), 7, np.uint8))
    data = prepared(Wanted("file:animals", "none")).dataset
    assert data.shape[0] == 3
    assert (data.test.x == 7).all(axis=(1, 2, 3)).any()


def test_another_size_is_named(folder, animals):
    save(folder, "animals/cat/zz.png", np.zeros((6, 4, 3), np.uint8))
    with pytest.raises(BadInput, match=r"cat/zz\.png has 4x6 pixels"):
        prepared(Wanted("file:animals", "none"))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_picture_is_named(folder, animals, content):
    (folder / "animals" / "dog" / "bad.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.png"):
        prepared(Wanted("file:animals", "none"))


def test_a_damaged_picture_is_named(folder, animals):
    path = folder / "animals" / "dog" / "0.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadInput, match=r"dog/0\.png"):
        prepared(Wanted("file:animals", "none"))


def test_a_bomb_is_refused_by_its_header(folder, animals):
    """A few bytes that claim 30000 x 30000 pixels: refused before anything is unpacked."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (folder / "animals" / "ant" / "bomb.png").write_bytes(bomb)
    with pytest.raises(BadInput, match=r"bomb\.png|limit"):
        prepared(Wanted("file:animals", "none"))


def test_the_size_limit_counts_all_pictures(folder, animals, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", "4000")
    with pytest.raises(BadInput, match="LANDSCAPE_MAX_DATA_BYTES"):
        prepared(Wanted("file:animals", "none"))


def test_links_out_of_the_folder_and_deep_pixels_are_refused(folder, animals, tmp_path):
    save(tmp_path, "outside/x.png", np.zeros((5, 4, 3), np.uint8))
    (folder / "animals" / "cat" / "link.png").symlink_to(tmp_path / "outside" / "x.png")
    with pytest.raises(BadInput, match="link out of the data folder"):
        prepared(Wanted("file:animals", "none"))
    (folder / "animals" / "cat" / "link.png").unlink()
    Image.fromarray(np.zeros((5, 4), np.uint16)).save(folder / "animals" / "cat" / "deep.png")
    with pytest.raises(BadInput, match="8 bits"):
        prepared(Wanted("file:animals", "none"))
