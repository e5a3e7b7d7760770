"""Files of weights that are only half there, as a broken disk or a copy that ended early leaves them."""

from __future__ import annotations

import os
import signal

import pytest
from sameness import assert_same
from shops import toys_known

from landscape.errors import StoreError
from landscape.runs import weights
from landscape.runs.context import Reader
from landscape.runs.local import compute_here
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store

TRAINING = {"task": "moons", "epochs": 80, "seeds": (0, 1), "widths": (16, 16)}


def halve(shop, key: str, name: str):
    path = weights.path_of(shop.home, key, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_run_with_half_a_state_starts_afresh_and_ends_the_same(shop, undisturbed, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    with toys_known("hurried"):
        key = shop.jobs.submit("training", TRAINING)
        shop.until(lambda: "state-training" in shop.library.weight_names(key), 40)
        os.kill(shop.jobs.engine()["pid"], signal.SIGKILL)
        shop.until(lambda: shop.jobs.engine() is None)
        halve(shop, key, "state-training")
        shop.jobs.submit("training", TRAINING)
        assert shop.ended(key, 60).status == "done"
        assert "state-training is damaged" in (shop.home / "engine.log").read_text()
        assert_same(shop.library, undisturbed("training", **TRAINING)[0], key)


@pytest.mark.parametrize("lost", ["half", "start"])
def test_half_a_file_of_a_finished_run_is_found_and_computed_again(shop, undisturbed, lost):
    settings = {"seeds": (3, 4)}
    key = shop.jobs.submit("pair", settings)
    assert shop.ended(key).status == "done"
    part = shop.library.run(key).parents[0]
    if lost == "half":
        halve(shop, part, "end")
    else:
        weights.path_of(shop.home, part, "end").write_bytes(b"\xff" * 3)
    assert shop.library.damaged(key) == [f"{part}/end"]
    with pytest.raises(StoreError, match=r"are damaged .* Start this run again"):
        Reader(Shelf(shop.library), part).load_weights("end")
    shop.jobs.submit("pair", settings)
    assert shop.ended(key).status == "done"
    assert shop.library.damaged(key) == []
    assert_same(shop.library, undisturbed("pair", **settings)[0], key)
    assert len(shop.library.attempts(shop.library.run(key).parents[1])) == 1  # what was whole was not computed again


def test_another_run_that_needs_damaged_weights_has_them_computed_again(shop, undisturbed):
    one, _, _ = compute_here("pair", {"seeds": (1, 2)}, shop.home)
    halve(shop, shop.library.run(one).parents[1], "end")
    key = shop.jobs.submit("pair", {"seeds": (2, 3)})
    assert shop.ended(key).status == "done"
    assert_same(shop.library, undisturbed("pair", seeds=(2, 3))[0], key)
    assert shop.library.damaged(one) == []


def test_what_a_killed_writer_left_is_tidied_and_what_is_written_now_is_not(shop):
    key, _, _ = compute_here("stroll", {}, shop.home)
    folder = weights.folder_of(shop.home, key)
    gone = [folder / ".end.safetensors.4194303.17.part", shop.home / ".writer.json.4194303.17.part"]
    busy = folder / f".end.safetensors.{os.getppid()}.17.part"
    for part in (*gone, busy):
        part.write_bytes(b"half")
    (folder / "state-walk.safetensors").write_bytes(b"of no use any more")
    begun = folder.with_name(".removed-0123456789abcdef")  # deleted, but not to the end
    begun.mkdir()
    (begun / "end.safetensors").write_bytes(b"old")
    Store(shop.home).close()
    assert not any(part.exists() for part in gone)
    assert busy.exists()
    assert not begun.exists()
    assert shop.library.weight_names(key) == ["end"]


def test_a_deletion_that_was_cut_off_before_it_counted_is_undone(shop):
    key, _, _ = compute_here("stroll", {}, shop.home)
    weights.set_aside(shop.home, key)
    Store(shop.home).close()
    assert shop.library.weights(key, "end")["w"].shape == (1,)
