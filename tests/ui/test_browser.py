"""The app as its users meet it: a real server, a real engine, a real browser."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect
from serving import SMALL, Server

from landscape.runs import Jobs, Library
from landscape.runs.home import holder
from landscape.runs.worker import PRELOAD
from landscape.settings import parse

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
LONG = {"task": "digits", "epochs": 250, "curve_epochs": 30, "grid": 17, "widths": "64,64"}


def address(server, page="", **query) -> str:
    return f"{server.url}/{page}?" + "&".join(f"{name}={value}" for name, value in query.items())


PLOTS = "[...document.querySelectorAll('.landscape-plot')].filter(e => e._fullLayout && e.dataset.drawn)"
SCENES = ".filter(e => e._fullLayout.scene)"


def drawn(tab, count: int, kind: str = "", seconds: float = 60):
    """Wait until so many plots are there, or so many of a ``kind``: ``.filter(...)`` on their elements.

    Asked from here: a function that waits in the page stands still while another window covers it.
    """
    tab.bring_to_front()
    deadline = time.monotonic() + seconds
    while (there := tab.evaluate(f"() => {PLOTS}{kind}.length")) < count:
        assert time.monotonic() < deadline, f"{there} of {count} plots; the page says: {tab.inner_text('body')[:2000]}"
        time.sleep(0.05)


def camera(tab, index: int):
    return tab.evaluate(f"i => {PLOTS}{SCENES}[i]._fullLayout.scene.camera.eye", index)


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_first_visit_is_complete_without_a_click(server, tab):
    tab.goto(server.url)
    drawn(tab, 1)
    expect(tab.get_by_role("heading", name="Weight space, made visible")).to_be_visible()
    expect(tab.get_by_text("Walk along this valley")).to_be_visible()
    assert tab.title().startswith("Loss Valleys") or "Overview" in tab.title()


def test_a_deep_link_shows_the_run_and_the_view(server, finished, tab):
    tab.goto(address(server, "valleys", run=finished[1], metric="test_error", view="3D"))
    drawn(tab, 4)
    expect(tab.get_by_role("heading", name="Valleys · moons")).to_be_visible()
    assert tab.evaluate(f"() => {PLOTS}{SCENES}.length") == 3
    assert "metric=test_error" in tab.url
    assert finished[1] in tab.url


def test_cameras_move_together_and_the_walker_walks(server, finished, tab):
    tab.goto(address(server, "valleys", run=finished[1], view="3D"))
    drawn(tab, 4)
    tab.evaluate(
        "() => { const e = [...document.querySelectorAll('.landscape-plot')].find(e => e._fullLayout?.scene);"
        "return Plotly.relayout(e, {'scene.camera.eye': {x: 0.3, y: 2, z: 0.7}}) }"
    )
    until(lambda: abs(camera(tab, 2)["y"] - 2) < 1e-6, 20)
    slider = tab.locator(".walk-slider")
    slider.evaluate("e => { e.value = 0.5; e.dispatchEvent(new Event('input', {bubbles: true})) }")
    expect(tab.locator(".walk-readout")).to_contain_text("t = 0.50")
    moved = (
        "() => { const e = [...document.querySelectorAll('.landscape-plot')].filter(e => e._fullLayout?.scene)[1];"
        "const w = e.__walkers[0]; const p = w.paths.bezier; return [e.data[w.trace].x[0], p.x[30]] }"
    )
    until(lambda: (lambda pair: abs(pair[0] - pair[1]) < 1e-6)(tab.evaluate(moved)), 20)


def test_maps_are_zoomed_together_and_each_finds_back(server, finished, tab):
    tab.goto(address(server, "valleys", run=finished[1]))
    drawn(tab, 4)
    ranges = f"() => {PLOTS}.filter(e => e.__linkRanges).map(e => [e._fullLayout.xaxis.range, e._fullLayout.yaxis.range])"
    before = tab.evaluate(ranges)
    assert len(before) == 3
    box = tab.locator(".landscape-plot .nsewdrag").first.bounding_box()
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    tab.mouse.up()

    def together():
        now = tab.evaluate(ranges)
        return now[0] != before[0] and now[0] == now[1] == now[2]

    until(together, 20)
    zoomed = tab.evaluate(ranges)
    tab.emulate_media(color_scheme="dark")  # all plots are drawn anew
    until(lambda: tab.evaluate(f"() => {PLOTS}.every(e => Number(e.dataset.drawn) > 1)"), 20)
    assert tab.evaluate(ranges) == zoomed
    tab.locator(".landscape-plot .nsewdrag").first.dblclick()
    until(lambda: tab.evaluate(ranges) == before, 20)


def test_plots_follow_a_change_of_theme(server, finished, tab):
    tab.emulate_media(color_scheme="light")
    tab.goto(address(server, "valleys", run=finished[1], view="3D"))
    drawn(tab, 4)
    colours = f"() => {PLOTS}.map(e => e.layout.font.color)"
    light = tab.evaluate(colours)
    tab.emulate_media(color_scheme="dark")
    until(lambda: all(new != old for new, old in zip(tab.evaluate(colours), light, strict=True)), 20)


@pytest.fixture
def paced(finished, tmp_path):
    """A server whose jobs rest at every report while its file ``pace`` is there: ``(server, pace)``."""
    shutil.copytree(finished[0], tmp_path / "home")
    pace = tmp_path / "pace"
    pace.write_text("0.1")
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    running = Server(tmp_path / "home", PYTHONPATH=path, LANDSCAPE_PRELOAD=f"{PRELOAD},paced", PACE=str(pace))
    yield running, pace
    running.stop()
    if says := holder(running.home / "writer.lock"):
        os.kill(says["pid"], signal.SIGTERM)


def test_run_cancel_reload_and_go_on(paced, tab):
    server, pace = paced
    library = Library(server.home)
    tab.goto(address(server, "valleys", **LONG))
    tab.get_by_test_id("stBaseButton-primary").filter(has_text="Run").click()
    tab.wait_for_url(re.compile("run="), timeout=60_000)
    key = re.search(r"run=([0-9a-f]+)", tab.url)[1]
    expect(tab.get_by_text(re.compile("Training the networks.*epoch"))).to_be_visible(timeout=60_000)
    drawn(tab, 1)
    tab.reload()
    expect(tab.get_by_text(re.compile("Training the networks.*epoch"))).to_be_visible(timeout=60_000)
    started = time.monotonic()
    tab.get_by_role("button", name="Cancel").click()
    until(lambda: library.run(key).status == "cancelled", 5)
    assert time.monotonic() - started < 3  # two seconds for the job, the rest for the click
    pace.unlink()
    tab.get_by_role("button", name="Go on").click()
    until(lambda: library.run(key).status in ("running", "queued", "done"), 20)
    until(lambda: library.run(key).status == "done", 200)
    expect(tab.get_by_text("Walk from one optimum to the other")).to_be_visible(timeout=30_000)
    drawn(tab, 4)


def test_two_browsers_watch_one_run_and_the_camera_is_kept(server, library, chromium, tab):
    given = {
        "task": "digits",
        "epochs": 30,
        "curve_epochs": 30,
        "grid": 49,
        "picture": "exact",
        "widths": (96, 96),
        "seeds": (7, 8, 9),
    }
    key = Jobs(server.home).submit("valleys", parse("valleys", given))
    other = chromium.new_page()
    for page in (tab, other):
        page.goto(address(server, "valleys", run=key, view="3D"))
    until(lambda: "surface:chain" in library.names(key), 150)
    for page in (tab, other):
        drawn(page, 3, SCENES)
    tab.evaluate(
        "() => { const e = [...document.querySelectorAll('.landscape-plot')].find(e => e._fullLayout?.scene);"
        "return Plotly.relayout(e, {'scene.camera.eye': {x: 0.5, y: 1.9, z: 0.6}}) }"
    )
    before = library.version(key)
    until(lambda: library.version(key) > before + 2 or library.run(key).status == "done", 60)
    assert abs(camera(tab, 0)["y"] - 1.9) < 1e-6
    until(lambda: library.run(key).status == "done", 200)
    for page in (other, tab):
        page.bring_to_front()
        expect(page.get_by_text("Walk from one optimum to the other")).to_be_visible(timeout=30_000)
    assert abs(camera(tab, 0)["y"] - 1.9) < 1e-6
    other.close()


def test_the_server_may_be_killed_while_a_run_goes_on(finished, tmp_path, chromium):
    shutil.copytree(finished[0], tmp_path / "home")
    server = Server(tmp_path / "home")
    try:


        library = Library(server.home)
        key = Jobs(server.home).submit("valleys", parse("valleys", {**SMALL, "epochs": 300, "seeds": (1, 2, 3)}))
        until(lambda: library.progress(key) is not None, 60)
        server.stop(signal.SIGKILL)
        server.start()
        until(lambda: library.run(key).status == "done", 90)
        page = chromium.new_page()
        page.goto(address(server, "valleys", run=key))
        drawn(page, 4)
        page.close()
    finally:
        server.stop()
        says = holder(server.home / "writer.lock")
        if says:
            os.kill(says["pid"], signal.SIGTERM)
