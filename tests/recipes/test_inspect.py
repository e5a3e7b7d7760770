"""Files from elsewhere: the report, and every figure against the same thing computed plainly."""

import copy

import numpy as np
import own_models
import pytest
import torch
from torch.nn import functional

from landscape.errors import BadInput
from landscape.networks import Net
from landscape.recipes.inspecting.files import short_names
from landscape.recipes.opening import opened
from landscape.recipes.places import places_of
from landscape.runs import Library
from landscape.runs.context import Reader
from landscape.runs.local import compute_here
from landscape.runs.shelf import Shelf
from landscape.runs.store import Store
from landscape.settings import parse

pytestmark = pytest.mark.usefixtures("allowed")
SMALL = {"network": "own_models:small"}


def plainly(module, x, y):
    """Loss and error of a module, as its owner would measure them."""
    with torch.no_grad():
        outputs = module(x)
    return float(functional.cross_entropy(outputs, y)), float((outputs.argmax(-1) != y).double().mean())


@pytest.fixture(scope="module")
def many(allowed, workshop, five):
    return workshop.inspect(five, **SMALL)


def test_the_report_says_of_each_file_what_its_owner_would_measure(workshop, five, many):
    report = many[0]["report"].values
    x, y = workshop.test_set()
    assert report["parameters"] == sum(p.numel() for p in own_models.small().parameters())
    assert report["examples"] == {"test": 200}
    for path, row in zip(five, report["files"], strict=True):
        nll, error = plainly(workshop.loaded(own_models.small, path), x, y)
        assert row["nll"] == pytest.approx(nll, rel=1e-5)
        assert row["error"] == pytest.approx(error)
        assert (row["missing"], row["unexpected"], row["mismatched"], row["usable"]) == ({}, {}, {}, True)
    assert report["advice"] == []
    assert "stored" in report["batchnorm"]
    cost = report["cost"]
    assert cost["evaluations"] > 0
    assert cost["flops"] > cost["evaluations"] * 200 * 2 * 54 * 16
    assert "networks evaluated" in cost["sentence"]


def test_all_results_of_many_files_are_there(many):
    results = many[0]
    assert {"report", "samples", "matrix", "components", "surface:pca", "average", "summary"} <= set(results)
    summary = results["summary"].values
    assert set(summary) >= {"parameters", "files", "pairs", "pca", "average", "key"}
    assert [set(pair) for pair in summary["pairs"]] == [{"a", "b", "distance", "line_max", "barrier", "agreement"}] * 10
    assert summary["results"]["pca"]["anchor_error"] < 1e-5


def test_the_matrix_is_that_of_plain_arithmetic(workshop, five, many):
    matrix = many[0]["matrix"]
    modules = [workshop.loaded(own_models.small, path) for path in five]
    w = torch.stack([torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in modules]).double()
    np.testing.assert_allclose(matrix.values["distance"], torch.cdist(w, w).numpy(), atol=1e-6)
    x, _ = workshop.test_set()
    said = torch.stack([m(x).argmax(-1) for m in modules])
    np.testing.assert_allclose(matrix.values["agreement"], (said[:, None] == said).double().mean(-1).numpy())
    assert (matrix.values["barrier"] >= 0).all()
    np.testing.assert_array_equal(matrix.values["barrier"], matrix.values["barrier"].T)


def re_estimated(workshop, w):
    """The loss of weights with BatchNorm statistics of the training pictures, by hand."""
    net = Net(workshop.loaded(own_models.small, workshop.folder / "small0.pt"))
    batch = torch.tensor(workshop.x[:400] / (0.062745098 * 255), dtype=torch.float32)
    x, y = workshop.test_set()
    with torch.no_grad():
        return float(functional.cross_entropy(net(w, x, net.estimate_batchnorm(w, [batch])), y))


