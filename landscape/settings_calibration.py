"""The settings of a comparison of predictions: their sources, what is fitted to them, where they are tried; no torch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from landscape import catalog
from landscape.data import OWN_FILE
from landscape.data.folder import beneath, find
from landscape.data.held_out import parted
from landscape.errors import BadInput, unknown
from landscape.settings import Settings
from landscape.settings_averaging import Walk
from landscape.uncertainty.calibrators import CALIBRATORS
from landscape.uncertainty.shift import CORRUPTIONS

FITTED = (*CALIBRATORS, "pooled", "density")  # the last two need several networks' predictions, and inputs
MOST_SOURCES = 24
CHUNK = 1 << 20
_KEYED = re.compile(r"\s*(gallery[-:/])?[\w-]+:.+", re.DOTALL)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE)


class Judging(Settings):
    """What every account of predictions has: bins, bootstrap, calibrators and conformal sets."""

    calibrators: tuple[str, ...] = Field(FITTED, description="Fitted on validation examples, tried on test examples.")
    bins: int = Field(15, ge=1, le=1000, description="Bins of confidence in metrics.")
    draws: int = Field(1000, ge=2, le=100_000, description="Bootstrap draws of the intervals.")
    alpha: float = Field(0.1, gt=0, lt=1, description="Share of conformal sets and intervals that may miss.")
    splits: int = Field(200, ge=1, le=10_000, description="Random halves over which their coverage is measured.")
    seed: int = Field(0, ge=0, description="Seed of bootstrap, splits, corruptions and drawn networks.")

    @field_validator("calibrators")
    @classmethod
    def _known_calibrators(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("calibrator", names, FITTED)


class Calibration(Judging, Walk):
    """Several sources of predictions side by side: what each knows of its own errors (slides 23 and 24)."""

    sources: tuple[str, ...] = Field(("sgd", "swa", "swag", "ensemble", "multiswa", "multiswag"),
                                     description="Where predictions come from.")
    scaled: tuple[str, ...] = Field(("sgd",), description="Sources that are shown once more at their temperature.")
    opened: tuple[str, ...] = Field((), description="Networks of stored runs, RUN:PLACE, as in "
                                                    "0123456789abcdef:optima:1.25,-3.5.")
    posteriors: tuple[str, ...] = Field((), description="Averages over the kept draws of posterior runs, RUN:METHOD.")
    members: int = Field(3, ge=1, le=64, description="Networks of an ensemble, of MultiSWA and of MultiSWAG.")
    swag_draws: int = Field(30, ge=1, le=10_000, description="Draws from each Gaussian or network.")
    swag_rank: int = Field(20, ge=2, le=1000, description="Deviations that SWAG keeps at most.")
    swag_scale: float = Field(0.5, ge=0, allow_inf_nan=False, description="Factor of SWAG's covariance; 0 is SWA.")
    repeats: int = Field(5, ge=1, le=64, description="Seeds for which each source's metrics are computed again.")
    corruptions: tuple[str, ...] = Field((), description="Ladders of corrupted test inputs; may be empty.")
    shift_examples: int = Field(1000, ge=1, le=100_000, description="Test examples that are corrupted, at most.")
    ood: str = Field("none", description="Unknown inputs: none, classes, shuffled, noise, far, or a data set of the same "
                                         "inputs.")
    held_out: tuple[int, ...] = Field((), description="Classes that ood=classes leaves out; empty for the last fifth.")
    batchnorm_examples: int = Field(1000, gt=1, description="Fixed training examples for re-estimating BatchNorm.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_calibration(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        chosen = catalog.CALIBRATIONS.get(parted(str(given.get("task") or "mnist1d"))[0], {})
        made = {**chosen, **{name: value for name, value in given.items() if value is not None or name == "train_size"}}
        made["opened"] = _rejoined(made.get("opened", ()))
        if "sources" in made and "scaled" not in given:
            made["scaled"] = tuple(name for name in ("sgd",) if name in made["sources"])
        return made

    @field_validator("sources")
    @classmethod
    def _known_sources(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("source", names, catalog.SOURCES)

    @field_validator("corruptions")
    @classmethod
    def _known_corruptions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("corruption", names, CORRUPTIONS)

    @field_validator("opened", "posteriors")
    @classmethod
    def _names_a_run(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if not _KEYED.fullmatch(text):
                raise BadInput("Expected the key of a run, a colon and what to take of it (a place such as "
                               f"optima:1.25,-3.5, or a method such as ess), found {text!r}.")
        return tuple(dict.fromkeys(text.strip() for text in texts))

    @field_validator("ood")
    @classmethod
    def _known_unknowns(cls, name: str) -> str:
        known = ("none", *catalog.UNKNOWNS, *catalog.DATASETS)
        if name not in known and not name.startswith("file:"):
            raise unknown("kind of unknown inputs", name, known)
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Calibration:
        count = len(self.sources) + len(self.opened) + len(self.posteriors)
        if not 1 <= count <= MOST_SOURCES:
            raise BadInput(f"Expected 1 to {MOST_SOURCES} sources of predictions, found {count}. Name some of: "
                           f"{', '.join(catalog.SOURCES)}; or networks of stored runs in opened.")
        for name in self.scaled:
            if name not in self.sources:
                raise unknown("source to be scaled among the sources", name, self.sources)
        if self.ood == parted(self.task)[0]:
            raise BadInput(f"ood={self.ood} are the inputs of the task itself. Choose another data set, or classes.")
        if self.held_out and self.ood != "classes":
            raise BadInput(f"held_out={','.join(map(str, self.held_out))} needs ood=classes, found ood={self.ood}.")
        return self


class PredictionsFile(Judging):
    """A file of predictions from anywhere, judged as the app's own."""

    file: str = Field(min_length=1, max_length=4000, description="CSV or npz with outputs and labels: a path under "
                                                                    "LANDSCAPE_ROOTS, or file:NAME of the data folder.")
    digest: str = Field("", description="SHA-256 of the file, so that other contents are another run.")
    kind: Literal["auto", "probabilities", "logits"] = Field("auto", description="What the outputs are, where the file does "
                                                                                 "not say it.")
    name: str = Field("", max_length=200, description="What to call this source; empty for the file's name.")

    @property
    def task(self) -> str:
        """What the run is about, for its title."""
        return self.name or Path(self.file).name

    @model_validator(mode="before")
    @classmethod
    def _with_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("file"), str) and not given.get("digest"):
            return given | {"digest": digest(path_of(given["file"]))}
        return given


def path_of(file: str) -> Path:
    """The regular file of a path under LANDSCAPE_ROOTS, or of file:NAME in the data folder. Raises BadInput for others."""
    path = find(file.removeprefix(OWN_FILE)) if file.startswith(OWN_FILE) else beneath(file)
    if not path.is_file():
        raise BadInput(f"Expected a regular file, {file} is none. Give the path of one CSV or npz file.")
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file in hex."""
    found = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _known(kind: str, names: tuple[str, ...], table) -> tuple[str, ...]:
    for name in names:
        if name not in table:
            raise unknown(kind, name, table)
    return tuple(dict.fromkeys(names))


def _rejoined(parts: Any) -> Any:
    """Places as they were typed: a number behind a comma belongs to the place before it."""
    if not isinstance(parts, (list, tuple)):
        return parts
    made: list[str] = []
    for part in parts:
        if made and isinstance(part, str) and _NUMBER.fullmatch(part):
            made[-1] += f",{part}"
        else:
            made.append(part)
    return tuple(made)
