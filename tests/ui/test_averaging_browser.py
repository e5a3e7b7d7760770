"""The walk that is played, and the cursor of the twins, in a real browser on a run made by hand."""

import os
import signal
import time

import pytest
from serving import Server
from test_averaging_page import KEY, fill, walked

from landscape.runs.home import holder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WALK, TWINS = ".st-key-section-walk", ".st-key-section-twins"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A server whose store holds one complete run."""
    home = tmp_path_factory.mktemp("told") / "home"
    fill(home, walked.results())
    running = Server(home)
    yield running
    running.stop()
    says = holder(home / "writer.lock")
    if says:
        os.kill(says["pid"], signal.SIGTERM)


@pytest.fixture
def story(told, tab):
    tab.goto(f"{told.url}/averaging?run={KEY}")
    tab.wait_for_selector(f"{WALK} .landscape-trail polyline", state="attached", timeout=60_000)
    tab.wait_for_selector(f"{TWINS} .landscape-plot[data-drawn]", state="attached", timeout=60_000)
    return tab


def until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def dots(page) -> int:
    """Snapshots of the walk that are drawn."""
    return page.evaluate(f"() => document.querySelectorAll('{WALK} .landscape-trail circle').length")


def test_the_walk_appears_step_by_step_at_fifteen_pictures_a_second(story):
    everything = len(walked.walk().path)
    until(lambda: dots(story) == everything)  # complete without a click
    box = story.locator(f"{WALK} .walk-box")
    box.scroll_into_view_if_needed()
    before = story.evaluate(f"() => document.querySelector('{WALK} .landscape-plot').dataset.drawn")
    story.locator(f"{WALK} .walk-play").click()
    until(lambda: 1 < dots(story) < everything)
    first = dots(story)
    until(lambda: dots(story) > first)
    story.wait_for_selector(f"{WALK} .walk-play[aria-label=Play]", timeout=30_000)
    assert dots(story) == everything
    assert float(box.get_attribute("data-rate")) >= 15
    assert "epoch 40" in story.locator(f"{WALK} .walk-readout").inner_text()
    drawn = story.evaluate(f"() => document.querySelector('{WALK} .landscape-plot').dataset.drawn")
    assert drawn == before, "the map itself was not drawn again"


def test_the_slider_shows_any_step_and_the_walk_follows_the_zoom(story):
    slider = story.locator(f"{WALK} .walk-slider")
    slider.evaluate("e => { e.value = 4; e.dispatchEvent(new Event('input', {bubbles: true})) }")
    until(lambda: dots(story) == 6)  # five snapshots and the head
    assert story.locator(f"{WALK} .walk-readout").inner_text().startswith("epoch 34")
    points = f"() => document.querySelector('{WALK} .landscape-trail polyline').getAttribute('points')"
    before = story.evaluate(points)
    story.evaluate(f"() => Plotly.relayout(document.querySelector('{WALK} .landscape-plot'), "
                   "{'xaxis.range': [0, 5], 'yaxis.range': [0, 5]})")
    until(lambda: story.evaluate(points) != before)
    at = story.evaluate(f"""() => {{ const e = document.querySelector('{WALK} .landscape-plot');
        const second = e.querySelectorAll('.landscape-trail circle')[1];
        return [e._fullLayout.xaxis.l2p(e.__walkers[0].trail.x[1]), second.cx.baseVal.value]; }}""")
    assert at[0] == pytest.approx(at[1], abs=0.06)


def test_the_twins_have_one_cursor(story):
    maps = story.locator(f"{TWINS} .nsewdrag")
    maps.first.scroll_into_view_if_needed()
    box = maps.first.bounding_box()
    story.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    story.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    told = f"() => [...document.querySelectorAll('{TWINS} .landscape-cursor text')].map(e => e.textContent)"
    there = f"""() => {{ const [one, other] = document.querySelectorAll('{TWINS} .landscape-plot');
        const point = one._hoverdata?.[0], map = other._fullData[0];
        return point && Number(map.customdata[[...map.y].indexOf(point.y)][[...map.x].indexOf(point.x)][0]); }}"""

    def alike():
        said, value = story.evaluate(told), story.evaluate(there)
        assert all(text.startswith("train loss ") for text in said), "on the other one, its own value"
        return len(said) == 1 and value and float(said[0].rsplit(" ", 1)[1]) == pytest.approx(value, rel=1e-3)

    until(alike)  # the same network on both
    story.mouse.move(5, 5)
    until(lambda: not story.evaluate(told))


def test_the_reliefs_turn_together(told, tab):
    tab.goto(f"{told.url}/averaging?run={KEY}&view=3D")
    scenes = f"[...document.querySelectorAll('{TWINS} .landscape-plot[data-drawn]')].filter(e => e._fullLayout?.scene)"
    until(lambda: tab.evaluate(f"() => {scenes}.length") == 2, 90)
    tab.evaluate(f"() => Plotly.relayout({scenes}[0], {{'scene.camera.eye': {{x: 0.3, y: 1.7, z: 0.7}}}})")
    until(lambda: abs(tab.evaluate(f"() => {scenes}[1]._fullLayout.scene.camera.eye.y") - 1.7) < 1e-6)
