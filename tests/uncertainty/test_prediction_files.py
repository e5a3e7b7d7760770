"""Files of predictions: read exactly, or refused saying what was expected, what was found and what to do."""

import numpy as np
import pytest
from scipy.special import softmax

from landscape.errors import BadInput
from landscape.uncertainty import reading
from landscape.uncertainty.entry import Undecided, predictions
from landscape.uncertainty.reading import read

LOGITS = np.random.default_rng(0).standard_normal((30, 3)) * 3
PROBABILITIES = softmax(LOGITS, 1)
LABELS = np.arange(30) % 3


def csv(path, outputs, labels, names=("a", "b", "c"), label="label"):
    rows = [",".join([*map(repr, map(float, row)), str(y)]) for row, y in zip(outputs, labels, strict=True)]
    path.write_text("\n".join([",".join([*names, label]), *rows]) + "\n")
    return path


def test_npz_and_csv_give_the_same_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", probabilities=PROBABILITIES, labels=LABELS)
    np.savez_compressed(tmp_path / "b.npz", logits=LOGITS, y=LABELS)
    for file in (tmp_path / "a.npz", csv(tmp_path / "a.csv", PROBABILITIES, LABELS)):
        found = read(file).test
        assert found.kind == "probabilities"
        assert np.allclose(found.outputs, PROBABILITIES, atol=1e-15)
        assert (found.labels == LABELS).all()
    found = read(tmp_path / "b.npz").test
    assert (found.kind, found.outputs.tolist()) == ("logits", LOGITS.tolist())
    assert read(csv(tmp_path / "c.csv", LOGITS, LABELS, ("logit_0", "logit_1", "logit_2"))).test.kind == "logits"


def test_pieces_of_a_csv_are_joined_exactly(tmp_path, monkeypatch):
    file = csv(tmp_path / "a.csv", PROBABILITIES, LABELS)
    whole = read(file).test
    monkeypatch.setattr(reading, "ROWS", 12)  # three lines at a time
    parts = read(file).test
    assert (whole.outputs == parts.outputs).all()
    assert (whole.labels == parts.labels).all()


def test_validation_examples_and_columns_of_row_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", logits=LOGITS, labels=LABELS, validation_logits=LOGITS[:9], validation_labels=LABELS[:9])
    assert len(read(tmp_path / "a.npz").validation) == 9
    (tmp_path / "a.csv").write_text(",p0,p1,label\n0,.25,.75,1\n1,.5,.5,0\n\n")
    assert read(tmp_path / "a.csv").test.outputs.tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_rounded_rows_are_divided_by_their_sum_and_it_is_said(tmp_path):
    found = read(csv(tmp_path / "a.csv", np.round(PROBABILITIES, 3), LABELS)).test
    assert np.allclose(found.outputs.sum(1), 1, atol=1e-15)
    assert "rounded" in found.said[0]


def test_logits_are_detected_and_asked_for(tmp_path):
    with pytest.raises(Undecided, match=r"are these logits.*Say whether") as asked:
        read(csv(tmp_path / "a.csv", LOGITS, LABELS))
    assert asked.value.likely == "logits"
    assert read(tmp_path / "a.csv", "logits").test.kind == "logits"
    with pytest.raises(Undecided, match="they look like logits") as asked:
        predictions(LOGITS, LABELS, "probabilities")
    assert asked.value.likely == "logits"
    with pytest.raises(Undecided, match="they look like probabilities") as asked:
        predictions(PROBABILITIES, LABELS, "logits")
    assert asked.value.likely == "probabilities"
    np.savez(tmp_path / "b.npz", logits=PROBABILITIES, labels=LABELS)
    with pytest.raises(Undecided, match="look like probabilities"):
        read(tmp_path / "b.npz")


def changed_row(values):
    rows = PROBABILITIES.copy()
    rows[4] = values
    return rows


