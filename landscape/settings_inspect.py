"""The settings of ``inspect``: which files, what network they belong to, how the data are prepared, what to look at."""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from landscape import catalog
from landscape.data import OWN_FILE
from landscape.data.folder import beneath
from landscape.data.prepared import NORMALISATIONS, parsed, path_of
from landscape.errors import BadInput, unknown
from landscape.settings import Grid, Settings

MOST_FILES = 100
KEPT = "run:"  # a network kept in the store, run:KEY
LIBRARIES = ("program", "timm", "transformers")  # before the colon: no module of the user's
LOSSES = ("auto", "cross-entropy", "mse", "gaussian", "causal")
CHUNK = 1 << 20


class Inspect(Settings):
    """Open trained networks from files: one report, then what their number allows to be seen."""

    files: tuple[str, ...] = Field(description="Paths of 1 to 100 checkpoints, or run:KEY for networks kept here.")
    digests: tuple[str, ...] = Field((), description="SHA-256 of each file, so that other contents are another run.")
    network: str = Field("auto", description="auto or one of ours, package.module:factory, program:FILE, timm:NAME, "
                                             "transformers:NAME.")
    arguments: str = Field("{}", description="Arguments of the factory, a JSON object.")
    activation: Literal[catalog.ACTIVATIONS] = Field("relu", description="Nonlinearity, for networks of ours.")
    data: str = Field("mnist1d", description="An embedded task, file:NAME of the data folder, or a path.")
    data_digest: str = Field("", description="SHA-256 of the data, where they come from a file.")
    code_digest: str = Field("", description="SHA-256 of the factory's source.")
    normalisation: str = Field("standard", description="standard, none, unit (0 to 1), or MEANS;DEVIATIONS.")
    channels: Literal["RGB", "BGR"] = Field("RGB", description="Order of colour channels the network expects.")
    loss: str = Field("auto", description="auto, cross-entropy, mse, gaussian, causal, or package.module:function.")
    noise_variance: float = Field(0.05, gt=0, description="gaussian only: variance of the likelihood.")
    weight_decay: float = Field(0.0, ge=0, description="lambda: the loss is NLL + lambda/2 times the squared norm.")
    split: Literal["test", "all", "both"] = Field(
        "test", description="Judge by the test set, by all examples together, or by training and test set each.")
    examples: int | None = Field(None, gt=0, description="Use so many examples of that set; empty for all.")
    data_seed: int | None = Field(None, ge=0, description="Seed of the split, for networks trained here on a file.")
    train_size: int | None = Field(None, gt=0, description="Training examples, for networks trained here.")
    label_noise: float = Field(0.0, ge=0, le=1, description="Share of random training labels, for networks trained here.")
    only: tuple[str, ...] = Field((), description="Random directions move only parameters with these names (* and ?).")
    others: Literal["zero", "keep"] = Field(
        "zero", description="Biases and normalisation parameters in random directions: at rest, or moved too.")
    rank: int | None = Field(None, gt=0, description="Random directions of this rank in every matrix, as of adapters.")
    grid: Grid = Field(33, description="Cells along the longer side of a surface.")
    radius: float = Field(1.0, gt=0, le=100, description="Half side of a random plane, in steps of its directions.")
    margin: float = Field(0.2, gt=0, le=2, description="Margin around the networks of other planes, in side lengths.")
    picture: Literal["adaptive", "exact"] = Field(
        "adaptive", description="adaptive: evaluate where interpolation is not yet exact; exact: every cell.")
    tolerance: float = Field(0.005, gt=0, lt=0.5, description="adaptive: 99th percentile of the error / colour range.")
    line_points: int = Field(41, ge=3, le=1001, description="Points of a line that is drawn.")
    pair_points: int = Field(11, ge=3, le=201, description="Points of the line between every pair, ends included.")
    center: Literal["mean", "last"] = Field("mean", description="Origin of the principal components.")
    seed: int = Field(0, ge=0, description="Seed of random directions, of matching and of the null walk.")
    curve_epochs: int = Field(0, ge=0, le=10_000, description="Train a curve between two networks; 0 for none.")
    curve_lr: float = Field(0.05, gt=0, description="Base learning rate of the curve.")
    batch_size: int = Field(128, gt=0, description="Examples per step of the curve.")
    bends: int = Field(1, ge=1, le=8, description="Free points of the curve.")
    batchnorm: Literal["re-estimated", "stored"] = Field(
        "re-estimated", description="BatchNorm statistics everywhere but at the files themselves, which keep their own.")
    batchnorm_examples: int = Field(1000, gt=1, description="Fixed examples for re-estimation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute.")
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = Field(
        "float32", description="Numbers networks compute with; tf32 is for surfaces on GPUs.")

    @property
    def task(self) -> str:
        """What the run is about, for its title."""
        first = Path(self.files[0]).name
        return f"{first}{f' and {len(self.files) - 1} more' if self.files[1:] else ''} on {self.data}"

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """The task's own training size, and a digest for every file that came without."""
        if not isinstance(given, dict):
            return given
        chosen = {k: v for k, v in given.items() if v is not None or k in ("train_size", "examples", "data_seed", "rank")}
        task = catalog.TASKS.get(str(chosen.get("data", "mnist1d")))
        if task and "train_size" not in chosen:
            chosen["train_size"] = task.get("train_size")
        if task and "noise_variance" not in chosen:
            chosen |= {k: task[k] for k in ("noise_variance",) if k in task}
        if task and chosen.get("network", "auto") in ("auto", *catalog.NETWORKS) and "activation" not in chosen:
            chosen |= {k: task[k] for k in ("activation",) if k in task}
        files, digests = tuple(chosen.get("files") or ()), tuple(chosen.get("digests") or ())
        if files and len(files) <= MOST_FILES and not digests:
            chosen["digests"] = tuple(digest(str(file)) for file in files)
        if not task and "data" in chosen and not chosen.get("data_digest"):
            chosen["data_digest"] = data_digest(_known_data(str(chosen["data"])))
        if "code_digest" not in chosen:
            chosen["code_digest"] = code_digest(*(str(chosen.get(name, "")) for name in ("network", "loss")))
        return chosen

    @field_validator("files")
    @classmethod
    def _how_many(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(files) <= MOST_FILES or not all(file.strip() for file in files):
            raise BadInput(f"inspect opens 1 to {MOST_FILES} files at a time, found {len(files)}. Give their paths.")
        if len(set(files)) < len(files):
            twice = next(file for file in files if files.count(file) > 1)
            raise BadInput(f"Every file is given once; {twice} is given {files.count(twice)} times. Two copies of one "
                           "network need two names.")
        return files

    @field_validator("arguments")
    @classmethod
    def _json_object(cls, text: str) -> str:
        try:
            found = json.loads(text or "{}", parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"arguments must be a JSON object such as {{\"depth\": 56}}, found {text[:200]!r}: "
                           f"{error}.") from None
        if not isinstance(found, dict):
            raise BadInput(f"arguments must be a JSON object such as {{\"depth\": 56}}, found {text[:200]!r}.")
        return json.dumps(found, sort_keys=True)

    @field_validator("normalisation")
    @classmethod
    def _known_normalisation(cls, text: str) -> str:
        if text not in NORMALISATIONS:
            parsed(text)
        return text

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, name: str) -> str:
        if name not in LOSSES and ":" not in name:
            raise unknown("loss", name, (*LOSSES, "package.module:function"))
        return name

    @model_validator(mode="after")
    def _one_digest_a_file(self) -> Inspect:
        if len(self.digests) != len(self.files):
            raise BadInput(f"digests must be one SHA-256 for each file, found {len(self.digests)} for {len(self.files)} "
                           "files. Leave them out to have them computed.")
        return self


