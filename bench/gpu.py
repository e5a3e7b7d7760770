"""A GPU, where there is one: surfaces against a large matrix product; networks, chains and Hessian products at once against
one by one; training and chains in lower precision.

``python -m bench gpu`` measures everything in one call. Without CUDA it is one row that says so. The same code runs on a CPU
in the tests (``rows(device="cpu", ...)``), which says nothing about speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.measure import Row
from landscape.data import load
from landscape.geometry.curvature import Objective
from landscape.geometry.subspace import Subspace, plane
from landscape.geometry.surface import Evaluator
from landscape.networks import Net, build
from landscape.networks.accelerator import LOWER, numbers
from landscape.networks.architectures import initial_weights
from landscape.posteriors import method
from landscape.posteriors.method import Given
from landscape.posteriors.rounding import measured
from landscape.posteriors.space import weight_space
from landscape.posteriors.target import Posterior
from landscape.training import schedules, sgd
from landscape.training.rounding import logged, rounding
from landscape.training.task import Task, task_from

ERROR = 1e-5  # the bar: largest relative difference of losses in float32 from those of the CPU in float64


@dataclass(frozen=True)
class Size:
    """How much is measured: examples, side of the product, cells a side, widths of both networks, networks, chains, vectors
    that a Hessian multiplies."""

    examples: int = 3000
    side: int = 8192
    cells: int = 65
    widths: tuple[int, ...] = (1024, 1024)
    channels: tuple[int, ...] = (32, 64)
    networks: int = 64
    epochs: int = 5
    chains: int = 256
    steps: int = 50
    vectors: int = 48
    rounds: int = 3


def rows(device: str = "cuda", size: Size | None = None) -> list[Row]:
    """The rows of the workload; one that is not judged where there is no GPU."""
    size = size or Size()
    if device == "cuda" and not torch.cuda.is_available():
        return [Row("gpu", "skipped", "no NVIDIA GPU", note="no GPU that torch can use was found; nothing was measured")]
    return [*surfaces(device, size), *training(device, size), *chains(device, size), *products(device, size)]


def seconds(device: str, work: Callable[[], object], rounds: int) -> float:
    """The best of some rounds, after one that is not counted, each until the device has finished."""
    found = []
    for _ in range(rounds + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def product_rate(device: str, side: int, dtype: torch.dtype, tf32: bool, rounds: int) -> float:
    """Floating point operations a second of one large product."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with numbers(torch.device(device), tf32):
        return 2 * side**3 / seconds(device, lambda: torch.mm(a, b, out=out), rounds)


def task_of(size: Size, device: str, network: str, norm: str = "none", dtype=torch.float32) -> Task:
    data, widths = load("mnist5k", 0, size.examples), size.widths if network == "mlp" else size.channels
    module = build(network, data.shape, data.outputs, widths, norm=norm).to(dtype)
    return task_from(data, Net(module).to(device), 5e-4, device=device, dtype=dtype)


