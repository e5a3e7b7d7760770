"""The Averaging page: empty, while it is computed, complete, on every single result; never with torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.runs import archive
from landscape.runs.records import encode
from landscape.runs.store import Store
from landscape.settings import parse
from landscape.ui.averaging.sections import SECTIONS, section_of

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import walked

KEY = "averaging0000001"
SHOWN = ("title", "subheader", "markdown", "caption", "warning", "error", "info")


def fill(home, results: dict, status: str = "done", **settings) -> None:
    with Store(home) as store:
        store.enter(KEY, "averaging", "Averaging · mnist1d", parse("averaging", settings).canonical())
        store.begin(KEY, "here", 1)
        for name, result in results.items():
            store.save(KEY, name, *encode(result))
        if status != "running":
            store.finish(KEY, status)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    home = tmp_path_factory.mktemp("averaged")
    fill(home, walked.results())
    return home


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No store, no gallery."""
    monkeypatch.setattr(archive.Gallery, "runs", lambda self, children=False: [])
    return tmp_path / "none"


def page(monkeypatch, home, **query) -> AppTest:
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=90)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    app = app.switch_page("../../pages/averaging.py").run()
    assert not app.exception, app.exception
    return app


def said(app: AppTest) -> str:
    return "\n".join([*(str(e.value) for kind in SHOWN for e in getattr(app, kind)),
                      *(e.proto.body for e in app.get("html") if "<style" not in e.proto.body)])


def test_the_empty_page_has_a_form_and_the_designer(empty, monkeypatch):
    app = page(monkeypatch, empty)
    assert not app.error
    assert app.selectbox(key="form-task").value == "mnist1d"
    assert app.text_input(key="form-mnist1d-seeds").value == "0, 1, 2, 3, 4"
    assert not app.button(key="run-button").disabled
    assert "32 steps an epoch" in said(app)


def test_the_designer_says_what_cannot_be(empty, monkeypatch):
    app = page(monkeypatch, empty)
    assert "snapshots, the first after 2 epochs" in said(app)
    app.number_input(key="designer-fge-cycle").set_value(50.0).run()
    assert any("longer than the run" in error.value for error in app.error)
    for name in ("constant", "linear", "cosine", "swa", "sawtooth", "onecycle", "range"):
        app.selectbox(key="designer-shape").set_value(name).run()
        assert not app.exception
        assert not app.error, (name, [e.value for e in app.error])


@pytest.mark.parametrize(("query", "reason"), [({"swa_start": "1.2"}, "Averaging starts"), ({"seeds": ""}, "seeds"),
                                               ({"fge_cycle": "100"}, "cycle"), ({"grid": "100000"}, "grid")])
def test_settings_in_the_address_are_judged_on_the_server(empty, monkeypatch, query, reason):
    app = page(monkeypatch, empty, **query)
    assert any(reason in error.value for error in app.error), said(app)


def test_a_complete_run_is_told_in_the_order_of_the_slides(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEY)
    assert not app.error, [e.value for e in app.error]
    titles = [e.value for e in app.subheader]
    assert titles == [section.title for section in SECTIONS]
    text = said(app)
    for part in ("lower than all of them", "lies 1.7 away", "**SWA has the lower test error** in 5 of 5 seeds", "hold 90%",
                 "**SWA is 1.26 times as wide**", "SGD and SWA are **17** apart", "to the power **2.00**", "ensemble of 6",
                 "SWA has the lower test error in 5 of 5 seeds.", "10,000 dimensions",
                 "beats averaging predictions in 5 of 5"):
        assert part in text, part
    assert text.count("Anchor error") == 6, "every surface says how true it is"
    assert "logged one 0." in text, "the plotted rate is the logged one"
    assert all(f'href="#{section.anchor}"' in text for section in SECTIONS)


def test_the_three_dimensional_view_is_in_the_address(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEY, view="3D", metric="train_loss")
    assert not app.error
    assert "all 4,000 train examples" in said(app)


def test_the_switches_of_the_width_section(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEY)
    assert "SGD, rescaled" not in said(app)
    app.toggle(key="story-rescaled").set_value(True).run()
    assert "SGD, rescaled" in said(app)
    assert "yes: 55 times" in said(app)
    app.slider(key="story-rays-count").set_value(2).run()
    app.select_slider(key="story-dimensions").set_value(100_000).run()
    assert not app.exception
    assert "In 100,000 dimensions" in said(app)


@pytest.mark.parametrize("name", sorted(walked.results()))
def test_each_result_can_be_shown_alone(tmp_path, monkeypatch, name):
    fill(tmp_path, {name: walked.results()[name]})
    app = page(monkeypatch, tmp_path, run=KEY)
    assert not app.error, [e.value for e in app.error]
    assert any(name in section.needs for section in SECTIONS) or name in ("function", "line", "summary", "history:sgd",
                                                                         "history:training", "history:prediction average")


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_ended_early_shows_what_it_has_and_goes_on(tmp_path, monkeypatch, status):
    fill(tmp_path, {name: one for name, one in walked.results().items() if name.startswith("history")}, status)
    app = page(monkeypatch, tmp_path, run=KEY)
    assert app.button(key="go-on").label == "Go on"
    assert "A high constant rate" in said(app)
    assert "Where SGD goes" not in [e.value for e in app.subheader]


def test_statistics_that_were_not_re_estimated_stand_beside_those_that_were(tmp_path, monkeypatch):
    from landscape.results import Summary

    found = walked.results() | {"batchnorm": Summary({"swa": {"re-estimated": {"test_error": 0.031, "test_nll": 0.1},
                                                              "stored": {"test_error": 0.873, "test_nll": 9.0}}})}
    fill(tmp_path, found)
    text = said(page(monkeypatch, tmp_path, run=KEY))
    assert "87.3%" in text
    assert "3.1%" in text


def test_a_clicked_point_is_opened_below_its_own_section():
    assert section_of({"plane": "walk", "x": 0.0, "y": 0.0}) == "walk"
    assert section_of({"plane": "random swa", "x": 0.0, "y": 0.0}) == "width"
    assert section_of({"path": "line", "t": 0.5}) == "line"
    assert section_of({"network": "W_SWA"}) is None
    assert section_of(None) is None


def test_an_unknown_run_is_answered_with_a_way_back(complete, monkeypatch):
    app = page(monkeypatch, complete, run=KEY[:-1] + "x")
    assert KEY in app.error[0].value
    assert [b.label for b in app.button] == ["Start a new run"]


def test_the_page_opens_where_torch_cannot_be_imported(complete):
    code = f"""
import sys, os
sys.modules["torch"] = None
os.environ["LANDSCAPE_HOME"] = {json.dumps(str(complete))}
from streamlit.testing.v1 import AppTest
for run in ("", {KEY!r}):
    app = AppTest.from_file({str(ROOT / "landscape/ui/main.py")!r}, default_timeout=90)
    if run:
        app.query_params["run"] = run
    app.run()
    app.switch_page("../../pages/averaging.py").run()
    assert not app.exception, app.exception
    assert not app.error, app.error
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
