"""What a run will cost before it starts: its work is counted from the settings, pieces of it are timed (``probing``).

A recipe whose catalog row has ``defaults["costs"]`` names a function ``(settings, bill) -> None`` that puts down what its
``compute`` does. Counts are those of the code; where only the run itself can tell (how many cells an adaptive picture needs,
how many proposals a slice takes) they are what runs on the embedded tasks took.
"""

from __future__ import annotations

from collections.abc import Callable

from landscape import catalog, schedules
from landscape.data import OWN_FILE
from landscape.networks.roots import allowed
from landscape.posteriors.blocks import blocks
from landscape.posteriors.flow import GAUSSIAN_STEPS
from landscape.recipes.averaged.width import PROBES as TRACED
from landscape.recipes.bill import BOTH, Bill
from landscape.recipes.inferred.labels import MEMBERS, Label, labels
from landscape.recipes.inspecting.cost import FIRST, views
from landscape.recipes.inspecting.files import contents, own_folders
from landscape.recipes.inspecting.subject import Subject, subject
from landscape.recipes.opening import GRID, LINE
from landscape.recipes.planes import EXPECTED_SHARE, LEAST_ASPECT
from landscape.recipes.probing import Probe, account_seconds
from landscape.recipes.valleys import STEPS
from landscape.settings import Curves, Settings, Training, Valleys
from landscape.settings_averaging import Averaging, Branches, Walk
from landscape.settings_calibration import Calibration, PredictionsFile, path_of
from landscape.settings_inspect import Inspect
from landscape.settings_posterior import Around, Inference, Posterior
from landscape.uncertainty.reading import read

ASPECT = (1 + LEAST_ASPECT) / 2  # of a picture whose shape is not known yet
PROPOSALS = 6  # of an ellipse, until one is accepted
FITTED = 2.0  # what a fit takes, its gradients being 1
SEARCHED = 4 * 25**2  # points that look for the mass of a posterior before its grid is drawn
SPECTRUM = 150  # products for the largest eigenvalues of both Hessians
ASCENTS = 24  # gradients' worth of both balls
CALIBRATOR = 0.3  # of the time of an account of predictions with its intervals


def estimate(recipe: str, s: Settings, reader=None,
             there: Callable[[str, Settings], bool] = lambda recipe, s: False) -> dict:
    """``{"evaluations", "steps", "gradients", "flops", "memory", "disk", "seconds", "parts", "there"}`` of a run.

    ``reader`` reaches other runs, for recipes that go on from them. Raises what the probed network or files raise.
    """
    bill = Bill(reader, there)
    catalog.Row("", "", catalog.row("recipe", catalog.RECIPES, recipe).defaults["costs"]).load()(s, bill)
    return bill.told()


def cells(grid: int, picture: str = "adaptive", aspect: float = ASPECT) -> float:
    """How many cells of a picture are evaluated."""
    every = aspect * grid**2
    return every if picture == "exact" else min(every, FIRST + EXPECTED_SHARE * every)


def training(s: Training, bill: Bill) -> None:
    bill.of(s)
    bill.train("training", len(s.seeds), s.epochs)
    bill.keep(len(s.seeds))


def curves(s: Curves, bill: Bill) -> None:
    bill.part("training", Training, s)
    bill.of(s)
    bill.curve("curves", s.bends, s.curve_epochs)
    bill.keep(2 * (s.bends + 2))


def valleys(s: Valleys, bill: Bill) -> None:
    bill.part("curves", Curves, s)
    bill.of(s)
    bill.draw("surfaces", 3 * cells(s.grid, s.picture), buffers=bill.task.net.buffers if s.batchnorm == "stored" else None)
    bill.refine("surfaces", 3, s.grid)
    bill.judge("profiles", 3 * STEPS + 9)


def walk(s: Walk, bill: Bill) -> None:
    bill.of(s)
    plans = s.plans(schedules.steps_per_epoch(len(bill.task.splits["train"][0]), s.batch_size))
    shared = schedules.shared_epochs([plans["sgd"], plans["constant"].head(s.epochs)])
    bill.train("walk", len(s.seeds), 2 * s.epochs - shared)
    snapshots = 2 * (s.epochs + 1) + len(plans["constant"].collect)
    bill.keep(snapshots * len(s.seeds))
    bill.hold(2 * snapshots * len(s.seeds) * bill.vector)


