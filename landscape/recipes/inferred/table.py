"""The table of methods, what the sweeps and growing ensembles show, and the machine-readable result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from landscape.networks.accelerator import LOWER
from landscape.posteriors.diagnostics import DOUBTFUL
from landscape.posteriors.method import infer
from landscape.posteriors.predictive import growing
from landscape.recipes.inferred.averages import predictive
from landscape.recipes.inferred.drawing import METRICS, over_replicates, save_outputs
from landscape.recipes.inferred.draws import weights_name
from landscape.recipes.inferred.ground import Ground
from landscape.recipes.inferred.labels import BASELINES, Label
from landscape.results import Predictive, Series, Summary
from landscape.uncertainty import metrics

SUMMARISED = {"nll": "nll", "error": "error", "ece": "ece", "brier": "brier", "band_gap_ratio": "gap_ratio",
              "cpu_seconds": "cpu_seconds"}
FIRST_STREAM = 1000  # of the random numbers of the members of growing ensembles
NETWORKS = "networks"  # what baselines are drawn from
WIDENS = 2.0  # band in the gaps over band at the data, from which a band is said to widen


def baselines(ground: Ground, context) -> list[dict]:
    """Saves ``predictive:NAME`` of what is one network, ``sgd`` and ``swa`` of a walk; their rows, over all seeds."""
    found = []
    for name, weights in ground.walk.single():
        before = context.load(f"row:{name}")
        if before is None:
            told = {"label": name, "method": name, "title": BASELINES[name], "over": NETWORKS, "subspace": None,
                    "seed": ground.walk.seeds[0]}
            each, outputs = [], []
            for k, w in enumerate(weights):
                made = predictive(ground.problem, w[None], drawn=k == 0)
                outputs.append(made.outputs)
                if k == 0:
                    context.save(f"predictive:{name}", Predictive(made.values, made.outputs, made.targets, made.deviations,
                                                                  made.function, made.info | told))
                each.append({m: made.values.get(m) for m in METRICS})
            save_outputs(name, outputs, context)
            before = Summary(told | {"n": len(each), "failed": None, "seeds": [[seed] for seed in ground.walk.seeds]}
                             | over_replicates(each))
            context.save(f"row:{name}", before)
        found.append(before.values)
    return found


def compared(ground: Ground, rows: list[dict], context) -> list[dict]:
    """Saves ``reference``, if there is one; the rows with agreement with it and total variation to it.

    They are of class probabilities: for a regression, or where the reference has failed, rows stay as they are.
    """
    name = ground.settings.reference
    if name is None:
        return rows
    own = next(row for row in rows if row["label"] == name)
    found = None if own["failed"] else context.load_weights(weights_name(name, "outputs"))["outputs"][0]
    classes = ground.problem.dataset.kind == "classification"
    said = (f"{own['title']} failed, so nothing is compared with it: {own['failed']}" if found is None else
            f"Agreement and total variation are to the class probabilities of {own['title']}." if classes else
            f"{own['title']} is the reference: compare the bands with its own.")
    said += "" if found is None else _doubt(own)
    context.save("reference", Summary({"label": name, "said": said}))
    if found is None or not classes:
        return rows
    return [row if row["failed"] else row | _apart(row["label"], found, context) for row in rows]


def _doubt(reference: dict) -> str:
    """What keeps a reference from being the truth."""
    rhat = (reference.get("function") or {}).get("rhat")
    if rhat is None or rhat <= DOUBTFUL:
        return ""
    return (f" Its own chains do not agree on predictions yet (R-hat {rhat:.2f}), so it is no exact answer: give it more "
            "weight_draws and weight_warmup.")


def _apart(name: str, reference: np.ndarray, context) -> dict:
    """Agreement and total variation of a method's replicates; those of the first go into ``predictive:NAME`` as well."""
    outputs = context.load_weights(weights_name(name, "outputs"))["outputs"]
    each = [{"agreement": metrics.agreement(p, reference), "total_variation": metrics.total_variation(p, reference)}
            for p in outputs]
    made = context.load(f"predictive:{name}")
    context.save(f"predictive:{name}", replace(made, values=made.values | each[0]))
    return over_replicates(each)


def save_table(ground: Ground, rows: list[dict], context) -> None:
    """The rows there are so far."""
    context.save("table", Summary({"rows": rows, "verdict": verdict(ground, rows), "reference": ground.settings.reference,
                                   "seeds": list(ground.walk.seeds), "lost": ground.walk.lost}))


