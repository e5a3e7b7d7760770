"""What a run costs is said before it starts: every recipe is counted, long runs are asked about."""

import io
import os
import pty
import subprocess
import sys

import pytest

from landscape import catalog
from landscape.__main__ import main
from landscape.errors import BadInput
from landscape.recipes import bill, costs, probing
from landscape.runs import Library, estimates
from landscape.runs.clicks import Opener
from landscape.settings import parse

NOT_COUNTED = ("network",)  # one network, computed already
QUICK = {"task": "moons", "epochs": 12, "widths": (8, 8)}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Timings of a few thousandths of a second."""
    monkeypatch.setattr(probing, "BUDGET", 0.004)
    monkeypatch.setattr(bill, "_probes", type(bill._probes)())
    probing.account_seconds.cache_clear()


def test_every_recipe_counts_its_costs():
    for name, row in catalog.RECIPES.items():
        if name not in NOT_COUNTED and row.target.startswith("landscape."):
            assert callable(catalog.Row("", "", row.defaults["costs"]).load()), name
            assert estimates.known(name)
    assert not estimates.known("network")


@pytest.mark.parametrize(("recipe", "given"), [
    ("training", {}), ("curves", {}), ("valleys", {}), ("walk", {}), ("branches", {}), ("averaging", {}),
    ("posterior", {"methods": tuple(n for n, r in catalog.METHODS.items() if n != "laplace_kronecker"), "reference": None}),
    ("calibration", {"sources": ("sgd", "swag", "ensemble", "dropout")})])
def test_costs_are_counted_and_timed(recipe, given):
    found = costs.estimate(recipe, parse(recipe, QUICK | given))
    assert found["seconds"] == pytest.approx(sum(found["parts"].values()))
    assert all(seconds > 0 for seconds in found["parts"].values())
    assert found["flops"] > 0
    assert found["memory"] > 50e6  # the program itself
    assert found["disk"] > 0
    assert estimates.sentence(found).endswith("on this machine.")


def test_counts_are_those_of_the_run(shop):
    s = parse("valleys", QUICK | {"picture": "exact", "grid": 9, "curve_epochs": 4})
    found = costs.estimate("valleys", s)
    assert found["steps"] == (12 + 4) * 4  # 200 examples, 50 a step
    assert found["disk"] == 4 * (2 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2) * (3 + 2 * 3)  # networks, points of curves
    key = shop.computed("valleys", **s.model_dump())
    summary = shop.library.result(key, "summary").values
    assert found["evaluations"] == pytest.approx(summary["evaluations"], rel=0.2)  # the planes' shapes are not known before


def test_more_work_costs_more_and_what_is_there_costs_nothing():
    exact = QUICK | {"picture": "exact"}
    small, large = (costs.estimate("valleys", parse("valleys", exact | {"grid": grid})) for grid in (9, 65))
    assert large["parts"]["training"] == small["parts"]["training"]  # timed once
    assert large["evaluations"] - small["evaluations"] == pytest.approx(3 * costs.ASPECT * (65**2 - 9**2))
    assert large["parts"]["surfaces"] > small["parts"]["surfaces"]
    s = parse("valleys", QUICK)
    left = costs.estimate("valleys", s, there=lambda recipe, own: recipe == "training")
    assert left["there"] == ["training"]
    assert "training" not in left["parts"]
    assert "curves" in left["parts"]
    assert "(training there already)" in estimates.sentence(left)


def test_files_are_tried_as_they_would_be_opened(workshop, five, allowed):
    given = {"network": "own_models:small", "grid": 7, "line_points": 9, "pair_points": 5}
    _, s, key = workshop.inspect(five[:2], **given)
    opener, three = Opener(workshop.home), parse("inspect", s.model_dump() | {"files": tuple(five[:3]), "digests": ()})
    assert opener.estimate("inspect", s.model_dump()) is None  # done
    found = opener.estimate("inspect", three.model_dump())
    assert {"report", "pairs", "surface:plane"} <= set(found["parts"])
    assert found["evaluations"] >= 3 + 1 + 3 + 3 * 3  # files, average, their pairs
    around = opener.estimate("around", parse("around", {"source": key, "grid": 9, "draws": 20}).model_dump())
    assert around["evaluations"] > 9**2
    missing = parse("inspect", s.model_dump() | {"network": "own_models:nothing"})
    with pytest.raises(BadInput):
        opener.estimate("inspect", missing.model_dump())


def test_what_is_done_has_no_costs(shop):
    shop.computed("training", **QUICK | {"seeds": (0, 1)})
    opener = Opener(shop.home)
    assert opener.estimate("training", parse("training", QUICK | {"seeds": (0, 1)}).model_dump()) is None  # done
    assert opener.estimate("training", parse("training", QUICK | {"seeds": (0, 2)}).model_dump())["steps"] == 48


def test_the_limit(monkeypatch):
    found = {"seconds": 1801.0, "parts": {"training": 1700.0, "surfaces": 101.0}}
    assert estimates.too_long(found)
    assert "training 28 minutes" in estimates.question(found)
    monkeypatch.setenv("LANDSCAPE_ASK_ABOVE", "31")
    assert not estimates.too_long(found)
    for wrong in ("soon", "-1", "nan"):
        monkeypatch.setenv("LANDSCAPE_ASK_ABOVE", wrong)
        with pytest.raises(BadInput, match="number of minutes"):
            estimates.limit()


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "less than a second"), (4.44, "4.4 seconds"), (1.0, "1 second"),
                                                (600, "10 minutes"), (7200, "2 hours"), (864000, "10.0 days")])
def test_times_are_told_as_roughly_as_they_are_known(seconds, words):
    assert estimates.in_words(seconds) == words


RUN = ("landscape", "run", "training", "--set", "task=moons", "--set", "epochs=2")


def shell(monkeypatch, *words) -> int:
    """The exit status of a command in this process, which has no terminal."""
    monkeypatch.setattr(sys, "argv", [*RUN, *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_shell_refuses_and_is_told_to_go_ahead(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))
    monkeypatch.setenv("LANDSCAPE_ASK_ABOVE", "0")
    assert shell(monkeypatch) == 1
    said = capsys.readouterr().err
    assert "on this machine." in said
    assert "give --yes to start it" in said
    assert not Library(tmp_path, gallery=None).runs()
    assert shell(monkeypatch, "--yes") == 0
    capsys.readouterr()
    assert shell(monkeypatch) == 0  # done: nothing to ask about
    assert "on this machine" not in capsys.readouterr().err


def test_a_terminal_is_asked(tmp_path):
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    environment = {**os.environ, "LANDSCAPE_HOME": str(tmp_path), "LANDSCAPE_ASK_ABOVE": "0"}
    asked = subprocess.run([sys.executable, "-m", *RUN], capture_output=True, text=True, timeout=60, env=environment,
                           stdin=theirs, check=False)
    assert asked.returncode == 1
    assert "Start it? [y/N]" in asked.stderr
    assert not Library(tmp_path, gallery=None).runs()
    for end in (ours, theirs):
        os.close(end)
