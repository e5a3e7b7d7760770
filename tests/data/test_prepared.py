"""Data as a network from elsewhere wants it: scale, channel order, which examples, and what is refused."""

import numpy as np
import pytest

from landscape.data import load
from landscape.data.prepared import Wanted, prepared
from landscape.errors import BadInput


@pytest.fixture
def pictures(folder):
    rng = np.random.default_rng(0)
    arrays = {f"x_{name}": rng.integers(0, 256, (n, 3, 6, 5), np.uint8) for name, n in (("train", 40), ("test", 30))}
    arrays |= {f"y_{name}": np.arange(n) % 4 for name, n in (("train", 40), ("test", 30))}
    np.savez(folder / "p.npz", **arrays)
    return arrays


def test_embedded_data_are_those_of_our_own_training():
    found, own = prepared(Wanted("digits", train_size=600)), load("digits", 0, 600)
    assert np.array_equal(found.dataset.test.x, own.test.x)
    assert np.array_equal(found.dataset.train.y, own.train.y)
    assert found.own_train
    assert "test examples" in found.judged


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [("none", lambda x: x), ("unit", lambda x: x / 255), ("0.5;0.25", lambda x: (x / 255 - 0.5) / 0.25),
     ("0.4,0.5,0.6/0.1,0.2,0.3", lambda x: (x / 255 - np.array([0.4, 0.5, 0.6])[:, None, None])
      / np.array([0.1, 0.2, 0.3])[:, None, None])],
)
def test_pictures_are_scaled_as_asked_for(pictures, normalisation, expected):
    data = prepared(Wanted("file:p.npz", normalisation)).dataset
    for name in ("train", "test"):
        raw = pictures[f"x_{name}"].astype(float)
        np.testing.assert_allclose(data.splits[name].x, expected(raw), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(data.raw(data.splits[name].x), raw, atol=1e-3)
    assert np.array_equal(data.test.y, pictures["y_test"])


def test_standard_is_by_the_training_set_of_the_file(pictures):
    x = prepared(Wanted("file:p.npz")).dataset.train.x
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-5)


def test_bgr_turns_the_channels_round_before_they_are_scaled(pictures):
    data = prepared(Wanted("file:p.npz", "0.1,0.2,0.3;1,1,1", channels="BGR")).dataset
    seen = pictures["x_test"][:, ::-1] / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]
    np.testing.assert_allclose(data.test.x, seen, atol=1e-6)
    plain = prepared(Wanted("file:p.npz")).dataset.test.x
    np.testing.assert_allclose(prepared(Wanted("file:p.npz", channels="BGR")).dataset.test.x, plain[:, ::-1], atol=1e-6)


def test_embedded_pictures_come_back_as_the_whole_numbers_they_were():
    unit = prepared(Wanted("digits", "unit")).dataset.test.x
    assert np.array_equal(np.unique(unit * 16), np.arange(17))
    assert np.array_equal(prepared(Wanted("digits", "none")).dataset.test.x, unit * 16)


def test_a_file_that_is_one_set_is_used_whole_unless_it_was_divided_for_training_here(folder):
    x, y = np.random.default_rng(0).normal(size=(70, 3)), np.arange(70) % 2
    np.savez(folder / "pool.npz", x=x, y=y)
    found = prepared(Wanted("file:pool.npz", "none"))
    np.testing.assert_allclose(found.dataset.test.x, x, rtol=1e-6)
    assert not found.own_train
    assert found.judged == "all 70 examples of pool.npz"
    divided = prepared(Wanted("file:pool.npz", seed=3))
    assert np.array_equal(divided.dataset.test.x, load("file:pool.npz", 3).test.x)
    assert divided.own_train


