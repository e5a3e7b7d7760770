"""Stores of older and newer versions, and a worker with another version of the program."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from elsewhere import Elsewhere
from sameness import assert_same

from landscape import ROOT, __version__
from landscape.errors import StoreError
from landscape.runs import Jobs, Library, schema
from landscape.runs.local import compute_here

SLOW = {"steps": 20, "pause": 0.1}


def interrupted(shop) -> str:
    key = shop.jobs.submit("stroll", SLOW)
    shop.until(lambda: shop.saved(key, 3))
    os.kill(shop.jobs.engine()["pid"], signal.SIGKILL)
    shop.until(lambda: shop.jobs.engine() is None)
    return key


def test_a_run_that_an_older_version_left_goes_on(shop, undisturbed):
    key = interrupted(shop)
    saved = shop.walked(key)
    db = sqlite3.connect(shop.home / schema.FILE)
    for step in ("DROP INDEX parents_by_parent", "ALTER TABLE runs DROP COLUMN asked", "PRAGMA user_version = 1"):
        db.execute(step)
    db.commit()
    db.close()
    assert Jobs(shop.home).resume()
    assert shop.ended(key).status == "done"
    assert shop.walked(key)[: len(saved)] == saved
    assert_same(shop.library, undisturbed(**SLOW)[0], key)
    assert (shop.home / f"{schema.FILE}.v1").exists()


def test_a_store_of_a_newer_version_is_left_alone_and_said_everywhere(shop, monkeypatch):
    from streamlit.testing.v1 import AppTest

    key, _, _ = compute_here("stroll", {}, shop.home)
    path = shop.home / schema.FILE
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    db.commit()
    db.close()
    before, said = path.read_bytes(), f"schema version {schema.VERSION + 1}.*update Loss Valleys"
    for act in (lambda: shop.jobs.submit("stroll", {"seed": 1}), lambda: shop.jobs.delete(key), shop.jobs.resume):
        with pytest.raises(StoreError, match=said):
            act()
    done = subprocess.run([sys.executable, "-m", "landscape", "runs", "--home", str(shop.home)], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 1
    assert "update Loss Valleys" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("LANDSCAPE_HOME", str(shop.home))
    page = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=30).run()
    assert any("update Loss Valleys" in error.value for error in page.error), page
    assert not page.exception
    assert path.read_bytes() == before


def test_a_run_of_a_recipe_that_computes_something_else_now_is_not_mixed(shop, tmp_path, monkeypatch):
    """Asked for by another version: its first half would be of one version and its second of another."""
    key = interrupted(shop)
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "later.py").write_text("from toys import RECIPES\nRECIPES['stroll'].defaults['version'] = 2\n")
    monkeypatch.setenv("PYTHONPATH", f"{newer}{os.pathsep}{os.environ['PYTHONPATH']}")
    monkeypatch.setenv("LANDSCAPE_RECIPES", "later:RECIPES")
    assert Jobs(shop.home).resume()
    run = shop.ended(key)
    assert run.status == "failed"
    assert "asked for by a version of Loss Valleys whose results differ" in run.message
    assert len(shop.walked(key)) >= 3  # what was saved is kept


@pytest.fixture
def elsewhere(tmp_path):
    with Elsewhere(tmp_path) as made:
        yield made


def test_a_worker_with_another_version_is_refused_and_the_right_one_computes(shop, elsewhere, tmp_path, undisturbed):
    other = tmp_path / "other"
    shutil.copytree(ROOT / "landscape", other / "landscape", ignore=shutil.ignore_patterns("__pycache__"))
    init = other / "landscape" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{__version__}"', '"0.0.7"'))
    elsewhere.scheduler()
    wrong = elsewhere.worker(path=other)
    jobs = Jobs(shop.home, scheduler=elsewhere.address)
    key = jobs.submit("stroll", {})
    run = shop.ended(key, 30)
    assert run.status == "failed"
    assert f"has Loss Valleys 0.0.7, the engine {__version__}. Install one version" in run.message
    assert Library(shop.home).names(key) == []
    elsewhere.end(wrong)
    elsewhere.worker()
    jobs.submit("stroll", {})
    assert shop.ended(key, 30).status == "done"
    assert_same(shop.library, undisturbed()[0], key)