def test_the_average_is_the_mean_of_the_weights_with_statistics_of_its_own(workshop, five, many):
    modules = [workshop.loaded(own_models.small, path) for path in five]
    mean = torch.stack([torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in modules]).double().mean(0)
    average = many[0]["average"].values
    assert average["nll"] == pytest.approx(re_estimated(workshop, mean.float()), rel=1e-4)
    assert "re-estimated" in average["batchnorm"]
    stored = Library(workshop.home, gallery=None).weights(many[2], "average")["w"]
    np.testing.assert_allclose(stored, mean.numpy(), atol=1e-6)


def test_components_are_those_of_a_full_decomposition(workshop, five, many):
    modules = [workshop.loaded(own_models.small, path) for path in five]
    w = torch.stack([torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in modules]).double().numpy()
    u, s, _ = np.linalg.svd(w - w.mean(0), full_matrices=False)
    found = many[0]["components"]
    np.testing.assert_allclose(found.explained, (s**2 / (s**2).sum())[:4], rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(u * s)[:, :4], atol=1e-6)
    np.testing.assert_allclose(many[0]["summary"].values["pca"]["explained"], found.explained)
    assert found.null_explained.shape == found.explained.shape
    np.testing.assert_allclose(many[0]["surface:pca"].path, found.coordinates[:, :2])


def test_marks_have_their_own_loss_and_the_plane_says_what_it_has_below_them(workshop, five, many):
    surface = many[0]["surface:pca"]
    assert surface.info["anchor_error"]["test_nll"] < 1e-5
    assert "re-estimated" in surface.info["batchnorm"]
    for path, mark in zip(five, surface.marks, strict=True):
        w = torch.cat([p.detach().reshape(-1) for p in workshop.loaded(own_models.small, path).parameters()])
        assert mark.values["test_nll"] == pytest.approx(re_estimated(workshop, w), rel=1e-4)
        assert mark.residual > 0
        assert surface.info["in_plane"][mark.name]["test_nll"] != mark.values["test_nll"]
    stored = {name: found["test_nll"] for name, found in surface.info["stored"].items()}
    assert stored == {row["file"]: row["nll"] for row in many[0]["report"].values["files"]}


