"""Jobs of a scheduler with several workers are divided among them, and nothing of the result shows it."""

from __future__ import annotations

import shutil
import signal
import time

import fields
import numpy as np
import psutil
import pytest
from clusters import Cluster
from elsewhere import Elsewhere

from landscape import ROOT, __version__, configuration
from landscape.errors import BadInput
from landscape.runs import parts
from landscape.runs.crew import JOB

IMPORTS = "landscape.catalog,landscape.recipes.spread"
LONG = {"points": 900, "pause": 0.005}


def values(shop, key: str) -> bytes:
    return shop.library.result(key, "history:field").values["train_loss"][0].tobytes()


def test_parts_go_to_other_workers_and_the_result_is_the_same(shop, cluster):
    key = cluster.jobs(shop).submit("field", LONG | {"marker": str(cluster.marker)})
    assert shop.ended(key, 40).status == "done"
    own, given = cluster.pids("own"), cluster.pids("part")
    assert len(own) == len(given) == 1
    assert own != given
    assert shop.library.attempts(key)[0]["pid"] == int(own.pop())
    sizes = [int(count) for _, count, _ in cluster.notes("part")]
    assert len(sizes) >= 2
    assert max(sizes) <= 0.3 / LONG["pause"]  # 0.2 s are asked for here, with what the measuring is off
    assert len(cluster.notes("made")) == 1  # what parts share came once
    assert values(shop, key) == fields.expected(LONG["points"])
    another = cluster.jobs(shop).submit("field", {"points": 200, "pause": 0.004, "marker": str(cluster.marker)})
    assert shop.ended(another, 40).status == "done"
    assert len(cluster.notes("made")) == len(cluster.pids("part"))  # other settings, the same random numbers


def test_all_workers_with_jobs_of_their_own_do_them_alone_and_none_waits(shop, cluster):
    jobs = cluster.jobs(shop)
    keys = [jobs.submit("field", {"points": 200, "seed": seed, "marker": str(cluster.marker)}) for seed in range(3)]
    for key in keys:
        assert shop.ended(key, 60).status == "done"
    assert len(cluster.pids("begun")) == 2  # both workers had jobs, not one of them all


def test_cancelling_stops_the_parts_of_others_too(shop, cluster):
    jobs = cluster.jobs(shop)
    key = jobs.submit("field", LONG | {"points": 3000, "fault": "endless", "marker": str(cluster.marker)})
    shop.until(lambda: len(cluster.notes("own")) >= 6)  # the other one has been given parts that would take a minute
    assert not cluster.notes("part")
    asked = time.monotonic()
    jobs.cancel(key)
    assert shop.ended(key, 5).status == "cancelled"
    assert time.monotonic() - asked < 2
    key = jobs.submit("field", {"points": 400, "seed": 3, "marker": str(cluster.marker)})
    assert shop.ended(key, 20).status == "done"
    assert cluster.pids("part")  # nobody is at work on the old parts any more


def test_a_worker_that_cannot_compute_a_part_is_left_out_and_the_job_goes_on(shop, cluster):
    given = LONG | {"points": 150, "fault": "error", "marker": str(cluster.marker)}
    key = cluster.jobs(shop).submit("field", given)
    assert shop.ended(key, 30).status == "done"
    assert not cluster.notes("part")
    assert len(shop.library.attempts(key)) == 1
    assert values(shop, key) == fields.expected(given["points"])


def test_a_helper_that_is_killed_loses_its_part_and_nothing_else(shop, cluster):
    given = LONG | {"fault": "kill", "marker": str(cluster.marker)}
    key = cluster.jobs(shop).submit("field", given)
    assert shop.ended(key, 60).status == "done"
    assert (cluster.marker / "killed").exists()
    assert len(shop.library.attempts(key)) == 1
    assert values(shop, key) == fields.expected(given["points"])


def test_a_job_whose_own_worker_is_killed_goes_on_from_what_it_saved(shop, cluster):
    given = LONG | {"points": 1000, "marker": str(cluster.marker)}
    key = cluster.jobs(shop).submit("field", given)
    shop.until(lambda: len(cluster.notes("part")) >= 3)
    psutil.Process(shop.library.attempts(key)[0]["pid"]).send_signal(signal.SIGKILL)
    assert shop.ended(key, 60).status == "done"
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "done"]
    (_, first), (_, second) = cluster.notes("begun")
    assert int(second) < int(first) == 1000
    assert values(shop, key) == fields.expected(given["points"])