@pytest.mark.parametrize(("outputs", "labels", "words"), [
    (changed_row([0.5, 0.5, 0.5]), LABELS, "1 of 30 that do not .row 4 sums to 1.5"),
    (PROBABILITIES * 0.8, LABELS, "expected rows that sum to one, found 30"),
    (changed_row([1.2, -0.2, 0.0]), LABELS, "negative numbers in 1 of 30"),
    (changed_row([0.5, np.nan, 0.5]), LABELS, "found nan in row 4"),
    (changed_row([0.5, np.inf, 0.5]), LABELS, "found inf in row 4"),
    (PROBABILITIES, LABELS + 1, "Classes seem to be counted from 1"),
    (PROBABILITIES, LABELS - 1, "outside, the first is -1 in row 0"),
    (PROBABILITIES, LABELS + 0.5, "found 0.5 in row 0"),
    (PROBABILITIES, np.where(LABELS == 1, np.nan, LABELS), "found nan in row 1"),
    (PROBABILITIES, np.array(["cat", "dog", "owl"])[LABELS], "found text such as 'cat'.*Replace"),
    (PROBABILITIES, np.eye(3)[LABELS], "one-hot.*argmax"),
    (PROBABILITIES, LABELS[:-1], "expected 30 labels"),
    (PROBABILITIES[:0], LABELS[:0], "at least one example, found none"),
    (PROBABILITIES[:, 0], LABELS, "expected a table"),
    (PROBABILITIES.astype(str), LABELS, "expected numbers, found"),
])
def test_refused_arrays(outputs, labels, words):
    with pytest.raises(BadInput, match=words):
        predictions(outputs, labels, "probabilities")


@pytest.mark.parametrize(("text", "words"), [
    ("", "empty .0 bytes.*Write it again"),
    ("a,b,label\n", "no examples"),
    ("a,b,c\n.2,.3,.5\n", "expected one column called 'label', found 0 among: a, b, c"),
    ("label,y,a,b\n1,1,.5,.5\n", "expected one column called 'label', found 2"),
    ("a,label\n.5,1\n", "expected a column for every class"),
    (".2,.8,1\n.5,.5,0\n", "first line must hold column names"),
    ("a,b,label\n.5,.5,0\n.5,x,0\n", "line 3, column 'b': expected a number, found 'x'"),
    ("a,b,label\n.5,.5,cat\n", "line 2: expected labels as class numbers.*found 'cat'"),
    ("a,b,label\n.5,.5,0\n.5,.5\n", "line 3: expected 3 cells as in the first line, found 2"),
    ("a,b,label\n.5,.5,0,7\n", "line 2: expected 3 cells as in the first line, found 4"),
    ("a,b,label\n.5,,0\n", "line 2, column 'b': expected a number, found ''"),
    ("a,b,label\n.5,nan,0\n", "found nan in row 0"),
])
def test_refused_csv(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadInput, match=words):
        read(tmp_path / "a.csv")


def test_refused_npz(tmp_path, monkeypatch):
    file = tmp_path / "a.npz"
    for arrays, words in (({"scores": LOGITS, "labels": LABELS}, "0 arrays of outputs and 1 of labels.*scores"),
                          ({"logits": LOGITS}, "1 arrays of outputs and 0 of labels"),
                          ({"logits": np.array([{}]), "labels": LABELS}, "Objects need pickle"),
                          ({"logits": LOGITS, "labels": np.array(["a"] * 30)}, "found text")):
        np.savez(file, **arrays)
        with pytest.raises(BadInput, match=words):
            read(file)
    np.savez(file, logits=LOGITS, labels=LABELS)
    with pytest.raises(BadInput, match="called 'logits', but it is to be read as probabilities"):
        read(file, "probabilities")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"not a readable npz file.*write it again"):
        read(file)
    file.write_bytes(content)
    monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", "100")
    with pytest.raises(BadInput, match="limit"):
        read(file)


def test_refused_paths(tmp_path):
    with pytest.raises(BadInput, match=r"no file 'none.csv'"):
        read(tmp_path / "none.csv")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BadInput, match=r"Expected a file .csv or .npz"):
        read(tmp_path / "a.json")
    (tmp_path / "b.csv").write_bytes(b"a,b,label\n\xff\xfe,1,0\n")
    with pytest.raises(BadInput, match="UTF-8"):
        read(tmp_path / "b.csv")
