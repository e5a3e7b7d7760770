"""Test error against epoch of SGD, the last iterate at a constant rate, SWA, and the average of predictions (slide 20)."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from landscape.errors import unknown
from landscape.figures import style
from landscape.figures.history import TITLES
from landscape.results import History

ORDER = ("sgd", "last", "swa", "prediction average")
BAND = 0.16


def averages(histories: dict[str, History], metric: str, moments: dict[str, float] | None = None) -> go.Figure:
    """The mean over seeds of each curve, in a band from the lowest seed to the highest; error rates in percent.

    ``histories`` is keyed as ``style.METHODS``. ``moments`` are dotted lines with a name, in epochs.
    """
    figure = go.Figure()
    factor = 100.0 if metric.endswith("error") else 1.0
    for name in ORDER:
        if name not in histories:
            continue
        result = histories[name]
        if metric not in result.values:
            raise unknown("metric of these curves", metric, result.values)
        _curve(figure, name, np.asarray(result.epochs, float), factor * np.asarray(result.values[metric], float))
    style.moments(figure, moments or {})
    figure.update_xaxes(style.axis("epoch"))
    figure.update_yaxes(style.axis(TITLES.get(metric, metric) + (" (%)" if factor > 1 else ""),
                                   range=_window([factor * np.asarray(h.values[metric]) for h in histories.values()])))
    figure.update_layout(meta={"walkers": []})
    return style.layout(figure, hovermode="x unified")


def last_values(histories: dict[str, History], metric: str) -> dict[str, np.ndarray]:
    """The last finite value (K,) of each curve, NaN for a network that has none."""
    found = {}
    for name in ORDER:
        if name in histories and metric in histories[name].values:
            rows = np.asarray(histories[name].values[metric], float)
            found[name] = np.array([row[np.isfinite(row)][-1] if np.isfinite(row).any() else np.nan for row in rows])
    return found


def in_words(histories: dict[str, History], metric: str = "test_error") -> str:
    """Whether averaging these models' predictions, or their weights, does better than they do: as measured."""
    found = last_values(histories, metric)
    if "last" not in found or "swa" not in found:
        return ""
    mean = {name: 100 * float(np.nanmean(v)) for name, v in found.items() if np.isfinite(v).any()}
    if not {"last", "swa"} <= set(mean):
        return ""
    n = len(found["swa"])
    text = (f"Over {n} seed{'' if n == 1 else 's'}: the last model at the constant rate has a test error of "
            f"{mean['last']:.1f}%")
    if "prediction average" in mean:
        text += f", the average of such models' predictions {mean['prediction average']:.1f}%"
    text += f", the average of their weights **{mean['swa']:.1f}%**"
    if "sgd" in mean:
        text += f"; SGD with a decaying rate {mean['sgd']:.1f}%"
    return text + "." + _claim(found)


def _claim(found: dict[str, np.ndarray]) -> str:
    """The talk's side observation, held against the seeds."""
    if "prediction average" not in found:
        return ""
    predictions, weights, last = found["prediction average"], found["swa"], found["last"]
    known = np.isfinite(predictions) & np.isfinite(weights) & np.isfinite(last)
    n = int(known.sum())
    if not n:
        return ""
    better = int((weights < predictions)[known].sum())
    helped = int((predictions < last)[known].sum())
    return (f" Averaging weights beats averaging predictions in {better} of {n} seeds; averaging predictions beats the last "
            f"model in {helped} of {n}.")


def _window(curves: list[np.ndarray]) -> list[float] | None:
    """The range in which the curves differ: the first sixth of the run, where all fall, may leave it at the top."""
    late = np.concatenate([rows[:, rows.shape[1] // 6 :].ravel() for rows in curves])
    late = late[np.isfinite(late)]
    if not late.size:
        return None
    low, high = float(late.min()), float(late.max())
    return [low - 0.08 * (high - low), high + 0.12 * (high - low)] if high > low else None


def _curve(figure: go.Figure, name: str, epochs: np.ndarray, values: np.ndarray) -> None:
    look = style.METHODS[name]
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return
    x, rows = epochs[known], values[:, known]
    mean, low, high = (reduce(rows, axis=0) for reduce in (np.nanmean, np.nanmin, np.nanmax))
    if len(rows) > 1:
        figure.add_scatter(x=np.concatenate([x, x[::-1]]).astype(np.float32), mode="lines", name=f"{look['title']}: range",
                           y=np.concatenate([high, low[::-1]]).astype(np.float32), fill="toself", showlegend=False,
                           fillcolor=style.clear(look["color"], BAND), line={"width": 0}, hoverinfo="skip", legendgroup=name)
    figure.add_scatter(x=x.astype(np.float32), y=mean.astype(np.float32), mode="lines" if len(x) > 1 else "markers",
                       name=look["title"], legendgroup=name, line={"color": look["color"], "width": 2.4},
                       marker={"color": look["color"], "size": 7},
                       customdata=np.stack([low, high], axis=1).astype(np.float32),
                       hovertemplate="%{y:.4~g} (%{customdata[0]:.4~g} to %{customdata[1]:.4~g})")
