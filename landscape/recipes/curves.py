"""A Bezier curve and a polygonal chain between the first two trained networks."""

from __future__ import annotations

import torch

from landscape import settings
from landscape.errors import Diverged
from landscape.geometry.curves import KINDS, connect
from landscape.recipes.state import Keeper
from landscape.recipes.training import optima, options, problem


def compute(s: settings.Curves, context) -> None:
    """Saves ``history:curves`` and the weights ``curves``: ``bezier`` and ``chain``, each (B, P) with the ends."""
    context.plan([("training", len(s.seeds) * s.epochs), ("curves", 2 * s.curve_epochs)])
    task = problem(s).task
    ends = torch.tensor(optima(s, context, needed=2)["w"][:2]).to(task.splits["train"][0])
    keeper = Keeper(context, "curves", KINDS)
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
    return {kind: torch.tensor(p) for kind, p in context.child("curves", own).load_weights("curves").items()}
