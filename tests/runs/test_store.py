"""The store keeps what it was given, whatever happens to the processes around it."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from landscape.errors import BadInput, StoreError
from landscape.results import History, Mark, Profile, Summary, Surface
from landscape.runs import Library, schema, weights
from landscape.runs.home import holder
from landscape.runs.local import compute_here
from landscape.runs.records import decode, encode, identify, key_of
from landscape.runs.store import Store
from landscape.settings import parse


def surface() -> Surface:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    values[1, 1] = np.nan
    return Surface((np.arange(3.0), np.arange(2.0)), {"train_loss": values}, np.isfinite(values),
                   (Mark("seed 0", "optimum", 0.0, 1.0, {"train_loss": 0.5}),), np.zeros((4, 2)),
                   {"title": "a plane", "anchor_error": {"train_loss": 1e-7}, "final": False})


def enter(store: Store, **settings) -> str:
    made = identify("stroll", settings)
    store.enter(**made.row())
    return made.key


@pytest.mark.parametrize("result", [
    surface(), Summary({"key": "x", "nan": float("nan"), "list": [1, 2.5, None]}),
    Profile("segment", np.linspace(0, 1, 3), np.arange(3.0), {"test_error": np.zeros(3)}, {"optima": np.ones((3, 2))}),
    History(("seed 0", "seed 1"), np.arange(2), np.ones(2), {"train_loss": np.eye(2)})])
def test_every_result_comes_back_as_it_went(tmp_path, result):
    with Store(tmp_path) as store:
        key = enter(store)
        store.save(key, "it", *encode(result))
        back = Library(tmp_path).result(key, "it")  # while the writer still has it open
    assert encode(back) == encode(result)
    assert encode(Library(tmp_path).result(key, "it")) == encode(result)
    if isinstance(back, Surface):
        assert back.values["train_loss"].dtype == np.float32
        assert back.marks[0].name == "seed 0"


def test_objects_are_not_results():
    with pytest.raises(TypeError, match="Python objects"):
        encode(Profile("segment", np.array([object()]), np.zeros(1), {}))
    assert decode(*encode(Summary({}))).values == {}


def test_the_key_is_of_everything_the_result_depends_on(monkeypatch):
    one, other = parse("stroll", {"steps": "3"}), parse("stroll", {"steps": 4})
    assert key_of("stroll", one) == key_of("stroll", parse("stroll", {"steps": 3, "seed": 0}))
    row = identify("stroll", {}).row()
    monkeypatch.setitem(__import__("toys").RECIPES["stroll"].defaults, "version", 2)
    newer = identify("stroll", {}).row()
    keys = [key_of("stroll", one), key_of("stroll", other), key_of("stroll", one, ("p",)), row["key"], newer["key"]]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


def test_the_version_grows_with_every_save(tmp_path):
    library = Library(tmp_path)
    with Store(tmp_path) as store:
        key = enter(store)
        seen = [library.version(key)]
        for name in ("a", "b", "a"):
            store.save(key, name, *encode(Summary({})))
            seen.append(library.version(key))
    assert seen == [0, 1, 2, 3]
    assert library.names(key) == ["a", "b"]


def test_a_store_that_is_not_there_is_empty_and_is_not_made_by_looking(tmp_path):
    library = Library(tmp_path / "none", gallery=None)
    assert library.runs() == []
    assert library.result("x", "y") is None
    assert library.version("x") == library.size("x") == library.total_size() == 0
    assert library.progress("x") is None
    assert library.names("x") == []
    with pytest.raises(BadInput, match="empty"):
        library.run("abcd")
    assert not (tmp_path / "none").exists()


def test_a_store_that_is_being_made_is_never_taken_for_something_else(tmp_path):
    wrong, homes = [], [tmp_path / str(turn) for turn in range(15)]
    over = threading.Event()

    def look():
        while not over.is_set():
            for home in homes:
                try:
                    Library(home, gallery=None).runs()
                except StoreError as error:
                    wrong.append(str(error))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for home in homes:
        Store(home).close()
    over.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_the_store_is_its_owners(tmp_path):
    compute_here("stroll", {}, tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "home" / schema.FILE).stat().st_mode & 0o077 == 0


def test_runs_are_found_by_status_words_and_the_beginning_of_a_key(tmp_path):
    walk, *_ = compute_here("stroll", {"steps": 7}, tmp_path)
    compute_here("stroll", {"fault": "error"}, tmp_path)
    pair, *_ = compute_here("pair", {}, tmp_path)
    library = Library(tmp_path, gallery=None)
    assert next(run.key for run in library.runs()) == pair
    assert len(library.runs()) == 3
    assert len(library.runs(children=True)) == 5
    assert [run.key for run in library.runs(recipe="stroll", status="done")] == [walk]
    assert [run.key for run in library.runs(search="WALK steps=7")] == [walk]
    assert library.run(walk[:6]).key == walk
    with pytest.raises(BadInput, match=f"Did you mean {walk}"):
        library.run(walk[:-1] + "x")
    with pytest.raises(BadInput, match="no run"):
        library.run(walk[:3])


def test_deleting_takes_the_children_nobody_else_uses(tmp_path):
    one, *_ = compute_here("pair", {"seeds": "0,1"}, tmp_path)
    two, *_ = compute_here("pair", {"seeds": "1,2"}, tmp_path)
    asked, *_ = compute_here("stroll", {"seed": 0}, tmp_path)
    library = Library(tmp_path, gallery=None)
    zero, shared = library.run(one).parents
    assert zero == asked
    before, bytes_before = library.size(two), (tmp_path / schema.FILE).stat().st_size
    with Store(tmp_path) as store:
        with pytest.raises(BadInput, match=f"used by {one}"):
            store.delete(zero)
        store.delete(one)
        assert {run.key for run in library.runs(children=True)} == {two, *library.run(two).parents, asked}
        assert not weights.folder_of(tmp_path, one).exists()
        store.delete(two)
    assert [run.key for run in library.runs(children=True)] == [asked]
    assert not weights.folder_of(tmp_path, shared).exists()
    assert library.weights(asked, "end")["w"].shape == (1,)
    assert before > 0
    assert library.size(two) == 0
    assert (tmp_path / schema.FILE).stat().st_size <= bytes_before


def test_a_run_on_its_way_is_not_deleted_and_titles_are_checked(tmp_path):
    with Store(tmp_path) as store:
        key = enter(store)
        with pytest.raises(BadInput, match="Cancel it first"):
            store.delete(key)
        store.rename(key, "  My   walk ")
        for wrong in ("", " ", "x" * 201):
            with pytest.raises(BadInput, match="1 to 200"):
                store.rename(key, wrong)
        with pytest.raises(BadInput, match="no run"):
            store.rename("nothing", "x")
    assert Library(tmp_path).run(key).title == "My walk"


# Versions


def version_1(path, user_version: int = 1) -> None:
    db = sqlite3.connect(path)
    for step in schema.VERSION_1:
        db.execute(step)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    db.execute(f"PRAGMA user_version = {user_version}")
    row = "INSERT INTO runs (key, recipe, title, settings, status, created) VALUES (?, 'stroll', ?, '{}', 'done', ?)"
    db.executemany(row, [("parent", "Made for another", 1.0), ("child", "Asked for", 2.0)])
    db.execute("INSERT INTO parents VALUES ('child', 'parent')")
    db.execute("INSERT INTO results VALUES ('child', 'summary', 1, 3.0, ?, ?)", encode(Summary({"a": 1})))
    db.commit()
    db.close()


@pytest.mark.parametrize("open_it", [lambda home: Store(home).close(), lambda home: Library(home, None).runs()])
def test_a_file_of_version_1_is_migrated_and_a_copy_kept(tmp_path, open_it):
    version_1(tmp_path / schema.FILE)
    open_it(tmp_path)
    library = Library(tmp_path, gallery=None)
    assert [run.key for run in library.runs()] == ["child"]
    assert [run.key for run in library.runs(children=True)] == ["child", "parent"]
    assert library.result("child", "summary").values == {"a": 1}
    copy = sqlite3.connect(tmp_path / f"{schema.FILE}.v1")
    assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    assert copy.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    copy.close()


def test_a_migration_that_breaks_changes_nothing(tmp_path, monkeypatch):
    version_1(tmp_path / schema.FILE)
    monkeypatch.setattr(schema, "MIGRATIONS", (schema.VERSION_1, (schema.VERSION_2[0], "UPDATE nowhere SET x = 1")))
    with pytest.raises(StoreError, match="no such table: nowhere"):
        Store(tmp_path)
    assert holder(tmp_path / "writer.lock") is None
    monkeypatch.undo()
    assert [run.key for run in Library(tmp_path, gallery=None).runs()] == ["child"]


def later(path):
    version_1(path, schema.VERSION + 1)


def another(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.commit()
    db.close()


@pytest.mark.parametrize(("make", "says"), [
    (later, f"version {schema.VERSION + 1}; this program knows versions up to {schema.VERSION}"),
    (another, "another program"), (lambda path: path.write_bytes(b"not a database at all" * 100), "not a store")])
def test_a_file_that_is_none_of_ours_is_refused_and_left_alone(tmp_path, make, says):
    path = tmp_path / schema.FILE
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=says):
        Store(tmp_path)
    with pytest.raises(StoreError, match=says):
        Library(tmp_path).runs()
    assert path.read_bytes() == before
    assert holder(tmp_path / "writer.lock") is None


# One writer, whole files, full disks


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path):
    with Store(tmp_path), pytest.raises(StoreError, match=f"written by process {os.getpid()}"):
        Store(tmp_path)
    Store(tmp_path).close()


WRITER = """
import sys, numpy as np
from landscape.runs import weights
from landscape.runs.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    store.save_weights("key", "w", weights.to_bytes({"w": np.full(300_000, turn, np.float32)}))
    store.save("key", "s", '{"type": "Summary", "value": {"values": {"turn": %d}}}' % turn, np_empty)
