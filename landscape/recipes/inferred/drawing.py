"""One method from draws to predictions: its samples, diagnostics, traces, what it predicts, and its row of the table."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.posteriors.diagnostics import Diagnosis, diagnose, function_values, rank_histograms
from landscape.posteriors.method import Draws, Given
from landscape.posteriors.rounding import measured
from landscape.posteriors.swag import moments
from landscape.recipes.averaged.table import spread
from landscape.recipes.inferred import draws as kept
from landscape.recipes.inferred.averages import predictive
from landscape.recipes.inferred.chains import inferred
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.inferred.labels import Label
from landscape.recipes.inferred.theatre import Theatre
from landscape.results import Predictive, Samples, Series, Summary

FAILURES = (BadInput, Diverged, ModuleNotFoundError, torch.linalg.LinAlgError)  # the other methods go on
METRICS = ("nll", "error", "ece", "brier")
EVALUATIONS = ("gradient_evaluations", "value_evaluations")
INPUTS = 8  # test examples whose predictions are diagnosed
TRACED = 1000  # draws of a chain in a trace
COORDINATES = 4  # traced at most
BINS = 20  # of a rank histogram


def row_of(ground: Ground, label: Label, theatre: Theatre, context) -> dict:
    """Saves ``samples:NAME``, ``traces:NAME``, ``predictive:NAME``, the weights ``draws-NAME``, the predictions of all
    replicates ``outputs-NAME`` and, last, ``row:NAME``.

    Returns the row. What an earlier attempt has finished is not done again; a method that fails leaves its sentence.
    """
    before = context.load(f"row:{label.name}")
    if before is None:
        try:
            row = _computed(ground, label, theatre, context)
        except FAILURES as error:
            row = _failed(ground, label, context, error)
        before = Summary(row)
        context.save(f"row:{label.name}", before)
    context.progress(stage(label), 1, 1)
    return before.values


def stage(label: Label) -> str:
    """The stage of the plan that a method is."""
    return f"draws:{label.name}"


def named(ground: Ground, label: Label) -> dict:
    """What results say of the method they are of."""
    return {"label": label.name, "method": label.method, "title": label.title, "over": label.over,
            "subspace": label.subspace or None, "seed": ground.walk.seeds[0]}


def _computed(ground: Ground, label: Label, theatre: Theatre, context) -> dict:
    """The row; a replicate that fails after the first one is left out and said."""
    found, outputs, seeds, told, lost = [], [], [], {}, []
    for k, networks in enumerate(ground.groups(label)):
        try:
            draws = _inferred(ground, label, k, networks, context)
            spent = draws.info["cpu_seconds"]
            predicted = predictive(ground.problem, averaged(ground, draws), drawn=k == 0)
        except FAILURES as error:
            if not found:
                raise
            lost.append(f"{ground.walk.titled(networks[0])}: {error}")
            continue
        if k == 0:
            told = _first(ground, label, theatre, draws, context, spent)
            context.save(f"predictive:{label.name}", _with(predicted, named(ground, label)))
        outputs.append(predicted.outputs)
        seeds.append([ground.walk.seeds[i] for i in networks])
        found.append({m: predicted.values.get(m) for m in METRICS}
                     | {"gap_ratio": (predicted.info.get("gap") or {}).get("ratio"), "cpu_seconds": spent}
                     | {name: draws.info.get(name) for name in EVALUATIONS} | _errors(draws))
        told |= _rounded(told, draws)
    save_outputs(label.name, outputs, context)
    row = named(ground, label) | {"n": len(found), "failed": None, "lost": lost, "seeds": seeds}
    return row | told | over_replicates(found)


def save_outputs(name: str, outputs: list[np.ndarray], context) -> None:
    """Keep the predictions (R, n, C) of all replicates on the test set, to be compared with a reference."""
    context.save_weights(kept.weights_name(name, "outputs"), {"outputs": np.stack(outputs).astype(np.float32)})


def over_replicates(found: list[dict[str, float | None]]) -> dict[str, dict]:
    """Mean, sd and values of each metric over the replicates; those that do not apply are missing."""
    made = {}
    for name in found[0]:
        values = np.array([np.nan if each[name] is None else each[name] for each in found], float)
        if np.isfinite(values).any():
            made[name] = spread(values) | {"values": [v if np.isfinite(v) else None for v in values.tolist()]}
    return made


def averaged(ground: Ground, draws: Draws) -> Tensor:
    """The draws that predictions are averaged over, (M, P): all, or as many as the settings allow, evenly spaced."""
    rows = kept.thinned(len(draws.flat), ground.settings.averaged)
    return draws.space.lift(draws.flat[torch.tensor(rows)])


def _inferred(ground: Ground, label: Label, replicate: int, networks: tuple[int, ...], context) -> Draws:
    given = ground.given(label, networks)
    first = replicate == 0 and label.over != "networks"
    info = named(ground, label) | _target(label, given.target)
    live = kept.Live(ground, label, context, stage(label), given.target.space if first else None, info)
    return checked(ground, label, given, inferred(ground, label, replicate, given, live, context))


def checked(ground: Ground, label: Label, given: Given, draws: Draws) -> Draws:
    """The draws; their info says how far their densities are ``rounding``, where they were computed in a lower precision."""
    if ground.precision(label):
        draws.info["rounding"] = measured(given.target, draws.flat, draws.info["gradient_evaluations"] > 0).values
    return draws


def _errors(draws: Draws) -> dict[str, float | None]:
    """Of the rounding of one replicate, what is averaged over all; empty where nothing was rounded."""
    found = draws.info.get("rounding")
    return {} if found is None else {"log_density_error": found["sd"], "gradient_error": found["gradient"]}


def _rounded(told: dict, draws: Draws) -> dict:
    """``rounding`` of a row: that of the replicate in which the densities are farthest off; empty where there is none."""
    found = [each for each in (told.get("rounding"), draws.info.get("rounding")) if each is not None]
    return {"rounding": max(found, key=lambda each: np.inf if each["sd"] is None else each["sd"])} if found else {}


def _target(label: Label, target) -> dict:
    """What was drawn from, in words; methods over networks know no posterior."""
    return {} if label.over == "networks" else {"target": target.said, "temperature": target.temperature,
                                                "prior_std": target.prior_std, "prior": target.prior}


def _first(ground: Ground, label: Label, theatre: Theatre, draws: Draws, context, spent: float) -> dict:
    """Save what is shown of the first replicate's draws; returns what the table says of them."""
    rows, (chains, count, _) = kept.kept_rows(draws), draws.z.shape
    flat = draws.flat[torch.tensor(rows)].cpu()
    plane, residual = kept.on_stage(ground.stage, draws.space, flat.double())
    judged = _diagnosed(ground, label, draws)
    exact = theatre.compared(label, draws)
    target = {}
    if label.over != "networks":
        target = _target(label, ground.target(draws.space, precision=ground.precision(label)))
    ellipses = _ellipses(ground, label, plane)
    told = _told(judged, draws, exact) | _rounded({}, draws)
    rounded = [told["rounding"]["said"]] if told.get("rounding") else []
    info = named(ground, label) | target | told | {
        "final": True, "done": 1, "total": 1, "chains": chains, "draws": count, "thinned": len(rows),
        "step_size": _number(draws.info.get("step_size")), "divergences": judged.divergences,
        "ellipses": ellipses, "ellipse": ellipses[0] if len(ellipses) == 1 else None,
        "cpu_seconds": spent, "seconds": draws.info.get("seconds"),
        "verdict": " ".join(judged.said) or None, "said": [*draws.info.get("said", []), *judged.said, *rounded]}
    subspace = draws.space.kind != "weights"
    context.save_weights(kept.weights_name(label.name), kept.stored(draws, rows))
    context.save(f"samples:{label.name}", Samples(
        flat.double().numpy() if subspace else np.empty((len(rows), 0)), plane, residual, rows // count,
        draws.log_density.flatten()[torch.tensor(rows)].cpu().double().numpy(), info))
    _traces(ground, draws, judged, label, context)
    return told


