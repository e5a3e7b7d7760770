"""A file of predictions becomes a run like any other; what is wrong with a file is said by the run."""

import json

import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.recipes.judged import classes
from landscape.runs import Library, uploads
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.settings import parse
from landscape.uncertainty.reading import read
from landscape.uncertainty.summary import summary

LOGITS = np.random.default_rng(0).normal(size=(300, 4)) * 3
LABELS = np.array([np.random.default_rng(k).choice(4, p=np.exp(z / 2) / np.exp(z / 2).sum()) for k, z in enumerate(LOGITS)])
FAST = {"draws": 40, "splits": 20}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """``judged(path, **settings)``: the ended run of a file, and its library."""
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path))
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "home"))

    def run(path, **given):
        made = identify("predictions", parse("predictions", FAST | {"file": str(path)} | given))
        compute_here("predictions", made.settings, tmp_path / "home")
        library = Library(tmp_path / "home")
        return library, library.run(made.key)

    return run


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_the_figures_are_those_of_the_command(judged, tmp_path):
    """``landscape calibrate`` and a run of the recipe: one account of one file."""
    path = saved(tmp_path / "mine.npz", logits=LOGITS, labels=LABELS)
    library, run = judged(path, calibrators=("temperature", "isotonic", "pooled"))
    assert run.status == "done", run.message
    assert run.title == "Predictions · mine.npz"
    row = json.loads(json.dumps(library.result(run.key, "summary").values, allow_nan=False))["file"]
    command = summary(read(path).test, None, draws=40)
    for name in ("n", "error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce", "temperature",
                 "changed_predictions", "after"):
        assert row[name] == command[name], name
    seen = library.result(run.key, "judged:file")
    assert seen.validation == {}
    np.testing.assert_allclose(seen.test["probabilities"].sum(1), 1, atol=1e-6)
    assert any("each half of the examples" in said for said in seen.info["said"])
    rows = {each["calibrator"]: each for each in library.result(run.key, "calibrated:file").values["rows"]}
    assert rows["temperature"]["after"]["nll"] == pytest.approx(row["after"]["nll"], rel=1e-6)
    assert rows["isotonic"]["failed"] is None
    assert "several networks" in rows["pooled"]["failed"]
    assert library.result(run.key, "conformal:file").values["scores"]["threshold"]["mean"] > 0.85


def test_validation_examples_of_the_file_are_what_is_fitted_on(judged, tmp_path):
    path = saved(tmp_path / "both.npz", logits=LOGITS[:200], labels=LABELS[:200], validation_logits=LOGITS[200:],
                 validation_labels=LABELS[200:])
    library, run = judged(path, calibrators=("temperature",), name="My model")
    assert run.title == "Predictions · My model"
    seen = library.result(run.key, "judged:file")
    assert seen.info["data"] == {"test": 200, "validation": 100}
    contents = read(path)
    assert seen.info["temperature"] == summary(contents.test, contents.validation, draws=10)["temperature"]
    assert sum(library.result(run.key, "conformal:file").values["scores"]["threshold"]["sets"]) == 200


def test_a_csv_and_an_uploaded_file_are_read(judged, tmp_path, monkeypatch):
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    text = "label,a,b,c,d\n" + "\n".join(",".join([str(y), *(f"{v:.6f}" for v in row)])
                                         for y, row in zip(LABELS, p, strict=True))
    (tmp_path / "p.csv").write_text(text)
    with (tmp_path / "p.csv").open("rb") as file:
        kept = uploads.keep(tmp_path / "home", "p.csv", file)
    monkeypatch.setenv("LANDSCAPE_ROOTS", "")
    library, run = judged(kept.path, digest=kept.digest, calibrators=())
    assert run.status == "done", run.message
    assert library.result(run.key, "judged:file").info["classes"] == ["a", "b", "c", "d"]


def test_a_large_file_keeps_a_part_and_says_so(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "MOST", 400)
    library, run = judged(saved(tmp_path / "large.npz", logits=LOGITS, labels=LABELS), calibrators=("temperature",))
    seen = library.result(run.key, "judged:file")
    rows = seen.test["rows"]
    assert len(rows) == len(seen.test["labels"]) == 100
    assert (LABELS[rows] == seen.test["labels"]).all()
    assert library.result(run.key, "summary").values["file"]["n"] == 300
    assert library.result(run.key, "account:file").values["n"] == 300
    assert any("drawn at random" in said for said in seen.info["said"])


def test_logits_or_probabilities_is_asked(judged, tmp_path):
    path = saved(tmp_path / "outputs.npz", outputs=LOGITS, labels=LABELS)
    library, run = judged(path)
    assert run.status == "failed"
    assert "are these logits?" in run.message
    asked = library.result(run.key, "undecided").values
    assert asked == {"message": asked["message"], "likely": "logits"}
    assert asked["message"] in run.message
    assert judged(path, kind="logits", calibrators=())[1].status == "done"


