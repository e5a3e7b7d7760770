"""A Bezier curve and a polygonal chain between the first two trained networks."""

from __future__ import annotations

import torch

from landscape import settings
from landscape.errors import BadInput, Diverged
from landscape.geometry.curves import KINDS, Curve, connect
from landscape.recipes.places import Places
from landscape.recipes.state import Keeper
from landscape.recipes.training import anywhere, optima, options, problem


def compute(s: settings.Curves, context) -> None:
    """Saves ``history:curves`` and the weights ``curves``: ``bezier`` and ``chain``, each (B, P) with the ends."""
    context.plan([("training", len(s.seeds) * s.epochs), ("curves", 2 * s.curve_epochs)])
    task = problem(s).task
    ends = torch.tensor(optima(s, context, needed=2)["w"][:2]).to(task.splits["train"][0])
    keeper = Keeper(context, "curves", KINDS, task, what="Curves")
    state = connect(
        task, list(KINDS), ends, s.bends, s.curve_seed, keeper.resume(), epochs=s.curve_epochs, lr=s.curve_lr, **options(s),
        after_epoch=keeper, progress=lambda done, total: context.progress(
            "curves", done, total, epoch=done * s.curve_epochs // total, epochs=s.curve_epochs))
    keeper.finish(state)
    if state.diverged:
        lost = ", ".join(f"{KINDS[k]} in epoch {epoch}" for k, epoch in state.diverged.items())
        raise Diverged(f"Training of the curves diverged: {lost}. Lower curve_lr (found {s.curve_lr}) and run again; "
                       "the trained networks are kept.")
    context.save_weights("curves", {kind: torch.cat([ends[:1], bends, ends[1:]]).cpu().numpy()
                                    for kind, bends in zip(KINDS, state.parameters, strict=True)})


def points(s: settings.Curves, context) -> dict[str, torch.Tensor]:
    """``{"bezier": (B, P), "chain": (B, P)}``, computed in this job unless they are there."""
    own = settings.Curves(**{name: getattr(s, name) for name in settings.Curves.model_fields})
    return computed(context.child("curves", own))


def computed(reader) -> dict[str, torch.Tensor]:
    """The points of the curves of a run. Raises BadInput while there are none."""
    found = reader.load_weights("curves")
    if found is None:
        raise BadInput(f"Run {reader.key} has no curves yet. Wait until it is done, or start it again.")
    return {kind: torch.tensor(p) for kind, p in found.items()}


def joined(w: torch.Tensor, points: dict[str, torch.Tensor]) -> dict[str, Curve]:
    """The paths between the first two of the networks w (K, P): the straight ``segment`` and the curves."""
    return {"segment": Curve(w[:2], "chain")} | {kind: Curve(points[kind].to(w), kind) for kind in KINDS if kind in points}


def bends(curve: Curve) -> list[tuple[str, torch.Tensor]]:
    """The free points of a curve by name."""
    free = curve.points[1:-1]
    return [("bend" if len(free) == 1 else f"bend {i + 1}", bend) for i, bend in enumerate(free)]


def networks(marked: list[tuple[str, torch.Tensor]], curves: dict[str, Curve]) -> dict[str, torch.Tensor]:
    """Optima and bends by names that differ: ``w1 (seed 0)`` ..., ``bezier bend``, ``chain bend`` ..."""
    free = {kind: bends(curves[kind]) for kind in KINDS if kind in curves}
    return dict(marked) | {f"{kind} {name}": bend for kind, named in free.items() for name, bend in named}


def places(s: settings.Curves, reader) -> Places:
    """The straight segment, the curves, their ends and bends; BatchNorm re-estimated at each."""
    p, found = problem(anywhere(s)), optima(s, reader, needed=2)
    w = torch.tensor(found["w"])
    curves = joined(w, computed(reader))
    ends = [(f"w{i + 1} (seed {found['seed'][i]})", w[i]) for i in range(2)]
    return Places(p.dataset, p.task, paths=curves, networks=networks(ends, curves))
