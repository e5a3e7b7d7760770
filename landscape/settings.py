"""The settings of every recipe: validated, complete, hashable. No torch, so pages build their widgets from them.

A setting left out takes the task's own default from ``catalog.TASKS``; a settings object is always complete, so the
key of a run depends on nothing outside it.
"""

from __future__ import annotations

import difflib
import json
import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from landscape import catalog
from landscape.data.held_out import parted
from landscape.errors import BadInput, unknown

DEFAULT_MAX_GRID = 257


def max_grid() -> int:
    """The largest grid side this server computes (``LANDSCAPE_MAX_GRID``, default 257)."""
    return int(os.environ.get("LANDSCAPE_MAX_GRID", DEFAULT_MAX_GRID))


def _within_limit(grid: int) -> int:
    if not 5 <= grid <= max_grid():
        raise BadInput(f"grid must be from 5 to {max_grid()} (this server's limit, LANDSCAPE_MAX_GRID), found {grid}.")
    return grid


LATER = {"later": True}  # of a field that runs in stores do not have
PRECISIONS = ("float32", "tf32", "bfloat16")
ABOUT_PRECISION = ("Numbers surfaces are computed with; tf32 and bfloat16 are for GPUs and large networks, and how far off "
                   "they are is shown.")
ABOUT_TRAINING = ("Numbers of products and convolutions in training; weights, sums and losses stay in float32 (mixed "
                  "precision). tf32 and bfloat16 are for GPUs and large networks, and how far off gradients are is shown.")