def test_a_worker_of_another_version_does_not_help(shop, cluster, tmp_path):
    """It has come after the job began, or it would have been asked to compute it."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "landscape", other / "landscape", ignore=shutil.ignore_patterns("__pycache__"))
    init = other / "landscape" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{__version__}"', '"0.0.7"'))
    jobs = cluster.jobs(shop)
    key = jobs.submit("field", LONG | {"points": 20_000, "marker": str(cluster.marker)})
    shop.until(lambda: cluster.notes("part"))
    wrong = cluster.elsewhere.worker(path=other)
    log = cluster.elsewhere.folder / "dask.log"
    shop.until(lambda: f"Loss Valleys 0.0.7, not {__version__}" in log.read_text(), 60)
    jobs.cancel(key)
    assert shop.ended(key).status == "cancelled"
    cluster.elsewhere.end(wrong)
    assert len(cluster.pids("part")) == 1
    found, wanted = (np.frombuffer(each) for each in (values(shop, key), fields.expected(20_000)))
    assert (np.isnan(found) | (found == wanted)).all()


def test_all_workers_go_away_and_others_come(shop, tmp_path):
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.scheduler()
        gone = [elsewhere.worker() for _ in range(2)]
        cluster = Cluster(elsewhere, tmp_path)
        cluster.complete()
        key = cluster.jobs(shop).submit("field", LONG | {"points": 600, "marker": str(tmp_path)})
        shop.until(lambda: len(cluster.notes("own")) >= 2)
        for each in gone:
            elsewhere.end(each)
        elsewhere.worker()
        assert shop.ended(key, 40).status == "done"
        assert values(shop, key) == fields.expected(600)


def test_only_alike_workers_help_unless_told_otherwise(monkeypatch):
    own = parts.kind()
    assert parts.refusal(own, parts.ALIKE) == ""
    for name in parts.WORDS:
        there = own | {name: "other"}
        assert "not other" in parts.refusal(there, parts.ALIKE)
        assert bool(parts.refusal(there, parts.ANY)) == (name == "program")


def test_jobs_are_told_from_parts_by_their_names():
    from landscape.runs.others import PART

    assert not PART.startswith(JOB)
    assert not JOB.startswith(PART)


def test_a_setting_keeps_jobs_undivided(shop, cluster, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_SPREAD", "off")
    key = cluster.jobs(shop).submit("field", {"points": 150, "marker": str(cluster.marker)})
    assert shop.ended(key, 30).status == "done"
    assert not cluster.notes("part")
    monkeypatch.setenv("LANDSCAPE_SPREAD", "of")
    with pytest.raises(BadInput, match="Did you mean 'off'"):
        configuration.fingerprint()


NEEDED = {"steps": 30, "pause": 0.05}  # each walk takes a second and a half


def test_what_two_runs_need_is_computed_once(shop, cluster, undisturbed):
    keys = [cluster.jobs(shop).submit("pair", NEEDED | {"seeds": seeds}) for seeds in ((1, 2), (1, 3))]
    for key in keys:
        assert shop.ended(key, 40).status == "done"
    walks = {parent for key in keys for parent in shop.library.run(key).parents}
    assert [len(shop.library.attempts(walk)) for walk in walks] == 3 * [1]
    for key, seeds in zip(keys, ((1, 2), (1, 3)), strict=True):
        library, same = undisturbed("pair", **NEEDED | {"seeds": seeds})
        assert same == key
        found, expected = (one.result(key, "summary").values["difference"] for one in (shop.library, library))
        assert found == expected


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_who_waits_for_another_run_takes_over(shop, cluster, end):
    jobs = cluster.jobs(shop)
    first, second = (jobs.submit("pair", NEEDED | {"seeds": seeds}) for seeds in ((5, 6), (5, 7)))
    shop.until(lambda: all(shop.library.attempts(key) for key in (first, second)), 20)
    walk = shop.until(lambda: next(iter(set(shop.library.run(first).parents) & set(shop.library.run(second).parents)), None))
    (at_work,) = shop.until(lambda: shop.library.attempts(walk))
    owner = next(key for key in (first, second) if shop.library.attempts(key)[0]["pid"] == at_work["pid"])
    if end == "cancelled":
        jobs.cancel(owner)
    else:
        psutil.Process(at_work["pid"]).kill()
    assert shop.ended(second if owner == first else first, 40).status == "done"
    assert len(shop.library.attempts(walk)) == 2
    assert shop.ended(owner, 60).status == ("cancelled" if end == "cancelled" else "done")