def _ellipses(ground: Ground, label: Label, plane: np.ndarray) -> list[dict]:
    """Means and covariances on the theatre: of each SWAG Gaussian in closed form, of other methods those of their draws."""
    options = label.row.defaults | label.options(ground.settings)
    if "deviations" in options or label.method == "swag_diagonal":
        flat, found = kept.plane_of(ground.stage), []
        for trajectory in ground.given(label, ground.groups(label)[0]).trajectories:
            fitted = moments(trajectory, options["rank"], options.get("deviations", "final"))
            found.append({"mean": flat.project(fitted.mean).tolist(),
                          "covariance": fitted.ellipse(flat.basis, options["scale"]).tolist()})
        return found
    return [{"mean": plane.mean(0).tolist(), "covariance": np.cov(plane.T).tolist()}] if len(plane) > 2 else []


def _diagnosed(ground: Ground, label: Label, draws: Draws) -> Diagnosis:
    x = ground.task.splits["test"][0]
    inputs = x[torch.tensor(kept.thinned(len(x), INPUTS))]
    independent = not label.chains
    functions = None if independent else function_values(ground.task, draws, inputs)
    return diagnose(draws, functions, independent, BINS)


def _told(judged: Diagnosis, draws: Draws, exact: dict) -> dict:
    """The figures of the samples and of the table; None where they do not apply."""
    mixed, functions = judged.coordinates, judged.functions
    chains = not judged.independent
    return {"rhat": mixed.worst if mixed and chains else None, "ess": mixed.least if mixed and chains else None,
            "function": {"rhat": functions.worst, "ess": functions.least} if functions else None,
            "acceptance": judged.acceptance, "energy_error": judged.energy_error,
            "tv": None, "tv_floor": None, "moment_error": None} | exact | {
                name: draws.info.get(name) for name in EVALUATIONS}


