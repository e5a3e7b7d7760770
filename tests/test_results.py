"""Results go to disk and back unchanged."""

import json

import numpy as np
import pytest

from landscape.results import History, Judged, Mark, Predictive, Profile, Samples, Summary, Surface, pack, unpack


def examples():
    axes = (np.linspace(0, 1, 3), np.linspace(0, 2, 4))
    values = {"train_nll": np.array([[1.0, np.nan, np.inf, 0.1]] * 3)}
    mark = Mark("w1", "optimum", 0.5, 0.25, {"train_nll": 0.3}, 1e-3)
    return [
        Surface(axes, values, np.eye(3, 4, dtype=bool), (mark,), np.zeros((5, 2)), {"angle": np.float64(60), "final": True}),
        Surface(axes, values, np.eye(3, 4, dtype=bool)),
        Profile("segment", np.linspace(0, 1, 5), np.arange(5.0), {"train_nll": np.ones(5)}, {"optima": np.zeros((5, 2))}),
        History(("seed 0",), np.arange(2), np.ones(2), {"train_loss": np.ones((1, 2))}, {"diverged": {}}),
        Summary({"key": "k", "ends": [1.0, 2.0]}),
        Samples(np.ones((4, 2)), np.zeros((4, 2)), np.zeros(4), np.arange(4) % 2, np.full(4, np.nan), {"said": ["a word"]}),
        Samples(np.ones((4, 0)), np.zeros((4, 2)), np.zeros(4), np.zeros(4, int), np.array([1.0, -np.inf, 0, 2]), {"of": 4}),
        Judged("classes", {"probabilities": np.full((3, 2), 0.5, np.float32), "labels": np.arange(3) % 2}),
        Judged("regression", {"mean": np.ones(3)}, {"mean": np.zeros(2)}, {"label": "sgd", "said": ["a word"]}),
        Predictive({"nll": 0.5}, np.full((3, 2), 0.5, np.float32), np.arange(3)),
        Predictive({"nll": 0.5}, np.ones((3, 1)), np.ones((3, 1)), {"epistemic": np.ones((3, 1))}, {"x": np.arange(5.0)}),
    ]


@pytest.mark.parametrize("result", examples(), ids=lambda r: type(r).__name__)
def test_pack_and_unpack_are_inverse(result):
    meta, arrays = pack(result)
    again = unpack(json.loads(json.dumps(meta)), arrays)
    assert type(again) is type(result)
    second_meta, second_arrays = pack(again)
    assert second_meta == meta
    assert all(np.array_equal(second_arrays[k], v, equal_nan=v.dtype.kind == "f") for k, v in arrays.items())


def test_only_results_are_packed():
    with pytest.raises(TypeError, match="Surface"):
        pack({"not": "a result"})
