"""What every row of the catalog must give, and what single datasets promise."""

import dataclasses
import json

import numpy as np
import pytest

from landscape import ASSETS, catalog
from landscape.data import load, validated
from landscape.data.dataset import SPLITS, VIEWS, Split
from landscape.data.splits import stratified_order
from landscape.data.synthetic import CLUSTERS, NOISE_VARIANCE, regression_features, regression_mean
from landscape.errors import BadInput

SIZES = {"digits": (1197, 300, 300), "mnist1d": (4000, 1000, 1000), "mnist5k": (3500, 500, 1000),
         "moons": (200, 200, 1000), "spirals": (200, 200, 1000), "regression": (400, 200, 400)}
SHAPES = {"digits": (1, 8, 8), "mnist1d": (40,), "mnist5k": (1, 28, 28), "moons": (2,), "spirals": (2,),
          "regression": (2,)}
every = pytest.mark.parametrize("name", catalog.DATASETS)
classes_only = pytest.mark.parametrize("name", [name for name in catalog.DATASETS if name != "regression"])


def rows_of(split):
    return {row.tobytes() for row in split.x}


def equal(one, other):
    return all(np.array_equal(one.splits[s].x, other.splits[s].x) and
               np.array_equal(one.splits[s].y, other.splits[s].y) for s in SPLITS)


@every
def test_every_row_gives_finite_float32_examples_of_the_promised_shape_and_size(name):
    data = load(name)
    assert data.name == name
    assert data.shape == SHAPES[name]
    assert tuple(len(data.splits[s]) for s in SPLITS) == SIZES[name]
    for split in data.splits.values():
        assert split.x.dtype == np.float32
        assert np.isfinite(split.x).all()
        assert np.abs(split.x).max() < 15
    assert data.view in VIEWS


@every
def test_targets_are_classes_in_range_or_columns_of_float32(name):
    data = load(name)
    for split in data.splits.values():
        if data.kind == "classification":
            assert split.y.dtype == np.int64
            assert split.y.shape == (len(split),)
            assert np.array_equal(np.unique(split.y), np.arange(data.outputs))  # every class in every set
        else:
            assert split.y.dtype == np.float32
            assert split.y.shape == (len(split), data.outputs)


@every
def test_every_row_says_where_it_comes_from_and_under_which_licence(name):
    data = load(name)
    assert len(data.provenance) > 60
    assert len(data.licence) > 8
    assert data.title == catalog.DATASETS[name].title
    assert json.loads(json.dumps(data.normalisation)) == data.normalisation
    assert {"mean", "std", "unit", "note"} <= set(data.normalisation)
    assert f"`{name}`" in (ASSETS / "data" / "README.md").read_text()


@every
def test_no_example_is_in_two_sets(name):
    data = load(name, seed=1)
    rows = [rows_of(data.splits[s]) for s in SPLITS]
    assert sum(map(len, rows)) == len(set.union(*rows)) == sum(SIZES[name])


@every
def test_equal_seeds_give_equal_data_and_other_seeds_other_data(name):
    assert equal(load(name, seed=3, train_size=100), load(name, seed=3, train_size=100))
    assert not equal(load(name, seed=3, train_size=100), load(name, seed=4, train_size=100))


@every
def test_a_smaller_training_set_is_a_smaller_one_and_leaves_validation_alone(name):
    small, whole = load(name, train_size=50), load(name)
    assert len(small.train) == 50
    assert np.allclose(small.raw(small.validation.x), whole.raw(whole.validation.x), atol=1e-4)
    assert np.array_equal(small.validation.y, whole.validation.y)


@pytest.mark.parametrize("name", ["digits", "mnist1d", "mnist5k"])
def test_more_training_examples_than_there_are_is_refused_with_their_number(name):
    with pytest.raises(BadInput, match=f"from 1 to {SIZES[name][0]}.*found 70000"):
        load(name, train_size=70_000)


@every
@pytest.mark.parametrize("size", [0, -5])
def test_no_training_examples_are_refused(name, size):
    with pytest.raises(BadInput, match="train_size must be from 1"):
        load(name, train_size=size)


def test_generated_data_have_as_many_training_examples_as_asked_up_to_a_limit():
    assert len(load("moons", train_size=5000).train) == 5000
    with pytest.raises(BadInput, match="from 1 to 100000"):
        load("moons", train_size=100_001)


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_inputs_are_scaled_by_the_training_set_alone(name):
    data = load(name, train_size=300)
    assert data.train.x.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert data.train.x.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    raw = data.raw(data.train.x).mean(dtype=np.float64)
    assert data.normalisation["mean"] == pytest.approx(raw, abs=1e-3)
    pixels = data.raw(data.test.x)
    assert np.allclose(pixels, pixels.round(), atol=1e-3)
    assert pixels.max() == pytest.approx({"digits": 16, "mnist5k": 255}[name], abs=1e-3)


def test_digits_give_the_test_set_what_training_leaves():
    data = load("digits", train_size=600)
    assert [len(split) for split in data.splits.values()] == [600, 300, 897]
    from sklearn.datasets import load_digits
    found = np.concatenate([data.raw(split.x).round() for split in data.splits.values()]).reshape(-1, 64)
    pool = load_digits().data
    assert np.array_equal(found[np.lexsort(found.T)], pool[np.lexsort(pool.T)])


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_training_sets_are_stratified_at_every_size(name):
    for size in (100, 333):
        counts = np.bincount(load(name, seed=2, train_size=size).train.y, minlength=10)
        assert np.abs(counts - size / 10).max() <= 4


