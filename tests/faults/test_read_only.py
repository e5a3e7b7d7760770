"""A store in a place that cannot be written: looked at from there while it is complete, left behind, older, or being written
from elsewhere; every act that would write is refused in words."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from rewriting import ROWS
from serving import SMALL, Server
from shops import Shop

from landscape import ROOT
from landscape.errors import StoreError
from landscape.runs import Library, database, schema
from landscape.runs.home import holder, unwritable
from landscape.runs.local import compute_here
from landscape.settings import parse

pytestmark = pytest.mark.namespace("--mount")
SECONDS = 4.0  # for which a file that changes all the time is read


@contextmanager
def glass(home: Path):
    """The folder at a second place, where it is read-only; who has it at the first one may write it."""
    other = home.parent / "glass"
    other.mkdir()
    subprocess.run(["mount", "--bind", str(home), str(other)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(other)], check=True)
    try:
        yield Shop(other)
    finally:
        subprocess.run(["umount", "--lazy", str(other)], check=True)


def state(home: Path) -> dict[str, tuple]:
    return {str(p.relative_to(home)): (p.stat().st_size, p.stat().st_mtime_ns) for p in home.rglob("*")}


def command(*words: str, home: Path, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "landscape", *words, "--home", str(home)], text=True, capture_output=True,
                          check=False, **more)


def test_every_command_that_looks_works_and_every_other_says_why_not(shop, tmp_path):
    key, status, _ = compute_here("stroll", {"seed": 2}, shop.home)
    assert status == "done"
    before = state(shop.home)
    with glass(shop.home) as there:
        assert "Read-only file system" in unwritable(there.home)
        assert unwritable(shop.home) == ""
        assert key in command("runs", home=there.home).stdout
        shown = command("show", key, home=there.home)
        assert "stroll" in shown.stdout, shown.stderr
        assert command("export", key, "--out", str(tmp_path / "out"), home=there.home).returncode == 0
        assert (tmp_path / "out" / "weights" / "end.safetensors").is_file()
        again = command("run", "stroll", "--set", "seed=2", "--json", home=there.home)  # there already: it is told
        assert again.returncode == 0, again.stderr
        assert key in again.stdout
        for words in (["run", "stroll", "--set", "seed=3"], ["delete", key, "--yes"], ["keep", key, "=end"]):
            told = command(*words, home=there.home)
            assert told.returncode == 1, (words, told.stdout, told.stderr)
            assert re.search(r"cannot be written: Read-only file system.*can be looked at.*make the folder writable",
                             told.stderr), told.stderr
            assert "Traceback" not in told.stderr
        assert not there.jobs.resume()
        assert not there.jobs.renew()
        assert holder(shop.home / "writer.lock") is None
    assert state(shop.home) == before


def test_the_lines_of_a_writer_that_was_killed_are_read_from_a_copy(shop):
    """Its log is there, and the file beside it that a reader would need cannot be made."""
    key = shop.jobs.submit("stroll", {"steps": 40, "pause": 0.1})
    shop.until(lambda: shop.saved(key, 3))
    os.kill(shop.jobs.engine()["pid"], signal.SIGKILL)
    shop.until(lambda: shop.jobs.engine() is None)
    saved = shop.walked(key)
    for name in ("shm", "wal"):
        left = shop.home / f"{schema.FILE}-{name}"
        assert left.exists()
        if name == "shm":
            left.unlink()
    assert left.stat().st_size > 0

    def kept():
        return {name: found for name, found in state(shop.home).items() if name != "engine.log"}  # its worker's last words

    before = kept()
    with glass(shop.home) as there:
        run = there.library.run(key)
        assert run.status == "cancelled"
        assert "nobody is seen from here who computes it" in run.message
        assert there.walked(key)[: len(saved)] == saved
        assert not there.jobs.resume()
    assert kept() == before


def test_an_older_store_is_read_from_a_copy_and_stays_as_it_is(shop):
    key, _, _ = compute_here("pair", {}, shop.home)
    db = sqlite3.connect(shop.home / schema.FILE)
    for step in ("DROP INDEX parents_by_parent", "ALTER TABLE runs DROP COLUMN asked", "DROP TABLE wishes",
                 "DROP TABLE places", "PRAGMA user_version = 1"):
        db.execute(step)
    db.commit()
    db.close()
    before, copies = (shop.home / schema.FILE).read_bytes(), set(Path(tempfile.gettempdir()).glob("landscape-*"))
    with glass(shop.home) as there:
        assert [run.key for run in there.library.runs()] == [key]
        assert len(there.library.lineage(key)) == 3
        told = command("runs", "--all", home=there.home)
        assert len([line for line in told.stdout.splitlines() if not line.startswith("gallery-")]) == 3, told.stderr
    assert (shop.home / schema.FILE).read_bytes() == before
    assert not list(shop.home.glob(f"{schema.FILE}.v*"))
    left = set(Path(tempfile.gettempdir()).glob("landscape-*")) - copies
    assert len(left) <= 1, left  # that of this process; the command has taken its own away


def test_a_copy_for_which_there_is_no_room_is_said(shop, tmp_path, monkeypatch):
    compute_here("stroll", {}, shop.home)
    db = sqlite3.connect(shop.home / schema.FILE)
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(small)], check=True)
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    with glass(shop.home) as there, pytest.raises(StoreError, match=r"no room for it .*Make room there.*TMPDIR"):
        there.library.runs()
    subprocess.run(["umount", "--lazy", str(small)], check=True)


def slowly(db: sqlite3.Connection) -> list[tuple[str]]:
    """All rows as of one moment, in several steps: long enough for a writer to put its log into the file meanwhile."""
    db.execute("BEGIN")
    found = []
    for digit in range(10):
        found += db.execute("SELECT body FROM progress WHERE key LIKE ?", (f"row %{digit}",)).fetchall()
        time.sleep(0.003)
    return found


@pytest.mark.parametrize("seen", [True, False], ids=["this machine", "another machine"])
def test_what_somebody_else_writes_is_never_seen_torn(shop, seen):
    """One number in every row, whenever it is looked; and the numbers grow: it is no old copy."""
    compute_here("stroll", {}, shop.home)
    program = [sys.executable, str(Path(__file__).with_name("rewriting.py")), str(shop.home), *(["seen"] if seen else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    writer = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        with glass(shop.home) as there:
            writer.stdout.readline()
            found, deadline = Counter(), time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                try:
                    rows = database.read(there.home, slowly)
                except StoreError as error:
                    assert "faster than it can be read" in str(error), error  # noqa: PT017 (said, and not torn)
                    found["said"] += 1
                    continue
                assert len(rows) == ROWS
                numbers = {int(body) for (body,) in rows}
                assert len(numbers) == 1, numbers
                found[numbers.pop()] += 1
            numbers = [number for number in found if number != "said"]
            assert len(numbers) > 5, found
            assert numbers == sorted(numbers)
            assert found["said"] < sum(found.values()) / 2, found
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


def test_a_store_that_may_not_even_be_read_says_so(shop, tmp_path):
    """As for another user: root passes by every right, so the question is asked in the place of one who does not."""
    compute_here("stroll", {}, shop.home)
    words = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-m", "landscape", "runs", "--home",
             str(shop.home)]
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv on this machine")
    path = shop.home / schema.FILE
    path.chmod(0)
    try:
        told = subprocess.run(words, text=True, capture_output=True, check=False)
    finally:
        path.chmod(0o600)
    assert told.returncode == 1, told.stdout
    assert re.search(r"store\.sqlite may not be read.*chmod", told.stderr), told.stderr
    path.chmod(0o400)
    shop.home.chmod(0o500)
    kept = next((shop.home / "weights").rglob("*.safetensors"))
    kept.chmod(0)
    try:
        hidden = subprocess.run([*words[:-3], "export", kept.parent.name, "--out", str(tmp_path / "out"), *words[-2:]],
                                text=True, capture_output=True, check=False)
        kept.chmod(0o400)
        told = subprocess.run(words, text=True, capture_output=True, check=False)
        refused = subprocess.run([*words[:-3], "run", "stroll", "--set", "seed=9", *words[-2:]], text=True,
                                 capture_output=True, check=False)
    finally:
        shop.home.chmod(0o700)
    assert told.returncode == 0, told.stderr
    assert "stroll" in told.stdout.lower() or "Walk" in told.stdout
    assert hidden.returncode == 1, hidden.stdout
    assert re.search(r"end\.safetensors may not be read", hidden.stderr), hidden.stderr
    assert refused.returncode == 1
    assert re.search(r"cannot be written: .* belongs to .* and may not be changed by", refused.stderr), refused.stderr


def page(name: str, **query):
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60)
    app.query_params.update(query)
    app.run()
    return app if name == "overview" else app.switch_page(f"../../pages/{name}.py").run()


def test_pages_show_everything_open_networks_and_have_their_buttons_off(shop, monkeypatch):
    key, status, message = compute_here("valleys", parse("valleys", SMALL), shop.home)
    assert status == "done", message
    ended, _, _ = compute_here("stroll", {"fault": "input"}, shop.home)
    before = state(shop.home)
    with glass(shop.home) as there:
        monkeypatch.setenv("LANDSCAPE_HOME", str(there.home))
        for name in ("overview", "valleys", "averaging", "posterior", "calibration", "checkpoints", "runs"):
            app = page(name)
            assert not app.exception, (name, app.exception)
            assert not app.error, (name, app.error)
            assert any("can only be looked at" in each.label for each in app.expander), name
            assert any("Read-only file system" in each.value for each in app.markdown), name
            off = {button.key: button.disabled for button in app.button if button.key in ("run-button", "open-button",
                                                                                          "predictions-button")}
            assert all(off.values()), (name, off)
            assert bool(off) == (name not in ("overview", "runs")), (name, off)
        runs = page("runs")
        assert not [button.key for button in runs.button if button.key.startswith(("rename-", "delete-"))]
        assert any(ended in each.value for each in runs.markdown)
        assert page("valleys", run=ended).button("go-on").disabled
        seen = there.jobs.open({"run": key, "plane": "optima", "x": 0.5, "y": 0.5})
        assert 0 < seen.values["train_nll"] < 5
        opened = page("valleys", run=key, open="optima:0.5,0.5")
        assert not opened.exception
        assert opened.button("keep").disabled
        assert any("The network at" in each.value for each in opened.subheader)
    assert state(shop.home) == before


def test_a_run_that_somebody_computes_is_watched_and_cannot_be_touched(shop, monkeypatch):
    key = shop.jobs.submit("stroll", {"steps": 200, "pause": 0.05})
    shop.until(lambda: shop.saved(key, 3))
    with glass(shop.home) as there:
        monkeypatch.setenv("LANDSCAPE_HOME", str(there.home))
        seen = len(there.walked(key))
        assert there.library.run(key).status == "running"
        there.until(lambda: there.saved(key, seen + 5))
        assert there.library.progress(key).fraction > 0
        app = page("valleys", run=key)
        assert not app.exception, app.exception
        assert app.button("cancel").disabled
        assert there.jobs.engine() is None
        for act in (there.jobs.stop, lambda: there.jobs.cancel(key), lambda: there.jobs.rename(key, "Mine")):
            with pytest.raises(StoreError, match="cannot be written: Read-only file system"):
                act()
    assert shop.jobs.engine() is not None
    assert shop.library.run(key).status == "running"
    shop.jobs.cancel(key)
    assert shop.ended(key).status == "cancelled"


def test_several_servers_show_one_store_and_end_without_a_trace(shop):
    compute_here("stroll", {}, shop.home)
    before = state(shop.home)
    with glass(shop.home) as there:
        servers = [Server(there.home), Server(there.home)]
        try:
            assert all("can be looked at" in server.log.read_text() for server in servers)
        finally:
            for server in servers:
                server.stop()
        assert not any("Traceback" in server.log.read_text() for server in servers)
    assert state(shop.home) == before


def test_a_library_of_an_empty_folder_that_cannot_be_written(shop):
    shop.home.mkdir()
    with glass(shop.home) as there:
        assert Library(there.home, gallery=None).runs() == []
        with pytest.raises(StoreError, match="cannot be written"):
            there.jobs.submit("stroll", {})
