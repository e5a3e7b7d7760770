"""docs/operations.md, followed literally: its blocks are one script, run in a folder of their own."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from landscape import ROOT, configuration
from landscape.runs.home import holder

GUIDE = (ROOT / "docs/operations.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(tmp_path):
    """The folder that stands for /srv/landscape, with the program where the guide installs it."""
    folder = tmp_path / "landscape"
    (folder / "venv/bin").mkdir(parents=True)
    for name, words in {"landscape": f"{sys.executable} -m landscape", "python3": sys.executable}.items():
        command = folder / "venv/bin" / name
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o700)
    yield folder
    for home in (folder / "store", folder / "store-moved"):
        for name in ("writer.lock", "server.lock"):
            if says := holder(home / name):
                os.kill(says["pid"], signal.SIGTERM)


def test_the_guide_is_followed_literally(place):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = "".join(BLOCKS).replace("/srv/landscape", str(place)).replace("8501", port)
    plain = {name: value for name, value in os.environ.items()
             if name.removeprefix("LANDSCAPE_").lower() not in configuration.KEYS and not name.startswith("STREAMLIT_")}
    given = {"HOME": str(place.parent), "PATH": f"{place / 'venv/bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
             "LANDSCAPE_ENGINE_IDLE": "60"}
    done = subprocess.run(["bash", "-euxc", script], cwd=place.parent, env=plain | given, capture_output=True, text=True,
                          timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.count("Train") >= 3, done.stdout  # listed before, in the copy, and after the move
    assert "ok" in done.stdout
    assert (place / ".streamlit/secrets.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_service(place):
    (unit,) = re.findall(r"^```ini\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    file = place / "landscape.service"
    file.write_text(unit.replace("/srv/landscape", str(place)))
    done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", str(file)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_guide_names_is_there():
    for key in re.findall(r"^(\w+) = .*#", GUIDE, re.MULTILINE):
        assert key in configuration.KEYS, key


def test_every_line_of_the_threat_model_names_a_test():
    """A name in a comment, or of a function that pytest does not collect, is none."""
    rows = [row for row in SECURITY.splitlines() if row.startswith("| ")][1:]
    assert rows
    for row in rows:
        named, file = re.findall(r"`([\w/]*\.py)?(?:::)?(test_\w+)?`", row.rsplit(" | ", 1)[1]), ""
        assert any(path for path, _ in named), row
        for path, test in named:
            file = path or file
            found = collected(ROOT / "tests" / file)
            assert found, file
            assert not test or test in found, (file, test)


def collected(file) -> set[str]:
    """The tests of a file: its functions, and methods of its classes, that pytest collects and none skips in any case."""
    tree, found = ast.parse(file.read_text()), set()
    for scope in [tree, *(one for one in tree.body if isinstance(one, ast.ClassDef) and one.name.startswith("Test"))]:
        found |= {one.name for one in scope.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
                  and not any(ast.unparse(mark).startswith(("pytest.mark.skip(", "pytest.mark.xfail"))
                              or ast.unparse(mark) == "pytest.mark.skip" for mark in one.decorator_list)}
    return found


def test_a_name_alone_is_no_test(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text("# def test_said(): ...\n@pytest.mark.skip(reason='')\ndef test_off(): ...\ndef test_on():\n"
                    "    def test_inner(): ...\n")
    assert collected(file) == {"test_on"}
