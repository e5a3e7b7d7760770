"""The no-U-turn sampler of pyro (Hoffman and Gelman 2014): chains of its own, taking turns."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.posteriors.adaptation import metric_of
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, check_moved, silent, starts
from landscape.posteriors.target import Target

ADVICE = "Give a longer warm-up, start at a trained network, or raise the temperature."


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent,
          warmup: int = 200, accept: float = 0.9, max_depth: int = 8, metric: str | None = None) -> Draws:
    """``draws`` of each of ``chains`` after ``warmup``; step and mass are adapted in each chain by itself, by pyro.

    ``accept`` is the mean acceptance aimed at, ``max_depth`` how often a trajectory may double. ``metric`` as in HMC.
    ``info``: ``acceptance`` (chains,), ``step_size`` mean of the chains, ``divergences``. Raises BadInput for a start with
    non-finite density, Diverged where a chain never moves.
    """
    target = given.target
    metric, z = metric_of(target.ndim, metric), starts(given, chains, generator).cpu()  # small: only densities use a device
    record, moved = Recorder(target, chains, draws, warmup, watch), torch.zeros(chains, dtype=torch.float64)
    with one_thread(z.device), torch.random.fork_rng(devices=[]):
        _seed(generator)
        kernels = [_kernel(target, row, warmup, accept, max_depth, metric) for row in z]
        for i in range(warmup + draws):
            before = z
            z = torch.stack([kernel.sample({"z": row})["z"] for kernel, row in zip(kernels, z, strict=True)])
            if i < warmup:
                record.warmed()
            else:
                moved += (z != before).any(1)
                record.add(z)
        record.log_density[:] = torch.stack([target.log_density(row) for row in record.z])
    check_moved("NUTS", moved, draws, ADVICE)
    step = sum(float(kernel.step_size) for kernel in kernels) / chains
    divergences = sum(at >= warmup for kernel in kernels for at in kernel.diagnostics()["divergences"])
    acceptance = torch.tensor([float(kernel.logging()["acc. prob"]) for kernel in kernels])
    said = [target.said, f"Steps of {step:.3g} (in units of the learned mass) are accepted with mean probability "
                         f"{float(acceptance.mean()):.2f}" + f"; {divergences} diverged" * bool(divergences) + "."]
    return record.draws(acceptance=acceptance, step_size=step, divergences=divergences, metric=metric, said=said)


def _kernel(target: Target, z: Tensor, warmup: int, accept: float, max_depth: int, metric: str):
    """Pyro's sampler of one chain, at z (K,)."""
    from pyro.infer.mcmc import NUTS

    kernel = NUTS(potential_fn=lambda at: -_Density.apply(at["z"], target), target_accept_prob=accept,
                  max_tree_depth=max_depth, full_mass=metric == "dense", adapt_mass_matrix=metric != "unit")
    kernel.initial_params = {"z": z}
    kernel.setup(warmup)
    return kernel


class _Density(torch.autograd.Function):
    """The log density () of z (K,) as something that torch can differentiate once."""

    @staticmethod
    def forward(ctx, z: Tensor, target: Target) -> Tensor:
        value, gradient = target.value_and_gradient(z.detach()[None])
        ctx.save_for_backward(gradient[0].to(z))
        return value[0].to(z)

    @staticmethod
    def backward(ctx, outer: Tensor):
        return outer * ctx.saved_tensors[0], None


def _seed(generator: torch.Generator) -> None:
    """Pyro draws from torch's own stream: let that one start, within ``fork_rng``, from a number of ours."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
