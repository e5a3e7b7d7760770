"""What all methods share: what they are given, what they give back, and the checks on both.

A method is a file with ``infer(given, *, draws, chains, generator, watch=silent, **options) -> Draws`` and a row in
``catalog.METHODS``, whose defaults are its options and, beside them, ``over``, ``needs`` and ``block``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from landscape import catalog
from landscape.errors import BadInput, Diverged
from landscape.posteriors.blocks import Block, blocks, joined
from landscape.posteriors.space import Space
from landscape.posteriors.target import Target
from landscape.training.task import Task

Watch = Callable[[int, int, Tensor | None], None]
NEEDS = {"target": "a posterior over a subspace or all weights", "task": "a task with training data",
         "trajectories": "the snapshots of a training", "networks": "a trained network"}
SHOWN = 0.1  # seconds between two reports of new draws


@dataclass(frozen=True, eq=False)
class Given:
    """What a method may use; it names in its row what it needs.

    ``target`` the posterior over a subspace or all weights; ``task``; ``trajectories`` one (T, P) of SGD snapshots for each
    member; ``networks`` (M, P) trained networks; ``buffers`` what belongs to them; ``start`` (chains, K) where chains begin.
    """

    target: Target | None = None
    task: Task | None = None
    trajectories: tuple[Tensor, ...] = ()
    networks: Tensor | None = None
    buffers: Any = None
    start: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Draws:
    """``z`` (chains, draws, K) coordinates of ``space``; ``log_density`` (chains, draws), NaN where the method has none.

    ``info``: ``acceptance`` (chains,), ``step_size``, ``energy_error`` (chains, draws), ``divergences``,
    ``gradient_evaluations`` and ``value_evaluations`` (passes of one network over the training data), ``seconds``, ``said``
    (sentences); those that apply.
    """

    z: Tensor
    log_density: Tensor
    space: Space
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def flat(self) -> Tensor:
        """All draws (chains * draws, K)."""
        return self.z.flatten(0, 1)

    @property
    def weights(self) -> Tensor:
        """All draws as weights (chains * draws, P), float64."""
        return self.space.lift(self.flat)


def silent(done: int, total: int, new: Tensor | None) -> None:
    """Watches nothing."""


def infer(name: str, given: Given, *, generator: torch.Generator, watch: Watch = silent, **options) -> Draws:
    """Run the method called ``name`` with its row's defaults, ``options`` before them; chains of more than one block one
    block after the other.

    Adds ``seconds``, ``value_evaluations`` and ``gradient_evaluations`` to the info where the method has not. Raises
    BadInput for unknown names, options and missing needs, zero draws or chains; Diverged where a chain or a fit is lost.
    """
    parts = divided(name, given, **options)
    streams, found = [part.generator(generator) for part in parts], []
    for part, own in zip(parts, streams, strict=True):
        found.append(infer_block(name, given, part, generator=own, watch=_of_all(watch, part, parts, found), **options))
    return joined(parts, found)


def divided(name: str, given: Given, **options) -> list[Block]:
    """The blocks that the chains of a method go in: one up to its row's ``block`` of them, on a GPU, where all go together,
    and for draws that are no chains. Raises BadInput as ``infer``."""
    row, chosen = _chosen(name, given, options)
    chains, most = chosen.get("chains", 1), row.defaults.get("block")
    if given.start is not None:
        _check_shape(given, chains)
    alone = most is None or given.target is None or given.target.device.type != "cpu"
    return blocks(chains, chains if alone else most)


def infer_block(name: str, given: Given, part: Block, *, generator: torch.Generator, watch: Watch = silent,
                **options) -> Draws:
    """The draws of one block of ``divided``, ``generator`` being the block's own."""
    row, chosen = _chosen(name, given, options)
    before = dict(given.target.evaluations) if given.target is not None else {}
    started = time.perf_counter()
    try:
        found = row.load()(part.given(given), generator=generator, watch=watch,
                           **({"draws": 1} | chosen | {"chains": len(part)}))
    except (BadInput, Diverged) as error:
        if len(part) == part.chains:
            raise
        raise type(error)(f"{part.named} of {part.chains}, a block of their own: {error}") from None
    spent = {f"{kind[:-1]}_evaluations": given.target.evaluations[kind] - count for kind, count in before.items()}
    found.info.update({**spent, "seconds": time.perf_counter() - started, **found.info})
    return found


def _chosen(name: str, given: Given, options: dict[str, Any]) -> tuple[catalog.Row, dict[str, Any]]:
    """The row of a method and its options, checked."""
    row = catalog.row("method", catalog.METHODS, name)
    known = {key: value for key, value in row.defaults.items() if key not in catalog.ABOUT_METHODS}
    for key in options:
        if key not in known:
            raise BadInput(f"{row.title} has no option {key!r}. Choose among: {', '.join(known)}.")
    for need in row.defaults.get("needs", ()):
        value = getattr(given, need)
        if value is None or (need == "trajectories" and not value):
            raise BadInput(f"{row.title} needs {NEEDS[need]}, and there is none here. Choose another method.")
    chosen = known | options
    for key in ("draws", "chains"):
        if chosen.get(key, 1) < 1:
            raise BadInput(f"{row.title} needs at least one of {key}, found {chosen[key]}. Ask for some: {key}=4.")
    return row, chosen


