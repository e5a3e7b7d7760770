"""A run of calibration as parts of a page that is handed on: figures, tables, and how true they are."""

from __future__ import annotations

from collections.abc import Iterator

from landscape.figures import calibrators, confidence_gap, diagram, intervals, metric_table, ood, shift, sources, truth
from landscape.figures.story import Part

BINS = 15
SHOWN = 4  # sources whose calibrators are shown


def parts(library, key: str) -> list[Part]:
    """What there is so far, in the order of the page."""
    found = {name: library.result(key, name) for name in library.names(key)}
    found = {name: one for name, one in found.items() if one is not None}
    info = next((one.info for one in sources.of(found, "judged:").values()), {})
    true = ((truth.said(info, metric="test_nll"), True),) if info else ()
    made = [*_diagrams(found, info), *_metrics(found, true), *_calibrators(found, true), *_shift(found), *_unknown(found),
            *_intervals(found, true)]
    return [part for part in made if part.figures or part.html]


def _diagrams(found: dict, info: dict) -> Iterator[Part]:
    judged = {label: one for label, one in sources.of(found, "judged:").items() if sources.drawable(one)}
    shown = [label for label in judged if label in sources.FIRST] or list(judged)[:6]
    if not shown:
        return
    looks, banded = sources.named(found), tuple(shown[:1])
    bins = {rule: {label: sources.bins_of(judged[label], BINS, rule) for label in shown} for rule in ("width", "mass")}
    confidence = {label: sources.top(judged[label])[0] for label in shown}
    said = truth.said(info, f"left: {BINS} bins of equal width, right: of equal numbers of examples; bands: 95% of "
                            f"{looks[shown[0]].title}", metric="test_nll")
    yield Part("Is the confidence earned?", sources.in_words({label: judged[label] for label in shown}, looks), {
        "diagram": diagram.diagram(bins["width"], confidence, looks, banded),
        "gap": confidence_gap.gap(bins["mass"], looks, banded)}, "", ((said, True),))


def _metrics(found: dict, true: tuple) -> Iterator[Part]:
    accounts = {label: one.values for label, one in sources.of(found, "account:").items() if one.values.get("metrics")}
    if accounts:
        looks = sources.named(found)
        yield Part("The likelihood of unseen data", metric_table.in_words(accounts, looks), {
            "likelihood": metric_table.points(accounts, looks, "nll")}, "", true)
        yield Part("Every metric, none alone", "Below each value: its 95% bootstrap interval.", {},
                   metric_table.table(accounts, looks), true)


def _calibrators(found: dict, true: tuple) -> Iterator[Part]:
    looks = sources.named(found)
    for i, (label, one) in enumerate(sources.of(found, "calibrated:").items()):
        if i < SHOWN and "nll" in calibrators.offered(one.values):
            yield Part(f"Calibrators on {looks[label].title}", calibrators.in_words(one.values), {
                f"calibrators-{i}": calibrators.before_and_after(one.values, "nll")}, calibrators.table(one.values), true)


def _shift(found: dict) -> Iterator[Part]:
    looks = sources.named(found)
    for name, series in sources.of(found, "shift:").items():
        shown = [label for label in shift.labels(series) if label in looks]
        yield Part(f"Corrupted inputs: {series.info.get('title', name)}", shift.in_words(series, looks), {
            f"shift-{name}-{metric}": shift.ladder(series, {label: looks[label] for label in shown}, metric)
            .update_layout(showlegend=True) for metric in shift.METRICS}, "",
            ((truth.said(series.info, metric="test_nll"), True),))


def _unknown(found: dict) -> Iterator[Part]:
    values = found["ood"].values if "ood" in found else {}
    if values.get("methods"):
        looks = sources.named(found)
        yield Part(f"Unknown inputs: {values.get('title', '')}", ood.in_words(values, looks),
                   {"auroc": ood.auroc(values, looks)}, "", ((str(values.get("about", "")), True),))


def _intervals(found: dict, true: tuple) -> Iterator[Part]:
    looks = sources.named(found)
    regressed = {label: one.values for label, one in sources.of(found, "regressed:").items()}
    if regressed:
        yield Part("Do intervals hold what they say?", intervals.coverage_in_words(regressed, looks), {
            "coverage": intervals.coverage(regressed, looks), "spread": intervals.spread(regressed, looks)}, "", true)
    sets = {label: one.values for label, one in sources.of(found, "conformal:").items() if one.values.get("scores")}
    if sets:
        yield Part("Sets with a promise", intervals.conformal_in_words(sets, looks),
                   {"conformal": intervals.conformal(sets, looks)}, "", true)