def verdict(ground: Ground, rows: list[dict]) -> list[str]:
    """Sentences: who beats whom in how many seeds, and whose band widens where there are no data."""
    at, said = {row["label"]: row for row in rows if not row["failed"]}, []
    for metric, title in (("nll", "NLL"), ("ece", "ECE")):
        for first, second in (("swag", "sgd"), ("multiswag", "ensemble")):
            a, b = (at.get(name, {}).get(metric, {}).get("values") for name in (first, second))
            if a and b and len(a) == len(b):
                pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
                wins, (own, other) = sum(x < y for x, y in pairs), np.mean(pairs, axis=0)
                said.append(f"{at[first]['title']} has a lower {title} than {at[second]['title']} in {wins} of {len(pairs)} "
                            f"replicates ({_said(own)} against {_said(other)}).")
    ratios = {row["title"]: row["gap_ratio"]["mean"] for row in at.values() if row.get("gap_ratio", {}).get("mean")}
    if ratios:
        wide = [f"{title} ({ratio:.1f})" for title, ratio in ratios.items() if ratio >= WIDENS]
        narrow = [f"{title} ({ratio:.1f})" for title, ratio in ratios.items() if ratio < WIDENS]
        said.append("Width of the epistemic band in the gaps over its width at the data: "
                    + (f"widens for {', '.join(wide)}" if wide else "no method widens")
                    + (f"; hardly or not for {', '.join(narrow)}." if narrow else "."))
    said += rounded(rows)
    why = dict.fromkeys(row["failed"] for row in rows if row["failed"])
    said += [f"{' and '.join(row['title'] for row in rows if row['failed'] == reason)} failed: {reason}" for reason in why]
    said += [f"{row['title']} is without {text}" for row in rows for text in row.get("lost", ())]
    if any(len(row.get("seeds", [])) > 1 and len(row["seeds"][0]) > 1 for row in rows):
        said.append("Ensembles of different replicates share members, so their spread is smaller than that of independent "
                    "ones.")
    return said + ([f"Left out, as their numbers stopped being finite: {ground.walk.lost}."] if ground.walk.lost else [])


def rounded(rows: list[dict]) -> list[str]:
    """A sentence for each method whose densities were computed in a lower precision: how far off they were."""
    return [f"{row['title']}: {row['rounding']['said']}" for row in rows if row.get("rounding")]


def _said(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def summary(ground: Ground, rows: list[dict], context, lacking: str = "") -> Summary:
    """The machine-readable result, with null where a figure does not apply; ``lacking`` says why there is no theatre."""
    s = ground.settings
    methods = {row["label"]: {name: (row.get(own) or {}).get("mean") for name, own in SUMMARISED.items()} | {
        "rhat": row.get("rhat"), "ess": row.get("ess"), "grid_tv": row.get("tv")} | (
            {"failed": row["failed"]} if row["failed"] else {}) | (
                {"rounding": row["rounding"]} if row.get("rounding") else {}) for row in rows}
    task = ground.problem.dataset.name if ground.walk.recipe == "inspect" else s.task
    subspace = {"kind": s.subspace, "dimension": s.dimension} | ({"failed": ground.missing} if ground.missing else {})
    made = {"key": context.key, "task": task, "subspace": subspace,
            "seeds": list(ground.walk.seeds), "temperature": s.temperature, "prior_std": s.prior_std, "prior": s.prior,
            "reference": s.reference, "methods": methods, "parents": {ground.walk.recipe: ground.walk.key}}
    made |= {"curve": {"failed": ground.lost}} if ground.lost else {}
    made |= {"theatre": {"failed": lacking}} if lacking else {}
    made |= {"precision": s.precision, "said": rounded(rows)} if s.precision in LOWER else {}
    return Summary(made | {"cpu_seconds": round(context.cpu_seconds, 3)})


def members(ground: Ground, chosen: list[Label], context) -> None:
    """Saves ``members``: NLL and error of ensembles of 1 ... K trained networks, SWA solutions and SWAG Gaussians.

    Every order in which the seeds can be taken in turn is one line; values are their means.
    """
    names = [label.name for label in chosen if label.many]
    if not names or len(ground.walk.seeds) < 2 or context.load("members") is not None:
        return
    values = {}
    for label in chosen:
        if label.many:
            found = _by_members(ground, label, context)
            for metric in ("nll", "error"):
                lines = np.array([[getattr(p, metric) for p in line] for line in found])
                values |= {f"{label.name} {metric}": lines.mean(0), f"{label.name} {metric} by group": lines}
    count = len(ground.walk.seeds)
    context.save("members", Series(np.arange(1.0, count + 1), values, {
        "x": "members", "seeds": list(ground.walk.seeds), "labels": names, "groups": count,
        "data": {"test": len(ground.task.splits["test"][0])}, "draws": ground.settings.swag_draws}))


def _by_members(ground: Ground, label: Label, context) -> list:
    """For each of K orders the averages of its first 1 ... K members."""
    count, parts = len(ground.walk.seeds), []
    for k in range(count):  # one member: what the method is without others
        parts.append(_member(ground, label, k))
        context.progress("members", k + 1, 2 * count)
    found = []
    for k in range(count):
        found.append(growing(ground.task, [parts[(k + i) % count] for i in range(count)]))
        context.progress("members", count + k + 1, 2 * count)
    return found


def _member(ground: Ground, label: Label, k: int) -> torch.Tensor:
    """The networks (m, P) that one member contributes."""
    if label.method == "ensemble":
        return ground.walk.w_sgd[k : k + 1]
    if label.method == "multiswa":
        return ground.walk.w_swa[k : k + 1]
    return infer(label.method, ground.given(label, (k,)), generator=label.generator(ground.settings, FIRST_STREAM + k),
                 **label.options(ground.settings)).weights