def _of_all(watch: Watch, part: Block, parts: list[Block], before: list[Draws]) -> Watch:
    """The watch of one block for ``watch``, which sees draws of all chains: those that the last block completes."""
    if len(parts) == 1:
        return watch
    shown = 0

    def seen(done: int, total: int, new: Tensor | None) -> None:
        nonlocal shown
        if new is not None and part is parts[-1]:
            first, shown = shown, shown + new.shape[1]
            new = torch.cat([*(each.z[:, first:shown] for each in before), new])
        elif part is not parts[-1]:
            new = None
        watch(part.number * total + done, len(parts) * total, new)

    return seen


def starts(given: Given, chains: int, generator: torch.Generator, spread: float = 0.1) -> Tensor:
    """Where chains begin, (chains, K): as given, at the trained networks if all weights are inferred, or near the origin.

    Near the origin means at it plus ``spread`` times a draw of the prior's shape, so that chains begin apart.
    Raises BadInput where the density of a start is not finite, naming it.
    """
    target = given.target
    if given.start is not None:
        _check_shape(given, chains)
        z = given.start.to(target.space.origin)
    elif target.space.kind == "weights" and given.networks is not None:
        z = target.space.project(given.networks)[torch.arange(chains) % len(given.networks)]
    else:
        z = spread * target.normal_prior.spread(chains, generator)
    check_start(target, z, target.log_density(z))
    return z


def _check_shape(given: Given, chains: int) -> None:
    """Raises BadInput where there is not one start for each chain."""
    wanted, found = (chains, given.target.ndim), tuple(given.start.shape)
    if found != wanted:
        raise BadInput(f"{chains} chains over {wanted[1]} coordinates start at {wanted}; found {found}.")


def check_start(target: Target, z: Tensor, log_density: Tensor) -> None:
    """Raises BadInput, naming the chain, where a log density (chains,) is not finite."""
    bad = torch.nonzero(~log_density.isfinite()).flatten().tolist()
    if bad:
        at = ", ".join(f"{value:.3g}" for value in z[bad[0]][:4].tolist()) + ", ..." * (target.ndim > 4)
        raise BadInput(f"Chain {bad[0] + 1} of {len(z)} starts at z = ({at}), where the log density is "
                       f"{float(log_density[bad[0]])}. Start it at a trained network or nearer to the origin, use a smaller "
                       "prior_std, or check that the network's outputs are finite there.")


def check_moved(title: str, accepted: Tensor, tries: int, advice: str) -> None:
    """Raises Diverged, naming the chains, where ``accepted`` (chains,) shares are zero."""
    stuck = [str(k + 1) for k in torch.nonzero(~(accepted > 0)).flatten().tolist()]
    if stuck:
        raise Diverged(f"{title}: chain{'s' * (len(stuck) > 1)} {', '.join(stuck)} of {len(accepted)} accepted none of "
                       f"{tries} proposals, so its draws are one point. {advice}")


def check_positive(title: str, **values: float | None) -> None:
    """Raises BadInput for an option that is given (not None) and not above zero."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise BadInput(f"{title} needs {name} above zero, found {value:g}.")


class Recorder:
    """Holds draws as they come, reports new ones to a watch, and makes the ``Draws``.

    ``total`` counts iterations of a chain, those of the warm-up included.
    """

    def __init__(self, target: Target, chains: int, draws: int, warmup: int = 0, watch: Watch = silent):
        check_positive("Sampling", draws=draws, chains=chains)
        self.target, self.watch, self.warmup, self.total = target, watch, warmup, warmup + draws
        self.z = torch.empty(chains, draws, target.ndim, dtype=target.dtype, device=target.device)
        self.log_density = torch.full((chains, draws), torch.nan, dtype=torch.float64, device=target.device)
        self.counts = torch.zeros(chains, dtype=torch.long)
        self._warmed, self._shown, self._last = 0, 0, -float("inf")

    @property
    def full(self) -> bool:
        return bool((self.counts == self.z.shape[1]).all())

    def warmed(self, iterations: int = 1) -> None:
        """Iterations of the warm-up that were done."""
        self._warmed += iterations
        self._report(self._warmed, 0)

    def add(self, z: Tensor, log_density: Tensor | float = float("nan"), chains: Tensor | None = None) -> None:
        """The next draw z (n, K) of these chains (n,), default all; draws beyond those asked for are left out."""
        chains = torch.arange(len(self.counts)) if chains is None else chains.cpu()
        values = torch.as_tensor(log_density, dtype=torch.float64, device=self.z.device).expand(len(chains))
        open_ = self.counts[chains] < self.z.shape[1]
        rows = chains[open_]
        place, there = self.counts[rows], open_.to(self.z.device)
        self.z[rows, place] = z.to(self.z)[there]
        self.log_density[rows, place] = values[there]
        self.counts[rows] += 1
        done = int(self.counts.min())
        self._report(self.warmup + done, done)

    def draws(self, **info) -> Draws:
        """All of them."""
        return Draws(self.z, self.log_density, self.target.space, {"said": [], **info})

    def _report(self, done: int, count: int) -> None:
        now = time.monotonic()
        if now - self._last < SHOWN and done < self.total:
            return
        self._last = now
        new = self.z[:, self._shown : count] if count > self._shown else None
        self._shown = max(self._shown, count)
        self.watch(done, self.total, new)
