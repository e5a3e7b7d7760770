"""Clicks as users make them: a real server, a real engine, a real browser."""

import re
import time

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import load
from serving import SMALL

from landscape.runs import Jobs, Library
from landscape.settings import parse

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PLANES = "[...document.querySelectorAll('.landscape-plot')].filter(e => e.__place?.plane && e.dataset.drawn)"


def page_of(server, key: str, **query) -> str:
    return f"{server.url}/valleys?run={key}&" + "&".join(f"{name}={value}" for name, value in query.items())


def until(holds, seconds=60, says=lambda: ""):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, says()
        time.sleep(0.05)
    return found


def visit(tab, url: str, planes: int = 3):
    """The page, when the process that answers clicks is ready too: a visit starts it."""
    tab.emulate_media(reduced_motion="reduce")
    tab.goto(url)
    until(lambda: tab.evaluate(f"() => {PLANES}.length") == planes, 90, lambda: tab.inner_text("body")[:2000])
    tab.bring_to_front()


def address(tab) -> str:
    """Asked of the page: what Playwright remembers is as old as its last message."""
    return tab.evaluate("() => location.href")


def heading(tab) -> str:
    return "".join(tab.locator(".st-key-opened h3").all_inner_texts())


def opened_within(tab, old: str, seconds: float = 60) -> str:
    """The new heading, when all that was asked for is answered."""
    def state():
        return tab.evaluate("() => { const e = document.querySelector('.landscape-clicks')?.__own;"
                            "return e ? [e.asked, e.data.answered] : [0, 0] }")

    def says():
        return f"{heading(tab)!r} at {address(tab)}, asked and answered {state()}"

    def changed():
        asked, answered = state()
        return asked <= answered and heading(tab) != old and heading(tab)

    return until(changed, seconds, says)


def middle_of_cell(tab, plane: int, i: int, j: int) -> tuple[float, float]:
    """Where on the screen a cell of a map is, once the page stands still."""
    at = [None]

    def still():
        at.append(tab.evaluate(
            f"([p, i, j]) => {{ const e = {PLANES}[p], t = e._fullData[0], l = e._fullLayout, r = e.getBoundingClientRect();"
            "return [r.left + l.xaxis._offset + l.xaxis.l2p(t.x[i]), r.top + l.yaxis._offset + l.yaxis.l2p(t.y[j])] }",
            [plane, i, j]))
        time.sleep(0.5)
        return at[-1] == at[-2] and at[-1]

    return tuple(until(still, 30))


def press(tab, x: float, y: float) -> None:
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.up()


def rings(tab, plane: int) -> list:
    return tab.evaluate(f"p => {{ const e = {PLANES}[p], t = e._fullData[e.__rings[0].trace];"
                        "return t.visible === true ? [...t.x].map((x, i) => [x, t.y[i]]) : [] }", plane)


def watch_rings(tab, plane: int) -> None:
    """Remember whether rings were drawn over a plane, before they become part of it."""
    look = "() => { window.__over ||= Boolean(e.querySelector('.landscape-rings circle')) }"
    tab.evaluate(f"p => {{ const e = {PLANES}[p], look = {look};"
                 "new MutationObserver(look).observe(e, {childList: true, subtree: true}) }", plane)


def evaluated_cell(home, key: str, plane: str, at: int = 0) -> tuple[int, int, object]:
    """A cell off the paths and marks that was evaluated, in the upper part of the plane."""
    surface = Library(home).result(key, f"surface:{plane}")
    cells = np.argwhere(surface.evaluated)
    high = [(i, j) for i, j in cells if j >= 0.8 * len(surface.axes[1]) and 2 <= i < len(surface.axes[0]) - 2]
    return (*map(int, high[at]), surface)


def test_a_clicked_cell_is_opened_and_agrees_with_the_picture(server, finished, tab):
    i, j, surface = evaluated_cell(server.home, finished[1], "bezier")
    visit(tab, page_of(server, finished[1]))
    drawings = tab.evaluate(f"() => {PLANES}.map(e => e.dataset.drawn)")
    watch_rings(tab, 1)
    press(tab, *middle_of_cell(tab, 1, i, j))
    assert "on the plane of the Bezier curve" in opened_within(tab, "")
    tile = tab.locator(".landscape-tiles li").filter(has_text="train loss")
    expect(tile).to_contain_text("as drawn")
    assert float(tile.locator("b").inner_text()) == pytest.approx(surface.values["train_loss"][i, j], rel=1e-3)
    x, y = surface.axes[0][i], surface.axes[1][j]
    until(lambda: rings(tab, 1) != [], 20)
    np.testing.assert_allclose(rings(tab, 1)[0], [x, y], rtol=1e-4)
    assert tab.evaluate("() => window.__over"), "the ring was seen before the map was drawn anew"
    until(lambda: tab.locator(".landscape-rings circle").count() == 0, 20)
    assert rings(tab, 0) == []
    assert tab.evaluate(f"() => {PLANES}.map(e => e.dataset.drawn)") == drawings, "a click draws the panel and nothing else"
    said, link = heading(tab), address(tab)
    assert re.search(r"open=bezier(%3A|:)", link)
    tab.goto("about:blank")
    visit(tab, link)
    assert opened_within(tab, "") == said
    until(lambda: rings(tab, 1) != [], 20)


