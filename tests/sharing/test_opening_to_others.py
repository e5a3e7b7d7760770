"""The app is opened to others only when everything is in order, and says all that is not."""

import subprocess
import sys

import pytest
from provider import write_secrets

from landscape import ROOT, sharing
from landscape.errors import BadInput
from landscape.networks import factories, roots


def test_alone_nothing_is_needed(alone):
    sharing.check()
    assert sharing.sharing() is None
    assert sharing.quotas() is None


def test_in_order(opened):
    sharing.check()
    found = sharing.sharing()
    assert (found.address, found.hosts) == ("0.0.0.0", ("lab.example.org",))
    assert sharing.quotas().runs == 4
    assert sharing.max_upload() == 100


def test_the_bare_setting_is_told_everything_that_is_missing(alone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LANDSCAPE_OPEN", "0.0.0.0")
    with pytest.raises(BadInput) as said:
        sharing.check()
    for part in ("LANDSCAPE_HOSTS", "LANDSCAPE_USERS", "secrets.toml"):
        assert part in str(said.value)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("LANDSCAPE_HOSTS", "*", "plain names"),
    ("LANDSCAPE_HOSTS", "https://lab.example.org/", "plain names"),
    ("LANDSCAPE_HOSTS", "lab.example.org:8501", "plain names"),
    ("LANDSCAPE_HOSTS", "other.example.org", "not among LANDSCAPE_HOSTS"),
    ("LANDSCAPE_USERS", "", "LANDSCAPE_USERS"),
    ("LANDSCAPE_USERS", "everybody", "expected an address"),
    ("LANDSCAPE_FACTORIES", "my.models", "LANDSCAPE_FACTORIES is set"),
    ("LANDSCAPE_ROOTS", "/data", "LANDSCAPE_ROOTS is set"),
    ("LANDSCAPE_QUOTA_RUNS", "many", "positive whole number"),
    ("LANDSCAPE_MAX_UPLOAD", "0", "positive whole number"),
    ("STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION", "false", "unset it"),
    ("STREAMLIT_SERVER_ENABLE_CORS", "0", "unset it"),
])
def test_the_environment_is_judged(opened, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=said):
        sharing.check()


@pytest.mark.parametrize(("changed", "said"), [
    ({"cookie_secret": "short"}, "cookie_secret"),
    ({"client_secret": None}, "lacks client_secret"),
    ({"redirect_uri": "http://lab.example.org/oauth2callback"}, "https"),
    ({"redirect_uri": "https://lab.example.org/"}, "oauth2callback"),
    ({"redirect_uri": "https://evil.example/oauth2callback"}, "not among LANDSCAPE_HOSTS"),
    ({"server_metadata_url": "http://login.example.org/metadata"}, "https"),
])
def test_the_login_is_judged(opened, changed, said):
    write_secrets(opened, **changed)
    with pytest.raises(BadInput, match=said):
        sharing.check()


def test_secrets_that_others_can_read_are_refused(opened):
    (opened / ".streamlit/secrets.toml").chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        sharing.check()


@pytest.mark.parametrize("text", ["[auth", "[other]\na = 1\n"])
def test_secrets_without_a_login_are_refused(opened, text):
    (opened / ".streamlit/secrets.toml").write_text(text)
    with pytest.raises(BadInput, match=r"secrets\.toml"):
        sharing.check()


@pytest.mark.parametrize("command", [[sys.executable, "-m", "landscape", "app", "--host", "127.0.0.1", "--no-browser"],
                                     [sys.executable, str(ROOT / "app.py")]], ids=["landscape app", "app.py by itself"])
def test_no_way_of_starting_it_is_open_by_mistake(alone, tmp_path, monkeypatch, command):
    monkeypatch.setenv("LANDSCAPE_OPEN", "127.0.0.1")
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Name the hosts" in done.stderr
    assert not (tmp_path / "home/server.lock").exists()


def test_factories_and_folders_of_the_server_are_off(opened, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "json")  # as if somebody had set it behind the check's back
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(opened))
    (opened / "weights.pt").write_bytes(b"x")
    assert not factories.listed()
    assert not roots.roots()
    with pytest.raises(BadInput, match="refused"):
        factories.factory("json:loads")
    with pytest.raises(BadInput, match="no folder is open"):
        roots.allowed(opened / "weights.pt")
    from landscape.data import folder

    with pytest.raises(BadInput, match="outside"):
        folder.beneath(str(opened / "weights.pt"))


@pytest.mark.parametrize(("users", "claims", "comes_in"), [
    ("ann@example.org", {"email": "Ann@Example.org"}, True),
    ("ann@example.org", {"email": "bob@example.org"}, False),
    ("ann@example.org", {"email": "ann@example.org", "email_verified": False}, False),
    ("@example.org", {"email": "bob@example.org"}, True),
    ("@example.org", {"email": "bob@evil-example.org"}, False),
    ("@example.org", {"email": "bob@example.org.evil.org"}, False),
    ("ann@example.org", {}, False),
    ("*", {}, True),
])
def test_who_may_come_in(opened, monkeypatch, users, claims, comes_in):
    monkeypatch.setenv("LANDSCAPE_USERS", users)
    assert sharing.sharing().admits(claims) is comes_in
