"""Runs whose networks are trained in bfloat16: keys of their own, their rounding kept and said where training is shown."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from landscape import ROOT, catalog
from landscape.__main__ import app
from landscape.errors import BadInput
from landscape.figures import page, truth
from landscape.recipes.costs import estimate
from landscape.results import History
from landscape.runs import Library
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.settings import parse
from landscape.training import rounding

SMALL = {"task": "moons", "epochs": 6, "curve_epochs": 4, "grid": 9, "widths": (8, 8), "seeds": (0, 1, 2)}
WALKED = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "grid": 9, "rays": 3, "ray_points": 7,
          "line_points": 11, "hessian": 0, "hessian_examples": 100}


def computed(home, recipe, given):
    made = identify(recipe, parse(recipe, given | {"training_precision": "bfloat16"}))
    compute_here(recipe, made.settings, home)
    library = Library(home)
    assert library.run(made.key).status == "done", library.detail(made.key)
    return library, library.run(made.key)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def valleys(home):
    return computed(home, "valleys", SMALL)


@pytest.mark.parametrize("recipe", ["training", "curves", "valleys", "walk", "branches", "averaging", "posterior",
                                    "calibration"])
def test_runs_from_before_keep_their_keys_and_others_have_their_own(recipe):
    plain = parse(recipe, {"task": "digits"})
    assert "training_precision" not in plain.canonical()
    keys = {identify(recipe, {"task": "digits", "training_precision": name}).key for name in ("float32", "tf32", "bfloat16")}
    assert len(keys) == 3
    assert identify(recipe, plain).key in keys
    with pytest.raises(BadInput, match="Did you mean 'bfloat16'"):
        parse(recipe, {"task": "digits", "training_precision": "bfloat"})


def test_every_recipe_with_seeds_has_the_setting():
    for name in catalog.RECIPES:
        fields = catalog.Row("", "", catalog.RECIPES[name].defaults["settings"]).load().model_fields
        assert ("seeds" in fields) == ("training_precision" in fields), name


def test_histories_keep_the_figures_and_the_sentence(valleys):
    library, run = valleys
    for name, what in (("training", "Networks"), ("curves", "Curves")):
        found = library.inherited(run.key, f"history:{name}")
        told = found.info["rounding"]
        assert told["said"].startswith(f"{what} trained in bfloat16, weights and sums in float32: gradients off by ")
        error = found.values["train_gradient_error"]
        assert error.shape == (len(found.names), len(found.epochs))
        assert told["gradient"] == pytest.approx(np.nanmedian(error))
        assert told["worst"] == np.nanmax(error) > 0
        assert told["steps"] == np.isfinite(error).any(0).sum()
    assert list(truth.trainings(library, run)) == ["training", "curves"]


def test_the_command_line_says_it(valleys, home, monkeypatch):
    library, run = valleys
    monkeypatch.setattr("landscape.__main__.agreed", lambda *given: None)
    monkeypatch.setattr("landscape.__main__.finished", lambda wanted, *given: (library, library.run(wanted.key)))
    given = [part for name, value in (SMALL | {"training_precision": "bfloat16"}).items()
             for part in ("--set", f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")]
    plain = CliRunner().invoke(app, ["run", "valleys", *given, "--home", str(home)])
    assert plain.exit_code == 0, plain.output
    assert "\nNetworks trained in bfloat16, weights and sums in float32: " in plain.output
    assert "\nCurves trained in bfloat16" in plain.output
    told = CliRunner().invoke(app, ["run", "valleys", *given, "--home", str(home), "--json"])
    assert json.loads(told.output.splitlines()[-1])["rounding"]["training"]["gradient"] > 0
    shown = CliRunner().invoke(app, ["show", run.key, "--home", str(home), "--json"])
    assert json.loads(shown.output.splitlines()[-1])["rounding"]["curves"]["trusted"] in (True, False)


def opened(name, **query):
    drawn = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60)
    for each, value in query.items():
        drawn.query_params[each] = value
    drawn.run()
    drawn = drawn.switch_page(f"../../pages/{name}.py").run()
    assert not drawn.exception, drawn.exception
    return drawn


@pytest.mark.parametrize("name", ["valleys", "averaging", "posterior", "calibration"])
def test_every_page_offers_it_behind_advanced(name, home, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    (advanced,) = (each for each in opened(name, training_precision="tf32").expander if each.label == "Advanced")
    (found,) = (each for each in advanced.selectbox if each.label == "training precision")
    assert (found.value, found.options) == ("tf32", ["float32", "tf32", "bfloat16"])


def test_the_page_and_the_page_that_is_handed_on_say_it(valleys, home, monkeypatch):
    library, run = valleys
    said = [text for text, _ in truth.trained(library, run)]
    html = page.standalone(library, run.key)
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    drawn = opened("valleys", run=run.key)
    texts = [one.value for one in (*drawn.caption, *drawn.error)]
    for sentence in said:
        assert page.escape(sentence) in html
        assert sentence in texts


def test_other_runs_say_nothing_and_are_not_searched(home, monkeypatch):
    key, status, message = compute_here("training", parse("training", {"task": "moons", "epochs": 2, "widths": (4,)}), home)
    assert status == "done", message
    library = Library(home)
    found = library.result(key, "history:training")
    assert "rounding" not in found.info
    assert not any("gradient" in metric for metric in found.values)
    monkeypatch.setattr(Library, "lineage", lambda self, key: pytest.fail("it was searched"))
    assert truth.trained(library, library.run(key)) == []


def test_too_much_rounding_is_a_warning(home, monkeypatch):
    monkeypatch.setattr(rounding, "TRUSTED", 1e-6)
    library, run = computed(home, "training", {"task": "moons", "epochs": 3, "widths": (8, 8), "seeds": (0, 1)})
    ((said, ok),) = truth.trained(library, run)
    assert not ok
    assert "WARNING: in one network rounding is " in said
    assert said.endswith("Choose training_precision=float32.")


def test_a_walk_and_each_of_its_branches_say_theirs(home):
    library, run = computed(home, "averaging", WALKED)
    found = truth.trainings(library, run)
    assert list(found) == ["training", "constant", "fge", "sgd-1.25", "sgd-1.5"]
    assert found["fge"]["rounding"]["said"].startswith("Networks of the branch fge trained in bfloat16")
    walk = library.inherited(run.key, "history:training")
    assert isinstance(walk, History)
    assert walk.values["train_loss_error"].shape == (4, 16)
    assert set(library.result(run.key, "history:swa").values) == {
        "test_error", "test_nll", "train_nll", "train_loss", "train_error", "validation_error"}


def test_what_it_costs_is_timed_in_it():
    found = [estimate("training", parse("training", {"task": "moons", "epochs": 3, "widths": (8, 8)} | given))
             for given in ({}, {"training_precision": "bfloat16"})]
    assert found[0]["seconds"] != found[1]["seconds"] > 0
    assert found[0]["steps"] == found[1]["steps"]
