"""docs/operations.md, followed literally: its blocks are one script, run in a folder of their own."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from landscape import ROOT, configuration
from landscape.runs.home import holder

GUIDE = (ROOT / "docs/operations.md").read_text()
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


def test_what_the_guide_names_is_there():
    for key in re.findall(r"^(\w+) = .*#", GUIDE, re.MULTILINE):
        assert key in configuration.KEYS, key


def test_every_line_of_the_threat_model_names_a_test():
    rows = [row for row in (ROOT / "docs/security.md").read_text().splitlines() if row.startswith("| ")][1:]
    for row in rows:
        named, file = re.findall(r"`([\w/]*\.py)?(?:::)?(test_\w+)?`", row.rsplit(" | ", 1)[1]), ""
        assert named, row
        for path, test in named:
            file = path or file
            text = (ROOT / "tests" / file).read_text()
            assert not test or f"def {test}(" in text, (file, test)
