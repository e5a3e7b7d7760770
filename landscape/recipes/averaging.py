"""SGD's walk, what averaging its weights does and how wide the place is that it finds (Izmailov et al. 2018; slides 6-21).

The training is in runs of its own, ``walk`` and ``branches``: another grid, other rays or another Hessian reuse them.
Pictures are of the first seed; every number that compares methods is of all seeds.
"""

from __future__ import annotations

import numpy as np

from landscape.recipes.averaged import functions
from landscape.recipes.averaged.curves import batchnorm, histories, last
from landscape.recipes.averaged.ensembles import Members, fge, statistics
from landscape.recipes.averaged.lines import path, random_rays, through_both
from landscape.recipes.averaged.pictures import components, drawn, flats, principal_of, with_minima
from landscape.recipes.averaged.table import rows, verdict
from landscape.recipes.averaged.width import told, widths
from landscape.recipes.branches import branches
from landscape.recipes.places import Places
from landscape.recipes.planes import EXPECTED_SHARE, Plane, draw
from landscape.recipes.training import anywhere, problem
from landscape.recipes.walks import Walked, walked
from landscape.results import History, Summary
from landscape.settings_averaging import Averaging

PLANES = ("walk", "twin", "pca", "random sgd", "random swa")
METRICS = ("test_error", "test_nll", "train_nll", "train_loss")
PRODUCTS = 160  # gradients' worth of work for the widths of one network


def compute(s: Averaging, context) -> None:
    """Saves, in this order, the histories, the planes' first pictures, ``components``, ``profile:line``, ``rays``, ``gap``,
    the finished planes, ``width``, ``fge``, ``table``, ``shells``; ``summary`` early, and again with everything."""
    p = problem(s, s.batchnorm_examples)
    context.plan(_costs(s, len(p.dataset.train), len(p.dataset.test)))
    walk = walked(s, context, p)
    curves = histories(walk, context)
    context.save("summary", Summary(_summary(s, context, walk, curves)))
    statistics(walk, context)
    principal = principal_of(s, walk)
    context.save("components", components(s, walk, principal))
    planes = drawn(walk, flats(s, walk, principal), s.precision)
    drawings = {name: draw(each, context, s.grid, s.margin, s.picture, s.tolerance) for name, each in planes.items()}
    for drawing in drawings.values():  # a first picture of each before any gets finer
        next(drawing, None)
    line = through_both(s, walk, planes["twin"].subspace, context)
    random_rays(s, walk, context)
    functions.gap(walk, context)
    _finish(planes, drawings, context)
    width = widths(s, walk, context)
    grown = branches(s, context, walk.finite)
    members = fge(walk, grown, context)
    said = {"seeds": list(walk.seeds), "batchnorm": batchnorm(walk.task)}
    context.save("table", Summary({"rows": rows(walk, grown, curves, members),
                                   "verdict": verdict(walk, curves, members, grown.lost)} | said))
    functions.shells(s, walk, grown.tracks.get("constant"), context)
    told = _summary(s, context, walk, curves, members, width, line)
    context.save("summary", Summary(told | {"parents": told["parents"] | {"branches": grown.key}}))


def _finish(planes: dict[str, Plane], drawings: dict, context) -> None:
    """One level of each plane in turn, so that they get finer together; then the minima of the twins."""
    while drawings:
        for name, drawing in list(drawings.items()):
            if next(drawing, "finished") == "finished":
                del drawings[name]
                context.progress(f"surface:{name}", 1, 1)
    context.save("surface:twin", with_minima(context.load("surface:twin"), planes["twin"]))


def places(s: Averaging, reader) -> Places:
    """All planes, the line, the marked networks, and W_SGD and W_SWA of the other seeds; BatchNorm re-estimated."""
    p = problem(anywhere(s), s.batchnorm_examples)
    walk = walked(s, reader, p)
    found = flats(s, walk, principal_of(s, walk))
    networks = {name: w.to(walk.w_sgd) for flat in found.values() for name, _, w in flat.marks}
    for i, seed in list(enumerate(walk.seeds))[1:]:
        networks |= {f"W_SGD (seed {seed})": walk.w_sgd[i], f"W_SWA (seed {seed})": walk.w_swa[i]}
    return Places(p.dataset, p.task, {name: flat.subspace for name, flat in found.items()}, {"line": path(walk)}, networks)


def _costs(s: Averaging, train: int, test: int) -> list[tuple[str, float]]:
    """Relative costs: example passes, a training pass counted as three, small batches as slower than pictures."""
    seeds, both = len(s.seeds), float(train + test)
    step = 12.0 * seeds * train
    longer = sum(0.5 * length for length in s.lengths.values()) + 1.5 * (s.longest - s.start)
    picture = s.grid**2 * 0.75 * (1.0 if s.picture == "exact" else EXPECTED_SHARE) * both
    passes = {"walk": step * s.epochs * 1.5, "histories": 4.0 * seeds * s.epochs * both}
    passes |= {f"surface:{name}": picture for name in PLANES}
    passes |= {"profile:line": s.line_points * both, "rays": 2 * s.rays * s.ray_points * both, "gap": 60.0 * test}
    passes |= {"width": PRODUCTS * 3.0 * (2 * seeds + 2) * min(train, s.hessian_examples), "branches": step * longer}
    return [*passes.items(), ("fge", 30.0 * both), ("shells", 10.0 * both)]


def _summary(s: Averaging, context, walk: Walked, curves: dict[str, History], members: Members | None = None,
             width: dict | None = None, line: dict | None = None) -> dict:
    """The machine-readable result, at one budget; ``hessian`` and ``anchor_error`` only once they are known."""
    ends = {kind.replace(" ", "_"): last(history) for kind, history in curves.items()}
    if members:
        ends["fge"] = members.within(walk.last_step)
    values = {metric: {kind: [_number(v) for v in found[metric]] for kind, found in ends.items() if metric in found}
              for metric in METRICS}
    apart = (walk.w_sgd.double() - walk.w_swa.double()).norm(dim=1).tolist()
    made = {"key": context.key, "task": s.task, "parents": {"walk": walk.key}, "seeds": list(walk.seeds), **values,
            "distance_sgd_swa": apart, "lost": walk.lost}
    if line is not None and width is not None:
        surfaces = [context.load(f"surface:{name}") for name in PLANES]
        made |= {"hessian": told(width), "line": line,
                 "anchor_error": max(max(surface.info["anchor_error"].values()) for surface in surfaces),
                 "evaluations": sum(surface.info["evaluations"] for surface in surfaces)}
    return made | {"cpu_seconds": round(context.cpu_seconds, 3)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