def test_cells_say_their_class(server, finished, tab):
    visit(tab, page_of(server, finished[1], open="bezier@0.0"))
    opened_within(tab, "")
    decision = "document.querySelector('.st-key-opened .landscape-plot')?._fullData?.[0]"
    until(lambda: tab.evaluate(f"() => {decision}?.name === 'decision'"), 30)
    text, z, names = tab.evaluate(f"() => {{ const t = {decision};"
                                  "return [t.text.map(row => [...row]), t.z.map(row => [...row]), t.meta.names] }")
    assert np.shape(text) == np.shape(z)
    assert {(int(value), name) for row, said in zip(z, text, strict=True) for value, name in zip(row, said, strict=True)} \
        == set(enumerate(names))


def test_no_cell_lies_under_a_button(server, finished, tab):
    visit(tab, page_of(server, finished[1]))
    axes = Library(server.home).result(finished[1], "surface:bezier").axes
    cells = [(i, len(axes[1]) - 1) for i in range(1, len(axes[0]) - 1)]  # of the row at the upper edge
    for i, j in cells[len(cells) // 2:]:
        x, y = middle_of_cell(tab, 1, i, j)
        tab.mouse.move(x, y + 3)  # half of an outer cell lies outside
        assert tab.evaluate("([x, y]) => document.elementFromPoint(x, y).matches('.nsewdrag')", [x, y + 3]), (i, j)


def test_each_click_is_a_step_of_the_history_and_close_closes(server, finished, tab):
    visit(tab, page_of(server, finished[1]))
    cells = [evaluated_cell(server.home, finished[1], "bezier", at)[:2] for at in (0, 3)]
    press(tab, *middle_of_cell(tab, 1, *cells[0]))
    first = opened_within(tab, "")
    press(tab, *middle_of_cell(tab, 1, *cells[1]))
    opened_within(tab, first)
    tab.go_back()
    until(lambda: heading(tab) == first, 30)
    tab.get_by_role("button", name="Close").click()
    until(lambda: heading(tab) == "" and "open=" not in address(tab), 30)
    until(lambda: rings(tab, 1) == [], 20)


def test_a_relief_tells_the_value_under_the_pointer_and_turning_it_opens_nothing(server, finished, tab):
    visit(tab, page_of(server, finished[1], view="3D"))
    time.sleep(2)  # software rendering of three scenes
    tab.evaluate(f"() => {PLANES}[1].on('plotly_hover', e => {{ const p = e.points[0];"
                 "window.__told = [p.data.type, Number(p.x), Number(p.y), p.customdata[0]] })")
    box = tab.locator(".landscape-plot").nth(1).bounding_box()
    x, y = box["x"] + 0.45 * box["width"], box["y"] + 0.5 * box["height"]
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 40, y + 10, steps=4)
    tab.mouse.up()
    time.sleep(2)
    assert "open=" not in address(tab)
    for step in range(8):  # until the pointer is over the surface and not over a mark
        tab.mouse.move(x + 3 * step, y + 6 * step)
        time.sleep(0.5)
        told = tab.evaluate("() => window.__told")
        if told and told[0] == "surface":
            break
    surface = Library(server.home).result(finished[1], "surface:bezier")
    i, j = (int(np.abs(axis - at).argmin()) for axis, at in zip(surface.axes, told[1:3], strict=True))
    assert told[3] == pytest.approx(surface.values["train_loss"][i, j], rel=1e-5)
    tab.mouse.down()
    tab.mouse.up()
    assert "The network at" in opened_within(tab, "")
    assert "open=bezier" in address(tab)


def test_the_slider_opens_the_networks_it_passes(server, finished, tab):
    visit(tab, page_of(server, finished[1], open="bezier@0.0"))
    opened_within(tab, "")
    slider, seen = tab.locator(".walk-slider"), set()
    for step in range(1, 31):
        slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }", step / 60)
        expect(tab.locator(".walk-readout")).to_contain_text(f"t = {step / 60:.2f}")
        time.sleep(0.15)
        seen.add(heading(tab))
    assert "open=bezier%400.0" in address(tab) or "open=bezier@0.0" in address(tab), "what moves does not fill the history"
    slider.evaluate("e => e.dispatchEvent(new Event('change', {bubbles: true}))")
    until(lambda: heading(tab) == "The network at t = 0.5 on the Bezier curve", 30, lambda: heading(tab))
    assert len(seen) >= 3, seen
    until(lambda: re.search(r"open=bezier(%40|@)0\.5", address(tab)), 30, lambda: address(tab))
    tab.get_by_label("segment").check()
    until(lambda: heading(tab) == "The network at t = 0.5 on the straight segment", 30)