def branches(s: Branches, bill: Bill) -> None:
    bill.part("walk", Walk, s)
    bill.of(s)
    plans = s.plans(schedules.steps_per_epoch(len(bill.task.splits["train"][0]), s.batch_size))
    for name, epoch in s.forks(plans).items():
        bill.train("branches", len(s.seeds), plans[name].epochs - epoch)
        bill.keep(len(s.seeds) * max(1, len(plans[name].collect)))


def averaging(s: Averaging, bill: Bill) -> None:
    bill.part("branches", Branches, s)
    bill.of(s)
    seeds, n = len(s.seeds), len(bill.task.splits["train"][0])
    snapshots = int((s.epochs - s.start) / s.every + 1e-9)
    sets = tuple(split for split in ("train", "validation", "test") if len(bill.task.splits[split][0]))
    bill.judge("histories", seeds * (2 * (s.epochs + 1) + 2 * snapshots), sets)
    bill.draw("surfaces", 3 * cells(s.grid, s.picture) + 2 * cells(s.grid, s.picture, 1.0))
    bill.refine("surfaces", 5, s.grid)
    bill.draw("lines and rays", s.line_points + 2 * s.rays * s.ray_points)
    bill.judge("gap", 30.0, ("test",))
    rows, examples = 2 * seeds + 2, min(n, s.hessian_examples)
    products = (SPECTRUM + TRACED if s.hessian else 0) + ASCENTS
    bill.curvature("width", rows * products, examples)
    bill.draw("width", 2 * rows * s.rays * s.ray_points, ("train",))


def posterior(s: Posterior, bill: Bill) -> None:
    bill.part("walk", Walk, s)
    if "curve" in (s.subspace, *s.compared):
        bill.part("curves", Curves, s, seeds=s.seeds[:2])
    bill.of(s)
    _inferred(s, bill, len(s.seeds))


def around(s: Around, bill: Bill) -> None:
    source = bill.reader.other(s.source)
    own = source.settings.model_copy(update={"device": "auto", "precision": "float32"})
    _opened(own, bill, source)
    _inferred(s, bill, len(own.files))


def _inferred(s: Inference, bill: Bill, networks: int) -> None:
    bill.draw("theatre", s.grid**2 + SEARCHED, ("train",))
    bill.draw("picture of the loss", cells(s.grid))
    bill.refine("picture of the loss", 1, s.grid)
    for label in labels(s):
        repeats = networks if label.over == "networks" and not label.trains else min(s.repeats, networks)
        drawn = _method(s, label, bill, repeats)
        bill.judge(label.title, min(drawn, s.averaged) * (repeats + _shown(bill)), ("test",))
    known, points = catalog.METHODS["ess"].defaults, len(s.temperatures) + len(s.prior_stds)
    chains, warmup = s.chains or known["chains"], known["warmup"] if s.warmup is None else s.warmup
    if points:
        _follow(bill, "sweeps", known, chains, points * PROPOSALS * (warmup + s.side_draws), s.dimension, False,
                s.precision)
        bill.judge("sweeps", points * min(s.side_draws * chains, s.averaged), BOTH)


def _shown(bill: Bill) -> float:
    """Examples beside those of the test set for which a prediction is shown, in test sets: a plane or a line of inputs."""
    x, y = bill.task.splits["test"]
    plane = x.shape[1:] == (2,) and not y.is_floating_point()
    return (GRID**2 if plane else LINE if y.is_floating_point() else 0) / max(1, len(x))


def _method(s: Inference, label: Label, bill: Bill, repeats: int) -> float:
    """Puts a method down; gives the number of its draws."""
    known = {name: value for name, value in label.row.defaults.items() if name not in catalog.ABOUT_METHODS}
    given = known | label.options(s)
    draws, chains, warmup = given.get("draws", 1), given.get("chains", 1), given.get("warmup", 0)
    dimension, stage, kept = 0 if label.over == "weights" else s.dimension, label.title, draws * given.get("thin", 1)

    def follow(calls: float, gradients: bool) -> None:
        _follow(bill, stage, label.row.defaults, chains, repeats * calls, dimension, gradients, s.precision)

    put = {
        "ess": lambda: follow(PROPOSALS * (warmup + kept), False),
        "metropolis": lambda: follow(warmup + kept, False),
        "hmc": lambda: follow(given["most_steps"] * (warmup + kept), True),
        "nuts": lambda: bill.take(
            stage, repeats * chains * (warmup + kept) * bill.probe.draw("nuts", dimension, s.precision)),
        "sgld": lambda: follow(warmup + draws * given["cycle"] / given["per_cycle"], True),
        "vi": lambda: bill.follow(stage, repeats * FITTED * given["steps"], given["samples"], dimension, True),
        "flow": lambda: (bill.follow(stage, repeats * FITTED * GAUSSIAN_STEPS, 16, dimension, True),
                         bill.follow(stage, repeats * FITTED * given["steps"], given["samples"], dimension, True)),
        "laplace_subspace": lambda: bill.follow(stage, repeats * 200, 1, dimension, True),
        "dropout": lambda: bill.train(stage, 1, repeats * given["epochs"]),
    }.get("vi" if label.method == "vi_full" else label.method)
    if put is not None:
        put()
    bill.counts["disk"] += repeats * draws * chains * (bill.vector if label.over != "subspace" else 8 * dimension)
    return draws * chains * (s.members if label.many else 1)


