"""The posterior of small tasks: draws that open, averages of those very draws, figures against the exact grid."""

import json

import numpy as np
import pytest
import torch

from landscape import catalog
from landscape.errors import BadInput
from landscape.posteriors.method import Draws
from landscape.posteriors.space import weight_space
from landscape.recipes import opening
from landscape.recipes.inferred import averages, ground
from landscape.recipes.places import places_of
from landscape.recipes.training import problem
from landscape.runs import Library
from landscape.runs.context import Reader, run_job
from landscape.runs.local import compute_here
from landscape.runs.records import identify
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.settings import parse

SMALL = {"task": "moons", "epochs": 16, "seeds": (0, 1, 2), "widths": (8, 8), "curve_epochs": 16, "grid": 17, "members": 2,
         "subspace": "pca", "methods": ("swag", "multiswag", "ensemble", "ess", "broken"), "compared": ("curve",),
         "draws": 60, "chains": 4, "side_draws": 20, "warmup": 20, "swag_draws": 6, "temperature": 10.0, "prior_std": 2.0,
         "temperatures": (1.0, 10.0), "prior_stds": (), "reference": "ess"}
BROKEN = catalog.Row("Broken", "Never accepts.", "test_posterior_recipe:broken",
                     {"over": "subspace", "draws": 1, "chains": 1})


def broken(given, **options):
    raise BadInput("Chain 3 of 4 starts where the density is not finite. Start nearer.")


def computed(home, **given):
    made = identify("posterior", parse("posterior", SMALL | given))
    compute_here("posterior", made.settings, home)
    library = Library(home)
    run = library.run(made.key)
    assert run.status == "done", library.detail(made.key) or run.message
    return library, made.key


@pytest.fixture(scope="module", autouse=True)
def another_method():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalog.METHODS, "broken", BROKEN)
        yield


@pytest.fixture(scope="module")
def moons(tmp_path_factory, another_method):
    return computed(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def places(moons):
    library, key = moons
    return places_of(Reader(Shelf(library), key))


def rows(moons):
    return {row["label"]: row for row in moons[0].result(moons[1], "table").values["rows"]}


def test_everything_the_page_draws_is_there(moons):
    library, key = moons
    drawn = ("swag", "multiswag", "ensemble", "ess", "ess curve")
    wanted = {"summary", "table", "reference", "members", "surface:theatre", "surface:loss", "sweep:temperature"}
    wanted |= {f"{what}:{name}" for name in drawn for what in ("samples", "predictive")}
    wanted |= {"traces:ess", "traces:ess curve", "predictive:sgd", "predictive:swa", "samples:broken"}
    assert wanted == {name for name in library.names(key) if not name.startswith("row:")}


def test_the_summary_is_the_machine_readable_result(moons):
    summary = json.loads(json.dumps(moons[0].result(moons[1], "summary").values, allow_nan=False))
    assert (summary["task"], summary["subspace"]) == ("moons", {"kind": "pca", "dimension": 2})
    figures = {"nll", "error", "ece", "brier", "rhat", "ess", "grid_tv", "band_gap_ratio", "cpu_seconds"}
    assert all(figures <= set(method) for method in summary["methods"].values())
    ess, swag = (summary["methods"][name] for name in ("ess", "swag"))
    assert 1 <= ess["rhat"] < 1.5
    assert 0 < ess["grid_tv"] < 0.5
    assert [swag[name] for name in ("rhat", "grid_tv", "band_gap_ratio")] == [None] * 3


def test_a_method_that_fails_leaves_its_sentence_and_the_others_results(moons):
    library, key = moons
    row, samples = rows(moons)["broken"], library.result(key, "samples:broken")
    assert row["n"] == len(samples.plane) == 0
    assert "Chain 3 of 4" in row["failed"] == samples.info["failed"]
    assert any("Broken failed: Chain 3" in said for said in library.result(key, "table").values["verdict"])
    assert library.result(key, "summary").values["methods"]["broken"]["nll"] is None


def test_the_theatre_is_a_density_and_true_at_its_marks(moons, places):
    library, key = moons
    surface = library.result(key, "surface:theatre")
    x, y = surface.axes
    mass = surface.values["density"] * (x[1] - x[0]) * (y[1] - y[0])
    assert mass.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.log(surface.values["density"]), surface.values["log_density"], atol=1e-9)
    assert max(surface.info["anchor_error"].values()) < 1e-5
    levels = surface.info["mass"]
    assert levels["50"] > levels["90"] > levels["99"] > 0
    assert mass[surface.values["density"] >= levels["90"]].sum() == pytest.approx(0.9, abs=0.05)
    opened = opening.opened(places, {"run": key, "plane": "theatre", "x": float(x[3]), "y": float(y[9])})
    assert opened.values["train_nll"] == pytest.approx(surface.values["train_nll"][3, 9], rel=1e-5)


