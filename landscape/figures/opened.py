"""An opened network, or two of them: which figures show it, and the words and numbers around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape

import numpy as np
import plotly.graph_objects as go

from landscape.figures import confusion, regions, reliability, style
from landscape.figures.checked import Verdict
from landscape.figures.predictions import agreement, apart, calibration_in_words, differing
from landscape.results import METRICS, Opened

PLANES = {"optima": "the plane of three optima", "bezier": "the plane of the Bezier curve",
          "chain": "the plane of the chain", "random": "a random plane", "plane": "the plane through three networks",
          "pca": "the plane of the first two principal components"}
PATHS = {"line": "the straight line", "matched": "the straight line after matching"}
HEIGHT, LOW = 380, 330


@dataclass(frozen=True)
class Picture:
    """One figure of an opened network: its heading, its width beside the others, its height, whether views move together.

    It is drawn when it is asked for, so that a page can show one while it draws the next.
    """

    name: str
    title: str
    draw: Callable[[], go.Figure]
    width: float = 1.0
    height: int = HEIGHT
    linked: bool = False

    @property
    def figure(self) -> go.Figure:
        return self.draw()


def drawable(seen: Opened) -> bool:
    """Whether its outputs are finite class probabilities or finite numbers beside the targets."""
    return seen.outputs.size > 0 and bool(np.isfinite(seen.outputs).all())


def named(where: dict) -> str:
    """A place in words: ``t = 0.42 on the Bezier curve``."""
    if "network" in where:
        return str(where["network"])
    if "path" in where:
        path = where["path"]
        known = {kind: f"the {look['title']}" for kind, look in style.KINDS.items()} | PATHS
        return f"t = {float(where['t']):.3g} on {known.get(path, path)}"
    plane = PLANES.get(where["plane"], f"the plane {where['plane']}")
    return f"({_short(where['x'])}, {_short(where['y'])}) on {plane}"


def pictures(seen: Opened) -> list[Picture]:
    """What one network predicts, by what its task is: side by side in this order. Empty if that cannot be drawn."""
    if not drawable(seen):
        return []
    if seen.info.get("kind") == "regression":
        told = [Picture("truth", "Test examples", partial(regions.predicted_against_true, seen))]
        if not seen.function:
            return told
        return [Picture("function", "The function it computes", partial(regions.fitted, seen), 1.7), *told]
    rest = [Picture("confusion", "Who is taken for whom", partial(confusion.confusion, seen)),
            Picture("reliability", "How far its confidence can be trusted", partial(reliability.reliability, seen))]
    if seen.function:
        return [Picture("regions", "What it decides where", partial(regions.regions, seen), 1.25), *rest]
    return rest


def pictures_of_two(a: Opened, b: Opened) -> list[Picture]:
    """Where two networks of one task differ. Empty if that cannot be drawn."""
    if not (drawable(a) and drawable(b)):
        return []
    if a.info.get("kind") == "regression":
        both = [Picture("truth-a", "A on test examples", partial(regions.predicted_against_true, a)),
                Picture("truth-b", "B on test examples", partial(regions.predicted_against_true, b))]
        if not a.function:
            return both
        return [Picture("function-ab", "The functions they compute", partial(regions.fitted, a, b), 1.4), *both]
    if a.function and b.function:
        return [Picture("regions-a", "What A decides", partial(regions.regions, a), height=LOW, linked=True),
                Picture("regions-b", "What B decides", partial(regions.regions, b), height=LOW, linked=True),
                Picture("difference", "Where they differ", partial(regions.difference, a, b), height=LOW, linked=True)]
    return [Picture("confusion-a", "A: who is taken for whom", partial(confusion.confusion, a)),
            Picture("confusion-b", "B: who is taken for whom", partial(confusion.confusion, b)),
            Picture("against", "A against B", partial(confusion.against, a, b))]


def tiles(verdicts: list[Verdict]) -> str:
    """HTML: every metric as found there and then, the drawn value under it, and whether they are equal or why not."""
    def beside(v: Verdict) -> str:
        drawn = "" if v.drawn is None or v.word == "as drawn" else f"drawn {_value(v.drawn, v.metric)}: "
        return f'<small class="{"" if v.ok else "alarm"}">{drawn}{escape(v.word)}</small>' if v.word else ""

    cells = [f"<li><span>{METRICS[v.metric]}</span><b>{_value(v.opened, v.metric)}</b>{beside(v)}</li>" for v in verdicts]
    return f'<ul class="landscape-tiles">{"".join(cells)}</ul>'


def tiles_of_two(a: Opened, b: Opened) -> str:
    """HTML: every metric of both."""
    cells = [f"<li><span>{title}</span>{_pair('A', a.values[m], m)}{_pair('B', b.values[m], m)}</li>"
             for m, title in METRICS.items() if m in a.values and m in b.values]
    return f'<ul class="landscape-tiles two">{"".join(cells)}</ul>'


def distances(seen: Opened) -> str:
    """HTML: how far the network is from every marked one, in weight space; an empty text if there is no other."""
    if not any(seen.distances.values()):
        return ""
    far = max([*seen.distances.values(), 1e-12])
    cells = [f'<li><span>{escape(name)}</span><b><i style="width:{70 * d / far:.0f}%"></i>{d:.3g}</b></li>'
             for name, d in seen.distances.items()]
    return f'<ul class="landscape-distances">{"".join(cells)}</ul>'


def provenance(seen: Opened) -> str:
    """One line: what the numbers were computed on and how."""
    info, said = seen.info, []
    said.append(f"{int(info['parameters']):,} weights of norm {info['norm']:.3g}" if "parameters" in info else "")
    counted = ", ".join(f"{n:,} {split}" for split, n in (info.get("n") or {}).items())
    said.append(f"{counted} examples" if counted else "")
    if info.get("batchnorm") not in (None, "none"):
        said.append(f"BatchNorm statistics {info['batchnorm']}")
    if info.get("residual"):
        said.append(f"{info['residual']:.3g} away from the place that was asked for")
    said.append(f"answered in {info['seconds']:.2f} s" if "seconds" in info else "")
    return " · ".join(part for part in said if part)


def in_words(seen: Opened) -> str:
    """What a reader should take from the figures."""
    if not drawable(seen):
        bad = int((~np.isfinite(seen.outputs)).sum())
        return f"{bad:,} of its {seen.outputs.size:,} outputs are not finite: there is nothing to draw." if bad else ""
    if seen.info.get("kind") == "classification":
        return calibration_in_words(seen)
    std = seen.info.get("noise_std")
    error = float(np.sqrt(np.mean((np.asarray(seen.outputs, float) - np.asarray(seen.targets, float)) ** 2)))
    return (f"Root mean squared error {error:.3g} on {len(seen.targets):,} test examples"
            + (f", where the noise alone is taken to be {std:.3g}." if std else "."))


def two_in_words(a: Opened, b: Opened, far: float | None) -> str:
    """How alike two networks are: in what they say, and in weight space (``far``, None if it is not known)."""
    distance = "" if far is None else f" They are {far:.3g} apart in weight space."
    if not (drawable(a) and drawable(b)):
        return f"The outputs of {'A' if drawable(b) else 'B' if drawable(a) else 'A and B'} cannot be compared.{distance}"
    if a.info.get("kind") == "regression":
        return f"Their predictions of test examples differ by {apart(a, b):.3g} (root mean square).{distance}"
    same, n = agreement(a, b), len(a.targets)
    unlike = len(differing(a, b))
    return f"**A and B agree on {same:.1%}** of {n:,} test examples and differ on {unlike:,}.{distance}"


def between(distance: np.ndarray, values: np.ndarray, title: str) -> go.Figure:
    """One metric (T,) along the straight line from A to B, over the distance from A (T,)."""
    look = {"color": style.KINDS["segment"]["color"], "width": 2.4}
    figure = go.Figure(go.Scatter(x=np.float32(distance), y=np.float32(values), mode="lines+markers", line=look, name="line",
                                  marker={"size": 5}, hovertemplate="%{x:.3g} from A: %{y:.4g}<extra></extra>"))
    for letter, i in (("A", 0), ("B", -1)):
        figure.add_scatter(x=[float(distance[i])], y=[float(values[i])], mode="markers+text", text=[letter],
                           cliponaxis=False, textposition="top center", showlegend=False, hoverinfo="skip", name=letter,
                           marker={"size": 11, "color": regions.PAIR[letter], "line": {"width": 2, "color": style.PAPER}})
    figure.update_xaxes(style.axis("distance from A in weight space"))
    figure.update_yaxes(style.axis(title, rangemode="tozero"))
    return style.layout(figure, showlegend=False, hovermode="closest")


def _pair(letter: str, value: float, metric: str) -> str:
    return f"<b><i class={letter.lower()}>{letter}</i>{_value(value, metric)}</b>"


def _value(value: float, metric: str) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "not finite"


def _short(value: float) -> str:
    return f"{float(value):.3g}".replace("-", "−")
