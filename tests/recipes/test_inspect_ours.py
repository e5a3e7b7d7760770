"""Networks of our own as foreign files: saved plainly, kept and opened again, exported with words on what they are."""

import json

import numpy as np
import pytest
import torch

from landscape.networks import Net
from landscape.recipes import training
from landscape.runs import Library
from landscape.runs.local import compute_here
from landscape.runs.origins import origin
from landscape.runs.records import identify
from landscape.settings import parse

VALLEYS = {"task": "moons", "epochs": 8, "curve_epochs": 1, "grid": 9, "picture": "exact", "widths": (8, 8),
           "train_size": 150}

pytestmark = pytest.mark.usefixtures("allowed")


def named(net: Net, w) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.unflatten(torch.tensor(w)).items()}


@pytest.fixture(scope="module")
def trained(allowed, workshop):
    """A finished run of valleys, and its three networks saved by torch alone."""
    settings = parse("valleys", VALLEYS)
    key, status, message = compute_here("valleys", settings, workshop.home)
    assert status == "done", message
    library = Library(workshop.home, gallery=None)
    child = next(p for p in library.lineage(key) if library.run(p).recipe == "training")
    net = Net(training.problem(settings).module)
    w = library.weights(child, "optima")["w"]
    return library, key, child, settings, [workshop.save(f"ours{k}.pt", named(net, each)) for k, each in enumerate(w)]


def test_the_plane_through_foreign_files_is_the_plane_of_the_run(workshop, trained):
    library, key, _, settings, files = trained
    found, _, _ = workshop.inspect(files, data="moons", normalisation="standard", train_size=150, split="both", grid=9,
                                   picture="exact", weight_decay=settings.weight_decay)
    ours, theirs = library.result(key, "surface:optima"), found["surface:plane"]
    for a, b in zip(ours.axes, theirs.axes, strict=True):
        np.testing.assert_array_equal(a, b)
    for metric, values in ours.values.items():
        np.testing.assert_array_equal(values, theirs.values[metric], metric)
    marks = {mark.name: mark for mark in ours.marks}
    for k, row in enumerate(found["report"].values["files"]):
        assert row["nll"] == pytest.approx(marks[f"w{k + 1} (seed {k})"].values["test_nll"], rel=1e-5)
        assert row["train_nll"] == pytest.approx(marks[f"w{k + 1} (seed {k})"].values["train_nll"], rel=1e-5)
    assert found["report"].values["network"] == "auto"
    segment = library.result(key, "profile:segment").values["test_nll"]
    line, _, _ = workshop.inspect(files[:2], data="moons", normalisation="standard", train_size=150, line_points=61)
    np.testing.assert_allclose(line["profile:line"].values["test_nll"], segment, rtol=1e-5)


def test_a_kept_network_opens_by_its_key_and_from_its_exported_file(workshop, trained):
    library, _, child, _, files = trained
    wanted = identify("network", {"source": child, "where": "=seed 1"})
    _, status, message = compute_here("network", wanted.settings, workshop.home)
    assert status == "done", message
    exported = workshop.folder / "kept.safetensors"
    exported.write_bytes(library.weights_file(wanted.key, "network"))
    guessed = origin(f"run:{wanted.key}", library)
    assert guessed == origin(str(exported), library)
    assert (guessed["data"], guessed["network"], guessed["train_size"]) == ("moons", "mlp", 150)
    assert json.loads(guessed["arguments"]) == {"norm": "none", "widths": [8, 8]}
    given = guessed | {"normalisation": "standard"}
    expected, _, _ = workshop.inspect([files[1]], **given)
    for file in (f"run:{wanted.key}", str(exported)):
        found, _, key = workshop.inspect([file], **given)
        for quantity in ("nll", "error"):
            assert found["report"].values["files"][0][quantity] == expected["report"].values["files"][0][quantity]
        np.testing.assert_array_equal(found["surface:random"].values["test_nll"],
                                      expected["surface:random"].values["test_nll"])
        if file.startswith("run:"):
            assert wanted.key in library.run(key).parents


def test_a_point_of_an_inspected_plane_is_kept_and_opened_again(workshop, trained, five):
    results, _, key = workshop.inspect(five[:3], network="own_models:small")
    surface = results["surface:plane"]
    x, y = float(surface.axes[0][2]), float(surface.axes[1][3])
    wanted = identify("network", {"source": key, "where": f"plane:{x!r},{y!r}"})
    _, status, message = compute_here("network", wanted.settings, workshop.home)
    assert status == "done", message
    again, _, _ = workshop.inspect([f"run:{wanted.key}"], **origin(f"run:{wanted.key}", trained[0]))
    assert surface.evaluated[2, 3]
    row = again["report"].values["files"][0]
    assert row["nll"] == pytest.approx(surface.values["test_nll"][2, 3], rel=1e-4)
    assert row["usable"]
