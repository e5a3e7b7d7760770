"""CSV tables: what is read as inputs, classes and regression targets, and what is refused, by line and column."""

import numpy as np
import pytest

from landscape.data import load
from landscape.errors import BadInput


def table(folder, text, name="own.csv"):
    (folder / name).write_text(text)
    return load(f"file:{name}")


def lines(header, rows):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def flowers(n=30):
    rng = np.random.default_rng(0)
    return [(*np.round(rng.normal(size=2), 4), ("rose", "iris", "tulip")[i % 3]) for i in range(n)]


@pytest.mark.parametrize("header", ["width,height,kind", "label,height,width", "width,Target,height"])
def test_the_target_is_the_column_called_so_or_else_the_last(folder, header):
    place = [name.lower() for name in header.split(",")].index(
        next((name for name in ("label", "target") if name in header.lower()), "kind"))
    rows = [(*row[:2][:place], row[2], *row[:2][place:]) for row in flowers()]
    data = table(folder, lines(header, rows))
    assert (data.classes, data.shape, data.view) == (("iris", "rose", "tulip"), (2,), "plane")
    expected = {(*np.float32(row[:2]).round(3), row[2]) for row in flowers()}
    found = {(*raw.round(3), data.classes[y]) for split in data.splits.values()
             for raw, y in zip(data.raw(split.x), split.y, strict=True)}
    assert len(found) == len(expected) == 30
    assert {row[2] for row in found} == {row[2] for row in expected}
    for raw in expected:
        near = min(found, key=lambda row: abs(row[0] - raw[0]) + abs(row[1] - raw[1]))
        assert abs(near[0] - raw[0]) + abs(near[1] - raw[1]) < 0.01
        assert near[2] == raw[2]


def test_whole_numbers_are_classes_in_numerical_order(folder):
    data = table(folder, lines("a,y", [(i / 7, (-1, 2, 10)[i % 3]) for i in range(30)]))
    assert data.classes == ("-1", "2", "10")


def test_numbers_of_many_values_are_regression(folder):
    for values in ([i / 7 for i in range(150)], list(range(150))):
        data = table(folder, lines("a,b,y", [(i, i % 7, value) for i, value in enumerate(values)]))
        assert (data.kind, data.outputs, data.view) == ("regression", 1, "plane")
        back = data.train.y[:, 0] * data.normalisation["target_std"][0] + data.normalisation["target_mean"][0]
        assert set(back.round(2)) <= set(np.float32(values).round(2))


def test_tabs_semicolons_marks_and_blank_lines_are_read(folder):
    text = lines("a,b,kind", flowers())
    expected = table(folder, text)
    for name, other in (("t.tsv", text.replace(",", "\t")), ("s.csv", text.replace(",", ";")),
                        ("m.csv", "\ufeff" + text), ("b.csv", text.replace("\n", "\n\n")),
                        ("w.csv", text.replace("\n", "\r\n")), ("q.csv", text.replace("rose", '"rose"'))):
        assert np.array_equal(table(folder, other, name).train.x, expected.train.x), name


ROWS = flowers()


@pytest.mark.parametrize(("text", "message"), [
    (lines("a,b,kind", []), "no examples"),
    ("\n", "two columns"),
    (lines("kind", [("rose",)]), "two columns"),
    (lines("1.5,2,3", [(1, 2, 3)]), "column names"),
    (lines("label,target,x", ROWS), "2 columns called"),
    (lines("a,b,kind", [*ROWS[:4], ("nan", 1, "rose"), *ROWS]), "line 6, column 'a'.*found 'nan'"),
    (lines("a,b,kind", [*ROWS[:4], (1, "inf", "rose"), *ROWS]), "line 6, column 'b'.*found 'inf'"),
    (lines("a,b,kind", [*ROWS[:4], (1, "1e99", "rose"), *ROWS]), "line 6, column 'b'.*found '1e99'"),
    (lines("a,b,kind", [*ROWS[:4], (1, "", "rose"), *ROWS]), "line 6, column 'b'.*found ''"),
    (lines("a,b,kind", [*ROWS[:4], (1, "red", "rose"), *ROWS]), "line 6, column 'b'.*found 'red'"),
    (lines("a,b,kind", [*ROWS[:4], (1, 2, ""), *ROWS]), "line 6: the target .*'kind'"),
    (lines("a,b,kind", [*ROWS[:4], (1, 2), *ROWS]), "line 6: expected 3 cells .*found 2"),
    (lines("a,b,kind", [(i, i, "rose") for i in range(30)]), "at least 2 classes"),
    (lines("a,b,kind", [(i, i, 5) for i in range(30)]), "at least 2 classes"),
    (lines("a,b,kind", [(i, i, i % 2 + 0.5) for i in range(30)]), "not whole numbers"),
    (lines("a,b,kind", [(i, i, i / 7 if i else "nan") for i in range(30)]), "example 0 .*found 'nan'"),
    (lines("a,b,kind", [(i, i, f"name {i}") for i in range(150)]), "150 different class names"),
    (lines("a,b,kind", ROWS[:5]), "5 examples; at least 10"),
])
def test_tables_that_cannot_be_used_are_refused(folder, text, message):
    with pytest.raises(BadInput, match=message):
        table(folder, text)


def test_a_table_in_another_encoding_is_refused(folder):
    (folder / "own.csv").write_bytes(lines("a,b,kind", ROWS).encode("utf-16"))
    with pytest.raises(BadInput, match="UTF-8"):
        load("file:own.csv")


def test_a_table_above_the_limit_is_refused(folder, monkeypatch):
    text = lines("a,b,kind", [(1, 2, i % 2) for i in range(100)])
    monkeypatch.setenv("LANDSCAPE_MAX_DATA_BYTES", "700")
    assert len(text) < 700 < 4 * 200
    with pytest.raises(BadInput, match=r"as numbers.*the limit is 700"):
        table(folder, text)
