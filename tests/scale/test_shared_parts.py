"""Two jobs at a time that need the same part: it is computed once, and cancelling one of the two leaves it to the other."""

from __future__ import annotations

import os
import signal
import time

import pytest

from landscape.errors import BadInput
from landscape.runs.people import Person

IMPORTS = "landscape.catalog"
STEPS = {"steps": 60, "pause": 0.05}
ANN, BOB = Person("browser:ann", "ann"), Person("browser:bob", "bob")


@pytest.fixture
def both(shop, cluster):
    """``(ann's jobs, bob's)``, and what a test looks at."""
    return [type(shop.jobs)(shop.home, scheduler=cluster.address, person=person) for person in (ANN, BOB)]


def pair(*seeds: int) -> dict:
    return STEPS | {"seeds": seeds}


def part(shop, seed: int) -> str:
    return shop.until(lambda: next((run.key for run in shop.library.runs("stroll", children=True)
                                    if run.settings["seed"] == seed), None))


def at_work(shop, key: str) -> bool:
    return shop.library.run(key).status == "running"


def status(shop, key: str) -> str:
    return shop.library.run(key).status


def same(shop, undisturbed, *seeds: int) -> None:
    """The parts have the bits of walks that nobody disturbed."""
    for seed in seeds:
        library, key = undisturbed("stroll", steps=STEPS["steps"], seed=seed)
        expected = library.result(key, "history:walk").values["train_loss"][0].tolist()
        assert shop.walked(part(shop, seed)) == expected


def shared(shop, both) -> tuple[str, str, str]:
    """Ann's pair at work on the part that both need, Bob's waiting for it, and the part."""
    one = both[0].submit("pair", pair(7, 8))
    key = part(shop, 7)
    shop.until(lambda: shop.saved(key, 5))
    other = both[1].submit("pair", pair(7, 9))
    shop.until(lambda: at_work(shop, other))
    shop.until(lambda: key in shop.library.run(other).parents)
    return one, other, key


def test_the_one_that_computes_the_part_is_cancelled_and_the_other_goes_on_from_there(shop, both, undisturbed):
    one, other, key = shared(shop, both)
    before = len(shop.walked(key))
    asked = time.monotonic()
    both[0].cancel(one)
    assert shop.ended(one, 3).status == "cancelled"
    assert time.monotonic() - asked < 2
    shop.until(lambda: shop.saved(key, before + 5))
    assert at_work(shop, other)
    assert shop.ended(other, 30).status == "done"
    assert status(shop, one) == "cancelled"
    tried = shop.library.attempts(key)
    assert [each["outcome"] for each in tried] == ["cancelled", "done"]
    assert tried[0]["pid"] != tried[1]["pid"]
    assert tried[1]["ended"] - tried[1]["started"] < STEPS["steps"] * 2 * STEPS["pause"]
    same(shop, undisturbed, 7, 9)


def test_the_one_that_waits_is_cancelled_and_the_other_does_not_notice(shop, both, undisturbed):
    one, other, key = shared(shop, both)
    workers = {each["pid"] for run in (one, other) for each in shop.library.attempts(run)}
    both[1].cancel(other)
    assert shop.ended(other, 3).status == "cancelled"
    assert shop.ended(one, 30).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["done"]
    for pid in workers:
        os.kill(pid, 0)  # it heard; nobody had to end its worker
    same(shop, undisturbed, 7, 8)


def test_a_worker_that_does_not_hear_is_ended_and_the_part_goes_on_in_the_other(shop, both, undisturbed):
    one, other, key = shared(shop, both)
    deaf = shop.library.attempts(one)[-1]["pid"]
    os.kill(deaf, signal.SIGSTOP)
    before = len(shop.walked(key))
    both[0].cancel(one)
    assert shop.ended(one, 5).status == "cancelled"
    assert shop.ended(other, 40).status == "done"
    assert len(shop.walked(key)) == STEPS["steps"] > before
    assert status(shop, one) == "cancelled"
    same(shop, undisturbed, 7, 9)


def test_a_run_that_is_a_part_of_another_s_is_cancelled_by_who_asked_for_it_and_goes_on_as_a_part(shop, both, undisturbed):
    alone = both[0].submit("stroll", STEPS | {"seed": 7})
    shop.until(lambda: shop.saved(alone, 5))
    other = both[1].submit("pair", pair(7, 9))
    shop.until(lambda: alone in shop.library.run(other).parents)
    both[0].cancel(alone)
    assert shop.ended(other, 30).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(alone)] == ["cancelled", "done"]
    assert alone not in [run.key for run in shop.library.runs()]  # nobody asks for it itself any more
    assert shop.library.asked_by(alone) == []
    same(shop, undisturbed, 7, 9)


def test_a_run_that_another_one_computes_as_its_part_is_cancelled_and_only_the_wish_ends(shop, both, undisturbed):
    other = both[1].submit("pair", pair(7, 9))
    key = part(shop, 7)
    shop.until(lambda: shop.saved(key, 3))
    assert both[0].submit("stroll", STEPS | {"seed": 7}) == key
    shop.until(lambda: key in [run.key for run in shop.library.runs()])
    both[0].cancel(key)
    assert key not in [run.key for run in shop.library.runs()]
    assert f"part of {other}" in shop.library.run(key).message
    with pytest.raises(BadInput, match=f"as a part of {other}. Cancel that instead"):
        both[0].cancel(key)
    assert shop.ended(other, 30).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["done"]
    same(shop, undisturbed, 7, 9)


def test_a_part_that_somebody_waits_for_by_itself_outlives_the_run_that_computed_it(shop, both, undisturbed):
    other = both[1].submit("pair", pair(7, 9))
    key = part(shop, 7)
    shop.until(lambda: shop.saved(key, 3))
    both[0].submit("stroll", STEPS | {"seed": 7})
    both[1].cancel(other)
    assert shop.ended(other, 3).status == "cancelled"
    assert shop.ended(key, 30).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["cancelled", "done"]
    same(shop, undisturbed, 7)


def test_both_are_cancelled_and_nothing_is_left_unfinished(shop, both):
    one, other, key = shared(shop, both)
    both[0].cancel(one)
    both[1].cancel(other)
    for run in (one, other):
        assert shop.ended(run, 5).status == "cancelled"
    shop.until(lambda: status(shop, key) == "cancelled", 5)
    assert not [run.key for run in shop.library.runs(children=True) if run.status in ("queued", "running")]