def surfaces(device: str, size: Size) -> list[Row]:
    """Exact grids in each precision: GFLOP/s beside those of a product in the same precision."""
    made = []
    for network, norm in (("mlp", "none"), ("conv", "batch")):
        task, exact = task_of(size, device, network, norm), task_of(size, "cpu", network, norm, torch.float64)
        sub = _plane(task)
        z = _points(size.cells) * 0.3 * float(sub.origin.norm())
        few = z[:: max(1, len(z) // 5)][:5]
        true = Evaluator(exact, sub, ("train",))(few)["train_nll"]
        work = _operations(task, network) * len(z) * len(task.splits["train"][0])
        for name in ("float32", *LOWER):
            evaluator = Evaluator(replace(task, precision=name), sub, ("train",), way="together")
            taken = seconds(device, lambda evaluator=evaluator, z=z: evaluator(z), size.rounds)
            peak = product_rate(device, size.side, evaluator.dtype, name == "tf32", size.rounds)
            off = float(np.max(np.abs(evaluator(few)["train_nll"] - true) / true))
            note = (f"{work / taken / 1e9:,.0f} GFLOP/s, the product {peak / 1e9:,.0f}; {len(z) / taken:,.0f} networks a "
                    f"second, {evaluator.room.size} at once")
            met = off <= ERROR if name == "float32" else None
            made.append(Row(f"gpu: grid {size.cells}x{size.cells}, {network} {task.net.size:,} weights", name,
                            f"product of {size.side}", work / taken / peak, off, work / taken / peak, None, met, note))
    return made


def training(device: str, size: Size) -> list[Row]:
    """SGD on K convolutional networks at once, and one after the other; at once in lower precision, with the error of their
    gradients."""
    task = task_of(size, device, "conv", "batch")
    module = build("conv", task.splits["train"][0].shape[1:], 10, size.channels, norm="batch")
    starts = torch.stack([initial_weights(module, sgd.generator(seed, 0)) for seed in range(size.networks)]).to(device)
    options = {"epochs": size.epochs, "batch_size": 128, "lr": 0.1, "momentum": 0.9, "schedule": schedules.linear}

    def together(task: Task = task) -> sgd.State:
        return sgd.train(task, list(range(size.networks)), starts, **options)

    def alone() -> torch.Tensor:
        few = max(1, size.networks // 8)
        return torch.cat([sgd.train(task, [k], starts[k : k + 1], **options).parameters for k in range(few)])

    many, one = seconds(device, together, 1), seconds(device, alone, 1) * size.networks / max(1, size.networks // 8)
    name = f"gpu: training {size.networks} conv nets with BatchNorm"
    made = [Row(name, "all at once", "one by one", one / many,
                note=f"{many:.2f} s and {one:.2f} s (an eighth of them, times eight)")]
    for precision in LOWER:
        lower = replace(task, training_precision=precision)
        taken = seconds(device, lambda lower=lower: together(lower), 1)
        found = rounding(lower, logged(together(lower)))["rounding"]
        made.append(Row(name, precision, "float32", many / taken, found["gradient"], note=found["said"]))
    return made


def chains(device: str, size: Size) -> list[Row]:
    """HMC over all weights, many chains and one; the many in lower precision, with the error of their gradients."""
    data = load("regression", 0)
    task = task_from(data, Net(build("mlp", data.shape, data.outputs, (50, 50), "tanh")).to(device), 1e-3, device=device)
    w = initial_weights(build("mlp", data.shape, data.outputs, (50, 50), "tanh"), sgd.generator(0, 0)).to(device)

    def sampled(target: Posterior, count: int) -> method.Draws:
        return method.infer("hmc", Given(target=target, networks=w[None]), generator=torch.Generator().manual_seed(0),
                            chains=count, draws=size.steps, warmup=0, step_size=0.002, most_steps=16)

    target = Posterior(task, weight_space(w), 0.5)
    name = f"gpu: {size.chains} hmc chains over {target.ndim:,} weights"
    many, one = (seconds(device, lambda n=n: sampled(target, n), 1) for n in (size.chains, 1))
    made = [Row(name, "all at once", "one after the other", size.chains * one / many,
                note=f"{many:.2f} s, one alone {one:.2f} s")]
    for precision in LOWER:
        lower = Posterior(replace(task, precision=precision), weight_space(w), 0.5)
        taken = seconds(device, lambda lower=lower: sampled(lower, size.chains), 1)
        found = measured(lower, sampled(lower, size.chains).flat, gradients=True)
        made.append(Row(name, precision, "float32", many / taken, found.gradient, note=found.said))
    return made


def products(device: str, size: Size) -> list[Row]:
    """The Hessian times many vectors at once, and one after the other; held against the CPU in float64."""
    made = []
    for network, norm in (("mlp", "none"), ("conv", "batch")):
        task, exact = task_of(size, device, network, norm), task_of(size, "cpu", network, norm, torch.float64)
        w = task.net.initial
        buffers = task.buffers(w) if norm == "batch" else None
        alone, several = (Objective(task, penalty=False, buffers=buffers, together=t).hessian(w) for t in (False, True))
        g = torch.Generator().manual_seed(0)
        v = torch.randn(size.vectors, task.net.size, generator=g, dtype=torch.float64).to(device)
        many, one = (seconds(device, work, size.rounds) for work in (
            lambda h=several, v=v: h(v), lambda h=alone, v=v: [h(row) for row in v.split(1)]))
        held = {name: b.cpu() for name, b in buffers.items()} if buffers else None
        true = Objective(exact, penalty=False, buffers=held).hessian(w.double().cpu())(v[:2].cpu())
        off = float((several(v[:2]).cpu() - true).norm() / true.norm())
        made.append(Row(f"gpu: hessian times {size.vectors} vectors, {network} {task.net.size:,} weights", "all at once",
                        "one after the other", one / many, off,
                        note=f"{many:.3f} s and {one:.3f} s; {several.several.room.size} at once"))
    return made


def _plane(task: Task) -> Subspace:
    g = torch.Generator().manual_seed(0)
    scale = float(task.net.initial.std())
    return plane(*(scale * torch.randn(3, task.net.size, generator=g, dtype=torch.float64)))


def _points(cells: int) -> np.ndarray:
    axis = np.linspace(-1, 1, cells)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def _operations(task: Task, network: str) -> float:
    """Of one example in one network: of the layers behind the first, whose products are made once, where they are dense."""
    if network == "mlp":
        return 2.0 * sum(layer.inputs * layer.outputs for layer in task.net.layers[1:])
    from landscape.networks.probe import probed

    x = task.splits["train"][0]
    return probed(task.net, task.net.initial.to(x), x).flops


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
