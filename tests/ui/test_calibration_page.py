"""The Calibration page: empty, while it is computed, complete, on every single result, with a file; never with torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.results import Series, Summary
from landscape.runs import archive
from landscape.runs.records import encode
from landscape.runs.store import Store
from landscape.settings import parse
from landscape.ui.calibration import diagrams, stored
from landscape.ui.calibration.sections import SECTIONS

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import inferred
import judged

KEYS = {"classes": "calibration00001", "regression": "calibration00002"}
TASKS = {"classes": "mnist1d", "regression": "regression"}
NUMBERS = ("intervals", "spread")  # sections of a regression
SHOWN = ("title", "subheader", "markdown", "caption", "warning", "error", "info")


def fill(home, results: dict, kind: str = "classes", status: str = "done", recipe: str = "calibration",
         key: str | None = None, **settings) -> str:
    key = key or KEYS[kind]
    given = {"task": TASKS[kind]} if recipe == "calibration" else {"file": "/data/p.csv", "digest": "d"}
    with Store(home) as store:
        store.enter(key, recipe, f"Calibration · {kind}", parse(recipe, given | settings).canonical())
        store.begin(key, "here", 1)
        for name, result in results.items():
            store.save(key, name, *encode(result))
        if status != "running":
            store.finish(key, status, "It failed." if status == "failed" else "")
    return key


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    home = tmp_path_factory.mktemp("judged")
    for kind in KEYS:
        fill(home, judged.results(kind), kind)
    return home


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No store, no gallery."""
    monkeypatch.setattr(archive.Gallery, "runs", lambda self, children=False: [])
    return tmp_path / "none"


def page(monkeypatch, home, path: str = "calibration", state: dict | None = None, **query) -> AppTest:
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=90)
    for name, value in query.items():
        app.query_params[name] = value
    for name, value in (state or {}).items():
        app.session_state[name] = value
    app.run()
    app = app.switch_page(f"../../pages/{path}.py").run()
    assert not app.exception, app.exception
    return app


def said(app: AppTest) -> str:
    return "\n".join([*(str(e.value) for kind in SHOWN for e in getattr(app, kind)),
                      *(e.proto.body for e in app.get("html") if "<style" not in e.proto.body)])


def test_the_empty_page_says_what_a_run_shows_and_has_the_button(empty, monkeypatch):
    app = page(monkeypatch, empty)
    assert not app.error
    assert not app.button(key="run-button").disabled
    assert "Nothing has been judged yet" in said(app)
    assert app.button(key="predictions-button").disabled, "no file is given yet"
    picked = {value for group in app.get("button_group") for value in np.atleast_1d(group.value)}
    assert {"sgd", "swag", "ensemble", "noise"} <= picked


@pytest.mark.parametrize(("query", "reason"), [
    ({"sources": "swagger"}, "swag"), ({"bins": "0"}, "bins"), ({"corruptions": "nose"}, "noise"),
    ({"ood": "mnist1d"}, "itself"), ({"alpha": "1"}, "alpha")])
def test_settings_in_the_address_are_judged_on_the_server(empty, monkeypatch, query, reason):
    app = page(monkeypatch, empty, **query)
    assert any(reason in error.value for error in app.error), said(app)


def test_classes_are_told_from_slide_23_on(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["classes"])
    assert not app.error, [e.value for e in app.error]
    wanted = [s.title for s in SECTIONS if s.anchor not in NUMBERS]
    assert [e.value for e in app.subheader] == wanted
    text = said(app)
    for part in ("Mean confidence minus accuracy: SGD **", "SGD + temperature", "Every example in exactly one bin",
                 "ticks as on the slide", "95% bands of SGD", "all 600 test examples", "has the lowest NLL",
                 "Temperature changed 0 predictions", "Here there is one network only.", "severity 5",
                 "Held-out classes", "AUROC", "at the border", "promise is kept", "nothing was chosen by it"):
        assert part in text, part
    assert all(f'href="#{s.anchor}"' in text for s in SECTIONS if s.anchor not in NUMBERS)