def _known_data(name: str) -> str:
    plain = not name.startswith(OWN_FILE) and os.sep not in name and "." not in name
    if plain and name not in catalog.DATASETS and not Path(name).exists():
        raise unknown("data (an embedded task, file:NAME, or a path)", name, catalog.DATASETS)
    return name


def digest(file: str) -> str:
    """SHA-256 of a file's contents in hex; of a kept network its key. Raises BadInput for what may not be read."""
    if file.startswith(KEPT):
        return file.removeprefix(KEPT)
    path = beneath(file)
    if not path.is_file():
        raise BadInput(f"Expected a regular file, {file} is none. Give the path of one checkpoint file.")
    return _hashed(path, hashlib.sha256())


def data_digest(data: str) -> str:
    """SHA-256 of a data file; of a folder, of the names, sizes and times of what is in it; empty for data generated here."""
    if data in catalog.DATASETS:
        return ""
    path, found = path_of(data)[1], hashlib.sha256()
    if path.is_file():
        return _hashed(path, found)
    for here, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            status = os.lstat(os.path.join(here, name))
            inside = os.path.relpath(os.path.join(here, name), path)
            found.update(f"{inside}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def code_digest(*targets: str) -> str:
    """SHA-256 of the sources of ``package.module:function`` targets, so that an edited factory gives another run.

    The files are found without importing anything; empty where nothing is found.
    """
    found, any_source = hashlib.sha256(), False
    for target in targets:
        module, colon, _ = target.partition(":")
        source = _source(module) if colon and module not in LIBRARIES else None
        if source is not None:
            found.update(source.read_bytes())
            any_source = True
    return found.hexdigest() if any_source else ""


def _source(module: str) -> Path | None:
    """The file a module would be imported from."""
    where: list[str] | None = list(sys.path)
    spec = None
    for part in module.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, where) if where else None
        if spec is None:
            return None
        where = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def _hashed(path: Path, found) -> str:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
