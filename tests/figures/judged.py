"""Results of a calibration run made by hand: probabilities from a formula, judged by the real functions."""

from __future__ import annotations

import numpy as np

from landscape import catalog
from landscape.figures import sources
from landscape.results import Judged, Predictive, Series, Summary
from landscape.uncertainty import conformal, detection, regression, shift
from landscape.uncertainty.account import account
from landscape.uncertainty.calibrators import CALIBRATORS, changed, fit
from landscape.uncertainty.calibrators.calibrator import nll_of
from landscape.uncertainty.entry import predictions
from landscape.uncertainty.summary import plain

DATA = {"data": {"validation": 400, "test": 600}, "batchnorm": "none"}
CLASSES = [str(k) for k in range(10)]
SOURCES = {"sgd": (2.6, 0.3), "swa": (2.0, 0.5), "swag": (1.4, 0.5), "ensemble": (1.2, 0.8), "multiswag": (0.8, 0.9)}
NUMBERS = {"sgd": 0.6, "swag": 0.9, "ensemble": 1.0}  # stated over found standard deviation
CORRUPTIONS = ("noise", "shift")


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def drawn(n: int, seed: int, sharp: float, strength: float, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, C) ``sharp`` times too large for their labels (n,); 1 is perfectly calibrated."""
    rng = np.random.default_rng(seed)
    scores = (1.4 + strength) * rng.gumbel(size=(n, classes))
    chances = softmax(scores)
    labels = np.array([rng.choice(classes, p=row) for row in chances])
    return sharp * scores, labels


def judged(name: str = "sgd", temperature: float | None = None, n: int = 600, **info) -> tuple[Judged, np.ndarray]:
    """One source and its validation logits."""
    sharp, strength = SOURCES[name]
    outputs, labels = drawn(n, 3, sharp, strength)
    fitted, known = drawn(400, 4, sharp, strength)
    scale = temperature or 1.0
    told = DATA | {"label": f"{name} temperature" if temperature else name, "source": name, "about": "Made up.", "seed": 0,
                   "draws": 1 if name == "sgd" else 30,
                   "run": None, "place": None, "classes": CLASSES, "temperature": 2.6, "said": []}
    test = {"probabilities": softmax(outputs / scale).astype(np.float32), "labels": labels}
    validation = {"probabilities": softmax(fitted / scale).astype(np.float32), "labels": known}
    return Judged("classes", test, validation, told | info), fitted


def accounted(seen: Judged) -> Summary:
    given = predictions(seen.test["probabilities"], seen.test["labels"])
    found = account(given, draws=200)
    metrics = {name: one.as_dict() for name, one in found.metrics.items()}
    for part in ("reliability", "resolution", "uncertainty", "within"):
        metrics[f"brier_{part}"] = {"value": getattr(found.brier_parts, part), "low": None, "high": None}
    return Summary({"metrics": metrics, "bins": 15, "draws": 200, "n": found.n, "floor": found.floor,
                    "impossible": found.impossible, "said": list(found.said)})


def calibrated(label: str = "sgd") -> Summary:
    seen, fitted = judged(label)
    logits, labels = drawn(600, 3, *SOURCES[label])
    known = seen.validation["labels"]
    before = plain(account(predictions(logits, labels, "logits"), draws=2, class_wise=False))
    rows = []
    for name, row in CALIBRATORS.items():
        made = fit(name, fitted, known)
        after = made(logits)
        rows.append({"calibrator": name, "title": row.label, "parameters": f"{row.words}.", "before": before, "failed": None,
                     "after": plain(account(predictions(after, labels, "probabilities"), draws=2, class_wise=False)),
                     "validation_nll": [nll_of(fitted, known), nll_of(np.log(np.maximum(made(fitted), 1e-38)), known)],
                     "changed": changed(logits, after)})
    rows.append({"calibrator": "pooled", "title": "Members' temperature", "failed": "Here there is one network only.",
                 "after": None, "before": before, "changed": None, "parameters": "", "validation_nll": None})
    return Summary({"rows": rows, "n": {"test": 600, "fitted": 400},
                    "said": ["Calibrators were fitted on validation examples of their own."]})


def sets(label: str) -> Summary:
    seen, _ = judged(label)
    scores = {}
    for score in conformal.SCORES:
        found = conformal.repeated_sets(seen.test["probabilities"], seen.test["labels"], 0.1, score, 60)
        held = conformal.sets(seen.validation["probabilities"], seen.validation["labels"], seen.test["probabilities"], 0.1,
                              score).sum(axis=1)
        low, high = np.quantile(found.coverage, [0.025, 0.975])
        scores[score] = {"coverage": found.coverage.tolist(), "size": found.size.tolist(), "mean": found.mean,
                         "low": float(low), "high": float(high), "sets": np.bincount(held, minlength=11).tolist()}
    return Summary({"alpha": 0.1, "kind": "sets", "splits": 60, "n": 600, "scores": scores})


def ladder(name: str) -> Series:
    labels, values = list(SOURCES), {}
    for k, label in enumerate(labels):
        step = np.arange(6) * (1 - 0.1 * k)
        values |= {f"{label} accuracy": 0.75 - 0.09 * step, f"{label} nll": 0.8 + 0.3 * step**1.4,
                   f"{label} ece": 0.03 + 0.05 * step}
    row = shift.CORRUPTIONS[name]
    return Series(np.arange(6.0), values, DATA | {"title": row.label, "about": row.words, "unit": row.unit, "labels": labels,
                                                  "strengths": list(row.strengths), "said": []})


def shifted(name: str) -> Series:
    x = np.sin(np.linspace(0, 9, 40))[None] + 0.2 * np.random.default_rng(0).standard_normal((3, 40))
    made = np.stack([shift.corrupt(x, name, s) for s in shift.SEVERITIES])  # (6, 3, 40)
    return Series(np.arange(6.0), {f"example {k}": made[:, k].T for k in range(3)},
                  {"shape": [40], "view": "signal", "index": [0, 1, 2], "targets": [0, 1, 2], "classes": CLASSES})


def unknown() -> Summary:
    rng, rows = np.random.default_rng(5), {}
    for k, label in enumerate(SOURCES):
        scores = {}
        for score in ("entropy", "doubt", *(("disagreement",) if label in ("swag", "multiswag") else ())):
            known, other = rng.beta(1.2, 4, 400), rng.beta(1.5 + 0.6 * k, 3, 300)
            found = detection.detected(known, other)
            scores[score] = {"auroc": found.auroc, "low": found.auroc - 0.02, "high": found.auroc + 0.02,
                             "missed": found.missed, "edges": found.edges.tolist(), "known": found.known.tolist(),
                             "unknown": found.unknown.tolist()}
        rows[label] = {"title": catalog.SOURCES[label].title, "scores": scores}
    return Summary({"kind": "classes", "title": "Held-out classes", "about": "Classes 8 and 9 were left out.", "known": 400,
                    "unknown": 300, "scores": {}, "methods": rows, "said": []})


def far_away(label: str, sharp: float) -> Predictive:
    x = np.linspace(-8, 9, 70)
    X, Y = np.meshgrid(x, x, indexing="ij")
    p = 1 / (1 + np.exp(-sharp * (Y - 0.25 - 0.45 * np.cos(np.pi * X / 2))))
    rng = np.random.default_rng(2)
    train = np.stack([rng.uniform(-1.2, 2.2, 150), rng.uniform(-0.8, 1.3, 150)], axis=1)
    return Predictive({}, np.zeros((0, 2), np.float32), np.zeros(0, int), {},
                      {"x": x, "y": x, "probabilities": np.stack([p, 1 - p], axis=-1), "train_x": train,
                       "train_y": (train[:, 1] < 0.3).astype(int)}, DATA | {"classes": ["upper", "lower"], "label": label})


def rays() -> Series:
    x = np.geomspace(0.5, 100, 30)
    return Series(x, {"sgd": 1 - 0.4 / (1 + x), "ensemble": 0.6 + 0.3 / (1 + 0.1 * x)}, {"labels": ["sgd", "ensemble"]})


def numbers(label: str, n: int = 300) -> tuple[Judged, Summary]:
    rng = np.random.default_rng(7)
    x = rng.uniform(-3, 3, n)
    true = 0.1 + 0.15 * np.abs(x)
    mean = np.sin(2 * x)
    stated = true if label != "sgd" else np.full(n, true.mean())
    targets, sd = mean + true * rng.standard_normal(n), NUMBERS[label] * stated
    found = regression.normal(mean, sd, targets)
    levels = regression.LEVELS
    factor = regression.fit_scale(mean, sd, targets)
    scaled = regression.normal(mean, factor * sd, targets)
    smooth = regression.fit_isotonic(found.cdf)(found.cdf)
    pits = {}
    for way, cdf in (("as it is", found.cdf), ("one factor", scaled.cdf), ("isotonic", smooth)):
        counts, low, high = regression.pit_histogram(cdf)
        pits[way] = {"counts": counts.tolist(), "low": low, "high": high}
    spreads = {}
    for by, key in (("spread", None), ("by_input", np.abs(x))):
        one = regression.spread(mean, sd, targets, 8, key)
        spreads[by] = {"stated": one.stated.tolist(), "error": one.error.tolist(), "count": one.count.tolist(),
                       "constant": one.constant}
    constant = label == "sgd"
    told = {"n": n, "levels": levels.tolist(), "pit": pits["as it is"],
            "coverage": regression.coverage(found.cdf).tolist(), "scale": factor, "failed": None,
            "scaled": {"coverage": regression.coverage(scaled.cdf).tolist(), "pit": pits["one factor"]},
            "isotonic": {"failed": None, "coverage": regression.coverage(smooth).tolist(), "pit": pits["isotonic"]},
            "constant_variance": "The stated spread is one constant." if constant else None,
            **spreads}
    test = {"mean": mean, "epistemic": np.zeros(n), "aleatoric": sd, "targets": targets}
    seen = Judged("regression", {k: v.astype(np.float32) for k, v in test.items()}, {},
                  DATA | {"label": label, "source": label, "draws": 1, "seed": 0, "said": []})
    return seen, Summary(told)


def number_account(label: str) -> Summary:
    seen, _ = numbers(label)
    found = regression.normal(seen.test["mean"], seen.test["aleatoric"], seen.test["targets"])
    rmse = float(np.sqrt(np.mean((found.truth - found.mean) ** 2)))
    values = {"error": rmse, "nll": found.nll.mean(), "crps": found.crps.mean(),
              "quantile_error": regression.quantile_error(found.cdf)}
    return Summary({"metrics": {m: {"value": float(v), "low": 0.9 * float(v), "high": 1.1 * float(v)}
                                for m, v in values.items()}, "n": len(found.mean), "said": []})


def number_sets(label: str) -> Summary:
    seen, _ = numbers(label)
    scores = {}
    for score, sd in (("equal width", None), ("stated spread", seen.test["aleatoric"])):
        found = conformal.repeated_intervals(seen.test["mean"], seen.test["targets"], sd, splits=60)
        scores[score] = {"coverage": found.coverage.tolist(), "size": found.size.tolist(), "mean": found.mean,
                         "low": float(np.quantile(found.coverage, 0.025)), "high": float(np.quantile(found.coverage, 0.975))}
    return Summary({"alpha": 0.1, "kind": "intervals", "splits": 60, "n": 300, "scores": scores})


def summary(found: dict) -> Summary:
    """The JSON of the issue for the sources among these results."""
    values = {}
    for name, one in found.items():
        if name.startswith("account:") and "brier" in one.values["metrics"]:
            m = {k: v["value"] for k, v in one.values["metrics"].items()}
            values[name.removeprefix("account:")] = {
                "n": one.values["n"], "error": m["error"], "nll": m["nll"], "brier": m["brier"], "ece15": m["ece"],
                "ece15_mass": m["ece_mass"], "ece_debiased": m["ece_debiased"], "mce": m["mce"], "temperature": 2.6,
                "after": None, "changed_predictions": 0,
                "title": sources.title(name.removeprefix("account:"))}
    return Summary({"key": "made", "task": "mnist1d", "kind": "classes", "sources": list(values), **values})


def results(kind: str = "classes") -> dict:
    """Every result of a run by its name."""
    found: dict = {}
    if kind == "regression":
        for label in NUMBERS:
            found[f"judged:{label}"], found[f"regressed:{label}"] = numbers(label)
            found[f"account:{label}"], found[f"conformal:{label}"] = number_account(label), number_sets(label)
        return found | {"summary": Summary({"key": "made", "task": "regression", "kind": "regression"})}
    for label in SOURCES:
        found[f"judged:{label}"] = judged(label)[0]
        found[f"conformal:{label}"] = sets(label)
    found["judged:sgd temperature"] = judged("sgd", 2.6)[0]
    found |= {name.replace("judged", "account"): accounted(one) for name, one in found.items() if name.startswith("judged")}
    found |= {f"shift:{name}": ladder(name) for name in CORRUPTIONS}
    found |= {f"shifted:{name}": shifted(name) for name in CORRUPTIONS}
    found |= {"calibrated:sgd": calibrated("sgd"), "ood": unknown(), "far": rays()}
    found |= {f"confidence:{label}": far_away(label, sharp) for label, sharp in (("sgd", 3.0), ("ensemble", 0.8))}
    return found | {"summary": summary(found)}
