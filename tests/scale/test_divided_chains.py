"""Chains in several blocks, divided among helpers that are played: every result of the run as undivided, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from played import Company
from sameness import assert_same

from landscape import catalog
from landscape.errors import Cancelled, Damaged, Diverged
from landscape.posteriors import method
from landscape.recipes import spread as spreading
from landscape.recipes.inferred import chains, draws
from landscape.runs import Library, context, location, parts
from landscape.runs.context import Reader, run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.store import Store

ELSEWHERE = "landscape.recipes.inferred.chains:elsewhere"
RUN = {"task": "moons", "epochs": 16, "seeds": (0, 1), "widths": (8, 8), "curve_epochs": 8, "grid": 9, "members": 2,
       "subspace": "pca", "methods": ("ess", "hmc", "sgld", "metropolis"), "draws": 10, "weight_draws": 3, "chains": 18,
       "warmup": 10, "weight_warmup": 4, "side_draws": 8, "temperatures": (), "prior_stds": (), "compared": (),
       "reference": None, "repeats": 2}
LITTLE = RUN | {"methods": ("ess",), "repeats": 1, "chains": 40}
BLOCKS = 3


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Whatever is there is divided at once."""
    monkeypatch.setattr(spreading, "WORTH", 1e-9)
    monkeypatch.setattr(spreading, "LOOK", 0.0)
    monkeypatch.setattr(draws, "SAVE_DRAWS", 0.0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run with all blocks one after the other: its library."""
    home = tmp_path_factory.mktemp("alone")
    for settings in (RUN, LITTLE):
        assert compute_here("posterior", settings, home)[1] == "done"
    return Library(home, gallery=None)


def together(home, settings, company, monkeypatch) -> tuple[Library, str, tuple]:
    """The same with this company: its library, key and how it ended."""
    wanted = identify("posterior", settings)
    with Store(home) as store:
        monkeypatch.setattr(parts, "reader", lambda told: Reader(store, told[0]))
        store.enter(**wanted.row())
        ended = run_job(store, wanted.key, lambda spent: company)
    return Library(home, gallery=None), wanted.key, ended


def blocks_given(company) -> int:
    return sum(len(each.given) for each in company.made if each.work_name == ELSEWHERE)


class Noted(Company):
    """Remembers which work its helpers are for."""

    def helpers(self, work):
        made = super().helpers(work)
        made.work_name = parts.path_of(work.there)
        return made


@pytest.mark.parametrize(("settings", "options"), [
    (RUN, {"count": 7}), (LITTLE, {"count": 1}), (LITTLE, {"count": 2, "lost": (1, 2)}),
    (LITTLE, {"count": 1, "lost": range(100)})], ids=["four methods", "one helper", "lost parts", "all lost"])
def test_every_result_is_the_same_whoever_draws_the_blocks(alone, tmp_path, monkeypatch, settings, options):
    company = Noted(**options)
    library, key, ended = together(tmp_path, settings, company, monkeypatch)
    assert ended[0] == "done", ended
    assert blocks_given(company) >= (8 if settings is RUN else 1)
    assert_same(library, alone, key)
    samples, count = library.result(key, "samples:ess"), settings["chains"]
    assert (samples.info["chains"], samples.info["draws"]) == (count, 10)
    assert f"{count} chains in {-(-count // 16)} blocks" in " ".join(samples.info["said"])


def test_draws_are_those_of_the_method_with_all_its_blocks(alone):
    """What the recipe divides is what ``method.infer`` gives in one call."""
    from landscape.recipes.inferred.ground import ground_of
    from landscape.recipes.inferred.labels import labels

    made = identify("posterior", RUN)
    with Store(alone.home) as store:
        ground = ground_of(made.settings, Reader(store, made.key))
        kept = Reader(store, made.key).load_weights("draws-ess")["z"]
    label = labels(made.settings)[0]
    found = method.infer("ess", ground.given(label, (0,)), generator=label.generator(made.settings, 0),
                         **label.options(made.settings))
    assert found.flat.numpy().tobytes() == kept.tobytes()


def test_what_was_drawn_before_an_accident_is_not_drawn_again(alone, tmp_path, monkeypatch):
    drawn, kept = [], []
    exact, save = method.infer_block, context.Context.save_weights

    def drawing(name, given, part, **options):
        drawn.append(part.number)
        return exact(name, given, part, **options)

    def saving(self, name, arrays, metadata=None):
        save(self, name, arrays, metadata)
        kept.append(name)
        if name == "state-chains-ess-0-1":
            raise ConnectionError("the engine is gone")  # which ends the job and leaves the run unfinished

    monkeypatch.setattr(method, "infer_block", drawing)
    monkeypatch.setattr(context.Context, "save_weights", saving)
    with pytest.raises(ConnectionError):
        compute_here("posterior", LITTLE, tmp_path)
    assert drawn == [0, 1]
    monkeypatch.setattr(context.Context, "save_weights", save)
    key, status, message = compute_here("posterior", LITTLE, tmp_path)
    assert status == "done", message
    assert drawn == [0, 1, 2]
    library = Library(tmp_path, gallery=None)
    assert_same(library, alone, key)
    assert not [name for name in library.weight_names(key) if name.startswith("state-")]


def test_progress_and_pictures_on_the_way_count_all_chains(tmp_path, monkeypatch):
    shares, shown = [], []
    told, save = draws.Live.told, context.Context.save

    def telling(self, done, total):
        shares.append(done / total)
        told(self, done, total)

    def saving(self, name, result):
        if name == "samples:ess":
            shown.append(result)
        save(self, name, result)

    monkeypatch.setattr(draws.Live, "told", telling)
    monkeypatch.setattr(context.Context, "save", saving)
    _, _, ended = together(tmp_path, LITTLE, Noted(count=1, lost=(1,)), monkeypatch)
    assert ended[0] == "done", ended
    assert shares == sorted(shares)
    assert shares[-1] <= 1.0
    live = [each.info["chains"] for each in shown if not each.info["final"]]
    assert set(live) <= {14, 27, 28, 40}
    assert max(live) > 14
    for each in shown:
        assert len(np.unique(each.chain)) == min(each.info["chains"], len(each.plane))


def test_it_can_be_cancelled_while_blocks_are_away(tmp_path, monkeypatch):
    told = draws.Live.told

    def asked(self, done, total):
        if done / total > 0.5:
            raise Cancelled("enough")
        told(self, done, total)

    monkeypatch.setattr(draws.Live, "told", asked)
    company = Noted(count=1, lost=range(100))
    _, _, ended = together(tmp_path, LITTLE, company, monkeypatch)
    assert ended[0] == "cancelled"
    assert blocks_given(company)
    assert not any(each.out for each in company.made)


@pytest.mark.parametrize("helped", [False, True])
def test_the_first_block_that_fails_is_told_wherever_it_was_drawn(tmp_path, monkeypatch, helped):
    exact = method.infer_block

    def failing(name, given, part, **options):
        found = exact(name, given, part, **options)
        if part.number in (1, 2):
            raise Diverged(f"{part.named} were lost.")
        return found

    monkeypatch.setattr(method, "infer_block", failing)
    company = Noted(count=2)
    if helped:
        library, key, ended = together(tmp_path, LITTLE, company, monkeypatch)
        assert ended[0] == "done", ended
        assert blocks_given(company) == BLOCKS - 1
    else:
        key, status, _ = compute_here("posterior", LITTLE, tmp_path)
        library = Library(tmp_path, gallery=None)
        assert status == "done"
    assert library.result(key, "row:ess").values["failed"] == "Chains 15 to 27 were lost."


def test_large_draws_go_by_the_location_and_leave_nothing_there(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(chains, "DIRECT", 0)
    company = Noted()
    library, key, _ = together(tmp_path / "without", LITTLE, company, monkeypatch)
    assert not blocks_given(company)  # too much for the scheduler
    assert_same(library, alone, key)
    place, left, lost = tmp_path / "place", [], []
    place.mkdir()
    passage = parts.Passage(place.as_uri(), "0" * 16)
    monkeypatch.setattr(context.Context, "passage", lambda self: passage)
    leave, take = parts.Passage.leave, parts.Passage.take
    monkeypatch.setattr(parts.Passage, "leave", lambda *args: left.append(leave(*args)) or left[-1])

    def taken(self, note):
        if not lost:
            lost.append(note)
            raise Damaged("gone")
        return take(self, note)

    monkeypatch.setattr(parts.Passage, "take", taken)
    company = Noted()
    library, key, ended = together(tmp_path / "with", LITTLE, company, monkeypatch)
    assert ended[0] == "done", ended
    assert len(left) == blocks_given(company) > len(lost) == 1
    assert_same(library, alone, key)
    assert [path.name for path in place.rglob("*") if path.is_file()] == [location.MARK]


def test_up_to_a_block_nobody_is_asked(tmp_path, monkeypatch):
    few, company = LITTLE | {"chains": catalog.METHODS["ess"].defaults["block"]}, Noted()
    _, _, ended = together(tmp_path, few, company, monkeypatch)
    assert ended[0] == "done", ended
    assert not blocks_given(company)


def test_in_lower_precision_nobody_is_asked_and_chains_still_go_in_blocks(tmp_path, monkeypatch):
    company = Noted()
    library, key, ended = together(tmp_path, LITTLE | {"precision": "bfloat16"}, company, monkeypatch)
    assert ended[0] == "done", ended
    assert not blocks_given(company)
    assert f"40 chains in {BLOCKS} blocks" in " ".join(library.result(key, "samples:ess").info["said"])
    assert library.result(key, "samples:ess").info["rounding"]["points"] == 32
