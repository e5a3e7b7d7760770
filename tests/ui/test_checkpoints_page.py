"""The Checkpoints page: empty, with a form that is filled, and with every number of files; never with torch."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from landscape import ROOT, catalog
from landscape.errors import BadInput
from landscape.results import Components, Mark, Matrix, Profile, Summary, Surface
from landscape.runs import Library, archive, uploads
from landscape.runs.records import encode
from landscape.runs.store import Store
from landscape.ui import checkpoints, people, preview
from landscape.ui.report import differing, fit, key_lines, table

TEST = ("test_nll", "test_error")
KEYS = {1: "one0000000000001", 2: "two0000000000002", 3: "three00000000003", 5: "five000000000005", 50: "fifty00000000050"}


SEEN = {  # what a page says of so many files
    1: ("random plane", "two random directions"),
    2: ("Between the two networks", "a barrier of 2", "99.0%"),
    3: ("through the three", "Every pair", "average of the weights", "3.21%"),
    5: ("principal components", "random walk", "Every pair", "average of the weights"),
    50: ("principal components", "Every pair"),
}


def make_surface(names: tuple[str, ...]) -> Surface:
    x = np.linspace(-5, 5, 21)
    bowl = 0.2 + 0.05 * (x[:, None] ** 2 + x[None, :] ** 2)
    marks = tuple(Mark(name, "optimum", float(np.cos(i)), float(np.sin(i)), dict.fromkeys(TEST, 0.2))
                  for i, name in enumerate(names))
    return Surface((x, x), {m: bowl.copy() for m in TEST}, np.ones((21, 21), bool), marks, None, {
        "title": "Plane", "angle": 88.0, "anchor_error": dict.fromkeys(TEST, 1e-8), "data": {"test": 397}, "final": True,
        "batchnorm": "none", "evaluations": 441, "cells": 441, "not_finite": 0, "cap": dict.fromkeys(TEST, 2.0)})


def make_profile(top: float) -> Profile:
    t = np.linspace(0, 1, 21)
    return Profile("segment", t, 10 * t, {m: 0.2 + top * np.sin(np.pi * t) for m in TEST})


def make_components(names: tuple[str, ...]) -> Components:
    t = np.linspace(0, 1, len(names))
    z = np.stack([10 * t - 5, np.sin(np.pi * t)], axis=1)
    return Components(names, z, np.array([0.9, 0.05]), 0.1 * t, np.array([0.6, 0.2]), z * [1, 3])


def make_results(names: tuple[str, ...]) -> dict:
    """What a run with these files holds, by the names and in the forms of ``recipes.inspect``."""
    n = len(names)
    nothing = {kind: {} for kind in ("missing", "unexpected", "mismatched", "not_finite", "nearest")}
    files = [nothing | {"file": name, "parameters": 650, "nll": 0.3 + 0.01 * i, "error": 0.05, "usable": True,
                        "notes": ["Taken from the entry 'state_dict'."]} for i, name in enumerate(names)]
    found = {"report": Summary({
        "network": "my_networks:digits", "parameters": 650, "loss": "cross-entropy", "kind": "classification",
        "judged": "the 397 test examples of mine.npz", "chance": {"nll": 2.3, "error": 0.9}, "files": files}),
        "samples": Summary({"x": np.zeros((4, 1, 8, 8), np.float32), "targets": ["0", "1", "2", "3"], "view": "image",
                            "said": "The network sees numbers from -0.75 to 1.75."})}
    if n == 1:
        found |= {"surface:random": make_surface(names)} | {f"profile:line {k}": make_profile(1.0 / k) for k in (1, 2)}
    if n == 2:
        found |= {"profile:line": make_profile(2.0), "profile:matched": make_profile(0.25)}
    if n == 3:
        found["surface:plane"] = make_surface(names)
    if n > 3:
        found["surface:pca"] = make_surface(names[:12])
    if n >= 2:
        far = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :]).astype(float)
        found["matrix"] = Matrix(names, {"distance": far, "barrier": far / 10, "agreement": 1 - far / 100})
        found["average"] = Summary({"nll": 0.21, "error": 0.0321, "batchnorm": "none"})
    if n >= 3:
        found["components"] = make_components(names)
    return found


def fill(home, key: str, results: dict, files: tuple[str, ...]) -> None:
    with Store(home) as store:
        store.enter(key, "inspect", f"Checkpoints · {files[0]}", json.dumps({"files": files, "data": "digits"}))
        store.begin(key, "here", 1)
        for name, result in results.items():
            store.save(key, name, *encode(result))
        store.finish(key, "done")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one finished run for each number of files."""
    home = tmp_path_factory.mktemp("inspected")
    for n, key in KEYS.items():
        names = tuple(f"epoch-{i:02d}.pt" for i in range(1, n + 1))
        fill(home, key, make_results(names), names)
    return home


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A page on a store with nothing in it, and no gallery."""
    for name in ("LANDSCAPE_ROOTS", "LANDSCAPE_FACTORIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(archive.Gallery, "runs", lambda self, children=False: [])
    return tmp_path


def page(**query) -> AppTest:
    app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    app = app.switch_page("../../pages/checkpoints.py").run()
    assert not app.exception, app.exception
    return app


def said(app: AppTest) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "warning", "error", "info")
    return "\n".join([*(str(e.value) for kind in kinds for e in getattr(app, kind)),
                      *(e.proto.body for e in app.get("html") if "<style" not in e.proto.body)])


def test_the_empty_page_asks_for_files_and_nothing_else(empty):
    app = page()
    assert not app.error
    assert app.button(key="open-button").disabled
    assert app.selectbox(key="network-kind").options == [checkpoints.KINDS["auto"], checkpoints.KINDS["program"]]
    assert app.text_area(key="paths").disabled
    assert "LANDSCAPE_ROOTS" in said(app)
    assert "landscape-examples" in said(app), "samples of the data are shown before anything is opened"


def test_only_what_is_possible_here_is_offered(empty, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "my_networks, other.models")
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(empty))
    app = page()
    assert checkpoints.KINDS["factory"] in app.selectbox(key="network-kind").options
    assert not app.text_area(key="paths").disabled
    app.selectbox(key="network-kind").set_value("factory").run()
    assert "my_networks, other.models" in app.text_input(key="factory").proto.help
    app.text_area(key="paths").set_value("a.pt\n\n  b.pt  \n").run()
    assert not app.button(key="open-button").disabled
    assert "Two files" in said(app)
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: object())
    assert {"timm", "transformers"} <= set(checkpoints.offered())


def test_an_address_fills_the_form(empty, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_FACTORIES", "my_networks")
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(empty))
    app = page(files="a.pt,b.pt", network="my_networks:digits", data="digits", normalisation="0.3;0.4", grid="21")
    assert app.text_area(key="paths").value == "a.pt\nb.pt"
    assert app.text_input(key="factory").value == "my_networks:digits"
    assert app.selectbox(key="data").value == "digits"
    assert app.text_input(key="normalisation-own").value == "0.3;0.4"
    assert app.text_input(key="more-grid").value == "21"


def test_every_setting_has_its_place(empty):
    app = page()
    fields = set(catalog.Row("", "", catalog.RECIPES["inspect"].defaults["settings"]).load().model_fields)
    drawn = {e.key.removeprefix("more-") for kind in ("text_input", "selectbox") for e in getattr(app, kind)
             if (e.key or "").startswith("more-")}
    assert drawn == fields - set(checkpoints.FRONT) - set(checkpoints.HIDDEN)


def test_a_file_that_may_not_be_read_is_said_where_the_button_is(empty, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(empty / "allowed"))
    app = page()
    app.text_area(key="paths").set_value("/etc/passwd").run()
    app.button(key="open-button").click().run()
    assert not app.exception
    assert any("LANDSCAPE_ROOTS" in error.value for error in app.error)
    assert "run" not in app.query_params


def test_normalisation_and_channels_are_shown_on_the_samples(empty):
    folder = empty / "data"
    folder.mkdir()
    x = np.zeros((40, 8, 8, 3), np.uint8)
    x[..., 0] = np.random.default_rng(0).integers(200, 255, (40, 8, 8))  # red
    np.savez(folder / "red.npz", x=x, y=np.arange(40) % 2)
    app = page(data="file:red.npz")
    assert app.selectbox(key="channels").value == "RGB"
    assert "(values as" in said(app) or "The network receives numbers" in said(app)
    app.selectbox(key="normalisation").set_value("unit").run()
    assert "from 0 to 1" in said(app)
    before = said(app)
    app.selectbox(key="channels").set_value("BGR").run()
    assert not app.exception
    assert said(app) != before, "the pictures change with the order of the channels"
    app.selectbox(key="normalisation").set_value("own").run()
    app.text_input(key="normalisation-own").set_value("0.5;nonsense").run()
    assert any("MEANS;DEVIATIONS" in warning.value for warning in app.warning)


def test_large_data_are_not_read_by_the_page(empty, monkeypatch):
    monkeypatch.setattr(preview, "SMALL", 100)
    (empty / "data").mkdir()
    np.savez(empty / "data/mine.npz", x=np.zeros((40, 4), np.float32), y=np.arange(40) % 2)
    app = page(data="file:mine.npz")
    assert not app.error
    assert "landscape-examples" not in said(app)


def test_settings_name_the_files_that_were_kept(tmp_path, monkeypatch):
    class Dropped(io.BytesIO):
        def __init__(self, name, data):
            super().__init__(data)
            self.name = name

    library, here = Library(tmp_path / "home"), tmp_path / "b.pt"
    here.write_bytes(b"four")
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(tmp_path))
    files = {"dropped": [Dropped("../a.pt", b"one"), Dropped("a.pt", b"two")], "paths": [str(here)], "kept": ["0123abcd"]}
    files["dropped"][0].read()  # as after a first click
    program = Dropped("net.pt2", b"three")
    given = checkpoints.saved(library, files, {"network": "program:", "program": program, "data": "digits"})
    kept = given["files"]
    assert [path.rsplit("/", 1)[-1] for path in kept[:2]] == ["a.pt", "a.pt"]
    assert [Path(path).read_bytes() for path in kept[:2]] == [b"one", b"two"]
    assert kept[2:] == (str(here), "run:0123abcd")
    hashed = [hashlib.sha256(data).hexdigest() for data in (b"one", b"two", b"four")]
    assert given["digests"] == (*hashed, "0123abcd"), "dropped files need not lie below a root"
    assert given["network"].startswith("program:/")
    assert "program" not in given
    with pytest.raises(BadInput, match="not named yet"):
        checkpoints.saved(library, files, {"network": "factory:", "data": "digits"})
    assert not list(library.home.glob("*.sqlite*")), "a page writes files, never the store"


@pytest.mark.parametrize("n", KEYS)
def test_every_number_of_files_has_its_page(store, monkeypatch, n):
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    app = page(run=KEYS[n])
    assert not app.error, [e.value for e in app.error]
    text = said(app)
    for part in ("Report", "650 parameters", "epoch-01.pt", "all match", "397 test examples", "5.00%", "entry 'state_dict'"):
        assert part in text, part
    for part in SEEN[n]:
        assert part in text, part
    if n in (1, 3, 5, 50):
        assert "anchor error" in text.lower(), "every surface says how true it is"
    assert app.title[0].value == "Checkpoints · epoch-01.pt"


def test_the_pairs_have_a_switch(store, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    app = page(run=KEYS[5])
    (switch,) = [e for e in app.get("button_group") if e.key == "pairs"]
    assert [option.content for option in switch.proto.options] == ["distance", "barrier", "agreement"]
    app.toggle(key="pairs-sorted").set_value(True).run()
    assert not app.exception


def test_runs_of_before_are_listed(store, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    app = page()
    assert "Opened before" in said(app)
    assert "Checkpoints · epoch-01.pt" in said(app)


def test_dropped_files_that_no_run_uses_can_be_removed(tmp_path, monkeypatch):
    used, unused = (uploads.keep(tmp_path, "net.pt", io.BytesIO(bytes([i]) * 100)).path for i in range(2))
    for old in (used, unused):
        os.utime(old, (1, 1))
    fill(tmp_path, KEYS[1], make_results(("net.pt",)), (str(used),))
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))
    app = page()
    assert "2 dropped files kept in the store, 200 bytes" in said(app)
    app.button(key="tidy").click().run()
    assert not app.exception
    assert uploads.kept(tmp_path) == [used]


def test_an_unknown_run_is_answered_with_a_way_back(store, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    app = page(run=KEYS[1][:-1] + "x")
    assert KEYS[1] in app.error[0].value


def test_better_preparation_is_one_click_away(store, tmp_path, monkeypatch):
    results = make_results(("a.pt",))
    results["report"].values["advice"] = ["a.pt is hardly better. With normalisation=unit the error is 0.02: run it again."]
    fill(tmp_path, KEYS[1], results, ("/runs/a.pt",))
    asked = []
    monkeypatch.setattr(checkpoints, "parse", lambda recipe, given: given)
    monkeypatch.setattr(checkpoints.running, "submit", lambda recipe, settings: asked.append(settings))
    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))
    app = page(run=KEYS[1])
    assert "hardly better" in app.warning[0].value
    app.button(key="again").click().run()
    assert asked == [{"files": ["/runs/a.pt"], "data": "digits", "normalisation": "unit"}]
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    assert not [button for button in page(run=KEYS[1]).button if button.key == "again"]


def test_the_report_counts_what_does_not_fit():
    good = {"file": "a.pt", "nll": 0.25, "error": 0.5, "parameters": 10, "notes": ["As it is."]}
    bad = good | {"file": "<b>.pt", "missing": {"head.weight": [10, 4]}, "mismatched": {"body.weight": [[3, 3], [4, 4]]},
                  "not_finite": {"body.bias": 3}, "nearest": {"head.weight": "fc.weight"}, "notes": ["Renamed."]}
    bad |= {"nll": None, "error": float("nan")}
    assert fit(good) == "all match"
    assert "1 missing in the file, 1 of another shape, 1 with NaN or infinite numbers" in fit(bad)
    html = table([good, bad], "classification")
    assert "&lt;b&gt;.pt" in html
    assert "<b>.pt" not in html
    assert "50.00%" in html
    assert "not finite" in html
    assert "–" in html
    assert differing([good, bad])
    assert key_lines(bad["missing"], bad["nearest"]) == ["head.weight  10 x 4  (the file has fc.weight)"]
    assert key_lines(bad["mismatched"]) == ["body.weight  3 x 3 in the file, 4 x 4 in the network"]
    assert key_lines(bad["not_finite"]) == ["body.bias  3 numbers"]


def test_the_page_opens_where_torch_cannot_be_imported(store, tmp_path):
    code = f"""
import sys, os
sys.modules["torch"] = None
os.environ["LANDSCAPE_HOME"] = {str(store)!r}
os.environ["LANDSCAPE_DATA"] = {str(tmp_path)!r}
from streamlit.testing.v1 import AppTest
for run in {["", *KEYS.values()]!r}:
    app = AppTest.from_file({str(ROOT / "landscape/ui/main.py")!r}, default_timeout=60)
    if run:
        app.query_params["run"] = run
    app.run()
    app.switch_page("../../pages/checkpoints.py").run()
    assert not app.exception, app.exception
    assert not app.error, app.error
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_a_curve_between_two_is_offered_and_asked_for(store, monkeypatch):
    asked = []
    monkeypatch.setenv("LANDSCAPE_HOME", str(store))
    monkeypatch.setattr(people.Jobs, "submit", lambda self, recipe, settings: asked.append((recipe, settings)) or KEYS[2])
    app = page(run=KEYS[2])
    app.button(key="train-curve").click().run()
    ((recipe, settings),) = asked
    assert recipe == "inspect"
    assert settings == {"files": ["epoch-01.pt", "epoch-02.pt"], "data": "digits", "curve_epochs": 40}
    assert "train-curve" not in {button.key for button in page(run=KEYS[3]).button}
