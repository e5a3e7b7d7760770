"""Predictions of numbers: are intervals honest, does the stated spread say where errors are large, and what mends them?"""

from __future__ import annotations

import numpy as np

from landscape.errors import BadInput
from landscape.recipes.judged.predicting import Numbers
from landscape.results import Judged, Summary
from landscape.settings_calibration import Judging
from landscape.uncertainty import conformal, regression
from landscape.uncertainty.regression import LEVELS, Normal
from landscape.uncertainty.resampling import Resampler, interval

PIT_BINS = 10
TRAP = ("The stated spread is one constant: its intervals may hold the right share of targets on average, and still say "
        "nothing about any single example. The bins of stated spread are one bin; errors by the input show what that hides.")
SCORES = {"equal width": "intervals of one width for all examples",
          "stated spread": "intervals as wide as the stated spread says, up to one factor"}


def forecast(found: Numbers) -> Normal:
    """The mixture of all networks' normals."""
    return regression.mixture(found.means, found.noise[None], found.targets)


def judge(s: Judging, info: dict, test: Numbers, validation: Numbers, context) -> dict:
    """Saves ``judged:``, ``account:``, ``regressed:`` and ``conformal:LABEL``; the row of the summary."""
    label, seen, own = info["label"], forecast(test), forecast(validation)
    parts = [{"mean": f.mean, "epistemic": n.means.std(0), "aleatoric": n.noise, "targets": f.truth}
             for f, n in ((seen, test), (own, validation))]
    said = [TRAP] if regression.spread(seen.mean, seen.sd, seen.truth).constant else []
    told = info | {"said": [*info.get("said", []), *said]}
    metrics = account(s, seen)
    context.save(f"account:{label}", Summary({
        "label": label, "metrics": metrics, "bins": s.bins, "draws": s.draws, "n": len(seen.truth), "floor": None,
        "impossible": 0, "said": told["said"], "failed": None}))
    mended = after(s, seen, own)
    context.save(f"judged:{label}", Judged("regression", *(
        {k: np.asarray(v, np.float32) for k, v in part.items()} for part in parts), told | {"temperature": mended["scale"]}))
    context.save(f"regressed:{label}", Summary(_regressed(s, seen, own, test, mended) | {"label": label, "said": said}))
    context.save(f"conformal:{label}", Summary(intervals(s, seen, own)))
    before = {name: each["value"] for name, each in metrics.items()}
    return {"title": info["title"], "source": info["source"], "failed": None, "n": len(seen.truth), **before, "brier": None,
            "ece15": None, "ece15_mass": None, "ece_debiased": None, "mce": None, "temperature": None,
            "scale": mended["scale"], "after": {"n": len(seen.truth), **mended["scaled"]}, "changed_predictions": None}


def account(s: Judging, seen: Normal) -> dict[str, dict]:
    """RMSE, NLL, CRPS, quantile error and the mean gap of stated and found errors, with bootstrap intervals."""
    sample = Resampler.of(len(seen.truth), s.draws, np.random.default_rng(s.seed))
    squares, nll, crps = sample.totals([(seen.truth - seen.mean) ** 2, seen.nll, seen.crps]) / sample.sizes
    values = figures(seen)
    drawn = {"error": np.sqrt(squares), "nll": nll, "crps": crps}
    found = {name: interval(values[name], each, 0.95) for name, each in drawn.items()}
    made = {name: {"value": values[name], "low": None, "high": None} for name in values}
    return made | {name: {"value": each.value, "low": each.low, "high": each.high} for name, each in found.items()}


def figures(seen: Normal, bins: int = 15) -> dict[str, float]:
    return {"error": float(np.sqrt(np.mean((seen.truth - seen.mean) ** 2))), "nll": float(seen.nll.mean()),
            "crps": float(seen.crps.mean()), "quantile_error": regression.quantile_error(seen.cdf),
            "encal": regression.spread(seen.mean, seen.sd, seen.truth, bins).encal}


def after(s: Judging, seen: Normal, own: Normal) -> dict:
    """One factor on all spreads, fitted on validation: the factor and the figures with it, as normals of that spread."""
    try:
        scale = regression.fit_scale(own.mean, own.sd, own.truth)
    except BadInput as error:
        return {"scale": None, "scaled": figures(seen), "normal": seen, "failed": str(error)}
    scaled = regression.normal(seen.mean, scale * seen.sd, seen.truth)
    return {"scale": scale, "scaled": figures(scaled), "normal": scaled, "failed": None}


