"""landscape.toml sets what the environment does not."""

import os

import pytest

from landscape import configuration
from landscape.errors import BadInput


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for key in configuration.KEYS:  # set and removed, so that the test's end restores what was there before
        monkeypatch.setenv(f"LANDSCAPE_{key.upper()}", "x")
        monkeypatch.delenv(f"LANDSCAPE_{key.upper()}")


def test_the_file_sets_variables_and_the_environment_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", "/mine")
    (tmp_path / "landscape.toml").write_text('home = "/other"\nmax_grid = 33\nroots = ["/a", "/b"]\n')
    configuration.read(tmp_path)
    assert os.environ["LANDSCAPE_HOME"] == "/mine"
    assert os.environ["LANDSCAPE_MAX_GRID"] == "33"
    assert os.environ["LANDSCAPE_ROOTS"] == "/a:/b"


def test_no_file_is_fine(tmp_path):
    configuration.read(tmp_path)
    assert "LANDSCAPE_MAX_GRID" not in os.environ


@pytest.mark.parametrize(("text", "said"), [("max_gird = 3", "Did you mean 'max_grid'"), ("home = ", "not a TOML"),
                                            ("home = true", "text or a whole number"), ("home = [1.5]", "text")])
def test_mistakes_are_named(tmp_path, text, said):
    (tmp_path / "landscape.toml").write_text(text)
    with pytest.raises(BadInput, match=said):
        configuration.read(tmp_path)