def test_one_file_is_seen_in_a_random_plane_and_on_two_lines(workshop, five):
    results, settings, _ = workshop.inspect(five[:1], **SMALL, batchnorm="stored", picture="exact")
    assert {"report", "samples", "surface:random", "profile:line 1", "profile:line 2", "summary"} == set(results)
    surface, module = results["surface:random"], workshop.loaded(own_models.small, five[0])
    nll, error = plainly(module, *workshop.test_set())
    centre = tuple(len(axis) // 2 for axis in surface.axes)
    assert surface.axes[0][centre[0]] == pytest.approx(0, abs=1e-12)
    assert surface.values["test_nll"][centre] == pytest.approx(nll, rel=1e-5)
    assert surface.values["test_error"][centre] == pytest.approx(error)
    assert surface.marks[0].values["test_nll"] == pytest.approx(nll, rel=1e-5)
    filters = torch.cat([module.conv.weight.reshape(-1), module.fc.weight.reshape(-1)]).detach().norm()
    assert surface.axes[0][-1] == pytest.approx(float(filters), rel=1e-5)
    for k in (1, 2):
        line = results[f"profile:line {k}"]
        along = surface.values["test_nll"][:, centre[1]] if k == 1 else surface.values["test_nll"][centre[0]]
        assert line.values["test_nll"][4] == pytest.approx(nll, rel=1e-5)
        assert line.values["test_nll"][[0, -1]] == pytest.approx(along[[0, -1]], rel=1e-5)
        assert line.distance[-1] == pytest.approx(2 * float(filters), rel=1e-5)
    summary = results["summary"].values
    assert (summary["pairs"], summary["pca"]["explained"], summary["average"]["nll"]) == ([], [], None)
    assert settings.digests[0] == results["report"].values["files"][0]["digest"]


def permuted(state, generator):
    """The same function with the hidden units of ``Plain`` in another order."""
    state = copy.deepcopy(state)
    for i in range(2):
        order = torch.randperm(len(state[f"layers.{i}.bias"]), generator=generator)
        for name in (f"layers.{i}.weight", f"layers.{i}.bias"):
            state[name] = state[name][order]
        state[f"layers.{i + 1}.weight"] = state[f"layers.{i + 1}.weight"][:, order]
    return state


def test_a_permuted_copy_has_no_barrier_after_matching(workshop):
    state = workshop.trained(own_models.plain, 0)
    files = [workshop.save("plain.pt", state), workshop.save("moved.pt", permuted(state, torch.Generator().manual_seed(1)))]
    results, _, _ = workshop.inspect(files, network="own_models:plain", curve_epochs=2)
    line, matched = results["profile:line"].values["test_nll"], results["profile:matched"].values["test_nll"]
    assert line.max() > line[0] + 0.1
    np.testing.assert_allclose(matched, matched[0], rtol=1e-5)
    assert matched[0] == pytest.approx(line[0], rel=1e-5)
    pair = results["summary"].values["pairs"][0]
    assert pair["barrier"] > 0.1
    assert pair["agreement"] == 1
    assert any("outputs are unchanged" in sentence for sentence in results["report"].values["views"])
    bezier = results["profile:bezier"].values["test_nll"]
    assert bezier[[0, -1]] == pytest.approx(line[[0, -1]], rel=1e-5)
    assert "history:curve" in results


def test_three_files_span_a_plane(workshop, five):
    results, _, _ = workshop.inspect(five[:3], **SMALL)
    surface = results["surface:plane"]
    assert [mark.residual for mark in surface.marks] == [0, 0, 0]
    assert max(surface.info["anchor_error"].values()) < 1e-5
    assert "components" in results
    assert "surface:pca" not in results


def reader(home, key):
    return Reader(Shelf(Library(home, gallery=None)), key)


def test_clicks_on_the_figures_give_the_drawn_values(workshop, five, many):
    results, _, key = many
    places = places_of(reader(workshop.home, key))
    surface = results["surface:pca"]
    i, j = np.argwhere(surface.evaluated)[3]
    found = opened(places, {"run": key, "plane": "pca", "x": float(surface.axes[0][i]), "y": float(surface.axes[1][j])})
    assert found.values["test_nll"] == pytest.approx(surface.values["test_nll"][i, j], rel=1e-4)
    at_file = opened(places, {"run": key, "network": "small0.pt"})
    assert at_file.values["test_nll"] == pytest.approx(results["report"].values["files"][0]["nll"], rel=1e-5)
    assert at_file.distances["small0.pt"] == 0
    results, _, key = workshop.inspect(five[:2], **SMALL)
    line = results["profile:line"]
    found = opened(places_of(reader(workshop.home, key)), {"run": key, "path": "line", "t": float(line.t[3])})
    assert found.values["test_nll"] == pytest.approx(line.values["test_nll"][3], rel=1e-4)
    results, _, key = workshop.inspect(five[:1], **SMALL)
    line = results["profile:line 2"]
    found = opened(places_of(reader(workshop.home, key)), {"run": key, "path": "line 2", "t": float(line.t[1])})
    assert found.values["test_nll"] == pytest.approx(line.values["test_nll"][1], rel=1e-4)


class Stopping(Store):
    """A store whose run is asked to stop at the n-th report."""

    def __init__(self, home, after):
        super().__init__(home)
        self.left = after

    def report(self, *args):
        self.left -= 1
        return super().report(*args) or self.left < 0


def test_stopped_anywhere_and_continued_gives_the_same(workshop, five, many, tmp_path, monkeypatch):
    from landscape.runs import context
    from landscape.runs.context import run_job
    from landscape.runs.records import identify

    monkeypatch.setattr(context, "INTERVAL", 0.0)
    made, stops = identify("inspect", many[1]), 0
    while True:
        with Stopping(tmp_path, after=60) as store:
            store.enter(**made.row())
            status = run_job(store, made.key)[0]
        if status == "done":
            break
        assert status == "cancelled"
        stops += 1
        assert stops < 200
    assert stops >= 1
    library = Library(tmp_path, gallery=None)
    for name in ("matrix", "surface:pca"):
        again = library.result(made.key, name)
        for metric, values in many[0][name].values.items():
            np.testing.assert_array_equal(values, again.values[metric], f"{name} {metric}")


def test_what_does_not_fit_is_told_by_name_and_shape_and_left_out(workshop, five):
    state = torch.load(five[0], weights_only=True)
    wrong = {name: value for name, value in state.items() if name != "fc.weight"} | {"extra.weight": torch.zeros(2, 3)}
    broken = state | {"conv.weight": state["conv.weight"].clone()}
    broken["conv.weight"][0, 0, 0, 0] = torch.nan
    files = [workshop.save("wrong.pt", wrong), workshop.save("nan.pt", broken), five[1]]
    results, _, _ = workshop.inspect(files, **SMALL)
    rows = {row["file"]: row for row in results["report"].values["files"]}
    assert rows["wrong.pt"]["missing"] == {"fc.weight": [10, 96]}
    assert rows["wrong.pt"]["unexpected"] == {"extra.weight": [2, 3]}
    assert rows["nan.pt"]["not_finite"] == {"conv.weight": 1}
    assert [row["usable"] for row in rows.values()] == [False, False, True]
    advice = " ".join(results["report"].values["advice"])
    assert "fc.weight" in advice
    assert "conv.weight" in advice
    assert "surface:random" in results


def test_another_network_is_told_and_nothing_is_drawn(workshop, five):
    results, _, _ = workshop.inspect(five[:1], network="own_models:small", arguments='{"width": 7}')
    row = results["report"].values["files"][0]
    assert row["mismatched"]["conv.weight"] == [[6, 1, 3, 3], [7, 1, 3, 3]]
    assert set(results) == {"report", "samples", "summary"}
    assert "does not fill the network" in results["report"].values["advice"][0]


def test_a_wrong_normalisation_is_noticed_and_the_right_one_named(workshop, five):
    results, _, _ = workshop.inspect(five[:1], **SMALL, normalisation="1;0.01")
    advice = " ".join(results["report"].values["advice"])
    assert "hardly better than a network that knows nothing" in advice
    assert "With normalisation=" in advice


def test_labels_in_another_order_are_noticed(workshop, five):
    order = np.array([3, 0, 1, 2, 9, 4, 5, 6, 7, 8])
    np.savez(workshop.folder / "renumbered.npz", x=workshop.x[:500], y=order[workshop.y[:500]])
    results, _, _ = workshop.inspect(five[:1], **SMALL, data=str(workshop.folder / "renumbered.npz"))
    assert "order of the labels" in results["report"].values["advice"][0]


def test_samples_are_what_is_in_the_file_and_what_the_network_sees(workshop, many):
    samples = many[0]["samples"].values
    x, y = workshop.test_set()
    np.testing.assert_allclose(samples["seen"], x.numpy()[samples["index"]], atol=1e-6)
    np.testing.assert_allclose(samples["x"], workshop.x[400:600][samples["index"]], atol=1e-4)
    assert samples["targets"] == [str(int(k)) for k in y[samples["index"]]]
    assert samples["view"] == "image"


def test_a_loss_of_the_users_own(workshop, five):
    results, _, _ = workshop.inspect(five[:2], **SMALL, loss="own_models:brier")
    module = workshop.loaded(own_models.small, five[0])
    x, y = workshop.test_set()
    expected = own_models.brier(module(x), y).mean().detach()
    assert results["report"].values["files"][0]["nll"] == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(AssertionError, match="refused"):
        workshop.inspect(five[:1], **SMALL, loss="os:system")


def test_a_language_model_with_tied_weights_in_nats_per_token(workshop):
    tokens = np.random.default_rng(0).integers(0, 17, (20, 12))
    np.savez(workshop.folder / "tokens.npz", x=tokens)
    files = []
    for seed in range(2):
        with torch.random.fork_rng():
            torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            files.append(workshop.save(f"tied{seed}.pt", own_models.tied().state_dict()))
    data = str(workshop.folder / "tokens.npz")
    results, _, _ = workshop.inspect(files, network="own_models:tied", data=data, loss="causal")
    module, x = workshop.loaded(own_models.tied, files[0]), torch.tensor(tokens)
    expected = functional.cross_entropy(module(x)["logits"][:, :-1].flatten(0, 1), x[:, 1:].flatten()).detach()
    report = results["report"].values
    assert report["files"][0]["nll"] == pytest.approx(float(expected), rel=1e-5)
    assert report["parameters"] == 17 * 8 + 8 * 8 + 8
    assert np.isfinite(results["profile:line"].values["test_nll"]).all()
    assert 0 <= results["summary"].values["pairs"][0]["agreement"] < 1


def test_half_precision_agrees_to_its_digits(workshop, five, many):
    results, _, _ = workshop.inspect(five[:1], **SMALL, precision="bfloat16")
    row = results["report"].values["files"][0]
    assert row["nll"] == pytest.approx(many[0]["report"].values["files"][0]["nll"], rel=0.05)
    assert np.isfinite(results["surface:random"].values["test_nll"]).all()


def test_chosen_parameters_alone_move(workshop, five):
    _, _, key = workshop.inspect(five[:1], **SMALL, only=("fc.*",), rank=2)
    found = Library(workshop.home, gallery=None).weights(key, "plane-random")
    module = own_models.small()
    moved = np.abs(found["basis"]).max(0) > 0
    names = np.repeat([name for name, _ in module.named_parameters()], [p.numel() for p in module.parameters()])
    assert set(names[moved]) == {"fc.weight"}


def test_a_changed_file_is_another_run_and_is_not_mistaken_for_the_first(workshop, five, tmp_path):
    path = workshop.save("changing.pt", torch.load(five[0], weights_only=True))
    first = parse("inspect", {"files": (path,), "data": "digits", **SMALL})
    workshop.save("changing.pt", torch.load(five[1], weights_only=True))
    assert parse("inspect", {"files": (path,), "data": "digits", **SMALL}) != first
    _, status, message = compute_here("inspect", first, tmp_path)
    assert status == "failed"
    assert "has changed since" in message


def test_weights_that_do_not_fit_into_memory_are_read_again(workshop, five, many, monkeypatch):
    from landscape.recipes.inspecting import files, report

    monkeypatch.setattr(report, "Family", lambda *args: files.Family(*args, memory=1))
    found, _, _ = workshop.inspect(five, **SMALL, seed=1)
    for quantity, values in many[0]["matrix"].values.items():
        np.testing.assert_array_equal(found["matrix"].values[quantity], values)


def test_names_are_as_long_as_they_need_to_be():
    assert short_names(["/a/x.pt", "/a/y.pt"]) == ("x.pt", "y.pt")
    assert short_names(["/a/1/x.pt", "/a/2/x.pt", "/b/2/x.pt"]) == ("a/1/x.pt", "a/2/x.pt", "b/2/x.pt")


@pytest.mark.parametrize(
    ("given", "said"),
    [({"files": ()}, "1 to 100 files"), ({"arguments": "[1]"}, "JSON object"), ({"arguments": "{"}, "JSON object"),
     ({"data": "digit"}, "Did you mean 'digits'"), ({"loss": "crossentropy"}, "Did you mean 'cross-entropy'"),
     ({"normalisation": "x"}, "standard, none, unit"), ({"grid": "1000"}, "this server's limit"),
     ({"files": ("/etc/hostname",)}, "outside the folders"), ({"digests": ("a", "b")}, "one SHA-256")],
)
def test_settings_that_cannot_be_meant_are_refused(workshop, five, given, said):
    with pytest.raises(BadInput, match=said):
        parse("inspect", {"files": (five[0],), "data": "digits"} | given)