def _traces(ground: Ground, draws: Draws, judged: Diagnosis, label: Label, context) -> None:
    """Traces (chains, S) of the first coordinates, of those on the theatre for draws of weights, and rank histograms."""
    chains, count, _ = draws.z.shape
    if judged.independent or count < 2:
        return
    at = kept.thinned(count, TRACED)
    if draws.space.kind == "weights":
        plane, _ = kept.on_stage(ground.stage, draws.space, draws.z[:, at].flatten(0, 1).cpu().double())
        flat = plane.reshape(chains, len(at), 2)
        ranks = rank_histograms(flat, BINS)
    else:
        flat, ranks = draws.z[:, at, :COORDINATES].cpu().double().numpy(), judged.ranks
    values = {f"z{k + 1}": flat[..., k] for k in range(flat.shape[2])}
    values |= {f"ranks z{k + 1}": ranks[k] for k in range(min(len(ranks), flat.shape[2]))}
    values["log_density"] = draws.log_density[:, at].cpu().double().numpy()
    context.save(f"traces:{label.name}", Series(at + 1.0, values, {
        "x": "draw", "chains": chains, "bins": BINS, "label": label.name}))


def _failed(ground: Ground, label: Label, context, error: Exception) -> dict:
    said = str(error)
    info = named(ground, label) | {"failed": said, "final": True, "chains": 0, "draws": 0, "said": [said]}
    nothing = np.empty(0)
    context.save(f"samples:{label.name}", Samples(np.empty((0, 2)), np.empty((0, 2)), nothing, nothing.astype(int), nothing,
                                                  info))
    return named(ground, label) | {"n": 0, "failed": said}


def _with(found: Predictive, info: dict) -> Predictive:
    return Predictive(found.values, found.outputs, found.targets, found.deviations, found.function, info | found.info)


def _number(value) -> float | None:
    """One number of what may be one for each chain."""
    if value is None:
        return None
    return float(torch.as_tensor(value, dtype=torch.float64).mean())
