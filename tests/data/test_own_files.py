"""The user's own files: what is read, how it is divided, and what its arrays may not hold."""

import numpy as np
import pytest

from landscape.data import load
from landscape.data.dataset import SPLITS
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


def raw_rows(data):
    return np.concatenate([data.raw(data.splits[s].x) for s in SPLITS])


def sorted_rows(x):
    x = x.reshape(len(x), -1)
    return x[np.lexsort(x.T)]


# What is read

def test_one_set_is_divided_in_three_and_nothing_is_lost(folder):
    x, y = some()
    data = npz(folder, x=x, y=y)
    assert sizes(data) == [39, 9, 12]
    assert (data.kind, data.view, data.shape) == ("classification", "table", (5,))
    assert data.classes == ("0", "1", "2")
    assert np.allclose(sorted_rows(raw_rows(data)), sorted_rows(x), atol=1e-5)
    assert np.allclose(data.train.x.mean(0), 0, atol=1e-6)
    assert np.allclose(data.train.x.std(0), 1, atol=1e-6)
    assert [np.bincount(data.splits[s].y).tolist() for s in SPLITS] == [[13] * 3, [3] * 3, [4] * 3]
    assert "own.npz" in data.provenance
    assert "held out" in data.provenance


def test_inputs_keep_their_labels(folder):
    x, y = some()
    data = npz(folder, x=np.c_[x, y], y=y)
    for split in data.splits.values():
        assert np.allclose(data.raw(split.x)[:, -1], split.y, atol=1e-5)


def test_sets_of_the_file_are_kept_and_validation_is_held_out_of_training(folder):
    x, y = some()
    tx, ty = some(21, seed=1)
    data = npz(folder, x_train=x, y_train=y, x_test=tx, y_test=ty)
    assert sizes(data) == [51, 9, 21]
    assert np.allclose(data.raw(data.test.x), tx, atol=1e-5)
    assert np.array_equal(data.test.y, ty)


def test_three_sets_of_the_file_are_kept_in_their_order(folder):
    arrays = {}
    for seed, split in enumerate(SPLITS):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = some(30 + seed, seed=seed)
    data = npz(folder, **arrays)
    for split in SPLITS:
        assert np.allclose(data.raw(data.splits[split].x), arrays[f"x_{split}"], atol=1e-5)
    assert "held out" not in data.provenance
    assert len(load("file:own.npz", train_size=12).train) == 12


def test_train_size_and_seed_reach_own_files(folder):
    x, y = some()
    npz(folder, x=x, y=y)
    small, other = load("file:own.npz", train_size=12), load("file:own.npz", seed=1, train_size=12)
    assert sizes(small) == [12, 9, 12]
    assert not np.array_equal(small.raw(small.train.x), other.raw(other.train.x))
    with pytest.raises(BadInput, match=r"from 1 to 39.*found 40"):
        load("file:own.npz", train_size=40)


@pytest.mark.parametrize(("shape", "expected"), [
    ((6, 7), (1, 6, 7)), ((3, 6, 7), (3, 6, 7)), ((6, 7, 3), (3, 6, 7)), ((1, 8, 8), (1, 8, 8))])
def test_images_come_out_channel_first_and_scaled_by_channel(folder, shape, expected):
    x, y = some(shape=shape)
    data = npz(folder, x=(x * 9).clip(0, 255).astype(np.uint8), y=y)
    assert (data.shape, data.view) == (expected, "image")
    assert np.allclose(data.train.x.mean((0, 2, 3)), 0, atol=1e-5)
    assert len(data.normalisation["std"]) == expected[0]
    moved = np.moveaxis(x, 3, 1) if shape == (6, 7, 3) else x.reshape(N, *expected)
    whole = (moved * 9).clip(0, 255).astype(np.uint8)
    assert np.allclose(sorted_rows(raw_rows(data).round()), sorted_rows(whole), atol=1e-3)


def test_targets_with_decimals_are_regression_and_scaled(folder):
    x, _ = some(shape=())
    data = npz(folder, x=x, y=1000 * np.sin(x))
    assert (data.kind, data.view, data.classes, data.outputs) == ("regression", "line", (), 1)
    assert data.train.y.mean() == pytest.approx(0, abs=1e-5)
    mean, std = data.normalisation["target_mean"][0], data.normalisation["target_std"][0]
    assert np.allclose(data.test.y * std + mean, 1000 * np.sin(data.raw(data.test.x)), atol=0.05)


def test_class_names_may_be_texts(folder):
    x, y = some()
    names = np.array(["owl", "ant", "cat"])
    data = npz(folder, x=x, y=names[y])
    assert data.classes == ("ant", "cat", "owl")
    assert np.bincount(data.train.y).tolist() == [13, 13, 13]