def test_a_stratified_order_keeps_shares_in_every_prefix_and_shuffles_within_a_class():
    y = np.repeat([0, 1, 2], [700, 200, 100])
    order = stratified_order(y, np.random.default_rng(0))
    assert np.array_equal(np.sort(order), np.arange(1000))
    shares = np.cumsum(y[order][:, None] == np.arange(3), axis=0)
    expected = np.arange(1, 1001)[:, None] * [0.7, 0.2, 0.1]
    assert np.abs(shares - expected).max() < 3
    first = order[y[order] == 0]
    assert abs(np.corrcoef(first, np.arange(700))[0, 1]) < 0.2


def test_mnist1d_is_the_canonical_set_whatever_the_seed():
    one, other = load("mnist1d", seed=0), load("mnist1d", seed=9)
    assert equal(one, other)
    both = np.concatenate([one.train.x, one.test.x]).astype(np.float64)
    assert both.mean() == pytest.approx(0, abs=1e-6)
    assert both.std() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(np.bincount(np.concatenate([one.train.y, one.test.y])), np.full(10, 500))
    assert np.array_equal(np.bincount(one.validation.y), np.full(10, 100))
    assert one.validation.x.std() == pytest.approx(1, abs=0.05)  # the same scale, not one of its own


def test_mnist1d_small_training_sets_come_from_the_training_set():
    assert rows_of(load("mnist1d", train_size=500).train) < rows_of(load("mnist1d").train)


def test_moons_and_spirals_are_their_formulas():
    data = load("moons", train_size=20_000)
    upper, lower = (data.train.x[data.train.y == k] for k in (0, 1))
    assert upper.mean(0) == pytest.approx([0, 2 / np.pi], abs=0.02)
    assert lower.mean(0) == pytest.approx([1, 0.5 - 2 / np.pi], abs=0.02)
    assert upper.var(0) == pytest.approx([0.5 + 0.09, 0.5 - 4 / np.pi**2 + 0.09], abs=0.02)
    radius = np.linalg.norm(load("spirals", train_size=20_000).train.x, axis=1)
    assert radius.mean() == pytest.approx(0.8, abs=0.02)


def test_regression_has_gaps_and_the_noise_it_states():
    data = load("regression", train_size=30_000)
    x = 2 * data.train.x[:, 0].astype(np.float64)
    assert np.allclose(data.train.x, regression_features(x))
    assert np.allclose(data.raw(data.train.x), np.stack([x, x**2], 1), atol=1e-4)
    for low, high in CLUSTERS:
        assert ((x > low - 1e-6) & (x < high + 1e-6)).mean() == pytest.approx(1 / 3, abs=1e-3)
    noise = data.train.y[:, 0] - regression_mean(x)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.var() == pytest.approx(NOISE_VARIANCE, rel=0.05)


@classes_only
def test_label_noise_changes_training_labels_only(name):
    clean, noisy = load(name, seed=5), load(name, seed=5, label_noise=0.2)
    changed = (clean.train.y != noisy.train.y).mean()
    expected = 0.2 * (1 - 1 / clean.outputs)  # a random label is the old one once in a while
    assert changed == pytest.approx(expected, abs=4 * np.sqrt(expected / len(clean.train)))
    assert np.array_equal(clean.train.x, noisy.train.x)
    for split in ("validation", "test"):
        assert np.array_equal(clean.splits[split].y, noisy.splits[split].y)
    assert f"{round(0.2 * len(clean.train))} of {len(clean.train)} training labels" in noisy.provenance
    assert equal(noisy, load(name, seed=5, label_noise=0.2))


def test_label_noise_follows_the_seed():
    clean = load("mnist1d").train.y
    one, other = (load("mnist1d", seed=seed, label_noise=0.5).train.y != clean for seed in (0, 1))
    assert (one & other).mean() == pytest.approx(0.45**2, abs=0.03)  # as two independent draws


def test_all_labels_replaced_are_uniform():
    y = load("mnist1d", label_noise=1.0).train.y
    assert np.abs(np.bincount(y, minlength=10) - 400).max() < 80  # four standard deviations


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_noise_outside_0_to_1_is_refused(share):
    with pytest.raises(BadInput, match="from 0 to 1"):
        load("moons", label_noise=share)


def test_label_noise_on_regression_is_refused():
    with pytest.raises(BadInput, match="regression"):
        load("regression", label_noise=0.1)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BadInput, match="'digits'"):
        load("digitz")


def test_a_negative_seed_is_refused():
    with pytest.raises(BadInput, match="seed"):
        load("moons", seed=-1)


def spoilt(change):
    data = load("moons")
    x, y = data.train.x.copy(), data.train.y.copy()
    return dataclasses.replace(data, train=Split(*change(x, y)))


def put(array, index, value):
    array[index] = value
    return array


@pytest.mark.parametrize(("change", "message"), [
    (lambda x, y: (put(x, (7, 1), np.nan), y), "row 7, column 1"),
    (lambda x, y: (put(x, (3, 0), np.inf), y), "found inf in row 3, column 0"),
    (lambda x, y: (x, y[:-1]), "200 examples but 199 targets"),
    (lambda x, y: (x[:0], y[:0]), "is empty"),
    (lambda x, y: (x, put(y, 4, 2)), "from 0 to 1 .*found 2 in row 4"),
    (lambda x, y: (x, put(y, 4, -1)), "found -1 in row 4"),
    (lambda x, y: (x, 0 * y), "at least 2 classes"),
    (lambda x, y: (x, y.astype(float)), "int64"),
    (lambda x, y: (x.astype(float), y), "float32"),
    (lambda x, y: (x[:, :1], y), "one shape"),
])
def test_a_dataset_that_cannot_be_trained_on_is_refused(change, message):
    with pytest.raises(BadInput, match=message):
        validated(spoilt(change))
