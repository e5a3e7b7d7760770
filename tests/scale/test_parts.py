"""What a helper keeps, and when it says no: parts by hand, without a scheduler."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.runs import parts

MADE = []


def doubled(value):
    MADE.append(value)
    return 2 * value


def adding(*made):
    return lambda items, progress: {"value": items + sum(made)}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(parts, "_kept", type(parts._kept)())
    MADE.clear()


def asked(*tokens: str, size: int = 100, **other) -> dict:
    return {"kind": parts.kind(), "whose": parts.ALIKE, "tokens": list(tokens), "there": parts.path_of(adding),
            "makes": [parts.path_of(doubled)] * len(tokens), "sizes": [size] * len(tokens)} | other


def test_what_is_shared_is_made_once_and_need_not_be_sent_again():
    items = np.arange(3.0)
    assert parts.compute(asked("a", "b"), items) == {"missing": True}
    first = parts.compute(asked("a", "b"), items, 1, 2)
    assert first["values"]["value"].tolist() == [6, 7, 8]
    assert parts.compute(asked("a", "b"), items)["values"]["value"].tolist() == [6, 7, 8]
    assert MADE == [1, 2]
    assert parts.compute(asked("a", "c"), items) == {"missing": True}
    assert parts.compute(asked("a", "c"), items, 1, 5)["values"]["value"].tolist() == [12, 13, 14]
    assert MADE == [1, 2, 5]  # what another plane has in common with the first one


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(parts, "KEPT", 250)
    for i in range(5):
        parts.compute(asked(f"t{i}"), np.zeros(1), i)
        assert sum(size for _, size in parts._kept.values()) <= 250
    assert "t4" in parts._kept
    assert "t0" not in parts._kept
    large = parts.compute(asked("large", size=10_000), np.zeros(1), 3)
    assert large["values"]["value"].tolist() == [6]
    assert set(parts._kept) == {"large", f"{parts.path_of(adding)}+large"}  # what is needed is kept in any case


def test_a_process_of_another_kind_refuses():
    found = parts.compute(asked("a", kind=parts.kind() | {"torch": "1.0"}), np.zeros(1), 1)
    assert found["refused"] == f"torch {parts.kind()['torch']}, not 1.0"
    assert MADE == []
    assert "values" in parts.compute(asked("a", kind=parts.kind() | {"torch": "1.0"}, whose=parts.ANY), np.zeros(1), 1)
    assert "Loss Valleys" in parts.compute(asked("a", kind=parts.kind() | {"program": "9"}, whose=parts.ANY),
                                           np.zeros(1), 1)["refused"]