def test_numbers_are_told_with_the_trap_of_a_constant_variance(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["regression"])
    assert not app.error, [e.value for e in app.error]
    titles = [e.value for e in app.subheader]
    assert {s.title for s in SECTIONS if s.anchor in NUMBERS} <= set(titles)
    assert "Is the confidence earned?" not in titles
    assert any("The stated spread is one constant" in w.value for w in app.warning)


def test_bins_rule_sources_and_bands_are_live(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["classes"])
    app.slider(key="calibration-bins").set_value(30).run()
    assert "30 bins of equal width" in said(app)
    assert "30 bins of equal numbers of examples" in said(app)
    app.multiselect(key="calibration-sources").set_value(["swag"]).run()
    assert not app.exception
    assert app.selectbox(key="calibration-bands").value == "all"
    app.multiselect(key="calibration-sources").set_value([]).run()
    assert not app.exception
    assert "SGD **" in said(app), "none chosen: the first ones are drawn"


@pytest.mark.parametrize("figure", ["diagram", "gap"])
def test_an_open_bin_shows_its_examples_and_closes(complete, monkeypatch, figure):
    opened = (KEYS["classes"], "sgd", 0.9, figure)
    app = page(monkeypatch, complete, state={diagrams.OPENED: opened}, run=KEYS["classes"])
    assert not app.error
    assert "examples it is" in said(app)
    assert "probability of the label" in said(app), "made-up labels are not those of the task: rows, no pictures"
    app.button(key="calibration-close").click().run()
    assert "examples it is" not in said(app)


def test_a_bin_of_the_tasks_own_examples_shows_pictures(tmp_path, monkeypatch):
    from landscape import data

    labels = data.load("mnist1d").test.y
    seen, _ = judged.judged("sgd", n=len(labels))
    seen.test["labels"] = labels
    fill(tmp_path, {"judged:sgd": seen})
    for order in ("wrong", "right", "number"):
        app = page(monkeypatch, tmp_path, state={diagrams.OPENED: (KEYS["classes"], "sgd", 0.9, "gap"),
                                                 "calibration-order": order}, run=KEYS["classes"])
        assert said(app).count("<figcaption>") == 16
    seen.test["labels"] = np.roll(labels, 1)
    other = fill(tmp_path, {"judged:sgd": seen}, key="calibration00003")
    app = page(monkeypatch, tmp_path, state={diagrams.OPENED: (other, "sgd", 0.9, "gap")}, run=other)
    assert "<figcaption>" not in said(app), "labels of other examples: no picture may be shown as theirs"


@pytest.mark.parametrize("kind", list(KEYS))
def test_each_result_can_be_shown_alone(tmp_path, monkeypatch, kind):
    for i, (name, result) in enumerate(judged.results(kind).items()):
        key = fill(tmp_path, {name: result}, kind, key=f"calibalone{i:06d}")
        app = page(monkeypatch, tmp_path, run=key)
        assert not app.error, (name, [e.value for e in app.error])


def test_corrupted_points_of_a_plane_are_not_pictured(tmp_path, monkeypatch):
    seen = judged.shifted("noise")
    plane = Series(seen.x, {name: v[:2] for name, v in seen.values.items()}, seen.info | {"view": "plane", "shape": [2]})
    fill(tmp_path, {"shift:noise": judged.ladder("noise"), "shifted:noise": plane})
    app = page(monkeypatch, tmp_path, run=KEYS["classes"])
    assert "At severity 5" in said(app)
    assert "landscape-ladder" not in said(app)


