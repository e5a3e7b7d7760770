"""Weights at a location that all workers reach: written there by workers, noted by the store, and never half there."""

from __future__ import annotations

import os
import shutil
import signal
import sys

import fsspec
import numpy as np
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from sameness import assert_same

from landscape.errors import Damaged, StoreError
from landscape.runs import Library, archive, location, weights
from landscape.runs.channel import Channel
from landscape.runs.local import compute_here
from landscape.runs.store import Store

SLOW = {"steps": 30, "pause": 0.05}


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """The folder that stands for the location."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv(location.VARIABLE, folder.as_uri())
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The same run in a store that keeps its weights itself: ``(library, key)``."""

    def computed(recipe: str = "stroll", **settings):
        from shops import Shop

        with monkeypatch.context() as patch:
            patch.delenv(location.VARIABLE, raising=False)
            key, status, _ = compute_here(recipe, settings, tmp_path / "here")
        assert status == "done"
        return Shop(tmp_path / "here").library, key

    return computed


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != location.MARK)


def test_a_worker_writes_them_there_and_everything_finds_them(shop, shared, here, tmp_path):
    key = shop.jobs.submit("pair", {})
    assert shop.ended(key).status == "done"
    assert not list(shop.home.glob("weights/*/*.safetensors"))
    assert len(files(shared)) == 2
    assert_same(shop.library, here("pair")[0], key)
    walk = shop.library.run(key).parents[0]
    note = weights.note_of(shop.home, walk, "end")
    assert shop.library.size(walk) > note["size"] > 0
    assert shop.library.total_size() > sum(path.stat().st_size for path in shop.home.rglob("*") if path.is_file())
    out = archive.export(shop.library, key, tmp_path / "out")
    assert (out / "parents" / walk / "weights" / "end.safetensors").read_bytes() == shop.library.weights_file(walk, "end")
    assert all(path.stat().st_mode & 0o077 == 0 for path in shared.rglob("end.*"))
    shop.jobs.delete(key)
    assert files(shared) == []


def test_two_stores_do_not_share_a_folder_there(shared, tmp_path):
    for home in ("one", "two"):
        assert compute_here("stroll", {}, tmp_path / home)[1] == "done"
    assert len(files(shared)) == 2
    with Store(tmp_path / "one") as store:
        (key,) = [key for (key,) in store._rows("SELECT key FROM runs")]
        store.delete(key)
    assert len(files(shared)) == 1
    assert compute_here("stroll", {}, tmp_path / "two") == (key, "done", "")


def test_what_is_written_again_takes_the_place_of_what_was_there(shared, tmp_path):
    with Store(tmp_path / "home") as store:
        for value in (1, 2):
            data = weights.to_bytes({"w": np.array([value])})
            store.note_weights("key", "w", location.write(store.place(), "key", "w", data))
            assert weights.from_bytes(weights.read(store.home, "key", "w"))["w"] == value
        assert len(files(shared)) == 1
        store.save_weights("key", "w", data)  # the setting was taken away
        assert (store.load_weights("key", "w"), files(shared)) == (data, [])
        assert weights.names(store.home, "key") == ["w"]


def test_a_worker_killed_while_it_writes_leaves_nothing_for_good(shared, tmp_path):
    with Store(tmp_path / "home") as store:
        place = store.place()
        for name in ("state-walk", "end"):
            store.note_weights("key", name, location.write(place, "key", name, weights.to_bytes({"w": np.ones(3)})))
        folder = shared / place.rsplit("/", 1)[1] / "key"
        (folder / ".end.0123.part").write_bytes(b"half")
        location.write(place, "key", "state-walk", b"written and never noted")
        weights.remove_states(store.home, "key")
        assert [path.name.split(".")[0] for path in folder.iterdir()] == ["end"]


@pytest.mark.parametrize("change", ["gone", "shorter", "other"])
def test_damaged_weights_are_said_and_computed_again(shop, shared, here, change):
    key, _, _ = compute_here("stroll", {}, shop.home)
    (file,) = shared.rglob("end.*")
    if change == "gone":
        file.unlink()
    else:
        data = file.read_bytes()
        file.write_bytes(data[:-1] if change == "shorter" else data[:-1] + b"\x07")
    with pytest.raises(Damaged, match="start this run again"):
        shop.library.weights(key, "end")
    if change != "other":  # what its size does not show is found when it is read, as on the store's own disk
        assert shop.library.damaged(key) == [f"{key}/end"]
        assert compute_here("stroll", {}, shop.home)[1] == "done"
        assert_same(shop.library, here()[0], key)


def test_a_location_that_is_not_there_is_not_taken_for_one_that_lost_its_files(shop, shared, tmp_path):
    key, _, _ = compute_here("stroll", {}, shop.home)
    shared.rename(tmp_path / "unmounted")
    shared.mkdir()
    with pytest.raises(StoreError, match=r"cannot be used from .* it is mounted") as raised:
        shop.library.weights(key, "end")
    assert not isinstance(raised.value, Damaged)
    assert shop.library.damaged(key) == []
    assert compute_here("stroll", {}, shop.home)[1] == "done"  # and nothing is computed again
    with Store(shop.home) as store:
        store.delete(key)  # the run is gone, its files are removed when the location is back
    shutil.rmtree(shared)
    (tmp_path / "unmounted").rename(shared)
    assert len(files(shared)) == 1
    Store(shop.home).close()
    assert files(shared) == []


