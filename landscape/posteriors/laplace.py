"""Laplace approximations: a Gaussian at the top of the posterior with the inverse of the curvature there as covariance.

``last layer``: over the last layer's weights, the others fixed, with the exact Gauss-Newton matrix (Kristiadi et al. 2020,
arXiv 2002.10118). ``subspace``: over any target's coordinates, with all second derivatives. ``kronecker``: over all weights,
with a Kronecker-factored Gauss-Newton matrix (Ritter et al. 2018), from laplace-torch, which is an extra.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.posteriors.independent import drawn
from landscape.posteriors.last_layer import gauss_newton, last_layer
from landscape.posteriors.method import Draws, Given, Recorder, Watch, silent
from landscape.posteriors.mode import climb, precision
from landscape.posteriors.space import weight_space
from landscape.posteriors.swag import check
from landscape.posteriors.target import Normal
from landscape.training.losses import Categorical, Gaussian
from landscape.training.task import Task

STRUCTURES = ("last layer", "subspace", "kronecker")
SUBSPACE_LIMIT = 500  # coordinates whose second derivatives are all computed
BLOCK_BYTES = 2**25


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent,
          structure: str = "last layer", prior_std: float | None = None, temperature: float = 1.0) -> Draws:
    """``chains`` x ``draws`` independent draws of the Gaussian.

    ``subspace`` takes prior and temperature from the target. The others are around the first trained network and take
    ``prior_std`` (of the weights, mean 0) and ``temperature`` (of the summed log-likelihood); without a prior_std it is that
    of the weight decay the network was trained with, for which alone the network is the top.
    """
    check(draws, chains)
    if structure not in STRUCTURES:
        raise unknown("structure of a Laplace approximation", structure, STRUCTURES)
    if structure == "subspace":
        return _subspace(given, draws, chains, generator, watch)
    if given.task is None or given.networks is None or not len(given.networks):
        raise BadInput(f"The {structure} Laplace approximation needs a task and a trained network. Train one, or choose the "
                       "subspace one.")
    if not temperature > 0 or (prior_std is not None and not prior_std > 0):
        raise BadInput(f"Temperature and prior_std must be above zero; found {temperature:g} and {prior_std}.")
    w = given.networks[0].double()
    prior, said = _prior(given.task, prior_std)
    make = _last_layer if structure == "last layer" else _kronecker
    return make(given.task, w, prior, temperature, (chains, draws), generator, watch, said)


def _subspace(given: Given, draws: int, chains: int, generator: torch.Generator, watch: Watch) -> Draws:
    target = given.target
    if target is None or target.ndim > SUBSPACE_LIMIT:
        raise BadInput(f"The subspace Laplace approximation needs a target of at most {SUBSPACE_LIMIT} coordinates; found "
                       f"{None if target is None else target.ndim}. Choose a subspace, or the last layer.")
    recorder = Recorder(target, chains, draws, 1, watch)
    start = target.space.origin.new_zeros(target.ndim) if given.start is None else given.start[0].to(target.space.origin)
    mode = climb(target, start)
    values, axes = torch.linalg.eigh(precision(target, mode))
    recorder.warmed()
    said = ["A Gaussian at the top of the posterior next to the origin, with the inverse of minus its second derivatives."]
    bad = int((values <= 0).sum())
    if bad:
        raise BadInput(f"The posterior curves upwards along {bad} of {target.ndim} directions where its top was looked for, "
                       "so it has no Laplace approximation there. Use a smaller prior_std, or start somewhere else.")
    covariance = (axes / values) @ axes.T
    q = Normal(mode, torch.linalg.cholesky(0.5 * (covariance + covariance.T)))
    return drawn(recorder, lambda count: q.draw(count, generator), said=said, mean=mode.cpu().numpy(),
                 covariance=covariance.cpu().numpy())


def _prior(task: Task, prior_std: float | None) -> tuple[float, list[str]]:
    """The prior's precision and what is to be said of it."""
    count = len(task.splits["train"][0])
    if prior_std is not None:
        return prior_std**-2, [f"Prior on the weights: normal with standard deviation {prior_std:g}. The network is the top "
                               "of this posterior only if it was trained with the weight decay that goes with it."]
    if not task.weight_decay > 0:
        raise BadInput("The network was trained without weight decay, so nothing says what prior it is the top of. Give a "
                       "prior_std.")
    found = task.weight_decay * count
    return found, [f"Prior on the weights: normal with standard deviation {found**-0.5:.3g}, that of the weight decay "
                   f"{task.weight_decay:g} with {count:,} examples, so that the trained network is the top."]


