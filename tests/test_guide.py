"""The guide *Inspect your own model*, followed to the letter in an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from landscape import ROOT

GUIDE = (ROOT / "docs/inspect.md").read_text()
PROGRAM = [sys.executable, "-m", "landscape"]


def block(kind: str, containing: str) -> str:
    """The code block of the guide that holds these words."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", GUIDE, re.DOTALL)
    found = [text for name, text in blocks if name == kind and containing in text]
    assert len(found) == 1, f"{len(found)} blocks hold {containing!r}"
    return found[0]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The reader's folder with five checkpoints, and the environment the guide asks for."""
    folder = tmp_path_factory.mktemp("clone") / "mine"
    folder.mkdir()
    (folder / "my_networks.py").write_text(block("python", "class Digits"))
    (folder / "train.py").write_text(block("python", "load_digits"))
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=300)
    exported = dict(re.findall(r"^export (\w+)=(\S+)", block("", "export LANDSCAPE_FACTORIES"), re.MULTILINE))
    environment = {name: value.replace("$PWD", str(folder)) for name, value in exported.items()}
    assert set(environment) == {"LANDSCAPE_FACTORIES", "PYTHONPATH", "LANDSCAPE_DATA", "LANDSCAPE_ROOTS"}
    path = os.pathsep.join((environment["PYTHONPATH"], str(ROOT)))  # the guide's environment has landscape installed
    own = {name: value for name, value in os.environ.items() if not name.startswith("LANDSCAPE_")}
    return folder, {**own, **environment, "PYTHONPATH": path, "LANDSCAPE_HOME": str(folder / "store")}


def shell(mine, *more: str) -> subprocess.CompletedProcess:
    """The guide's command, with these options added."""
    folder, environment = mine
    words = shlex.split(block("", "landscape inspect checkpoints").replace("\\\n", " "))
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("checkpoints/*.pt"))
    assert words[:3] == ["../.venv/bin/landscape", "inspect", "checkpoints/*.pt"]
    assert len(files) == 5
    return subprocess.run([*PROGRAM, "inspect", *files, *words[3:], *more], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=300)


def test_by_shell(mine):
    done = shell(mine, "--json", "--set", "grid=9", "--set", "pair_points=5", "--set", "picture=exact")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    errors = [file["error"] for file in said["files"]]
    assert errors[-1] < 0.1, "told the right normalisation, the last epoch is good"
    assert not any(file["missing"] or file["unexpected"] for file in said["files"])
    assert len(said["pairs"]) == 10
    assert max(pair["barrier"] for pair in said["pairs"]) < 0.5
    assert sum(said["pca"]["explained"]) == pytest.approx(1, abs=1e-4)
    assert said["average"]["error"] < 0.2


def test_the_wrong_normalisation_is_noticed_and_the_right_one_named(mine):
    folder, environment = mine
    given = ["inspect", "checkpoints/epoch-10.pt", "--network", "my_networks:digits", "--data", "file:my_digits.npz"]
    said = subprocess.run([*PROGRAM, *given, "--normalisation", "1.4;0.005", "--set", "grid=5", "--set", "line_points=3"],
                          cwd=folder, env=environment, text=True, capture_output=True, timeout=300)
    assert said.returncode == 0, said.stderr
    assert "hardly better than a network that knows nothing" in said.stdout
    assert "normalisation=" in said.stdout


def test_a_module_that_is_not_listed_is_refused_as_the_guide_says(mine):
    folder, environment = mine
    done = subprocess.run([*PROGRAM, "inspect", "checkpoints/epoch-10.pt", "--network", "my_networks:digits", "--data",
                           "file:my_digits.npz", "--set", "seed=7"], cwd=folder, text=True, capture_output=True, timeout=300,
                          env={name: value for name, value in environment.items() if name != "LANDSCAPE_FACTORIES"})
    assert done.returncode == 1
    assert "LANDSCAPE_FACTORIES" in done.stderr


def test_every_setting_the_guide_names_exists():
    from landscape.settings_inspect import Inspect
    from landscape.settings_posterior import Around

    own, around = GUIDE.split("## What lies around them")
    around, rest = around.split("\n## ", 1)
    for text, settings in ((own + rest, Inspect), (around, Around)):
        named = set(re.findall(r"`(\w+)=[^`]*`", text))
        assert named
        assert named <= set(settings.model_fields), named - set(settings.model_fields)
