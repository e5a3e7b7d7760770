"""The methods of a run by the names of their results: each in the subspace of the settings, one sampler also in others."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch

from landscape import catalog
from landscape.settings_posterior import SIDE, Inference
from landscape.training.sgd import generator

MEMBERS = ("ensemble", "multiswa", "multiswag")  # made of several trained networks
BASELINES = {"sgd": "SGD", "swa": "SWA", "file": "One file", "average": "Average of the files"}  # one network each


@dataclass(frozen=True)
class Label:
    """A method under the ``name`` of its results. ``over`` is ``subspace``, ``weights`` or ``networks``; ``subspace`` is
    empty for the latter two."""

    name: str
    method: str
    over: str
    subspace: str = ""

    @property
    def row(self) -> catalog.Row:
        return catalog.row("method", catalog.METHODS, self.method)

    @property
    def title(self) -> str:
        return self.row.title if self.name == self.method else f"{self.row.title}, {self.subspace} subspace"

    @property
    def chains(self) -> bool:
        """Whether its draws are those of Markov chains, which converge or do not."""
        return "warmup" in self.row.defaults

    @property
    def trains(self) -> bool:
        return "epochs" in self.row.defaults

    @property
    def many(self) -> bool:
        """Whether it is made of several networks."""
        return self.method in MEMBERS

    def options(self, s: Inference) -> dict:
        """What the settings say of the method's options; the others keep what the catalog says."""
        wanted = {"subspace": {"draws": s.draws if self.name == self.method else s.side_draws, "chains": s.chains,
                               "warmup": s.warmup},
                  "weights": {"draws": s.weight_draws, "chains": s.chains, "warmup": s.weight_warmup},
                  "networks": {"draws": s.swag_draws}}[self.over]
        known = self.row.defaults
        if known.get("rank"):  # 0 is a method of its own, without deviations
            wanted |= {"rank": s.swag_rank, "scale": s.swag_scale, "deviations": s.swag_deviations}
        if "epochs" in known:  # one that trains
            wanted |= {"epochs": s.epochs, "lr": s.lr, "batch_size": s.batch_size, "momentum": s.momentum}
        return {name: value for name, value in wanted.items() if name in known and value is not None}

    def generator(self, s: Inference, replicate: int) -> torch.Generator:
        """Random numbers of its own: what one method draws does not depend on the others that were asked for."""
        return generator(s.seed, zlib.crc32(f"{self.name} {replicate}".encode()))


def labels(s: Inference) -> list[Label]:
    """All that are to be drawn, in the order of the settings, those of compared subspaces last."""
    found = []
    for name in s.methods:
        over = catalog.row("method", catalog.METHODS, name).defaults["over"]
        found.append(Label(name, name, over, s.subspace if over == "subspace" else ""))
    done = {label.subspace for label in found if label.method == SIDE}
    return found + [Label(f"{SIDE} {kind}", SIDE, "subspace", kind) for kind in s.compared if kind not in done]
