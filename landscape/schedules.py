"""Learning-rate schedules as numbers: the rate of every step and the steps after which a snapshot is taken.

No torch here, so pages draw from the very array the optimiser uses (``plan(...).rates``). Steps count from 0; a point of
collection n means "after n steps", where the schedule has come to step n. ``constant``, ``linear`` and ``cosine`` are
also factors on a base rate at a share ``progress`` in [0, 1) of the run: the same numbers, bit for bit.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from landscape.errors import BadInput, unknown


@dataclass(frozen=True, eq=False)
class Plan:
    """``rates`` (S,) float64, one a step; ``collect`` (C,) increasing numbers of steps after which a snapshot is taken.

    ``heights`` (C,) is the rate of the schedule's curve at each of these points, the lowest of its cycle if it has cycles:
    where a page draws the mark. ``momenta`` (S,) is None where the momentum stays what the settings say.
    """

    name: str
    steps_per_epoch: int
    rates: np.ndarray
    collect: np.ndarray
    heights: np.ndarray
    momenta: np.ndarray | None = None

    @property
    def steps(self) -> int:
        return len(self.rates)

    @property
    def epochs(self) -> int:
        return len(self.rates) // self.steps_per_epoch

    @property
    def time(self) -> np.ndarray:
        """When each step is taken (S,), in epochs: the horizontal axis of a picture."""
        return np.arange(self.steps) / self.steps_per_epoch

    def every(self, epochs: float = 1, start: float = 0) -> np.ndarray:
        """Numbers of steps at equal distances from ``start`` to the end, both in epochs; 0 is before the first step."""
        gap = whole_steps("every", epochs, self.steps_per_epoch)
        return np.arange(whole_steps("start", start, self.steps_per_epoch, least=0), self.steps + 1, gap)

    def head(self, epochs: int) -> Plan:
        """The first epochs alone."""
        steps = epochs * self.steps_per_epoch
        if not 0 <= steps <= self.steps:
            raise BadInput(f"The schedule has {self.epochs} epochs, so its first part must have 0 to {self.epochs}; "
                           f"found {epochs}.")
        inside = self.collect <= steps
        momenta = None if self.momenta is None else self.momenta[:steps]
        return replace(self, rates=self.rates[:steps], collect=self.collect[inside], heights=self.heights[inside],
                       momenta=momenta)

    def then(self, other: Plan) -> Plan:
        """This plan and after it another, as FGE goes on from a network trained before."""
        if self.steps_per_epoch != other.steps_per_epoch:
            raise BadInput(f"Schedules that follow each other need equally many steps an epoch; found "
                           f"{self.steps_per_epoch} and {other.steps_per_epoch}.")
        if self.momenta is not None or other.momenta is not None:
            raise BadInput("A schedule with a momentum of its own (1cycle) is a whole run and cannot be joined to another.")
        return replace(other, rates=np.concatenate([self.rates, other.rates]),
                       collect=np.concatenate([self.collect, other.collect + self.steps]),
                       heights=np.concatenate([self.heights, other.heights]))

    def needing(self, snapshots: int, reason: str) -> Plan:
        """This plan if it collects that many. ``reason`` ends the sentence "... are needed"."""
        if len(self.collect) < snapshots:
            raise BadInput(f"{snapshots} snapshots are needed {reason}, and this schedule collects {len(self.collect)} in "
                           f"{self.epochs} epochs. Train longer, start to collect earlier, or collect more often.")
        return self


@dataclass(frozen=True)
class Shape:
    """A schedule people can choose: ``parameters`` says in a sentence what each one of ``build`` is."""

    title: str
    about: str
    build: Callable[..., Plan]
    parameters: dict[str, str]

    @property
    def defaults(self) -> dict[str, float | int | str | None]:
        """Each parameter's default; None where it follows from the base rate, absent where it has to be given."""
        given = inspect.signature(self.build).parameters
        return {name: given[name].default for name in self.parameters if given[name].default is not inspect.Parameter.empty}


