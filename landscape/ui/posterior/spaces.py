"""Three steps, the subspace in numbers, and what other subspaces would predict."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from landscape.figures import bands, coordinates, methods, traces
from landscape.figures import posterior_table as tables
from landscape.figures import subspace as subspaces
from landscape.results import Surface
from landscape.ui.posterior.story import Story
from landscape.ui.reading import POSTERIOR

KINDS = {
    "random": ("Random directions", "$d_i \\sim N(0, I)$ around SGD's solution."),
    "pca": ("PCA of SGD's walk", "The principal components of the snapshots around their mean, the SWA solution."),
    "curve": ("The plane of a curve", "Through two solutions and the bend of a curve of low loss between them."),
}


def steps(story: Story) -> None:
    """The recipe with this run's numbers in it."""
    s = story.settings
    done = {n: one.info for n, one in story.samples.items() if len(one.plane)}
    drawn = [n for n, info in done.items() if info.get("over", "subspace") == "subspace"]
    inside = [n for n in drawn if (done[n].get("subspace") or s.subspace) == s.subspace]
    beside = [n for n in done if n not in drawn] + [n for n in drawn if n not in inside]
    count = sum(len(one.plane) for one in story.samples.values())
    parameters = _parameters(story)
    nothing = "nothing: it could not be built" if story.missing else "no method is done yet"
    st.markdown(
        f"1. **Construct a subspace**: {KINDS[s.subspace][0]}, {s.dimension} dimensions"
        + (f" out of {parameters:,}.\n" if parameters else ".\n")
        + f"2. **Infer in it**: {_listed(inside) or nothing}"
        + (f"; beside it, for comparison: {_listed(beside)}.\n" if beside else ".\n")
        + f"3. **Average**: predict with the networks that were drawn ({count:,} are kept here) and take the mean."
    )


def _listed(names: list[str]) -> str:
    return " · ".join(methods.look(name).title for name in names)


def _parameters(story: Story) -> int | None:
    found = story.values("summary").get("parameters")
    return int(found) if found else None


def subspace(story: Story) -> None:
    """Formula, directions, units, and whether the origin has the likelihood it should; or why there is none."""
    if story.missing:
        st.warning(story.missing, icon=":material/block:")
        _without(story)
        return
    surface: Surface = story.theatre
    s, info = story.settings, surface.info
    kind = s.subspace
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(
            f"$S = \\{{\\,w = \\hat w + t_1 d_1 + \\dots + t_k d_k\\,\\}}$, here with $k = {s.dimension}$. "
            f"**{KINDS[kind][0]}.** {KINDS[kind][1]}"
        )
        st.markdown(" ".join([scaling_in_words(surface, s.scaling), *_sentences(surface)]))
        if surface.info.get("slice"):
            st.markdown(
                f"The stage below is the slice through $\\hat w$ along the first two of the {s.dimension} directions."
            )
    explained = info.get("explained")
    if explained is not None and len(explained):
        with right:
            shares = np.asarray(explained, float)[:10]
            story.figure("explained", subspaces.shares, shares, height=240)
            st.caption(
                "Shares of the variance of SGD's walk. A walk without any aim in many dimensions has its first "
                "component near 61% and its second near 15% as well."
            )


def _without(story: Story) -> None:
    """Which methods have failed with the subspace, and which results there are all the same."""
    failed = [name for name, one in story.samples.items() if one.info.get("failed") == story.missing]
    st.markdown(
        (f"It was to be drawn from by {_listed(failed)}. " if failed else "")
        + "Methods that do not need it have run; all that follows is theirs."
    )


def scaling_in_words(surface: Surface, scaling: str) -> str:
    """How long a unit of a coordinate is; the run's own words, if it has any."""
    x, y = coordinates.lengths(surface)
    if surface.info.get("words"):
        words = surface.info["words"]
        said = (words if isinstance(words, str) else " ".join(map(str, words))).rstrip(".")
        return f"{said[:1].upper()}{said[1:]}."
    if scaling == "unit":
        return "Directions are one long: a coordinate is a distance in weight space."
    return f"One step along the first two directions is {x:.3g} and {y:.3g} long in weight space (singular values)."


def _sentences(surface: Surface) -> list[str]:
    """What the run itself says of temperature, prior and units."""
    said = surface.info.get("said") or ()
    return [said] if isinstance(said, str) else [str(one) for one in said]


