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
                   "lr": 0.003, "weight_decay": 1e-3, "curve_epochs": 200, "curve_lr": 0.003, "noise_variance": 0.05},
}
OWN_DATA = {"network": "mlp", "widths": (100, 100), "epochs": 40, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4,
            "curve_epochs": 40, "curve_lr": 0.1}

# name -> settings model (no torch) and function(settings, context) (torch); for recipes whose networks can be opened
# "places": function(settings, reader) -> recipes.places.Places, and if they can be kept on their own
# "kept": function(settings, tensors by name) -> recipes.training.Problem
RECIPES = {
    "valleys": Row("Valleys", "Three optima, the curves between them and the three planes of slide 7.",
                   "landscape.recipes.valleys:compute",
                   {"settings": "landscape.settings:Valleys", "places": "landscape.recipes.valleys:places"}),
    "training": Row("Training", "K networks trained at once from K seeds.",
                    "landscape.recipes.training:compute",
                    {"settings": "landscape.settings:Training", "places": "landscape.recipes.training:places",
                     "kept": "landscape.recipes.training:kept"}),
    "curves": Row("Curves", "A Bezier curve and a polygonal chain between two trained networks.",
                  "landscape.recipes.curves:compute",
                  {"settings": "landscape.settings:Curves", "places": "landscape.recipes.curves:places"}),
    "network": Row("Network", "One point of a run, kept in a file of its own.", "landscape.recipes.network:compute",
                   {"settings": "landscape.settings:Network", "places": "landscape.recipes.network:places"}),
    "inspect": Row("Checkpoints", "Trained networks from files: a report, then planes, lines, paths and pairs.",
                   "landscape.recipes.inspect:compute",
                   {"settings": "landscape.settings_inspect:Inspect", "places": "landscape.recipes.inspect:places",
                    "kept": "landscape.recipes.inspect:kept"}),
    "averaging": Row("Averaging", "Where SGD goes, what averaging its weights does, and how wide the place is it finds.",
                     "landscape.recipes.averaging:compute",
                     {"settings": "landscape.settings_averaging:Averaging", "places": "landscape.recipes.averaging:places"}),
    "walk": Row("Walk", "SGD with a decaying rate, and a branch at a constant rate, from the same starts.",
                "landscape.recipes.walks:compute",
                {"settings": "landscape.settings_averaging:Walk", "places": "landscape.recipes.walks:places"}),
    "branches": Row("Branches", "Longer budgets and fast geometric ensembles, going on from a walk.",
                    "landscape.recipes.branches:compute",
                    {"settings": "landscape.settings_averaging:Branches", "places": "landscape.recipes.branches:places"}),
}


def row(kind: str, table: dict[str, Row], name: str) -> Row:
    """The row called ``name``; an unknown name is answered with the nearest right one."""
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


if os.environ.get("LANDSCAPE_RECIPES"):  # module:TABLE with rows of the user's own, seen by every process of the app
    RECIPES |= Row("", "", os.environ["LANDSCAPE_RECIPES"]).load()