def test_a_limit_takes_a_stratified_part_and_all_takes_everything(pictures):
    found = prepared(Wanted("file:p.npz", "none", examples=8))
    assert np.bincount(found.dataset.test.y).tolist() == [2, 2, 2, 2]
    assert len(found.dataset.train) == 40
    assert "8 of the 30" in found.judged
    whole = prepared(Wanted("file:p.npz", "none", split="all"))
    assert len(whole.dataset.test) == 70
    assert "training examples among them" in whole.judged


def test_labels_are_not_counted_anew(folder):
    """A few examples of a 100-class set need not show every class: label k still stands for the network's output k."""
    np.savez(folder / "few.npz", x=np.zeros((3, 4)), y=np.array([7, 90, 7]))
    data = prepared(Wanted("file:few.npz", "none")).dataset
    assert data.test.y.tolist() == [7, 90, 7]
    assert len(data.classes) == 91
    (folder / "few.csv").write_text("a,b,label\n1,2,3\n4,5,9\n0,1,3\n")
    found = prepared(Wanted("file:few.csv", "none"))
    assert found.dataset.test.y.tolist() == [3, 9, 3]
    assert "same numbers" in found.notes[0]


def test_numbers_to_regress_on_stay_as_they_are(folder):
    x, y = np.random.default_rng(0).normal(size=(50, 2)), 100 + np.random.default_rng(1).normal(size=50)
    np.savez(folder / "r.npz", x=x, y=y)
    found = prepared(Wanted("file:r.npz", "none", loss="mse"))
    assert found.dataset.kind == "regression"
    np.testing.assert_allclose(found.dataset.test.y[:, 0], y, rtol=1e-6)
    np.savez(folder / "c.npz", x=x, y=np.arange(50) % 3)
    numbers = prepared(Wanted("file:c.npz", "none", loss="mse")).dataset
    assert numbers.kind == "regression"
    assert numbers.test.y.dtype == np.float32


def test_tokens_are_their_own_targets(folder):
    tokens = np.random.default_rng(0).integers(0, 50, (12, 9))
    np.savez(folder / "t.npz", x=tokens)
    data = prepared(Wanted("file:t.npz", loss="causal")).dataset
    assert np.array_equal(data.test.x, tokens)
    assert np.array_equal(data.test.y, tokens)
    assert data.test.x.dtype == np.int64
    np.savez(folder / "f.npz", x=tokens * 0.5)
    with pytest.raises(BadInput, match="whole numbers"):
        prepared(Wanted("file:f.npz", loss="causal"))


@pytest.mark.parametrize(
    ("given", "said"),
    [({"normalisation": "half"}, "standard, none, unit"), ({"normalisation": "1;0"}, "above 0"),
     ({"normalisation": "0.1,0.2;1,1"}, "3 of each"), ({"normalisation": "120;60"}, "Divide both lists by 255")],
)
def test_a_normalisation_that_cannot_be_meant_is_refused(pictures, given, said):
    with pytest.raises(BadInput, match=said):
        prepared(Wanted("file:p.npz", **given))


def test_bgr_needs_three_channels():
    with pytest.raises(BadInput, match="three colour channels"):
        prepared(Wanted("digits", channels="BGR"))


def test_data_beside_a_checkpoint_are_read_by_their_path_only_below_the_roots(tmp_path, folder, monkeypatch):
    monkeypatch.delenv("LANDSCAPE_ROOTS", raising=False)
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "d.npz"
    np.savez(path, x=np.zeros((4, 2)), y=np.arange(4) % 2)
    with pytest.raises(BadInput, match="LANDSCAPE_ROOTS is not set"):
        prepared(Wanted(str(path), "none"))
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path / "mine"))
    assert len(prepared(Wanted(str(path), "none")).dataset.test) == 4
    for bad in (f"{tmp_path}/mine/../mine/d.npz", "/etc/hostname", f"{tmp_path}/outside"):
        with pytest.raises(BadInput):
            prepared(Wanted(bad, "none"))
    (tmp_path / "mine" / "link.npz").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="outside the folders"):
        prepared(Wanted(str(tmp_path / "mine" / "link.npz"), "none"))
