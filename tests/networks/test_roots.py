"""Which paths may be read as checkpoints: only regular files below the folders an operator named."""

import os
import socket

import pytest

from landscape.errors import BadInput
from landscape.networks.roots import allowed, opened, roots


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "net.pt").write_bytes(b"x")
    (tmp_path / "secret.pt").write_bytes(b"x")
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(folder))
    return folder


def refused(path, said, **options):
    with pytest.raises(BadInput, match=said):
        allowed(path, **options)


def test_a_file_below_a_root_by_its_full_and_its_relative_path(root):
    assert allowed(root / "sub" / "net.pt") == root / "sub" / "net.pt"
    assert allowed("sub/net.pt") == root / "sub" / "net.pt"


def test_without_roots_nothing_is_allowed(root, monkeypatch):
    monkeypatch.delenv("LANDSCAPE_ROOTS")
    refused(root / "sub" / "net.pt", "LANDSCAPE_ROOTS")


def test_several_roots_and_those_of_the_caller(root, tmp_path, monkeypatch):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "up.pt").write_bytes(b"x")
    refused(uploads / "up.pt", "lies outside the folders")
    assert allowed(uploads / "up.pt", extra=[uploads]) == uploads / "up.pt"
    assert allowed("up.pt", extra=[uploads]) == uploads / "up.pt"
    monkeypatch.setenv("LANDSCAPE_ROOTS", f"{root}:{uploads}:")
    assert allowed(uploads / "up.pt") == uploads / "up.pt"
    assert roots() == (root, uploads)


@pytest.mark.parametrize("path", ["../secret.pt", "sub/../../secret.pt", "sub/../sub/net.pt", "..", ".", "", "a\nb", "a\0b"])
def test_dots_and_strange_names_are_refused(root, path):
    refused(path, "without '..'")


def test_dots_in_a_full_path_are_refused(root):
    refused(f"{root}/../secret.pt", "without '..'")


def test_outside_a_root_existence_is_not_told(root, tmp_path):
    messages = []
    for name in ("secret.pt", "nothing.pt", "root2/x.pt"):
        with pytest.raises(BadInput) as caught:
            allowed(tmp_path / name)
        messages.append(str(caught.value).replace(name, ""))
    assert len(set(messages)) == 1
    assert "LANDSCAPE_ROOTS" in messages[0]
    refused(root, "lies outside")


@pytest.mark.parametrize("inside", [True, False])
def test_links_below_a_root_are_refused(root, tmp_path, inside):
    target = root / "sub" / "net.pt" if inside else tmp_path / "secret.pt"
    (root / "link.pt").symlink_to(target)
    (root / "folder").symlink_to(target.parent)
    refused(root / "link.pt", "symbolic link")
    refused(root / "folder" / target.name, "symbolic link")
    with pytest.raises(BadInput, match="symbolic link"):
        opened(root / "link.pt")


def test_a_root_that_is_itself_a_link_is_followed(root, tmp_path, monkeypatch):
    (tmp_path / "alias").symlink_to(root)
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path / "alias"))
    for start in (tmp_path / "alias", root):
        assert allowed(start / "sub" / "net.pt") == root / "sub" / "net.pt"


def test_folders_pipes_sockets_and_devices_are_refused(root, monkeypatch):
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, said in {"sub": "a folder", "pipe": "a named pipe", "socket": "a socket"}.items():
            refused(root / name, said)
            with pytest.raises(BadInput, match=said):
                opened(root / name)
    monkeypatch.setenv("LANDSCAPE_ROOTS", "/dev")
    refused("/dev/null", "a device")
    with pytest.raises(BadInput, match="is a device"):
        opened("/dev/zero")


def test_a_folder_where_a_folder_is_wanted(root):
    assert allowed("sub", kind="folder") == root / "sub"
    refused("sub/net.pt", "not a folder", kind="folder")


def test_a_missing_file_is_answered_with_the_nearest_name(root):
    refused(root / "sub" / "nett.pt", "Did you mean 'net.pt'")
    refused("no/such/file.pt", "There is no file 'file.pt'")
    with pytest.raises(BadInput, match=r"Did you mean 'net\.pt'"):
        opened(root / "sub" / "nett.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(root):
    (root / "sub" / "net.pt").chmod(0)
    with pytest.raises(BadInput, match="permissions"):
        opened(root / "sub" / "net.pt")
