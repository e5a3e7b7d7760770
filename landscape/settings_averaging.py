"""The settings of SGD's walk, of what branches off from it, and of the pictures and numbers made of both; no torch.

``plans`` gives the learning rate of every step of every branch: what is drawn is the array that the optimiser uses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from landscape import schedules
from landscape.errors import BadInput
from landscape.schedules import Plan
from landscape.settings import ABOUT_PRECISION, LATER, PRECISIONS, Grid, Training

DECAYED = 0.9  # share of the budget at which SGD's rate has come down to a hundredth
LEAST = 3  # snapshots that a plane goes through


class Walk(Training):
    """SGD whose rate decays, and a branch at a constant rate whose weights are averaged; same starts, same shuffles."""

    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), description="One network per seed: its initial weights and shuffles.")
    branch: float = Field(0.5, ge=0, lt=DECAYED, description="Share of the budget after which SGD's rate decays.")
    swa_lr: float | None = Field(None, gt=0, description="Constant rate of the other branch; empty for the base rate.")
    swa_start: float = Field(0.75, ge=0, description="Share of the budget after which weights are averaged.")
    every: float = Field(1.0, gt=0, description="Epochs between two snapshots that are averaged.")
    budgets: tuple[float, ...] = Field((1.0, 1.25, 1.5), description="Lengths of training to compare, in budgets of epochs.")

    @property
    def start(self) -> int:
        """The epoch after which weights are averaged."""
        return round(self.swa_start * self.epochs)

    @property
    def lengths(self) -> dict[float, int]:
        """Epochs of each budget."""
        return {budget: round(budget * self.epochs) for budget in self.budgets}

    @property
    def longest(self) -> int:
        return max(self.lengths.values())

    def plans(self, steps_per_epoch: int) -> dict[str, Plan]:
        """``sgd`` and ``constant`` (as long as the largest budget), and ``sgd-1.25`` ... for each further budget."""
        sgd = {f"sgd-{budget:g}": self._decaying(epochs, steps_per_epoch) for budget, epochs in self.lengths.items()}
        return {"sgd": sgd.pop("sgd-1"), "constant": self._constant(steps_per_epoch)} | sgd

    def forks(self, plans: dict[str, Plan]) -> dict[str, int]:
        """For each plan beyond the walk of one budget, the epoch up to which it is the constant branch itself."""
        own = {name: plan for name, plan in plans.items() if name not in ("sgd", "constant")}
        found = {name: schedules.shared_epochs([plan, plans["constant"]]) for name, plan in own.items()}
        return found | ({"constant": self.epochs} if self.longest > self.epochs else {})

    def _decaying(self, epochs: int, spe: int) -> Plan:
        """The base rate up to the branch, then linear to a hundredth at nine tenths; another schedule as it is."""
        given = {"lr": self.lr, "epochs": epochs, "steps_per_epoch": spe}
        if self.schedule != "linear":
            return schedules.plan(self.schedule, **given)
        made = schedules.plan("constant", **given)
        share = np.arange(made.steps) / made.steps - self.branch
        return replace(made, name="linear", rates=self.lr * (1 - 0.99 * np.clip(share / (DECAYED - self.branch), 0, 1)))

    def _constant(self, spe: int) -> Plan:
        """The base rate up to the branch, then linear to ``swa_lr`` at nine tenths of the way to the first average."""
        low = self.lr if self.swa_lr is None else self.swa_lr
        made = schedules.plan("swa", lr=low, epochs=self.longest, steps_per_epoch=spe, start=self.start, every=self.every)
        branch = self.branch * self.epochs * spe
        corners = [branch, max(branch, DECAYED * self.start * spe)]
        return replace(made, rates=np.interp(np.arange(made.steps), corners, [self.lr, low])) if low != self.lr else made

    @field_validator("budgets")
    @classmethod
    def _from_one_up(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        if not budgets or budgets[0] != 1 or list(budgets) != sorted(set(budgets)) or budgets[-1] > 4:
            raise BadInput("budgets must be 1 and, if wanted, larger numbers up to 4 in ascending order, found "
                           f"{', '.join(f'{b:g}' for b in budgets)}. Give for example budgets=1,1.25,1.5.")
        return budgets

    @model_validator(mode="after")
    def _averages_before_the_end(self) -> Walk:
        if self.start + self.every > self.epochs:
            raise BadInput(f"Averaging starts after epoch {self.start} (swa_start={self.swa_start:g}) and takes its first "
                           f"snapshot {self.every:g} epochs later; the run ends after {self.epochs}. Lower swa_start or "
                           "every, or train longer.")
        count = int((self.epochs - self.start) / self.every + 1e-9)
        if count < LEAST:
            raise BadInput(f"{LEAST} snapshots are needed for the plane through W1, W2 and W3, and {count} "
                           f"{'is' if count == 1 else 'are'} taken from epoch {self.start} to {self.epochs}, one every "
                           f"{self.every:g}. Lower swa_start or every, or train longer.")
        return self


class Branches(Walk):
    """Longer budgets, and a fast geometric ensemble, each going on from the walk where it leaves it."""

    fge_cycle: float = Field(2.0, gt=0, description="Epochs of a cycle of the ensemble's rate.")
    fge_low: float | None = Field(None, gt=0, description="Its lowest rate; empty for a hundredth of the highest.")
    fge_members: int | None = Field(None, gt=0, description="Members of the ensemble at most; empty for one a cycle.")

    def plans(self, steps_per_epoch: int) -> dict[str, Plan]:
        """Those of the walk, and ``fge``: the constant branch up to the first average, then cycles from its rate."""
        plans = super().plans(steps_per_epoch)
        high = self.lr if self.swa_lr is None else self.swa_lr
        cycles = schedules.plan("fge", lr=high, epochs=self.longest - self.start, steps_per_epoch=steps_per_epoch,
                                cycle=self.fge_cycle, low=self.fge_low)
        before = replace(plans["constant"], collect=cycles.collect[:0], heights=cycles.heights[:0]).head(self.start)
        plan = before.then(cycles) if self.start else cycles
        plan = plan.needing(self.fge_members, "for the ensemble") if self.fge_members else plan
        most = self.fge_members or len(plan.collect)
        return plans | {"fge": replace(plan, collect=plan.collect[:most], heights=plan.heights[:most])}

    @model_validator(mode="after")
    def _cycles_within_the_run(self) -> Branches:
        if self.fge_cycle > self.epochs - self.start:
            raise BadInput(f"A cycle of {self.fge_cycle:g} epochs (fge_cycle) is longer than the run it belongs to: "
                           f"{self.epochs - self.start} epochs of the first budget from epoch {self.start} on. Choose a "
                           "shorter cycle, a lower swa_start or more epochs.")
        return self


class Averaging(Branches):
    """Where SGD goes, what averaging its weights does, and how wide the place is that it finds."""

    grid: Grid = Field(49, description="Cells along the longer side of each surface.")
    margin: float = Field(0.2, gt=0, le=2, description="Margin around the marked points, in side lengths.")
    picture: Literal["adaptive", "exact"] = Field(
        "adaptive", description="adaptive: evaluate where interpolation is not yet exact; exact: every cell.")
    tolerance: float = Field(0.005, gt=0, lt=0.5, description="adaptive: 99th percentile of the error / colour range.")
    components: int | None = Field(None, ge=2, le=100, description="Principal components of the walk; empty for up to ten.")
    radius: float = Field(1.0, gt=0, le=100, description="Half side of the random planes, in steps of their directions.")
    rays: int = Field(12, ge=2, le=200, description="Random rays from each solution, the same directions for both.")
    ray_length: float = Field(1.0, gt=0, le=100, description="Their length: norms of W_SWA, or filter-normalised steps.")
    ray_points: int = Field(25, ge=3, le=501, description="Points of a ray.")
    ray_normalisation: Literal["unit", "filter"] = Field("unit", description="Unit directions, or filter-normalised ones.")
    ray_seed: int = Field(0, ge=0, description="Seed of all random directions and probes.")
    line_points: int = Field(61, ge=3, le=1001, description="Points of the line through both solutions.")
    hessian: int = Field(5, ge=0, le=50, description="Largest eigenvalues of the Hessian; 0 for none, and no trace.")
    hessian_examples: int = Field(4000, gt=0, description="Training examples the Hessian and the sharpness are of, at most.")
    sam_rho: float = Field(0.05, gt=0, description="Radius of the ball of SAM's sharpness; ten times that for ASAM.")
    batchnorm_examples: int = Field(1000, gt=1, description="Fixed training examples for re-estimating BatchNorm.")
    precision: Literal[PRECISIONS] = Field("float32", description=ABOUT_PRECISION, json_schema_extra=LATER)

    @model_validator(mode="after")
    def _enough_snapshots(self) -> Averaging:
        if (self.components or 0) > self.epochs:
            raise BadInput(f"{self.components} principal components need {self.components + 1} snapshots, and a walk of "
                           f"{self.epochs} epochs has {self.epochs + 1}: at most {self.epochs} components. Ask for fewer, "
                           "or train longer.")
        return self
