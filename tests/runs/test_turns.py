"""People take turns: in the order alone, and with an engine that really computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import BadInput
from landscape.runs import Jobs
from landscape.runs.people import Person
from landscape.runs.turns import Line, turns

ANN, BOB, CAT = (Person(f"user:{name}", f"{name}@example.org") for name in ("ann", "bob", "cat"))


def order(waiting, at_work=None, served=None):
    return [run for run, _ in turns(waiting, at_work or {}, served or {})]


def test_one_after_the_other():
    waiting = [(f"a{i}", ["ann"]) for i in range(3)] + [("b0", ["bob"]), ("b1", ["bob"]), ("c0", ["cat"])]
    assert order(waiting) == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_whoever_computes_now_waits_for_the_others():
    assert order([("a1", ["ann"]), ("b0", ["bob"])], {"ann": 1}) == ["b0", "a1"]


def test_whoever_was_served_longest_ago_comes_first():
    assert order([("a0", ["ann"]), ("b0", ["bob"]), ("c0", ["cat"])], served={"ann": 2, "bob": 1}) == ["c0", "b0", "a0"]


def test_a_run_of_several_goes_with_the_first_of_them():
    assert order([("a0", ["ann"]), ("a1", ["ann"]), ("ab", ["ann", "bob"])]) == ["a0", "ab", "a1"]


def test_interrupted_runs_lose_no_turn():
    line = Line({"a0": ["ann"], "a1": ["ann"], "b0": ["bob"]})
    assert line.order(["b0", "a0", "a1"], [], ["a1"]) == ["a1", "b0", "a0"]


people = st.sampled_from(["", "ann", "bob", "cat", "dan"])


@given(st.lists(st.sets(people, max_size=3), max_size=30), st.dictionaries(people, st.integers(0, 3)),
       st.dictionaries(people, st.integers(0, 9)))
def test_every_run_has_one_place_and_nobody_is_passed_twice(asked, at_work, served):
    waiting = [(str(i), wanted) for i, wanted in enumerate(asked)]
    found = turns(waiting, at_work, served)
    assert sorted(run for run, _ in found) == sorted(run for run, _ in waiting)
    alone = {person: [run for run, wanted in waiting if wanted == {person}] for person in ("ann", "bob")}
    at = {run: i for i, (run, _) in enumerate(found)}
    for person, own in alone.items():
        assert [at[run] for run in own] == sorted(at[run] for run in own), "one's own runs stay in their order"
        if own and not any(person in wanted for wanted in asked if len(wanted) > 1):
            between = [whose for _, whose in found[: at[own[0]]] if whose != person]
            for other in set(between):
                lead = at_work.get(person, 0) - at_work.get(other, 0)
                assert between.count(other) <= max(0, lead) + 1


def test_one_person_with_many_runs_does_not_keep_another_waiting(shop):
    ann, bob = Jobs(shop.home, person=ANN), Jobs(shop.home, person=BOB)
    many = [ann.submit("stroll", {"steps": 4, "pause": 0.15, "seed": seed}) for seed in range(6)]
    shop.until(lambda: shop.library.run(many[0]).status == "running")
    one = bob.submit("stroll", {"steps": 4, "pause": 0.15, "seed": 99})
    shop.until(lambda: shop.library.place(one) == (1, 6))
    assert shop.library.place(many[5]) == (6, 6)
    assert shop.library.asked_by(one) == [(BOB.id, BOB.name)]
    assert shop.ended(one).status == "done"
    assert sum(shop.library.run(key).status == "done" for key in many) <= 2
    for key in many:
        assert shop.ended(key).status == "done"
    shop.until(lambda: shop.library.place(one) is None)


def test_turns_are_known_to_the_next_engine(shop):
    ann, bob = Jobs(shop.home, person=ANN), Jobs(shop.home, person=BOB)
    long = ann.submit("stroll", {"steps": 1000, "pause": 0.1, "seed": 0})
    more = [ann.submit("stroll", {"steps": 2, "seed": seed}) for seed in (1, 2)]
    one = bob.submit("stroll", {"steps": 2, "seed": 9})
    ann._ask("stop")
    shop.until(lambda: shop.jobs.engine() is None)
    assert ann.resume()
    shop.until(lambda: shop.library.place(more[1]))
    assert [shop.library.place(key)[0] for key in (one, *more)] == [1, 2, 3]
    ann.cancel(long)
    assert shop.ended(more[1]).status == "done"


@pytest.fixture
def opened(shop, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_OPEN", "127.0.0.1")
    monkeypatch.setenv("LANDSCAPE_QUOTA_RUNS", "2")
    return shop


def test_a_person_has_so_many_runs_at_a_time(opened):
    ann = Jobs(opened.home, person=ANN)
    keys = [ann.submit("stroll", {"steps": 500, "pause": 0.1, "seed": seed}) for seed in (1, 2)]
    with pytest.raises(BadInput, match=r"ann@example\.org has 2 runs .* 2 is what one person may have"):
        ann.submit("stroll", {"seed": 3})
    assert ann.submit("stroll", {"steps": 500, "pause": 0.1, "seed": 2}) == keys[1], "what is on its way may be asked for"
    Jobs(opened.home, person=BOB).submit("stroll", {"steps": 2, "seed": 4})
    Jobs(opened.home).submit("stroll", {"steps": 2, "seed": 5})  # a shell is not counted
    ann.cancel(keys[0])
    assert opened.ended(keys[0]).status == "cancelled"
    ann.submit("stroll", {"steps": 2, "seed": 3})
    ann.cancel(keys[1])


def test_a_person_has_so_much_of_the_store(opened, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_QUOTA_BYTES", "500")
    ann = Jobs(opened.home, person=ANN)
    key = ann.submit("stroll", {"steps": 2})
    opened.ended(key)
    with pytest.raises(BadInput, match=r"500 is what one person may have here\. Delete some"):
        ann.submit("stroll", {"steps": 3})
    ann.delete(key)
    assert opened.ended(ann.submit("stroll", {"steps": 3})).status == "done"


def test_only_who_asked_for_a_run_may_change_it(opened):
    ann, bob, shell = Jobs(opened.home, person=ANN), Jobs(opened.home, person=BOB), Jobs(opened.home)
    key = ann.submit("stroll", {"steps": 300, "pause": 0.1})
    for act in (bob.cancel, bob.delete, lambda one: bob.rename(one, "Mine")):
        with pytest.raises(BadInput, match=r"asked for by ann@example\.org"):
            act(key)
    bob.submit("stroll", {"steps": 300, "pause": 0.1})
    with pytest.raises(BadInput, match=r"asked for by bob@example\.org too: it is not yours alone to cancel"):
        ann.cancel(key)
    shell.cancel(key)
    assert opened.ended(key).status == "cancelled"
    shell._ask("stop")
    opened.until(lambda: opened.jobs.engine() is None)
    with pytest.raises(BadInput, match="not yours alone to delete"):
        bob.delete(key)  # nor without an engine
    shell.delete(key)


def test_an_engine_that_a_shell_started_is_renewed_before_a_stranger_uses_it(shop, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "json")
    shop.ended(shop.jobs.submit("stroll", {"steps": 1}))
    first = shop.jobs.engine()["pid"]
    monkeypatch.setenv("LANDSCAPE_OPEN", "127.0.0.1")
    ann = Jobs(shop.home, person=ANN)
    shop.ended(ann.submit("stroll", {"steps": 2}))
    assert ann.engine()["pid"] != first