def _regressed(s: Judging, seen: Normal, own: Normal, test: Numbers, mended: dict) -> dict:
    found = {"levels": LEVELS.tolist(), "coverage": regression.coverage(seen.cdf).tolist(), "n": len(seen.truth),
             "pit": _pit(seen.cdf), "figures": figures(seen), "unit": "targets",
             "scale": mended["scale"], "scaled": None if mended["scale"] is None else _with(mended["normal"]),
             "failed": mended["failed"], "spread": _spread(regression.spread(seen.mean, seen.sd, seen.truth, s.bins)),
             "by_input": None, "isotonic": None, "constant_variance": None}
    x = test.x.reshape(len(test.x), -1)[:, 0]
    if len(x) == len(seen.truth):
        found["by_input"] = _spread(regression.spread(seen.mean, seen.sd, seen.truth, s.bins, by=x))
    if found["spread"]["constant"]:
        found["constant_variance"] = TRAP
    try:
        curve = regression.fit_isotonic(own.cdf)
    except BadInput as error:
        return found | {"isotonic": {"failed": str(error)}}
    cdf = curve(seen.cdf)
    quantiles = regression.empirical_quantiles(own.mean, own.sd, own.truth, seen.mean, seen.sd)
    return found | {
        "isotonic": {"failed": None, "stated": curve.stated.tolist(), "found": curve.found.tolist(),
                     "coverage": regression.coverage(cdf).tolist(), "pit": _pit(cdf),
                     "quantile_error": regression.quantile_error(cdf)},
        "empirical": {"levels": LEVELS.tolist(), "below": (seen.truth[None] <= quantiles).mean(1).tolist()}}


def _with(scaled: Normal) -> dict:
    return {"coverage": regression.coverage(scaled.cdf).tolist(), "pit": _pit(scaled.cdf), **figures(scaled),
            "spread": _spread(regression.spread(scaled.mean, scaled.sd, scaled.truth))}


def _pit(cdf: np.ndarray) -> dict:
    counts, low, high = regression.pit_histogram(cdf, PIT_BINS)
    return {"edges": np.linspace(0, 1, PIT_BINS + 1).tolist(), "counts": counts.tolist(), "low": low, "high": high}


def _spread(found: regression.Spread) -> dict:
    return {"stated": found.stated.tolist(), "error": found.error.tolist(), "count": found.count.tolist(),
            "encal": found.encal, "variation": found.variation, "constant": found.constant}


def intervals(s: Judging, seen: Normal, own: Normal) -> dict:
    """Coverage and width of conformal intervals over random halves of the test examples."""
    made = {}
    for score, words in SCORES.items():
        sd, own_sd = (None, None) if score == "equal width" else (seen.sd, own.sd)
        try:
            found = conformal.repeated_intervals(seen.mean, seen.truth, sd, s.alpha, s.splits, s.seed)
        except BadInput as error:
            return {"kind": "intervals", "alpha": s.alpha, "nominal": 1 - s.alpha, "scores": {}, "failed": str(error)}
        low, high = conformal.intervals(own.mean, own.truth, seen.mean, s.alpha, own_sd, sd)
        ends = np.percentile(found.coverage, (2.5, 97.5))
        finite = np.isfinite(found.size)
        made[score] = {"words": words, "coverage": found.coverage.tolist(), "mean": found.mean,
                       "size": [v if ok else None for v, ok in zip(found.size.tolist(), finite, strict=True)],
                       "mean_size": float(found.size[finite].mean()) if finite.any() else None,
                       "low": float(ends[0]), "high": float(ends[1]), "sets": None,
                       "sets_coverage": float(((seen.truth >= low) & (seen.truth <= high)).mean())}
    return {"kind": "intervals", "alpha": s.alpha, "nominal": 1 - s.alpha, "n": len(seen.truth), "splits": s.splits,
            "scores": made, "failed": None,
            "said": [f"Each of {s.splits} random halves of the test examples was calibrated on the other half."]}
