"""Width in numbers: curvature and sharpness of both solutions, also where the same function is written in other weights."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev

from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry.curvature import Objective
from landscape.geometry.sharpness import scales, sharpness
from landscape.geometry.spectrum import Scaled, eigenvalues, trace
from landscape.geometry.symmetry import rescaled
from landscape.recipes.averaged.lines import rises, width_of
from landscape.recipes.walks import Walked
from landscape.results import Summary
from landscape.settings_averaging import Averaging
from landscape.training.sgd import generator
from landscape.training.task import Task

FACTOR = 10.0  # by which a layer is multiplied and the next one divided
ASCENT = 5  # steps of ascent within the ball
PROBES = 48  # products for a trace
ADAPTIVE = 10.0  # radius of the adaptive ball in radii of the plain one (Kwon et al. 2021 use 0.5 where SAM has 0.05)
EIGEN, TRACE, BALL = 4, 5, 6  # streams of random numbers
ABOUT = {
    "eigenvalues": "Largest eigenvalues of the Hessian of the train NLL, by Lanczos; the error is |Hv - value v|.",
    "eigenvalues with weight decay": "The same for the objective that was trained: the penalty adds its lambda to each.",
    "trace": "Sum of all eigenvalues, the mean curvature in random directions times the number of weights; by Hutch++, "
             "with its standard error.",
    "sam": "Largest rise of the train NLL found within a small ball around the weights (Foret et al. 2021): a lower bound.",
    "asam": "The same in a ball where each weight is measured in its own size (Kwon et al. 2021): rescaling "
            "does not change it.",
    "normalised curvature": "Largest eigenvalue with every filter measured in its own length: rescaling a layer does not "
                            "change it.",
    "ray width": "Median distance along random rays until the train NLL has risen; the error is half of its 95 % "
                 "interval.",
    "filter ray width": "The same along filter-normalised rays, in steps as long as the filters: rescaling does not "
                        "change it.",
}


def widths(s: Averaging, walk: Walked, context) -> dict:
    """Saves and returns the Summary ``width``: a row for each solution of the first seed and for its twin in other weights,
    and ``seeds``, the plain rows of every seed."""
    before = context.load("width")
    if before is not None:
        context.progress("width", 1, 1)
        return before.values
    task, both = judged_on(s, walk.task), {"sgd": walk.w_sgd, "swa": walk.w_swa}
    norm = float(walk.w_swa[0].double().norm())
    layer, note = _layer(task, walk.w_sgd[0])
    notes, total, done, seeds = [note] if note else [], 2 * len(walk.seeds) + 2, 0, {name: [] for name in both}
    rows = {}

    def measured(name: str, w: Tensor) -> dict:
        nonlocal done
        done += 1

        def progress(products: int, most: int) -> None:
            context.progress("width", done - 1 + min(1.0, products / most), total)

        try:
            found = row(s, walk.task, task, w, norm, progress, notes)
        except BadInput as error:
            notes.append(f"{name}: {error}")
            found = {}
        return found

    for name, w in both.items():
        rows[name] = measured(f"{name} seed {walk.seeds[0]}", w[0])
        if layer:
            rows[f"{name} rescaled"] = measured(f"{name} rescaled", rescaled(task.net, w[0], layer, FACTOR))
    for i, seed in enumerate(walk.seeds):
        for name, w in both.items():
            seeds[name].append(rows[name] if i == 0 else measured(f"{name} seed {seed}", w[i]))
    values = {"rows": rows, "about": {m: text for m, text in ABOUT.items() if m in rows["sgd"]}, "seeds": seeds,
              "seed_names": list(walk.seeds), "mean": {name: _spread(each) for name, each in seeds.items()},
              "rescaled": {"layer": layer, "factor": FACTOR} if layer else None, "notes": notes,
              "said": {"examples": len(task.splits["train"][0]), "rho": s.sam_rho, "adaptive_rho": ADAPTIVE * s.sam_rho,
                       "ascent_steps": ASCENT, "rays": s.rays, "rise": rises(walk.task)["train_nll"], "probes": PROBES,
                       "weight_decay": task.weight_decay, "dropout": "off",
                       "batchnorm": "re-estimated, held constant" if task.net.batchnorm else "none"}}
    context.save("width", Summary(values))
    context.progress("width", 1, 1)
    return values


def judged_on(s: Averaging, task: Task) -> Task:
    """The task with as many training examples as curvature is asked for on."""
    x, y = task.splits["train"]
    return replace(task, splits=task.splits | {"train": (x[: s.hessian_examples], y[: s.hessian_examples])})


def row(s: Averaging, whole: Task, task: Task, w: Tensor, norm: float, progress, notes: list[str]) -> dict:
    """Every measure of one network (P,); ``task`` has the examples for curvature, ``whole`` those for rays. ``notes`` gets
    what is to be known of how they were computed."""
    w = w.to(task.splits["train"][0])
    objective = Objective(task, penalty=False, buffers=task.buffers(w) if task.net.batchnorm else None)
    hessian, decay, found = objective.hessian(w), task.weight_decay, {}
    slow = f"Vectors were multiplied with the Hessian one by one: {hessian.refused}." if hessian.refused else ""
    notes += [slow] if slow and slow not in notes else []
    if s.hessian:
        spectrum = eigenvalues(hessian, min(s.hessian, hessian.size), generator=generator(s.ray_seed, EIGEN),
                               progress=progress)
        pairs = list(zip(spectrum.values.tolist(), spectrum.residuals.tolist(), strict=True))
        found["eigenvalues"] = [{"value": value, "error": error} for value, error in pairs]
        found["eigenvalues with weight decay"] = [{"value": value + decay, "error": error} for value, error in pairs]
        total = trace(hessian, generator=generator(s.ray_seed, TRACE), probes=PROBES, progress=progress)
        found["trace"] = {"value": total.value, "error": total.standard_error}
    own = scales(task.net, w)
    plain = sharpness(objective, w, s.sam_rho, ASCENT, generator=generator(s.ray_seed, BALL))
    adaptive = sharpness(objective, w, ADAPTIVE * s.sam_rho, ASCENT, scales=own, generator=generator(s.ray_seed, BALL))
    found |= {"sam": {"value": plain.rise, "error": None}, "asam": {"value": adaptive.rise, "error": None}}
    if s.hessian:
        normal = eigenvalues(Scaled(hessian, scales(task.net, w, "filter")), 1, generator=generator(s.ray_seed, EIGEN),
                             progress=progress)
        found["normalised curvature"] = {"value": float(normal.values[0]), "error": float(normal.residuals[0])}
    found["ray width"] = width_of(s, whole, w, "unit", norm)
    return found | {"filter ray width": width_of(s, whole, w, "filter", norm)}


def _layer(task: Task, w: Tensor) -> tuple[str | None, str]:
    """The first layer that can be rescaled without changing the function, or why there is none."""
    reason = "it has no layers of its own"
    for name, _ in task.net.module.named_modules():
        try:
            rescaled(task.net, w, name, FACTOR)
            return name, ""
        except BadInput as error:
            reason = str(error) if name else reason
    return None, f"The same function in other weights is left out: {reason}"


def _spread(rows: list[dict]) -> dict:
    """Mean and standard deviation over seeds of each measure, of the first eigenvalue where there are several."""
    found = {}
    for measure in rows[0]:
        cells = [row[measure][0] if isinstance(row.get(measure), list) else row.get(measure) for row in rows]
        values = [cell["value"] for cell in cells if cell and cell["value"] is not None and math.isfinite(cell["value"])]
        if values:
            found[measure] = {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None, "n": len(values)}
    return found


def told(values: dict) -> dict:
    """``hessian`` of the machine-readable result: the first seed's largest eigenvalues and trace, and every seed's."""
    def of(row: dict) -> tuple[list[float] | None, float | None]:
        tops = [cell["value"] for cell in row["eigenvalues"]] if "eigenvalues" in row else None
        return tops, row["trace"]["value"] if "trace" in row else None

    found = {}
    for name, rows in values["seeds"].items():
        each = [of(row) for row in rows]
        found[name] = {"top": each[0][0], "trace": each[0][1], "trace_by_seed": [total for _, total in each],
                       "top_by_seed": [tops[0] if tops else None for tops, _ in each]}
    return found