def test_a_source_that_failed_says_why_and_the_others_are_shown(tmp_path, monkeypatch):
    failed = Summary({"label": "dropout", "metrics": {}, "said": ["Diverged."], "n": 0, "failed": "The outputs diverged."})
    fill(tmp_path, judged.results() | {"account:dropout": failed})
    app = page(monkeypatch, tmp_path, run=KEYS["classes"])
    assert not app.error
    assert any("MC dropout" in w.value and "The outputs diverged." in w.value for w in app.warning)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_ended_early_shows_what_it_has_and_goes_on(tmp_path, monkeypatch, status):
    found = {name: one for name, one in judged.results().items() if name.endswith(":sgd")}
    fill(tmp_path, found, status=status)
    app = page(monkeypatch, tmp_path, run=KEYS["classes"])
    assert app.button(key="go-on").label == "Go on"
    assert "Is the confidence earned?" in [e.value for e in app.subheader]


def test_a_file_whose_numbers_may_be_either_is_asked_about(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("landscape.ui.running.submit", lambda recipe, settings: asked.append((recipe, settings.kind)))
    undecided = Summary({"message": "These numbers may be logits or probabilities.", "likely": "logits"})
    key = fill(tmp_path, {"undecided": undecided}, status="failed", recipe="predictions")
    app = page(monkeypatch, tmp_path, run=key)
    assert "may be logits or probabilities" in said(app)
    assert not [b for b in app.button if b.key == "go-on"], "it would fail again"
    app.button(key="kind-logits").click().run()
    assert asked == [("predictions", "logits")]


def test_a_file_of_predictions_is_shown_as_any_source(tmp_path, monkeypatch):
    seen, _ = judged.judged("sgd", label="file", source="file", title="mine.csv")
    account = judged.accounted(seen)
    key = fill(tmp_path, {"judged:file": seen, "account:file": account, "conformal:file": judged.sets("sgd")},
               recipe="predictions")
    app = page(monkeypatch, tmp_path, state={diagrams.OPENED: (key, "file", 0.9, "gap")}, run=key)
    assert not app.error, [e.value for e in app.error]
    assert "mine.csv" in said(app)
    assert "probability of the label" in said(app)


def test_networks_and_posteriors_of_stored_runs_are_offered(tmp_path, monkeypatch):
    from landscape.runs import Library

    with Store(tmp_path) as store:
        store.enter("posterior0000009", "posterior", "Posterior", parse("posterior", {"task": "moons"}).canonical())
        store.begin("posterior0000009", "here", 1)
        for name in ("surface:theatre", "samples:swag"):
            store.save("posterior0000009", name, *encode(inferred.results("classification")[name]))
        store.finish("posterior0000009", "done")
    found = stored.offers(Library(tmp_path), "posterior0000009")
    assert found["posteriors"] == {"posterior0000009:swag": "SWAG"}
    assert "posterior0000009:=W_SWA" in found["opened"]
    kept = {"opened": ["posterior0000009:=W_SWA"], "posteriors": ["posterior0000009:swag"]}
    asked = []
    monkeypatch.setattr("landscape.ui.running.submit", lambda recipe, settings: asked.append(settings))
    app = page(monkeypatch, tmp_path, state={stored.KEPT: kept}, task="moons")
    assert not app.error, [e.value for e in app.error]
    app.button(key="run-button").click().run()
    assert asked[0].opened == ("posterior0000009:=W_SWA",)
    assert asked[0].posteriors == ("posterior0000009:swag",)


def test_metrics_are_ranked_over_stored_runs(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["classes"])
    assert "over 6 sources of 1 stored run with classes" in said(app)


def test_the_overview_and_the_runs_lead_here(complete, monkeypatch):
    app = page(monkeypatch, complete, "overview")
    text = said(app)
    assert "New: calibration" in text
    assert "Lowest test NLL of" in text
    assert "Confidence against accuracy of Calibration · classes" in text
    page(monkeypatch, complete, "runs")


def test_an_unknown_run_is_answered_with_a_way_back(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEYS["classes"][:-1] + "x")
    assert [b.label for b in app.button] == ["Start a new run"]


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
    app.switch_page("../../pages/calibration.py").run()
    assert not app.exception, app.exception
    assert not app.error, app.error
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
