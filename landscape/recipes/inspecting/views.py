"""What can be seen of one network, of two, of three, of many: planes, lines, a trained curve, principal components."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from landscape import catalog
from landscape.errors import BadInput, Diverged, LandscapeError
from landscape.geometry.curves import COEFFICIENTS, connect
from landscape.geometry.directions import filter_normalised, spanned
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.surface import Evaluator
from landscape.geometry.symmetry import weight_matching
from landscape.geometry.trajectories import null_walk, principal_components
from landscape.recipes.inspecting.files import Family
from landscape.recipes.inspecting.pairs import line, statistics, stored
from landscape.recipes.inspecting.report import Report
from landscape.recipes.planes import Plane, draw
from landscape.recipes.state import Keeper
from landscape.results import Components, Profile
from landscape.settings_inspect import Inspect

COMPONENTS = 10  # principal components that are told
MARKED = 12  # networks that are marked on a plane; the others are points of the path
MATCHED_ON = 64  # examples on which the permuted network must give the same outputs


def random_plane(s: Inspect, report: Report, family: Family, context) -> Plane:
    """The plane through one network along two filter-normalised random directions, drawn from -radius to radius steps.

    Axes are distances along the directions, which are equally long and nearly at right angles (the angle is told): so every
    cell is a whole number of steps, and a rescaling of layers that keeps the function keeps the picture (Li et al. 2018).
    """
    w = family[0]
    subspace, length = _random_subspace(s, report, w, context)
    only = f", moving only {', '.join(s.only)}" if s.only else ""
    title = f"Filter-normalised random directions{only}{f', of rank {s.rank}' if s.rank else ''}"
    said = {"direction_length": length, "radius": s.radius, "seed": s.seed, "others": s.others}
    return _plane("random", title, s, report, family, subspace, [(family.names[0], "optimum", w)], reach=s.radius * length,
                  said=said)


def random_lines(s: Inspect, report: Report, family: Family, context) -> None:
    """Saves ``profile:line 1`` and ``profile:line 2``: through the network along each direction of its random plane."""
    subspace, length = _random_subspace(s, report, family[0], context)
    reach = s.radius * length
    for k in range(2):
        name = f"line {k + 1}"
        direction = torch.zeros(2, dtype=torch.float64)
        direction[k] = reach
        _straight(name, name, s, report, family, subspace.lift(-direction), subspace.lift(direction), context,
                  {"random": lambda t, k=k: np.stack([(2 * t - 1) * reach * (k == i) for i in range(2)], axis=1)})


def _random_subspace(s: Inspect, report: Report, w: Tensor, context) -> tuple[Subspace, float]:
    """The plane and the length of its directions, the same again for a job that goes on."""
    found = context.load_weights("plane-random")
    if found is not None:
        return subspace_of(found), found["length"].item()
    directions = filter_normalised(report.subject.task.net, w, torch.Generator().manual_seed(s.seed), 2, s.others,
                                   s.only or None, s.rank)
    made = spanned(w, directions, "direction")
    lengths = made.basis.norm(dim=1)
    subspace = Subspace(made.origin, made.basis / lengths[:, None], made.angle)
    _keep(context, "random", subspace, length=np.array(float(lengths.mean())), radius=np.array(s.radius))
    return subspace, float(lengths.mean())


def between_two(s: Inspect, report: Report, family: Family, context) -> None:
    """Saves ``profile:line``, ``profile:matched`` and, if a curve is wanted, ``profile:bezier``."""
    a, b = family[0], family[1]
    _straight("line", "segment", s, report, family, a, b, context)
    if (matched := _matched(s, report, family, context)) is not None:
        _straight("matched", "matched", s, report, family, a, matched, context)
    if s.curve_epochs:
        bezier(s, report, family, context)


def _matched(s: Inspect, report: Report, family: Family, context) -> Tensor | None:
    """The second network with its hidden units in the order of the first's; None, with the reason told, if there is none."""
    found = context.load_weights("path-matched")
    if found is not None:
        return torch.tensor(found["points"][1])
    subject, a, b = report.subject, family[0], family[1]
    x = subject.task.splits["test"][0][:MATCHED_ON]
    try:
        permuted = weight_matching(subject.task.net, subject.weights(a), subject.weights(b),
                                   torch.Generator().manual_seed(s.seed), x, subject.buffers(family.matched(1)))
    except LandscapeError as error:  # a structure that is not understood, or outputs that changed
        report.views.append(f"The line after weight matching is left out: {error}")
        return None
    fixed = f" {len(permuted.fixed)} kinds of units had to stay in place." if permuted.fixed else ""
    report.views.append(f"Matching hidden units brought {family.names[1]} from distance {permuted.before:.4g} to "
                       f"{permuted.distance:.4g} of {family.names[0]}; its outputs are unchanged.{fixed}")
    w = permuted.w.cpu().to(b.dtype)
    context.save_weights("path-matched", {"points": torch.stack([a.float(), w.float()]).numpy()})
    return w


