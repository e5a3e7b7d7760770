"""The posterior around networks from files: of somebody else's module, of snapshots, of two ends of a trained curve."""

import numpy as np
import own_models
import pytest
import torch
from computed import Shop

from landscape.errors import BadInput
from landscape.recipes import opening
from landscape.recipes.places import places_of
from landscape.runs.local import compute_here
from landscape.settings import parse

pytestmark = pytest.mark.usefixtures("allowed")
SMALL = {"methods": ("ess", "laplace_subspace"), "draws": 40, "chains": 4, "warmup": 20, "grid": 17, "averaged": 40,
         "temperature": 5.0}


@pytest.fixture(scope="module")
def opened(allowed, workshop):
    """``(shop, opened(count, **given))``: the key of a run that opened so many files of one training."""
    files = [workshop.save(f"walk{k}.pt", workshop.trained(own_models.small, 0, 30 + 10 * k)) for k in range(4)]
    shop = Shop(workshop.home)

    def of(count: int, **given) -> str:
        return shop.computed("inspect", files=tuple(files[-count:]), data=str(workshop.folder / "digits.npz"), split="both",
                             normalisation="0;0.062745098", grid=9, line_points=5, pair_points=3,
                             network="own_models:small", **given)

    return shop, of


def around(shop, source: str, **given):
    key = shop.computed("around", source=source, **SMALL | given)
    return key, {name: shop.library.result(key, name) for name in shop.library.names(key)}


def test_solutions_in_their_own_components(opened):
    shop, of = opened
    key, found = around(shop, of(4), subspace="pca", scaling="singular values", methods=("ess", "ensemble", "swag"))
    said = found["summary"].values
    assert said["subspace"] == {"kind": "pca", "dimension": 2}
    assert set(said["parents"]) == {"inspect"}
    assert said["methods"]["ess"]["grid_tv"] is not None
    assert "snapshots of a training" in said["methods"]["swag"]["failed"], "files on their own have no moments"
    assert len(found["surface:theatre"].marks) == 4
    assert max(found["surface:theatre"].info["anchor_error"].values()) < 1e-4
    places = places_of(shop.reader(key))
    for name, w in places_of(shop.reader(said["parents"]["inspect"])).networks.items():
        torch.testing.assert_close(places.networks[name], w, rtol=0, atol=0)
    assert opening.opened(places, {"run": key, "network": "ess draw 5"}).values["train_nll"] > 0


def test_snapshots_give_moments_and_an_average(opened):
    shop, of = opened
    _, found = around(shop, of(4), files="snapshots", subspace="pca", methods=("swag", "ess"))
    assert {row["label"] for row in found["table"].values["rows"]} == {"file", "average", "swag", "ess"}
    assert found["table"].values["seeds"] == ["walk3.pt"]
    assert found["surface:loss"].path.shape == (4, 2)
    assert not any(row["failed"] for row in found["table"].values["rows"])


def test_one_file_in_random_directions(opened):
    shop, of = opened
    _, found = around(shop, of(1))
    for name in ("ess", "laplace_subspace"):
        assert not found[f"samples:{name}"].info.get("failed")
        assert found[f"predictive:{name}"].outputs.shape == (200, 10)
    assert np.ptp(found["surface:loss"].values["test_nll"]) > 0


def test_the_plane_of_a_trained_curve(opened):
    shop, of = opened
    _, found = around(shop, of(2, curve_epochs=1, bends=1), subspace="curve")
    assert [mark.name for mark in found["surface:theatre"].marks] == ["end (walk2.pt)", "end (walk3.pt)"]


@pytest.mark.parametrize(("count", "given", "said"), [
    (2, {"subspace": "curve"}, "no trained curve"),
    (2, {"subspace": "pca"}, "span at most 1"),
    (2, {"methods": ("hmc",), "weights_prior_std": None}, "weight decay"),
])
def test_what_files_do_not_allow_is_said(opened, count, given, said):
    shop, of = opened
    settings = parse("around", {"source": of(count, weight_decay=0.0), **SMALL | given})
    key, _, message = compute_here("around", settings, shop.home)
    rows = shop.library.result(key, "table")
    told = message + " ".join(str(row["failed"]) for row in (rows.values["rows"] if rows else ()))
    assert said in told


def test_a_source_that_opened_nothing(opened):
    shop, _ = opened
    other = shop.computed("training", task="moons", epochs=1, seeds=(0,))
    _, status, message = compute_here("around", parse("around", {"source": other, **SMALL}), shop.home)
    assert status == "failed"
    assert "opened files" in message


def test_what_trains_cannot_be_asked_for():
    with pytest.raises(BadInput, match="trains a network of its own"):
        parse("around", {"source": "1234", "methods": ("dropout",)})
