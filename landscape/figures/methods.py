"""How the methods of the posterior are named and coloured in every figure, and what is read off their draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape import catalog
from landscape.results import Samples

COLORS = {  # of each method, in the order in which methods are listed
    "sgd": "#8b93a1",
    "swa": "#b9773a",
    "file": "#8b93a1",
    "average": "#b9773a",
    "swag": "#e64980",
    "swag_diagonal": "#f29cbc",
    "multiswag": "#a61e4d",
    "multiswa": "#5fb3c9",
    "ensemble": "#7a6fd0",
    "ess": "#f76707",
    "nuts": "#c79a00",
    "hmc": "#3b8fd4",
    "sgld": "#2f9e6b", "metropolis": "#0c8599",
    "laplace": "#a5673f",
    "laplace_subspace": "#c99b7c",
    "laplace_kronecker": "#7f4f2e",
    "vi": "#6b8e23",
    "vi_full": "#9aa13b",
    "flow": "#b15bd6",
    "dropout": "#7d8597",
}
TITLES = {"sgd": "SGD", "swa": "SWA", "file": "One file", "average": "Average of the files"}  # no methods
GAUSSIAN = ("swag", "swag_diagonal", "laplace_subspace", "vi", "vi_full")  # whose draws are of one Gaussian
SUBSPACES = {"random": "#8b93a1", "pca": "#d9480f", "curve": "#ffa94d"}  # one sampler in several subspaces
SPARE = ("#6c8ebf", "#b07d62", "#7d9d5c", "#a66fa3")


@dataclass(frozen=True)
class Look:
    title: str
    color: str


def look(name: str) -> Look:
    """Title and colour of a method, or of one in another subspace, as ``ess random``.

    One that is not known here takes its title from the catalog and a colour that stays its own.
    """
    method, _, subspace = name.partition(" ")
    title = catalog.METHODS[method].title if method in catalog.METHODS else TITLES.get(method, method.replace("_", " "))
    if subspace in SUBSPACES:
        short = "ESS" if method == "ess" else title
        return Look(f"{'PCA' if subspace == 'pca' else subspace.capitalize()} subspace ({short})", SUBSPACES[subspace])
    return Look(title, COLORS.get(method) or SPARE[sum(map(ord, name)) % len(SPARE)])


def ordered(names) -> list[str]:
    """The names in the order of the table above, the others after them."""
    rank = {name: i for i, name in enumerate(COLORS)}
    return sorted(names, key=lambda name: (rank.get(name.split(" ")[0], len(rank)), name))


def chains(samples: Samples) -> list[int]:
    """The numbers of the chains, in their order."""
    return sorted(int(c) for c in np.unique(samples.chain))


def ellipse(samples: Samples, sd: float = 2.0, count: int = 120) -> np.ndarray:
    """(count, 2) points of the curve ``sd`` standard deviations from the mean, of the method's own Gaussian if ``info``
    gives it as ``{"mean", "covariance"}``, else of its draws. Empty for fewer than three draws."""
    given = samples.info.get("ellipse")
    if given:
        mean, covariance = np.asarray(given["mean"], float), np.asarray(given["covariance"], float)
    elif len(samples.plane) > 2:
        mean, covariance = samples.plane.mean(axis=0), np.cov(np.asarray(samples.plane, float).T)
    else:
        return np.empty((0, 2))
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, count)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.sqrt(np.maximum(values, 0))
    return mean + sd * circle @ vectors.T


def short(value, digits: int = 3) -> str:
    """A number in a sentence; a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, digits: int = 3) -> str:
    """A number with so many decimals in a sentence, with a proper minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def count(value) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{round(value):,}"