def bezier(s: Inspect, report: Report, family: Family, context) -> None:
    """Trains a Bezier curve between the two networks (Garipov et al. 2018); saves it and ``history:curve``."""
    subject = report.subject
    if context.load("profile:bezier") is not None:
        return
    if s.precision == "bfloat16":
        raise BadInput("A curve is trained in float32 or float64; found precision=bfloat16. Change it, or curve_epochs=0.")
    ends = torch.stack([subject.weights(w) for w in family])
    keeper = Keeper(context, "curve", ("bezier",), subject.task)
    state = connect(subject.task, ["bezier"], ends, s.bends, s.seed, keeper.resume(), epochs=s.curve_epochs, lr=s.curve_lr,
                    batch_size=s.batch_size, momentum=0.9, schedule=catalog.SCHEDULES["linear"].load(), after_epoch=keeper,
                    progress=lambda done, total: context.progress("curve", done, total))
    keeper.finish(state)
    if state.diverged:
        raise Diverged(f"Training of the curve diverged in epoch {state.diverged[0]}. Lower curve_lr (found {s.curve_lr}) "
                       "and run again; everything before is kept.")
    points = torch.cat([ends[:1], state.parameters[0], ends[1:]]).cpu()
    context.save_weights("path-bezier", {"points": points.float().numpy()})
    t = torch.linspace(0, 1, s.line_points, dtype=torch.float64)
    spanning = Subspace(points[0].double(), points[1:].double() - points[0].double())
    evaluator = Evaluator(subject.task, spanning, subject.splits, stored(s, subject, family))
    z = COEFFICIENTS["bezier"](t, len(points))[:, 1:].numpy()
    values = evaluator(z, lambda done, total: context.progress("profile:bezier", done, total))
    lengths = torch.stack([(spanning.lift(z1) - spanning.lift(z0)).norm() for z0, z1 in pairwise(torch.tensor(z))]).numpy()
    context.save("profile:bezier", Profile("bezier", t.numpy(), np.concatenate([[0.0], np.cumsum(lengths)]), values))


def plane_of_three(s: Inspect, report: Report, family: Family, context) -> Plane:
    """The plane through three networks."""
    marks = [(name, "optimum", family[k]) for k, name in enumerate(family.names)]
    subspace = plane(*(w.cpu() for _, _, w in marks))
    _keep(context, "plane", subspace)
    return _plane("plane", "The plane through three networks", s, report, family, subspace, marks)


