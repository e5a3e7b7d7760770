"""The panel of an opened point, without a browser and without an engine: what it asks for and what it says."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT
from landscape.errors import BadInput
from landscape.runs import Jobs, Library
from landscape.ui import opened, places

sys.path.append(str(Path(__file__).parents[1] / "figures"))
import seen


@pytest.fixture
def asked(finished, monkeypatch) -> list[dict]:
    """The places that were asked for; every answer is a network made by hand."""
    found = []

    def answer(self, where):
        found.append(where)
        return replace(seen.moons(shift=0.1 * len(found)), where=where)

    monkeypatch.setenv("LANDSCAPE_HOME", str(finished[0]))
    monkeypatch.setattr(Jobs, "open", answer)
    monkeypatch.setattr(Jobs, "warm", lambda self, run=None: pytest.fail("there is no browser to get ready for"))
    opened._answer.clear()
    yield found
    opened._answer.clear()


def page(key: str, **query) -> AppTest:
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60)
    for name, value in {"run": key, **query}.items():
        app.query_params[name] = value
    return app.run().switch_page("../../pages/valleys.py").run()


def texts(app: AppTest) -> str:
    kinds = ("subheader", "markdown", "caption", "error")
    drawn = [e.proto.body for e in app.get("html") if not e.proto.body.startswith("<style")]
    return "\n".join([str(e.value) for kind in kinds for e in getattr(app, kind)] + drawn)


def named(app: AppTest, parameter: str) -> str:
    """What the address says."""
    value = app.query_params[parameter]
    return value[0] if isinstance(value, list) else value


def test_a_closed_panel_asks_for_nothing(finished, asked):
    app = page(finished[1])
    assert not app.exception, app.exception
    assert asked == []
    assert "landscape-tiles" not in texts(app)


def test_the_address_opens_a_point(finished, asked):
    app = page(finished[1], open="bezier:1.5,2.25")
    assert not app.exception, app.exception
    assert asked[0] == {"run": finished[1], "plane": "bezier", "x": 1.5, "y": 2.25}
    said = texts(app)
    assert "The network at (1.5, 2.25) on the plane of the Bezier curve" in said
    assert "landscape-tiles" in said
    assert "w1 (seed 0)" in said
    assert "ECE" in said


def test_a_point_is_asked_for_once(finished, asked):
    app = page(finished[1], open="bezier@0.5")
    before = len(asked)
    app.run()
    assert len(asked) == before


def test_two_points_are_shown_side_by_side(finished, asked):
    app = page(finished[1], open="bezier@0.5", **{"with": "=w2 (seed 1)"})
    assert not app.exception, app.exception
    said = texts(app)
    assert "A and B agree on" in said
    assert "14.2 apart" in said, "the distance to a marked network is the one that was measured"
    assert "landscape-tiles two" in said
    app.button(key="close-A").click().run()
    assert named(app, "open") == "=w2 (seed 1)"
    assert "with" not in app.query_params


def test_the_line_between_two_points_of_a_plane_is_evaluated_on_request(finished, asked):
    app = page(finished[1], open="bezier:0,0", **{"with": "bezier:4,3"})
    before = len(asked)
    app.button(key="line").click().run()
    assert not app.exception, app.exception
    between = asked[before:]
    assert len(between) == 19, "the ends are known"
    assert between[9] == {"run": finished[1], "plane": "bezier", "x": 2.0, "y": 1.5}
    assert "The straight line from A to B" in texts(app)


def test_points_of_different_planes_have_no_line(finished, asked):
    app = page(finished[1], open="bezier:1,1", **{"with": "chain:1,1"})
    assert "No plane of this run contains both" in texts(app)
    assert "apart in weight space" not in texts(app)


@pytest.mark.parametrize("text", ["nonsense", "bezier:1", "bezier@2", "bezier:nan,1", "=", "<b>:1,2x"])
def test_an_address_that_names_no_place_is_answered_in_the_panel(finished, asked, text):
    app = page(finished[1], open=text)
    assert not app.exception, app.exception
    assert len(app.error) == 1
    assert asked == []
    app.button(key="close-opened").click().run()
    assert not app.error
    assert "open" not in app.query_params


def test_what_the_engine_refuses_is_said_in_the_panel(finished, asked, monkeypatch):
    def refuse(self, where):
        raise BadInput("There is no plane 'elsewhere'. Choose one of: bezier.")

    monkeypatch.setattr(Jobs, "open", refuse)
    app = page(finished[1], open="elsewhere:1,2")
    assert not app.exception, app.exception
    assert [e.value for e in app.error] == ["There is no plane 'elsewhere'. Choose one of: bezier."]
    assert "Anchor error" in texts(app), "the rest of the page stays"


def test_a_network_is_kept_with_the_title_given(finished, asked, monkeypatch):
    kept = []
    monkeypatch.setattr(Jobs, "keep", lambda self, where, title: kept.append((where, title)) or "0123456789abcdef")
    app = page(finished[1], open="bezier@0.5")
    app.text_input(key="keep-title-bezier@0.5").set_value("A good one").run()
    app.button(key="keep").click().run()
    assert not app.exception, app.exception
    assert kept == [({"run": finished[1], "path": "bezier", "t": 0.5}, "A good one")]
    assert "0123456789abcdef" in texts(app)
    assert not [b for b in app.button if b.key == "keep"], "it is kept once"


def test_a_marked_network_is_compared_by_its_name(finished, asked):
    app = page(finished[1], open="=w1 (seed 0)")
    app.button(key="with-bezier bend").click().run()
    assert named(app, "with") == "=bezier bend"
    assert asked[-1]["network"] == "bezier bend"


def test_a_click_in_single_precision_opens_the_cell_and_agrees_with_it(finished):
    library = Library(finished[0])
    found = places.Pictures(library, finished[1])
    surface = found.surfaces["bezier"]
    i, j = np.argwhere(surface.evaluated)[7]
    x, y = surface.axes[0][i], surface.axes[1][j]
    where = found.exact({"run": finished[1], "plane": "bezier", "x": float(np.float32(x)), "y": float(np.float32(y))})
    assert (where["x"], where["y"]) == (x, y)
    assert found.drawn(where).values["train_loss"] == surface.values["train_loss"][i, j]


def test_a_network_is_ringed_on_every_plane_that_contains_it(finished):
    found = places.Pictures(Library(finished[0]), finished[1])
    assert set(found.on_planes({"run": "r", "network": "w1 (seed 0)"})) == {"optima", "bezier", "chain"}
    assert set(found.on_planes({"run": "r", "network": "w3 (seed 2)"})) == {"optima"}
    assert set(found.on_planes({"run": "r", "network": "chain bend"})) == {"chain"}
    ring = found.ring("A", {"run": "r", "path": "bezier", "t": 1.0})
    end = next(m for m in found.surfaces["bezier"].marks if m.name.startswith("w2"))
    np.testing.assert_allclose(ring["planes"]["bezier"], [end.x, end.y], atol=1e-4)


def test_distances_are_known_in_a_common_plane_or_to_a_marked_network(finished):
    found = places.Pictures(Library(finished[0]), finished[1])
    a, b = ({"run": "r", "plane": "bezier", "x": x, "y": y} for x, y in ((0.0, 0.0), (3.0, 4.0)))
    assert places.distance(found, a, b, {}, {}) == 5.0
    assert places.distance(found, a, {"run": "r", "network": "w1 (seed 0)"}, {"w1 (seed 0)": 7.0}, {}) == 7.0
    assert places.distance(found, a, {"run": "r", "plane": "chain", "x": 0.0, "y": 0.0}, {}, {}) is None
