import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and a neighbour of it that must stay out of reach."""
    (tmp_path / "outside").mkdir()
    inside = tmp_path / "data"
    inside.mkdir()
    monkeypatch.setenv("LANDSCAPE_DATA", str(inside))
    monkeypatch.delenv("LANDSCAPE_MAX_DATA_BYTES", raising=False)
    return inside
