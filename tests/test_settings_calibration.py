"""The settings of a comparison of predictions: complete for every task, and words for those that cannot be."""

import hashlib

import numpy as np
import pytest

from landscape import catalog
from landscape.errors import BadInput
from landscape.settings import parse
from landscape.uncertainty.shift import CORRUPTIONS


@pytest.mark.parametrize(("given", "said"), [
    ({"sources": "sgd,swagg"}, "Did you mean 'swag'"),
    ({"sources": ""}, "1 to 24 sources"),
    ({"sources": "swag", "scaled": "sgd"}, "source to be scaled"),
    ({"calibrators": "temprature"}, "Did you mean 'temperature'"),
    ({"corruptions": "blurr"}, "Did you mean 'blur'"),
    ({"ood": "noises"}, "Did you mean 'noise'"),
    ({"ood": "mnist1d"}, "inputs of the task itself"),
    ({"ood": "noise", "held_out": "1"}, "needs ood=classes"),
    ({"opened": "0123456789abcdef"}, "key of a run, a colon"),
    ({"posteriors": ":ess"}, "key of a run, a colon"),
    ({"bins": "0"}, "bins"),
    ({"draws": "1"}, "draws"),
    ({"alpha": "1"}, "alpha"),
    ({"splits": "0"}, "splits"),
    ({"members": "0"}, "members"),
    ({"swag_scale": "inf"}, "swag_scale"),
    ({"task": "mnist2d without 3"}, "Did you mean 'mnist1d'"),
])
def test_bad_settings_say_what_is_wrong(given, said):
    with pytest.raises(BadInput, match=said):
        parse("calibration", given)


@pytest.mark.parametrize("task", catalog.TASKS)
def test_every_task_has_a_comparison(task):
    s = parse("calibration", {"task": task})
    own = catalog.CALIBRATIONS[task]
    assert {name: getattr(s, name) for name in own} == own
    assert set(s.sources) <= set(catalog.SOURCES)
    assert set(s.corruptions) <= set(CORRUPTIONS)


def test_slide_24_is_the_default():
    s = parse("calibration", {})
    assert s.task == "mnist1d"
    assert {"sgd", "swa", "swag", "ensemble", "multiswag"} <= set(s.sources)
    assert s.scaled == ("sgd",)
    assert parse("calibration", {"sources": "swag"}).scaled == ()


def test_the_walk_is_the_one_averaging_trains():
    walk, s = parse("walk", {"task": "mnist1d"}), parse("calibration", {"task": "mnist1d"})
    assert all(getattr(s, name) == getattr(walk, name) for name in type(walk).model_fields)


def test_places_with_commas_are_typed_as_they_are_written():
    s = parse("calibration", {"opened": "0123456789abcdef:optima:1.25,-3.5, 0123456789abcdef:=w1 (seed 0),gallery-0a:c@0.5"})
    assert s.opened == ("0123456789abcdef:optima:1.25,-3.5", "0123456789abcdef:=w1 (seed 0)", "gallery-0a:c@0.5")


def test_a_task_without_classes_starts_from_the_tasks_own_settings():
    a, b = (parse("walk", {"task": task}) for task in ("mnist1d", "mnist1d without 8,9"))
    assert b.task == "mnist1d without 8,9"
    assert a.model_dump() == b.model_dump() | {"task": "mnist1d"}


@pytest.mark.parametrize("table", ["SOURCES", "UNKNOWNS"])
def test_every_row_of_the_catalog_resolves(table):
    for name, row in getattr(catalog, table).items():
        assert callable(row.load()), name
        assert row.title
        assert row.about
        assert row.defaults.get("method", "swag") in catalog.METHODS


def test_other_contents_of_a_file_are_another_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path))
    file = tmp_path / "mine.npz"
    np.savez(file, logits=np.zeros((3, 2)), labels=np.zeros(3, int))
    first = parse("predictions", {"file": str(file)})
    assert first.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert first.task == "mine.npz"
    np.savez(file, logits=np.ones((3, 2)), labels=np.zeros(3, int))
    assert parse("predictions", {"file": str(file)}).digest != first.digest


def test_only_files_that_may_be_read_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path / "open"))
    (tmp_path / "open" / "folder").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("label,a,b\n0,1,0\n")
    for file, said in ((tmp_path / "secret.csv", "outside the folders"), (tmp_path / "open" / "no.csv", "There is no"),
                       (tmp_path / "open" / "folder", "regular file"), (tmp_path / "open" / ".." / "secret.csv", r"'\.\.'")):
        with pytest.raises(BadInput, match=said):
            parse("predictions", {"file": str(file)})