def components(s: Inspect, report: Report, family: Family, context) -> np.ndarray:
    """Saves ``components`` and the plane of the first two; returns the path in it (T, 2)."""
    found = principal_components(family, s.center, min(len(family) - 1, COMPONENTS))
    count = found.coordinates.shape[1]
    explained, coordinates = null_walk(len(family), None, s.seed, s.center, found.spread)
    info = {"spread": found.spread, "parameters": report.subject.task.net.size, "null": "A random walk of as many steps in "
            "infinitely many dimensions (Antognini and Sohl-Dickstein 2018), scaled to the same spread."}
    context.save("components", Components(family.names, found.coordinates, found.explained, found.residuals,
                                          explained[:count], coordinates[:, :count], found.origin, info))
    if context.load_weights("plane-pca") is None:
        _keep(context, "pca", found.subspace)
    context.progress("components", 1, 1)
    return found.coordinates[:, :2]


def components_plane(s: Inspect, report: Report, family: Family, context, path: np.ndarray) -> Plane:
    """The plane of the first two principal components, with the path of the files in their order."""
    subspace = subspace_of(context.load_weights("plane-pca"))
    shown = sorted({round(k) for k in np.linspace(0, len(family) - 1, min(MARKED, len(family)))})
    marks = [(family.names[k], "optimum", family[k]) for k in shown]
    summary = context.load("components")
    said = {"explained": [float(v) for v in summary.explained[:2]], "largest_residual": float(summary.residuals.max())}
    return _plane("pca", "Plane of the first two principal components", s, report, family, subspace, marks, path, said=said)


def pictures(s: Inspect, planes: list[Plane], context, between=()) -> None:
    """Draw planes: a first picture of each, then what ``between`` does (calls without arguments), then all to the end."""
    drawings = [draw(each, context, s.grid, s.margin, s.picture, s.tolerance) for each in planes]
    for drawing in drawings:
        next(drawing, None)
    for view in between:
        view()
    for each, drawing in zip(planes, drawings, strict=True):
        for _ in drawing:
            pass
        context.progress(f"surface:{each.name}", 1, 1)


def _plane(name: str, title: str, s: Inspect, report: Report, family: Family, subspace: Subspace, marks, path=None, *,
           reach: float | None = None, said: dict | None = None) -> Plane:
    subject = report.subject
    told = {"batchnorm": statistics(s, subject, family), "task": subject.dataset.title, "judged": subject.prepared.judged,
            "loss": subject.loss} | (said or {})
    if subject.batchnorm:
        rows = {row["file"]: row for row in report.rows}
        told["stored"] = {mark: {"test_nll": rows[mark]["nll"], "test_error": rows[mark]["error"]} for mark, _, _ in marks}
    return Plane(name, title, subject.task, subspace, marks, path, stored(s, subject, family), told, subject.splits, reach)


def _straight(name: str, kind: str, s: Inspect, report: Report, family: Family, a: Tensor, b: Tensor, context,
              positions=None) -> None:
    """Saves ``profile:NAME``: every metric on the straight line between two vectors, unless it is there."""
    if context.load(f"profile:{name}") is not None:
        return
    subject, t = report.subject, np.linspace(0, 1, s.line_points)
    subspace = line(a, b)
    evaluator = Evaluator(subject.task, subspace, subject.splits, stored(s, subject, family))
    values = evaluator(t[:, None], lambda done, total: context.progress(f"profile:{name}", done, total))
    length = float(subspace.basis[0].norm())
    where = {plane: along_it(t) for plane, along_it in (positions or {}).items()}
    context.save(f"profile:{name}", Profile(kind, t, t * length, values, where))


def _keep(context, name: str, subspace: Subspace, **more: np.ndarray) -> None:
    """Write a plane down, from which its points can be opened."""
    angle = np.array(90.0 if math.isnan(subspace.angle) else subspace.angle)
    context.save_weights(f"plane-{name}", {"origin": subspace.origin.cpu().numpy(), "basis": subspace.basis.cpu().numpy(),
                                           "angle": angle} | more)


def subspace_of(found: dict[str, np.ndarray]) -> Subspace:
    """The plane that was written down."""
    return Subspace(torch.tensor(found["origin"]), torch.tensor(found["basis"]), found["angle"].item())
