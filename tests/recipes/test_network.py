"""A kept network: the same function wherever it is opened, with where it came from."""

import json
import shutil

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from landscape.errors import BadInput
from landscape.networks import Net, build, checkpoints, foreign, matching
from landscape.recipes.network import state_dict
from landscape.recipes.opening import opened
from landscape.recipes.places import places_of
from landscape.runs import Jobs, Library
from landscape.runs.archive import export
from landscape.runs.clicks import Opener
from landscape.runs.context import Reader
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store

GALLERY = next(run.key for run in Library("nowhere").runs() if run.settings["task"] == "mnist5k")  # it has BatchNorm


def kept(shop, where: dict, title: str | None = None) -> str:
    with Store(shop.home) as store:
        return Opener(shop.home).kept(where, title, store)


@pytest.fixture(scope="module")
def source(shop) -> str:
    return shop.valleys(task="moons", norm="batch", grid=9)


@pytest.fixture(scope="module")
def place(source) -> dict:
    return {"run": source, "plane": "chain", "x": 1.25, "y": -3.5}


@pytest.fixture(scope="module")
def key(shop, place) -> str:
    return kept(shop, place, "The one I like")


@pytest.fixture(scope="module")
def exported(shop, key, tmp_path_factory):
    """The file of the kept network as ``landscape export`` writes it."""
    return export(shop.library, key, tmp_path_factory.mktemp("out") / "run") / "weights/network.safetensors"


def test_it_opens_as_the_network_it_was(shop, place, key):
    before = opened(places_of(shop.reader(place["run"])), place)
    after = opened(places_of(shop.reader(key)), {"run": key, "network": "network"})
    assert after.values == before.values
    np.testing.assert_array_equal(after.outputs, before.outputs)
    assert after.info["batchnorm"] == "stored with this network"
    summary = shop.library.result(key, "summary").values
    assert summary["train_nll"] == before.values["train_nll"]
    assert summary["batchnorm"] == before.info["batchnorm"]
    assert (summary["source"], summary["where"]) == (place["run"], "chain:1.25,-3.5")


def test_the_exported_file_gives_identical_outputs_in_plain_torch(shop, place, exported):
    with safetensors.safe_open(exported, "pt") as file:
        metadata = file.metadata()
    settings = json.loads(metadata["settings"])
    assert metadata["recipe"] == "training"
    assert metadata["source"] == place["run"]
    module = build(settings["network"], (2,), 2, settings["widths"], settings["activation"], settings["norm"])
    module.load_state_dict(safetensors.torch.load_file(exported), strict=True)
    places = places_of(shop.reader(place["run"]))
    x = places.task.splits["test"][0]
    with torch.no_grad():
        outputs = module.eval()(x)
    assert torch.equal(outputs.softmax(-1), torch.tensor(opened(places, place).outputs))
    at = places.at(place)
    assert torch.equal(outputs, places.task.net(at.w, x, at.buffers))


def test_the_exported_file_is_a_foreign_checkpoint_like_any_other(shop, place, exported, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_ROOTS", str(exported.parent))
    read = checkpoints.read(exported)
    module = foreign.module_for("mlp", {"norm": "batch"}, read.tensors, (2,), 2)
    fitted = matching.match(module, read.tensors)
    assert not fitted.missing
    assert not fitted.unexpected
    at = places_of(shop.reader(place["run"])).at(place)
    assert torch.equal(fitted.w, at.w)
    assert all(torch.equal(fitted.buffers[name], b) for name, b in at.buffers.items())


def test_it_opens_without_the_run_it_came_from(key, exported, tmp_path):
    alone = tmp_path / "gallery" / "kept"
    shutil.copytree(exported.parents[1], alone)
    shutil.rmtree(alone / "parents")
    library = Library(tmp_path / "nothing", gallery=alone.parent)
    only = library.runs(children=True)
    assert [run.recipe for run in only] == ["network"]
    seen = opened(places_of(Reader(Shelf(library), only[0].key)), {"run": only[0].key, "network": "network"})
    assert seen.distances == {"network": 0.0}


def test_its_source_is_kept_as_long_as_it_is(shop, source, key):
    assert shop.library.run(key).parents == (source,)
    assert shop.library.run(key).title == "The one I like"
    with pytest.raises(BadInput, match="is used by"):
        Jobs(shop.home).delete(source)


def test_keeping_again_names_it_anew_and_keeping_the_kept_is_the_same_run(shop, place, key):
    again = {**place, "x": np.float64(1.25)}
    assert kept(shop, again) == key
    assert shop.library.run(key).title == "The one I like"
    assert kept(shop, {"run": key, "network": "network"}, "Another name") == key
    assert shop.library.run(key).title == "Another name"
    assert len(shop.library.attempts(key)) == 1
    kept(shop, place, "The one I like")


def test_a_place_that_is_not_there_leaves_nothing_behind(shop, source):
    before = len(shop.library.runs())
    for wrong in ({"plane": "optimal", "x": 0.0, "y": 0.0}, {"plane": "optima", "x": 1e300, "y": 0.0}):
        with pytest.raises(BadInput):
            kept(shop, {"run": source, **wrong}, "Nothing")
    assert len(shop.library.runs()) == before


def test_a_network_of_the_gallery_is_kept_with_its_provenance(shop, tmp_path):
    place = {"run": GALLERY, "path": "bezier", "t": 0.5}
    key = kept(shop, place)
    run = shop.library.run(key)
    assert run.parents == (GALLERY,)
    assert run.title.startswith("bezier at t = 0.5 · MNIST 5k")
    seen = opened(places_of(shop.reader(key)), {"run": key, "network": "network"})
    assert seen.values == opened(places_of(shop.reader(GALLERY)), place).values
    folder = export(shop.library, key, tmp_path / "run")
    assert (folder / "parents" / GALLERY.removeprefix("gallery-") / "run.json").exists()
    Jobs(shop.home).delete(key)
    assert GALLERY in {each.key for each in shop.library.runs()}


class Tied(nn.Module):
    """One matrix under two names, a buffer that is saved and one that is not, a parameter that is not trained."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(3)
        self.norm.bias.requires_grad_(False)
        self.register_buffer("scale", torch.tensor([2.0]))
        self.register_buffer("scratch", torch.tensor([1.0]), persistent=False)

    def forward(self, x):
        return self.scale * self.norm(self.second(self.first(x)))


def test_a_state_dict_is_that_of_the_plain_module():
    net = Net(Tied())
    w = torch.randn(net.size, generator=torch.Generator().manual_seed(0))
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    buffers = net.estimate_batchnorm(w, [x])
    arrays = state_dict(net, w, buffers)
    fresh = Tied()
    assert arrays.keys() == fresh.state_dict().keys()
    fresh.load_state_dict({name: torch.tensor(a) for name, a in arrays.items()}, strict=True)
    assert torch.equal(fresh.eval()(x), net(w, x, buffers))
