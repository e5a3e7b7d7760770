"""Whether chains have converged: R-hat, effective sample sizes of coordinates and of functions, ranks, a verdict in words.

R-hat and effective sample sizes are the rank-normalised, split ones of Vehtari et al. 2021 (arXiv 1903.08008), from
arviz-stats. Networks have symmetries, so chains may lie in different places in weight space and yet agree on every
prediction: both spaces are judged, and what counts for predictions is the function space (Izmailov et al. 2021, arXiv
2104.14421, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from landscape.errors import BadInput
from landscape.posteriors.method import Draws
from landscape.posteriors.predictive import CHUNK_BYTES
from landscape.training.task import Task

CONVERGED = 1.01  # R-hat below it (Vehtari et al. 2021)
DOUBTFUL = 1.1
ENOUGH = 100  # effective draws for each chain that is taken as one
FEWEST = 8  # draws of a chain that can be split and judged
COLUMNS = 64  # of many coordinates or function values, judged at equal spacings
RANKS = 20


@dataclass(frozen=True, eq=False)
class Mixing:
    """R-hat, bulk and tail effective sample sizes (F,) of F columns of (chains, draws, F); NaN where they cannot be told."""

    rhat: np.ndarray
    bulk: np.ndarray
    tail: np.ndarray

    @property
    def worst(self) -> float | None:
        """The largest R-hat; None where it is not known."""
        return float(np.nanmax(self.rhat)) if np.isfinite(self.rhat).any() else None

    @property
    def least(self) -> float | None:
        """The smallest of all effective sample sizes; None where it is not known."""
        both = np.concatenate([self.bulk, self.tail])
        return float(np.nanmin(both)) if np.isfinite(both).any() else None


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """``coordinates`` and ``functions`` (None without values of functions), ``ranks`` (F, chains, bins) of the first
    coordinates, ``acceptance``, ``energy_error`` (its standard deviation) and ``divergences`` where the method has them;
    ``steps`` says that proposals are steps of some size, so that few accepted ones mean too long steps."""

    chains: int
    draws: int
    independent: bool
    coordinates: Mixing | None
    functions: Mixing | None
    ranks: np.ndarray
    acceptance: float | None
    energy_error: float | None
    divergences: int | None
    steps: bool = False
    said: list[str] = field(default_factory=list)


def diagnose(draws: Draws, functions: np.ndarray | None = None, independent: bool = False, bins: int = RANKS) -> Diagnosis:
    """Judge draws, with values of functions (chains, draws, F) beside them (``function_values``).

    ``independent``: the method draws independently from a fitted distribution, so that R-hat says nothing about whether the
    fit is right; this is said. Of many columns ``COLUMNS`` at equal spacings are judged.
    """
    z = draws.z.cpu().numpy()
    chains, count, _ = z.shape
    if functions is not None and functions.shape[:2] != z.shape[:2]:
        raise BadInput(f"Values of functions come as (chains, draws, F) with the draws' {chains} x {count}; found shape "
                       f"{functions.shape}.")
    info = draws.info
    found = {"coordinates": mixing(z), "functions": None if functions is None else mixing(functions)}
    acceptance, energy = _mean(info.get("acceptance")), _spread(info.get("energy_error"))
    divergences = None if info.get("divergences") is None else int(np.sum(_array(info["divergences"])))
    made = Diagnosis(chains, count, independent, found["coordinates"], found["functions"], rank_histograms(z[..., :4], bins),
                     acceptance, energy, divergences, info.get("step_size") is not None)
    made.said.extend(_verdict(made))
    return made


def mixing(values: np.ndarray, columns: int = COLUMNS) -> Mixing | None:
    """R-hat and effective sample sizes of values (chains, draws, F); None for chains too short to be judged.

    One chain is cut into two for R-hat, as the split does with every chain. A column that never changes has none (NaN).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3:
        raise BadInput(f"Values to judge come as (chains, draws, F); found shape {values.shape}.")
    if values.shape[1] < FEWEST or not values.shape[2]:
        return None
    values = values[..., np.unique(np.linspace(0, values.shape[2] - 1, columns).round().astype(int))]
    found = np.full((3, values.shape[2]), np.nan)
    usable = np.isfinite(values).all((0, 1)) & (np.ptp(values, axis=(0, 1)) > 0)
    if usable.any():
        kept = values[..., usable]
        half = kept.shape[1] // 2
        split = kept if len(kept) > 1 else np.concatenate([kept[:, :half], kept[:, -half:]])
        axes = {"chain_axis": 0, "draw_axis": 1}
        found[0, usable] = array_stats.rhat(split, **axes)
        found[1, usable] = array_stats.ess(kept, method="bulk", **axes)
        found[2, usable] = array_stats.ess(kept, method="tail", prob=(0.05, 0.95), **axes)
    return Mixing(*found)