P = np.full((4, 2), 0.5)
ONES = np.array([0, 1, 1, 0])
HOT = np.eye(2)[ONES]
NAN = np.array([[0.5, 0.5], [np.nan, 1.0], [0.5, 0.5], [0.5, 0.5]])
OFF = np.array([[0.5, 0.5]] * 3 + [[0.5, 0.3]])
NEGATIVE = np.array([[0.5, 0.5]] * 15 + [[1.2, -0.2]])
BAD = [
    ({"probabilities": OFF, "labels": ONES}, "row 3 sums to 0.8"),
    ({"probabilities": NEGATIVE, "labels": np.zeros(16, int)}, "negative numbers in 1 of 16 rows"),
    ({"probabilities": NAN, "labels": ONES}, "found nan in row 1"),
    ({"probabilities": LOGITS, "labels": LABELS}, "look like logits"),
    ({"logits": P, "labels": ONES}, "look like probabilities"),
    ({"probabilities": P, "labels": ONES + 1}, "subtract 1"),
    ({"probabilities": P, "labels": np.array([0, 1, 5, 0])}, "labels as class numbers 0 ... 1"),
    ({"probabilities": P, "labels": np.array(["cat", "dog", "cat", "dog"])}, "found text such as 'cat'"),
    ({"probabilities": P, "labels": HOT}, "one-hot"),
    ({"probabilities": P}, "0 of labels"),
    ({"labels": ONES}, "0 arrays of outputs"),
    ({"probabilities": P[:0], "labels": ONES[:0]}, "at least one example"),
]


@pytest.mark.parametrize(("arrays", "said"), BAD, ids=[said[:24] for _, said in BAD])
def test_what_is_wrong_with_a_file_is_said_by_the_run(judged, tmp_path, arrays, said):
    _, run = judged(saved(tmp_path / "bad.npz", **arrays))
    assert run.status == "failed"
    assert said in run.message


@pytest.mark.parametrize(("text", "said"), [("", "is empty"), ("label,a\n0,1\n", "a column for every class"),
                                            ("a,b\n0.5,0.5\n", "one column called 'label'"), ("label,a,b\n", "no examples")])
def test_what_is_wrong_with_a_table_is_said_by_the_run(judged, tmp_path, text, said):
    (tmp_path / "bad.csv").write_text(text)
    _, run = judged(tmp_path / "bad.csv")
    assert run.status == "failed"
    assert said in run.message


def test_one_class_has_an_account_but_no_calibrator(judged, tmp_path):
    path = saved(tmp_path / "one.npz", probabilities=np.full((30, 2), [0.9, 0.1]), labels=np.zeros(30, int))
    library, run = judged(path)
    assert run.status == "done", run.message
    row = library.result(run.key, "summary").values["file"]
    assert (row["error"], row["temperature"], row["after"]) == (0, None, None)
    assert row["nll"] == pytest.approx(-np.log(0.9))
    rows = library.result(run.key, "calibrated:file").values["rows"]
    assert all("at least two classes" in each["failed"] for each in rows if each["calibrator"] not in ("pooled", "density"))
    assert any("No temperature" in said for said in library.result(run.key, "account:file").values["said"])


def test_one_example_and_impossible_labels_are_flagged_never_silently_wrong(judged, tmp_path):
    one, run = judged(saved(tmp_path / "single.npz", logits=np.array([[1e4, 0.0, -1e4]]), labels=np.array([2])))
    assert run.status == "done", run.message
    row = json.loads(json.dumps(one.result(run.key, "summary").values, allow_nan=False))["file"]
    assert row["nll"] == pytest.approx(2e4)
    assert any("Only 1 example" in said for said in one.result(run.key, "account:file").values["said"])
    library, run = judged(saved(tmp_path / "zero.npz", probabilities=np.eye(2)[[0, 0, 1, 1]], labels=ONES))
    assert library.result(run.key, "account:file").values["impossible"] == 2


def test_contents_that_changed_are_not_taken_for_those_that_were_asked_for(judged, tmp_path):
    path = saved(tmp_path / "mine.npz", logits=LOGITS, labels=LABELS)
    asked = parse("predictions", {"file": str(path)}).digest
    saved(path, logits=LOGITS + 1, labels=LABELS)
    _, run = judged(path, digest=asked)
    assert run.status == "failed"
    assert "contents have changed" in run.message


def test_files_of_other_folders_stay_closed(judged, tmp_path, monkeypatch):
    path = saved(tmp_path / "mine.npz", logits=LOGITS, labels=LABELS)
    (tmp_path / "open").mkdir()
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path / "open"))
    with pytest.raises(BadInput, match="outside the folders"):
        judged(path)
    _, run = judged(path, digest="0" * 64)  # a settings text of somebody's own
    assert run.status == "failed"
    assert "outside the folders" in run.message
