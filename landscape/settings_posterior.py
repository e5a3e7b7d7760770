"""The settings of a posterior: the subspace, the methods that draw from it, its temperature and prior; no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from landscape import catalog
from landscape.errors import BadInput, unknown
from landscape.settings import LATER, PRECISIONS, Curves, Grid, Settings
from landscape.settings_averaging import Walk

SUBSPACES = ("random", "pca", "curve")
SMALLEST, LARGEST = 1e-30, 1e30  # of a temperature or a prior's standard deviation
CHAINS = 256  # at most
SIDE = "ess"  # what draws in the subspaces that are compared and in sweeps
CONVENTIONS = ("final", "running", "reference")


class Inference(Settings):
    """Where networks are drawn, by which methods, from which posterior, and what is looked at."""

    subspace: Literal[SUBSPACES] = Field("pca", description="Where networks are drawn: in random directions from SGD's "
                                         "solution, in principal components of its walk, or in the plane of a curve.")
    dimension: int = Field(2, ge=2, le=50, description="Dimensions of the subspace; a curve has two, and one more for each "
                                                       "further bend.")
    scaling: Literal["unit", "singular values"] = Field(
        "singular values", description="A step of a coordinate: 1 in weight distance, or the walk's deviation there.")
    compared: tuple[str, ...] = Field((), description="Further subspaces to compare predictions of: random, pca, curve.")
    methods: tuple[str, ...] = Field(("swag", "ensemble", "multiswag", "ess"), description="Methods that draw networks.")
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False, description="The log-likelihood, summed over the training "
                                                                           "data, is divided by this.")
    prior: Literal["coordinates", "weights"] = Field("coordinates", description="What the Gaussian prior is on.")
    prior_std: float = Field(1.0, gt=0, allow_inf_nan=False, description="Its standard deviation in the subspace, in units "
                                                                         "of coordinates (or of weights).")
    weights_prior_std: float | None = Field(None, gt=0, allow_inf_nan=False, description="That of each weight where all are "
                                            "drawn; empty for the one that weight decay stands for.")
    draws: int | None = Field(None, ge=1, le=100_000, description="Draws that each chain in the subspace keeps; empty for "
                              "what the method starts from.")
    chains: int | None = Field(None, ge=1, le=CHAINS, description="Chains; empty for what the method starts from. Beyond 16 "
                               "(NUTS: 4) they go in several blocks, each with a warm-up of its own.")
    weight_draws: int | None = Field(None, ge=1, le=10_000, description="Draws that each chain over all weights keeps.")
    warmup: int | None = Field(None, ge=0, le=100_000, description="Steps of each chain before the first draw is kept.")
    weight_warmup: int | None = Field(None, ge=0, le=100_000, description="Those of a chain over all weights.")
    swag_draws: int = Field(30, ge=1, le=10_000, description="Draws from each Gaussian or network, for methods that draw "
                                                             "independently.")
    swag_rank: int = Field(20, ge=2, le=1000, description="Deviations that SWAG keeps at most.")
    swag_scale: float = Field(0.5, ge=0, allow_inf_nan=False, description="Factor of SWAG's covariance; 0 is SWA.")
    swag_deviations: Literal[CONVENTIONS] = Field(
        "final", json_schema_extra=LATER, description="What SWAG's deviations are from: the final mean, the running one, or "
        "that with the arithmetic and the divisor of the paper's program.")
    members: int = Field(3, ge=1, le=64, description="Networks of an ensemble, of MultiSWA and of MultiSWAG.")
    averaged: int = Field(200, ge=1, le=10_000, description="Draws that predictions are averaged over, at most.")
    repeats: int = Field(1, ge=1, le=64, description="Seeds for which chains are run again; cheaper methods use all seeds.")
    reference: str | None = Field(None, description="Method that the others' predictions are compared with.")
    temperatures: tuple[float, ...] = Field((), description="Temperatures of a sweep; may be empty.")
    prior_stds: tuple[float, ...] = Field((), description="Prior standard deviations of a sweep; may be empty.")
    grid: Grid = Field(65, description="Cells along the longer side of the theatre.")
    margin: float = Field(0.2, gt=0, le=2, description="Margin around the walk on the picture of the loss, in side lengths.")
    tolerance: float = Field(0.005, gt=0, lt=0.5, description="Picture of the loss: 99th percentile of the error / colour "
                                                              "range.")
    side_draws: int = Field(100, ge=1, le=100_000, description="Draws of each chain in a subspace that is compared, and at "
                                                               "each point of a sweep.")
    seed: int = Field(0, ge=0, description="Seed of directions and draws.")
    batchnorm_examples: int = Field(1000, gt=1, description="Fixed training examples for re-estimating BatchNorm.")
    precision: Literal[PRECISIONS] = Field(
        "float32", json_schema_extra=LATER, description="Numbers in which chains evaluate networks; tf32 and bfloat16 are "
        "for GPUs and large networks, and how far off the log density is at their own draws is shown.")

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            catalog.row("method", catalog.METHODS, name)
        if not names or len(set(names)) < len(names):
            raise BadInput(f"methods must be one or more different names, found {', '.join(names) or 'none'}. Choose from: "
                           f"{', '.join(catalog.METHODS)}.")
        return names

    @field_validator("compared")
    @classmethod
    def _known_subspaces(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SUBSPACES:
                raise unknown("subspace", name, SUBSPACES)
        return tuple(dict.fromkeys(names))

    @field_validator("temperature", "prior_std", "weights_prior_std", "temperatures", "prior_stds")
    @classmethod
    def _of_single_precision(cls, given: Any) -> Any:
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and 0 < value < float("inf") and not SMALLEST <= value <= LARGEST:
                raise BadInput(f"Temperatures and prior standard deviations go from {SMALLEST:g} to {LARGEST:g}, since "
                               f"networks are evaluated in single precision; found {value:g}.")
        return given

    @field_validator("temperatures", "prior_stds")
    @classmethod
    def _above_zero(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < value < float("inf") for value in values) or len(set(values)) < len(values):
            raise BadInput("Temperatures and prior standard deviations of a sweep must be different finite numbers above 0, "
                           f"found {', '.join(f'{v:g}' for v in values)}.")
        return tuple(sorted(values))

    @property
    def revision(self) -> int:
        """One more where chains go in more than one block: once all of them went together."""
        drawn = [*self.methods, *([SIDE] if self.compared or self.temperatures or self.prior_stds else [])]
        most = min((catalog.METHODS[name].defaults.get("block", CHAINS) for name in drawn), default=CHAINS)
        return super().revision + int(self.chains is not None and self.chains > most)

    @model_validator(mode="after")
    def _known_reference(self) -> Inference:
        if self.reference is not None and self.reference not in self.methods:
            raise unknown("reference among the methods", self.reference, self.methods)
        return self


class Posterior(Walk, Curves, Inference):
    """Networks drawn from a posterior, by several methods, and what they predict together (slides 22 to 33)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_posterior(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        chosen = catalog.POSTERIORS.get(str(given.get("task") or "mnist1d"), {})
        made = {**chosen, **{name: value for name, value in given.items() if value is not None or name == "train_size"}}
        if given.get("reference") is None and made.get("reference") not in made.get("methods", ()):
            made.pop("reference", None)  # the task's own is for its own methods
        return made

    @property
    def unspanned(self) -> str:
        """Why the snapshots of the walk do not span the subspace, which is known before they are taken; empty if they do."""
        if not self._short(self.subspace):
            return ""
        count = self._snapshots
        return (f"{count} snapshots, one every {self.every:g} epochs from epoch {self.start} to {self.epochs}, span at most "
                f"{count - 1} dimensions around their mean, found dimension={self.dimension}. Choose a dimension from 2 to "
                f"{count - 1}, or take more snapshots: train longer, or lower swa_start or every.")

    @model_validator(mode="after")
    def _draws_somewhere(self) -> Posterior:
        """Refused only where nothing could be drawn: a method that needs no subspace goes on without one."""
        inside = all(catalog.METHODS[name].defaults["over"] == "subspace" for name in self.methods)
        if inside and all(self._short(kind) for kind in (self.subspace, *self.compared)):
            raise BadInput(self.unspanned)
        return self

    @property
    def _snapshots(self) -> int:
        return int((self.epochs - self.start) / self.every + 1e-9)

    def _short(self, kind: str) -> bool:
        """Whether a subspace of the walk's components, or as long as they are, has more dimensions than these."""
        free = kind == "curve" or (kind, self.scaling) == ("random", "unit")
        return not free and self.dimension >= self._snapshots

    @model_validator(mode="after")
    def _fits(self) -> Posterior:
        if self.subspace == "curve" and self.dimension > self.bends + 1:
            raise BadInput(f"The space of a curve with {self.bends} bend{'s' * (self.bends > 1)} has {self.bends + 1} "
                           f"dimensions, found dimension={self.dimension}. Ask for at most that, or for more bends.")
        if "curve" in (self.subspace, *self.compared) and len(self.seeds) < 2:
            raise BadInput("A curve needs two trained networks, found one seed. Give two, for example seeds=0,1.")
        return self


class Around(Inference):
    """The same around trained networks from files: those of a run ``inspect``, on its data and with its loss."""

    source: str = Field(description="Key of the run that opened the files.")
    files: Literal["solutions", "snapshots"] = Field(
        "solutions", description="What the files are: trained networks, each on its own, or snapshots of one training, in "
                                 "their order.")
    about: str = Field("", max_length=200, description="What the title says they are.")
    subspace: Literal[SUBSPACES] = Field("random", description="Where networks are drawn: in random directions from the "
                                         "last file, in principal components of the files, or in the plane of a curve that "
                                         "was trained between two.")
    scaling: Literal["unit", "singular values"] = Field(
        "unit", description="A step of a coordinate: 1 in weight distance, or the files' deviation there.")
    methods: tuple[str, ...] = Field(("ess", "laplace_subspace"), description="Methods that draw networks.")

    @property
    def task(self) -> str:
        """What the run is about, for its title."""
        return self.about or self.source

    @model_validator(mode="after")
    def _nothing_is_trained(self) -> Around:
        for name in self.methods:
            row = catalog.METHODS[name]
            if "epochs" in row.defaults:
                raise BadInput(f"{row.title} trains a network of its own, and here networks come from files. Choose other "
                               "methods.")
        return self
