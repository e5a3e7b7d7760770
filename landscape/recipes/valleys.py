"""Slide 7 of the talk: three optima, two curves, three planes (Garipov et al. 2018)."""

from __future__ import annotations

import numpy as np
import torch

from landscape import settings
from landscape.geometry.curves import KINDS, Curve
from landscape.geometry.subspace import plane
from landscape.networks.net import row
from landscape.recipes.curves import points
from landscape.recipes.planes import EXPECTED_SHARE, SPLITS, Plane, draw
from landscape.recipes.training import optima, problem
from landscape.results import Profile, Summary
from landscape.training.task import Task

STEPS = 61  # points on a profile, as in the paper
NAMES = ("optima", *KINDS)


def compute(s: settings.Valleys, context) -> None:
    """Saves surfaces ``optima``, ``bezier``, ``chain``, profiles ``segment``, ``bezier``, ``chain`` and ``summary``."""
    task = (p := problem(s, s.batchnorm_examples)).task
    context.plan(_costs(s, len(p.dataset.train.x), len(p.dataset.test.x)))
    curve_points = points(s, context)
    found = optima(s, context, needed=3)
    w = torch.tensor(found["w"]).to(task.splits["train"][0])
    buffers = None
    if task.net.batchnorm and s.batchnorm == "stored":
        stacked = {k.removeprefix("buffer."): torch.tensor(v) for k, v in found.items() if k.startswith("buffer.")}
        buffers = {k: b.to(w.device) for k, b in row(stacked, 0, task.net).items()}
    curves = {"segment": Curve(w[:2], "chain")} | {k: Curve(curve_points[k].to(w), k) for k in KINDS}
    planes = _planes(s, task, w, [int(seed) for seed in found["seed"]], curves, buffers)
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


def _planes(s, task: Task, w, seeds, curves, buffers) -> dict[str, Plane]:
    normalisation = "none" if not task.net.batchnorm else (
        f"stored, of seed {seeds[0]}" if s.batchnorm == "stored" else
        f"re-estimated at every point on {len(task.batchnorm_batches[0])} training examples")
    said = {"batchnorm": normalisation, "task": s.task}
    optimum = [(f"w{i + 1} (seed {seeds[i]})", "optimum", w[i]) for i in range(3)]
    made = {"optima": Plane("optima", "Three independently trained optima", task, plane(*w[:3].cpu()), optimum,
                            buffers=buffers, said=said)}
    ends = [(name, "end", point) for name, _, point in optimum[:2]]
    t = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    for kind, title in (("bezier", "Bezier curve"), ("chain", "Polygonal chain")):
        bends = curves[kind].points[1:-1]
        # With several bends the plane is the one through the ends and the bend farthest from the segment.
        away = (bends - 0.5 * (w[0] + w[1])).norm(dim=1) if len(bends) > 1 else torch.zeros(1)
        marks = ends + [("bend" if len(bends) == 1 else f"bend {i + 1}", "bend", b) for i, b in enumerate(bends)]
        sub = plane(w[0].cpu(), w[1].cpu(), bends[int(away.argmax())].cpu())
        made[kind] = Plane(kind, title, task, sub, marks, Curve(curves[kind].points.double(), kind).at(t), buffers, said)
    return made


def _profile(name: str, curve: Curve, task: Task, planes: dict[str, Plane], buffers) -> Profile:
    """Every metric along a path, each point evaluated directly; its coordinates in the planes it belongs to."""
    t = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    exact = Curve(curve.points.double(), curve.kind).at(t)
    w = exact.to(curve.points)
    values = {}
    for split in SPLITS:
        found = task.evaluate(w, split, buffers)
        values |= {f"{split}_{q}": found[q].numpy() for q in ("nll", "error", "loss")}
    lengths = (exact[1:] - exact[:-1]).norm(dim=1).cpu().numpy()
    where = {k: p.subspace.project(exact.cpu()).numpy() for k, p in planes.items() if name == "segment" or k == name}
    return Profile(name, t.numpy(), np.concatenate([[0.0], np.cumsum(lengths)]), values, where)


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
