"""The Posterior page: empty, while it is computed, complete, on every single result; never with torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.errors import BadInput
from landscape.results import Predictive, Summary
from landscape.runs import Jobs, archive
from landscape.runs.records import encode
from landscape.runs.region import checked_region, parse, text
from landscape.runs.store import Store
from landscape.settings import parse as settings_of
from landscape.ui.places import Pictures
from landscape.ui.posterior.sections import SECTIONS, section_of

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import inferred

KEYS = {"regression": "posterior0000001", "classification": "posterior0000002"}
TASKS = {"regression": "regression", "classification": "moons"}
SHOWN = ("title", "subheader", "markdown", "caption", "warning", "error", "info")


def fill(home, results: dict, kind: str = "regression", status: str = "done", **settings) -> None:
    with Store(home) as store:
        key = KEYS[kind]
        store.enter(key, "posterior", f"Posterior · {kind}",
                    settings_of("posterior", {"task": TASKS[kind]} | settings).canonical())
        store.begin(key, "here", 1)
        for name, result in results.items():
            store.save(key, name, *encode(result))
        if status != "running":
            store.finish(key, status)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    home = tmp_path_factory.mktemp("inferred")
    for kind in KEYS:
        fill(home, inferred.results(kind), kind)
    return home


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No store, no gallery."""
    monkeypatch.setattr(archive.Gallery, "runs", lambda self, children=False: [])
    return tmp_path / "none"


def page(monkeypatch, home, path: str = "posterior", **query) -> AppTest:
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=90)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    app = app.switch_page(f"../../pages/{path}.py").run()
    assert not app.exception, app.exception
    return app


def said(app: AppTest) -> str:
    return "\n".join([*(str(e.value) for kind in SHOWN for e in getattr(app, kind)),
                      *(e.proto.body for e in app.get("html") if "<style" not in e.proto.body)])


def test_the_empty_page_has_a_form_with_subspace_and_methods_in_front(empty, monkeypatch):
    app = page(monkeypatch, empty, task="regression")
    assert not app.error
    assert app.selectbox(key="form-regression-mlp-subspace").value == "pca"
    assert "ess" in app.get("button_group")[0].value
    assert not app.button(key="run-button").disabled
    assert "a sum over the training examples in nats" in said(app)
    assert "Prior std 5 is in units of coordinates, and one of them is a standard deviation of the snapshots" in said(app)


def test_what_draws_in_another_subspace_is_not_said_to_draw_in_this_one(tmp_path, monkeypatch):
    found = inferred.results()
    theirs = {"function": {"rhat": 1.38, "ess": 20.0}, "subspace": "curve", "tv": None}
    found["samples:ess curve"] = inferred.samples("ess curve", seed=4, **theirs)
    found["predictive:ess curve"] = found["predictive:ess"]
    fill(tmp_path, found)
    text_ = said(page(monkeypatch, tmp_path, run=KEYS["regression"]))
    inside, beside = text_.split("**Infer in it**: ")[1].split("; beside it, for comparison: ")
    assert "Elliptical slice sampling" in inside
    assert "Curve subspace (ESS)" in beside.split("**Average**")[0]
    assert "do not agree on what they predict in the plane of a curve (R-hat 1.38)" in text_


@pytest.mark.parametrize(("query", "reason"), [
    ({"temperature": "0"}, "temperature"), ({"prior_std": "-1"}, "prior_std"), ({"draws": "0"}, "draws"),
    ({"methods": "essential"}, "ess"), ({"subspace": "curve", "dimension": "7"}, "dimension")])
def test_settings_in_the_address_are_judged_on_the_server(empty, monkeypatch, query, reason):
    app = page(monkeypatch, empty, **query)
    assert any(reason in error.value for error in app.error), said(app)


def test_the_form_says_which_methods_will_be_without_a_subspace(empty, monkeypatch):
    short = {"task": "moons", "epochs": "16", "subspace": "pca", "dimension": "9", "compared": ""}
    text_ = said(page(monkeypatch, empty, **short, methods="swag,ess,nuts"))
    assert "Elliptical slice sampling and NUTS will fail, and the methods that need no subspace will run" in text_
    app = page(monkeypatch, empty, **short, methods="ess,nuts")
    assert any("Choose a dimension from 2 to 3" in error.value for error in app.error)