@pytest.mark.parametrize(("url", "said"), [
    ("nonsense://there/x", "Protocol not known"), ("file:///proc/nowhere", "cannot be"), ("s3a://bucket/x", "s3fs")])
def test_a_location_that_cannot_be_written_ends_the_run_in_words(tmp_path, monkeypatch, url, said):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # is not installed
    monkeypatch.setenv(location.VARIABLE, url)
    _, status, message = compute_here("stroll", {}, tmp_path / "home")
    assert status == "failed"
    assert "The location of the weights" in message
    assert said in message
    assert location.VARIABLE in message


def test_any_file_system_that_fsspec_knows_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, "memory://weights")
    key, status, message = compute_here("stroll", {}, tmp_path / "home")
    assert status == "done", message
    memory = fsspec.filesystem("memory")
    assert [name.rsplit("/", 1)[1].split(".")[0] for name in memory.find("/weights")] == ["end", "store"]
    with Store(tmp_path / "home") as store:
        store.delete(key)
    assert [name.rsplit("/", 1)[1] for name in memory.find("/weights")] == ["store"]


class Buckets(DirFileSystem):
    """Objects in buckets, as s3fs has them: whoever makes folders makes a bucket, and an object needs none but that."""

    protocol = "buckets"

    def __init__(self, **options):
        super().__init__(path=os.environ["BUCKETS"], fs=LocalFileSystem(), **options)

    def open(self, path, mode="rb", **options):
        if "w" in mode:
            if not self.exists(path.partition("/")[0]):
                raise FileNotFoundError("The specified bucket does not exist")
            super().makedirs(path.rpartition("/")[0], exist_ok=True)
        return super().open(path, mode, **options)


@pytest.fixture
def buckets(tmp_path, monkeypatch):
    """The folder whose folders are the buckets of ``buckets://``: there is one, ``ours``."""
    fsspec.register_implementation(Buckets.protocol, Buckets, clobber=True)
    monkeypatch.setenv("BUCKETS", str(tmp_path / "buckets"))
    (tmp_path / "buckets" / "ours").mkdir(parents=True)
    Buckets.clear_instance_cache()
    return tmp_path / "buckets"


def test_buckets_are_not_made_by_mistake(buckets, tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, "buckets://ours/group")
    assert compute_here("stroll", {}, tmp_path / "home")[1] == "done"
    assert [name.split(".")[0] for name in files(buckets)] == ["end"]
    monkeypatch.setenv(location.VARIABLE, "buckets://misspelt/group")
    _, status, message = compute_here("stroll", {}, tmp_path / "other")
    assert status == "failed"
    assert "bucket does not exist" in message
    assert [path.name for path in buckets.iterdir()] == ["ours"]


@pytest.fixture
def s3(monkeypatch):
    """The file system of an S3 server on loopback with one bucket, ``ours``."""
    s3fs, server = pytest.importorskip("s3fs"), pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    given = {"ENDPOINT_URL": "http://{}:{}".format(*running.get_host_and_port()), "ACCESS_KEY_ID": "one",
             "SECRET_ACCESS_KEY": "two", "DEFAULT_REGION": "us-east-1"}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    found = fsspec.filesystem("s3")
    found.mkdir("ours")
    yield found
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


def test_an_object_store(s3, here, tmp_path, monkeypatch):
    monkeypatch.setenv(location.VARIABLE, "s3://ours/group")
    key, status, message = compute_here("stroll", {}, tmp_path / "home")
    assert status == "done", message
    with Store(tmp_path / "home") as store:
        assert store.load_weights(key, "end")["url"].startswith("s3://ours/group/")
        assert_same(Library(tmp_path / "home", gallery=None), here()[0], key)
        store.delete(key)
    s3.invalidate_cache()
    assert [name.rsplit("/", 1)[1] for name in s3.find("ours")] == [location.MARK]
    monkeypatch.setenv(location.VARIABLE, "s3://misspelt/group")
    _, status, message = compute_here("stroll", {}, tmp_path / "other")
    assert (status, "bucket does not exist" in message) == ("failed", True)
    assert s3.ls("") == ["ours"]


def test_a_note_of_what_the_engine_does_not_see_is_refused(shop, shared, tmp_path):
    key = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 2))
    note = {"url": (tmp_path / "elsewhere" / "w.safetensors").as_uri(), "sha256": "0" * 64, "size": 3}
    pem = (shop.home / "certificate.pem").read_text()
    with Channel(shop.jobs.engine()["address"], pem) as other, pytest.raises(StoreError, match="cannot be used"):
        other.note_weights(key, "w", note)
    assert shop.ended(key).status == "done"


def test_a_killed_worker_goes_on_from_a_state_there(shop, shared):
    key = shop.jobs.submit("count", {})
    shop.until(lambda: "state-count" in shop.library.weight_names(key))
    shop.until(lambda: shop.library.weights(key, "state-count")["at"][0] >= 5)  # replaced while it is read
    os.kill(shop.library.attempts(key)[0]["pid"], signal.SIGKILL)
    assert shop.ended(key, 30).status == "done"
    assert len(shop.library.attempts(key)) == 2
    assert shop.library.result(key, "history:count").lr[0] >= 5
    assert [name.split(".")[0] for name in files(shared)] == ["end"]