"""


def test_a_writer_killed_at_any_time_leaves_whole_files(tmp_path):
    script = WRITER.replace("np_empty", "encode(Summary({}))[1]").replace(
        "import sys,", "from landscape.runs.records import encode; from landscape.results import Summary; import sys,")
    for trial in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.1 + 0.037 * trial)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        loaded = weights.from_bytes(weights.path_of(tmp_path, "key", "w").read_bytes())["w"]
        assert len(loaded) == 300_000
        assert len(set(loaded.tolist())) == 1
        turn = Library(tmp_path).result("key", "s").values["turn"]
        assert abs(turn - loaded[0]) <= 1
        assert weights.names(tmp_path, "key") == ["w"]
        Store(tmp_path).close()  # the lock went with the process


def test_weights_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        store.save_weights("key", "w", b"old")
        seen = []
        fsync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(store.load_weights("key", "w")), fsync(fd))[1])
        store.save_weights("key", "w", b"new")
        assert seen == [b"old", b"new"]  # the file before the rename, the folder after it
        for name in ("../w", "", ".hidden", "a/b", "x" * 101):
            with pytest.raises(BadInput, match="name of weights"):
                store.save_weights("key", name, b"")


@pytest.mark.parametrize(("status", "left"), [("done", ["w"]), ("cancelled", ["state-training", "w"])])
def test_a_state_to_go_on_from_goes_with_the_end_of_its_run(tmp_path, status, left):
    with Store(tmp_path) as store:
        key = enter(store)
        store.begin(key, "host", 1)
        for name in ("state-training", "w"):
            store.save_weights(key, name, b"x")
        store.finish(key, status)
        assert weights.names(tmp_path, key) == left


def test_a_full_disk_is_said_and_costs_nothing_that_was_saved(tmp_path, monkeypatch):
    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Store(tmp_path) as store:
        key = enter(store)
        store.save(key, "s", *encode(Summary({"turn": 1})))
        store.save_weights(key, "w", b"old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StoreError, match=r"disk of the store is full: .* bytes free"):
                store.save_weights(key, "w", b"new")
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="Make room"):
            store.save(key, "s", "{}", bytes(1_000_000))
        assert store.load_weights(key, "w") == b"old"
        assert [file.name for file in weights.folder_of(tmp_path, key).iterdir()] == ["w.safetensors"]
        store.finish(key, "failed", "full")
    library = Library(tmp_path)
    assert library.result(key, "s").values == {"turn": 1}
    assert library.run(key).message == "full"


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    for turn in range(3):
        compute_here("stroll", {"seed": turn}, tmp_path)
    path = tmp_path / schema.FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StoreError, match="cannot be used"):
        Library(tmp_path, gallery=None).runs(children=True)


def test_pages_read_while_a_job_writes(tmp_path):
    library, wrong = Library(tmp_path, gallery=None), []

    def read():
        while not over.is_set():
            found = library.result(key, "s")
            if found is not None and len(set(found.values["train_loss"][0].tolist())) != 1:
                wrong.append(found)

    with Store(tmp_path) as store:
        key, over = enter(store), threading.Event()
        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for turn in range(60):
            values = {"train_loss": np.full((1, 5000), turn)}
            store.save(key, "s", *encode(History(("a",), np.arange(5000), np.zeros(5000), values)))
        over.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert library.version(key) == 60


def test_a_run_whose_process_has_gone_is_not_called_running(tmp_path):
    library = Library(tmp_path, gallery=None)
    with Store(tmp_path) as store:
        key = enter(store)
        store.begin(key, "here", 1)
        assert library.run(key).status == "running"
    assert library.run(key).status == "cancelled"
    assert "goes on" in library.run(key).message
    assert compute_here("stroll", {}, tmp_path) == (key, "done", "")
    assert [each["outcome"] for each in library.attempts(key)] == ["interrupted", "done"]
