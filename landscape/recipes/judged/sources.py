"""Where predictions come from: networks of SGD's walk, networks drawn around it, and networks of stored runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape import catalog
from landscape.errors import BadInput, unknown
from landscape.posteriors.method import Given, infer
from landscape.recipes.averaged.curves import of_one
from landscape.recipes.inferred.draws import thinned
from landscape.recipes.inferred.labels import BASELINES, MEMBERS
from landscape.recipes.places import Place, Places, places_of
from landscape.recipes.training import Problem
from landscape.recipes.walks import Walked
from landscape.runs.where import parse_where
from landscape.settings_calibration import Calibration
from landscape.training.sgd import generator

STORED = 200  # draws of a stored posterior that are averaged, at most


@dataclass(frozen=True, eq=False)
class Networks:
    """What predicts: ``weights`` (M, P), or one ``place`` with its own BatchNorm statistics; sentences on them."""

    weights: Tensor | None = None
    place: Place | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Source:
    """One source of predictions for the data of ``problem``.

    ``groups`` are the seeds of each replicate, by position in the walk; ``networks(k)`` those of replicate k. ``run`` and
    ``where`` say which stored run its networks are from, and which place or method of it.
    """

    label: str
    kind: str
    title: str
    about: str
    problem: Problem
    networks: Callable[[int], Networks]
    seeds: tuple[tuple[int, ...], ...]
    run: str | None = None
    where: str | None = None

    @property
    def info(self) -> dict:
        """What results say of the source they are of."""
        return {"label": self.label, "source": self.kind, "title": self.title, "about": self.about, "run": self.run,
                "place": self.where, "seed": self.seeds[0][0] if self.seeds else None}


@dataclass(frozen=True, eq=False)
class Group:
    """Which networks of a walk a replicate is made of, and its random numbers."""

    members: tuple[int, ...]
    generator: torch.Generator = field(repr=False)


def of_walk(s: Calibration, walk: Walked, names: tuple[str, ...] | None = None) -> list[Source]:
    """The sources of the settings that are networks of this walk, or are drawn around it."""
    found = []
    for name in s.sources if names is None else names:
        row, groups = catalog.row("source", catalog.SOURCES, name), groups_of(s, walk, name)

        def networks(k: int, name=name, row=row, groups=groups) -> Networks:
            stream = generator(s.seed, zlib.crc32(f"{name} {k}".encode()))
            return row.load()(walk, s, row.defaults, Group(groups[k], stream))

        seeds = tuple(tuple(walk.seeds[i] for i in group) for group in groups)
        found.append(Source(name, name, row.title, row.about, walk.problem, networks, seeds, walk.key))
    return found


def groups_of(s: Calibration, walk: Walked, name: str) -> list[tuple[int, ...]]:
    """The networks of each replicate: one, or as many as an ensemble has, in turn; at most ``repeats`` replicates.

    A source that trains networks of its own has one replicate.
    """
    method, count = catalog.SOURCES[name].defaults.get("method"), len(walk.seeds)
    if method in MEMBERS:
        size = min(s.members, count)
        return [tuple((k + i) % count for i in range(size)) for k in range(min(s.repeats, count) if size < count else 1)]
    trains = method is not None and "epochs" in catalog.METHODS[method].defaults
    return [(k,) for k in range(1 if trains else min(s.repeats, count))]


def taken(walk: Walked, s: Calibration, defaults: dict, group: Group) -> Networks:
    """One network as it is: the end of a branch, or SWA."""
    branch = {"sgd": lambda: walk.w_sgd, "last": lambda: walk.constant.at([walk.last_step]).weights[0],
              "swa": lambda: walk.w_swa}
    return Networks(branch[defaults["branch"]]()[list(group.members)])


def drawn(walk: Walked, s: Calibration, defaults: dict, group: Group) -> Networks:
    """Networks that a method of ``posteriors`` draws around those of the walk."""
    given = Given(task=walk.task, trajectories=tuple(of_one(walk.snapshots.weights, i) for i in group.members),
                  networks=walk.w_sgd[list(group.members)])
    known = catalog.row("method", catalog.METHODS, defaults["method"]).defaults
    wanted = {"draws": s.swag_draws if known.get("draws", 1) > 1 else None}
    if known.get("rank"):  # 0 is a method of its own, without deviations
        wanted |= {"rank": s.swag_rank, "scale": s.swag_scale}
    if "epochs" in known:  # one that trains
        wanted |= {"epochs": s.epochs, "lr": s.lr, "batch_size": s.batch_size, "momentum": s.momentum}
    found = infer(defaults["method"], given, generator=group.generator,
                  **{name: value for name, value in wanted.items() if value is not None})
    return Networks(found.weights, said=tuple(found.info.get("said", ())))


def of_stored(s: Calibration, context) -> list[Callable[[], Source]]:
    """What makes the sources of other runs, one function each: a run that is missing leaves the others alone."""
    opened = [lambda text=text, k=k: _opened(text, f"opened {k}", context) for k, text in enumerate(s.opened, 1)]
    averages = [lambda text=text, k=k: _posterior(text, f"posterior {k}", context)
                for k, text in enumerate(s.posteriors, 1)]
    return opened + averages


def _opened(text: str, label: str, context) -> Source:
    key, _, place = text.partition(":")
    reader, places = _stored(key, context)
    place = place if any(mark in place for mark in "=:@") else f"={place}"
    found = places.at(parse_where(reader.key, place))
    return Source(label, "stored", found.title, f"A network of the run {reader.key}.", _problem(places),
                  lambda k: Networks(place=found), (), reader.key, place)


def _posterior(text: str, label: str, context) -> Source:
    key, _, method = text.partition(":")
    reader, places = _stored(key, context)
    if method in BASELINES:
        name = f"W_{method.upper()}"
        found = [w for known, w in places.networks.items() if known == name or known.startswith(f"{name} (seed")]
        if not found:
            raise unknown("network", name, places.networks)
        rows, kept = found[0][None], 1
    else:
        samples = reader.load(f"samples:{method}")
        kept = 0 if samples is None else len(samples.chain)
        if places.draws is None or not kept or f"{method} draw 0" not in places.draws:
            raise BadInput(f"Run {reader.key} has no kept draws of {method!r}. Give a method of a finished posterior run.")
        rows = places.draws.weights(method, torch.tensor(thinned(kept, STORED)))
    title = catalog.METHODS[method].title if method in catalog.METHODS else BASELINES.get(method, method)
    said = (f"The average is over {len(rows)} of {kept} kept draws.",) if len(rows) < kept else ()
    about = f"{'The first network' if method in BASELINES else 'Draws'} of {method} kept in the run {reader.key}."
    return Source(label, "stored", f"{title}, {reader.key[:8]}", about, _problem(places),
                  lambda k: Networks(rows, said=said), (), reader.key, method)


def _stored(key: str, context) -> tuple[object, Places]:
    reader = context.other(key)
    places = places_of(reader)
    context.link(reader.key)
    return reader, places


def _problem(places: Places) -> Problem:
    return Problem(places.dataset, places.task, places.task.net.module)
