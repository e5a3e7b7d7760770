"""What a recipe is handed: progress with an honest time left, cancelling, going on, children."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from landscape.errors import Cancelled
from landscape.results import Summary
from landscape.runs import Library
from landscape.runs.context import Context, run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.stages import Stage
from landscape.runs.store import Store


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


@pytest.fixture
def begin(store):
    """Start an attempt of a walk: ``(context, clock, progress())``."""

    def start():
        made, clock = identify("stroll", {}), Clock()
        store.enter(**made.row())
        context = Context(store, made.key, clock=clock)
        return context, clock, lambda: Library(store.home).progress(made.key)

    return start


def test_the_time_left_comes_from_costs_and_measured_speed(begin):
    context, clock, progress = begin()
    context.plan([("train", 30), ("surface", 10)])
    assert progress().eta_seconds is None
    assert progress().fraction == 0
    clock.now = 6
    context.progress("train", 1, 10, loss=np.float32(0.5))
    seen = progress()
    assert seen.stage == "train"
    assert seen.detail == {"loss": 0.5}
    assert seen.fraction == pytest.approx(0.075)
    assert [(s["name"], s["share"], s["done"]) for s in seen.stages] == [("train", 0.75, 0.1), ("surface", 0.25, 0)]
    assert seen.eta_seconds == pytest.approx(9 * 6 + 20)  # 6 s for 3 units of cost, and 27 + 10 units are left
    clock.now = 60
    context.progress("train", 10, 10)
    clock.now = 62
    context.progress("surface", 1, 2)  # it takes 2 s, not the 10 s its cost promised: that is believed by and by
    assert 2 < progress().eta_seconds < 3.5
    clock.now = 63
    context.progress("surface", 3, 4)
    assert 1 < progress().eta_seconds < 1.4


def test_what_an_earlier_attempt_did_is_no_speed(begin):
    context, clock, _ = begin()
    context.plan([("train", 1)])
    context.progress("train", 1, 10)
    context, clock, progress = begin()
    context.plan([("train", 1)])
    clock.now = 1
    context.progress("train", 8, 10)  # loaded, not computed
    assert progress().fraction == pytest.approx(0.8)
    assert progress().eta_seconds is None
    clock.now = 11
    context.progress("train", 9, 10)
    assert progress().eta_seconds == pytest.approx(10)


def test_progress_is_written_five_times_a_second_at_most(begin, store, monkeypatch):
    reports = []
    report = store.report
    monkeypatch.setattr(store, "report", lambda *args: (reports.append(args), report(*args))[1])
    context, clock, _ = begin()
    context.plan([("train", 1)])
    for step in range(1000):
        clock.now = step / 1000
        context.progress("train", step, 1000)
    assert 5 <= len(reports) <= 6


def test_a_plan_is_checked():
    stage = Stage("")
    for wrong in ([("a", 1), ("a", 2)], [("a", 0)], [("a", -1)], [("a", float("nan"))]):
        with pytest.raises(ValueError, match="positive costs"):
            stage.plan(wrong)
    stage.plan([("a", 1)])
    with pytest.raises(ValueError, match="'b' is not in the plan: a"):
        stage.part("b")


def test_a_run_that_is_to_stop_stops_at_its_next_report(begin, store):
    context, clock, _ = begin()
    context.plan([("train", 1)])
    store.request_cancel(context.key)
    clock.now = 0.1
    context.progress("train", 1, 10)  # too soon to ask
    clock.now = 0.3
    with pytest.raises(Cancelled, match="kept"):
        context.progress("train", 2, 10)


def test_a_cancelled_job_goes_on_where_it_stopped(store, monkeypatch, undisturbed):
    made = identify("stroll", {"steps": 6})
    store.enter(**made.row())
    save = store.save

    def save_and_cancel(key, name, *data):
        version = save(key, name, *data)
        if version == 3:
            store.request_cancel(key)
        return version

    with monkeypatch.context() as patch:
        patch.setattr(store, "save", save_and_cancel)
        patch.setattr("landscape.runs.context.INTERVAL", 0.0)
        assert run_job(store, made.key)[0] == "cancelled"
    library = Library(store.home)
    assert library.run(made.key).status == "cancelled"
    assert len(library.result(made.key, "history:walk").epochs) == 3
    assert store.enter(**made.row()) == "queued"
    assert run_job(store, made.key)[0] == "done"
    assert library.result(made.key, "history:walk").values["train_loss"][0].tolist() == undisturbed(steps=6)
    assert library.version(made.key) == 7  # three steps, three more, the summary: none twice
    assert [each["outcome"] for each in library.attempts(made.key)] == ["cancelled", "done"]


def test_children_are_computed_once_and_become_parents(tmp_path):
    one, *_ = compute_here("pair", {"seeds": "0,1", "steps": 4}, tmp_path)
    two, *_ = compute_here("pair", {"seeds": "1,2", "steps": 4}, tmp_path)
    library = Library(tmp_path, gallery=None)
    assert library.run(one).parents[1] == library.run(two).parents[0]
    assert [len(library.attempts(parent)) for parent in library.run(two).parents] == [1, 1]
    walks = [library.weights(parent, "end")["w"][0] for parent in library.run(one).parents]
    assert library.result(one, "summary").values["difference"] == pytest.approx(float(walks[1] - walks[0]))
    progress = library.progress(one)
    assert [stage["name"] for stage in progress.stages] == [
        "walk 0: stroll", "walk 0: sum", "walk 1: stroll", "walk 1: sum", "difference"]
    assert sum(stage["share"] for stage in progress.stages) == pytest.approx(1)
    assert progress.fraction == 1


def test_cancelling_a_run_stops_the_child_it_is_waiting_for(store, monkeypatch):
    made = identify("pair", {})
    store.enter(**made.row())
    monkeypatch.setattr("landscape.runs.context.INTERVAL", 0.0)
    monkeypatch.setattr(toys, "_misbehave", lambda _fault: store.request_cancel(made.key))  # at the third step
    assert run_job(store, made.key)[0] == "cancelled"
    library = Library(store.home, gallery=None)
    assert {run.recipe: run.status for run in library.runs(children=True)} == {"pair": "cancelled", "stroll": "cancelled"}


@pytest.mark.parametrize(("fault", "message", "traceback"), [
    ("error", "RuntimeError: the third step broke", True), ("input", "Expected two legs, found three.", False)])
def test_a_job_that_fails_says_why_and_keeps_what_it_saved(tmp_path, fault, message, traceback):
    key, status, said = compute_here("stroll", {"fault": fault}, tmp_path)
    library = Library(tmp_path)
    assert (status, said, library.run(key).message) == ("failed", message, message)
    assert ("Traceback" in library.detail(key)) == traceback
    assert len(library.result(key, "history:walk").epochs) == 3


def test_cpu_seconds_add_up_over_attempts(store):
    made = identify("stroll", {})
    store.enter(**made.row())
    for _ in range(2):
        context = Context(store, made.key)
        context.plan([("stroll", 1)])
        until = context.cpu_seconds + 0.15
        while context.cpu_seconds < until:
            pass
        context._finish("cancelled")
    assert 0.3 <= Library(store.home).run(made.key).cpu_seconds < 0.6


def test_weights_go_through_a_context(begin):
    context, _, _ = begin()
    assert context.load_weights("w") is None
    assert context.load("s") is None
    context.save_weights("w", {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([1], np.int64)}, {"unit": "none"})
    back = context.load_weights("w")
    assert back["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert back["b"].dtype == np.int64
    context.save("s", Summary({"x": 1}))
    assert context.load("s").values == {"x": 1}