def _follow(bill: Bill, stage: str, about: dict, chains: int, calls: float, dimension: int, gradients: bool,
            precision: str) -> None:
    """Steps of chains: those of a block side by side, one block after the other (``method.divided``)."""
    together = bill.task.splits["train"][0].device.type != "cpu"
    parts = blocks(chains, chains if together else about["block"])
    bill.follow(stage, calls * len(parts), len(parts[0]), dimension, gradients, precision)


def calibration(s: Calibration, bill: Bill) -> None:
    if s.sources:
        bill.part("walk", Walk, s)
    bill.of(s)
    ladder = len(s.corruptions) * 5 * min(s.shift_examples, len(bill.task.splits["test"][0]))
    share = 1 + ladder / max(1, len(bill.task.splits["test"][0]))
    for name in s.sources:
        row = catalog.SOURCES[name].defaults
        many = catalog.METHODS[row["method"]].defaults.get("draws", 1) > 1 if "method" in row else False
        members = s.members if row.get("method") in MEMBERS else 1
        drawn = members * (s.swag_draws if many else 1)
        repeats = 1 if name == "dropout" else min(s.repeats, len(s.seeds))
        if name == "dropout":
            bill.train(name, 1, s.epochs)
        bill.judge(name, drawn * (share + repeats + _shown(bill)), ("test", "validation") if s.calibrators else ("test",))
        _judged(s, name, bill)
    for name in (*s.opened, *s.posteriors):
        _judged(s, name.partition(":")[2], bill)
    if s.ood == "classes" and s.sources:
        bill.train("held-out classes", len(s.seeds), 1.5 * s.epochs)


def _judged(s: Calibration, name: str, bill: Bill) -> None:
    """Metrics of a source with their intervals, again at its temperature, and after each calibrator."""
    x, y = bill.task.splits["test"]
    if y.is_floating_point():
        return
    accounts = 2 + (name in s.scaled) + CALIBRATOR * len(s.calibrators)
    bill.take(name, accounts * account_seconds(len(x), int(y.max()) + 1, s.draws))


def inspected(s: Inspect, bill: Bill) -> None:
    found = _opened(s, bill, bill.reader)
    bill.judge("report", len(s.files), ("test",))
    buffers = bill.task.net.buffers if s.batchnorm == "stored" and bill.task.net.batchnorm else None
    for stage, points in views(s, len(s.files)):
        if stage == "curve":
            bill.curve(stage, s.bends, s.curve_epochs, kinds=1)
        elif points:
            bill.draw(stage, points, found.splits, buffers)
    bill.keep(3.0)
    bill.hold(min(max(2, 2**30 // max(1, bill.vector)), len(s.files)) * bill.vector + 5 * 8 * bill.task.net.size)


def _opened(s: Inspect, bill: Bill, reader) -> Subject:
    """The subject of the first file; work is that of its network from here on."""
    first = contents(s.files[0], s.digests[0], reader, check=False)
    found = subject(s, first.tensors)
    bill.probe = Probe(found.task, found.task.net.initial, s.batch_size)
    return found


def predictions(s: PredictionsFile, bill: Bill) -> None:
    path = path_of(s.file) if s.file.startswith(OWN_FILE) else allowed(s.file, own_folders(), kind="file")
    test = read(path, None if s.kind == "auto" else s.kind).test
    bill.hold(4.0 * test.outputs.nbytes)
    bill.take("judging", (2 + CALIBRATOR * len(s.calibrators)) * account_seconds(len(test), test.classes, s.draws))