def test_the_convention_of_swag_reaches_its_draws_and_its_ellipse(moons, tmp_path):
    only = {"methods": ("swag",), "compared": (), "temperatures": (), "reference": None, "swag_rank": 40}
    final, theirs = (library.result(key, "samples:swag").info for library, key in (
        computed(tmp_path, **only), computed(tmp_path, **only, swag_deviations="reference")))
    assert "from the final mean, divided by" in " ".join(final["said"])
    assert "from the running mean, divided by 39" in " ".join(theirs["said"])
    areas = [np.linalg.det(np.array(info["ellipses"][0]["covariance"])) for info in (final, theirs)]
    assert areas[1] < 0.9 * areas[0]


def test_a_drawn_sample_opens_as_the_network_it_is(moons, places):
    library, key = moons
    samples = library.result(key, "samples:ess")
    surface = library.result(key, "surface:theatre")
    assert samples.z.shape == samples.plane.shape == (240, 2)
    assert (samples.residual == 0).all()
    for i in (0, 117, 239):
        drawn = opening.opened(places, {"run": key, "network": f"ess draw {i}"})
        there = opening.opened(places, {"run": key, "plane": "theatre", "x": samples.z[i, 0], "y": samples.z[i, 1]})
        assert drawn.values == pytest.approx(there.values, rel=1e-9)
        n, info = surface.info["data"]["train"], surface.info
        log_prior = -0.5 * (samples.z[i] ** 2).sum() / info["prior_std"] ** 2 - np.log(2 * np.pi * info["prior_std"] ** 2)
        wanted = -n * drawn.values["train_nll"] / info["temperature"] + log_prior
        assert samples.log_density[i] == pytest.approx(wanted, rel=1e-5)
    assert "ess draw 3" not in opening.opened(places, {"run": key, "network": "W_SWA"}).distances
    with pytest.raises(BadInput, match="Choose one of"):
        places.at({"network": "ess draw 240"})


def test_draws_of_weights_lie_beside_the_theatre(moons, places):
    library, key = moons
    samples = library.result(key, "samples:swag")
    assert samples.z.shape == (6, 0)
    assert (samples.residual > 0).all()
    flat = places.planes["theatre"]
    for i in range(6):
        w = places.at({"network": f"swag draw {i}"}).w.double()
        np.testing.assert_allclose(flat.project(w), samples.plane[i], atol=1e-4)
        assert float(flat.residual(w)) == pytest.approx(samples.residual[i], rel=1e-3)


def test_predictions_are_the_mean_over_the_draws(moons, places):
    library, key = moons
    found = library.result(key, "predictive:swag")
    probabilities = [opening.opened(places, {"run": key, "network": f"swag draw {i}"}).outputs for i in range(6)]
    mean = np.mean(probabilities, axis=0, dtype=np.float64)
    np.testing.assert_allclose(found.outputs, mean, atol=1e-6)
    own = -np.log(mean[np.arange(len(mean)), found.targets]).mean()
    assert found.values["nll"] == pytest.approx(own, abs=1e-6)
    assert found.values["error"] == (mean.argmax(1) != found.targets).mean()
    p = found.function["probabilities"].astype(float)
    np.testing.assert_allclose(found.function["entropy"], -(p * np.log(p)).sum(-1), atol=1e-5)
    assert (found.function["disagreement"] >= 0).all()
    assert (found.function["disagreement"] <= found.function["entropy"] + 1e-6).all()