def rank_histograms(values: np.ndarray, bins: int = RANKS) -> np.ndarray:
    """Counts (F, chains, bins) of each chain's ranks among all chains' draws, for values (chains, draws, F).

    Chains that explore the same distribution give flat histograms, draws / bins in each bin. Equal values get ranks in the
    order of the draws, alternating between chains, so that a constant is flat as well.
    """
    values = np.asarray(values)
    chains, draws, columns = values.shape
    counts = np.zeros((columns, chains, bins), dtype=np.int64)
    owner = np.tile(np.arange(chains), draws)
    for f in range(columns):
        order = np.argsort(values[..., f].T.reshape(-1), kind="stable")
        place = np.arange(chains * draws) * bins // (chains * draws)
        np.add.at(counts[f], (owner[order], place), 1)
    return counts


@torch.no_grad()
def function_values(task: Task, draws: Draws, x: Tensor) -> np.ndarray:
    """What the drawn networks put out at inputs x (B, ...): (chains, draws, B * C), log-probabilities of classes or means.

    BatchNorm statistics are re-estimated for every draw. Choose few inputs: all values are held.
    """
    x = x.to(task.splits["train"][0].device, task.dtype)
    flat = draws.z.flatten(0, 1)
    widest = max((layer.outputs for layer in task.net.layers or ()), default=1)
    step = max(1, CHUNK_BYTES // (8 * (len(x) * widest + task.net.size))) if task.net.layers else 1
    rows = []
    for part in flat.split(step):
        w = draws.space.lift(part).to(x.device, task.dtype)
        outputs = task.net(w, x) if task.net.layers else task.net(w[0], x, task.buffers(w[0]))[None]
        rows.append((outputs.log_softmax(-1) if outputs.shape[-1] > 1 else outputs).double().flatten(1).cpu())
    return torch.cat(rows).reshape(*draws.z.shape[:2], -1).numpy()


def _verdict(found: Diagnosis) -> list[str]:
    if found.independent:
        return [f"{found.chains * found.draws} independent draws from a fitted distribution: they need no convergence, and "
                "say nothing about whether that distribution is the posterior."]
    if found.coordinates is None:
        return [f"Chains of {found.draws} draws are too short to be judged; at least {FEWEST} are needed, and hundreds are "
                "better."]
    said = _judged({"coordinates": found.coordinates, "function space": found.functions}, found.chains * found.draws)
    if found.functions is not None:
        apart = (found.coordinates.worst or 0) > DOUBTFUL and (found.functions.worst or np.inf) < DOUBTFUL
        if apart:
            said.append("The chains lie in different places and agree on the predictions, as symmetric copies do.")
    if found.steps and found.acceptance is not None and found.acceptance < 0.2:
        said.append(f"Only {100 * found.acceptance:.0f} % of the proposals were accepted: take smaller steps.")
    if found.divergences:
        count = "1 trajectory" if found.divergences == 1 else f"{found.divergences} trajectories"
        said.append(f"{count} diverged: parts of the posterior may be missing. Take smaller steps.")
    if found.chains == 1:
        said.append("One chain cannot show that another start would have found another place: run at least four.")
    return said


def _judged(found: dict[str, Mixing | None], total: int) -> list[str]:
    """One sentence for all spaces of which the same is to be said."""
    said: dict[tuple[str, str], list[tuple[str, Mixing]]] = {}
    for where, one in found.items():
        if one is not None:
            said.setdefault(_level(one), []).append((where, one))
    sentences = []
    for (level, advice), those in said.items():
        places = " and in ".join(where for where, _ in those)
        numbers = ""
        if those[0][1].worst is not None and those[0][1].least is not None:
            rhats = " and ".join(f"{one.worst:.3f}" for _, one in those)
            least = " and ".join(f"{one.least:.0f}" for _, one in those)
            numbers = f": R-hat at most {rhats}, at least {least} effective of {total} draws"
        sentences.append(f"In {places} {level}{numbers}.{advice}")
    return sentences


def _level(one: Mixing) -> tuple[str, str]:
    """What is to be said of chains, and what to do."""
    if one.worst is None or one.least is None:
        return "R-hat cannot be told, since values do not change or are not finite", ""
    if one.worst > DOUBTFUL:
        return "the chains have NOT converged", " Run longer, or warm up longer."
    if one.worst > CONVERGED or one.least < ENOUGH:
        return "the chains agree roughly", " Good for a picture; run longer for numbers."
    return "the chains have converged", ""


def _array(value) -> np.ndarray:
    return value.detach().cpu().double().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)


def _mean(value) -> float | None:
    return None if value is None else float(np.mean(_array(value)))


def _spread(value) -> float | None:
    if value is None:
        return None
    value = _array(value)
    return float(np.std(value)) if value.size > 1 else float(np.abs(value).max(initial=0))
