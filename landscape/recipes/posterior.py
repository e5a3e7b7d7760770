"""Networks drawn from a posterior by several methods, and what they predict together (slides 22 to 33).

Training is in runs of its own, ``walk`` and, for the plane of a curve, ``curves``: other methods, temperatures or priors
reuse them. Around opened files, ``inspect`` takes their place. Pictures are of the first seed; the table is of all seeds
where a method is cheap, of ``repeats`` elsewhere.
"""

from __future__ import annotations

from landscape.errors import BadInput
from landscape.recipes.inferred.drawing import row_of, stage
from landscape.recipes.inferred.draws import Kept, plane_of, weights_name
from landscape.recipes.inferred.ground import Ground, ground_of
from landscape.recipes.inferred.labels import Label, labels
from landscape.recipes.inferred.loss import loss
from landscape.recipes.inferred.sweeps import sweeps
from landscape.recipes.inferred.table import baselines, compared, members, save_table, summary
from landscape.recipes.inferred.theatre import Theatre
from landscape.recipes.places import Places
from landscape.settings_posterior import Inference, Posterior

COSTS = {"networks": 1.0, "subspace": 4.0, "weights": 40.0}  # of a method, in pictures' worth of time


def compute(s: Inference, context) -> None:
    """Saves ``surface:loss`` and ``surface:theatre``; of each method ``samples:``, ``traces:`` and ``predictive:``; then
    ``reference``, ``table``, ``members``, ``sweep:temperature`` and ``sweep:prior``. ``summary`` early, and again.
    """
    chosen = labels(s)
    context.plan(_costs(s, chosen))
    ground = ground_of(s, context)
    _anything_to_draw(ground, chosen)
    context.save("summary", summary(ground, [], context))
    theatre = Theatre(ground, context)
    theatre.draw()
    drawing = loss(ground, context)
    next(drawing, None)  # a first picture before the methods begin
    rows = baselines(ground, context)
    for label in chosen:
        rows.append(row_of(ground, label, theatre, context))
        save_table(ground, rows, context)
        context.save("summary", summary(ground, rows, context, theatre.lacking))
    for _ in drawing:
        pass
    context.progress("surface:loss", 1, 1)
    rows = compared(ground, rows, context)
    save_table(ground, rows, context)
    context.save("summary", summary(ground, rows, context, theatre.lacking))
    failed = {row["label"] for row in rows if row["failed"]}
    members(ground, [label for label in chosen if label.name not in failed], context)
    sweeps(ground, context)
    context.save("summary", summary(ground, rows, context, theatre.lacking))


def _anything_to_draw(ground: Ground, chosen: list[Label]) -> None:
    """Raises BadInput where every method draws in a subspace that cannot be built; one that does not goes on by itself."""
    if ground.missing and all(label.over == "subspace" and ground.lacks(label.subspace) for label in chosen):
        raise BadInput(ground.missing)


def _costs(s: Inference, chosen: list[Label]) -> list[tuple[str, float]]:
    """Relative costs: a guess, so that the time left is of the right order."""
    trained = [("walk", 8.0)] + ([("curves", 5.0)] if "curve" in (s.subspace, *s.compared) else [])
    costs = [*(trained if isinstance(s, Posterior) else []), ("surface:theatre", 3.0), ("surface:loss", 2.0)]
    costs += [(stage(label), COSTS[label.over]) for label in chosen]
    costs += [("members", 2.0)] if any(label.many for label in chosen) else []
    return costs + [(f"sweep:{kind}", max(0.1, 2.0 * len(values)))
                    for kind, values in (("temperature", s.temperatures), ("prior", s.prior_stds))]


def places(s: Inference, reader) -> Places:
    """The theatre and the picture of the loss, the curve, trained networks and every draw that is shown."""
    ground = ground_of(s, reader, here=True)
    plane, arrays, subspaces = plane_of(ground.stage), {}, {}
    for label in labels(s):
        found = reader.load_weights(weights_name(label.name))
        if found is not None:
            arrays[label.name], subspaces[label.name] = found, label.subspace
    paths = {} if ground.curve is None else {"bezier": ground.curve}
    planes = {"loss": plane} if ground.missing else {"theatre": plane, "loss": plane}
    return Places(ground.problem.dataset, ground.task, planes, paths, ground.networks(),
                  draws=Kept(ground, arrays, subspaces))
