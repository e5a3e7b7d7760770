"""Slide 7 of the talk: three optima, two curves, three planes (Garipov et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape import settings
from landscape.errors import BadInput
from landscape.geometry.curves import KINDS, Curve
from landscape.geometry.subspace import Subspace, plane
from landscape.networks.net import Buffers
from landscape.recipes.curves import bends, joined, networks, points
from landscape.recipes.places import Places
from landscape.recipes.planes import EXPECTED_SHARE, SPLITS, Plane, draw
from landscape.recipes.training import anywhere, buffers_of, optima, problem
from landscape.results import Profile, Summary
from landscape.training.task import Task

STEPS = 61  # points on a profile, as in the paper
HELD = 2**27  # bytes of the networks of a path that are held at a time
NAMES = ("optima", *KINDS)
TITLES = {"bezier": "Bezier curve", "chain": "Polygonal chain"}


def compute(s: settings.Valleys, context) -> None:
    """Saves surfaces ``optima``, ``bezier``, ``chain``, profiles ``segment``, ``bezier``, ``chain`` and ``summary``."""
    task = (p := problem(s, s.batchnorm_examples)).task
    context.plan(_costs(s, len(p.dataset.train.x), len(p.dataset.test.x)))
    curve_points = points(s, context)
    shapes = _shapes(s, task, optima(s, context, needed=3), curve_points)
    curves, buffers = shapes.curves, shapes.buffers
    said = {"batchnorm": shapes.batchnorm, "task": s.task}
    drawn = replace(task, precision=s.precision)
    planes = {name: Plane(name, flat.title, drawn, flat.subspace, flat.marks, flat.path, buffers, said)
              for name, flat in shapes.flats.items()}
    drawings = [draw(each, context, s.grid, s.margin, s.picture, s.tolerance) for each in planes.values()]
    for drawing in drawings:  # a first picture of all three before any gets finer
        next(drawing, None)
    profiles = {name: _profile(name, curve, task, planes, buffers) for name, curve in curves.items()}
    for name, profile in profiles.items():
        context.save(f"profile:{name}", profile)
    left = dict(zip(planes, drawings, strict=True))
    while left:  # one level of each in turn: the three get finer together
        for name, drawing in list(left.items()):
            if next(drawing, "finished") == "finished":
                del left[name]
                context.progress(f"surface:{name}", 1, 1)
    context.save("summary", Summary(_summary(s, context, profiles, list(planes))))


def _costs(s: settings.Valleys, train: int, test: int) -> list[tuple[str, float]]:
    """Relative costs: example passes, a training pass counted as three, small batches as slower than surfaces."""
    training, curves = 12.0 * len(s.seeds) * s.epochs * train, 12.0 * 2 * s.curve_epochs * train
    picture = s.grid**2 * 0.75 * (1.0 if s.picture == "exact" else EXPECTED_SHARE)
    return [("curves", training + curves)] + [(f"surface:{name}", picture * (train + test)) for name in NAMES]


def places(s: settings.Valleys, reader) -> Places:
    """The three planes, the paths and the marked networks; while the curves are computed, what there is without them."""
    task = (p := problem(anywhere(s), s.batchnorm_examples)).task
    found = optima(s, reader, needed=3)
    try:
        curve_points = points(s, reader)
    except BadInput:  # not there yet
        curve_points = {}
    shapes = _shapes(s, task, found, curve_points)
    optimum = [(name, w) for name, _, w in shapes.flats["optima"].marks]
    return Places(p.dataset, task, {name: flat.subspace for name, flat in shapes.flats.items()}, shapes.curves,
                  networks(optimum, shapes.curves), shapes.buffers, batchnorm=shapes.batchnorm)


@dataclass(frozen=True, eq=False)
class _Flat:
    """A plane before anything is evaluated on it; marks as in ``planes.Plane``, ``path`` (T, 2) in its coordinates."""

    title: str
    subspace: Subspace
    marks: list[tuple[str, str, torch.Tensor]]
    path: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Shapes:
    """What the weights span; ``buffers`` are those of every point unless None, ``batchnorm`` says so in words."""

    curves: dict[str, Curve]
    flats: dict[str, _Flat]
    buffers: Buffers | None
    batchnorm: str


def _shapes(s: settings.Valleys, task: Task, found: dict, curve_points: dict[str, torch.Tensor]) -> _Shapes:
    w, seeds = torch.tensor(found["w"]).to(task.splits["train"][0]), [int(seed) for seed in found["seed"]]
    curves = joined(w, curve_points)
    buffers, batchnorm = None, "none"
    if task.net.batchnorm and s.batchnorm == "stored":
        buffers, batchnorm = buffers_of(found, 0, task), f"stored, of seed {seeds[0]}"
    elif task.net.batchnorm:
        batchnorm = f"re-estimated at every point on {len(task.batchnorm_batches[0])} training examples"
    return _Shapes(curves, _flats(w, seeds, curves), buffers, batchnorm)


def _flats(w: torch.Tensor, seeds: list[int], curves: dict[str, Curve]) -> dict[str, _Flat]:
    optimum = [(f"w{i + 1} (seed {seeds[i]})", "optimum", w[i]) for i in range(3)]
    made = {"optima": _Flat("Three independently trained optima", plane(*w[:3].cpu()), optimum)}
    ends = [(name, "end", point) for name, _, point in optimum[:2]]
    t = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    for kind in [kind for kind in TITLES if kind in curves]:
        free = curves[kind].points[1:-1]
        # With several bends the plane is the one through the ends and the bend farthest from the segment.
        away = (free - 0.5 * (w[0] + w[1])).norm(dim=1) if len(free) > 1 else torch.zeros(1)
        marks = ends + [(name, "bend", bend) for name, bend in bends(curves[kind])]
        sub = plane(w[0].cpu(), w[1].cpu(), free[int(away.argmax())].cpu())
        exact = Curve(curves[kind].points.double(), kind)
        walked = [sub.project(exact.at(part).cpu()).numpy() for part in t.split(_together(w))]
        made[kind] = _Flat(TITLES[kind], sub, marks, np.concatenate(walked))
    return made


def _profile(name: str, curve: Curve, task: Task, planes: dict[str, Plane], buffers) -> Profile:
    """Every metric along a path, each point evaluated directly; its coordinates in the planes it belongs to."""
    t = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    double, values, lengths, last = Curve(curve.points.double(), curve.kind), {}, [0.0], None
    where = {k: [] for k in planes if name == "segment" or k == name}
    for part in t.split(_together(curve.points)):
        exact = double.at(part)
        for split in SPLITS:
            found = task.evaluate(exact.to(curve.points), split, buffers)
            for q in ("nll", "error", "loss"):
                values.setdefault(f"{split}_{q}", []).append(found[q].numpy())
        rows = exact if last is None else torch.cat([last, exact])
        lengths.extend((rows[1:] - rows[:-1]).norm(dim=1).tolist())
        last = exact[-1:].clone()
        for k, coordinates in where.items():
            coordinates.append(planes[k].subspace.project(exact.cpu()).numpy())
    return Profile(name, t.numpy(), np.cumsum(lengths), {m: np.concatenate(v) for m, v in values.items()},
                   {k: np.concatenate(z) for k, z in where.items()})


def _together(points: torch.Tensor) -> int:
    """How many networks like these (B, P) are held at a time, in float64."""
    return max(1, HELD // (8 * points.shape[-1]))


def _summary(s: settings.Valleys, context, profiles: dict[str, Profile], planes: list[str]) -> dict:
    surfaces = [context.load(f"surface:{name}") for name in planes]

    def along(metric: str) -> dict:
        segment = profiles["segment"].values[metric]
        return {"ends": [float(segment[0]), float(segment[-1])], "line_max": float(segment.max()),
                **{f"{kind}_max": float(profiles[kind].values[metric].max()) for kind in KINDS}}

    return {
        "key": context.key, "task": s.task, "train_nll": along("train_nll"), "train_loss": along("train_loss"),
        "test_error": along("test_error"),
        "anchor_error": max(max(surface.info["anchor_error"].values()) for surface in surfaces),
        "evaluations": sum(surface.info["evaluations"] for surface in surfaces) + STEPS * len(profiles),
        "cpu_seconds": round(context.cpu_seconds, 3),
    }
