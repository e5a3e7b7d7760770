"""``landscape calibrate`` as a shell user meets it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from landscape import __main__
from landscape.errors import BadInput

KEYS = {"n", "error", "nll", "brier", "ece15", "ece15_mass", "ece_debiased", "mce"}


@pytest.fixture(scope="module")
def overconfident(tmp_path_factory):
    """Logits of a calibrated predictor, times 2.5: the temperature that is right is known."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(4000, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    path = tmp_path_factory.mktemp("files") / "sharp.npz"
    np.savez(path, logits=2.5 * logits, labels=labels)
    return path


def test_one_json_value_with_the_account_of_each_file(overconfident):
    done = CliRunner().invoke(__main__.app, ["calibrate", str(overconfident), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])["sharp.npz"]
    assert set(found) >= KEYS | {"temperature", "after", "changed_predictions"}
    assert set(found["after"]) == KEYS
    assert found["n"] == 4000
    assert found["temperature"] == pytest.approx(2.5, rel=0.05)
    assert found["changed_predictions"] == 0
    assert found["after"]["nll"] < found["nll"]
    assert found["after"]["ece15"] < 0.03 < found["ece15"]


def test_a_table_for_people(overconfident):
    done = CliRunner().invoke(__main__.app, ["calibrate", str(overconfident)])
    assert "sharp.npz: 4,000 predictions" in done.stdout
    assert "at temperature 2." in done.stdout
    assert "ECE, equal mass" in done.stdout


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    path = tmp_path / "file.npz"
    np.savez(path, outputs=np.log(np.full((20, 2), 0.5)) + 1.2, labels=np.arange(20) % 2)
    refused = CliRunner().invoke(__main__.app, ["calibrate", str(path), "--kind", "probabilities"])
    assert isinstance(refused.exception, BadInput)
    assert "sum to one" in str(refused.exception)
    told = CliRunner().invoke(__main__.app, ["calibrate", str(path), "--json", "--kind", "logits"])
    assert json.loads(told.stdout.splitlines()[-1])["file.npz"]["error"] == 0.5
    wrong = CliRunner().invoke(__main__.app, ["calibrate", str(path), "--kind", "odds"])
    assert "probabilities or logits" in str(wrong.exception)
