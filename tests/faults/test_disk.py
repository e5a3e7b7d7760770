"""The disk of the store is full, or cannot be written any more, in the middle of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sameness import assert_same
from shops import Shop

from landscape.errors import StoreError
from landscape.runs.home import holder

SLOW = {"steps": 40, "pause": 0.1}


@pytest.fixture
def disk(tmp_path):
    """A file system of 12 megabytes with a store in it (inside a namespace of mounts, gone with it)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(folder)], check=True)
    made = Shop(folder / "home")
    yield made
    made.close()
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return ballast


@pytest.mark.namespace("--mount")
def test_a_full_disk_ends_the_run_in_words_and_with_room_it_goes_on(disk, undisturbed):
    old = disk.jobs.submit("stroll", {"seed": 3, "steps": 100})
    assert disk.ended(old).status == "done"
    key = disk.jobs.submit("stroll", SLOW)
    disk.until(lambda: disk.saved(key, 3))
    ballast = fill(disk.home.parent)
    run = disk.ended(key)
    assert run.status == "failed"
    assert "The disk of the store is full" in run.message
    saved = disk.walked(key)
    assert 3 <= len(saved) < 40
    assert len(disk.walked(old)) == 100
    disk.jobs.delete(old)  # what the message advises is possible without a byte to spare
    assert disk.jobs.engine() is not None
    ballast.unlink()
    disk.jobs.submit("stroll", SLOW)
    assert disk.ended(key).status == "done"
    assert disk.walked(key)[: len(saved)] == saved
    assert_same(disk.library, undisturbed(**SLOW)[0], key)
    assert not [file for file in disk.home.rglob("*.part")]


@pytest.mark.namespace("--mount")
def test_a_disk_that_turns_read_only_ends_the_run_in_words_and_it_goes_on_later(disk, undisturbed):
    """What is open already stays writable, as on a disk that was mounted anew; no file can be made."""
    key = disk.jobs.submit("stroll", SLOW)
    disk.until(lambda: disk.saved(key, 3))
    folder = str(disk.home.parent)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    run = disk.ended(key)
    subprocess.run(["umount", folder], check=True)
    assert run.status == "failed"
    assert "cannot be written" in run.message
    assert "Read-only file system" in run.message
    disk.jobs.submit("stroll", SLOW)
    assert disk.ended(key).status == "done"
    assert_same(disk.library, undisturbed(**SLOW)[0], key)


def remount(shop: Shop, how: str) -> None:
    """The whole file system read-only (``ro``), once nobody writes it, or as it was (``rw``)."""
    command = ["mount", "-o", f"remount,{how}", str(shop.home.parent)]
    shop.until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)


@pytest.mark.namespace("--mount")
def test_a_read_only_store_can_be_looked_at_and_says_why_nothing_is_computed(disk):
    key = disk.jobs.submit("stroll", {})
    assert disk.ended(key).status == "done"
    disk.close()
    remount(disk, "ro")
    try:
        assert holder(disk.home / "writer.lock") is None
        assert disk.library.run(key).status == "done"
        assert len(disk.walked(key)) == 5
        assert disk.library.weights(key, "end")["w"].shape == (1,)
        for act in (lambda: disk.jobs.submit("stroll", {"seed": 1}), lambda: disk.jobs.delete(key),
                    lambda: disk.jobs.rename(key, "Another")):
            with pytest.raises(StoreError, match=r"cannot be written: .*Read-only"):
                act()
        told = subprocess.run([sys.executable, "-m", "landscape", "runs", "--home", str(disk.home)], text=True,
                              capture_output=True, check=True)
        assert key in told.stdout
    finally:
        remount(disk, "rw")
    disk.jobs.rename(key, "Another")
    assert disk.library.run(key).title == "Another"
