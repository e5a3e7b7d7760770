"""Every page on an empty and on a full store, without a browser and without torch."""

import subprocess
import sys
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.runs import Library, archive
from landscape.ui import reading

PAGES = ("overview", "valleys", "runs")


@pytest.fixture(params=["empty", "full"])
def store(request, finished, tmp_path, monkeypatch):
    home = tmp_path / "none" if request.param == "empty" else finished[0]
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    if request.param == "empty":  # also without the gallery
        monkeypatch.setattr(archive.Gallery, "runs", lambda self, children=False: [])
    return request.param


def opened(page: str, **query) -> AppTest:
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return app if page == "overview" else app.switch_page(f"../../pages/{page}.py").run()


def texts(app: AppTest) -> str:
    return "\n".join(
        str(e.value) for kind in ("title", "markdown", "caption", "error", "info", "subheader") for e in getattr(app, kind)
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(store, page):
    app = opened(page)
    assert not app.exception, app.exception
    assert not app.error


def test_a_run_is_shown_from_its_address(finished, monkeypatch):
    home, key = finished
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = opened("valleys", run=key)
    assert not app.exception, app.exception
    said = texts(app)
    assert "Valleys · moons" in said
    assert "anchor error" in said.lower()
    assert "Bezier" in said


def test_the_levels_are_told_once_for_all_panels(finished, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(finished[0]))
    app = opened("valleys", run=finished[1])
    (strip,) = [e.proto.body for e in app.get("html") if '<div class="landscape-levels' in e.proto.body]
    assert strip.startswith('<div class="landscape-levels"><b>train loss</b>')
    assert strip.count("<li") == 8


def test_a_run_computed_anew_is_not_shown_from_memory(finished):
    library = Library(finished[0])
    run = library.run(finished[1])
    at = reading.stamp(library, run)
    assert at == reading.stamp(library, library.run(finished[1]))
    assert at != reading.stamp(library, replace(run, created=run.created + 1))


def test_finished_runs_are_cards_with_a_picture(finished, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(finished[0]))
    for page in ("overview", "valleys"):
        pictures = [e.proto.body for e in opened(page).get("html") if '<img class="landscape-card' in e.proto.body]
        assert len(pictures) >= 1
        assert all("data:image/svg+xml;base64," in body for body in pictures)


def test_an_unknown_run_is_answered_with_the_nearest(finished, monkeypatch):
    home, key = finished
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = opened("valleys", run=key[:-1] + "x")
    assert not app.exception
    assert key in app.error[0].value


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"task": "digits", "grid": "5000"}, "this server's limit"),
        ({"task": "digitz"}, "Did you mean 'digits'"),
        ({"seeds": "1,1,1"}, "must all differ"),
        ({"epochs": "-1"}, "epochs"),
    ],
)
def test_settings_in_the_address_are_judged_on_the_server(store, query, said):
    app = opened("valleys", **query)
    assert not app.exception, app.exception
    assert any(said in error.value for error in app.error), texts(app)


def test_settings_in_the_address_fill_the_form(store):
    app = opened("valleys", task="digits", seeds="4,5,6", epochs="7")
    assert not app.error
    assert app.selectbox(key="form-task").value == "digits"
    assert app.text_input(key="form-digits-seeds").value == "4, 5, 6"
    assert app.text_input(key="form-digits-mlp-epochs").value == "7"


def test_wrong_settings_disable_run_and_say_why(store):
    app = opened("valleys", task="moons")
    app.text_input(key="form-moons-seeds").set_value("1, 1, 2").run()
    assert any("must all differ" in error.value for error in app.error)
    assert app.button(key="run-button").disabled


def test_another_task_brings_its_own_defaults(store):
    app = opened("valleys", task="moons")
    app.selectbox(key="form-task").set_value("digits").run()
    assert not app.exception, app.exception
    assert app.text_input(key="form-digits-mlp-widths").value == "32, 32"


def test_the_filter_of_runs(finished, monkeypatch):
    home, key = finished
    monkeypatch.setenv("LANDSCAPE_HOME", str(home))
    app = opened("runs")
    assert key in texts(app)
    app.text_input(key="filter").set_value("task=nothing").run()
    assert key not in texts(app)
    assert Library(home).run(key).status == "done"


def test_pages_open_where_torch_cannot_be_imported(finished):
    code = f"""
import sys, os
sys.modules["torch"] = None
os.environ["LANDSCAPE_HOME"] = {str(finished[0])!r}
from streamlit.testing.v1 import AppTest
for page in {PAGES!r}:
    app = AppTest.from_file({str(ROOT / "landscape/ui/main.py")!r}, default_timeout=60)
    app.query_params["run"] = {finished[1]!r}
    app.run()
    if page != "overview":
        app.switch_page(f"../../pages/{{page}}.py").run()
    assert not app.exception, app.exception
    assert not app.error, app.error
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