def choice(story: Story) -> None:
    """What the same sampler predicts in each subspace of this run, and a way to compute those that are missing."""
    s = story.settings
    rows = {kind: row for kind in KINDS if (row := _row(story, kind)) is not None}
    cells = "".join(_line(story, kind, row) for kind, row in rows.items())
    if cells:
        head = (
            "<th>test NLL</th><th>gap / data</th><th>sd between networks</th>"
            if story.regression
            else "<th>test NLL</th><th>ECE</th><th>other class than SGD</th>"
        )
        st.html(
            f'<div class="landscape-wide"><table class="landscape-table"><thead><tr><th>subspace</th>{head}<th></th></tr>'
            f"</thead><tbody>{cells}</tbody></table></div>"
        )
        st.caption(
            "Elliptical slice sampling in each, with the same prior and temperature. Last column: how far the networks of "
            "the subspace differ in what they say, "
            + (
                "as the standard deviation between them on the test set, in raw units of the target."
                if story.regression
                else "as the share of test examples that the average puts into another class than SGD's network."
            )
        )
        apart = {kind: float(rhat) for kind in rows if (rhat := _rhat(story, kind)) is not None and rhat > traces.DOUBTFUL}
        if apart:
            st.caption(
                "The chains do not agree on what they predict in "
                + " and ".join(f"{KINDS[kind][0].lower()} (R-hat {rhat:.2f})" for kind, rhat in apart.items())
                + ": numbers there depend on where the chains began. More side_draws and warmup, or a smaller prior_std."
            )
    missing = [kind for kind in KINDS if kind not in rows]
    if missing and story.run.status == "done" and story.run.recipe == "posterior":
        wanted = {
            "task": s.task,
            "seeds": ",".join(map(str, s.seeds)),
            "subspace": s.subspace,
            "dimension": str(s.dimension),
            "methods": ",".join(dict.fromkeys([*s.methods, "ess"])),
            "compared": ",".join(KINDS),
        }
        st.page_link(
            POSTERIOR,
            label=f"Compare with {' and '.join(KINDS[k][0].lower() for k in missing)}",
            query_params=wanted,
            icon=":material/compare_arrows:",
        )


def _rhat(story: Story, kind: str) -> float | None:
    """Of the predictions of the sampler's chains in a subspace."""
    found = story.samples.get(label_of(story, kind))
    return ((found.info.get("function") if found else None) or {}).get("rhat")


def label_of(story: Story, kind: str) -> str:
    """The name of the sampler's results in a subspace."""
    return "ess" if kind == story.settings.subspace else f"ess {kind}"


def _row(story: Story, kind: str) -> dict | None:
    name = label_of(story, kind)
    rows = story.values("table").get("rows", ())
    return next((row for row in rows if row.get("label") == name), {"label": name} if name in story.predictives else None)


def _line(story: Story, kind: str, row: dict) -> str:
    seen = story.predictives.get(label_of(story, kind))
    value = tables.cells(row, "nll")[0]
    nll = value if np.isfinite(value) else (seen.values.get("nll", np.nan) if seen else np.nan)
    ratio = bands.gap_ratio(seen) if seen else None
    second = methods.short(ratio[2], 2) if ratio else "–"
    if not story.regression:
        second = methods.short(seen.values.get("ece") if seen else None)
    spread = disagreement(story, seen) if seen else None
    failed = f'<b class="bad">{escape(str(row["failed"]))}</b>' if row.get("failed") else ""
    return (
        f'<tr><th scope="row">{KINDS[kind][0]}</th><td>{methods.short(nll)}</td><td>{second}</td>'
        f'<td>{spread or "–"}</td><td class="words">{failed}</td></tr>'
    )


def disagreement(story: Story, seen) -> str | None:
    """How far the networks of one subspace differ in what they predict."""
    if "epistemic" in seen.deviations:
        return f"{float(np.sqrt(np.mean(np.square(seen.deviations['epistemic'])))):.3f}"
    alone = story.predictives.get("sgd") or story.predictives.get("file")
    if alone is None or seen.outputs.shape != alone.outputs.shape:
        return None
    return f"{float((seen.outputs.argmax(axis=1) != alone.outputs.argmax(axis=1)).mean()):.1%}"
