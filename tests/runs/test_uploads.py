"""Dropped files are kept whole, under plain names, and nowhere else."""

import hashlib
import io
import os
import stat

import pytest

from landscape.errors import BadInput, StoreError
from landscape.runs import uploads
from landscape.runs.people import Person


def test_a_file_is_kept_under_its_digest_with_its_bytes(tmp_path):
    data = os.urandom(3 * uploads.CHUNK + 17)
    kept = uploads.keep(tmp_path / "home", "epoch 10 (best).pt", io.BytesIO(data))
    digest = hashlib.sha256(data).hexdigest()
    assert kept.digest == digest
    assert kept.size == len(data)
    assert kept.path == tmp_path / "home/uploads" / digest[:16] / "epoch-10-best-.pt"
    assert kept.path.read_bytes() == data
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    again = uploads.keep(tmp_path / "home", "epoch 10 (best).pt", io.BytesIO(data))
    assert again == kept
    assert uploads.kept(tmp_path / "home") == [kept.path]


@pytest.mark.parametrize(("given", "kept"), [
    ("../../etc/passwd", "passwd"), ("C:\\Users\\me\\net.pt", "net.pt"), (".hidden.pt", "hidden.pt"), ("..", "checkpoint"),
    ("", "checkpoint"), ("a\x00b\nc.pth", "a-b-c.pth"), ("modèle 重み.pt", "modèle-重み.pt"),
    ("é" * 300 + ".safetensors", "é" * 94 + ".safetensors"),
    ("seed=1,lr=0.1.ckpt", "seed=1-lr=0.1.ckpt"), ("net.pt/", "checkpoint"),
])
def test_names_are_plain(given, kept):
    name = uploads.plain_name(given)
    assert name == kept
    assert 1 <= len(name.encode()) <= uploads.LONGEST


@pytest.mark.parametrize(("data", "said"), [(b"", "is empty"), (b"12345678901", "limit")])
def test_what_is_refused_leaves_nothing_behind(tmp_path, data, said):
    with pytest.raises(BadInput, match=said):
        uploads.keep(tmp_path, "net.pt", io.BytesIO(data), limit=10)
    assert [path for path in (tmp_path / "uploads").rglob("*")] == []


def test_an_upload_that_breaks_off_leaves_nothing_behind(tmp_path):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 0:
                raise RuntimeError("gone")
            return super().read(10)

    with pytest.raises(RuntimeError):
        uploads.keep(tmp_path, "net.pt", Broken(b"x" * 100))
    assert list((tmp_path / "uploads").rglob("*")) == []


def test_a_store_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "uploads").write_text("a file where the folder belongs")
    with pytest.raises(StoreError, match="cannot be used"):
        uploads.keep(tmp_path, "net.pt", io.BytesIO(b"x"))


def test_only_old_files_that_no_run_uses_are_removed(tmp_path):
    used, unused, young = (uploads.keep(tmp_path, "net.pt", io.BytesIO(bytes([i]) * 10)) for i in range(3))
    for old in (used, unused):
        os.utime(old.path, (1, 1))
    assert uploads.remove_unused(tmp_path, {f'{{"files": ["{used.path}"]}}'}) == 10
    assert sorted(uploads.kept(tmp_path)) == sorted([used.path, young.path])
    assert uploads.remove_unused(tmp_path / "nothing", set()) == 0


def test_a_user_keeps_so_many_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_OPEN", "127.0.0.1")
    monkeypatch.setenv("LANDSCAPE_QUOTA_UPLOADS", "100")
    ann, bob = Person("user:ann", "ann@example.org"), Person("user:bob", "bob@example.org")
    first = uploads.keep(tmp_path, "a.pt", io.BytesIO(b"a" * 60), person=ann)
    with pytest.raises(BadInput, match="more than 40 bytes"):
        uploads.keep(tmp_path, "b.pt", io.BytesIO(b"b" * 60), person=ann)
    uploads.keep(tmp_path, "c.pt", io.BytesIO(b"c" * 40), person=ann)
    with pytest.raises(BadInput, match=r"The uploads of ann@example\.org take 100 bytes, and 100 is what"):
        uploads.keep(tmp_path, "d.pt", io.BytesIO(b"d"), person=ann)
    assert uploads.taken(tmp_path, ann) == 100
    again = uploads.keep(tmp_path, "a.pt", io.BytesIO(b"a" * 60), person=bob)
    assert again == first
    assert uploads.taken(tmp_path, bob) == 60
    assert len(uploads.kept(tmp_path)) == 2
    uploads.keep(tmp_path, "e.pt", io.BytesIO(b"e" * 500))  # a shell, or an app on one's own machine
    assert uploads.remove_unused(tmp_path, set(), older=-1) == 600
    assert uploads.taken(tmp_path, ann) == 0
