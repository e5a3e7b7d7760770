"""Bins in a browser: a click opens the examples, the slider draws anew at once, a dropped file is judged. Needs Chromium."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from serving import Server

from landscape.runs.records import encode
from landscape.runs.store import Store
from landscape.settings import parse

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import judged

KEY = "calibration00009"
SECTION = ".st-key-section-calibration"


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("calibrated") / "home"
    home.mkdir()
    with Store(home) as store:
        store.enter(KEY, "calibration", "Calibration · made up", parse("calibration", {"task": "mnist1d"}).canonical())
        store.begin(KEY, "here", 1)
        for name, result in judged.results().items():
            store.save(KEY, name, *encode(result))
        store.finish(KEY, "done")
    running = Server(home)
    yield running
    running.stop()


@pytest.fixture
def drawn(served, tab):
    tab.goto(f"{served.url}/calibration?run={KEY}")
    tab.wait_for_selector(f"{SECTION} .landscape-plot[data-drawn]", timeout=60_000)
    every = "() => [...document.querySelectorAll('.landscape-plot')].every(plot => plot.dataset.drawn)"
    until(lambda: tab.evaluate(every) and tab.locator("#conformal").count(), 60)
    tab.wait_for_timeout(800)  # nothing moves any more
    return tab


@pytest.mark.parametrize("which", [0, 1])
def test_a_click_on_a_bin_opens_its_examples_below(drawn, which):
    plot = drawn.locator(f"{SECTION} .landscape-plot").nth(which)
    plot.scroll_into_view_if_needed()
    drawn.wait_for_timeout(400)
    at = plot.evaluate("""(plot) => {
        const trace = plot._fullData.find(t => t.meta?.label === "sgd"), box = plot.getBoundingClientRect();
        const i = trace.x.length - 3, xaxis = plot._fullLayout["xaxis" + (trace.xaxis || "x").slice(1)];
        const yaxis = plot._fullLayout["yaxis" + (trace.yaxis || "y").slice(1)];
        return [box.left + xaxis._offset + xaxis.l2p(trace.x[i]), box.top + yaxis._offset + yaxis.l2p(trace.y[i])]; }""")
    drawn.mouse.move(at[0] - 3, at[1])
    drawn.mouse.move(*at)
    drawn.wait_for_timeout(200)
    drawn.mouse.click(*at)
    drawn.wait_for_selector(".st-key-calibration-examples .landscape-table", timeout=10_000)
    assert "examples it is" in drawn.locator(".st-key-calibration-examples").inner_text()
    ring = "(plot) => plot._fullData.some(t => t.name === 'shown below')"
    until(lambda: plot.evaluate(ring))
    drawn.get_by_role("button", name="Close").click()
    until(lambda: not plot.evaluate(ring))


def test_the_number_of_bins_is_drawn_in_a_moment(drawn):
    plot = drawn.locator(f"{SECTION} .landscape-plot").nth(1)
    count = "(plot) => plot._fullData.find(t => t.meta?.label === 'swag').x.length"
    assert plot.evaluate(count) == 15
    drawn.locator(".st-key-calibration-bins input[type=range]").focus()
    drawn.keyboard.press("ArrowRight")
    until(lambda: plot.evaluate(count) == 16, 5)


def test_a_dropped_file_is_judged(served, tab, tmp_path):
    logits, labels = judged.drawn(300, 1, 2.0, 0.5, 4)
    np.savez(tmp_path / "mine.npz", logits=logits, labels=labels)
    tab.goto(f"{served.url}/calibration")
    tab.get_by_role("tab", name="A file of predictions").click()
    tab.locator("[data-testid=stFileUploaderDropzoneInput]").set_input_files(tmp_path / "mine.npz")
    button = tab.get_by_role("button", name="Judge it")
    until(lambda: button.is_enabled())
    button.click()
    tab.wait_for_url("**run=*", timeout=30_000)
    tab.wait_for_selector(f"{SECTION} .landscape-plot[data-drawn]", timeout=60_000)
    until(lambda: "all 300 test examples" in tab.locator(SECTION).inner_text(), 30)
