"""Every named choice: what it is called, where it lives and what it starts from. Rows are data; a test loads each one.

Nothing here imports torch, so pages may read it. ``Row.load()`` imports what the row names.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from typing import Any

from landscape.errors import unknown


@dataclass(frozen=True)
class Row:
    """One choice: a title and a sentence for people, ``module:function`` for the program, settings it starts from."""

    title: str
    about: str
    target: str
    defaults: dict[str, Any] = field(default_factory=dict)

    def load(self):
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


# name -> function(seed: int = 0) -> data.Dataset
DATASETS = {
    "digits": Row("Handwritten digits 8x8", "1,797 scanned digits, ten classes.", "landscape.data.embedded:digits"),
    "mnist1d": Row("MNIST-1D", "5,000 signals of 40 samples, ten classes.", "landscape.data.embedded:mnist1d"),
    "mnist5k": Row("MNIST 5k", "5,000 handwritten digits 28x28.", "landscape.data.embedded:mnist5k"),
    "moons": Row("Two moons", "Two interleaved half circles with noise.", "landscape.data.synthetic:moons"),
    "spirals": Row("Three spirals", "Three interleaved spiral arms.", "landscape.data.synthetic:spirals"),
    "regression": Row("1-D regression with gaps", "Three clusters of points with gaps between.",
                      "landscape.data.synthetic:regression"),
}

# name -> function(shape: tuple[int, ...], outputs: int, widths, activation, norm) -> nn.Module
NETWORKS = {
    "mlp": Row("MLP", "Fully connected layers.", "landscape.networks.architectures:mlp",
               {"widths": (100, 100), "norm": "none"}),
    "conv": Row("Small conv net", "3x3 convolutions, stride 2, then a linear layer.",
                "landscape.networks.architectures:conv", {"widths": (8, 16), "norm": "none"}),
    "preresnet8": Row("PreResNet-8", "Pre-activation residual network, 8 layers.",
                      "landscape.networks.architectures:preresnet8", {"widths": (8, 16, 32), "norm": "batch"}),
    "preresnet20": Row("PreResNet-20", "Pre-activation residual network, 20 layers.",
                       "landscape.networks.architectures:preresnet20", {"widths": (16, 32, 64), "norm": "batch"}),
}
ACTIVATIONS = ("relu", "tanh", "gelu")
NORMS = ("none", "batch", "group")

# name -> function(settings of training) -> rate(step, steps) in units of the base rate
SCHEDULES = {
    "constant": Row("Constant", "The same rate to the end.", "landscape.training.schedules:constant"),
    "linear": Row("Linear decay of the talk", "Constant to one half, linear to 1% at nine tenths, then 1%.",
                  "landscape.training.schedules:linear"),
    "cosine": Row("Cosine", "Half a cosine from the base rate to zero.", "landscape.training.schedules:cosine"),
}

# What each task starts from; everything can be set. Measured to reach the figures the README quotes.
TASKS: dict[str, dict[str, Any]] = {
    "digits": {"network": "mlp", "widths": (32, 32), "train_size": 600, "epochs": 60, "batch_size": 64, "lr": 0.1,
               "weight_decay": 5e-4, "curve_epochs": 60, "curve_lr": 0.1},
    "mnist1d": {"network": "mlp", "widths": (100, 100), "epochs": 40, "batch_size": 128, "lr": 0.2,
                "weight_decay": 1e-3, "curve_epochs": 60, "curve_lr": 0.2},
    "mnist5k": {"network": "conv", "widths": (8, 16), "norm": "batch", "train_size": 3000, "epochs": 10,
                "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "curve_epochs": 10, "curve_lr": 0.1, "grid": 49,
                "every": 0.5, "fge_cycle": 1.0, "hessian_examples": 1000},
    "moons": {"network": "mlp", "widths": (32, 32), "epochs": 100, "batch_size": 50, "lr": 0.1, "weight_decay": 1e-3,
              "curve_epochs": 100, "curve_lr": 0.1},
    "spirals": {"network": "mlp", "widths": (32, 32), "epochs": 150, "batch_size": 50, "lr": 0.1,
                "weight_decay": 5e-4, "curve_epochs": 150, "curve_lr": 0.1},
    "regression": {"network": "mlp", "widths": (50, 50), "activation": "tanh", "epochs": 200, "batch_size": 50,
                   "lr": 0.003, "weight_decay": 1e-3, "curve_epochs": 200, "curve_lr": 0.001, "noise_variance": 0.05},
}
OWN_DATA = {"network": "mlp", "widths": (100, 100), "epochs": 40, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4,
            "curve_epochs": 40, "curve_lr": 0.1}

# What the posterior of each task starts from, beside that. Temperatures other than 1 have the lowest NLL on validation data.
POSTERIORS: dict[str, dict[str, Any]] = {
    "digits": {"subspace": "curve", "temperature": 10.0, "prior_std": 1.0, "draws": 200, "compared": ("random", "pca"),
               "methods": ("swag", "swag_diagonal", "multiswa", "multiswag", "ensemble", "ess", "vi_full", "flow"),
               "temperatures": (1.0, 3.0, 10.0, 30.0, 100.0), "grid": 49},
    "mnist1d": {"subspace": "pca", "temperature": 1000.0, "prior_std": 3.0, "draws": 60, "grid": 33,
                "methods": ("swag", "swag_diagonal", "multiswa", "multiswag", "ensemble", "ess")},
    "moons": {"subspace": "curve", "temperature": 1.0, "prior_std": 1.0, "compared": ("random", "pca"),
              "methods": ("swag", "multiswag", "ensemble", "ess", "vi", "vi_full", "flow", "laplace_subspace", "hmc"),
              "reference": "hmc", "weight_draws": 40, "weight_warmup": 40, "temperatures": (0.3, 1.0, 3.0, 10.0, 100.0),
              "prior_stds": (0.3, 1.0, 3.0, 10.0)},
    "regression": {"subspace": "pca", "temperature": 1.0, "prior_std": 5.0, "compared": ("random", "curve"),
                   "methods": ("swag", "multiswag", "ensemble", "ess", "nuts", "hmc"), "reference": "hmc",
                   "weight_draws": 40, "weight_warmup": 40, "temperatures": (1.0, 10.0, 100.0)},
}

# name -> infer(given, *, draws, chains, generator, watch, **options) -> posteriors.method.Draws; the defaults are its
# options, "over" what it explores: a "subspace", all "weights" or trained "networks"; "needs" fields of method.Given; and
# "block" how many Markov chains go side by side at most: further ones are a block of their own (posteriors.blocks)
ABOUT_METHODS = ("over", "needs", "block")  # what is no option
METHODS = {
    "ess": Row("Elliptical slice sampling", "Any likelihood under a Gaussian prior; nothing to tune.",
               "landscape.posteriors.ess:infer",
               {"over": "subspace", "needs": ("target",), "block": 16, "draws": 500, "chains": 16, "warmup": 100,
                "thin": 1}),
    "hmc": Row("HMC", "Full-batch Hamiltonian Monte Carlo, all chains at once.", "landscape.posteriors.hmc:infer",
               {"over": "weights", "needs": ("target",), "block": 16, "draws": 100, "chains": 16, "warmup": 100,
                "trajectory": 1.5708, "most_steps": 64, "accept": 0.8, "step_size": None, "metric": None, "thin": 1}),
    "nuts": Row("NUTS", "The no-U-turn sampler of pyro.", "landscape.posteriors.nuts:infer",
                {"over": "subspace", "needs": ("target",), "block": 4, "draws": 1000, "chains": 4, "warmup": 200,
                 "accept": 0.9, "max_depth": 8, "metric": None}),
    "sgld": Row("Cyclical SGLD", "Langevin steps on batches of examples, their size going round in cycles.",
                "landscape.posteriors.sgld:infer",
                {"over": "subspace", "needs": ("target",), "block": 16, "draws": 200, "chains": 16, "warmup": 200,
                 "cycle": 50, "explore": 0.5, "per_cycle": 5, "batch_size": 0, "step_size": None, "metric": None}),
    "metropolis": Row("Random-walk Metropolis", "Steps in any direction, taken or not: the plainest sampler.",
                      "landscape.posteriors.metropolis:infer",
                      {"over": "subspace", "needs": ("target",), "block": 16, "draws": 500, "chains": 16, "warmup": 500,
                       "thin": 5, "step_size": None}),
    "swag": Row("SWAG", "A Gaussian with the first two moments of SGD's snapshots.", "landscape.posteriors.swag:infer",
                {"over": "networks", "needs": ("trajectories",), "draws": 30, "chains": 1, "rank": 20, "scale": 0.5,
                 "deviations": "final"}),
    "swag_diagonal": Row("SWAG-diagonal", "The variances of SGD's snapshots alone.", "landscape.posteriors.swag:infer",
                         {"over": "networks", "needs": ("trajectories",), "draws": 30, "chains": 1, "rank": 0,
                          "scale": 1.0}),
    "multiswag": Row("MultiSWAG", "SWAG around each of several solutions.", "landscape.posteriors.multiswag:infer",
                     {"over": "networks", "needs": ("trajectories",), "draws": 30, "chains": 1, "rank": 20, "scale": 0.5,
                      "deviations": "final"}),
    "multiswa": Row("MultiSWA", "An ensemble of SWA solutions.", "landscape.posteriors.multiswa:infer",
                    {"over": "networks", "needs": ("trajectories",), "draws": 1, "chains": 1}),
    "ensemble": Row("Deep ensemble", "Networks trained from several seeds.", "landscape.posteriors.ensemble:infer",
                    {"over": "networks", "needs": ("networks",), "draws": 1, "chains": 1}),
    "dropout": Row("MC dropout", "A network trained with dropout, and predictions with it.",
                   "landscape.posteriors.dropout:infer",
                   {"over": "networks", "needs": ("task",), "draws": 30, "chains": 1, "drop": 0.1, "epochs": 40, "lr": 0.1,
                    "batch_size": 128, "momentum": 0.9}),
    "laplace": Row("Laplace, last layer", "A Gaussian over the last layer's weights with their exact curvature.",
                   "landscape.posteriors.laplace:infer",
                   {"over": "networks", "needs": ("task", "networks"), "draws": 30, "chains": 1, "structure": "last layer",
                    "prior_std": None, "temperature": 1.0}),
    "laplace_subspace": Row("Laplace, subspace", "A Gaussian at the top of the posterior with its curvature there.",
                            "landscape.posteriors.laplace:infer",
                            {"over": "subspace", "needs": ("target",), "draws": 500, "chains": 4, "structure": "subspace"}),
    "laplace_kronecker": Row("Laplace, Kronecker", "A Gaussian over all weights with factored curvature (an extra).",
                             "landscape.posteriors.laplace:infer",
                             {"over": "networks", "needs": ("task", "networks"), "draws": 30, "chains": 1,
                              "structure": "kronecker", "prior_std": None, "temperature": 1.0}),
    "vi": Row("Mean-field VI", "The nearest Gaussian with independent coordinates.", "landscape.posteriors.vi:infer",
              {"over": "subspace", "needs": ("target",), "draws": 500, "chains": 4, "full": False, "steps": 300,
               "samples": 16, "rate": None}),
    "vi_full": Row("Full-covariance VI", "The nearest Gaussian.", "landscape.posteriors.vi:infer",
                   {"over": "subspace", "needs": ("target",), "draws": 500, "chains": 4, "full": True, "steps": 300,
                    "samples": 16, "rate": None}),
    "flow": Row("Normalising flow", "The nearest Gaussian, bent by splines.", "landscape.posteriors.flow:infer",
                {"over": "subspace", "needs": ("target",), "draws": 500, "chains": 4, "steps": 400, "samples": 64,
                 "rate": 0.01, "transforms": 3, "hidden": 32, "bins": 16}),
}

# Sources of predictions: name -> function(walk, settings, defaults, group) -> recipes.judged.sources.Networks; "branch" is
# the part of SGD's walk that a single network is from, "method" the row of METHODS that draws several
_TAKEN, _DRAWN = "landscape.recipes.judged.sources:taken", "landscape.recipes.judged.sources:drawn"
SOURCES = {
    "sgd": Row("SGD", "The last network of SGD whose rate decays.", _TAKEN, {"branch": "sgd"}),
    "last": Row("Constant rate", "The last network of SGD at a constant rate.", _TAKEN, {"branch": "last"}),
    "swa": Row("SWA", "One network: the mean weights of SGD's snapshots.", _TAKEN, {"branch": "swa"}),
    "swag": Row("SWAG", "Networks from a Gaussian with the first two moments of SGD's snapshots.", _DRAWN,
                {"method": "swag"}),
    "swag_diagonal": Row("SWAG-diagonal", "Networks from a Gaussian with the variances of the snapshots alone.", _DRAWN,
                         {"method": "swag_diagonal"}),
    "ensemble": Row("Deep ensemble", "SGD's networks from several seeds.", _DRAWN, {"method": "ensemble"}),
    "multiswa": Row("MultiSWA", "SWA's networks from several seeds.", _DRAWN, {"method": "multiswa"}),
    "multiswag": Row("MultiSWAG", "Networks from SWAG's Gaussians around several solutions.", _DRAWN,
                     {"method": "multiswag"}),
    "dropout": Row("MC dropout", "A network trained with dropout, and dropout kept when it predicts.", _DRAWN,
                   {"method": "dropout"}),
    "laplace": Row("Laplace, last layer", "Networks from a Gaussian over the last layer with its exact curvature.", _DRAWN,
                   {"method": "laplace"}),
}

# Unknown inputs: name -> function(dataset, settings) -> (m, *shape); "classes" trains other networks, which never see some
UNKNOWNS = {
    "classes": Row("Held-out classes", "Test examples of classes that were left out of training, for networks of their own.",
                   "landscape.recipes.judged.unknown:held_out"),
    "shuffled": Row("Shuffled inputs", "Test examples with their values in random order.",
                    "landscape.recipes.judged.unknown:shuffled"),
    "noise": Row("Noise", "Normal noise of the mean and deviation of the test examples.",
                 "landscape.recipes.judged.unknown:noise"),
    "far": Row("Far away", "Test examples moved away from the mean, to five times their distance.",
               "landscape.recipes.judged.unknown:far"),
}

# What the comparison of each task starts from, beside its training. Corruptions and unknown inputs that suit the inputs.
_LADDER = ("noise", "blur", "shift", "rotation", "contrast")
CALIBRATIONS: dict[str, dict[str, Any]] = {
    "mnist1d": {"corruptions": _LADDER, "ood": "classes"},
    "digits": {"corruptions": _LADDER, "ood": "classes"},
    "mnist5k": {"corruptions": _LADDER, "ood": "classes", "seeds": (0, 1, 2), "swag_draws": 15, "shift_examples": 300,
                "repeats": 1},
    "moons": {"corruptions": ("noise",), "ood": "far"},
    "spirals": {"corruptions": ("noise",), "ood": "far"},
    "regression": {},
}

# name -> settings model (no torch) and function(settings, context) (torch); for recipes whose networks can be opened
# "places": function(settings, reader) -> recipes.places.Places, and if they can be kept on their own
# "kept": function(settings, tensors by name) -> recipes.training.Problem
# "costs": function(settings, recipes.bill.Bill) -> None, which puts down what a run will cost before it starts
RECIPES = {
    "valleys": Row("Valleys", "Three optima, the curves between them and the three planes of slide 7.",
                   "landscape.recipes.valleys:compute",
                   {"settings": "landscape.settings:Valleys", "places": "landscape.recipes.valleys:places",
                    "costs": "landscape.recipes.costs:valleys"}),
    "training": Row("Training", "K networks trained at once from K seeds.",
                    "landscape.recipes.training:compute",
                    {"settings": "landscape.settings:Training", "places": "landscape.recipes.training:places",
                     "kept": "landscape.recipes.training:kept", "costs": "landscape.recipes.costs:training"}),
    "curves": Row("Curves", "A Bezier curve and a polygonal chain between two trained networks.",
                  "landscape.recipes.curves:compute",
                  {"settings": "landscape.settings:Curves", "places": "landscape.recipes.curves:places",
                   "costs": "landscape.recipes.costs:curves"}),
    "network": Row("Network", "One point of a run, kept in a file of its own.", "landscape.recipes.network:compute",
                   {"settings": "landscape.settings:Network", "places": "landscape.recipes.network:places"}),
    "inspect": Row("Checkpoints", "Trained networks from files: a report, then planes, lines, paths and pairs.",
                   "landscape.recipes.inspect:compute",
                   {"settings": "landscape.settings_inspect:Inspect", "places": "landscape.recipes.inspect:places",
                    "kept": "landscape.recipes.inspect:kept", "costs": "landscape.recipes.costs:inspected"}),
    "averaging": Row("Averaging", "Where SGD goes, what averaging its weights does, and how wide the place is it finds.",
                     "landscape.recipes.averaging:compute",
                     {"settings": "landscape.settings_averaging:Averaging", "places": "landscape.recipes.averaging:places",
                      "costs": "landscape.recipes.costs:averaging"}),
    "walk": Row("Walk", "SGD with a decaying rate, and a branch at a constant rate, from the same starts.",
                "landscape.recipes.walks:compute",
                {"settings": "landscape.settings_averaging:Walk", "places": "landscape.recipes.walks:places",
                 "costs": "landscape.recipes.costs:walk"}),
    "branches": Row("Branches", "Longer budgets and fast geometric ensembles, going on from a walk.",
                    "landscape.recipes.branches:compute",
                    {"settings": "landscape.settings_averaging:Branches", "places": "landscape.recipes.branches:places",
                     "costs": "landscape.recipes.costs:branches"}),
    "posterior": Row("Posterior", "Networks drawn from a posterior by several methods, and what they predict together.",
                     "landscape.recipes.posterior:compute",
                     {"settings": "landscape.settings_posterior:Posterior", "places": "landscape.recipes.posterior:places",
                      "costs": "landscape.recipes.costs:posterior"}),
    "around": Row("Posterior", "The posterior around trained networks from files.", "landscape.recipes.posterior:compute",
                  {"settings": "landscape.settings_posterior:Around", "places": "landscape.recipes.posterior:places",
                   "costs": "landscape.recipes.costs:around"}),
    "calibration": Row("Calibration", "What predictions of several sources know of their own errors, before and after "
                       "calibration.", "landscape.recipes.calibration:compute",
                       {"settings": "landscape.settings_calibration:Calibration",
                        "costs": "landscape.recipes.costs:calibration"}),
    "predictions": Row("Predictions", "A file of predictions from anywhere, judged as the app's own.",
                       "landscape.recipes.predictions:compute",
                       {"settings": "landscape.settings_calibration:PredictionsFile",
                        "costs": "landscape.recipes.costs:predictions"}),
}


def row(kind: str, table: dict[str, Row], name: str) -> Row:
    """The row called ``name``; an unknown name is answered with the nearest right one."""
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


if os.environ.get("LANDSCAPE_RECIPES"):  # module:TABLE with rows of the user's own, seen by every process of the app
    RECIPES |= Row("", "", os.environ["LANDSCAPE_RECIPES"]).load()