def _last_layer(task: Task, w: Tensor, prior: float, temperature: float, shape: tuple[int, int], generator: torch.Generator,
                watch: Watch, said: list[str]) -> Draws:
    layer = last_layer(task, w)
    curvature = gauss_newton(task, layer) / temperature
    root = torch.linalg.cholesky(curvature + prior * torch.eye(len(curvature)).to(curvature))
    places = layer.places.flatten().to(w.device)

    def draw(count: int) -> Tensor:
        e = torch.randn(count, layer.size, generator=generator, dtype=torch.float64).to(root)
        z = w.new_zeros(count, len(w))
        z[:, places] = torch.linalg.solve_triangular(root.T, e.T, upper=True).T.to(w)
        return z

    said = [f"A Gaussian over the {layer.size:,} weights of the last layer, with its exact Gauss-Newton matrix; the other "
            f"{len(w) - layer.size:,} stay. Temperature {temperature:g}.", *said]
    return _around(w, draw, shape, watch, said)


def _kronecker(task: Task, w: Tensor, prior: float, temperature: float, shape: tuple[int, int], generator: torch.Generator,
               watch: Watch, said: list[str]) -> Draws:
    try:
        from laplace import Laplace
    except ImportError as error:
        raise BadInput("The Kronecker-factored Laplace approximation needs the package laplace-torch, which is not "
                       f"installed ({error}). Install the extra: pip install 'landscape[laplace]'.") from None
    if not isinstance(task.likelihood, Categorical | Gaussian):
        raise BadInput("Laplace approximations need a likelihood: classification (cross-entropy) or regression (gaussian).")
    if task.net.batchnorm:
        raise BadInput("The Kronecker-factored Laplace approximation is not made for BatchNorm. Choose the last layer's.")
    classes = isinstance(task.likelihood, Categorical)
    module = copy.deepcopy(task.net.module).cpu().requires_grad_(True).eval()  # the generator draws where the module is
    x, y = (each.cpu() for each in task.splits["train"])
    torch.nn.utils.vector_to_parameters(w.to(x), module.parameters())
    data = torch.utils.data.TensorDataset(x, y)
    sigma = {} if classes else {"sigma_noise": math.sqrt(task.likelihood.variance)}
    fitted = Laplace(module, "classification" if classes else "regression", subset_of_weights="all",
                     hessian_structure="kron", prior_precision=prior, temperature=temperature, **sigma)
    fitted.fit(torch.utils.data.DataLoader(data, batch_size=512, generator=generator))
    said = [f"A Gaussian over all {len(w):,} weights with a Kronecker-factored Gauss-Newton matrix (laplace-torch). "
            f"Temperature {temperature:g}.", *said]
    return _around(w, lambda count: fitted.sample(count, generator=generator).detach().to(w) - w, shape, watch, said)


def _around(w: Tensor, draw, shape: tuple[int, int], watch: Watch, said: list[str]) -> Draws:
    """Draws w + draw(count) of weights, block by block."""
    chains, draws = shape
    block, parts, space = max(1, min(100, BLOCK_BYTES // (8 * len(w) * chains))), [], weight_space(w)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        parts.append(draw(chains * size).view(chains, size, len(w)))
        watch(start + size, draws, parts[-1])
    z = torch.cat(parts, 1)
    return Draws(z, torch.full(z.shape[:2], torch.nan, dtype=torch.float64), space, {"said": said})
