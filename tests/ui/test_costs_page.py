"""What a run will cost stands beside its button; a long one is asked about before it starts."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.errors import BadInput, StoreError
from landscape.runs import Jobs
from landscape.runs.people import Person
from landscape.ui import costs, people

SHORT = {"evaluations": 4000.0, "steps": 1200.0, "gradients": 0.0, "flops": 4.5e10, "memory": 4e8, "disk": 1.2e5,
         "seconds": 3.1, "parts": {"training": 1.1, "surfaces": 2.0}, "there": []}
LONG = SHORT | {"seconds": 7200.0, "parts": {"training": 200.0, "surfaces": 7000.0}}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A page with a browser in front of it; what was submitted."""
    submitted = []
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))
    monkeypatch.setattr(people, "visitor", lambda: Person("browser:1"))
    monkeypatch.setattr(Jobs, "submit", lambda self, recipe, settings: submitted.append(recipe) or "0123456789abcdef")
    costs._asked.clear()
    yield submitted
    costs._asked.clear()


def opened(monkeypatch, found) -> AppTest:
    def estimate(self, recipe, settings):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Jobs, "estimate", estimate)
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60).run()
    app = app.switch_page("../../pages/valleys.py").run()
    deadline = time.monotonic() + 10
    while not costs._asked()[1] or not all(one.done() for one in costs._asked()[1].values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    app.run()
    assert not app.exception, app.exception
    return app


def said(app) -> str:
    return "\n".join(str(e.value) for kind in ("caption", "markdown", "error") for e in getattr(app, kind))


def test_the_cost_stands_beside_the_button_and_a_short_run_starts(monkeypatch, asked):
    app = opened(monkeypatch, SHORT)
    assert "4,000 networks evaluated, 1,200 training steps" in said(app)
    assert "3.1 seconds on this machine" in said(app)
    app.button(key="run-button").click().run()
    assert asked == ["valleys"]


def test_a_long_run_is_asked_about(monkeypatch, asked):
    app = opened(monkeypatch, LONG)
    app.button(key="run-button").click().run()
    assert asked == []
    assert "This takes about 2 hours, and above 30 minutes you are asked first" in said(app)
    assert "surfaces 1.9 hours" in said(app)
    assert {app.button(key=key).label for key in ("start-long", "not-now")} == {"Start it", "Not now"}


def test_a_limit_of_ones_own(monkeypatch, asked):
    monkeypatch.setenv("LANDSCAPE_ASK_ABOVE", "180")
    opened(monkeypatch, LONG).button(key="run-button").click().run()
    assert asked == ["valleys"]


def test_what_cannot_be_known_is_asked_about_and_what_is_wrong_is_left_to_the_run(monkeypatch, asked):
    app = opened(monkeypatch, StoreError("memory ran out"))
    app.button(key="run-button").click().run()
    assert asked == []
    assert "not known yet" in said(app)
    opened(monkeypatch, BadInput("no such file")).button(key="run-button").click().run()
    assert asked == ["valleys"]


def test_nothing_is_tried_where_nobody_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))
    monkeypatch.setattr(Jobs, "estimate", lambda *_: pytest.fail("there is no browser"))
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60).run()
    app = app.switch_page("../../pages/valleys.py").run()
    assert not app.exception
    assert "on this machine" not in said(app)