def test_two_columns_are_a_plane_and_constant_columns_stay_finite(folder):
    x, y = some(shape=(2,))
    x[:, 1] = 4
    data = npz(folder, x=x, y=y)
    assert data.view == "plane"
    assert (data.train.x[:, 1] == 0).all()


# What the arrays may not hold

@pytest.mark.parametrize(("change", "message"), [
    (lambda x, y: (np.where(np.arange(N)[:, None] == 7, np.nan, x), y), "found nan in row 7, column 0"),
    (lambda x, y: (x.astype(float) * 1e300, y), "float32.*found -?inf in row 0"),
    (lambda x, y: (x, 0 * y), "at least 2 classes"),
    (lambda x, y: (x, 0 * y + 3), "at least 2 classes"),
    (lambda x, y: (x, y - 1), "found -1 in row 0"),
    (lambda x, y: (x, y + 1), "out of range.*0 to 2, found 1 to 3"),
    (lambda x, y: (x, y * 1000), "out of range"),
    (lambda x, y: (x, y + 0.5), "not whole numbers .*found 0.5 in row 0"),
    (lambda x, y: (x, np.where(y == 1, np.nan, y)), "y must be finite.*found nan in row 1"),
    (lambda x, y: (x, y[:-2]), "60 examples but 58 targets"),
    (lambda x, y: (x[:0], y[:0]), "empty"),
    (lambda x, y: (x[:, :0], y), "empty"),
    (lambda x, y: (x[:9], y[:9]), "9 examples; at least 10"),
    (lambda x, y: (x, np.eye(3)[y]), "argmax"),
    (lambda x, y: (x.astype(complex), y), "dtype complex128"),
    (lambda x, y: (x.astype(str), y), "inputs must be numbers"),
    (lambda x, y: (x[:, :, None, None, None], y), "inputs must have shape"),
    (lambda x, y: (x.reshape(N, 5, 1, 1).repeat(2, 2), y), None),
    (lambda x, y: (np.zeros((N, 5, 5, 5)), y), "1, 3 or 4 channels"),
    (lambda x, y: (x, y.astype("datetime64[s]")), "dtype datetime64"),
])
def test_arrays_that_cannot_be_used_are_refused(folder, change, message):
    x, y = change(*some())
    if message is None:  # channels last, one channel: fine
        assert npz(folder, x=x, y=y).shape == (1, 5, 2)
        return
    with pytest.raises(BadInput, match=message):
        npz(folder, x=x, y=y)


@pytest.mark.parametrize(("arrays", "message"), [
    ({"x": 0}, "lacks y; found x"),
    ({"a": 0, "b": 0}, "found a, b"),
    ({"x_test": 0, "y_test": 1}, "no such arrays"),
    ({"x": 0, "y": 1, "x_train": 0, "y_train": 1}, "both kinds"),
    ({"x_train": 0, "y_train": 1, "x_test": 0}, "lacks y_test"),
])
def test_missing_arrays_are_named(folder, arrays, message):
    with pytest.raises(BadInput, match=message):
        npz(folder, **{key: some()[i] for key, i in arrays.items()})


@pytest.mark.parametrize(("test", "message"), [
    (lambda x, y: (x[:, :4], y), "one shape"),
    (lambda x, y: (x, y + 1), "from 0 to 2 .*found 3 in row 2"),
    (lambda x, y: (x, y + 0.5), "whole numbers as in the training set, found 0.5 in row 0"),
    (lambda x, y: (x, y.astype(str)), "same way"),
])
def test_a_test_set_unlike_the_training_set_is_refused(folder, test, message):
    x, y = some()
    tx, ty = test(*some(20))
    with pytest.raises(BadInput, match=message):
        npz(folder, x_train=x, y_train=y, x_test=tx, y_test=ty)


def test_a_strange_class_name_in_the_test_set_is_refused(folder):
    x, y = some()
    with pytest.raises(BadInput, match="label '7' in row 0"):
        npz(folder, x_train=x, y_train=y.astype(str), x_test=x, y_test=(y + 7).astype(str))


def test_equal_regression_targets_are_refused(folder):
    x, _ = some()
    y = np.r_[np.full(N, 0.5), np.linspace(0, 1, 20)]
    with pytest.raises(BadInput, match="takes only 1 values"):
        npz(folder, x_train=x, y_train=y[:N], x_test=x[:20], y_test=y[N:])


def test_the_files_of_the_data_folder_are_listed(tmp_path, monkeypatch):
    from landscape.data import own_files

    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "none"))
    assert own_files() == []
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    np.savez(tmp_path / "mine.npz", x=np.zeros((3, 2)), y=np.zeros(3))
    (tmp_path / "notes.txt").write_text("not data")
    (tmp_path / "table.csv").write_text("a,label\n1,x\n")
    assert own_files() == ["file:mine.npz", "file:table.csv"]