def test_replicates_are_of_all_seeds_where_a_method_is_cheap(moons):
    at = rows(moons)
    assert at["swag"]["seeds"] == [[0], [1], [2]]
    assert at["multiswag"]["seeds"] == at["ensemble"]["seeds"] == [[0, 1], [1, 2], [2, 0]]
    assert at["ess"]["seeds"] == [[0]]
    for label, count in (("swag", 3), ("multiswag", 3), ("ess", 1)):
        nll = at[label]["nll"]
        assert nll["mean"] == pytest.approx(np.mean(nll["values"]))
        assert len(nll["values"]) == nll["n"] == count


def test_the_reference_agrees_with_itself(moons):
    at = rows(moons)
    assert at["ess"]["agreement"]["mean"] == 1
    assert at["ess"]["total_variation"]["mean"] == 0
    assert 0 < at["swag"]["total_variation"]["mean"] < 1
    found = moons[0].result(moons[1], "predictive:swag")
    assert found.values["agreement"] == at["swag"]["agreement"]["values"][0]


def test_members_begin_with_one_network_and_end_with_all(moons):
    members = moons[0].result(moons[1], "members")
    np.testing.assert_array_equal(members.x, [1, 2, 3])
    lines = members.values["ensemble nll by group"]
    assert sorted(lines[:, 0]) == pytest.approx(sorted(rows(moons)["sgd"]["nll"]["values"]))
    assert lines[:, 1] == pytest.approx(rows(moons)["ensemble"]["nll"]["values"])
    assert np.ptp(lines[:, 2]) < 1e-9


def test_a_sweep_has_the_runs_own_value_among_its_own(moons):
    sweep = moons[0].result(moons[1], "sweep:temperature")
    assert list(sweep.x) == [1, 10]
    assert sweep.info["marked"] == 10
    assert np.isfinite(sweep.values["test_nll"]).all()
    assert sweep.values["spread"][1] > sweep.values["spread"][0]  # a higher temperature is wider


def test_chains_can_be_traced(moons):
    traces, samples = (moons[0].result(moons[1], f"{what}:ess") for what in ("traces", "samples"))
    assert traces.values["z1"].shape == (4, 60)
    np.testing.assert_array_equal(traces.values["z1"].ravel(), samples.z[:, 0])
    assert (traces.values["ranks z1"].sum(1) == 60).all()
    assert list(np.bincount(samples.chain)) == [60] * 4