def test_a_run_without_its_subspace_says_why_and_shows_the_others(tmp_path, monkeypatch):
    why = "4 snapshots span at most 3 dimensions around their mean; 9 were asked for. Choose a dimension from 2 to 3."
    found = inferred.results()
    del found["surface:theatre"]
    told = found["summary"].values | {"subspace": {"kind": "pca", "dimension": 9, "failed": why}, "theatre": {"failed": why}}
    failed = inferred.samples("ess", failed=why)
    outside = {name: inferred.samples(name[8:], over="networks") for name in found if name.startswith("samples:")}
    found |= outside | {"summary": Summary(told), "samples:ess": replace(failed, plane=failed.plane[:0])}
    fill(tmp_path, found, dimension=9)
    app = page(monkeypatch, tmp_path, run=KEYS["regression"])
    text_ = said(app)
    assert [warning.value for warning in app.warning if "snapshots" in warning.value] == [why]
    assert "**Infer in it**: nothing: it could not be built" in text_
    assert "There is no stage: the subspace could not be built." in text_
    assert "It was to be drawn from by Elliptical slice sampling" in text_
    assert "this is a plane of two dimensions, the first two principal components" in text_
    assert {s.title for s in SECTIONS if s.anchor in ("swag", "steps", "subspace", "theatre", "bands", "table")} - {
        "The plane of the loss"} <= {e.value for e in app.subheader}


def test_a_density_that_could_not_be_computed_takes_the_stage_alone(tmp_path, monkeypatch):
    found = inferred.results()
    del found["surface:theatre"]
    found["summary"] = Summary(found["summary"].values | {"theatre": {"failed": "The density is not finite anywhere."}})
    fill(tmp_path, found)
    text_ = said(page(monkeypatch, tmp_path, run=KEYS["regression"]))
    assert "There is no stage: The density is not finite anywhere." in text_
    assert "could not be built" not in text_


