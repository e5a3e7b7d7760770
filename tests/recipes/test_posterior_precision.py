"""A posterior in bfloat16: the chains alone are in it, what it does to their densities is measured, kept and said."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from landscape.__main__ import app
from landscape.recipes.inferred import sweeps
from landscape.recipes.inferred.ground import ground_of
from landscape.runs import Library
from landscape.runs.context import Reader
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.shelf import Shelf
from landscape.settings import parse

SMALL = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "grid": 9, "subspace": "pca",
         "methods": ("swag", "ess", "hmc", "laplace_subspace"), "compared": (), "draws": 20, "chains": 4, "side_draws": 10,
         "warmup": 10, "weight_draws": 10, "weight_warmup": 10, "swag_draws": 3, "temperature": 10.0, "prior_std": 2.0,
         "temperatures": (0.001, 10.0), "prior_stds": (), "reference": None}
CHAINS = ("ess", "hmc")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def computed(home, **given):
    made = identify("posterior", parse("posterior", SMALL | given))
    compute_here("posterior", made.settings, home)
    library = Library(home)
    assert library.run(made.key).status == "done", library.detail(made.key)
    return library, made.key


@pytest.fixture(scope="module")
def rounded(home):
    return computed(home, precision="bfloat16")


@pytest.fixture(scope="module")
def plain(home):
    return computed(home)


def test_the_summary_tells_each_chains_error(rounded):
    summary = json.loads(json.dumps(rounded[0].result(rounded[1], "summary").values, allow_nan=False))
    assert summary["precision"] == "bfloat16"
    for name in CHAINS:
        found = summary["methods"][name]["rounding"]
        assert (found["precision"], found["reference"], found["points"]) == ("bfloat16", "float64", 32)
        assert 0 < found["sd"] <= found["worst"] < 1
        assert (found["gradient"] is None) == (name == "ess")
        assert found["said"] in " ".join(summary["said"])
    assert len(summary["said"]) == len(CHAINS)
    for name in ("swag", "laplace_subspace", "sgd"):
        assert "rounding" not in summary["methods"][name]


def test_results_of_a_chain_and_the_table_tell_it_too(rounded):
    library, key = rounded
    rows = {row["label"]: row for row in library.result(key, "table").values["rows"]}
    verdict = library.result(key, "table").values["verdict"]
    for name in CHAINS:
        info = library.result(key, f"samples:{name}").info
        assert info["rounding"] == rows[name]["rounding"]
        assert info["rounding"]["said"] in info["said"]
        assert "Networks are evaluated in bfloat16." in info["target"]
        assert rows[name]["log_density_error"]["mean"] == info["rounding"]["sd"]
        assert any(info["rounding"]["said"] in said for said in verdict)
    assert rows["hmc"]["gradient_error"]["mean"] == rows["hmc"]["rounding"]["gradient"] > 0
    assert "bfloat16" not in library.result(key, "samples:laplace_subspace").info["target"]


def test_a_sweep_tells_the_error_at_each_value_and_where_it_is_too_large(rounded):
    sweep = rounded[0].result(rounded[1], "sweep:temperature")
    cold, warm = sweep.values["log_density_error"]
    assert warm < 0.1 < cold
    assert sweep.info["precision"] == "bfloat16"
    (said,) = sweep.info["said"]
    assert said.startswith("At 0.001: ")
    assert "WARNING" in said


def test_pictures_and_what_is_fitted_stay_in_float32(rounded, plain):
    for name in ("surface:theatre", "surface:loss"):
        a, b = (library.result(key, name) for library, key in (rounded, plain))
        assert all(np.array_equal(a.values[m], b.values[m], equal_nan=True) for m in a.values)
    for name, same in (("swag", True), ("laplace_subspace", True), ("ess", False), ("hmc", False)):
        a, b = (library.result(key, f"samples:{name}") for library, key in (rounded, plain))
        assert np.array_equal(a.log_density, b.log_density, equal_nan=True) == same
        assert not same or np.array_equal(a.plane, b.plane)


def test_without_it_nothing_is_added(plain):
    library, key = plain
    summary = library.result(key, "summary").values
    assert not {"precision", "said"} & set(summary)
    assert not any("rounding" in found for found in summary["methods"].values())
    assert "rounding" not in library.result(key, "samples:ess").info
    assert "log_density_error" not in library.result(key, "sweep:temperature").values
    assert not {"precision"} & set(library.result(key, "sweep:temperature").info)


def test_sharp_densities_are_not_trusted(home):
    """400 examples at a temperature of 0.001: what bfloat16 rounds away is some nats."""
    library, key = computed(home, precision="bfloat16", temperature=0.001, temperatures=(), methods=("ess",))
    summary = library.result(key, "summary").values
    assert summary["methods"]["ess"]["rounding"]["trusted"] is False
    assert "WARNING: more than 0.1 nats" in summary["said"][0]


def test_points_of_a_sweep_go_to_others_only_in_float32(rounded, monkeypatch):
    """Processors differ in what they round."""
    asked = []
    monkeypatch.setattr(sweeps, "spread", lambda context, work, points, progress: asked.append(work.there) or ())

    class Context(Reader):
        def progress(self, *given):
            pass

    for precision in ("float32", "bfloat16"):
        reader = Context(Shelf(rounded[0]), rounded[1])
        ground = ground_of(parse("posterior", SMALL | {"precision": precision}), reader, here=True)
        sweeps._swept(ground, "temperature", (1.0,), reader)
    assert asked[0] is not None
    assert asked[1] is None


def test_the_command_line_says_it(home, rounded, monkeypatch):
    monkeypatch.setattr("landscape.__main__.agreed", lambda *given: None)
    monkeypatch.setattr("landscape.__main__.finished", lambda wanted, *given: (rounded[0], rounded[0].run(wanted.key)))
    given = [part for name, value in (SMALL | {"precision": "bfloat16"}).items() if value is not None
             for part in ("--set", f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")]
    plain = CliRunner().invoke(app, ["run", "posterior", *given, "--home", str(home)])
    assert plain.exit_code == 0, plain.output
    assert "HMC: Networks evaluated in bfloat16: at 32 of the draws" in plain.output
    told = CliRunner().invoke(app, ["run", "posterior", *given, "--home", str(home), "--json"])
    assert json.loads(told.output.splitlines()[-1])["methods"]["hmc"]["rounding"]["gradient"] > 0
