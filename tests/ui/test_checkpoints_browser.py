"""Files from disk to pictures, as a user goes: drop, open, look, click."""

import re
import time

import numpy as np
import pytest
from playwright.sync_api import TimeoutError, expect

from landscape.runs import uploads

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
SMALL = "data=moons&grid=9&line_points=9&pair_points=5"
PLOTS = "[...document.querySelectorAll('.landscape-plot')].filter(e => e._fullLayout && e.dataset.drawn)"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four networks 2-8-2 saved as other programs save them: an array for each name."""
    folder, random = tmp_path_factory.mktemp("foreign"), np.random.default_rng(0)
    shapes = {"layers.0.weight": (8, 2), "layers.0.bias": (8,), "layers.1.weight": (2, 8), "layers.1.bias": (2,)}
    for i in range(4):
        np.savez(folder / f"net-{i}.npz", **{name: random.normal(size=shape).astype(np.float32)
                                             for name, shape in shapes.items()})
    return sorted(folder.glob("*.npz"))


def opened(tab, server, files, plots: int) -> None:
    """Drop the files, press Open, wait until the run is done and drawn."""
    tab.goto(f"{server.url}/checkpoints?{SMALL}")
    expect(tab.get_by_text("Judged by the")).to_be_visible(timeout=60_000)
    tab.locator("input[type=file]").first.set_input_files([str(file) for file in files])
    button = tab.get_by_test_id("stBaseButton-primary").filter(has_text="Open")
    expect(button).to_be_enabled(timeout=20_000)
    button.click()
    try:
        tab.wait_for_url(re.compile("run="), timeout=60_000)
    except TimeoutError:
        raise AssertionError(tab.inner_text("body")[:2000]) from None
    expect(tab.get_by_text("all match").first).to_be_visible(timeout=90_000)
    expect(tab.get_by_text("done", exact=True)).to_be_visible(timeout=150_000)
    deadline = time.monotonic() + 30
    while tab.evaluate(f"() => {PLOTS}.length") < plots:
        assert time.monotonic() < deadline, tab.inner_text("body")[:2000]
        time.sleep(0.1)


def test_one_file_is_dropped_opened_and_a_point_of_it_clicked(server, tab, files):
    opened(tab, server, files[:1], plots=2)
    expect(tab.get_by_text("A random plane around the network")).to_be_visible()
    assert [path.name for path in uploads.kept(server.home)].count("net-0.npz") == 1
    panel = tab.locator(".landscape-plot .nsewdrag").first
    panel.scroll_into_view_if_needed()
    time.sleep(1)
    box = panel.bounding_box()
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    time.sleep(0.3)
    tab.mouse.down()
    tab.mouse.up()
    expect(tab.locator(".landscape-tiles").first).to_be_visible(timeout=60_000)


def test_four_files_show_path_pairs_and_average(server, tab, files):
    opened(tab, server, files, plots=6)
    for part in ("principal components", "random walk beside it", "Every pair", "The average of the weights"):
        expect(tab.get_by_text(part).first).to_be_visible()
    tab.get_by_role("button", name="agreement").or_(tab.get_by_text("agreement", exact=True)).first.click()
    names = f"() => {PLOTS}.find(e => e.data[0].type === 'heatmap').layout.xaxis.ticktext"
    assert tab.evaluate(names) == ["net-0", "net-1", "net-2", "net-3"]
    tab.reload()
    expect(tab.get_by_text("Every pair")).to_be_visible(timeout=60_000)
