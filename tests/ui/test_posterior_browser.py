"""The theatre in a browser: draws as points, a loop painted on it, a click on a draw. Needs Chromium."""

import math
import sys
import time
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from serving import Server

from landscape.runs.records import encode
from landscape.runs.store import Store
from landscape.settings import parse

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
import inferred

KEY = "posterior0000009"
STAGE = ".st-key-section-theatre"


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def address(tab):
    """What the page says of itself now; ``tab.url`` is as old as the last event that was heard."""
    return unquote_plus(tab.evaluate("location.href"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("staged") / "home"
    home.mkdir()
    with Store(home) as store:
        store.enter(KEY, "posterior", "Posterior · made up", parse("posterior", {"task": "regression"}).canonical())
        store.begin(KEY, "here", 1)
        for name, result in inferred.results().items():
            store.save(KEY, name, *encode(result))
        store.finish(KEY, "done")
    running = Server(home)
    yield running
    running.stop()


@pytest.fixture
def stage(served, tab):
    tab.goto(f"{served.url}/posterior?run={KEY}")
    tab.wait_for_selector(f"{STAGE} .landscape-plot[data-drawn]", timeout=60_000)
    every = "() => [...document.querySelectorAll('.landscape-plot')].every(plot => plot.dataset.drawn)"
    until(lambda: tab.evaluate(every) and tab.locator("#members").count(), 60)  # nothing moves any more
    where = []

    def at_rest():
        tab.locator(f"{STAGE} .nsewdrag").first.scroll_into_view_if_needed()
        where.append(tab.locator(f"{STAGE} .nsewdrag").first.bounding_box())
        tab.wait_for_timeout(400)
        return where[-1] == tab.locator(f"{STAGE} .nsewdrag").first.bounding_box()

    until(at_rest)
    return tab


def test_a_loop_names_its_region_in_the_address_and_fades_the_rest(stage):
    box = stage.locator(f"{STAGE} .nsewdrag").first.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    loop = [(middle[0] + 60 * math.cos(a), middle[1] + 60 * math.sin(a)) for a in (i * math.pi / 10 for i in range(21))]
    stage.mouse.move(*loop[0])
    stage.mouse.down()
    for at in loop[1:]:
        stage.mouse.move(*at, steps=2)
    stage.mouse.up()
    stage.wait_for_function("location.search.includes('region=')", timeout=20_000)
    assert "open=" not in address(stage), "a loop that ends where it began is no click"
    kept = f"""() => {{ const plot = document.querySelector('{STAGE} .landscape-plot');
        return [plot._fullLayout.shapes.length, plot._fullData.filter(t => t.meta?.draws).map(t => t.selectedpoints?.length),
                plot._fullData.filter(t => t.meta?.draws).map(t => t.x.length)]; }}"""
    until(lambda: stage.evaluate(kept)[0] == 1 and all(n is not None for n in stage.evaluate(kept)[1]))
    _, inside, every = stage.evaluate(kept)
    assert 0 < sum(inside) < sum(every)


def test_a_click_on_a_draw_names_it(stage):
    at = stage.evaluate(f"""() => {{ const plot = document.querySelector('{STAGE} .landscape-plot');
        const trace = plot._fullData.filter(t => t.meta?.draws).at(-1), marks = plot._fullData.find(t => t.name === "marks");
        const box = plot.getBoundingClientRect(), {{xaxis, yaxis}} = plot._fullLayout;
        const place = (t, i) => [xaxis._offset + xaxis.l2p(t.x[i]), yaxis._offset + yaxis.l2p(t.y[i])];
        const alone = (i) => Math.min(...[...marks.x].map((_, k) => {{
            const [a, b] = [place(trace, i), place(marks, k)]; return Math.hypot(a[0] - b[0], a[1] - b[1]); }}));
        const i = [...trace.x].map((_, i) => i).sort((i, j) => alone(j) - alone(i))[trace.x.length >> 1];
        const [x, y] = place(trace, i); return [box.left + x, box.top + y]; }}""")  # a mark would come before a draw
    stage.mouse.click(at[0], at[1])
    stage.wait_for_function("location.search.includes('open=')", timeout=20_000)
    assert "ess draw " in address(stage)