def test_a_click_on_the_profile_opens_the_nearest_line(server, finished, tab):
    visit(tab, page_of(server, finished[1]))
    profile = tab.locator(".landscape-plot").nth(3)
    profile.scroll_into_view_if_needed()
    x, y = profile.evaluate(
        "e => { const t = e._fullData.find(t => t.name === 'straight segment' && t.mode === 'lines'), l = e._fullLayout;"
        "const r = e.getBoundingClientRect(); return [r.left + l.xaxis._offset + l.xaxis.l2p(t.x[30]),"
        "r.top + l.yaxis._offset + l.yaxis.l2p(t.y[30])] }")
    press(tab, x, y)
    assert opened_within(tab, "") == "The network at t = 0.5 on the straight segment"
    expect(tab.locator(".walk-readout")).to_contain_text("t = 0.50")  # the slider stands where the answer is


def test_two_points_and_the_line_between_them(server, finished, tab):
    visit(tab, page_of(server, finished[1], open="bezier@0.0"))
    opened_within(tab, "")
    tab.get_by_role("button", name="Compare with").click()
    tab.get_by_role("button", name="The next point I click").click()
    expect(tab.get_by_text("Click the second point.")).to_be_visible()
    tab.keyboard.press("Escape")
    i, j, _ = evaluated_cell(server.home, finished[1], "bezier")
    press(tab, *middle_of_cell(tab, 1, i, j))
    expect(tab.get_by_text(re.compile("A and B agree on"))).to_be_visible(timeout=30_000)
    assert "with=bezier" in address(tab)
    until(lambda: len(rings(tab, 1)) == 4, 20, lambda: "two rings, each with its casing")
    tab.get_by_role("button", name="Evaluate the straight line").click()
    expect(tab.get_by_text("The straight line from A to B")).to_be_visible(timeout=30_000)


def test_keep_and_download(server, finished, tab):
    visit(tab, page_of(server, finished[1], open="chain@0.25"))
    opened_within(tab, "")
    tab.get_by_role("button", name="Keep").click()
    tab.get_by_label("Title").fill("A network of the chain")
    tab.get_by_role("button", name="Keep this network").click()
    with tab.expect_download(timeout=60_000) as started:
        tab.get_by_role("button", name="Download (.safetensors)").click(timeout=60_000)
    weights = load(started.value.path().read_bytes())
    settings = Library(server.home).run(finished[1]).settings
    first, second = settings["widths"]
    assert {w.shape for w in weights.values() if w.ndim == 2} == {(first, 2), (second, first), (2, second)}
    kept = [run for run in Library(server.home).runs("network") if run.title == "A network of the chain"]
    assert len(kept) == 1
    visit(tab, page_of(server, kept[0].key), planes=0)
    expect(tab.get_by_text("ECE")).to_be_visible(timeout=60_000)


def test_clicks_are_answered_while_a_job_runs(server, finished, tab):
    long = {**SMALL, "epochs": 10_000, "widths": (64, 64), "seeds": (5, 6, 7)}
    key = Jobs(server.home).submit("valleys", parse("valleys", long))
    try:
        visit(tab, page_of(server, finished[1], open="bezier@0.0"))
        opened_within(tab, "")
        taken = []
        for at in range(4):
            i, j, _ = evaluated_cell(server.home, finished[1], "bezier", 2 * at)
            old = heading(tab)
            place = middle_of_cell(tab, 1, i, j)
            press(tab, *place)
            started = time.monotonic()
            opened_within(tab, old)
            taken.append(time.monotonic() - started)
        assert Library(server.home).run(key).status in ("running", "queued"), "the job went on meanwhile"
        assert np.median(taken) < 2, taken  # the speed itself is measured by the bench, on a machine that does nothing else
    finally:
        Jobs(server.home).cancel(key)


def test_the_first_picture_of_the_overview_is_open_to_clicks(server, tab):
    visit(tab, server.url, planes=1)
    time.sleep(2)
    box = tab.locator(".landscape-plot").first.bounding_box()
    for step in range(6):
        x, y = box["x"] + (0.45 + 0.02 * step) * box["width"], box["y"] + 0.55 * box["height"]
        tab.mouse.move(x, y)
        time.sleep(0.6)
        tab.mouse.down()
        tab.mouse.up()
        time.sleep(1.5)
        if "open=" in address(tab):
            break
    opened_within(tab, "")
    assert "run=" in address(tab)