Grid = Annotated[int, AfterValidator(_within_limit)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical(self) -> str:
        """JSON with sorted keys: equal settings, equal text. A setting that came ``LATER`` than runs that are stored is left
        out where it is what it was before there was one, so that they keep their keys."""
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            if field.json_schema_extra == LATER and getattr(self, name) == field.default:
                del values[name]
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @property
    def revision(self) -> int:
        """Above 0 where results of these settings have changed while those of others of the recipe have not: pictures in
        bfloat16, for which targets were rounded once, too."""
        return int(getattr(self, "precision", None) == "bfloat16")


class Training(Settings):
    """Train one network per seed on a task, all at once."""

    task: str = Field("mnist1d", description="An embedded task, or file:NAME for a file of the data folder.")
    network: str = Field("mlp", description="Architecture.")
    widths: tuple[int, ...] = Field((100, 100), description="Units (or channels) of each hidden layer (or stage).")
    activation: Literal[catalog.ACTIVATIONS] = Field("relu", description="Nonlinearity.")
    norm: Literal[catalog.NORMS] = Field("none", description="Normalisation layers.")
    seeds: tuple[int, ...] = Field((0, 1, 2), description="One network per seed: its initial weights and shuffles.")
    train_size: int | None = Field(None, gt=0, description="Training examples used; empty for all.")
    label_noise: float = Field(0.0, ge=0, le=1, description="Share of training labels replaced at random.")
    data_seed: int = Field(0, ge=0, description="Seed of the split and of generated data.")
    epochs: int = Field(40, gt=0, le=10_000, description="Passes over the training data.")
    batch_size: int = Field(128, gt=0, description="Examples per step.")
    lr: float = Field(0.1, gt=0, description="Base learning rate.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(5e-4, ge=0, description="lambda: the loss is NLL + lambda/2 times the squared norm.")
    schedule: str = Field("linear", description="Learning rate schedule.")
    noise_variance: float = Field(0.05, gt=0, description="Regression only: variance of the Gaussian likelihood.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute.")
    training_precision: Literal[PRECISIONS] = Field("float32", description=ABOUT_TRAINING, json_schema_extra=LATER)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_task(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        named = str(given.get("task", "mnist1d"))
        task = parted(named)[0]
        if not task.startswith("file:") and task not in catalog.TASKS:
            raise unknown("task", task, catalog.TASKS)
        chosen = {**catalog.TASKS.get(task, catalog.OWN_DATA)}
        network = given.get("network", chosen["network"])
        if network != chosen["network"]:
            chosen |= catalog.row("network", catalog.NETWORKS, network).defaults
        known = {k: v for k, v in chosen.items() if k in cls.model_fields}
        return {"task": named, **known, **{k: v for k, v in given.items() if v is not None or k == "train_size"}}

    @field_validator("network")
    @classmethod
    def _known_network(cls, name: str) -> str:
        catalog.row("network", catalog.NETWORKS, name)
        return name

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, name: str) -> str:
        catalog.row("schedule", catalog.SCHEDULES, name)
        return name

    @field_validator("widths")
    @classmethod
    def _positive_widths(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if not widths or min(widths) <= 0 or len(widths) > 16 or max(widths) > 8192:
            raise BadInput(f"widths must be 1 to 16 numbers from 1 to 8192, found {list(widths)}.")
        return widths

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise BadInput(f"seeds must all differ, found {', '.join(map(str, seeds))}: equal seeds give the same "
                           "network, and no plane or curve. Choose different numbers.")
        if not seeds or min(seeds) < 0 or len(seeds) > 64:
            raise BadInput(f"seeds must be 1 to 64 whole numbers from 0, found {list(seeds)}.")
        return seeds


class Curves(Training):
    """Join the first two networks by a Bezier curve and by a polygonal chain (Garipov et al. 2018)."""

    bends: int = Field(1, ge=1, le=8, description="Free points between the two fixed ends.")
    curve_epochs: int = Field(40, gt=0, le=10_000, description="Passes over the training data for the curves.")
    curve_lr: float = Field(0.1, gt=0, description="Base learning rate for the curves.")
    curve_seed: int = Field(0, ge=0, description="Seed of the sampled t and the shuffles.")


class Valleys(Curves):
    """The three planes of the talk's slide 7."""

    grid: Grid = Field(97, description="Cells along the longer side of each surface.")
    margin: float = Field(0.2, gt=0, le=2, description="Margin around the marked points, in side lengths.")
    picture: Literal["adaptive", "exact"] = Field(
        "adaptive", description="adaptive: evaluate where interpolation is not yet exact; exact: every cell.")
    tolerance: float = Field(0.005, gt=0, lt=0.5, description="adaptive: 99th percentile of the error / colour range.")
    batchnorm: Literal["re-estimated", "stored"] = Field(
        "re-estimated", description="BatchNorm statistics at points that were not trained.")
    batchnorm_examples: int = Field(1000, gt=1, description="Fixed training examples for re-estimation.")
    precision: Literal[PRECISIONS] = Field("float32", description=ABOUT_PRECISION, json_schema_extra=LATER)

    @field_validator("seeds")
    @classmethod
    def _three_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(seeds) < 3:
            raise BadInput(f"valleys needs at least 3 seeds, one for each optimum of the first plane; found {len(seeds)} "
                           f"({', '.join(map(str, seeds))}). Give three, for example seeds=0,1,2.")
        return seeds


class Network(Settings):
    """Keep one network of another run (``landscape keep``)."""

    source: str = Field(min_length=1, max_length=100, description="Key of the run it belongs to.")
    where: str = Field(min_length=1, max_length=300, description="Its place in that run, as in optima:1.25,-3.5.")


def settings_of(recipe: str) -> type[Settings]:
    """The settings model of a recipe."""
    target = catalog.row("recipe", catalog.RECIPES, recipe).defaults["settings"]
    return catalog.Row("", "", target).load()


def parse(recipe: str, given: dict[str, Any]) -> Settings:
    """Settings from names and values (text as typed on a command line or in a URL, or values already).

    Raises BadInput naming the setting, what was expected and what was found; unknown names with the nearest right one.
    """
    model = settings_of(recipe)
    for name in given:
        if name not in model.model_fields:
            raise unknown("setting", name, model.model_fields)
    try:
        return model(**{name: _value(model, name, value) for name, value in given.items()})
    except ValidationError as error:
        first = error.errors()[0]
        inner = first.get("ctx", {}).get("error")
        if isinstance(inner, BadInput):
            raise inner from None
        name = ".".join(map(str, first["loc"][:1])) or recipe
        found = first.get("input")
        near = difflib.get_close_matches(str(found), first.get("ctx", {}).get("expected", "").replace("'", "").split())
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BadInput(f"Setting {name}: {first['msg']}, found {found!r}.{hint}") from None


def restored(recipe: str, values: dict[str, Any]) -> Settings:
    """Settings as a run has stored them: values, not text. Raises BadInput if this version does not know them."""
    try:
        return settings_of(recipe)(**values)
    except ValidationError as error:
        names = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise BadInput(f"The settings stored with this {recipe} run are those of another version of the program ({names}). "
                       "Compute the run again.") from None


def _value(model: type[Settings], name: str, value: Any) -> Any:
    """Text as typed becomes what the field holds: ``0,1,2`` a tuple, an empty text None where the field may hold it."""
    if not isinstance(value, str):
        return value
    text, field = value.strip(), model.model_fields[name]
    if "tuple" in str(field.annotation):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return None if text == "" and field.default != "" else text