def test_a_regression_is_told_in_the_order_of_the_slides(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"])
    assert not app.error, [e.value for e in app.error]
    wanted = [s.title for s in SECTIONS if s.anchor not in ("calibration", "regions")
              and s.title != "The plane of the loss"]  # the head of that section where SWAG was not asked for
    assert [e.value for e in app.subheader] == wanted
    text_ = said(app)
    for part in ("SWAG in four steps", "Total variation to the grid **0.034**", "The plane of a curve",
                 "SWAG and Random subspace (ESS) hardly widen",
                 "The flow diverged in step 12", "at **T = 0.3**", "Test NLL with 5 members", "Your own posterior",
                 "the lines hold 50, 90 and 99% of the grid's mass", "PCA of SGD's walk"):
        assert part in text_, part
    assert text_.count("Anchor error") == 2, "both surfaces say how true they are"
    shown = [s for s in SECTIONS if s.title in wanted]
    assert all(f'href="#{s.anchor}"' in text_ for s in shown)


def test_a_classification_shows_calibration_and_entropy(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["classification"])
    assert not app.error, [e.value for e in app.error]
    titles = [e.value for e in app.subheader]
    assert "Is the confidence earned?" in titles
    assert "Classification: where it is unsure" in titles
    assert "Regression: what is not known" not in titles
    assert "every example in exactly one" in said(app)


def test_the_three_dimensional_view_is_in_the_address(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"], view="3D")
    assert not app.error
    assert "In the contour view, a loop drawn" in said(app)


def test_surfaces_and_methods_can_be_chosen(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"])
    app.multiselect(key="theatre-methods").set_value(["swag", "nuts"]).run()
    assert not app.exception
    assert "their shadows are drawn" in said(app)
    app.multiselect(key="theatre-methods").set_value([]).run()
    assert not app.exception


@pytest.mark.parametrize("name", sorted(inferred.results()))
def test_each_result_can_be_shown_alone(tmp_path, monkeypatch, name):
    fill(tmp_path, {name: inferred.results()[name]})
    app = page(monkeypatch, tmp_path, run=KEYS["regression"])
    assert not app.error, [e.value for e in app.error]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_ended_early_shows_what_it_has_and_goes_on(tmp_path, monkeypatch, status):
    found = {name: one for name, one in inferred.results().items() if name.startswith(("surface", "samples"))}
    fill(tmp_path, found, status=status)
    app = page(monkeypatch, tmp_path, run=KEYS["regression"])
    assert app.button(key="go-on").label == "Go on"
    assert "Inference, on a stage" in [e.value for e in app.subheader]


def test_without_swag_the_plane_is_shown_and_nothing_is_said_of_swag(tmp_path, monkeypatch):
    fill(tmp_path, {n: r for n, r in inferred.results().items() if n == "surface:loss"}, methods=["ensemble", "ess"])
    app = page(monkeypatch, tmp_path, run=KEYS["regression"])
    assert not app.error, [e.value for e in app.error]
    assert "The plane of the loss" in [e.value for e in app.subheader]
    assert "SWAG" not in " ".join(e.value for e in [*app.subheader, *app.markdown] if "contents" not in e.value)


def test_a_method_that_failed_says_why_and_the_others_are_shown(tmp_path, monkeypatch):
    failed = inferred.samples("flow", 0, 1, failed="The flow diverged in step 12.", rhat=None, tv=None)
    fill(tmp_path, inferred.results() | {"samples:flow": failed})
    app = page(monkeypatch, tmp_path, run=KEYS["regression"])
    assert not app.error
    assert '<b class="bad">The flow diverged in step 12.' in said(app)


def test_a_painted_region_is_averaged_and_shown(complete, monkeypatch):
    asked = []

    def average(self, region) -> Predictive:
        asked.append(checked_region(region))
        seen = inferred.regression("ess", 3.0)
        return Predictive(seen.values, seen.outputs, seen.targets, seen.deviations, seen.function,
                          seen.info | {"networks": 64, "mass": 0.37, "seconds": 0.05})

    monkeypatch.setattr(Jobs, "average", average)
    app = page(monkeypatch, complete, run=KEYS["regression"], region="0,0;1,0;1,1")
    assert not app.error, [e.value for e in app.error]
    assert asked[0]["polygon"] == [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    assert asked[0]["weights"] == "density"
    assert "64 networks of the region, which holds 37.0% of the mass" in said(app)
    app.button(key="region-clear").click().run()
    assert "Draw a loop on the map" in said(app)


def test_a_region_that_is_none_is_said(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"], region="0,0;1,1;2,2")
    assert any("encloses nothing" in error.value for error in app.error)


def test_regions_as_text():
    corners = [[0.12345, -3.0], [1.0, 2.0], [5.0, 0.5]]
    assert parse(text(corners)) == [[0.1235, -3.0], [1.0, 2.0], [5.0, 0.5]]
    for bad in ("", "1,2;3", "a,b;c,d;e,f"):
        with pytest.raises(BadInput):
            parse(bad)
    for polygon in ([[0, 0], [1, 1]], [[0, 0], [1, float("nan")], [2, 0]], [[0, 0]] * 300):
        with pytest.raises(BadInput):
            checked_region({"run": "r", "plane": "theatre", "polygon": polygon, "weights": "equal"})


def test_draws_open_below_the_theatre_and_are_ringed_where_they_are_drawn(complete):
    from landscape.runs import Library

    assert section_of({"plane": "theatre", "x": 0.0, "y": 0.0}) == "theatre"
    assert section_of({"plane": "loss", "x": 0.0, "y": 0.0}) == "swag"
    assert section_of({"network": "ess draw 12"}) == "theatre"
    assert section_of(None) is None
    pictures = Pictures(Library(complete), KEYS["regression"])
    at = inferred.samples("ess").plane[12]
    ring = pictures.ring("", {"run": KEYS["regression"], "network": "ess draw 12"})
    assert ring["planes"]["theatre"] == pytest.approx(list(at))
    assert pictures.ring("", {"run": KEYS["regression"], "network": "ess draw 99999"})["planes"] == {}


def test_an_unknown_run_is_answered_with_a_way_back(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"][:-1] + "x")
    assert [b.label for b in app.button] == ["Start a new run"]


def test_the_overview_has_a_card_for_every_exhibit(complete, monkeypatch):
    app = page(monkeypatch, complete, "overview")
    text_ = said(app)
    for title in ("New: valleys", "New: averaging", "New: posterior"):
        assert title in text_
    assert "Posterior · regression" in text_
    assert "Train loss of Posterior" in text_


def test_the_page_opens_where_torch_cannot_be_imported(complete):
    code = f"""
import sys, os
sys.modules["torch"] = None
os.environ["LANDSCAPE_HOME"] = {json.dumps(str(complete))}
from streamlit.testing.v1 import AppTest
for run in ("", *{list(KEYS.values())!r}):
    app = AppTest.from_file({str(ROOT / "landscape/ui/main.py")!r}, default_timeout=90)
    if run:
        app.query_params["run"] = run
    app.run()
    app.switch_page("../../pages/posterior.py").run()
    assert not app.exception, app.exception
    assert not app.error, app.error
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_chains_in_a_lower_precision_say_how_far_off_they_are(tmp_path, monkeypatch):
    results = inferred.results("classification")
    name = next(name for name in results if name.startswith("samples:ess"))
    told = {"sd": 0.02, "trusted": True, "said": "Networks evaluated in bfloat16: off by 0.02 nats."}
    for trusted in (True, False):
        home = tmp_path / str(trusted)
        one = results[name]
        rounded = replace(one, info=one.info | {"rounding": told | {"trusted": trusted}})
        fill(home, results | {name: rounded}, "classification", precision="bfloat16")
        app = page(monkeypatch, home, run=KEYS["classification"])
        shown = [e.value for e in (app.caption if trusted else app.error) if "off by 0.02 nats" in str(e.value)]
        assert len(shown) == 2  # under the stage and under the traces
        assert (":red[Networks evaluated in bfloat16" in said(app)) == (not trusted)