def test_stopped_anywhere_and_continued_equals_undisturbed(moons, tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.runs.context.INTERVAL", 0.0)
    library, key = moons
    made = identify("posterior", parse("posterior", SMALL))

    class Stopping(Store):
        left = 0

        def report(self, *args):
            self.left -= 1
            return super().report(*args) or self.left < 0

    stops = 0
    while True:
        with Stopping(tmp_path) as store:
            store.left = 120 + 60 * stops  # a method is done in one go, however slow the machine is
            store.enter(**made.row())
            status, message, _ = run_job(store, key)
        if status == "done":
            break
        assert status == "cancelled", message
        stops += 1
        assert stops < 100
    assert stops >= 2
    other = Library(tmp_path)
    assert other.names(key) == library.names(key)
    for name in ("surface:theatre", "surface:loss", "samples:ess", "samples:ess curve", "predictive:multiswag", "members"):
        a, b = library.result(key, name), other.result(key, name)
        fields = ("values", "plane") if name.startswith("samples") else ("values",)
        for field in fields:
            one, two = getattr(a, field, {}), getattr(b, field, {})
            for k in one if isinstance(one, dict) else ():
                np.testing.assert_array_equal(one[k], two[k], err_msg=f"{name} {k}")
            if not isinstance(one, dict):
                np.testing.assert_array_equal(one, two, err_msg=name)


def test_draws_are_shown_while_they_appear(tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.recipes.inferred.draws.SAVE_DRAWS", 0.0)
    monkeypatch.setattr("landscape.posteriors.method.SHOWN", 0.0)
    seen = []
    save = Store.save

    def watched(self, key, name, *args):
        version = save(self, key, name, *args)
        if name == "samples:ess":
            seen.append(Library(tmp_path).result(key, name))
        return version

    monkeypatch.setattr(Store, "save", watched)
    computed(tmp_path, methods=("ess",), compared=(), temperatures=(), reference=None)
    counts = [len(each.plane) for each in seen]
    assert len(seen) > 5
    assert counts[0] < counts[len(counts) // 2] < counts[-1] == 240
    assert [each.info["final"] for each in seen] == [False] * (len(seen) - 1) + [True]
    assert all(np.ptp(np.bincount(each.chain, minlength=4)) == 0 for each in seen)


def test_bands_and_gaps_of_a_regression(tmp_path):
    given = {"task": "regression", "widths": (16,), "epochs": 12, "methods": ("ensemble", "swag", "ess"), "compared": (),
             "temperatures": (), "reference": None, "prior_std": 1.0}
    library, key = computed(tmp_path, **given)
    found = library.result(key, "predictive:ensemble")
    assert found.outputs.shape == found.targets.shape == (400, 1)
    band = found.function
    assert band["x"][0] == pytest.approx(-10, abs=0.1)
    assert band["x"][-1] == pytest.approx(10, abs=0.1)
    assert (band["aleatoric"] == pytest.approx(0.05**0.5))
    (low, high), (second, _) = found.info["gaps"]
    assert (low, high, second) == pytest.approx((-4.8, -1.2, 1.2), abs=0.1)
    places = places_of(Reader(Shelf(library), key))
    means = [opening.opened(places, {"run": key, "network": f"ensemble draw {i}"}) for i in range(2)]
    outputs = np.stack([each.outputs for each in means])
    np.testing.assert_allclose(found.deviations["epistemic"], outputs.std(0), atol=1e-5)
    np.testing.assert_allclose(found.outputs, outputs.mean(0), atol=1e-5)
    summary = library.result(key, "summary").values["methods"]
    ratios = rows((library, key))["ensemble"]["gap_ratio"]["values"]
    assert summary["ensemble"]["band_gap_ratio"] == pytest.approx(np.mean(ratios))
    assert len(ratios) == 3
    assert summary["sgd"]["band_gap_ratio"] is None
    assert summary["ensemble"]["ece"] is None


def test_widths_are_means_over_where_there_are_data_and_over_the_gaps():
    x = np.linspace(-4, 4, 801)
    train = np.concatenate([np.linspace(-3, -2, 50), np.linspace(2, 3, 50)])
    epistemic = np.where(np.abs(x) < 2, 0.6, 0.2)
    found = averages.widths(x, epistemic, train)
    assert found["gaps"] == [[-2.0, 2.0]]
    assert found["gap"]["ratio"] == pytest.approx(3, rel=0.02)
    assert found["gap"]["outside"] == pytest.approx(0.2)
    assert averages.widths(x, 0 * x, train)["gap"]["ratio"] is None
    assert averages.widths(x, epistemic, np.linspace(-3, 3, 100))["gap"]["ratio"] is None


WITHOUT = {"dimension": 9, "methods": ("swag", "ensemble", "laplace", "ess", "nuts"), "reference": "ess"}  # 4 snapshots


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A run whose subspace has more dimensions than its snapshots span."""
    return computed(tmp_path_factory.mktemp("without"), **WITHOUT)


def test_methods_that_need_no_subspace_go_on_without_one(without):
    library, key = without
    said = "4 snapshots span at most 3 dimensions around their mean; 9 were asked for. Choose a dimension from 2 to 3."
    told = library.result(key, "summary").values
    assert told["subspace"] == {"kind": "pca", "dimension": 9, "failed": said}
    assert told["theatre"] == {"failed": said}
    methods = told["methods"]
    for name in ("ess", "nuts"):
        assert methods[name]["failed"] == said
        assert methods[name]["nll"] is methods[name]["grid_tv"] is None
    for name in ("sgd", "swa", "swag", "ensemble", "laplace", "ess curve"):
        assert methods[name]["nll"] > 0
        assert "failed" not in methods[name]
    assert "surface:theatre" not in library.names(key)
    assert f"Elliptical slice sampling and NUTS failed: {said}" in library.result(key, "table").values["verdict"]
    assert said in library.result(key, "reference").values["said"]
    swept = library.result(key, "sweep:temperature")
    assert (swept.values, swept.info["said"]) == ({}, [said])
    assert "ensemble nll" in library.result(key, "members").values


def test_their_draws_lie_on_a_plane_of_the_loss_and_open(without):
    library, key = without
    drawn, surface = library.result(key, "samples:swag"), library.result(key, "surface:loss")
    assert surface.info["subspace"] == "pca"
    assert len(drawn.plane) == SMALL["swag_draws"]
    found = places_of(Reader(Shelf(library), key))
    assert set(found.planes) == {"loss"}
    np.testing.assert_allclose(found.planes["loss"].project(found.draws["swag draw 3"].double()), drawn.plane[3], atol=1e-5)
    assert opening.opened(found, {"run": key, "network": "swag draw 3"}).values["train_nll"] > 0


@pytest.mark.parametrize("scaling", ["unit", "singular values"])
def test_without_directions_at_all_the_plane_is_a_random_one(without, scaling, monkeypatch):
    library, key = without
    monkeypatch.setattr(ground, "pca_space", lambda *given: broken(None))
    made = parse("posterior", SMALL | {"scaling": scaling})
    reader = Reader(Shelf(library), key)
    found = ground.ground_of(made.model_copy(update={"compared": ("curve",)}), reader, here=True)
    assert "Chain 3 of 4" in found.missing
    assert (found.stage.kind, found.stage.ndim) == ("random", 2)


LOST = {"curve_lr": 1e6, "methods": ("swag", "ess"), "reference": None}  # no curve stays finite at such a rate
IN_ITS_PLANE = LOST | {"subspace": "curve", "compared": ("pca",), "dimension": 2}
SAID = "Training of the curves diverged"


@pytest.fixture(scope="module")
def curveless(tmp_path_factory):
    """A run whose methods draw in the plane of a curve that was lost, and in another subspace beside it."""
    return computed(tmp_path_factory.mktemp("curveless"), **IN_ITS_PLANE)


def test_a_curve_that_diverges_costs_what_is_drawn_in_its_plane_and_nothing_else(curveless):
    library, key = curveless
    told = library.result(key, "summary").values
    why = told["curve"]["failed"]
    assert why.startswith(SAID)
    assert "Lower curve_lr (found 1000000.0)" in why
    assert told["subspace"]["failed"] == told["theatre"]["failed"] == told["methods"]["ess"]["failed"] == why
    for name in ("sgd", "swa", "swag", "ess pca"):
        assert told["methods"][name]["nll"] > 0
        assert "failed" not in told["methods"][name]
    assert f"Elliptical slice sampling failed: {why}" in library.result(key, "table").values["verdict"]
    assert library.result(key, "sweep:temperature").info["said"] == [why]
    assert "surface:theatre" not in library.names(key)
    assert library.result(key, "surface:loss").info["subspace"] == "random"
    lost = [run for run in library.runs("curves", children=True) if not run.read_only]
    assert [(run.status, run.message) for run in lost] == [("failed", why)]


def test_what_was_drawn_without_the_curve_opens(curveless):
    library, key = curveless
    found = places_of(Reader(Shelf(library), key))
    assert set(found.planes) == {"loss"}
    assert found.paths == {}
    assert opening.opened(found, {"run": key, "network": "swag draw 3"}).values["train_nll"] > 0
    assert opening.opened(found, {"run": key, "network": "ess pca draw 2"}).values["train_nll"] > 0


def test_a_lost_curve_that_was_only_for_comparison_takes_its_row_alone(tmp_path):
    library, key = computed(tmp_path, **LOST)
    told = library.result(key, "summary").values
    assert told["methods"]["ess curve"]["failed"] == told["curve"]["failed"]
    assert "failed" not in told["subspace"]
    assert "theatre" not in told
    assert told["methods"]["ess"]["grid_tv"] is not None
    assert "surface:theatre" in library.names(key)


def test_an_interrupted_run_without_its_curve_goes_on_to_the_same_end(tmp_path, curveless, monkeypatch):
    made = identify("posterior", parse("posterior", SMALL | IN_ITS_PLANE))
    with Store(tmp_path) as store:
        store.enter(**made.row())
        save = store.save

        def stopped(key, name, *data):
            save(key, name, *data)
            if name == "row:swag":
                store.request_cancel(made.key)

        with monkeypatch.context() as patch:
            patch.setattr(store, "save", stopped)
            patch.setattr("landscape.runs.context.INTERVAL", 0.0)
            assert run_job(store, made.key)[0] == "cancelled"
        store.requeue(made.key)
        assert run_job(store, made.key)[0] == "done"
    library, key = curveless
    again = Library(tmp_path, gallery=None)
    for name in ("samples:swag", "samples:ess pca"):
        np.testing.assert_array_equal(again.result(key, name).plane, library.result(key, name).plane)
    assert again.result(key, "summary").values["curve"] == library.result(key, "summary").values["curve"]


def test_a_run_whose_methods_all_need_the_curve_fails_and_says_why(tmp_path):
    given = SMALL | IN_ITS_PLANE | {"methods": ("ess", "nuts"), "compared": ()}
    _, status, message = compute_here("posterior", parse("posterior", given), tmp_path)
    assert status == "failed"
    assert message.startswith(SAID)


def test_a_density_without_a_finite_cell_costs_the_theatre_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.posteriors.grid.exact", lambda *given, **more: broken(None))
    library, key = computed(tmp_path, methods=("swag", "ess"), compared=(), temperatures=(), reference=None)
    told = library.result(key, "summary").values
    assert "Chain 3 of 4" in told["theatre"]["failed"]
    assert "failed" not in told["subspace"]
    assert told["methods"]["swag"]["nll"] > 0
    assert (told["methods"]["ess"]["nll"] > 0, told["methods"]["ess"]["grid_tv"]) == (True, None)


def test_a_run_whose_methods_all_need_the_subspace_fails_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "pca_space", lambda *given: broken(None))
    made = identify("posterior", parse("posterior", SMALL | {"methods": ("ess", "nuts"), "compared": ()}))
    _, status, message = compute_here("posterior", made.settings, tmp_path)
    assert (status, message) == ("failed", "Chain 3 of 4 starts where the density is not finite. Start nearer.")


@pytest.mark.parametrize(("given", "said"), [
    ({"lr": 1e6, "compared": ()}, "networks must stay finite"),  # a lost curve takes less with it: see above
])
def test_a_ground_that_cannot_be_built_is_said(tmp_path, given, said):
    made = identify("posterior", parse("posterior", SMALL | given))
    _, status, message = compute_here("posterior", made.settings, tmp_path)
    assert status == "failed"
    assert said in message


def test_weights_are_kept_up_to_a_size():
    from landscape.recipes.inferred import draws

    space = weight_space(torch.zeros(50_000))
    found = Draws(torch.zeros(4, 30, 50_000), torch.zeros(4, 30), space)
    rows = draws.kept_rows(found)
    assert len(rows) * 4 * 50_000 <= draws.STORED_BYTES
    assert list(np.bincount(rows // 30)) == [len(rows) // 4] * 4
    assert draws.stored(found, rows)["w"].dtype == np.float32


def test_a_network_with_batchnorm_is_re_estimated_for_every_draw(tmp_path):
    given = {"task": "digits", "train_size": 100, "widths": (8,), "norm": "batch", "methods": ("swag", "ess"),
             "compared": (), "temperatures": (), "reference": None, "draws": 5, "warmup": 2, "chains": 2, "grid": 5,
             "swag_draws": 2, "epochs": 12}
    library, key = computed(tmp_path, **given)
    assert "re-estimated" in library.result(key, "predictive:swag").info["batchnorm"]
    p = problem(parse("posterior", SMALL | given))
    assert p.task.net.batchnorm


def test_a_replicate_that_fails_is_left_out_and_said(tmp_path, monkeypatch):
    from landscape.posteriors import swag

    def second_fails(given, **options):
        if not torch.equal(given.trajectories[0], first[0]):
            raise BadInput("Snapshot number 2 has infinite weights.")
        return swag.infer(given, **options)

    first = []
    monkeypatch.setattr("test_posterior_recipe.broken", lambda given, **options: (
        first or first.append(given.trajectories[0]), second_fails(given, **options))[1])
    monkeypatch.setitem(catalog.METHODS, "broken", catalog.Row(
        "Broken", "Fails for all seeds but the first.", "test_posterior_recipe:broken",
        {"over": "networks", "draws": 5, "chains": 1}))
    library, key = computed(tmp_path, methods=("broken",), compared=(), temperatures=(), reference=None)
    row = rows((library, key))["broken"]
    assert (row["n"], row["seeds"], row["failed"]) == (1, [[0]], None)
    assert [text.split(":")[0] for text in row["lost"]] == ["seed 1", "seed 2"]
    assert any("is without seed 1: Snapshot number 2" in said for said in library.result(key, "table").values["verdict"])
    assert len(library.result(key, "samples:broken").plane) == SMALL["swag_draws"]
