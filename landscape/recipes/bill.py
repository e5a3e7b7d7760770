"""What a run is put down as before it starts: seconds of each stage, counts of work, memory and disk."""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Callable

from landscape import catalog
from landscape.networks.architectures import initial_weights
from landscape.recipes.probing import Probe, refining_seconds, saving_seconds
from landscape.recipes.training import problem
from landscape.settings import Settings, Training
from landscape.training.sgd import generator
from landscape.training.task import Task

LEVELS = 8  # times that a picture is kept while it gets finer
BACKWARD = 3.0  # a gradient, in passes forward
PROBED = 4  # problems whose pieces stay timed
BOTH = ("train", "test")
ALIKE = ("task", "network", "widths", "activation", "norm", "train_size", "data_seed", "batch_size", "device",
         "noise_variance", "batchnorm_examples", "training_precision")  # settings that say which problem is probed

_probes: OrderedDict[tuple, Probe] = OrderedDict()


class Bill:
    """What is put down: seconds of each stage, counts, and the most memory and disk in bytes.

    ``there(recipe, settings)`` says whether a run is done already: what it would cost is left out.
    """

    def __init__(self, reader=None, there: Callable[[str, Settings], bool] = lambda recipe, s: False):
        self.reader, self.there, self.probe = reader, there, None
        self.parts: dict[str, float] = {}
        self.counts = dict.fromkeys(("evaluations", "steps", "gradients", "flops", "memory", "disk"), 0.0)
        self.done: list[str] = []

    @property
    def task(self) -> Task:
        return self.probe.task

    def of(self, s: Training) -> None:
        """From here on work is that of networks of these settings."""
        self.probe = _probed(s)
        self.hold(sum(x.numel() * x.element_size() for x, _ in self.task.splits.values()))

    def part(self, recipe: str, model: type[Settings], s: Settings, **other) -> None:
        """A run that this one is made from."""
        own = model(**{name: getattr(s, name) for name in model.model_fields} | other)
        if self.there(recipe, own):
            self.done.append(catalog.RECIPES[recipe].title.lower())
        else:
            catalog.Row("", "", catalog.RECIPES[recipe].defaults["costs"]).load()(own, self)

    def train(self, stage: str, networks: int, epochs: float) -> None:
        n = len(self.task.splits["train"][0])
        self._add(stage, self.probe.epoch(networks) * epochs, BACKWARD * n * networks * epochs)
        self.counts["steps"] += epochs * -(-n // self.probe.batch)
        self.hold(6 * networks * self.vector)

    def curve(self, stage: str, bends: int, epochs: int, kinds: int = 2) -> None:
        n = len(self.task.splits["train"][0])
        self._add(stage, self.probe.curve_epoch(bends, kinds) * epochs, BACKWARD * kinds * n * epochs)
        self.counts["steps"] += epochs * -(-n // self.probe.batch)
        self.hold(kinds * (6 * bends + 4) * self.vector)

    def draw(self, stage: str, points: float, splits: tuple[str, ...] = BOTH, buffers=None) -> None:
        """Points of planes and lines."""
        self._evaluated(stage, self.probe.point(splits, buffers), points, splits)

    def judge(self, stage: str, networks: float, splits: tuple[str, ...] = BOTH) -> None:
        """Networks that are evaluated directly."""
        self._evaluated(stage, sum(map(self.probe.network, splits)), networks, splits)

    def follow(self, stage: str, calls: float, chains: int, dimension: int, gradients: bool,
               precision: str = "float32") -> None:
        """Steps of chains side by side."""
        timed = self.probe.gradient if gradients else self.probe.proposal
        n = len(self.task.splits["train"][0])
        self._add(stage, timed(chains, dimension, precision) * calls, (BACKWARD if gradients else 1) * n * chains * calls)
        self.counts["gradients" if gradients else "evaluations"] += calls * chains
        self.hold(chains * (4 if gradients else 2) * self.vector)

    def curvature(self, stage: str, products: float, examples: int) -> None:
        self._add(stage, self.probe.product(examples) * products, 2 * BACKWARD * examples * products)
        self.counts["gradients"] += products

    def refine(self, stage: str, pictures: int, side: int) -> None:
        """What pictures take beside their evaluations; each is kept at every level."""
        self._add(stage, pictures * (refining_seconds(side) + LEVELS * saving_seconds(side)), 0.0)

    def keep(self, networks: float) -> None:
        """Weights that are stored."""
        self.counts["disk"] += networks * self.vector

    def hold(self, count: float) -> None:
        self.counts["memory"] = max(self.counts["memory"], count)

    def take(self, stage: str, seconds: float) -> None:
        self._add(stage, seconds, 0.0)

    @property
    def vector(self) -> int:
        """Bytes of one network's weights."""
        return self.task.net.size * self.task.dtype.itemsize

    def _evaluated(self, stage: str, each: float, networks: float, splits: tuple[str, ...]) -> None:
        self._add(stage, each * networks, networks * sum(len(self.task.splits[split][0]) for split in splits))
        self.counts["evaluations"] += networks
        self.hold(3 * 8 * self.task.net.size + 2 * self.vector)

    def _add(self, stage: str, seconds: float, passes: float) -> None:
        self.parts[stage] = self.parts.get(stage, 0.0) + seconds
        self.counts["flops"] += passes * (self.probe.flops if self.probe and passes else 0.0)

    def told(self) -> dict:
        """As ``runs.estimates`` puts it into words; the memory includes the program itself, as it is loaded here."""
        return {**self.counts, "memory": self.counts["memory"] + _resident(), "seconds": sum(self.parts.values()),
                "parts": self.parts, "there": self.done}


def _resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _probed(s: Training) -> Probe:
    """The pieces of a problem, timed once for as long as it is among the last that were asked for."""
    key = tuple(getattr(s, name, None) for name in ALIKE)
    if key not in _probes:
        p = problem(s, getattr(s, "batchnorm_examples", 1000))
        _probes[key] = Probe(p.task, initial_weights(p.module, generator(s.seeds[0], 0)), s.batch_size, s.momentum)
    _probes.move_to_end(key)
    while len(_probes) > PROBED:
        _probes.popitem(last=False)
    return _probes[key]
