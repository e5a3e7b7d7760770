"""``landscape inspect`` as a shell user meets it: one JSON value, the report, exit statuses, whose files may be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

MODEL = """
import torch
from torch import nn

def make(width=5):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
"""
FAST = ("--set", "grid=5", "--set", "line_points=3", "--set", "pair_points=3")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as a user has it: a module, data, two checkpoints."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "models.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    generator = torch.Generator().manual_seed(0)
    for name in ("a.pt", "b.pt"):
        torch.save({k: torch.randn(v.shape, generator=generator) for k, v in module.state_dict().items()}, folder / name)
    return folder


@pytest.fixture
def command(place, tmp_path):
    def run(*words, **environment):
        plain = {k: v for k, v in os.environ.items() if not k.startswith("LANDSCAPE_")}
        done = subprocess.run([sys.executable, "-m", "landscape", "inspect", *words], capture_output=True, text=True,
                              timeout=120, cwd=place, check=False,
                              env={**plain, "LANDSCAPE_HOME": str(tmp_path), "LANDSCAPE_FACTORIES": "models", **environment})
        return done.returncode, done.stdout, done.stderr

    return run


OURS = ("a.pt", "b.pt", "--network", "models:make", "--data", "data.npz", "--normalisation", "none")


def test_two_files_in_one_json_value(command, place):
    status, out, err = command(*OURS, *FAST, "--json")
    assert status == 0, err
    found = json.loads(out.splitlines()[-1])
    assert len(out.splitlines()) == 1
    assert found["parameters"] == 3 * 5 + 5 + 5 * 2 + 2
    assert [row["file"] for row in found["files"]] == ["a.pt", "b.pt"]
    assert set(found["pairs"][0]) == {"a", "b", "distance", "line_max", "barrier", "agreement"}
    assert found["pca"] == {"explained": []}
    assert found["average"]["nll"] > 0
    assert "all keys match" in err
    assert "To come:" in err
    a, b = (torch.load(place / name) for name in ("a.pt", "b.pt"))
    distance = float(sum((a[k].double() - b[k].double()).square().sum() for k in a) ** 0.5)
    assert found["pairs"][0]["distance"] == pytest.approx(distance, rel=1e-6)
    x, y = (torch.tensor(np.load(place / "data.npz")[k]) for k in "xy")
    logits = torch.relu(x.float() @ a["0.weight"].T + a["0.bias"]) @ a["2.weight"].T + a["2.bias"]
    assert found["files"][0]["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, y)), rel=1e-5)


def test_the_report_in_words(command):
    status, out, err = command(*OURS, *FAST)
    assert status == 0, err
    for words in ("32 parameters", "all 40 examples of data.npz", "a.pt: loss", "Pairs: distance", "Average of the weights"):
        assert words in out


def test_keys_that_do_not_match_are_listed_by_name_and_shape(command):
    status, out, _ = command("a.pt", "--network", "models:make", "--arguments", '{"width": 6}', "--data", "data.npz",
                             "--normalisation", "none", *FAST)
    assert status == 0
    assert "another shape: 0.weight (5, 3) in the file, (6, 3) in the network" in out


def test_roots_that_are_set_are_held_to(command, place, tmp_path):
    status, _, err = command(*OURS, *FAST, LANDSCAPE_ROOTS=str(tmp_path))
    assert status == 1
    assert "LANDSCAPE_ROOTS" in err
    assert command(*OURS, *FAST, "--json", LANDSCAPE_ROOTS=str(place))[0] == 0


@pytest.mark.parametrize("named", ["link.pt", "inner/../a.pt"])
def test_links_and_dots_are_refused_where_roots_are_set(command, place, named):
    (place / "inner").mkdir(exist_ok=True)
    if not (place / "link.pt").is_symlink():
        (place / "link.pt").symlink_to(place / "a.pt")
    rest = (*OURS[2:], *FAST)
    status, _, err = command(named, "b.pt", *rest, LANDSCAPE_ROOTS=str(place))
    assert status == 1
    assert "a symbolic link" in err if named == "link.pt" else "'..'" in err
    assert command(named, "b.pt", *rest, "--json")[0] == 0


def test_factories_are_never_implied(command):
    status, _, err = command(*OURS, *FAST, LANDSCAPE_FACTORIES="")
    assert status == 1
    assert "LANDSCAPE_FACTORIES=models" in err


def test_another_source_of_the_factory_is_another_run(command, place):
    first = json.loads(command(*OURS, *FAST, "--json")[1].splitlines()[-1])["key"]
    source = place / "models.py"
    source.write_text(MODEL + "\n# changed\n")
    try:
        assert json.loads(command(*OURS, *FAST, "--json")[1].splitlines()[-1])["key"] != first
    finally:
        source.write_text(MODEL)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [((), 2, "Missing argument"), (("a.pt", "--set", "grid"), 2, "name=value"), (("nothing.pt",), 1, "no 'nothing.pt'"),
     (("a.pt", "--data", "digit"), 1, "digits"), (("a.pt", "--network", "mlq"), 1, "Did you mean 'mlp'"),
     (("a.pt", "--set", "gird=5"), 1, "Did you mean 'grid'"), (("models.py", "--data", "moons"), 1, "no checkpoint"),
     (("a.pt", "--network", "mlp", "--data", "digits"), 1, "64")],
)
def test_what_is_wrong_is_said(command, words, status, said):
    found, _, err = command(*words)
    assert found == status, err
    assert said in err


def test_beside_an_engine_the_shell_computes_and_the_engine_writes(place, shop):
    shop.jobs.submit("stroll", {"steps": 3})
    shop.until(lambda: shop.jobs.engine())
    plain = {k: v for k, v in os.environ.items() if k != "LANDSCAPE_ROOTS"}
    done = subprocess.run([sys.executable, "-m", "landscape", "inspect", *OURS, *FAST, "--json", "--home", str(shop.home)],
                          capture_output=True, text=True, timeout=120, cwd=place, check=False,
                          env={**plain, "LANDSCAPE_FACTORIES": "models"})
    assert done.returncode == 0, done.stderr
    key = json.loads(done.stdout.splitlines()[-1])["key"]
    assert shop.library.run(key).status == "done"

