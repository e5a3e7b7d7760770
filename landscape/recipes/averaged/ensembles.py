"""Fast geometric ensembles along their run, and what BatchNorm does to an average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape.recipes.averaged.curves import batchnorm, judged, of_one, together
from landscape.recipes.branches import Branched
from landscape.recipes.walks import Walked
from landscape.results import Series, Summary
from landscape.training.averaging import refresh
from landscape.training.ensembles import by_size

SPLITS = ("test", "train")


@dataclass(frozen=True, eq=False)
class Members:
    """The members of the ensembles: taken after ``steps`` (m,), their values together (m, K) by metric."""

    steps: np.ndarray
    together: dict[str, np.ndarray]

    def within(self, steps: int) -> dict[str, np.ndarray]:
        """The values (K,) of those taken within a budget of steps, NaN before the first."""
        count = int((self.steps <= steps).sum())
        return {m: v[count - 1] if count else np.full(v.shape[1], np.nan) for m, v in self.together.items()}


def fge(walk: Walked, branched: Branched, context) -> Members | None:
    """Saves ``fge`` (errors over the number of members, means over seeds) and ``fge:run`` (the first seed's way).

    None where every network of the ensembles has diverged.
    """
    track = branched.tracks.get("fge")
    if track is None:
        context.progress("fge", 1, 1)
        return None
    plan = walk.plans["fge"]
    members = track.at(plan.collect)
    found = Members(members.steps, together(walk.task, members.weights))
    alone = by_size(walk.task, members.weights, "test")
    means = [judged(walk.task, mean) for mean in members.means()]
    own, many = (alone[f"{kind}_error"].numpy() for kind in ("member", "ensemble"))
    mean = np.stack([each["test_error"] for each in means])
    values = {"member error": own.mean(1), "ensemble error": many.mean(1), "swa of members": mean.mean(1),
              "ensemble nll": alone["ensemble_nll"].numpy().mean(1), "member nll": alone["member_nll"].numpy().mean(1),
              "member error by seed": own.T, "ensemble error by seed": many.T, "swa of members by seed": mean.T}
    info = {"seeds": list(walk.seeds), "collected": walk.epochs(members.steps).tolist(), "x": "members",
            "data": {"test": len(walk.task.splits["test"][0])}, "batchnorm": batchnorm(walk.task), "lost": branched.lost}
    context.save("fge", Series(np.arange(1, len(members) + 1.0), values, info))
    _run(walk, track, plan, info, context)
    return found


def _run(walk: Walked, track, plan, info: dict, context) -> None:
    start = walk.at(walk.settings.start)[0].double()
    weights = of_one(track.weights, 0)
    errors = []
    for k, w in enumerate(weights):
        errors.append(float(judged(walk.task, w[None])["test_error"][0]))
        context.progress("fge", k + 1, len(weights))
    values = {"rate": plan.rates[track.steps - 1], "test_error": np.array(errors),
              "distance": (weights.double() - start).norm(dim=1).numpy()}
    context.save("fge:run", Series(walk.epochs(track.steps), values, info | {"x": "epoch", "seed": walk.seeds[0]}))


def statistics(walk: Walked, context) -> dict | None:
    """Saves ``batchnorm`` for a network that has it: the average with its statistics ``re-estimated``, with those ``stored``
    by the last iterate, and with the ``initial`` ones. Values are means over seeds, with each seed's beside them."""
    if not walk.task.net.batchnorm:
        return None
    count, w = len(walk.seeds), walk.w_swa.to(walk.task.splits["test"][0])
    left = [walk.stored("constant", i) for i in range(count)]
    stacked = {name: torch.stack([each[name] for each in left]) for name in left[0]}
    told: dict[str, dict] = {}
    for split in SPLITS:
        for how, values in refresh(walk.task, w, split, stacked).items():
            own = told.setdefault(how, {})
            own |= {f"{split}_{q}": float(values[q].mean()) for q in ("error", "nll")}
            own |= {f"{split}_{q}_by_seed": values[q].tolist() for q in ("error", "nll")}
    values = {"swa": told, "seeds": list(walk.seeds), "examples": sum(map(len, walk.task.batchnorm_batches))}
    context.save("batchnorm", Summary(values))
    return values
