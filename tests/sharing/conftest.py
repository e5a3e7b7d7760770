"""What an app that others can reach needs: a login provider, its configuration, the environment."""

from __future__ import annotations

import os

import pytest
from provider import Provider, write_secrets

from landscape import configuration


@pytest.fixture
def alone(monkeypatch):
    """An environment without a word of this project."""
    for key in configuration.KEYS:
        monkeypatch.delenv(f"LANDSCAPE_{key.upper()}", raising=False)
    for name in [name for name in os.environ if name.startswith("STREAMLIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def opened(alone, tmp_path, monkeypatch):
    """A folder from which the app may be opened to others, and an environment that says so."""
    write_secrets(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {"OPEN": "0.0.0.0", "HOSTS": "lab.example.org", "USERS": "ann@example.org,@lab.example.org"}.items():
        monkeypatch.setenv(f"LANDSCAPE_{name}", value)
    return tmp_path


@pytest.fixture(scope="module")
def provider():
    made = Provider()
    yield made
    made.close()