def plan(name: str, *, lr: float, epochs: int, steps_per_epoch: int, **parameters) -> Plan:
    """The schedule ``name`` of a run, ``lr`` its base rate. Parameters as in ``SHAPES[name].parameters``; times in epochs.

    Raises BadInput for unknown names, rates that are not positive, and times that do not fit into the run.
    """
    if name not in SHAPES:
        raise unknown("schedule", name, SHAPES)
    shape = SHAPES[name]
    for given in parameters:
        if given not in shape.parameters:
            raise unknown(f"parameter of the schedule {name}", given, shape.parameters)
    missing = [p for p in shape.parameters if p not in parameters and p not in shape.defaults]
    if missing:
        raise BadInput(f"The schedule {name} needs {', '.join(missing)}: {shape.parameters[missing[0]]}")
    if not (epochs >= 1 and steps_per_epoch >= 1):
        raise BadInput(f"A schedule needs at least 1 epoch of at least 1 step; found {epochs} epochs of {steps_per_epoch}.")
    return shape.build(lr=positive("lr", lr), steps=epochs * steps_per_epoch, spe=steps_per_epoch, **parameters)


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Steps in which every example is seen once; the last batch may be smaller."""
    return -(-examples // batch_size)


def shared_epochs(plans: Iterable[Plan]) -> int:
    """For how many whole epochs all plans take the same steps and nothing is collected: what needs to be trained once."""
    plans = list(plans)
    spe = plans[0].steps_per_epoch
    if any(p.steps_per_epoch != spe for p in plans):
        raise BadInput("Plans of one start need equally many steps an epoch.")
    shortest = min(p.steps for p in plans)
    same = np.ones(shortest, bool)
    for p in plans[1:]:
        same &= p.rates[:shortest] == plans[0].rates[:shortest]
    if len(plans) > 1 and any(p.momenta is not None for p in plans):
        same[:] = False
    first = shortest if same.all() else int(np.argmin(same))
    return min([first, *(int(p.collect[0]) - 1 for p in plans if len(p.collect))]) // spe


# Factors on a base rate at a share of the run.


def constant(progress: float) -> float:
    return 1.0


def linear(progress: float) -> float:
    """One up to one half, then linear to 0.01 at nine tenths, then 0.01 (Garipov et al. 2018; Izmailov et al. 2018)."""
    return 1.0 - 0.99 * min(max(progress - 0.5, 0.0) / 0.4, 1.0)


def cosine(progress: float) -> float:
    """Half a cosine, one to zero (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def scaled(factor: Callable[[float], float], lr: float, steps: int) -> list[float]:
    """``lr * factor(share)`` for each step of a run."""
    return [lr * factor(i / steps) for i in range(steps)]


# Plans. ``steps`` of the whole run, ``spe`` steps an epoch.


def _factor(name: str, factor: Callable[[float], float]) -> Callable[..., Plan]:
    return lambda lr, steps, spe: _made(name, spe, np.array(scaled(factor, lr, steps)))


def swa(lr: float, steps: int, spe: int, start: float, swa_lr: float | None = None, every: float = 1) -> Plan:
    """SWA with a constant rate (Izmailov et al. 2018, and the authors' program for the way there).

    ``lr`` up to half of ``start``, linear to ``swa_lr`` (default lr) at nine tenths of it, then constant. Snapshots are
    taken after start + every, start + 2 every, ...
    """
    swa_lr = lr if swa_lr is None else positive("swa_lr", swa_lr)
    begin, gap = whole_steps("start", start, spe, least=0), whole_steps("every", every, spe)
    _must_begin(begin, gap, steps, spe)
    share = np.clip((np.arange(steps) / max(begin, 1) - 0.5) / 0.4, 0, 1)
    rates = np.where(share < 1, lr * (1 - (1 - swa_lr / lr) * share), swa_lr)
    return _made("swa", spe, rates, np.arange(begin + gap, steps + 1, gap), swa_lr)


def fge(lr: float, steps: int, spe: int, cycle: float, low: float | None = None) -> Plan:
    """The triangular cycles of fast geometric ensembling (Garipov et al. 2018, section 4).

    From alpha1 = ``lr`` down to alpha2 = ``low`` (default lr / 100) at t = 1/2 of a cycle and up again. Step i has t = i / c
    modulo 1, as in the authors' program; a snapshot is taken after c/2 steps of each cycle, when t is 1/2.
    """
    low = lr / 100 if low is None else positive("low", low)
    length = _cycle(cycle, low, lr, steps, spe, even=True)
    t = np.arange(steps) % length / length
    rates = np.where(t < 0.5, lr * (1 - 2 * t) + low * 2 * t, low * (2 - 2 * t) + lr * (2 * t - 1))
    return _made("fge", spe, rates, np.arange(length // 2, steps + 1, length), low)


def sawtooth(lr: float, steps: int, spe: int, cycle: float, low: float | None = None, start: float = 0) -> Plan:
    """The sawtooth cycles of SWA (Izmailov et al. 2018, section 3.1): from ``lr`` down to ``low``, then back at once.

    ``lr`` up to ``start``, then step i of a cycle has t = (i + 1) / c and the rate (1 - t) lr + t low; a snapshot is taken
    after each cycle, its last step being the one with the lowest rate.
    """
    low = lr / 100 if low is None else positive("low", low)
    begin = whole_steps("start", start, spe, least=0)
    length = _cycle(cycle, low, lr, steps, spe)
    _must_begin(begin, length, steps, spe)
    after = np.arange(steps) - begin
    t = (after % length + 1) / length
    rates = np.where(after < 0, lr, (1 - t) * lr + t * low)
    return _made("sawtooth", spe, rates, np.arange(begin + length, steps + 1, length), low)


def onecycle(lr: float, steps: int, spe: int, low: float | None = None, final: float | None = None, share: float = 0.45,
             momentum_high: float | None = None, momentum_low: float | None = None) -> Plan:
    """1cycle (Smith 2018, section 4.2): from ``low`` (default lr / 10) up to ``lr``, down again, then to ``final``
    (default lr / 1000), all linear; up and down take ``share`` of the run each.

    With both momenta given, the momentum falls while the rate rises and the other way round.
    """
    low = lr / 10 if low is None else positive("low", low)
    final = lr / 1000 if final is None else positive("final", final)
    if not 0 < share <= 0.5:
        raise BadInput(f"share of the run for the way up must be above 0 and at most 0.5, found {share}.")
    if (momentum_high is None) != (momentum_low is None):
        raise BadInput("1cycle needs both momentum_high and momentum_low, or neither.")
    corners = np.maximum.accumulate([0, share * steps - 1, 2 * share * steps - 2, steps - 1.0])
    at = np.arange(steps)
    momenta = None
    if momentum_high is not None:
        if not 0 <= momentum_low <= momentum_high < 1:
            raise BadInput("Momenta must be 0 <= momentum_low <= momentum_high < 1, found "
                           f"{momentum_low} and {momentum_high}.")
        momenta = np.interp(at, corners, [momentum_high, momentum_low, momentum_high, momentum_high])
    return replace(_made("onecycle", spe, np.interp(at, corners, [low, lr, low, final])), momenta=momenta)


def ramp(lr: float, steps: int, spe: int, low: float | None = None, form: str = "exponential") -> Plan:
    """The learning-rate range test (Smith 2017): from ``low`` (default lr / 10000) at the first step up to ``lr``."""
    low = lr / 1e4 if low is None else positive("low", low)
    if form not in ("exponential", "linear"):
        raise unknown("form of a range test", form, ("exponential", "linear"))
    if not low < lr:
        raise BadInput(f"A range test needs a lowest rate below the highest, found low={low:g} and lr={lr:g}.")
    return _made("range", spe, (np.geomspace if form == "exponential" else np.linspace)(low, lr, steps))


SHAPES = {
    "constant": Shape("Constant", "The same rate to the end.", _factor("constant", constant), {}),
    "linear": Shape("Linear decay of the talk", "Constant to one half, linear to 1% at nine tenths, then 1%.",
                    _factor("linear", linear), {}),
    "cosine": Shape("Cosine", "Half a cosine from the base rate to zero.", _factor("cosine", cosine), {}),
    "swa": Shape("SWA, constant", "Down to a constant rate, at which snapshots are averaged.", swa, {
        "start": "Epochs before the first stretch that ends with a snapshot.",
        "swa_lr": "The constant rate; the base rate if left out.", "every": "Epochs between two snapshots."}),
    "sawtooth": Shape("SWA, cyclical", "Down in a line, back at once; a snapshot at the end of each cycle.", sawtooth, {
        "cycle": "Epochs of a cycle.", "low": "Rate at its end; a hundredth of the base rate if left out.",
        "start": "Epochs at the base rate before the first cycle."}),
    "fge": Shape("FGE, cyclical", "Down and up in straight lines; a snapshot where the rate is lowest.", fge, {
        "cycle": "Epochs of a cycle.", "low": "Rate in its middle; a hundredth of the base rate if left out."}),
    "onecycle": Shape("1cycle", "Up, down, and a last stretch far below.", onecycle, {
        "low": "Rate at the start; a tenth of the base rate if left out.",
        "final": "Rate at the end; a thousandth of the base rate if left out.",
        "share": "Share of the run for the way up, and again for the way down.",
        "momentum_high": "Momentum where the rate is low.", "momentum_low": "Momentum where the rate is highest."}),
    "range": Shape("Range test", "From a rate too small to one too large: where the loss falls and where it breaks.", ramp, {
        "low": "Rate of the first step; a ten-thousandth of the base rate if left out.", "form": "exponential or linear."}),
}


def positive(name: str, rate: float) -> float:
    if not (rate > 0 and math.isfinite(rate)):
        raise BadInput(f"{name} must be a finite number above 0, found {rate}.")
    return float(rate)


def whole_steps(name: str, epochs: float, spe: int, least: int = 1) -> int:
    """A time in epochs as a number of steps. Raises BadInput unless that is a whole number of at least ``least``."""
    steps = epochs * spe
    if not (math.isfinite(steps) and abs(steps - round(steps)) < 1e-9 * max(1, steps) and round(steps) >= least):
        raise BadInput(f"{name} must be a whole number of steps, at least {least}; found {epochs:g} epochs of {spe} steps, "
                       f"which is {steps:g}.")
    return round(steps)


def _cycle(cycle: float, low: float, high: float, steps: int, spe: int, even: bool = False) -> int:
    length = whole_steps("cycle", cycle, spe)
    if length > steps:
        raise BadInput(f"A cycle of {cycle:g} epochs is longer than the run of {steps / spe:g}. Choose a shorter cycle or "
                       "more epochs.")
    if even and length % 2:
        raise BadInput(f"A cycle needs an even number of steps, to have a middle; {cycle:g} epochs of {spe} steps are "
                       f"{length}. Choose {(length + 1) / spe:g} epochs or another batch size.")
    if not low <= high:
        raise BadInput(f"The lowest rate of a cycle must not be above the base rate, found low={low:g} and lr={high:g}.")
    return length


def _must_begin(begin: int, gap: int, steps: int, spe: int) -> None:
    if begin + gap > steps:
        raise BadInput(f"Averaging starts after {begin / spe:g} epochs and takes its first snapshot {gap / spe:g} later; "
                       f"the run ends after {steps / spe:g}. Start earlier, collect more often or train longer.")


def _made(name: str, spe: int, rates: np.ndarray, collect: Iterable[int] = (), height: float = math.nan) -> Plan:
    collect = np.array(collect, dtype=np.int64)
    return Plan(name, spe, rates, collect, np.full(len(collect), height))
