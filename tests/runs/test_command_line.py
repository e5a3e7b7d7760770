"""The command line: exit statuses, one JSON value last, Ctrl-C, exports."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import zipfile
from pathlib import Path

import numpy as np
import pytest

from landscape.__main__ import main
from landscape.errors import BadInput
from landscape.runs import Library, archive
from landscape.runs.home import Lock
from landscape.runs.local import compute_here


def test_run_prints_one_json_value_and_computes_once(command, tmp_path):
    status, out, err = command("run", "stroll", "--set", "steps=4", "--json")
    assert status == 0, err
    assert len(out.splitlines()) == 1
    summary = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert summary["nan"] is None
    assert "100%" in err
    again = command("run", "stroll", "--set", "steps=4", "--json")
    assert json.loads(again[1]) == summary
    library = Library(tmp_path / "home", gallery=None)
    assert len(library.attempts(summary["key"])) == 1
    status, out, _ = command("runs", "--json")
    assert status == 0
    listed = {run["key"]: run for run in json.loads(out)}
    assert listed[summary["key"]]["bytes"] == library.size(summary["key"]) > 0
    status, out, _ = command("show", summary["key"][:5], "--json")
    assert status == 0
    assert json.loads(out)["summary"]["sum"] == summary["sum"]
    assert json.loads(out)["progress"]["fraction"] == 1
    assert summary["key"] in command("show", summary["key"])[1]


def test_a_terminal_gets_bars(tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    words = [sys.executable, "-m", "landscape", "run", "pair", "--set", "pause=0.05", "--home", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end was closed
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert process.wait() == 0
    for stage in ("walk 0: stroll", "walk 1: sum", "difference"):
        assert re.search(rf"{stage} +100% \|".encode(), shown), shown


@pytest.mark.parametrize(("words", "status", "says"), [
    (("run", "strlol"), 1, "Did you mean 'stroll'"),
    (("run", "stroll", "--set", "stepz=1"), 1, "Did you mean 'steps'"),
    (("run", "stroll", "--set", "steps=0"), 1, "greater than 0, found '0'"),
    (("run", "stroll", "--set", "steps"), 2, "name=value"),
    (("run", "stroll", "--set", "fault=error"), 1, "failed: RuntimeError: the third step broke"),
    (("run", "stroll", "--set", "fault=input"), 1, "failed: Expected two legs, found three."),
    (("run",), 2, "recipe"),
    (("show", "abcd"), 1, "There is no run 'abcd'"),
    (("export", "abcd"), 1, "There is no run 'abcd'"),
    (("delete", "abcd", "--yes"), 1, "There is no run 'abcd'"),
    (("dance",), 2, "dance"),
    (("run", "stroll", "--home", "/proc/none"), 1, "cannot be made"),
    (("app", "--port", "0"), 2, "--port"),
])
def test_what_cannot_be_done_is_said_without_a_traceback(monkeypatch, capsys, tmp_path, words, status, says):
    monkeypatch.setattr(sys, "argv", ["landscape", *words])
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) == status, err
    assert says in err
    assert out == ""


def test_a_store_that_cannot_be_there_has_the_gallery_alone(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["landscape", "runs", "--home", "/proc/none"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert not ended.value.code
    assert "takes 0 B" in err
    assert all(line.startswith("gallery-") for line in out.splitlines())


@pytest.fixture
def interruptible():
    """A shell's background job starts with Ctrl-C ignored, and so would what it starts: here it counts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(command, tmp_path, undisturbed):
    home, words = tmp_path / "home", ["run", "stroll", "--set", "steps=8", "--set", "pause=0.2", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "landscape", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env={**os.environ, "LANDSCAPE_HOME": str(home)})
    library, key = Library(home, gallery=None), None
    while not (key and library.version(key) >= 2):
        assert process.poll() is None, process.stderr.read()
        key = next((run.key for run in library.runs()), None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert out == ""
    assert "goes on from there" in err
    assert "Traceback" not in err
    assert library.run(key).status == "cancelled"
    status, out, err = command(*words)
    assert status == 0, err
    assert json.loads(out)["key"] == key
    assert [each["outcome"] for each in library.attempts(key)] == ["cancelled", "done"]
    walked = library.result(key, "history:walk").values["train_loss"][0].tolist()
    assert walked == undisturbed(steps=8)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels_a_run_of_the_engine(shop):
    shop.ended(shop.jobs.submit("stroll", {}))
    process = subprocess.Popen([sys.executable, "-m", "landscape", "run", "stroll", "--set=steps=50", "--set=pause=0.1",
                                f"--home={shop.home}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shop.until(lambda: shop.library.runs(search="steps=50"))
    key = shop.library.runs(search="steps=50")[0].key
    shop.until(lambda: shop.saved(key, 2))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert shop.ended(key, 2).status == "cancelled"


def test_export_is_complete_and_can_be_looked_at(command, tmp_path):
    home = tmp_path / "home"
    key, *_ = compute_here("pair", {}, home)
    status, out, err = command("export", key, "--out", "gallery/pair")
    assert status == 0, err
    assert Path(out.strip()) == Path("gallery/pair")
    looked, own = Library(tmp_path / "none", gallery=tmp_path / "gallery"), Library(home, gallery=None)
    (run,) = looked.runs()
    assert run.read_only
    assert run.key == f"gallery-{key}"
    assert len(looked.runs(children=True)) == 3
    with pytest.raises(BadInput, match="only for looking"):
        looked.writable(run.key)
    assert looked.result(run.key, "summary").values == own.result(key, "summary").values
    for shown, computed in zip(run.parents, own.run(key).parents, strict=True):
        assert shown == f"gallery-{computed}"
        np.testing.assert_array_equal(looked.weights(shown, "end")["w"], own.weights(computed, "end")["w"])
        history = own.result(computed, "history:walk")
        np.testing.assert_array_equal(looked.result(shown, "history:walk").values["train_loss"],
                                      history.values["train_loss"])
    again = archive.export(looked, run.key, tmp_path / "again")  # a gallery run can be exported too
    assert Library(tmp_path / "none", gallery=again).run(run.key).key == run.key
    status, _, err = command("export", key, "--out", "gallery/pair")
    assert status == 1
    assert "exists already" in err
    assert command("export", key, "--out", "pair.zip")[0] == 0
    with zipfile.ZipFile(tmp_path / "pair.zip") as file:
        assert file.testzip() is None
        assert "pair/run.json" in file.namelist()
        assert len([name for name in file.namelist() if name.endswith("results.npz")]) == 3


def test_export_says_what_it_cannot_write(command, tmp_path, monkeypatch):
    key, *_ = compute_here("stroll", {}, tmp_path / "home")
    assert "Choose npz, html, png or svg" in command("export", key, "--format", "pdf")[2]
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'kaleido' else find(name, *rest)\n")
    monkeypatch.setenv("PYTHONPATH", f"{blocked}{os.pathsep}{os.environ['PYTHONPATH']}")
    status, _, err = command("export", key, "--format", "png")
    assert status == 1
    assert "pip install 'landscape[export]'" in err


def test_delete_asks_first(command, tmp_path):
    key, *_ = compute_here("stroll", {}, tmp_path / "home")
    status, _, err = command("delete", key)  # nobody to ask
    assert status == 1
    assert "for good?" in err
    assert Library(tmp_path / "home").run(key)
    assert command("delete", key[:6], "--yes")[0] == 0
    assert Library(tmp_path / "home", gallery=None).runs() == []


def test_app_says_that_the_port_is_taken(command, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        status, _, err = command("app", "--port", port)
    assert status == 1
    assert f"Port {port} cannot be used" in err
    assert "--port" in err


def test_app_says_that_another_server_has_the_store(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    lock = Lock.take(home / "server.lock", {"url": "http://localhost:9999"})
    status, _, err = command("app")
    lock.release()
    assert status == 1
    assert "already shown at http://localhost:9999" in err


def test_data_lists_the_tasks(command):
    assert "mnist1d" in json.loads(command("data", "--json")[1])
    assert "mnist1d" in command("data")[1]
